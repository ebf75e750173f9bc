defmodule Racefree.ErrorTest do
  use ExUnit.Case, async: true

  alias Racefree.{Error, Log, Store}

  doctest Racefree.Error

  @moduletag :tmp_dir

  setup %{test_type: type} = context do
    if type == :doctest do
      :ok
    else
      store = :"#{__MODULE__}.#{System.unique_integer([:positive])}"
      start_supervised!({Store, name: store, dir: context.tmp_dir}, id: store)
      {:ok, log} = Store.log(store, :orders)
      :ok = Store.transact(store, 5, [{log, ["a", "b"]}])
      {:ok, store: store, log: log}
    end
  end

  defp raised(log) do
    error = assert_raise Error, fn -> Enum.to_list(Log.stream(log)) end
    assert %Error{operation: :stream, registry: nil, key: :orders} = error
    assert error.store == log.store
    {error.reason, Exception.message(error)}
  end

  test "a stream says what was trimmed, removed or stopped, and in which store", %{
    store: store,
    log: log
  } do
    :ok = Log.trim(log, {5, 0})
    {{:trimmed, {5, 0}}, text} = raised(log)

    assert text ==
             "stream of :orders in #{inspect(store)}: records were asked for that are trimmed: {5, 0} is the lowest offset to read after"

    {:ok, _removal} = Log.begin_remove(log)
    {:removed, text} = raised(log)
    assert text =~ "the log is removed or being removed"
    :ok = stop_supervised(store)
    {:store_down, text} = raised(log)
    assert text =~ "the store is not running"
  end

  test "damage and a failing disk are said in words" do
    text = fn reason ->
      Exception.message(%Error{operation: :read, store: S, key: 1, reason: reason})
    end

    assert text.({:corrupt, "0000000000000001.pack", 128, :checksum}) ==
             "read of 1 in S: 0000000000000001.pack is damaged at byte 128: its checksum does not fit"

    assert text.({:storage_failed, {:preallocate, :enospc}}) ==
             "read of 1 in S: space for a file could not be reserved: no space left on device (:enospc)"

    assert text.({:storage_failed, {:sync, 4095}}) =~ "error 4095 of the operating system"
    assert text.({:storage_failed, {:sync, :unheard_of}}) =~ "not be synced: :unheard_of"
    assert text.(:something_else) == "read of 1 in S: :something_else"
  end
end
