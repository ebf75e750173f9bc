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
  @spec await_snapshot(ShapeService.service(), ShapeService.handle(), timeout()) :: :started | {:error, term()}
  def await_snapshot(service, handle, timeout \\ 5_000) do
    service
    |> consumer_pid(handle)
    |> GenServer.call(:await_snapshot, timeout)
  end

  @spec subscribe_materializer(ShapeService.service(), ShapeService.handle(), pid()) :: :ok
  def subscribe_materializer(service, handle, pid) do
    service
    |> consumer_pid(handle)
    |> GenServer.call({:subscribe_materializer, pid})
  end

  @spec whereis(ShapeService.service(), ShapeService.handle()) :: pid() | nil
  def whereis(service, handle), do: consumer_pid(service, handle)

  @doc "Stops the consumer, if it runs."
  @spec stop(ShapeService.service(), ShapeService.handle(), term()) :: :ok
  def stop(service, handle, reason), do: service |> consumer_pid(handle) |> stop(reason)

  defp stop(nil, _reason), do: :ok

  defp stop(pid, reason) do
    GenServer.stop(pid, reason, :infinity)
  catch
    :exit, _reason -> :ok
  end

  defp consumer_pid(service, handle), do: ConsumerRegistry.whereis(service, handle)

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
      materializer_ref: nil,
      dependency_ref: nil
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
    {:reply, :ok, %{state | materializer_ref: Process.monitor(pid)}}
  end

  def handle_call({:event, _txn}, _from, %{failure: {_reason, ending}} = state) do
    {:stop, ending, state}
  end

  # A transaction that cannot be handled now is not answered: the router sees the end and tries again.
  def handle_call({:event, {lsn, changes}}, _from, state) do
    case handle_txn(lsn, changes, state) do
      {:ok, state} -> {:reply, :ok, report_flushed(state)}
      {:error, :unavailable} -> {:stop, @suspend, state}
    end
  end

  @impl GenServer
  def handle_info(:flush, state) do
    {:noreply, report_flushed(%{state | writer: Writer.flush(state.writer)})}
  end

  def handle_info(:give_up, %{failure: {_reason, ending}} = state), do: {:stop, ending, state}

  # The materializer is started anew with the consumer.
  def handle_info({:DOWN, ref, :process, _pid, _reason}, %{materializer_ref: ref} = state) do
    {:stop, @suspend, state}
  end

  def handle_info({:DOWN, ref, :process, _pid, reason}, %{dependency_ref: ref} = state) do
    {:stop, stop_reason(reason), state}
  end

  def handle_info(_message, state), do: {:noreply, state}

  @impl GenServer
  def terminate(reason, state) do
    if state.writer, do: Writer.close(state.writer)
    Cleaner.handle_termination(state.service, state.handle, reason)
  end

  # What was derived from something broken is thrown away.
  defp stop_reason(reason) when reason in [:normal, :shutdown], do: @suspend
  defp stop_reason(_reason), do: @cleanup

  defp follow_dependency(%{shape: %Shape{inner: nil}} = state), do: {:ok, state}

  defp follow_dependency(%{service: service, shape: %Shape{inner_handle: inner}} = state) do
    case Materializer.whereis(service, inner) do
      nil ->
        {:error, :shutdown}

      pid ->
        ref = Process.monitor(pid)
        state = %{state | dependency_ref: ref}

        with {:error, :unavailable} <- Materializer.await_values(pid) do
          receive do: ({:DOWN, ^ref, :process, _pid, reason} -> {:error, reason})
        else
          {:ok, values} -> {:ok, %{state | values: values}}
        end
    end
  end

  defp snapshot(:restore, state), do: {:ok, state}

  defp snapshot(:create, %{shape: shape} = state) do
    {:ok, lsn} = Router.add_shape(state.service, state.handle, shape)

    with {:ok, rows} <- Source.rows(state.source, shape.table, lsn) do
      inserts =
        for {key, row} <- rows,
            Shape.member?(shape, row, state.values),
            do: {:insert, shape.table, key, row}

      writer = state.writer |> Writer.append(lsn, inserts) |> Writer.flush()
      {:ok, %{state | writer: writer, lsn: lsn}}
    end
  end

  defp handle_txn(lsn, _changes, %{lsn: last} = state) when lsn <= last, do: {:ok, state}

  defp handle_txn(lsn, changes, state) do
    with {:ok, values} <- dependency_values(state),
         {:ok, moved} <- moved_rows(lsn, values, state) do
      changes = moved ++ own_changes(changes, values, state)
      writer = Writer.append(state.writer, lsn, changes)
      state = schedule_flush(%{state | writer: writer, lsn: lsn, values: values})
      notify(lsn, changes, state)
      {:ok, state}
    else
      {:error, _reason} -> {:error, :unavailable}
    end
  end

  defp dependency_values(%{shape: %Shape{inner: nil}}), do: {:ok, MapSet.new()}

  defp dependency_values(%{service: service, shape: %Shape{inner_handle: inner}}) do
    {:ok, Materializer.link_values(service, inner)}
  catch
    :exit, {:noproc, _call} -> {:error, :unavailable}
    :exit, {:normal, _call} -> {:error, :unavailable}
    :exit, {:shutdown, _call} -> {:error, :unavailable}
  end

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
    if state.materializer_ref, do: Materializer.new_changes(service, handle, {lsn, changes})

    Registry.dispatch(Directory.clients(service), handle, fn clients ->
      for {pid, _value} <- clients, do: send(pid, {:shape_changed, handle, state.writer.seen})
    end)
  end

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
