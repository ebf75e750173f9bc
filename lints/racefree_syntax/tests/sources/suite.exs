ExUnit.start()

defmodule Cache.ServerTest do
  use ExUnit.Case, async: true
  import Mox

  setup_all do
    {:ok, server: start_supervised!(Cache.Server)}
  end

  setup %{server: server} = context do
    on_exit(fn -> GenServer.stop(server) end)
    Map.put(context, :key, "k")
  end

  describe "get/2" do
    test "finds what was put", %{server: server, key: key} do
      task = Task.async(fn -> GenServer.call(server, {:get, key}) end)
      assert {:ok, value} = Task.await(task)
      assert_receive {:stored, ^key, stored} when stored != nil, 500
      refute_received :lost
      assert value == stored
    end

    for size <- [1, 10] do
      test "sizes #{size}" do
        assert unquote(size) > 0
      end
    end
  end

  if System.get_env("CI") do
    test "only there" do
      assert Enum.all?(for(x <- 1..3, do: x), &(&1 > 0)) and not false
    end
  else
    test "only here", do: :ok
  end
end
