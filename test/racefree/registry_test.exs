defmodule Racefree.RegistryTest do
  use ExUnit.Case, async: true

  import Bitwise

  # Processes crash here on purpose.
  @moduletag :capture_log

  alias Racefree.{Registry, Removal, Subscription}

  doctest Racefree.Registry

  setup_all do
    {:ok, _started} = Application.ensure_all_started(:logger)
    :ok
  end

  setup context do
    registry = :"#{context.module}.#{:erlang.unique_integer([:positive])}"

    start_supervised!({Registry, Keyword.put(context[:options] || [], :name, registry)},
      id: registry
    )

    {:ok, registry: registry}
  end

  # A process that does what it is told, and answers `GenServer.call/2`.
  defmodule Worker do
    use GenServer

    def start(fun \\ fn -> :ok end) do
      {:ok, pid} = GenServer.start(__MODULE__, fun)
      pid
    end

    def run(pid, fun), do: GenServer.call(pid, {:run, fun})

    @impl true
    def init(fun), do: {:ok, fun.()}

    @impl true
    def handle_call({:run, fun}, _from, state), do: {:reply, fun.(), state}

    def handle_call({:silent, pid}, from, state) do
      send(pid, {:asked, from})
      {:noreply, state}
    end

    def handle_call({:stop, reason}, _from, state), do: {:stop, reason, state}
    def handle_call(request, _from, state), do: {:reply, {:echo, request}, state}

    @impl true
    def handle_cast(_message, state), do: {:noreply, state}
  end

  defp holder(registry, key, value \\ nil) do
    pid = Worker.start()
    :ok = Worker.run(pid, fn -> Registry.register(registry, key, value) end)
    pid
  end

  defp kill(pid) do
    ref = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^ref, :process, ^pid, _reason}
  end

  describe "keys" do
    @keys [
      :atom,
      nil,
      "",
      "text",
      <<1::3>>,
      0,
      1,
      -1,
      1.0,
      0.5,
      576_460_752_303_423_488,
      -9_223_372_036_854_775_808,
      18_446_744_073_709_551_616,
      [],
      [[]],
      [1 | 2],
      [1, 2],
      ~c"chars",
      {},
      {1},
      {1, 2},
      {{1}, 2},
      {1, {2}},
      {[1], 2},
      %{},
      %{1 => 2},
      %{1.0 => 2},
      %{2 => 1},
      %{a: %{b: 1}},
      %{a: 1, b: 1},
      {:a, "b"},
      {:a, :b},
      ["a", "b"],
      ["ab"],
      {"a", ""},
      {"", "a"}
    ]

    test "are told apart exactly as `===` does", %{registry: registry} do
      keys =
        @keys ++
          [
            self(),
            make_ref(),
            make_ref(),
            &is_atom/1,
            hd(Port.list()),
            Map.new(1..100, &{&1, &1}),
            nested(200),
            nested(201)
          ]

      for {key, n} <- Enum.with_index(keys),
          do: assert({key, Registry.register(registry, key, n)} == {key, :ok})

      for {key, n} <- Enum.with_index(keys),
          do: assert(Registry.lookup(registry, key) == {:ok, self(), n})

      assert {:ok, found} = Registry.keys(registry)
      assert length(found) == length(keys)
      for key <- keys, do: assert(Enum.any?(found, &(&1 === key)), inspect(key))
    end

    test "that are random terms are told apart as a map does", %{registry: registry} do
      seed = :rand.uniform(1_000_000)
      :rand.seed(:exsss, seed)
      # Few leaves, so that many terms come twice.
      terms = for n <- 1..3_000, do: {random_term(3), n}
      model = Map.new(terms)

      for {term, n} <- terms,
          Registry.register(registry, term, n) != :ok,
          do: :ok = Registry.put_value(registry, term, n)

      for {term, n} <- model do
        assert Registry.lookup(registry, term) == {:ok, self(), n},
               "seed #{seed}: #{inspect(term)}"
      end

      assert Registry.count(registry) == {:ok, map_size(model)}
      assert {:ok, keys} = Registry.keys(registry)
      assert Enum.sort(keys) == Enum.sort(Map.keys(model))
    end

    defp random_term(depth) do
      leaf =
        Enum.random([
          :a,
          nil,
          1,
          2.5,
          "a",
          "",
          <<5::3>>,
          [],
          {},
          self(),
          1 <<< 70,
          1 <<< 63,
          -(1 <<< 63)
        ])

      elements = fn -> for _ <- 1..:rand.uniform(3), do: random_term(depth - 1) end

      case if(depth == 0, do: 0, else: :rand.uniform(6)) do
        1 -> elements.()
        2 -> List.to_tuple(elements.())
        3 -> Map.new(elements.(), &{&1, random_term(depth - 1)})
        4 -> [random_term(depth - 1) | random_term(0)]
        _ -> leaf
      end
    end

    test "that are large maps do not depend on how they were built", %{registry: registry} do
      up = Enum.reduce(1..200, %{}, &Map.put(&2, &1, {&1}))
      down = Enum.reduce(200..1//-1, %{}, &Map.put(&2, &1, {&1}))
      :ok = Registry.register(registry, up)
      assert {:ok, _pid, nil} = Registry.lookup(registry, down)
    end

    test "of a megabyte work, and above the bound are refused", %{registry: registry} do
      key = :binary.copy("k", 1_000_000)
      assert Registry.register(registry, {key}) == :ok
      assert {:ok, _pid, nil} = Registry.lookup(registry, {key})
      assert Registry.keys(registry) == {:ok, [{key}]}
      assert Registry.unregister(registry, {key}) == :ok
      assert Registry.lookup(registry, {key}) == {:error, :not_found}

      assert Registry.register(registry, :binary.copy("k", 17_000_000)) ==
               {:error, :key_too_large}

      assert Registry.lookup(registry, :binary.copy("k", 17_000_000)) == {:error, :key_too_large}
    end

    defp nested(0), do: []
    defp nested(depth), do: {[nested(depth - 1)]}
  end

  describe "values" do
    test "come back as they are, whatever their size", %{registry: registry} do
      values =
        @keys ++
          [
            self(),
            make_ref(),
            fn -> 1 end,
            String.duplicate("v", 5_000),
            Enum.to_list(1..2_000),
            Enum.to_list(1..100_000),
            nested(500)
          ]

      for value <- values do
        :ok = Registry.register(registry, :key, value)
        assert {:ok, _pid, ^value} = Registry.lookup(registry, :key)
        :ok = Registry.unregister(registry, :key)
      end
    end

    test "change for the holder only", %{registry: registry} do
      holder = holder(registry, :key, 1)
      assert Registry.put_value(registry, :key, 2) == {:error, :not_found}
      assert Worker.run(holder, fn -> Registry.put_value(registry, :key, 3) end) == :ok
      assert Registry.lookup(registry, :key) == {:ok, holder, 3}
    end
  end

  describe "register" do
    test "refuses a key that is held, and takes that of a dead process at once", %{
      registry: registry
    } do
      for _ <- 1..200 do
        holder = holder(registry, :key)
        assert Registry.register(registry, :key) == {:error, {:already_registered, holder}}
        kill(holder)
        assert Registry.lookup(registry, :key) == {:error, :not_found}
        assert Registry.register(registry, :key) == :ok
        assert Registry.unregister(registry, :key) == :ok
      end
    end

    test "says so of an own key", %{registry: registry} do
      :ok = Registry.register(registry, :key)
      assert Registry.register(registry, :key) == {:error, {:already_registered, self()}}
    end
  end

  test "unregister frees own keys only", %{registry: registry} do
    holder = holder(registry, :key)
    assert Registry.unregister(registry, :key) == :ok
    assert {:ok, ^holder, nil} = Registry.lookup(registry, :key)
  end

  describe "subscribe" do
    test "gives messages and one :DOWN", %{registry: registry} do
      holder = holder(registry, :key, :value)

      assert {:ok, %Subscription{ref: ref, pid: ^holder, value: :value} = subscription} =
               Registry.subscribe(registry, :key)

      assert inspect(subscription) =~ "#Racefree.Subscription<"
      assert Registry.broadcast(registry, :key, :hello) == {:ok, 1}
      assert_received {Registry, ^ref, :hello}
      GenServer.stop(holder, :shutdown)
      assert_receive {:DOWN, ^ref, :process, ^holder, :shutdown}
      refute_received _
    end

    test "of a dead process leaves nothing", %{registry: registry} do
      for _ <- 1..200 do
        kill(holder(registry, :key))
        assert Registry.subscribe(registry, :key) == {:error, :not_found}
      end

      assert Process.info(self(), [:monitors, :messages]) == [monitors: [], messages: []]
    end

    test "and unsubscribe leave nothing", %{registry: registry} do
      holder = holder(registry, :key)
      {:ok, subscription} = Registry.subscribe(registry, :key)
      {:ok, 1} = Registry.broadcast(registry, :key, :hello)
      kill(holder)
      assert Registry.unsubscribe(subscription) == :ok
      assert Registry.unsubscribe(subscription) == :ok
      assert Process.info(self(), [:monitors, :messages]) == [monitors: [], messages: []]
    end

    test "to oneself, and several times", %{registry: registry} do
      :ok = Registry.register(registry, :key)
      {:ok, first} = Registry.subscribe(registry, :key)
      {:ok, second} = Registry.subscribe(registry, :key)
      assert Registry.broadcast(registry, :key, 1) == {:ok, 2}
      :ok = Registry.unsubscribe(first)
      assert Registry.broadcast(registry, :key, 2) == {:ok, 1}
      ref = second.ref

      assert Process.info(self(), :messages) ==
               {:messages, [{Registry, ref, 1}, {Registry, ref, 2}]}
    end
  end

  test "broadcast reaches each of many subscribers once, also with a large message", %{
    registry: registry
  } do
    :ok = Registry.register(registry, :key)
    subscriptions = for _ <- 1..5_000, do: elem(Registry.subscribe(registry, :key), 1)
    message = Enum.to_list(1..20_000)

    for {message, count} <- [small: 5_000, hello: 5_000],
        do: assert(Registry.broadcast(registry, :key, message) == {:ok, count})

    {:messages, messages} = Process.info(self(), :messages)

    assert Enum.sort(for {Registry, ref, _} <- messages, do: ref) ==
             Enum.sort(for s <- subscriptions, _ <- 1..2, do: s.ref)

    for subscription <- Enum.drop(subscriptions, 20), do: Registry.unsubscribe(subscription)
    assert Registry.broadcast(registry, :key, message) == {:ok, 20}

    for %{ref: ref} <- Enum.take(subscriptions, 20),
        do: assert_received({Registry, ^ref, ^message})
  end

  describe "call" do
    test "gives replies and says why there is none", %{registry: registry} do
      holder(registry, :key)
      assert Registry.call(registry, :key, :hello) == {:ok, {:echo, :hello}}
      assert Registry.call(registry, :nobody, :hello) == {:error, :not_found}
      assert Registry.call(registry, :key, {:silent, self()}, 10) == {:error, :timeout}
      assert_received {:asked, from}
      GenServer.reply(from, :late)
      assert Registry.call(registry, :key, {:stop, :because}) == {:error, {:down, :because}}
      :ok = Registry.register(registry, :own)
      assert Registry.call(registry, :own, :hello) == {:error, :calling_self}
      assert Process.info(self(), [:monitors, :messages]) == [monitors: [], messages: []]
    end

    test "monitored: subscribes with it", %{registry: registry} do
      holder = holder(registry, :key)

      assert {:ok, {:echo, 1}, %{ref: ref} = subscription} =
               Registry.call_monitored(registry, :key, 1)

      assert Registry.broadcast(registry, :key, 2) == {:ok, 1}
      assert_received {Registry, ^ref, 2}
      assert :ok = Registry.unsubscribe(subscription)
      assert {:error, :timeout} = Registry.call_monitored(registry, :key, {:silent, self()}, 10)
      assert_received {:asked, from}
      GenServer.reply(from, :late)
      assert Registry.broadcast(registry, :key, 3) == {:ok, 0}

      assert {:error, {:down, :because}} =
               Registry.call_monitored(registry, :key, {:stop, :because})

      kill(holder)
      assert Registry.call_monitored(registry, :key, 1) == {:error, :not_found}
      assert Process.info(self(), [:monitors, :messages]) == [monitors: [], messages: []]
    end
  end

  test "a server that ends with the reason :noproc was there", %{registry: registry} do
    calls = [
      call: fn -> Registry.call(registry, :key, {:stop, :noproc}) end,
      call_monitored: fn -> Registry.call_monitored(registry, :key, {:stop, :noproc}) end,
      multicall: fn ->
        [key: outcome] = Registry.multicall(registry, [key: {:stop, :noproc}], 5_000)
        {:error, outcome}
      end
    ]

    for {name, call} <- calls do
      holder(registry, :key)
      assert {name, call.()} == {name, {:error, {:down, :noproc}}}
    end
  end

  test "multicall gives each its outcome, in order", %{registry: registry} do
    for key <- [:a, :b, :silent, :stopping], do: holder(registry, key)
    {:ok, _removal} = Registry.begin_remove(registry, :removed, :because)
    :ok = Registry.register(registry, :own)
    own = self()

    requests = [
      b: 1,
      a: 2,
      silent: {:silent, self()},
      own: 3,
      nobody: 4,
      removed: 5,
      stopping: {:stop, :because},
      b: 6
    ]

    assert Registry.multicall(registry, requests, 2_000) == [
             b: {:ok, {:echo, 1}},
             a: {:ok, {:echo, 2}},
             silent: :timeout,
             own: {:down, :calling_self},
             nobody: :not_found,
             removed: {:removed, :because},
             stopping: {:down, :because},
             b: {:ok, {:echo, 6}}
           ]

    assert_received {:asked, {^own, _tag} = from}
    GenServer.reply(from, :late)
    assert Process.info(self(), [:monitors, :messages]) == [monitors: [], messages: []]
    assert Registry.multicall(registry, [a: 1], 0) in [[a: :timeout], [a: {:ok, {:echo, 1}}]]
    assert Registry.multicall(registry, [], 0) == []
  end

  describe "ensure_started" do
    test "publishes what the starter gives", %{registry: registry} do
      pid = Worker.start()

      assert Registry.ensure_started(registry, 1, fn -> {:ok, pid} end, 100, value: :v) ==
               {:ok, pid}

      assert Registry.lookup(registry, 1) == {:ok, pid, :v}
      assert Registry.ensure_started(registry, 2, fn -> {:ok, pid, :info} end) == {:ok, pid}

      assert Registry.ensure_started(registry, 3, fn -> {:error, {:already_started, pid}} end) ==
               {:ok, pid}

      assert Registry.ensure_started(registry, 4, fn -> {:error, :because} end) ==
               {:error, :because}

      assert Registry.ensure_started(registry, 4, fn -> :ignore end) == {:error, :ignore}

      assert Registry.ensure_started(registry, 4, fn -> :other end) ==
               {:error, {:bad_return_value, :other}}

      assert_raise RuntimeError, fn ->
        Registry.ensure_started(registry, 4, fn -> raise "no" end)
      end

      assert catch_exit(Registry.ensure_started(registry, 4, fn -> exit(:no) end)) == :no
      kill(pid)
      assert Registry.ensure_started(registry, 4, fn -> {:ok, pid} end) == {:error, :noproc}
      assert Registry.lookup(registry, 4) == {:error, :not_found}
      nested = fn -> Registry.ensure_started(registry, 4, fn -> {:ok, self()} end) end
      assert Registry.ensure_started(registry, 4, nested) == {:error, :already_leading}
    end

    test "accepts a process that registers itself", %{registry: registry} do
      name = {:via, Registry, {registry, :key, :own}}

      assert {:ok, pid} =
               Registry.ensure_started(registry, :key, fn ->
                 GenServer.start(Worker, fn -> :ok end, name: name)
               end)

      assert Registry.lookup(registry, :key) == {:ok, pid, :own}
      assert GenServer.call(name, 1) == {:echo, 1}
      GenServer.cast(name, :unknown)

      other = fn ->
        holder(registry, :other)
        {:ok, Worker.start()}
      end

      assert {:error, {:registered_by_other, holder}} =
               Registry.ensure_started(registry, :other, other)

      assert {:ok, ^holder, nil} = Registry.lookup(registry, :other)
    end

    test "answers those who wait", %{registry: registry} do
      test = self()

      lead = fn outcome ->
        starter = fn ->
          send(test, {:leading, self()})
          receive do: (:go -> outcome.())
        end

        Task.async(fn ->
          try do
            Registry.ensure_started(registry, :key, starter)
          catch
            kind, reason -> {kind, reason}
          end
        end)
      end

      wait = fn starter ->
        Task.async(fn -> Registry.ensure_started(registry, :key, starter) end)
      end

      pid = Worker.start()

      outcomes = [
        {fn -> {:error, :because} end, {:error, :because}, {:error, :because}},
        {fn -> exit(:because) end, {:exit, :because}, {:error, {:start_failed, :because}}},
        {fn -> throw(:because) end, {:throw, :because}, nil},
        {fn -> {:ok, pid} end, {:ok, pid}, {:ok, pid}}
      ]

      for {outcome, leads, waits} <- outcomes do
        leader = lead.(outcome)
        assert_receive {:leading, leading}
        assert Registry.lookup(registry, :key) == {:error, :starting}
        assert Registry.ensure_started(registry, :key, fn -> flunk() end, 0) == {:error, :timeout}
        waiter = wait.(fn -> flunk() end)
        # It waits once it has its link; nothing else of it can be seen from outside.
        assert {:status, :waiting} =
                 eventually(fn -> Process.info(waiter.pid, :status) end, {:status, :waiting})

        send(leading, :go)
        assert Task.await(leader) == leads

        if waits,
          do: assert(Task.await(waiter) == waits),
          else: assert({:error, {:start_failed, {{:nocatch, :because}, _}}} = Task.await(waiter))
      end

      kill(pid)
      Process.flag(:trap_exit, true)
      leader = lead.(fn -> :never end)
      assert_receive {:leading, leading}
      second = wait.(fn -> {:ok, Worker.start()} end)

      assert {:status, :waiting} =
               eventually(fn -> Process.info(second.pid, :status) end, {:status, :waiting})

      kill(leading)
      assert {:ok, started} = Task.await(second)
      assert {:ok, ^started, nil} = Registry.lookup(registry, :key)
      assert leader.pid == leading
      {:messages, messages} = Process.info(self(), :messages)
      assert for({Registry, _, _} = late <- messages, do: late) == []
    end
  end

  defp eventually(fun, wanted) do
    case fun.() do
      ^wanted -> wanted
      _ -> eventually(fun, wanted)
    end
  end

  describe "removal" do
    test "keeps everybody out until it is finished", %{registry: registry} do
      holder = holder(registry, :key)
      {:ok, %{ref: ref}} = Registry.subscribe(registry, :key)

      assert {:ok, %Removal{owner: ^holder} = removal} =
               Registry.begin_remove(registry, :key, :because)

      assert inspect(removal) =~ "#Racefree.Removal<"
      refused = {:error, {:removed, :because}}
      assert Registry.lookup(registry, :key) == refused
      assert Registry.register(registry, :key) == refused
      assert Registry.subscribe(registry, :key) == refused
      assert Registry.broadcast(registry, :key, 1) == refused
      assert Registry.call(registry, :key, 1) == refused
      assert Registry.call_monitored(registry, :key, 1) == refused
      assert Registry.ensure_started(registry, :key, fn -> flunk() end) == refused
      assert Registry.begin_remove(registry, :key, :again) == refused
      assert Registry.removals(registry) == {:ok, [{:key, :because, self()}]}
      assert Registry.finish_remove(removal) == :ok
      assert Registry.finish_remove(removal) == {:error, :stale}
      assert Registry.removals(registry) == {:ok, []}
      assert Registry.register(registry, :key) == :ok
      kill(holder)
      assert_receive {:DOWN, ^ref, :process, ^holder, :killed}
    end

    test "is taken over from a remover that died", %{registry: registry} do
      {:ok, removal} =
        Task.await(Task.async(fn -> Registry.begin_remove(registry, :key, :first) end))

      assert Registry.lookup(registry, :key) == {:error, {:removed, :first}}
      assert {:ok, taken} = Registry.begin_remove(registry, :key, :second)
      assert taken.owner == :none
      assert Registry.finish_remove(removal) == {:error, :stale}
      assert Registry.lookup(registry, :key) == {:error, {:removed, :second}}
      assert Registry.finish_remove(taken) == :ok
    end

    test "refuses a start that is under way", %{registry: registry} do
      starter = fn ->
        {:ok, _removal} = Registry.begin_remove(registry, :key, :because)
        {:ok, Worker.start()}
      end

      assert Registry.ensure_started(registry, :key, starter) == {:error, {:removed, :because}}
    end
  end

  test "listings name the living", %{registry: registry} do
    holders = for n <- 1..3_000, do: {n, holder(registry, n, {:value, n})}
    assert Registry.count(registry) == {:ok, 3_000}
    assert {:ok, found} = Registry.select(registry)
    assert Enum.sort(found) == for({n, pid} <- holders, do: {n, pid, {:value, n}})
    {1, first} = hd(holders)
    assert Registry.keys(registry, first) == {:ok, [1]}
    kill(first)
    assert Registry.keys(registry, first) == {:ok, []}
    assert {:ok, found} = Registry.select(registry)
    assert length(found) == 2_999
  end

  describe "listeners" do
    @describetag options: [listeners: [:racefree_registry_test_listener]]

    test "hear of what happened, in order", %{registry: registry} do
      Process.register(self(), :racefree_registry_test_listener)
      holder = holder(registry, {:key, 1}, [:value])
      assert_receive {:register, ^registry, {:key, 1}, ^holder, [:value]}
      :ok = Worker.run(holder, fn -> Registry.unregister(registry, {:key, 1}) end)
      assert_receive {:unregister, ^registry, {:key, 1}, ^holder}
      :ok = Worker.run(holder, fn -> Registry.register(registry, :other) end)
      assert_receive {:register, ^registry, :other, ^holder, nil}
      kill(holder)
      assert_receive {:unregister, ^registry, :other, ^holder}
    end
  end

  describe "the owner process" do
    test "leaves its entries to its successor when it crashes", %{registry: registry} do
      holder = holder(registry, :key, :value)
      {:ok, %{ref: ref}} = Registry.subscribe(registry, :key)
      owner = Process.whereis(registry)
      kill(owner)
      eventually(fn -> Process.whereis(registry) not in [nil, owner] end, true)
      :sys.get_state(registry)
      assert Registry.lookup(registry, :key) == {:ok, holder, :value}
      assert Registry.broadcast(registry, :key, 1) == {:ok, 1}
      assert_received {Registry, ^ref, 1}
    end

    test "takes its entries with it when it stops", %{registry: registry} do
      holder(registry, :key)
      {:ok, subscription} = Registry.subscribe(registry, :key)
      {:ok, removal} = Registry.begin_remove(registry, :other, :because)
      test = self()

      leader =
        Task.async(fn ->
          Registry.ensure_started(registry, :started, fn ->
            send(test, :leading)
            receive do: (:go -> {:ok, self()})
          end)
        end)

      assert_receive :leading

      waiter =
        Task.async(fn -> Registry.ensure_started(registry, :started, fn -> flunk() end) end)

      assert {:status, :waiting} =
               eventually(fn -> Process.info(waiter.pid, :status) end, {:status, :waiting})

      :ok = stop_supervised(registry)
      down = {:error, :registry_down}
      assert Task.await(waiter) == down
      send(leader.pid, :go)
      assert Task.await(leader) == down
      assert Registry.lookup(registry, :key) == down
      assert Registry.register(registry, :key) == down
      assert Registry.unregister(registry, :key) == :ok
      assert Registry.put_value(registry, :key, 1) == down
      assert Registry.subscribe(registry, :key) == down
      assert Registry.broadcast(registry, :key, 1) == down
      assert Registry.call(registry, :key, 1) == down
      assert Registry.call_monitored(registry, :key, 1) == down
      assert Registry.multicall(registry, [key: 1], 10) == [key: :registry_down]
      assert Registry.ensure_started(registry, :key, fn -> flunk() end) == down
      assert Registry.begin_remove(registry, :key, 1) == down
      assert Registry.finish_remove(removal) == {:error, :stale}
      assert Registry.unsubscribe(subscription) == :ok
      assert Registry.count(registry) == down
      assert Registry.keys(registry) == down
      assert Registry.select(registry) == down
      assert Registry.removals(registry) == down
      assert Registry.lookup(:no_such_registry, :key) == down
      start_supervised!({Registry, name: registry}, id: registry)
      assert Registry.lookup(registry, :key) == {:error, :not_found}
    end

    test "refuses options that it does not know" do
      assert_raise ArgumentError, ~r/:name is required/, fn -> Registry.start_link([]) end

      assert_raise ArgumentError, ~r/unknown option :keys/, fn ->
        Registry.start_link(name: :x, keys: :unique)
      end

      assert_raise ArgumentError, ~r/positive integer/, fn ->
        Registry.start_link(name: :x, shards: 0)
      end
    end
  end

  test "the functions with a ! raise an error that says what is wrong", %{registry: registry} do
    assert Registry.register!(registry, :key, 1) == :ok
    assert Registry.lookup!(registry, :key) == {self(), 1}
    assert %Subscription{} = Registry.subscribe!(registry, :key)

    assert_raise Racefree.Error, ~r/lookup of :other in .*: nobody holds the key/, fn ->
      Registry.lookup!(registry, :other)
    end

    assert_raise Racefree.Error, ~r/holds the key/, fn -> Registry.register!(registry, :key) end

    assert_raise Racefree.Error, ~r/the caller itself/, fn ->
      Registry.call!(registry, :key, 1)
    end

    assert_raise Racefree.Error, ~r/call of :other/, fn -> Registry.call!(registry, :other, 1) end

    assert_raise Racefree.Error, fn ->
      Registry.ensure_started!(registry, :other, fn -> :ignore end)
    end
  end
end
