defmodule Racefree.Store.Owner do
  # The process behind a store's name: it opens the store, drains it when it is told to stop, and stops when the store fails.
  #
  # The native side monitors it: killed, it leaves a store that is shut down and a directory that can be opened again.
  @moduledoc false

  use GenServer

  alias Racefree.{Native, Store}

  @impl true
  def init(options) do
    # So that `terminate/2` runs, and drains, when the supervisor stops it.
    Process.flag(:trap_exit, true)
    settings = Store.settings(options)

    opened =
      if options.read_only,
        do: Native.store_open_read_only(options.dir, settings),
        else: Native.store_open(options.dir, settings)

    case opened do
      {:ok, service, report} ->
        report =
          Map.update!(report, :pending_removals, fn keys -> Enum.map(keys, &Store.decode/1) end)

        :ets.new(options.name, [:named_table, :protected, read_concurrency: true])
        :ets.insert(options.name, [{:service, service}, {:recovery, report}])
        {:ok, %{service: service, drain_ms: options.drain_ms}}

      {:error, reason} ->
        {:stop, reason}
    end
  end

  @impl true
  def handle_info({Store, :storage_failed, reason}, state), do: {:stop, reason, state}
  def handle_info({Store, :poisoned, place}, state), do: {:stop, {:poisoned, place}, state}
  def handle_info({:EXIT, _pid, reason}, state), do: {:stop, reason, state}
  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def terminate(reason, %{service: service, drain_ms: drain_ms}) do
    orderly = reason in [:normal, :shutdown] or match?({:shutdown, _}, reason)
    Native.store_close(service, if(orderly, do: drain_ms, else: 0))
  end
end
