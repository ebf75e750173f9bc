defmodule ShapeService.ConsumerRegistry do
  @moduledoc """
  Where the consumers are. Names consumers by a via tuple and delivers events to them, starting on
  demand those that are not running.
  """

  alias ShapeService.{Cleaner, ShapeCache, Trace}

  require Logger

  @enforce_keys [:service, :table]
  defstruct [:service, :table]

  @type t :: %__MODULE__{service: ShapeService.service(), table: :ets.table()}

  @suspended {:shutdown, :suspend}
  @attempts_max 5

  @spec create_table(ShapeService.service()) :: :ets.table()
  def create_table(service) do
    :ets.new(table(service), [:named_table, :public, :set, read_concurrency: true])
  end

  @spec new(ShapeService.service()) :: t()
  def new(service), do: %__MODULE__{service: service, table: table(service)}

  @spec name(ShapeService.service(), ShapeService.handle()) :: GenServer.name()
  def name(service, handle), do: {:via, __MODULE__, {service, handle}}

  def register_name({service, handle}, pid) do
    if :ets.insert_new(table(service), {handle, pid}), do: :yes, else: :no
  end

  def unregister_name({_service, _handle}), do: :ok

  def whereis_name({service, handle}), do: whereis(service, handle) || :undefined

  @spec whereis(ShapeService.service(), ShapeService.handle()) :: pid() | nil
  def whereis(service, handle), do: consumer_pid(handle, table(service))

  @spec remove(ShapeService.service(), ShapeService.handle()) :: :ok
  def remove(service, handle) do
    :ets.delete(table(service), handle)
    :ok
  end

  @doc """
  Delivers each event to its consumer and returns when all have handled theirs.

  A shape whose consumer cannot be had is removed: it would miss the event for good.
  """
  @spec publish(%{ShapeService.handle() => term()}, t(), non_neg_integer()) :: :ok
  def publish(events, registry, attempts \\ @attempts_max)

  def publish(events, _registry, _attempts) when events == %{}, do: :ok

  def publish(events, registry, 0) do
    Enum.each(events, fn {handle, _event} -> Cleaner.remove_async(registry.service, handle) end)
  end

  def publish(events, %__MODULE__{} = registry, attempts) do
    events
    |> Enum.flat_map(fn {handle, event} ->
      case find_or_start(handle, registry) do
        {:ok, pid} -> [{handle, event, pid}]
        :gone -> []
      end
    end)
    |> broadcast(registry)
    |> publish(registry, attempts - 1)
  end

  defp broadcast(targets, registry) do
    targets
    |> Enum.map(fn {handle, event, pid} ->
      ref = Process.monitor(pid)
      send(pid, {:"$gen_call", {self(), ref}, {:event, event}})
      {handle, event, pid, ref}
    end)
    |> Enum.flat_map(fn {handle, event, pid, ref} ->
      receive do
        {^ref, _reply} ->
          Process.demonitor(ref, [:flush])
          []

        {:DOWN, ^ref, :process, _pid, reason} ->
          if restartable?(reason, handle, pid, registry) do
            [{handle, event}]
          else
            Cleaner.remove_async(registry.service, handle)
            []
          end
      end
    end)
    |> Map.new()
  end

  # A consumer that suspends takes its entry out first; an entry that outlives its process is a crash.
  defp restartable?(@suspended, _handle, _pid, _registry), do: true

  defp restartable?(:noproc, handle, pid, registry), do: consumer_pid(handle, registry.table) != pid

  defp restartable?(_reason, _handle, _pid, _registry), do: false

  defp consumer_pid(handle, table) do
    :ets.lookup_element(table, handle, 2)
  rescue
    ArgumentError -> nil
  end

  defp find_or_start(handle, registry) do
    case consumer_pid(handle, registry.table) do
      nil -> start_consumer(handle, registry)
      pid -> {:ok, pid}
    end
  end

  defp start_consumer(handle, %__MODULE__{service: service}) do
    Trace.with_span("consumer_registry.start_consumer", [service: service, handle: handle], fn ->
      case ShapeCache.start_consumer(service, handle) do
        {:ok, pid} ->
          {:ok, pid}

        {:error, :no_shape} ->
          :gone

        {:error, reason} ->
          Logger.warning("cannot start the consumer of #{handle}: #{inspect(reason)}")
          Cleaner.remove_async(service, handle)
          :gone
      end
    end)
  end

  defp table(service), do: :"ShapeService.ConsumerRegistry:#{service}"
end
