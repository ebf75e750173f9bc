defmodule ShapeService.Materializer do
  @moduledoc """
  The set of keys that an inner shape holds now, for the shapes that depend on it. Lives and dies with
  the inner shape's consumer.
  """

  use GenServer, restart: :temporary

  alias ShapeService.{Consumer, Directory, Storage, Trace}

  @spec whereis(ShapeService.service(), ShapeService.handle()) :: pid() | nil
  def whereis(service, handle), do: service |> name(handle) |> GenServer.whereis()

  @doc "Waits until the keys are complete, and gives them."
  @spec await_values(pid()) :: {:ok, MapSet.t()} | {:error, :unavailable}
  def await_values(pid) do
    {:ok, GenServer.call(pid, :link_values, :infinity)}
  catch
    :exit, _reason -> {:error, :unavailable}
  end

  @spec link_values(ShapeService.service(), ShapeService.handle()) :: MapSet.t()
  def link_values(service, handle), do: GenServer.call(name(service, handle), :link_values, :infinity)

  @spec new_changes(ShapeService.service(), ShapeService.handle(), ShapeService.txn()) :: :ok
  def new_changes(service, handle, txn) do
    GenServer.call(name(service, handle), {:new_changes, txn}, :infinity)
  end

  def start_link(%{service: service, handle: handle} = config) do
    GenServer.start_link(__MODULE__, config, name: name(service, handle))
  end

  defp name(service, handle), do: Directory.via(service, {__MODULE__, handle})

  @impl GenServer
  def init(%{service: service, handle: handle}) do
    state = %{service: service, handle: handle, values: MapSet.new(), lsn: 0}
    {:ok, state, {:continue, :attach}}
  end

  @impl GenServer
  def handle_continue(:attach, state) do
    %{service: service, handle: handle} = state

    :started = Consumer.await_snapshot(service, handle, :infinity)
    Trace.event("materializer.attach", service: service, handle: handle)

    Consumer.subscribe_materializer(service, handle, self())

    Process.monitor(Consumer.whereis(service, handle))

    {:noreply, state, {:continue, :seed}}
  end

  def handle_continue(:seed, state) do
    entries = state.service |> Storage.for_shape(state.handle) |> Storage.read(Storage.start_offset())

    {:noreply,
     Enum.reduce(entries, state, fn {{lsn, _index}, change}, state ->
       apply_change(change, lsn, state)
     end)}
  end

  @impl GenServer
  def handle_call(:link_values, _from, state) do
    Trace.event("materializer.link_values", service: state.service, handle: state.handle)
    {:reply, state.values, state}
  end

  def handle_call({:new_changes, {lsn, changes}}, _from, state) do
    Trace.event("materializer.new_changes", service: state.service, handle: state.handle)
    {:reply, :ok, Enum.reduce(changes, state, &apply_change(&1, lsn, &2))}
  end

  @impl GenServer
  def handle_info({:DOWN, _ref, :process, _pid, :shutdown}, state), do: {:stop, :shutdown, state}

  def handle_info({:DOWN, _ref, :process, _pid, {:shutdown, :suspend}}, state), do: {:stop, :shutdown, state}

  # The inner shape is gone or broken; what was derived from it is void.
  def handle_info({:DOWN, _ref, :process, _pid, _reason}, state), do: {:stop, {:shutdown, :invalidated}, state}

  defp apply_change({:delete, _table, key, _row}, lsn, state) do
    %{state | values: MapSet.delete(state.values, key), lsn: lsn}
  end

  defp apply_change({_op, _table, key, _row}, lsn, state) do
    %{state | values: MapSet.put(state.values, key), lsn: lsn}
  end
end
