defmodule Racefree.StoreFaultsTest do
  # What goes wrong around a store, and sizes at the limits: halts, killed readers, the largest record, crowds of idle logs, folders that cannot be written to.
  use ExUnit.Case, async: true

  alias Racefree.{Log, NotTested, Store, StoreHalt}

  @moduletag :tmp_dir

  defp start!(context, options \\ []) do
    store = :"#{context.module}.#{:erlang.unique_integer([:positive])}"
    options = [name: store, dir: Path.join(context.tmp_dir, "store")] ++ options
    start_supervised!({Store, options}, id: store, restart: :temporary)
    store
  end

  # Dies without a drain.
  defp crash(store) do
    ref = Process.monitor(store)
    Process.exit(Process.whereis(store), :kill)
    assert_receive {:DOWN, ^ref, :process, _, :killed}
  end

  defp log!(store, key) do
    {:ok, log} = Store.log(store, key)
    log
  end

  defp transact!(store, lsn, writes) do
    case Store.transact(store, lsn, writes) do
      :ok ->
        :ok

      {:error, {:busy, ref}} ->
        assert_receive {^ref, {:ok, _}}, 60_000
        transact!(store, lsn, writes)
    end
  end

  # Asks until it is so; a test that waits in vain ends by its time limit.
  defp await_info(store, wanted) do
    {:ok, info} = Store.info(store)
    unless wanted.(info), do: await_info(store, wanted)
  end

  test "a virtual machine that halts while its store is behind ends, and the store has all that was announced",
       %{tmp_dir: tmp_dir} do
    dir = Path.join(tmp_dir, "halted")

    Enum.reduce([:flush, :now, :flush, :now], 0, fn way, former ->
      {announced, lsn} = StoreHalt.run(dir, way)
      assert announced > former
      lsn
    end)
  end

  test "10,000 idle logs beside a hot one: commits go on, memory stays bounded, nothing is lost",
       context do
    limits = [
      wal_bytes_max: 1_048_576,
      transaction_bytes_max: 1_048_576,
      stage_bytes_max: 524_288,
      record_bytes_max: 65_536,
      memory_bytes_max: 8 * 1_048_576,
      block_bytes_max: 65_536
    ]

    store = start!(context, limits)
    idle = 10_000

    # Each leaves a block behind, which only a pack gives back.
    for lsn <- 1..idle, do: transact!(store, lsn, [{log!(store, lsn), ["idle #{lsn}"]}])
    hot = log!(store, :hot)
    last = idle + 5_000
    payload = :binary.copy("h", 2_000)

    for lsn <- (idle + 1)..last do
      transact!(store, lsn, [{hot, [payload]}])
      {:ok, info} = Store.info(store)

      # What an append is admitted by are its bytes; the block that it then takes is counted afterwards.
      assert info.memory_bytes <= 8 * 1_048_576 + 65_536
      assert info.pending_bytes <= 2 * 1_048_576
    end

    {:ok, _} = Store.await_durable(store, last, 60_000)
    {:ok, info} = Store.info(store)
    assert info.logs == idle + 1 and info.pack_files > 0
    crash(store)

    store = start!(context, limits)
    assert {:ok, ^last} = Store.visible_lsn(store)

    for lsn <- 1..idle,
        do: assert({:ok, [{{^lsn, 0}, _}], :done} = Log.read(log!(store, lsn), {0, 0}))

    assert Enum.map(Log.stream(log!(store, :hot)), &elem(&1, 0)) ==
             for(lsn <- (idle + 1)..last, do: {lsn, 0})
  end

  describe "A13: what readers hold is counted" do
    for {what, hold} <- [page: :page, reader: :reader] do
      test "a process that is killed holding a large #{what} gives it back", context do
        store = start!(context)
        log = log!(store, :log)
        transact!(store, 1, [{log, for(_ <- 1..16, do: :binary.copy("x", 500_000))}])
        {:ok, 1} = Store.await_durable(store, 1, 60_000)
        assert {:ok, %{pinned_bytes: 0}} = Store.info(store)

        holder = hold(unquote(hold), log)
        # The log lets go of it: from here the holder alone keeps it.
        :ok = Log.trim(log, {1, 100}, 60_000)
        await_info(store, &(&1.pinned_bytes >= 8_000_000))
        assert {:ok, %{memory_bytes: 0}} = Store.info(store)

        ref = Process.monitor(holder)
        Process.exit(holder, :kill)
        assert_receive {:DOWN, ^ref, :process, ^holder, :killed}
        await_info(store, &(&1.pinned_bytes == 0))
      end
    end

    defp hold(what, log) do
      test = self()

      holder =
        spawn(fn ->
          held =
            case what do
              :page -> Log.read(log, {0, 0}, :end, bytes: 16_000_000)
              :reader -> Log.reader(log)
            end

          send(test, {:holds, self()})
          # Else it would be garbage by now.
          receive do: (:never -> held)
        end)

      assert_receive {:holds, ^holder}, 60_000
      holder
    end
  end

  test "the largest record is written, packed, found after a crash and a stop, and read",
       context do
    limit = 64 * 1_048_576
    largest = :binary.copy(:rand.bytes(1_048_576), 64)
    store = start!(context)
    log = log!(store, :log)

    assert {:error, {:record_too_large, 0}} = Store.transact(store, 1, [{log, [largest <> "x"]}])
    transact!(store, 1, [{log, ["before", largest, "after"]}])
    {:ok, 1} = Store.await_durable(store, 1, 120_000)
    holds!(log, largest)
    crash(store)

    store = start!(context)
    # It fills a write-ahead log, so the next switch puts it into a pack.
    transact!(store, 2, [{log!(store, :other), ["x"]}])
    await_info(store, &(&1.pack_files > 0 and &1.pack_bytes > limit))
    holds!(log!(store, :log), largest)
    :ok = stop_supervised(store)

    store = start!(context)
    assert {:ok, %{clean: true}} = Store.recovery(store)
    holds!(log!(store, :log), largest)
    assert {:ok, %{problems: []}} = Store.verify(store)
  end

  defp holds!(log, largest) do
    # Not by `assert ==`, which would show both.
    [{{1, 0}, "before"}, {{1, 1}, found}, {{1, 2}, "after"}] = Enum.to_list(Log.stream(log))
    assert byte_size(found) == byte_size(largest) and found == largest
  end

  describe "sync_interval_ms" do
    test "nothing is announced before it is over, and a stop does not wait for it", context do
      hour = [sync_interval_ms: 3_600_000]
      store = start!(context, hour)
      log = log!(store, :log)
      for lsn <- 1..20, do: transact!(store, lsn, [{log, ["#{lsn}"]}])
      assert {:error, :timeout} = Store.await_durable(store, 20, 50)
      assert {:ok, 0} = Store.durable_lsn(store)
      assert {:ok, 20} = Store.visible_lsn(store)
      :ok = stop_supervised(store)

      store = start!(context, hour)
      assert {:ok, 20} = Store.durable_lsn(store)
      assert {:ok, %{clean: true}} = Store.recovery(store)
      assert length(Enum.to_list(Log.stream(log!(store, :log)))) == 20
    end

    test "between two syncs is at least so much time, and every wait ends", context do
      interval = 20
      store = start!(context, sync_interval_ms: interval)
      log = log!(store, :log)
      from = System.monotonic_time(:millisecond)
      {:ok, %{syncs: before}} = Store.info(store)

      for lsn <- 1..25 do
        transact!(store, lsn, [{log, ["#{lsn}"]}])
        assert {:ok, _} = Store.await_durable(store, lsn, 60_000)
      end

      {:ok, %{syncs: syncs}} = Store.info(store)
      elapsed = System.monotonic_time(:millisecond) + 1 - from
      # The first may come at once.
      assert (syncs - before - 1) * interval <= elapsed
    end
  end

  test "a folder that cannot be written to: an error that says so, and all can be read",
       context do
    store = start!(context)
    transact!(store, 1, [{log!(store, :log), ["kept"]}])
    {:ok, 1} = Store.await_durable(store, 1, 60_000)
    :ok = stop_supervised(store)
    dir = Path.join(context.tmp_dir, "store")
    Process.flag(:trap_exit, true)

    refuse_writes(dir, fn ->
      assert {:error, {:storage_failed, {_step, reason}}} =
               Store.start_link(name: :"#{store}.rw", dir: dir)

      assert reason in [:eacces, :erofs]
      {:ok, owner} = Store.start_link(name: :"#{store}.ro", dir: dir, read_only: true)
      {:ok, log} = Store.find(:"#{store}.ro", :log)
      assert [{{1, 0}, "kept"}] = Enum.to_list(Log.stream(log))
      GenServer.stop(owner)
    end)

    assert [{{1, 0}, "kept"}] = Enum.to_list(Log.stream(log!(start!(context), :log)))
  end

  # Permissions do not bind root, but a mount does.
  defp refuse_writes(dir, fun) do
    case System.cmd("id", ["-u"]) do
      {"0\n", 0} -> on_read_only_mount(dir, fun)
      {_user, 0} -> without_permission(dir, fun)
    end
  end

  defp on_read_only_mount(dir, fun) do
    with {_, 0} <- System.cmd("mount", ["--bind", dir, dir], stderr_to_stdout: true),
         {_, 0} <- System.cmd("mount", ["-o", "remount,bind,ro", dir], stderr_to_stdout: true) do
      fun.()
    else
      {words, _status} -> NotTested.because("a folder on a read-only mount", String.trim(words))
    end
  after
    System.cmd("umount", ["--lazy", dir], stderr_to_stdout: true)
  end

  defp without_permission(dir, fun) do
    File.chmod!(dir, 0o500)
    fun.()
  after
    File.chmod!(dir, 0o700)
  end
end
