defmodule Racefree.Registry.Owner do
  # The process that a registry's entries belong to: it opens, it closes, it passes events on. No call goes through it.
  @moduledoc false

  use GenServer

  alias Racefree.Native

  @impl true
  def init(options) do
    # For `terminate/2`: without it a supervisor's shutdown looks like a crash, and the entries would wait for a successor.
    Process.flag(:trap_exit, true)
    report = options.telemetry and Code.ensure_loaded?(:telemetry)

    with {:module, Native} <- Code.ensure_loaded(Native),
         {:ok, _fresh_or_adopted} <-
           Native.registry_open(options.name, options.shards, options.listeners, report) do
      {:ok, %{name: options.name, report: report}}
    else
      {:error, :no_thread} ->
        {:stop, :no_thread}

      {:error, _not_loaded} ->
        {:stop,
         {:native_library_not_loaded,
          "run `mix compile` and see what it says about the native library"}}
    end
  end

  @impl true
  def handle_info({Racefree.Registry, :event, {event, key, pid, more}}, state) do
    execute(state, event, Map.merge(%{key: key}, metadata(event, pid, more)))
    {:noreply, state}
  end

  def handle_info({Racefree.Registry, :poisoned, place}, state) do
    execute(state, :poisoned, %{place: place})
    {:stop, {:poisoned, place}, state}
  end

  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def terminate(reason, state) do
    case reason do
      :normal -> Native.registry_close(state.name)
      :shutdown -> Native.registry_close(state.name)
      {:shutdown, _} -> Native.registry_close(state.name)
      # A crash: the processes live on, and a registry that forgot them would have them started twice. The restarted owner takes the entries over.
      _ -> :ok
    end
  end

  defp metadata(:registered, pid, value), do: %{pid: pid, value: value}
  defp metadata(:removal_started, pid, owner), do: %{pid: pid, owner: owner}
  defp metadata(:removal_finished, nil, nil), do: %{}
  defp metadata(_event, pid, nil), do: %{pid: pid}

  defp execute(%{report: true, name: name}, event, metadata) do
    # `apply`, since the library is the host's and may be missing here.
    apply(:telemetry, :execute, [
      [:racefree, :registry, event],
      %{count: 1},
      Map.put(metadata, :registry, name)
    ])
  end

  defp execute(_state, _event, _metadata), do: :ok
end
