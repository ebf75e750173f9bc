defmodule Racefree.StoreArgumentsTest do
  # What the functions of the store and its logs do not take, and what they say of it.
  use ExUnit.Case, async: true

  alias Racefree.{Log, Native, Store}

  @moduletag :tmp_dir
  @last 0xFFFF_FFFF_FFFF_FFFF

  setup %{tmp_dir: tmp_dir} do
    store = :"#{__MODULE__}.#{System.unique_integer([:positive])}"
    options = [name: store, dir: Path.join(tmp_dir, "store")]
    start_supervised!({Store, options}, id: store)
    {:ok, store: store, options: options}
  end

  defp log!(store, key) do
    {:ok, log} = Store.log(store, key)
    log
  end

  defp lease!(log) do
    {:ok, lease} = Log.lease(log)
    lease
  end

  test "a log that stands twice is an ArgumentError, and nothing is done", %{store: store} do
    log = log!(store, :log)
    lease = lease!(log)

    for {writes, metas} <- [
          {[], [{log, "a"}, {log, "b"}]},
          {[{lease, ["x"]}], [{lease, "a"}, {:log, "b"}]},
          {[{lease, ["x"]}, {lease, ["y"]}], []},
          {[{log, ["x"]}, {:log, ["y"]}], []}
        ],
        do:
          assert_raise(ArgumentError, ~r/the log :log stands twice/, fn ->
            Store.transact(store, 1, writes, metas)
          end)

    assert {:ok, 0} = Store.visible_lsn(store)
  end

  test "what are no pairs is an ArgumentError", %{store: store} do
    for {writes, metas} <- [
          {[:log], []},
          {:log, []},
          {[{:log, ["x"], 1}], []},
          {[], [:meta]},
          {[], :meta}
        ],
        do:
          assert_raise(ArgumentError, ~r/pairs of a log, lease or key/, fn ->
            Store.transact(store, 1, writes, metas)
          end)

    for logs <- [:log, nil],
        do: assert_raise(ArgumentError, ~r/a list of logs/, fn -> Store.snapshot(store, logs) end)
  end

  test "payloads that are none are an ArgumentError, and nothing is staged", %{store: store} do
    log = log!(store, :log)
    lease = lease!(log)

    for bad <- [[:atom], ["a", 3.0], ["a", {1, :b}], [%{}], :none, ["a" | "b"]] do
      assert_raise ArgumentError, fn -> Log.append(lease, 1, bad) end
      assert_raise ArgumentError, fn -> Store.transact(store, 1, [{lease, bad}]) end
    end

    assert {:ok, %{open_transaction: nil}} = Store.info(store)
  end

  test "places, levels and numbers that are none are an ArgumentError that says what they should be",
       %{store: store} do
    log = log!(store, :log)
    lease = lease!(log)
    {:ok, reader} = Log.reader(log)

    for bad <- [{0, -1}, {@last + 1, 0}, {1}, 7, nil, {:a, 0}],
        call <- [
          &Log.read(log, &1),
          &Log.read(reader, &1),
          &Log.read(log, {0, 0}, &1),
          &Log.stream(log, &1),
          &Log.stream(log, {0, 0}, upto: &1),
          &Log.trim(log, &1)
        ],
        do: assert_raise(ArgumentError, ~r/expected an offset {tx, op}/, fn -> call.(bad) end)

    for bad <- [:other, nil, "durable"],
        call <- [
          &Log.read(log, {0, 0}, :end, level: &1),
          &Log.stream(log, {0, 0}, level: &1),
          &Log.reader(log, &1),
          &Log.meta(log, &1),
          &Log.meta(reader, &1),
          &Store.snapshot(store, [log], &1)
        ],
        do: assert_raise(ArgumentError, ~r/:visible or :durable/, fn -> call.(bad) end)

    for bad <- [-1, @last + 1, nil, "1"],
        call <- [
          &Store.commit(store, &1),
          &Store.abort(store, &1),
          &Store.transact(store, &1, []),
          &Log.append(lease, &1, [])
        ],
        do: assert_raise(ArgumentError, ~r/2\^64 - 1/, fn -> call.(bad) end)

    for call <- [
          &Log.trim(log, {0, 0}, &1),
          &Store.await_durable(store, 9, &1)
        ],
        do: assert_raise(ArgumentError, ~r/for the timeout/, fn -> call.(-1) end)
  end

  test "options that are none, or out of range, are an ArgumentError", %{store: store} do
    log = log!(store, :log)
    lease = lease!(log)

    assert_raise ArgumentError, ~r/unknown option :limt/, fn ->
      Log.read(log, {0, 0}, :end, limt: 1)
    end

    assert_raise ArgumentError, ~r/unknown option :metas/, fn ->
      Log.append(lease, 1, ["a"], metas: "m")
    end

    assert_raise ArgumentError, ~r/unknown option :to/, fn -> Log.stream(log, {0, 0}, to: 1) end

    for name <- [:limit, :bytes],
        bad <- [0, -1, nil],
        do:
          assert_raise(ArgumentError, ~r/expected a positive integer for option :#{name}/, fn ->
            Log.read(log, {0, 0}, :end, [{name, bad}])
          end)

    assert {:ok, %{open_transaction: nil}} = Store.info(store)
    assert {:ok, [], :done} = Log.read(log, {0, 0}, :end, limit: @last + 1, bytes: @last + 1)
  end

  test "waiting for what is no transaction is an ArgumentError, and never a success", %{
    store: store
  } do
    :ok = Store.commit(store, 3)
    {:ok, 3} = Store.await_durable(store, 3)

    for bad <- [-1, @last + 1, nil, :foo, :ready, "7", 1.0, {:durable, 3}] do
      assert_raise ArgumentError, ~r/expected an integer from 0 to 2\^64 - 1/, fn ->
        Store.await_durable(store, bad)
      end
    end

    # The native side by itself does not take one thing for another either.
    {:ok, service} = Store.service(store)

    for bad <- [:foo, {:durable, -1}, {:other, 3}, {:sequence, "1"}],
        do: assert({:error, :invalid_argument} = Native.store_await(service, bad, make_ref()))

    for bad <- [-1, 0x1_0000_0000, nil],
        do: assert_raise(ArgumentError, fn -> Store.await_durable(store, 9, bad) end)
  end

  test "an option out of bounds is refused with its value and its bound", %{options: options} do
    Process.flag(:trap_exit, true)
    options = Keyword.take(options, [:name, :dir]) |> Keyword.update!(:name, &:"#{&1}.other")
    refused = fn option -> Store.start_link([option | options]) end

    say = fn {:error, reason} ->
      Exception.message(%Racefree.Error{store: S, reason: reason})
    end

    bound = {:at_least, 3 * (96 + 256) * 1_048_576, [:transaction_bytes_max, :wal_bytes_max]}
    answer = refused.({:wal_bytes_max, 256 * 1_048_576})
    assert answer == {:error, {:option_out_of_bounds, :memory_bytes_max, 536_870_912, bound}}

    assert say.(answer) =~
             "option :memory_bytes_max is 536870912, and must be at least 1107296256, three times :transaction_bytes_max and :wal_bytes_max together"

    assert {:error, {:option_out_of_bounds, :stage_bytes_max, 1, {:at_least, 256, []}}} =
             refused.({:stage_bytes_max, 1})

    answer = refused.({:record_bytes_max, Bitwise.bsl(1, 70)})
    assert say.(answer) =~ "option :record_bytes_max is #{@last}, and must be at most 67108864"

    assert_raise ArgumentError, ~r/an integer from 0 to 4294962295 for option :drain_ms/, fn ->
      refused.({:drain_ms, 4_294_962_296})
    end

    answer = Store.start_link([record_bytes_max: 2_000, transaction_bytes_max: 1_000] ++ options)

    assert say.(answer) =~ "must be at least 2000, which is :record_bytes_max"
  end
end
