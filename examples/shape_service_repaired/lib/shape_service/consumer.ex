defmodule ShapeService.Consumer do
  @moduledoc """
  Follows one shape: takes its transactions from the router, writes them to the log, and tells the
  clients and the materializer.
  """

  use GenServer, restart: :temporary

  alias ShapeService.{Cleaner, ConsumerRegistry, Directory, Materializer, Router, Shape, Source, Storage}

  alias ShapeService.Storage.Writer

  @suspend {:shutdown, :suspend}
  @cleanup {:shutdown, :cleanup}

  @doc "Waits until the shape's first rows are in the log."
  @spec await_snapshot(pid() | nil, timeout()) :: :started | {:error, term()}
  def await_snapshot(pid, timeout \\ 5_000), do: call(pid, :await_snapshot, timeout)

  @spec subscribe_materializer(pid() | nil, pid()) :: :ok | {:error, :unavailable}
  def subscribe_materializer(pid, materializer), do: call(pid, {:subscribe_materializer, materializer}, 5_000)

  defp call(nil, _request, _timeout), do: {:error, :unavailable}

  defp call(pid, request, timeout) do
    GenServer.call(pid, request, timeout)
  catch
    :exit, _reason -> {:error, :unavailable}
  end

  @spec whereis(ShapeService.service(), ShapeService.handle()) :: pid() | nil
  def whereis(service, handle), do: ConsumerRegistry.whereis(service, handle)

  @doc "Stops the consumer, if it runs."
  @spec stop(ShapeService.service(), ShapeService.handle(), term()) :: :ok
  def stop(service, handle, reason), do: service |> whereis(handle) |> stop(reason)

  defp stop(nil, _reason), do: :ok

  defp stop(pid, reason) do
    GenServer.stop(pid, reason, :infinity)
  catch
    :exit, _reason -> :ok
  end

  def start_link(%{service: service, handle: handle} = config) do
    GenServer.start_link(__MODULE__, config, name: ConsumerRegistry.name(service, handle))
  end

  @impl GenServer
  def init(config) do
    Process.flag(:trap_exit, true)

    state = %{
      service: config.service,
      handle: config.handle,
      shape: config.shape,
      source: config.source,
      flush_ms: config.flush_ms,
      writer: nil,
      lsn: 0,
      values: MapSet.new(),
      failure: nil,
      materializer: nil,
      dependency: nil
    }

    {:ok, state, {:continue, config.action}}
  end

  @impl GenServer
  def handle_continue(action, state) do
    storage = Storage.for_shape(state.service, state.handle)
    if action == :create, do: Storage.store_shape(storage, state.shape)
    writer = Writer.open(storage)
    state = %{state | writer: writer, lsn: elem(writer.seen, 0)}

    with {:ok, state} <- follow_dependency(state),
         {:ok, state} <- snapshot(action, state) do
      {:noreply, state}
    else
      {:error, reason} ->
        ending = if action == :create, do: @cleanup, else: stop_reason(reason)
        send(self(), :give_up)
        {:noreply, %{state | failure: {reason, ending}}}
    end
  end

  @impl GenServer
  def handle_call(:await_snapshot, _from, %{failure: nil} = state), do: {:reply, :started, state}
  def handle_call(:await_snapshot, _from, %{failure: {reason, _ending}} = state), do: {:reply, {:error, reason}, state}

  def handle_call({:subscribe_materializer, pid}, _from, state) do
    {:reply, :ok, %{state | materializer: {pid, Process.monitor(pid)}}}
  end

  def handle_call({:event, _txn}, _from, %{failure: {_reason, ending}} = state) do
    {:stop, ending, state}
  end

  # A transaction that cannot be handled now is not answered: the router sees the end and tries again.
  def handle_call({:event, {lsn, changes}}, _from, state) do
    case handle_txn(lsn, changes, state) do
      {:ok, state} -> {:reply, :ok, report_flushed(state)}
      {:error, :unavailable} -> {:stop, @suspend, state}
      {:error, reason} -> {:stop, reason, state}
    end
  end

  @impl GenServer
  def handle_info(:flush, state) do
    case Writer.flush(state.writer) do
      {:ok, writer} -> {:noreply, report_flushed(%{state | writer: writer})}
      {:error, reason} -> {:stop, reason, state}
    end
  end

  def handle_info(:give_up, %{failure: {_reason, ending}} = state), do: {:stop, ending, state}

  # The materializer is started anew with the consumer.
  def handle_info({:DOWN, ref, :process, _pid, _reason}, %{materializer: {_, ref}} = state) do
    {:stop, @suspend, state}
  end

  def handle_info({:DOWN, ref, :process, _pid, reason}, %{dependency: {_, ref}} = state) do
    {:stop, stop_reason({:dependency, reason}), state}
  end

  def handle_info(_message, state), do: {:noreply, state}

  @impl GenServer
  def terminate(reason, state) do
    reason = close(state.writer, reason)
    Cleaner.handle_termination(state.service, state.handle, reason)
  end

  # A log that could not be completed is not worth keeping.
  defp close(nil, reason), do: reason

  defp close(writer, {:storage_failed, _} = reason) do
    Writer.abandon(writer)
    reason
  end

  defp close(writer, reason) do
    case Writer.close(writer) do
      :ok -> reason
      {:error, failed} -> failed
    end
  end

  # A materializer that ends takes nothing with it: the keys are in the inner log. Only if the inner
  # shape itself is void, so is what was derived from it.
  defp stop_reason({:dependency, reason}) when reason != {:shutdown, :invalidated}, do: @suspend
  defp stop_reason(_reason), do: @cleanup

  defp follow_dependency(%{shape: %Shape{inner: nil}} = state), do: {:ok, state}

  defp follow_dependency(%{service: service, shape: %Shape{inner_handle: inner}} = state) do
    case Materializer.whereis(service, inner) do
      nil -> {:error, {:dependency, :noproc}}
      pid -> follow(%{state | dependency: {pid, Process.monitor(pid)}})
    end
  end

  # The keys as of the newest entry of this log, wherever the inner log has got to.
  defp follow(%{dependency: {pid, ref}} = state) do
    case Materializer.values(pid, state.lsn) do
      {:ok, values} ->
        {:ok, %{state | values: values}}

      {:error, :unavailable} ->
        receive do: ({:DOWN, ^ref, :process, _pid, reason} -> {:error, {:dependency, reason}})
    end
  end

  defp snapshot(:restore, state), do: {:ok, state}

  defp snapshot(:create, %{shape: shape} = state) do
    with {:ok, lsn} <- Router.add_shape(state.service, state.handle, shape),
         {:ok, values} <- dependency_values(lsn, state),
         {:ok, rows} <- Source.rows(state.source, shape.table, lsn),
         inserts = for({key, row} <- rows, Shape.member?(shape, row, values), do: {:insert, shape.table, key, row}),
         {:ok, writer} <- Writer.append(state.writer, lsn, inserts),
         {:ok, writer} <- Writer.flush(writer) do
      {:ok, %{state | writer: writer, lsn: lsn, values: values}}
    end
  end

  defp handle_txn(lsn, _changes, %{lsn: last} = state) when lsn <= last, do: {:ok, state}

  defp handle_txn(lsn, changes, state) do
    with {:ok, values} <- dependency_values(lsn, state),
         {:ok, moved} <- moved_rows(lsn, values, state),
         changes = moved ++ own_changes(changes, values, state),
         {:ok, writer} <- Writer.append(state.writer, lsn, changes) do
      state = schedule_flush(%{state | writer: writer, lsn: lsn, values: values})
      notify(lsn, changes, state)
      {:ok, state}
    end
  end

  defp dependency_values(_lsn, %{dependency: nil}), do: {:ok, MapSet.new()}
  defp dependency_values(lsn, %{dependency: {pid, _ref}}), do: Materializer.values(pid, lsn)

  defp own_changes(changes, values, %{shape: shape}) do
    Enum.filter(changes, fn {_op, table, _key, row} ->
      table == shape.table and Shape.member?(shape, row, values)
    end)
  end

  # Rows that enter or leave the shape because the inner shape's keys have changed.
  defp moved_rows(_lsn, values, %{values: values}), do: {:ok, []}

  defp moved_rows(lsn, values, %{shape: shape} = state) do
    came = MapSet.difference(values, state.values)
    left = MapSet.difference(state.values, values)

    with {:ok, rows} <- Source.rows(state.source, shape.table, lsn - 1) do
      inserts =
        for {key, row} <- rows,
            Shape.member?(shape, row, came),
            do: {:insert, shape.table, key, row}

      deletes =
        for {key, row} <- rows,
            Shape.member?(shape, row, left),
            do: {:delete, shape.table, key, row}

      {:ok, deletes ++ inserts}
    end
  end

  defp notify(_lsn, [], _state), do: :ok

  defp notify(lsn, changes, %{service: service, handle: handle} = state) do
    notify_materializer({lsn, changes}, state.materializer)

    Registry.dispatch(Directory.clients(service), handle, fn clients ->
      for {pid, _value} <- clients, do: send(pid, {:shape_changed, handle, state.writer.seen})
    end)
  end

  # If it has ended, its :DOWN is on the way.
  defp notify_materializer(_txn, nil), do: :ok
  defp notify_materializer(txn, {pid, _ref}), do: Materializer.new_changes(pid, txn)

  defp schedule_flush(%{flush_ms: :infinity} = state), do: state

  defp schedule_flush(state) do
    unless Writer.idle?(state.writer), do: Process.send_after(self(), :flush, state.flush_ms)
    state
  end

  defp report_flushed(state) do
    if Writer.idle?(state.writer), do: Router.flushed(state.service, state.handle, state.lsn)
    state
  end
end
