defmodule Racefree.StalledDiskTest do
  # A disk that does not answer must cost who waits for it his time, and nobody else's. The disk is stalled until the test says otherwise: a call that needed it would never return.
  # Not async: the machine has one monitor of long schedules.
  use ExUnit.Case, async: false

  alias Racefree.{Log, NotTested, SchedulerWatch, StalledDisk, Store, StoreHalt}

  @moduletag :tmp_dir
  @store __MODULE__.Store
  @options [
    wal_bytes_max: 1_048_576,
    transaction_bytes_max: 1_048_576,
    stage_bytes_max: 262_144,
    record_bytes_max: 65_536,
    memory_bytes_max: 8 * 1_048_576
  ]

  test "while the disk stalls, schedulers stay free and callers are answered", context do
    stalled_for(context, 0)
  end

  @tag :long
  test "while the disk stalls for ten seconds, schedulers stay free and callers are answered",
       context do
    stalled_for(context, 10_000)
  end

  # Without a disk that answers no batch ends, so each halt comes while one is written or synced. The system keeps what a stalled call belongs to until it returns.
  test "a virtual machine that halts while the disk stalls ends with it, and what was announced is there",
       context do
    on_stalled_disk(context, fn mounted ->
      for way <- [:flush, :now] do
        freeze = fn -> :ok = StalledDisk.freeze(mounted) end

        thaw = fn os_pid ->
          await_exit(os_pid)
          :ok = StalledDisk.thaw(mounted)
        end

        {announced, _} = StoreHalt.run(Path.join(mounted, "halted"), way, freeze, thaw)
        assert announced > 0
      end
    end)
  end

  # Until all of its threads are gone but those that wait for the disk, which nobody can end. Beside the two of the store and the first one, which stays as a zombie, there
  # may be one that was about to open a file.
  defp await_exit(os_pid) do
    case File.ls("/proc/#{os_pid}/task") do
      {:ok, threads} when length(threads) > 4 -> await_exit(os_pid)
      _few_or_none -> :ok
    end
  end

  defp stalled_for(context, milliseconds) do
    on_stalled_disk(context, fn mounted ->
      start_supervised!({Store, [name: @store, dir: Path.join(mounted, "store")] ++ @options})
      {_, reports} = SchedulerWatch.watch(5, fn -> stall(mounted, milliseconds) end)
      assert reports == []
    end)
  end

  defp on_stalled_disk(%{tmp_dir: folder}, fun) do
    case StalledDisk.mount(folder) do
      {:ok, mounted} ->
        on_exit(fn -> StalledDisk.unmount(mounted) end)
        fun.(mounted)

      {:error, reason} ->
        NotTested.because("a stalled disk", reason)
    end
  end

  defp stall(mounted, milliseconds) do
    {:ok, log} = Store.log(@store, :log)
    {:ok, first} = Store.visible_lsn(@store)
    :ok = Store.transact(@store, first + 1, [{log, ["before"]}])
    assert {:ok, _} = Store.await_durable(@store, first + 1, 60_000)

    :ok = StalledDisk.freeze(mounted)
    until = System.monotonic_time(:millisecond) + milliseconds
    {last, ref} = go_on(log, first + 2, until)
    assert {:ok, durable} = Store.durable_lsn(@store)
    assert durable <= first + 1
    refute_received {^ref, _}
    :ok = StalledDisk.thaw(mounted)

    assert_receive {^ref, {:ok, _}}, 60_000
    assert {:ok, _} = Store.await_durable(@store, last, 60_000)
    # From here the next run of this, if there is one, has room.
    assert :ok = Log.trim(log, {last, 0}, 60_000)
  end

  # All that can be asked of the store, over and over until the time has come; then writes until there is no more room.
  defp go_on(log, lsn, until) do
    :ok = Store.transact(@store, lsn, [{log, ["#{lsn}"]}], [{log, "meta"}])
    assert {:ok, [{{^lsn, 0}, text}], :done} = Log.read(log, {lsn - 1, 0})
    assert text == "#{lsn}"
    assert {:ok, {^lsn, "meta"}} = Log.meta(log)
    assert {:ok, [], :done} = Log.read(log, {lsn - 1, 0}, :end, level: :durable)
    assert {:error, :timeout} = Store.await_durable(@store, lsn, 10)
    assert {:error, :timeout} = Log.trim(log, {lsn - 1, 0}, 10)
    assert {:ok, %{visible_lsn: ^lsn}} = Store.info(@store)
    assert {:ok, _new} = Store.log(@store, {:new, lsn})
    every_scheduler_runs()

    if System.monotonic_time(:millisecond) < until,
      do: go_on(log, lsn + 1, until),
      else: fill(log, lsn + 1)
  end

  defp fill(log, lsn) do
    case Store.transact(@store, lsn, [{log, [:binary.copy("x", 20_000)]}]) do
      :ok -> fill(log, lsn + 1)
      {:error, {:busy, ref}} -> {lsn - 1, ref}
    end
  end

  # A process on each scheduler gets its turn.
  defp every_scheduler_runs do
    test = self()

    for scheduler <- 1..System.schedulers_online() do
      ref = make_ref()
      :erlang.spawn_opt(fn -> send(test, ref) end, scheduler: scheduler)
      assert_receive ^ref, 60_000
    end
  end
end
