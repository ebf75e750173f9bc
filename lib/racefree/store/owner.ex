defmodule Racefree.Store.Owner do
  # The process behind a store's name: it opens the store, drains it when it is told to stop, and stops when the store fails.
  #
  # The native side monitors it: killed, it leaves a store that is shut down and a directory that can be opened again.
  @moduledoc false

  use GenServer

  alias Racefree.{Native, Store}
  alias Racefree.Store.Events

  @impl true
  def init(options) do
    # So that `terminate/2` runs, and drains, when the supervisor stops it.
    Process.flag(:trap_exit, true)
    settings = Store.settings(options)
    from = System.monotonic_time()

    opened =
      if options.read_only,
        do: Native.store_open_read_only(options.dir, settings),
        else: Native.store_open(options.dir, settings)

    case opened do
      {:ok, service, report} ->
        report =
          Map.update!(report, :pending_removals, fn keys -> Enum.map(keys, &Store.decode/1) end)

        events = Events.told?(options.telemetry)
        :ets.new(options.name, [:named_table, :protected, read_concurrency: true])
        :ets.insert(options.name, service: service, recovery: report, events: events)

        state = %{
          name: options.name,
          service: service,
          drain_ms: options.drain_ms,
          events: events
        }

        {:ok, state, {:continue, {:opened, Store.since_us(from), options, report}}}

      {:error, reason} ->
        {:stop, reason}
    end
  end

  @impl true
  def handle_continue({:opened, duration_us, options, report}, state) do
    measurements =
      report
      |> Map.take([:records, :bytes, :dropped_records, :dropped_bytes])
      |> Map.put(:duration_us, duration_us)

    tell(state, :opened, measurements, %{
      dir: options.dir,
      read_only: options.read_only,
      recovery: report
    })

    {:noreply, state}
  end

  @impl true
  def handle_info({Store, :storage_failed, reason}, state), do: fail(reason, state)
  def handle_info({Store, :poisoned, place}, state), do: fail({:poisoned, place}, state)
  def handle_info({:EXIT, _pid, reason}, state), do: {:stop, reason, state}
  def handle_info(_message, state), do: {:noreply, state}

  defp fail(reason, state) do
    tell(state, :failed, %{count: 1}, %{reason: reason})
    {:stop, reason, state}
  end

  @impl true
  def terminate(reason, %{service: service, drain_ms: drain_ms} = state) do
    orderly = reason in [:normal, :shutdown] or match?({:shutdown, _}, reason)
    from = System.monotonic_time()
    closed = Native.store_close(service, if(orderly, do: drain_ms, else: 0))
    outcome = if orderly, do: closed, else: {:error, :not_drained}

    tell(state, :closed, %{duration_us: Store.since_us(from)}, %{reason: reason, outcome: outcome})
  end

  defp tell(state, event, measurements, metadata),
    do: Events.execute(state.events, state.name, event, measurements, metadata)
end
