defmodule ShapeService.StatusMonitor do
  @moduledoc "Knows whether the service can take requests, and tells those who wait for it."

  use GenServer

  alias ShapeService.Directory

  @conditions [:router, :cache]

  def start_link(%{service: service}) do
    GenServer.start_link(__MODULE__, service, name: name(service))
  end

  @spec mark_ready(ShapeService.service(), :router | :cache, pid()) :: :ok
  def mark_ready(service, condition, pid) do
    GenServer.cast(name(service), {:ready, condition, pid})
  end

  @doc "Waits until the service is up."
  @spec wait_until_up(ShapeService.service()) :: :ok | {:error, term()}
  def wait_until_up(service) do
    GenServer.call(name(service), :wait_until_up, :infinity)
  catch
    :exit, reason -> {:error, reason}
  end

  @doc """
  Like `wait_until_up/1`, but gives at once a reference.

  `{ref, :ok}` follows, or `{:DOWN, ref, :process, pid, reason}` if the monitor ends first.
  """
  @spec notify_when_up(ShapeService.service()) :: {:ok, reference()} | {:error, :not_running}
  def notify_when_up(service) do
    case service |> name() |> GenServer.whereis() do
      nil ->
        {:error, :not_running}

      pid ->
        ref = Process.monitor(pid)
        send(pid, {:"$gen_call", {self(), ref}, :wait_until_up})
        {:ok, ref}
    end
  end

  def name(service), do: Directory.via(service, __MODULE__)

  @impl GenServer
  def init(service), do: {:ok, %{service: service, ready: %{}, waiting: []}}

  @impl GenServer
  def handle_call(:wait_until_up, from, state) do
    {:noreply, answer(%{state | waiting: [from | state.waiting]})}
  end

  @impl GenServer
  def handle_cast({:ready, condition, pid}, state) when condition in @conditions do
    {:noreply, answer(%{state | ready: Map.put(state.ready, condition, Process.monitor(pid))})}
  end

  @impl GenServer
  def handle_info({:DOWN, ref, :process, _pid, _reason}, state) do
    ready = Map.reject(state.ready, fn {_condition, known} -> known == ref end)
    {:noreply, %{state | ready: ready}}
  end

  defp answer(%{ready: ready} = state) when map_size(ready) == length(@conditions) do
    Enum.each(state.waiting, &GenServer.reply(&1, :ok))
    %{state | waiting: []}
  end

  defp answer(state), do: state
end
