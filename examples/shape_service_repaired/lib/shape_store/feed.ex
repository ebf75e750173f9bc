defmodule ShapeStore.Feed do
  @moduledoc """
  Takes transactions from the source, and commits each with all that follows from it: the changes of every shape, inner ones
  first, in one transaction of the store under the source's own number.

  So there is one position. After a restart, orderly or not, the source is asked for what follows it.

  What needs a number between those of the source, the rows of a new shape or of a compacted one, gets it from the source: an
  empty transaction, whose turn is awaited like that of any other.
  """

  use GenServer

  alias Racefree.Store
  alias ShapeService.{Shape, Source}
  alias ShapeStore.View

  def start_link(config) do
    GenServer.start_link(__MODULE__, config, name: {:via, Racefree.Registry, {ShapeStore.registry(config.name), :feed}})
  end

  @impl GenServer
  def init(config) do
    state = Map.merge(config, %{store: ShapeStore.store(config.name), lsn: 0, shapes: %{}, waiting: %{}})
    {:ok, state, {:continue, :restore}}
  end

  # Requests wait until this is done.
  @impl GenServer
  def handle_continue(:restore, state) do
    with {:ok, lsn, restored} <- state.logs.restore(state.store),
         {:ok, _subscription} <- Store.subscribe_durable(state.store) do
      shapes = for {handle, shape, writer, rows} <- restored, into: %{}, do: {handle, entry(shape, writer, rows)}
      follow(Source.attach(state.source, lsn), %{state | lsn: lsn, shapes: shapes})
    else
      {:error, reason} -> {:stop, reason, state}
    end
  end

  @impl GenServer
  def handle_call({:create, shape}, from, state) do
    case known(shape, state) do
      {:ok, handle} -> {:reply, {:ok, handle, state.lsn}, state}
      :error -> at_marker(from, {:create, shape}, state)
    end
  end

  def handle_call({:compact, handle}, from, state), do: at_marker(from, {:compact, handle}, state)

  def handle_call({:remove, handle}, _from, %{shapes: shapes} = state) when is_map_key(shapes, handle) do
    {answer, state} = remove(handle, state)
    {:reply, answer, state}
  end

  def handle_call({:remove, _handle}, _from, state), do: {:reply, {:error, :not_found}, state}

  @impl GenServer
  def handle_info({:txn, txn}, state), do: follow([txn], state)

  # The source may forget what no crash can take away any more.
  def handle_info({Store, _ref, {:durable, lsn}}, state) do
    Source.confirm(state.source, lsn)
    {:noreply, state}
  end

  def handle_info({Store, _ref, {:failed, reason}}, state), do: {:stop, reason, state}

  defp entry(shape, writer, rows), do: %{shape: shape, writer: writer, rows: rows}

  defp at_marker(from, request, state) do
    {:ok, lsn} = Source.commit(state.source, [])
    {:noreply, put_in(state.waiting[lsn], {from, request})}
  end

  defp follow([], state), do: {:noreply, state}
  # It came with what was missed, and is on its way as well.
  defp follow([{lsn, _changes} | rest], %{lsn: last} = state) when lsn <= last, do: follow(rest, state)

  defp follow([{lsn, changes} | rest], state) do
    {waiting, state} = pop_in(state.waiting[lsn])

    with {:ok, answer, writes} <- writes(lsn, changes, waiting, state),
         {:ok, state} <- commit(lsn, writes, state) do
      with {from, _request} <- waiting, do: GenServer.reply(from, answer)
      follow(rest, state)
    else
      # Nothing of the transaction is in the store. Started anew, the feed goes on with it.
      {:error, reason} -> {:stop, reason, state}
    end
  end

  defp writes(lsn, changes, nil, state), do: {:ok, nil, changed(lsn, changes, state)}

  defp writes(lsn, [], {_from, {:create, shape}}, state) do
    case made(shape, lsn, state) do
      {:ok, handle, made} -> with {:ok, writes} <- opened(made, state), do: {:ok, {:ok, handle, lsn}, writes}
      # Only who asked hears of it.
      {:error, _reason} = error -> {:ok, error, []}
    end
  end

  defp writes(lsn, [], {_from, {:compact, handle}}, state) do
    case state.shapes do
      %{^handle => entry} -> {:ok, {:ok, lsn}, [{handle, entry, {:snapshot, inserts(entry.shape, entry.rows)}}]}
      _none -> {:ok, {:error, :not_found}, []}
    end
  end

  defp commit(lsn, writes, state) do
    requests =
      for {_handle, entry, write} <- writes do
        case write do
          {:snapshot, changes} -> {entry.writer, {:snapshot, entry.shape, changes}}
          {:changes, changes} -> {entry.writer, {:changes, changes}}
        end
      end

    with {:ok, writers} <- state.logs.transact(state.store, lsn, requests, state.chunk_bytes) do
      shapes =
        for {{handle, entry, _write}, writer} <- Enum.zip(writes, writers),
            into: state.shapes,
            do: {handle, %{entry | writer: writer}}

      {:ok, %{state | lsn: lsn, shapes: shapes}}
    end
  end

  ## What a transaction changes

  # The shapes that it touches, with their rows after it and their changes.
  defp changed(lsn, changes, state) do
    state.shapes
    |> Enum.sort_by(fn {_handle, entry} -> Shape.layer(entry.shape) end)
    |> Enum.reduce(%{}, fn {handle, entry}, done ->
      case changes_of(entry, lsn, changes, done, state) do
        [] -> done
        own -> Map.put(done, handle, {%{entry | rows: View.rows(entry.rows, own)}, own})
      end
    end)
    |> Enum.map(fn {handle, {entry, own}} -> {handle, entry, {:changes, own}} end)
  end

  defp changes_of(%{shape: shape, rows: rows}, lsn, changes, done, state) do
    touched =
      for {op, table, key, row} <- changes, table == shape.table, into: %{}, do: {key, if(op != :delete, do: row)}

    {inner_rows, inner_changes} = inner(shape.inner_handle, done, state)
    candidates = shape |> moved(rows, lsn, inner_changes, state) |> Map.merge(touched)
    View.changes(shape, rows, candidates, inner_rows)
  end

  defp inner(nil, _done, _state), do: {%{}, []}

  defp inner(handle, done, state) do
    case done do
      %{^handle => {entry, changes}} -> {entry.rows, changes}
      _untouched -> {state.shapes[handle].rows, []}
    end
  end

  # The rows that may come or go because keys of the inner shape did.
  defp moved(%Shape{column: column, table: table}, rows, lsn, inner_changes, state) do
    came = for {:insert, _table, key, _row} <- inner_changes, into: MapSet.new(), do: key
    left = for {:delete, _table, key, _row} <- inner_changes, into: MapSet.new(), do: key
    leaving = Map.filter(rows, fn {_key, row} -> Map.get(row, column) in left end)

    if MapSet.size(came) == 0 do
      leaving
    else
      {:ok, all} = Source.rows(state.source, table, lsn)
      all |> Map.filter(fn {_key, row} -> Map.get(row, column) in came end) |> Map.merge(leaving)
    end
  end

  ## Shapes that come and go

  defp known(shape, state) do
    # Clients do not know which inner shape it is.
    case Enum.find(state.shapes, fn {_handle, entry} -> %{entry.shape | inner_handle: nil} == shape end) do
      {handle, _entry} -> {:ok, handle}
      nil -> :error
    end
  end

  # The shape and what it depends on, as far as they are not there. All begin at the same transaction.
  defp made(shape, lsn, state) do
    case known(shape, state) do
      {:ok, handle} -> {:ok, handle, []}
      :error -> make(shape, lsn, state)
    end
  end

  defp make(%Shape{inner: nil} = shape, lsn, state), do: make(shape, %{}, [], lsn, state)

  defp make(%Shape{inner: inner} = shape, lsn, state) do
    with {:ok, inner_handle, before} <- made(inner, lsn, state) do
      entries = for {handle, entry, _write} <- before, into: state.shapes, do: {handle, entry}
      make(%{shape | inner_handle: inner_handle}, entries[inner_handle].rows, before, lsn, state)
    end
  end

  defp make(shape, inner_rows, before, lsn, state) do
    handle = "#{shape.table}-#{Shape.hash(shape)}-#{lsn}"

    with {:ok, all} <- Source.rows(state.source, shape.table, lsn) do
      rows = Map.filter(all, fn {_key, row} -> View.member?(shape, row, inner_rows) end)
      {:ok, handle, before ++ [{handle, entry(shape, nil, rows), {:snapshot, inserts(shape, rows)}}]}
    end
  end

  # Only when nothing can be wrong with any of them: a log is made at once, and would stay.
  defp opened([], _state), do: {:ok, []}

  defp opened([{handle, entry, write} | made], state) do
    with {:ok, writer} <- state.logs.open(state.store, handle),
         {:ok, writes} <- opened(made, state),
         do: {:ok, [{handle, %{entry | writer: writer}, write} | writes]}
  end

  defp inserts(%Shape{table: table}, rows), do: for({key, row} <- Enum.sort(rows), do: {:insert, table, key, row})

  # What depends on it goes before it: nothing stays behind that follows a shape which is gone.
  defp remove(handle, state) do
    outer = for {other, %{shape: %Shape{inner_handle: ^handle}}} <- state.shapes, do: other

    Enum.reduce(outer ++ [handle], {:ok, state}, fn
      ^handle, {:ok, state} ->
        {state.logs.remove(state.store, handle), %{state | shapes: Map.delete(state.shapes, handle)}}

      other, {:ok, state} ->
        remove(other, state)

      _later, failed ->
        failed
    end)
  end
end
