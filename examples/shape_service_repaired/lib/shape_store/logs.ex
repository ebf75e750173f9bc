defmodule ShapeStore.Logs do
  @moduledoc """
  Shapes in a `Racefree.Store`. Each has two logs:

    * `{:changes, handle}`: its changes, at the offsets that clients see. The meta is the definition, and where a new client
      begins: before the rows that were written last as a whole ("snapshot"), in a transaction of their own.
    * `{:ends, handle}`: a record at the offset of the last change of each complete chunk. The meta is the size of the open one.

  A transaction appends to the logs of all shapes that it touches, and sets their metas, in one commit. So a shape and what is
  derived from it are never at different positions, and a chunk ends where it ended, whoever asks, after any crash.

  Everything that reads works on a second instance as well: a store that another process of the operating system, or this
  one, opens with `read_only: true` in the same directory. It shows what was durable when it was opened.
  """

  alias Racefree.{Lease, Log, Store}
  alias ShapeService.Shape
  alias ShapeStore.View

  @typedoc "Changes after an offset, and the offset to go on after. What follows a chunk that is not complete is not there yet."
  @type chunk :: %{
          changes: [{ShapeService.offset(), ShapeService.change()}],
          upto: ShapeService.offset(),
          complete: boolean(),
          lsn: ShapeService.lsn()
        }
  @type rows :: View.rows()
  @typedoc "What the one writer of a shape holds."
  @type writer :: %{changes: Lease.t(), ends: Lease.t(), open_bytes: non_neg_integer()}
  @typedoc "Changes of one transaction, or the shape's definition with all its rows."
  @type write :: {writer(), {:changes, [ShapeService.change()]} | {:snapshot, Shape.t(), [ShapeService.change()]}}

  ## Writing

  @doc "Makes the caller the writer of a shape, which need not be there."
  @spec open(Store.name(), ShapeService.handle()) :: {:ok, writer()} | {:error, term()}
  def open(store, handle) do
    with {:ok, changes} <- Store.log(store, {:changes, handle}),
         {:ok, ends} <- Store.log(store, {:ends, handle}),
         {:ok, changes} <- Log.lease(changes),
         {:ok, ends} <- Log.lease(ends),
         {:ok, meta} <- Log.meta(ends.log) do
      {:ok, %{changes: changes, ends: ends, open_bytes: open_bytes(meta)}}
    end
  end

  defp open_bytes(nil), do: 0
  defp open_bytes({_lsn, meta}), do: decode(meta)

  @doc "One transaction of all shapes that it touches. Gives their writers as they are after it, in the same order."
  @spec transact(Store.name(), ShapeService.lsn(), [write()], pos_integer()) :: {:ok, [writer()]} | {:error, term()}
  def transact(store, lsn, writes, chunk_bytes) do
    prepared = Enum.map(writes, &prepare(&1, lsn, chunk_bytes))
    appends = Enum.flat_map(prepared, fn {_writer, appends, _metas} -> appends end)
    metas = Enum.flat_map(prepared, fn {_writer, _appends, metas} -> metas end)

    with :ok <- commit(store, lsn, appends, metas) do
      {:ok, Enum.map(prepared, fn {writer, _appends, _metas} -> writer end)}
    end
  end

  # The store has as much to write as it may keep in memory: it tells when there is room.
  defp commit(store, lsn, appends, metas) do
    case Store.transact(store, lsn, appends, metas) do
      {:error, {:busy, ref}} ->
        receive do
          {^ref, {:ok, _room}} -> commit(store, lsn, appends, metas)
          {^ref, {:error, _reason} = error} -> error
        end

      :already ->
        {:error, {:already, lsn}}

      answer ->
        answer
    end
  end

  defp prepare({writer, {:changes, changes}}, _lsn, chunk_bytes) do
    records = numbered(changes)
    {ends, open_bytes} = chunk_ends(records, writer.open_bytes, chunk_bytes)
    appends = [{writer.changes, records}, {writer.ends, for(op <- ends, do: {op, ""})}]
    {%{writer | open_bytes: open_bytes}, appends, [{writer.ends, encode(open_bytes)}]}
  end

  # Each of these ends says where the rows end: who comes to it from an earlier transaction has them, and goes on there. So a
  # chunk ends with them.
  defp prepare({writer, {:snapshot, shape, changes}}, lsn, chunk_bytes) do
    records = numbered(changes)
    last = length(records)
    {ends, _open_bytes} = chunk_ends(records, writer.open_bytes, chunk_bytes)
    ends = for op <- Enum.uniq(ends ++ [last]), op > 0, do: {op, encode({lsn, last})}
    metas = [{writer.changes, encode(%{shape: shape, start: {lsn, 0}})}, {writer.ends, encode(0)}]
    {%{writer | open_bytes: 0}, [{writer.changes, records}, {writer.ends, ends}], metas}
  end

  # From 1, so that {lsn, 0} lies before all of them.
  defp numbered(changes), do: for({change, op} <- Enum.with_index(changes, 1), do: {op, encode(change)})

  defp chunk_ends(records, open_bytes, chunk_bytes) do
    {ends, open_bytes} =
      Enum.reduce(records, {[], open_bytes}, fn {op, payload}, {ends, bytes} ->
        bytes = bytes + byte_size(payload)
        if bytes >= chunk_bytes, do: {[op | ends], 0}, else: {ends, bytes}
      end)

    {Enum.reverse(ends), open_bytes}
  end

  @doc "Forgets what lies before an offset, but for the last `keep` chunks, of which the offset ends one."
  @spec trim(Store.name(), ShapeService.handle(), ShapeService.offset(), non_neg_integer()) :: :ok | {:error, term()}
  def trim(store, handle, offset, keep) do
    with {:ok, changes} <- Store.find(store, {:changes, handle}),
         {:ok, ends} <- Store.find(store, {:ends, handle}),
         {lsn, _op} = trimmed when is_integer(lsn) <- Log.trimmed(ends),
         {:ok, passed} <- read_all(ends, trimmed, offset) do
      case passed |> Enum.map(&elem(&1, 0)) |> Enum.concat([offset]) |> Enum.take(-(keep + 1)) do
        [upto | kept] when length(kept) == keep -> trim(changes, ends, upto)
        _all -> :ok
      end
    end
  end

  # Order: the ends last. What is left of them after a crash points into what is trimmed, where nobody reads.
  defp trim(changes, ends, upto) do
    with :ok <- Log.trim(changes, upto), do: Log.trim(ends, upto)
  end

  @doc "Removes a shape. A crash in the midst of it leaves what `restore/1` goes on with."
  @spec remove(Store.name(), ShapeService.handle()) :: :ok | {:error, term()}
  def remove(store, handle) do
    # Order: from the first line on nobody reads the shape, and until the last one there is something left to find it by.
    with {:ok, changes} <- begin_remove(store, {:changes, handle}),
         {:ok, ends} <- begin_remove(store, {:ends, handle}),
         :ok <- finish_remove(ends),
         do: finish_remove(changes)
  end

  defp begin_remove(store, key) do
    case Store.find(store, key) do
      {:ok, log} -> Log.begin_remove(log)
      {:error, :removed} -> Store.removal(store, key)
      {:error, :not_found} -> {:ok, nil}
      {:error, _reason} = error -> error
    end
  end

  defp finish_remove(nil), do: :ok
  defp finish_remove(removal), do: Log.finish_remove(removal)

  @doc """
  What there is: the last transaction, and all shapes with their rows as of it. Makes the caller their writer, and finishes what
  an earlier one has left half made or half removed.
  """
  @spec restore(Store.name()) ::
          {:ok, ShapeService.lsn(), [{ShapeService.handle(), Shape.t(), writer(), rows()}]} | {:error, term()}
  def restore(store) do
    # Order: the position when all leases are taken and no former writer can move it for these shapes.
    with {:ok, keys} <- Store.keys(store),
         {:ok, %{pending_removals: pending}} <- Store.recovery(store),
         handles = Enum.uniq(for {_log, handle} <- keys ++ pending, do: handle),
         {:ok, shapes} <- restore_each(handles, store, []),
         {:ok, lsn} <- Store.visible_lsn(store),
         do: {:ok, lsn, shapes}
  end

  defp restore_each([], _store, shapes), do: {:ok, shapes}

  defp restore_each([handle | handles], store, shapes) do
    with {:ok, %{shape: shape, start: start}} <- definition(store, handle),
         {:ok, writer} <- open(store, handle) do
      rows = writer.changes.log |> Log.stream(start) |> changes() |> View.rows()
      restore_each(handles, store, [{handle, shape, writer, rows} | shapes])
    else
      {:error, reason} when reason in [:not_found, :removed] ->
        with :ok <- remove(store, handle), do: restore_each(handles, store, shapes)

      {:error, _reason} = error ->
        error
    end
  end

  defp definition(store, handle) do
    with {:ok, log} <- Store.find(store, {:changes, handle}), do: read_definition(log)
  end

  # A log without one was made for a transaction that never came.
  defp read_definition(log, level \\ :visible) do
    case Log.meta(log, level) do
      {:ok, {_lsn, meta}} -> {:ok, decode(meta)}
      {:ok, nil} -> {:error, :not_found}
      {:error, _reason} = error -> error
    end
  end

  ## Reading

  @doc "The chunk after an offset, of what is durable. See `ShapeStore.read/3`."
  @spec read(Store.name(), ShapeService.handle(), ShapeService.offset() | :start) :: {:ok, chunk()} | {:error, term()}
  def read(store, handle, from) do
    with {:ok, changes} <- Store.find(store, {:changes, handle}),
         {:ok, ends} <- Store.find(store, {:ends, handle}),
         {:ok, lsn, [changes, ends]} <- Store.snapshot(store, [changes, ends], :durable),
         {:ok, %{start: start}} <- read_definition(changes),
         from = if(from == :start, do: start, else: from),
         {:ok, next, _more} <- Log.read(ends, from, :end, limit: 1),
         {last, upto} = bounds(next, from),
         {:ok, records} <- read_all(changes, from, last) do
      chunk = %{changes: Enum.map(records, &change/1), upto: upto, complete: next != [], lsn: lsn}
      {:ok, if(upto, do: chunk, else: %{chunk | upto: last_offset(records, from)})}
    end
  end

  # The last offset to read, and the one to go on after: nil for that of the last record.
  defp bounds([], _from), do: {:end, nil}
  defp bounds([{offset, ""}], _from), do: {offset, offset}
  defp bounds([{{lsn, _op}, rows_end}], {from_lsn, _}) when from_lsn < lsn, do: {{lsn, 0}, decode(rows_end)}
  defp bounds([{offset, _rows_end}], _from), do: {offset, offset}

  defp last_offset([], from), do: from
  defp last_offset(records, _from), do: records |> List.last() |> elem(0)

  @doc "The rows of several shapes as of one transaction, of what is durable."
  @spec views(Store.name(), [ShapeService.handle()]) :: {:ok, ShapeService.lsn(), [rows()]} | {:error, term()}
  def views(store, handles) do
    with {:ok, logs} <- each(handles, &Store.find(store, {:changes, &1})),
         {:ok, lsn, readers} <- Store.snapshot(store, logs, :durable),
         {:ok, views} <- each(readers, &view/1),
         do: {:ok, lsn, views}
  end

  defp view(reader) do
    with {:ok, %{start: start}} <- read_definition(reader),
         {:ok, records} <- read_all(reader, start, :end),
         do: {:ok, records |> changes() |> View.rows()}
  end

  @doc "A shape's rows and then its changes, lazily, over one state of its log. Raises `Racefree.Error` where reading fails."
  @spec stream(Store.name(), ShapeService.handle()) :: {:ok, Enumerable.t()} | {:error, term()}
  def stream(store, handle) do
    with {:ok, log} <- Store.find(store, {:changes, handle}),
         {:ok, %{start: start}} <- read_definition(log, :durable),
         do: {:ok, log |> Log.stream(start, level: :durable) |> Stream.map(&change/1)}
  end

  defp read_all(log, from, upto, pages \\ []) do
    case Log.read(log, from, upto) do
      {:ok, records, :done} -> {:ok, [records | pages] |> Enum.reverse() |> Enum.concat()}
      {:ok, records, {:more, next}} -> read_all(log, next, upto, [records | pages])
      {:error, _reason} = error -> error
    end
  end

  defp each(list, fun) do
    Enum.reduce_while(list, {:ok, []}, fn item, {:ok, found} ->
      case fun.(item) do
        {:ok, value} -> {:cont, {:ok, found ++ [value]}}
        {:error, _reason} = error -> {:halt, error}
      end
    end)
  end

  defp changes(records), do: Stream.map(records, fn {_offset, payload} -> decode(payload) end)
  defp change({offset, payload}), do: {offset, decode(payload)}

  defp encode(term), do: :erlang.term_to_binary(term)
  defp decode(binary), do: :erlang.binary_to_term(binary)
end
