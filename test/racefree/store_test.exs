defmodule Racefree.StoreTest do
  # The guarantees of the store, seen from processes. What needs a disk that fails in chosen ways is proven on a simulated one, in native/.
  use ExUnit.Case, async: true

  alias Racefree.{Lease, Log, Store, StoreCrash}

  doctest Racefree.Store

  @moduletag :tmp_dir
  @last 0xFFFF_FFFF_FFFF_FFFF
  # Switches and packs often.
  @small [
    wal_bytes_max: 262_144,
    transaction_bytes_max: 262_144,
    stage_bytes_max: 262_144,
    record_bytes_max: 65_536,
    memory_bytes_max: 4 * 1_048_576,
    block_bytes_max: 1024
  ]

  # Doctests bring their own store.
  setup %{test_type: type} = context do
    if type == :doctest, do: :ok, else: {:ok, open(context)}
  end

  defp open(context) do
    store = :"#{context.module}.#{:erlang.unique_integer([:positive])}"
    options = [name: store, dir: Path.join(context.tmp_dir, "store")] ++ (context[:options] || [])
    [store: store, options: options, owner: start!(options)]
  end

  # Not restarted by itself: what follows a death is the test's.
  defp start!(options),
    do: start_supervised!({Store, options}, id: options[:name], restart: :temporary)

  defp log!(store, key) do
    {:ok, log} = Store.log(store, key)
    log
  end

  defp lease!(log) do
    {:ok, lease} = Log.lease(log)
    lease
  end

  defp restart(context) do
    :ok = stop_supervised(context.store)
    start!(context.options)
  end

  # Dies without a drain, and is started anew.
  defp crash(%{owner: owner} = context) do
    ref = Process.monitor(owner)
    Process.exit(owner, :kill)
    assert_receive {:DOWN, ^ref, :process, ^owner, :killed}
    start!(context.options)
  end

  defp payloads(log, from \\ {0, 0}, options \\ []) do
    log |> Log.stream(from, options) |> Enum.map(&elem(&1, 1))
  end

  # Runs `reader` in `count` processes over and over, while `writer` runs; gives how often it ran.
  defp read_while(count, reader, writer) do
    parent = self()

    readers =
      for _ <- 1..count do
        spawn_link(fn ->
          send(parent, {:first, self()})
          repeat(parent, reader, 0)
        end)
      end

    for pid <- readers, do: assert_receive({:first, ^pid}, 60_000)
    writer.()

    for pid <- readers do
      send(pid, :stop)
      assert_receive {:ran, ^pid, times}, 60_000
      times
    end
    |> Enum.sum()
  end

  defp repeat(parent, reader, times) do
    receive do
      :stop -> send(parent, {:ran, self(), times})
    after
      0 ->
        reader.()
        repeat(parent, reader, times + 1)
    end
  end

  describe "reading" do
    @tag options: @small
    test "A1: nothing committed is missed, and A2: nothing comes twice, while records move to files",
         %{store: store} do
      log = log!(store, :log)
      lease = lease!(log)
      padding = :binary.copy("x", 150)

      times =
        read_while(
          3,
          fn ->
            {:ok, before} = Store.visible_lsn(store)
            offsets = log |> Log.stream() |> Enum.map(fn {{tx, 0}, _} -> tx end)
            assert offsets == Enum.to_list(1..length(offsets)//1)
            assert length(offsets) >= before
          end,
          fn ->
            for lsn <- 1..6_000, do: append_and_commit(store, lease, lsn, padding)
          end
        )

      assert times > 0
      {:ok, info} = Store.info(store)
      assert info.pack_files > 0
      assert length(payloads(log)) == 6_000
    end

    test "A3: a reader goes on in its state when the log is purged", %{store: store} do
      log = log!(store, :log)
      :ok = Store.transact(store, 1, [{log, ["a", "b"]}])
      {:ok, reader} = Log.reader(log)
      {:ok, removal} = Log.begin_remove(log)
      assert {:error, :removed} = Log.read(log, {0, 0})
      assert {:error, :removed} = Log.reader(log)
      :ok = Log.finish_remove(removal)
      assert {:ok, [{{1, 0}, "a"}, {{1, 1}, "b"}], :done} = Log.read(reader, {0, 0})
    end

    test "A4: empty means that nothing was committed there; trimmed is an error", %{store: store} do
      log = log!(store, :log)
      assert {:ok, [], :done} = Log.read(log, {0, 0})
      :ok = Store.transact(store, 5, [{log, ["a", {7, "b"}]}])
      assert {:ok, [], :done} = Log.read(log, {5, 0}, {5, 6})
      assert {:ok, [{{5, 7}, "b"}], :done} = Log.read(log, {5, 0}, {5, 7})
      assert {:ok, [], :done} = Log.read(log, {5, 7}, {5, 0})
      assert {:ok, [], :done} = Log.read(log, {@last, @last}, {@last, @last})
      :ok = Log.trim(log, {5, 3})
      assert {:error, {:trimmed, {5, 3} = lowest}} = Log.read(log, {0, 0})
      assert Log.trimmed(log) == lowest
      assert {:ok, [{{5, 7}, "b"}], :done} = Log.read(log, lowest)
    end

    test "pages are exact", %{store: store} do
      log = log!(store, :log)
      :ok = Store.transact(store, 1, [{log, for(i <- 0..9, do: "#{i}")}])
      assert {:ok, first, {:more, {1, 3}}} = Log.read(log, {0, 0}, :end, limit: 4)
      assert Enum.map(first, &elem(&1, 1)) == ~w(0 1 2 3)
      assert {:ok, rest, :done} = Log.read(log, {1, 3}, :end, limit: 6)
      assert length(rest) == 6
      assert {:ok, [{{1, 0}, "0"}], {:more, {1, 0}}} = Log.read(log, {0, 0}, :end, bytes: 1)
      assert payloads(log, {0, 0}, limit: 3) == for(i <- 0..9, do: "#{i}")
      assert payloads(log, {0, 0}, upto: {1, 4}, limit: 3) == ~w(0 1 2 3 4)
    end

    test "large and tiny records come back whole", %{store: store} do
      log = log!(store, :log)
      large = :rand.bytes(20 * 1_048_576)
      :ok = Store.transact(store, 1, [{log, ["", large, [?a, "b", ["c"]]]}])

      assert {:ok, [{{1, 0}, ""}, {{1, 1}, ^large}, {{1, 2}, "abc"}], :done} =
               Log.read(log, {0, 0}, :end, bytes: 30 * 1_048_576)

      assert {:error, {:record_too_large, 0}} =
               Store.transact(store, 2, [{log, [:binary.copy("x", 64 * 1_048_576 + 1)]}])
    end

    test "A15: what was read as durable is still there after a crash", context do
      log = log!(context.store, :log)
      :ok = Store.transact(context.store, 1, [{log, ["a"]}])
      {:ok, 1} = Store.await_durable(context.store, 1)
      {:ok, records, :done} = Log.read(log, {0, 0}, :end, level: :durable)
      assert records == [{{1, 0}, "a"}]
      crash(context)
      assert {:ok, ^records, :done} = Log.read(log!(context.store, :log), {0, 0})
    end
  end

  defp append_and_commit(store, lease, lsn, payload) do
    case Log.append(lease, lsn, [payload]) do
      {:ok, {^lsn, 0}} ->
        assert Store.commit(store, lsn) == :ok

      {:error, {:busy, ref}} ->
        assert_receive {^ref, {:ok, _}}, 60_000
        append_and_commit(store, lease, lsn, payload)
    end
  end

  describe "transactions" do
    test "A7: what is open or aborted is seen by nobody", context do
      %{store: store} = context
      log = log!(store, :log)
      lease = lease!(log)
      {:ok, {3, 0}} = Log.append(lease, 3, ["open"], meta: "open")
      assert {:ok, [], :done} = Log.read(log, {0, 0})
      assert {:ok, nil} = Log.meta(log)
      assert {:ok, %{open_transaction: 3}} = Store.info(store)
      :ok = Store.abort(store, 3)
      {:ok, {3, 0}} = Log.append(lease, 3, ["again"])
      :ok = Store.commit(store, 3)
      assert payloads(log) == ["again"]
      {:ok, {4, 0}} = Log.append(lease, 4, ["lost"])
      {:ok, 3} = Store.await_durable(store, 3)
      crash(context)
      assert payloads(log!(store, :log)) == ["again"]
    end

    test "A8: repeats change nothing and say so; going back is refused", %{store: store} do
      log = log!(store, :log)
      lease = lease!(log)
      :ok = Store.transact(store, 5, [{lease, ["five"]}], [{lease, "m"}])
      assert :already = Store.transact(store, 5, [{lease, ["other"]}])
      assert :already = Log.append(lease, 4, ["older"])
      assert :already = Store.commit(store, 5)
      assert {:error, :not_open} = Store.commit(store, 6) |> accept_empty_commit()
      {:ok, _} = Log.append(lease, 9, ["nine"])
      assert {:error, {:lsn_behind, 9}} = Log.append(lease, 8, ["eight"])
      assert {:error, {:transaction_open, 9}} = Log.append(lease, 10, ["ten"])
      assert {:error, {:transaction_open, 9}} = Store.transact(store, 10, [{lease, ["ten"]}])
      :ok = Store.commit(store, 9)
      assert payloads(log) == ["five", "nine"]
      assert {:ok, {5, "m"}} = Log.meta(log)
    end

    # A commit of nothing moves the position.
    defp accept_empty_commit(:ok), do: {:error, :not_open}
    defp accept_empty_commit(other), do: other

    test "A11: a snapshot holds all of each transaction or nothing", %{store: store} do
      logs = for key <- 1..4, do: log!(store, key)

      times =
        read_while(
          2,
          fn ->
            {:ok, lsn, readers} = Store.snapshot(store, logs)

            ends =
              for reader <- readers do
                {:ok, records, :done} = Log.read(reader, {0, 0}, :end, limit: 100_000)
                length(records)
              end

            assert ends == List.duplicate(lsn, 4)
          end,
          fn ->
            for lsn <- 1..1_500,
                do: :ok = Store.transact(store, lsn, for(log <- logs, do: {log, ["#{lsn}"]}))
          end
        )

      assert times > 0
    end

    test "a transaction that is refused leaves nothing in any log", %{store: store} do
      [one, two] = [log!(store, 1), log!(store, 2)]
      holder = lease!(two)
      assert {:error, :fenced} = Store.transact(store, 1, [{one, ["a"]}, {two, ["b"]}])
      assert {:ok, [], :done} = Log.read(one, {0, 0})
      :ok = Store.transact(store, 1, [{one, ["a"]}, {holder, ["b"]}])
      assert {payloads(one), payloads(two)} == {["a"], ["b"]}
    end

    test "a log is given by itself, by its lease or by its key", %{store: store} do
      logs = for key <- 1..3, do: log!(store, {:log, key})
      [first, _second, third] = logs
      writes = [{{:log, 2}, ["b"]}, {first, ["a"]}, {lease!(third), ["c"]}]
      :ok = Store.transact(store, 1, writes, %{{:log, 2} => "m", first => "n"})
      assert Enum.map(logs, &payloads/1) == [["a"], ["b"], ["c"]]
      assert {:ok, {1, "m"}} = Log.meta(log!(store, {:log, 2}))
      assert {:ok, {1, "n"}} = Log.meta(first)
      {:ok, 1, readers} = Store.snapshot(store, [{:log, 3}, first, lease!(third)])
      assert Enum.map(readers, & &1.log.key) == [{:log, 3}, {:log, 1}, {:log, 3}]
      assert {:ok, [{{1, 0}, "c"}], :done} = readers |> hd() |> Log.read({0, 0})
    end

    test "a key in a transaction makes no log, and nothing is done without one", %{store: store} do
      log = log!(store, :log)
      assert {:error, :not_found} = Store.transact(store, 1, [{log, ["a"]}, {:none, ["b"]}])
      assert {:error, :not_found} = Store.transact(store, 1, [{log, ["a"]}], [{:none, "m"}])
      assert {:error, :not_found} = Store.snapshot(store, [log, :none])
      assert {:ok, [], :done} = Log.read(log, {0, 0})
      assert {:ok, [:log]} = Store.keys(store)
    end

    # Compared with each other, 4000 logs and metas are 16 million pairs; by key they are no more work than the rest of the call.
    test "a transaction of many logs with metas costs as much per log as one of few", %{
      store: store
    } do
      few = for key <- 1..400, do: log!(store, key)
      many = few ++ for(key <- 401..4_000, do: log!(store, key))

      cost = fn logs, lsn ->
        writes = for log <- logs, do: {log, ["x"]}
        metas = for log <- Enum.reverse(logs), do: {log, "m"}
        {:reductions, before} = Process.info(self(), :reductions)
        :ok = Store.transact(store, lsn, writes, metas)
        {:reductions, after_it} = Process.info(self(), :reductions)
        (after_it - before) / length(logs)
      end

      # In reductions, the machine's measure of work: by search, 4000 logs would take ten times as many each.
      assert cost.(many, 1) < 2 * cost.(few, 2)
      assert {:ok, {2, "m"}} = Log.meta(hd(many))
    end
  end

  describe "writers" do
    test "A14: a stale writer is fenced", %{store: store} do
      log = log!(store, :log)
      former = lease!(log)
      {:ok, _} = Log.append(former, 1, ["a"])
      %Lease{} = lease = lease!(log)
      assert {:error, :fenced} = Log.append(former, 1, ["b"])
      {:ok, _} = Log.append(lease, 1, ["c"])
      :ok = Store.commit(store, 1)
      assert payloads(log) == ["a", "c"]
      :ok = Log.release(lease)
      assert {:error, :fenced} = Log.append(lease, 2, ["d"])
    end

    test "a writer that dies in a transaction leaves it open, and its log to the next writer", %{
      store: store
    } do
      log = log!(store, :log)
      parent = self()

      pid =
        spawn(fn ->
          {:ok, _} = Log.append(lease!(log), 1, ["half"])
          send(parent, :appended)
          Process.sleep(:infinity)
        end)

      assert_receive :appended
      ref = Process.monitor(pid)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^ref, :process, ^pid, :killed}
      assert {:ok, [], :done} = Log.read(log, {0, 0})
      :ok = Store.abort(store, 1)
      {:ok, _} = Log.append(lease!(log), 1, ["whole"])
      :ok = Store.commit(store, 1)
      assert payloads(log) == ["whole"]
    end

    @tag options: @small
    test "back-pressure: busy, and a message when there is room; memory stays bounded", %{
      store: store
    } do
      log = log!(store, :log)
      lease = lease!(log)
      payload = :binary.copy("x", 20_000)

      busy =
        Enum.reduce(1..600, 0, fn lsn, busy ->
          case Log.append(lease, lsn, [payload]) do
            {:ok, _} ->
              :ok = Store.commit(store, lsn)
              busy

            {:error, {:busy, ref}} ->
              assert_receive {^ref, {:ok, _}}, 60_000
              append_and_commit(store, lease, lsn, payload)
              busy + 1
          end
        end)

      assert busy > 0
      {:ok, info} = Store.info(store)
      assert info.pending_bytes <= 2 * 262_144
      assert length(payloads(log)) == 600
    end
  end

  describe "what waits to be written" do
    @describetag options: [
                   stage_bytes_max: 4096,
                   transaction_bytes_max: 4096,
                   record_bytes_max: 1024
                 ]

    test "is bounded for creations, which wait for room", %{store: store} do
      for key <- 1..20_000, do: {:ok, _log} = Store.log(store, key)
      {:ok, info} = Store.info(store)
      assert info.pending_bytes <= 2 * 4096
      {key, :timeout} = first_refused(1..1_000_000, &Store.log(store, {:new, &1}, 0))
      assert {:ok, _log} = Store.log(store, {:new, key})
    end

    test "is bounded for commits of nothing, which are tried again", %{store: store} do
      commit = fn lsn -> with(:ok <- Store.commit(store, lsn), do: {:ok, lsn}) end
      {lsn, {:busy, ref}} = first_refused(1..1_000_000, commit)
      assert_receive {^ref, {:ok, _}}, 5_000
      assert {:ok, visible} = Store.visible_lsn(store)
      assert visible == lsn - 1
    end

    test "makes trims and removals wait, and no longer than they may", %{store: store} do
      log = log!(store, :log)
      :ok = Store.transact(store, 1, [{log, ["a"]}])
      tasks = for _ <- 1..200, do: Task.async(fn -> Log.trim(log, {1, 0}, :infinity) end)
      assert Enum.all?(Task.await_many(tasks), &(&1 == :ok))
      assert Log.trim(log, {1, 0}, 0) in [:ok, {:error, :timeout}]
      assert {:ok, _removal} = Log.begin_remove(log)
    end
  end

  # The first of the calls that is refused for want of room, and the reason.
  defp first_refused(range, call) do
    Enum.find_value(range, fn number ->
      with {:ok, _} <- call.(number), do: nil, else: ({:error, reason} -> {number, reason})
    end)
  end

  describe "positions" do
    test "A5: the durable position never goes back, over stops and crashes", context do
      %{store: store} = context
      log = log!(store, :log)
      for lsn <- 1..20, do: :ok = Store.transact(store, lsn, [{log, ["#{lsn}"]}])
      {:ok, 20} = Store.await_durable(store, 20)
      owner = crash(context)
      assert {:ok, durable} = Store.durable_lsn(store)
      assert durable >= 20
      assert {:ok, %{clean: false}} = Store.recovery(store)
      restart(%{context | owner: owner})
      assert {:ok, ^durable} = Store.durable_lsn(store)
      assert {:ok, %{clean: true}} = Store.recovery(store)
    end

    test "whoever follows the durable position hears of it, until it stops", %{store: store} do
      log = log!(store, :log)
      {:ok, {ref, _} = subscription} = Store.subscribe_durable(store)
      :ok = Store.transact(store, 1, [{log, ["a"]}])
      assert_receive {Store, ^ref, {:durable, 1}}, 5_000
      :ok = Store.unsubscribe_durable(subscription)
      :ok = Store.transact(store, 2, [{log, ["b"]}])
      {:ok, 2} = Store.await_durable(store, 2)
      refute_received {Store, ^ref, _}
    end

    test "a wait that is over leaves no message", %{store: store} do
      assert {:error, :timeout} = Store.await_durable(store, 7, 0)
      :ok = Store.commit(store, 7)
      {:ok, 7} = Store.await_durable(store, 7)
      assert Process.info(self(), :message_queue_len) == {:message_queue_len, 0}
    end

    test "those who wait are told when the store ends", %{store: store, owner: owner} do
      parent = self()
      spawn_link(fn -> send(parent, {:answer, Store.await_durable(store, 9, :infinity)}) end)
      Process.exit(owner, :kill)
      assert_receive {:answer, {:error, :store_down}}, 30_000
    end
  end

  describe "a drain" do
    test "refuses what would change the store, brings the rest to disk, and can be read from",
         context do
      %{store: store} = context
      log = log!(store, :log)
      lease = lease!(log)
      :ok = Store.transact(store, 1, [{lease, ["a"]}])
      {:ok, _} = Log.append(lease, 2, ["open"])
      parent = self()
      spawn_link(fn -> send(parent, {:awaited, Store.await_durable(store, 2, :infinity)}) end)
      assert :ok = Store.drain(store)
      assert_receive {:awaited, {:error, :store_down}}, 30_000

      for answer <- [
            Log.append(lease, 2, ["b"]),
            Store.commit(store, 2),
            Store.abort(store, 2),
            Store.transact(store, 2, [{lease, ["b"]}]),
            Store.log(store, :other),
            Log.lease(log),
            Log.trim(log, {1, 0}),
            Log.begin_remove(log)
          ],
          do: assert(answer == {:error, :drained})

      assert payloads(log) == ["a"]
      assert {:ok, 1} = Store.durable_lsn(store)
      assert {:ok, 1} = Store.await_durable(store, 1)
      assert :ok = Store.drain(store, 0)
      # Not even a kill takes anything back.
      crash(context)
      assert {:ok, %{clean: true, lsn: 1}} = Store.recovery(store)
      assert :ok = Store.transact(store, 2, [{log!(store, :log), ["b"]}])
    end

    @tag options: [stage_bytes_max: 64_000_000]
    test "whose time is over goes on, and can be waited for again", %{store: store} do
      payload = :binary.copy("x", 32_000_000)
      :ok = Store.transact(store, 1, [{log!(store, :log), [payload]}])
      assert {:error, :timeout} = Store.drain(store, 0)
      assert {:error, :drained} = Store.commit(store, 2)
      assert :ok = Store.drain(store, 60_000)
      assert Process.info(self(), :message_queue_len) == {:message_queue_len, 0}
    end

    test "of a store that is read-only is over at once, and of none is an error", context do
      %{store: store, options: options} = context
      other = :"#{store}.other"
      start!(Keyword.merge(options, name: other, read_only: true))
      assert :ok = Store.drain(other, 0)
      :ok = stop_supervised(store)
      assert {:error, :store_down} = Store.drain(store)
      assert_raise ArgumentError, fn -> Store.drain(other, -1) end
    end
  end

  describe "figures" do
    @tag options: @small
    test "tell that merging has stopped at a damaged pack file, which verify names", context do
      %{store: store, options: options} = context
      log = log!(store, :log)
      assert {:ok, %{merging_stopped: false}} = Store.info(store)
      # Too little for packs to be merged before one is damaged.
      write_until(store, log, 1, &(&1 > 12))
      pack = await_pack(store, options)
      {:ok, file} = File.open(pack, [:read, :write, :binary])
      {:ok, <<byte>>} = :file.pread(file, 1_000, 1)
      :ok = :file.pwrite(file, 1_000, <<Bitwise.bxor(byte, 1)>>)
      File.close(file)
      stopped? = fn _lsn -> match?({:ok, %{merging_stopped: true}}, Store.info(store)) end
      write_until(store, log, 13, stopped?)
      {:ok, %{problems: [{name, _offset, :checksum}]}} = Store.verify(store)
      assert name == Path.basename(pack)
    end

    # The manifest names the file only after it stands there.
    defp await_pack(store, options) do
      case Store.info(store) do
        {:ok, %{pack_files: 0}} -> await_pack(store, options)
        {:ok, _info} -> options[:dir] |> Path.join("*.pack") |> Path.wildcard() |> hd()
      end
    end

    defp write_until(store, log, lsn, over?) do
      case not over?.(lsn) and Store.transact(store, lsn, [{log, [:binary.copy("x", 30_000)]}]) do
        false ->
          :ok

        :ok ->
          write_until(store, log, lsn + 1, over?)

        {:error, {:busy, ref}} ->
          assert_receive {^ref, {:ok, _}}, 60_000
          write_until(store, log, lsn, over?)
      end
    end
  end

  describe "removal" do
    test "A12: a key that is made anew shows nothing of its former records, also after a crash",
         context do
      %{store: store} = context
      log = log!(store, :log)
      :ok = Store.transact(store, 1, [{log, ["old"]}], [{log, "old"}])
      {:ok, removal} = Log.begin_remove(log)
      assert {:error, :removed} = Store.log(store, :log)
      assert {:error, :removed} = Store.transact(store, 2, [{log, ["x"]}])
      :ok = Log.finish_remove(removal)
      assert {:error, :stale} = Log.finish_remove(removal)
      assert {:error, :not_found} = Store.find(store, :log)
      log = log!(store, :log)
      assert {{:ok, [], :done}, {:ok, nil}} == {Log.read(log, {0, 0}), Log.meta(log)}
      :ok = Store.transact(store, 2, [{log, ["new"]}])
      {:ok, 2} = Store.await_durable(store, 2)
      crash(context)
      assert payloads(log!(store, :log)) == ["new"]
    end

    test "a removal that was begun is durable at once", context do
      %{store: store} = context
      :ok = Store.transact(store, 1, [{log!(store, :log), ["a"]}])

      Enum.reduce([:log, :empty], context, fn key, context ->
        {:ok, _removal} = store |> log!(key) |> Log.begin_remove()
        context = %{context | owner: crash(context)}
        assert {:error, :removed} = Store.log(store, key)
        assert {:ok, removal} = Store.removal(store, key)
        assert :ok = Log.finish_remove(removal)
        assert [] = payloads(log!(store, key))
        context
      end)
    end

    test "a removal that was begun survives a crash, and is finished afterwards", context do
      %{store: store} = context
      log = log!(store, {:log, "1"})
      :ok = Store.transact(store, 1, [{log, ["a"]}])
      {:ok, _removal} = Log.begin_remove(log)
      :ok = Store.commit(store, 2)
      {:ok, 2} = Store.await_durable(store, 2)
      crash(context)
      assert {:ok, %{pending_removals: [{:log, "1"}]}} = Store.recovery(store)
      assert {:error, :removed} = Store.log(store, {:log, "1"})
      {:ok, removal} = Store.removal(store, {:log, "1"})
      :ok = Log.finish_remove(removal)
      assert {:ok, []} = Store.keys(store)
    end
  end

  describe "the owner" do
    test "handles of a store that has ended say so, and never show what was", context do
      %{store: store} = context
      log = log!(store, :log)
      lease = lease!(log)
      {:ok, reader} = Log.reader(log)
      restart(context)
      assert {:error, :store_down} = Log.read(log, {0, 0})
      assert {:error, :store_down} = Log.append(lease, 1, ["a"])
      assert {:error, :store_down} = Log.lease(log)
      assert {:ok, [], :done} = Log.read(reader, {0, 0})
      assert {:ok, [], :done} = Log.read(log!(store, :log), {0, 0})
    end

    test "handles of a store that has ended write into no transaction of its successor",
         context do
      %{store: store} = context
      :ok = Store.transact(store, 1, [{log!(store, :log), ["first"]}])
      {:ok, _} = Store.await_durable(store, 1)
      log = log!(store, :log)
      lease = lease!(log!(store, :leased))
      crash(context)
      own = lease!(log!(store, :leased))

      for stale <- [[{log, ["lost"]}], [{lease, ["lost"]}], [{own, ["kept"]}, {log, ["lost"]}]],
          do: assert({:error, :store_down} = Store.transact(store, 2, stale))

      assert {:error, :store_down} = Store.transact(store, 2, [], [{log, "meta"}])
      assert {:error, :store_down} = Store.snapshot(store, [log!(store, :log), log])
      assert {:error, :store_down} = Log.trim(log, {1, 0})
      assert {:error, :store_down} = Log.begin_remove(log)
      assert {:ok, 1} = Store.visible_lsn(store)
      :ok = Store.transact(store, 2, [{own, ["kept"]}, {log!(store, :log), ["kept"]}])
      restart(context)
      assert ["first", "kept"] = payloads(log!(store, :log))
      assert ["kept"] = payloads(log!(store, :leased))
    end

    test "handles of another store are an ArgumentError, and nothing is done", context do
      %{store: store} = context
      other = :"#{store}.other"
      dir = Path.join(context.tmp_dir, "other")
      start_supervised!({Store, name: other, dir: dir}, id: other)
      [own, others] = for store <- [store, other], do: log!(store, :log)
      lease = lease!(log!(other, :leased))

      for writes <- [[{others, ["a"]}], [{lease, ["a"]}], [{own, ["a"]}, {lease, ["a"]}]],
          do:
            assert_raise(ArgumentError, ~r/another store/, fn ->
              Store.transact(store, 1, writes)
            end)

      assert_raise ArgumentError, ~r/another store/, fn ->
        Store.snapshot(store, [own, others])
      end

      assert {:ok, 0} = Store.visible_lsn(store)
      assert [] = payloads(own)
      assert [] = payloads(others)
    end

    test "calls without a store are errors", %{store: store} do
      :ok = stop_supervised(store)
      assert {:error, :store_down} = Store.log(store, :log)
      assert {:error, :store_down} = Store.commit(store, 1)
      assert {:error, :store_down} = Store.durable_lsn(store)
      assert {:error, :store_down} = Store.info(:no_such_store)
    end

    test "a directory belongs to one store at a time, and a second instance reads it", %{
      store: store,
      options: options
    } do
      log = log!(store, :log)
      :ok = Store.transact(store, 1, [{log, ["a"]}])
      {:ok, 1} = Store.await_durable(store, 1)
      Process.flag(:trap_exit, true)
      other = Keyword.put(options, :name, :"#{store}.other")
      assert {:error, :locked} = Store.start_link(other)
      {:ok, owner} = Store.start_link([read_only: true] ++ other)
      {:ok, seen} = Store.find(:"#{store}.other", :log)
      assert payloads(seen) == ["a"]
      assert {:error, :read_only} = Store.transact(:"#{store}.other", 2, [{seen, ["b"]}])
      GenServer.stop(owner)
    end

    test "a store that is only read ends with its owner like any other", context do
      %{store: store, options: options} = context
      :ok = Store.transact(store, 1, [{log!(store, :log), ["a"]}])
      {:ok, 1} = Store.await_durable(store, 1)
      parent = self()

      for {end_it, name} <- [
            {&stop_supervised(&1[:name]), :"#{store}.stopped"},
            {&Process.exit(Process.whereis(&1[:name]), :kill), :"#{store}.killed"}
          ] do
        seen = Keyword.merge(options, name: name, read_only: true)
        owner = start!(seen)
        {:ok, log} = Store.find(name, :log)
        {:ok, reader} = Log.reader(log)
        assert payloads(log) == ["a"]
        {:ok, {_ref, _} = following} = Store.subscribe_durable(name)

        spawn_link(fn ->
          send(parent, :waits)
          send(parent, {:awaited, Store.await_durable(name, 9, :infinity)})
        end)

        assert_receive :waits
        ref = Process.monitor(owner)
        end_it.(seen)
        assert_receive {:DOWN, ^ref, :process, ^owner, _reason}
        assert_receive {:awaited, {:error, :store_down}}, 30_000
        # The machine tells the store of a death in its own time.
        assert {:error, :store_down} =
                 until(fn -> Log.read(log, {0, 0}) end, {:error, :store_down})

        assert {:ok, [{{1, 0}, "a"}], :done} = Log.read(reader, {0, 0})
        :ok = Store.unsubscribe_durable(following)
      end
    end

    defp until(call, answer) do
      with other when other != answer <- call.(), do: until(call, answer)
    end

    @tag options: [stage_bytes_max: 64_000_000]
    test "a store whose owner was killed while it closed is opened again, and not locked", %{
      options: options,
      owner: owner
    } do
      # Its threads end with the step that they are in: with this much to write, long after the kill.
      payload = :binary.copy("x", 32_000_000)
      :ok = Store.transact(options[:name], 1, [{log!(options[:name], :log), [payload]}])
      ref = Process.monitor(owner)
      Process.exit(owner, :crash)
      wait_for_close(options[:name], 1)
      Process.exit(owner, :kill)
      assert_receive {:DOWN, ^ref, :process, ^owner, _reason}
      start!(options)
    end

    # It has begun when nothing is taken any more.
    defp wait_for_close(store, lsn) do
      with :already <- Store.commit(store, lsn), do: wait_for_close(store, lsn)
    end

    test "it starts in a directory that cannot be written to with an error that says so", %{
      tmp_dir: tmp_dir
    } do
      Process.flag(:trap_exit, true)
      File.write!(Path.join(tmp_dir, "file"), "")

      assert {:error, {:storage_failed, {:create, reason}}} =
               Store.start_link(
                 name: :"#{__MODULE__}.file",
                 dir: Path.join(tmp_dir, "file/store")
               )

      assert reason == :enotdir

      looped = Path.join(tmp_dir, "loop")
      File.ln_s!(looped, looped)

      for {dir, name} <- [
            {Path.join(tmp_dir, String.duplicate("x", 300)), :enametoolong},
            {Path.join(looped, "store"), :eloop},
            {Path.join(tmp_dir, "a\0b"), :einval}
          ] do
        assert {:error, {:storage_failed, {:create, ^name}}} =
                 Store.start_link(name: :"#{__MODULE__}.#{name}", dir: dir)

        refute name |> :file.format_error() |> to_string() =~ "unknown"
      end
    end

    @tag options: [transaction_bytes_max: 1_000_000]
    test "records may be as large as a transaction where nothing else is said", %{store: store} do
      log = log!(store, :log)
      payload = :binary.copy("x", 1_000_000)

      assert {:error, {:record_too_large, 0}} =
               Store.transact(store, 1, [{log, [["x", payload]]}])

      assert :ok = Store.transact(store, 1, [{log, [payload]}])
    end

    test "keys are terms", %{store: store} do
      keys = [:a, "b", {:c, 1}, 1, 1.0, %{d: [1]}, nil, 'text']

      for {key, lsn} <- Enum.with_index(keys, 1),
          do: :ok = Store.transact(store, lsn, [{log!(store, key), ["#{lsn}"]}])

      for {key, lsn} <- Enum.with_index(keys, 1),
          do: assert(payloads(log!(store, key)) == ["#{lsn}"])

      {:ok, found} = Store.keys(store)
      assert Enum.sort(found) == Enum.sort(keys)
      assert {:error, :key_too_large} = Store.log(store, :binary.copy("k", 5_000))
    end
  end

  describe "a virtual machine that is killed" do
    # A kill and what follows take a moment, or on a busy machine several seconds.
    @describetag timeout: 30_000 * String.to_integer(System.get_env("RACEFREE_KILLS", "20"))
    test "A6, A9: loses nothing that was announced, keeps nothing uncommitted, and all logs stand at one transaction",
         %{tmp_dir: tmp_dir} do
      cycles = String.to_integer(System.get_env("RACEFREE_KILLS", "20"))
      seed = String.to_integer(System.get_env("RACEFREE_SEED", "#{:rand.uniform(1_000_000)}"))
      counts = StoreCrash.run(Path.join(tmp_dir, "killed"), cycles, seed)
      assert counts.kills == cycles
      assert counts.lsn >= counts.announced and counts.announced > 0
      # That all is well means something only if this happened too.
      assert counts.trims > 0 and counts.removals > 0
      if cycles > 20, do: IO.puts("seed #{seed}: #{inspect(counts)}")
    end
  end
end
