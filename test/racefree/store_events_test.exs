defmodule Racefree.StoreEventsTest do
  # The host's `:telemetry` is a module that this test makes, so nothing else may run beside it.
  use ExUnit.Case, async: false

  alias Racefree.Store

  @moduletag :tmp_dir
  @moduletag capture_log: true
  @small [
    wal_bytes_max: 65_536,
    transaction_bytes_max: 65_536,
    stage_bytes_max: 65_536,
    record_bytes_max: 65_536,
    memory_bytes_max: 1_048_576
  ]

  setup_all do
    # `execute/3` is all that is called.
    Code.compile_string(
      "defmodule :telemetry do def execute(event, measurements, metadata), do: if(pid = Process.whereis(#{inspect(__MODULE__)}), do: send(pid, {event, measurements, metadata})) end"
    )

    on_exit(fn ->
      :code.delete(:telemetry)
      :code.purge(:telemetry)
    end)
  end

  setup %{tmp_dir: tmp_dir} = context do
    # The store of the test before may still end, and tell it to the process that is registered by then: so each asks for its own.
    Process.register(self(), __MODULE__)
    Process.flag(:trap_exit, true)
    dir = Path.join(tmp_dir, "store")

    options =
      [name: :"#{__MODULE__}.#{System.unique_integer([:positive])}", dir: dir] ++
        @small ++ (context[:options] || [])

    {:ok, owner} = Store.start_link(options)
    {:ok, options: options, owner: owner, store: options[:name], dir: dir}
  end

  defp log!(store) do
    {:ok, log} = Store.log(store, :log)
    log
  end

  test "a start tells what recovery found, a stop how it ended, a drain that it did", context do
    %{store: store, dir: dir, owner: owner} = context
    assert_receive {[:racefree, :store, :opened], measured, %{store: ^store} = told}
    assert %{records: 0, bytes: 0, dropped_records: 0, dropped_bytes: 0} = measured
    assert measured.duration_us >= 0 and map_size(measured) == 5
    assert %{store: ^store, dir: ^dir, read_only: false, recovery: %{fresh: true}} = told

    :ok = Store.transact(store, 1, [{log!(store), ["a", "b"]}])
    :ok = Store.drain(store)
    assert_receive {[:racefree, :store, :drained], %{duration_us: _}, %{store: ^store}}

    GenServer.stop(owner)
    assert_receive {[:racefree, :store, :closed], %{duration_us: _}, %{store: ^store} = told}
    assert told == %{store: store, reason: :normal, outcome: :ok}

    {:ok, owner} = Store.start_link(context.options)

    assert_receive {[:racefree, :store, :opened], %{records: 2},
                    %{store: ^store, recovery: recovery}}

    assert {:ok, ^recovery} = Store.recovery(store)
    assert %{clean: true, lsn: 1} = recovery

    GenServer.stop(owner, :crash)
    assert_receive {[:racefree, :store, :closed], _, %{store: ^store} = told}
    assert told == %{store: store, reason: :crash, outcome: {:error, :not_drained}}
  end

  test "who is refused until there is room says so itself", %{store: store} do
    log = log!(store)
    payload = :binary.copy("x", 30_000)

    refused =
      Enum.reduce_while(Stream.iterate(1, &(&1 + 1)), nil, fn lsn, nil ->
        case Store.transact(store, lsn, [{log, [payload]}]) do
          :ok -> {:cont, nil}
          {:error, {:busy, ref}} -> {:halt, ref}
        end
      end)

    assert_received {[:racefree, :store, :busy], %{count: 1}, %{store: ^store}}
    assert_receive {^refused, {:ok, _}}, 60_000
  end

  test "a failing disk is told, and then the stop", %{store: store, dir: dir, owner: owner} do
    log = log!(store)
    # The next write-ahead log has no place to be.
    File.rm_rf!(dir)
    write_until_it_fails(store, log, 1)
    assert_receive {[:racefree, :store, :failed], %{count: 1}, %{store: ^store, reason: reason}}
    assert {:storage_failed, {:create, :enoent}} = reason

    assert_receive {[:racefree, :store, :closed], _,
                    %{store: ^store, reason: ^reason, outcome: outcome}}

    assert outcome == {:error, :not_drained}
    assert_receive {:EXIT, ^owner, ^reason}
  end

  defp write_until_it_fails(store, log, lsn) do
    case Store.transact(store, lsn, [{log, [:binary.copy("x", 20_000)]}]) do
      :ok ->
        write_until_it_fails(store, log, lsn + 1)

      {:error, {:busy, ref}} ->
        assert_receive {^ref, _}, 60_000
        write_until_it_fails(store, log, lsn)

      {:error, _reason} ->
        :ok
    end
  end

  @tag options: [telemetry: false]
  test "nothing is told where it is not wanted", %{owner: owner, store: store} do
    GenServer.stop(owner)
    refute_received {[:racefree, :store, _event], _, %{store: ^store}}
  end
end
