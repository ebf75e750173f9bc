defmodule ShapeService.Materializer do
  @moduledoc """
  The set of keys that an inner shape holds at a position, for the shapes that depend on it. Lives and
  dies with the inner shape's consumer.

  Dependent shapes ask for the keys as of their own position. Logs need not be on disk equally far
  when the service stops: a log that is behind sees the keys as they were then.
  """

  use GenServer, restart: :temporary

  alias ShapeService.{Consumer, Directory, Storage, Trace}

  @spec whereis(ShapeService.service(), ShapeService.handle()) :: pid() | nil
  def whereis(service, handle), do: service |> name(handle) |> GenServer.whereis()

  @doc "The keys as of `lsn`. Waits until they are complete."
  @spec values(pid(), ShapeService.lsn()) :: {:ok, MapSet.t()} | {:error, :unavailable}
  def values(pid, lsn), do: call(pid, {:values, lsn})

  @spec new_changes(pid(), ShapeService.txn()) :: :ok | {:error, :unavailable}
  def new_changes(pid, txn), do: call(pid, {:new_changes, txn})

  # Whoever calls has a monitor on the materializer, and hears there why it ended.
  defp call(pid, request) do
    GenServer.call(pid, request, :infinity)
  catch
    :exit, _reason -> {:error, :unavailable}
  end

  def start_link(%{service: service, handle: handle} = config) do
    GenServer.start_link(__MODULE__, config, name: name(service, handle))
  end

  defp name(service, handle), do: Directory.via(service, {__MODULE__, handle})

  @impl GenServer
  def init(%{service: service, handle: handle}) do
    state = %{service: service, handle: handle, values: MapSet.new(), lsn: 0, consumer_ref: nil}
    {:ok, state, {:continue, :attach}}
  end

  # One look-up, and the monitor before anything is asked of the consumer: whenever it ends from here
  # on, the reason arrives as a message.
  @impl GenServer
  def handle_continue(:attach, %{service: service, handle: handle} = state) do
    with pid when is_pid(pid) <- Consumer.whereis(service, handle),
         ref = Process.monitor(pid),
         :started <- Consumer.await_snapshot(pid, :infinity),
         :ok <- Trace.event("materializer.attach", service: service, handle: handle),
         :ok <- Consumer.subscribe_materializer(pid, self()) do
      {:noreply, %{state | consumer_ref: ref}, {:continue, :seed}}
    else
      _unavailable -> {:stop, :shutdown, state}
    end
  end

  def handle_continue(:seed, state), do: {:noreply, seed(state, Storage.latest())}

  @impl GenServer
  def handle_call({:values, lsn}, _from, state) do
    Trace.event("materializer.link_values", service: state.service, handle: state.handle)
    values = if lsn >= state.lsn, do: state.values, else: seed(state, {lsn, :infinity}).values
    {:reply, {:ok, values}, state}
  end

  def handle_call({:new_changes, {lsn, changes}}, _from, state) do
    Trace.event("materializer.new_changes", service: state.service, handle: state.handle)
    {:reply, :ok, Enum.reduce(changes, state, &apply_change(&1, lsn, &2))}
  end

  @impl GenServer
  def handle_info({:DOWN, ref, :process, _pid, reason}, %{consumer_ref: ref} = state) do
    case reason do
      :shutdown -> {:stop, :shutdown, state}
      {:shutdown, :suspend} -> {:stop, :shutdown, state}
      # The inner shape is gone or broken; what was derived from it is void.
      _void -> {:stop, {:shutdown, :invalidated}, state}
    end
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp seed(state, upto) do
    state.service
    |> Storage.for_shape(state.handle)
    |> Storage.read(Storage.start_offset(), upto)
    |> Enum.reduce(%{state | values: MapSet.new(), lsn: 0}, fn {{lsn, _index}, change}, state ->
      apply_change(change, lsn, state)
    end)
  end

  defp apply_change({:delete, _table, key, _row}, lsn, state) do
    %{state | values: MapSet.delete(state.values, key), lsn: lsn}
  end

  defp apply_change({_op, _table, key, _row}, lsn, state) do
    %{state | values: MapSet.put(state.values, key), lsn: lsn}
  end
end
