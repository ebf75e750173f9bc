defmodule Racefree.Registry.FaultsTest do
  @moduledoc """
  What else must be tried on a registry: great numbers, bad leaders, strange keys, processes of other nodes.

  Deaths and removals in the middle of a function are in `steps_test.exs`; panics, reloading and a missing library in
  `registry_fault_test.exs`.
  """

  use Racefree.RegistryCase, async: false

  alias Racefree.{Crowd, Foreigner, SecondMachine}

  describe "great numbers" do
    test "10,000 monitors ahead of ours: the :DOWN comes first, and the dead process is not found",
         %{reg: reg} do
      for n <- 1..20 do
        {pid, ref} = spawn_monitor(fn -> KeyHolder.serve() end)
        watchers = for _ <- 1..100, do: KeyHolder.start_idle()

        for watcher <- watchers,
            do:
              KeyHolder.run(watcher, fn -> for(_ <- 1..100, do: Process.monitor(pid)) && :ok end)

        :ok = KeyHolder.run(pid, fn -> Registry.register(reg, n) end)
        Process.exit(pid, :kill)
        receive(do: ({:DOWN, ^ref, :process, ^pid, :killed} -> :ok))
        assert Registry.lookup(reg, n) == {:error, :not_found}
        assert Registry.subscribe(reg, n) == {:error, :not_found}
        assert Registry.call(reg, n, :ping) == {:error, :not_found}
        assert Registry.call_monitored(reg, n, :ping) == {:error, :not_found}
        assert Registry.multicall(reg, [{n, :ping}], 1_000) == [{n, :not_found}]
        assert Registry.register(reg, n) == :ok
        assert Registry.lookup(reg, n) == {:ok, self(), nil}
        KeyHolder.finish_all(watchers)
      end
    end

    test "100,000 subscribers of a key, and a thousand that come and go", %{reg: reg} do
      {_counts, reports} =
        SchedulerWatch.watch(5, fn ->
          holder = KeyHolder.start(Registry, reg, :popular)
          crowd = for _ <- 1..100, do: KeyHolder.start_idle()
          # A thousand subscriptions each: a process may subscribe as often as it likes.
          for pid <- crowd, _part <- 1..10 do
            KeyHolder.run(pid, fn ->
              for _ <- 1..100, do: {:ok, _subscription} = Registry.subscribe(reg, :popular)
            end)
          end

          comes_and_goes = fn ->
            for _ <- 1..1_000 do
              {:ok, subscription} = Registry.subscribe(reg, :popular)
              :ok = Registry.unsubscribe(subscription)
            end
          end

          moving = Together.start([comes_and_goes])

          counts =
            for n <- 1..3, {:ok, count} <- [Registry.broadcast(reg, :popular, n)], do: count

          assert [{:value, _}] = Together.await(moving)
          # One who was subscribed all the time is counted each time.
          assert Enum.all?(counts, &(&1 in 100_000..100_001))
          KeyHolder.finish_all([holder | crowd])
          settle(reg)
          counts
        end)

      assert reports == []
    end

    test "50,000 registered processes die at once: nothing is left" do
      for round <- Crowd.die(50_000, 2),
          do: assert(%{keys: 0, entries: 0, processes: 0, pending: 0} = round)
    end

    @tag :long
    test "500,000 registered processes die at once: nothing is left, and the memory returns" do
      machine = SecondMachine.start(["+P", "1000000"])
      [first | rounds] = SecondMachine.call(machine, Crowd, :die, [500_000, 3])
      SecondMachine.stop(machine)

      for round <- [first | rounds] do
        assert %{keys: 0, entries: 0, processes: 0, pending: 0} = round
        assert round.capacity <= 64 * 64 * 2
      end

      # What was given out and not given back: eight bytes of each process are 4 MB. (What the library itself holds is counted in `registry_fault_test.exs`.)
      for round <- rounds, do: assert(round.machine_bytes - first.machine_bytes <= 4_000_000)

      # The allocators keep what they like of what they were given back, so this finds only what is lost at large: a hundred bytes each are 150 MB.
      assert Enum.min(for round <- rounds, do: round.resident_kib) <= first.resident_kib * 1.5
    end
  end

  describe "a leader" do
    test "that is killed hands over to the next one who waits", %{reg: reg} do
      {leader, _ref} = leads(reg, fn -> receive(do: (:never -> :ok)) end)
      holder = KeyHolder.start_idle()

      waiting =
        Together.start(
          List.duplicate(
            fn -> Registry.ensure_started(reg, :led, fn -> {:ok, holder} end, 60_000) end,
            10
          )
        )

      until(fn -> Registry.info(reg) |> elem(1) |> Map.fetch!(:processes) == 11 end)
      Process.exit(leader, :kill)
      assert Together.await(waiting) == List.duplicate({:value, {:ok, holder}}, 10)
    end

    test "that hangs leaves who waits with a timeout and no message", %{reg: reg} do
      {leader, _ref} = leads(reg, fn -> receive(do: (:never -> :ok)) end)

      waits = fn ->
        result = Registry.ensure_started(reg, :led, fn -> {:ok, self()} end, 10)
        Process.exit(leader, :kill)
        settle(reg, 1)
        {result, Process.info(self(), :messages)}
      end

      assert Together.run([waits]) == [{:value, {{:error, :timeout}, {:messages, []}}}]
      assert Registry.lookup(reg, :led) == {:error, :not_found}
    end

    for {how, starter, raised, told} <- [
          {"raises", quote(do: fn -> raise("no") end),
           quote(do: {:error, %RuntimeError{message: "no"}}),
           quote(do: {%RuntimeError{}, _stack})},
          {"exits", quote(do: fn -> exit(:no) end), quote(do: {:exit, :no}), quote(do: :no)},
          {"throws", quote(do: fn -> throw(:no) end), quote(do: {:throw, :no}),
           quote(do: {{:nocatch, :no}, _stack})}
        ] do
      test "that #{how} does so to its caller, and tells who waits", %{reg: reg} do
        go = self()
        {leader, ref} = leads(reg, fn -> receive(do: ({:go, ^go} -> unquote(starter).())) end)

        [waiting] =
          Together.start([fn -> Registry.ensure_started(reg, :led, fn -> :never end, 60_000) end])

        until(fn -> Registry.info(reg) |> elem(1) |> Map.fetch!(:processes) == 2 end)
        send(leader, {:go, go})
        assert_receive {:DOWN, ^ref, :process, ^leader, {:caught, unquote(raised)}}, 60_000
        assert [{:value, {:error, {:start_failed, unquote(told)}}}] = Together.await([waiting])
        assert Registry.lookup(reg, :led) == {:error, :not_found}
      end
    end

    test "that brings another process than the one that took the key is told so", %{reg: reg} do
      other = KeyHolder.start_idle()

      starter = fn ->
        :ok = KeyHolder.run(other, fn -> Registry.register(reg, :led) end)
        {:ok, KeyHolder.start_idle()}
      end

      assert Registry.ensure_started(reg, :led, starter) ==
               {:error, {:registered_by_other, other}}

      assert {:ok, ^other, nil} = Registry.lookup(reg, :led)
    end

    test "that brings a dead process has started nothing, and the next one who waits leads", %{
      reg: reg
    } do
      go = self()

      {leader, ref} =
        leads(reg, fn ->
          receive(do: ({:go, ^go} -> :ok))
          pid = KeyHolder.start_idle()
          KeyHolder.finish_all([pid])
          {:ok, pid}
        end)

      holder = KeyHolder.start_idle()

      [waiting] =
        Together.start([
          fn -> Registry.ensure_started(reg, :led, fn -> {:ok, holder} end, 60_000) end
        ])

      until(fn -> Registry.info(reg) |> elem(1) |> Map.fetch!(:processes) == 2 end)
      send(leader, {:go, go})
      assert_receive {:DOWN, ^ref, :process, ^leader, {:result, {:error, :noproc}}}, 60_000
      assert Together.await([waiting]) == [{:value, {:ok, holder}}]
    end

    # A process that has the lead of `:led` and is in `starter`.
    defp leads(reg, starter) do
      test = self()

      {pid, ref} =
        spawn_monitor(fn ->
          started = fn ->
            send(test, {:in_starter, self()})
            starter.()
          end

          outcome =
            try do
              {:result, Registry.ensure_started(reg, :led, started, 60_000)}
            catch
              kind, reason -> {:caught, {kind, reason}}
            end

          exit(outcome)
        end)

      receive(do: ({:in_starter, ^pid} -> {pid, ref}))
    end
  end

  describe "a multicall" do
    test "to all that can go wrong at once gives an outcome for each, in order", %{reg: reg} do
      :ok = Registry.register(reg, :self)

      [echo, suspended, exiting, dead] =
        for key <- [:echo, :suspended, :exiting, :dead], do: KeyHolder.start(Registry, reg, key)

      true = :erlang.suspend_process(suspended)
      KeyHolder.finish_all([dead])
      {:ok, _removal} = Registry.begin_remove(reg, :removed, :gone)
      {leader, _ref} = leads_key(reg, :starting)

      requests = [
        {:self, :ping},
        {:echo, {:echo, 1}},
        {:suspended, :ping},
        {:exiting, {:end, :reason}},
        {:dead, :ping},
        {:absent, :ping},
        {:removed, :ping},
        {:starting, :ping},
        {:echo, {:echo, 2}},
        {:echo, {:echo, 1}}
      ]

      assert Registry.multicall(reg, requests, 2_000) == [
               {:self, {:down, :calling_self}},
               {:echo, {:ok, 1}},
               {:suspended, :timeout},
               {:exiting, {:down, :reason}},
               {:dead, :not_found},
               {:absent, :not_found},
               {:removed, {:removed, :gone}},
               {:starting, :starting},
               {:echo, {:ok, 2}},
               {:echo, {:ok, 1}}
             ]

      true = :erlang.resume_process(suspended)
      # The suspended one answers now, before it answers this.
      :ok = GenServer.call(suspended, :ping)
      assert Process.info(self(), :messages) == {:messages, []}
      KeyHolder.finish_all([echo, suspended, exiting, leader])
    end

    test "of nothing, and with a deadline of 0", %{reg: reg} do
      holder = KeyHolder.start(Registry, reg, :key)
      true = :erlang.suspend_process(holder)
      assert Registry.multicall(reg, [], 0) == []

      assert Registry.multicall(reg, [{:key, :ping}, {:absent, :ping}], 0) == [
               {:key, :timeout},
               {:absent, :not_found}
             ]

      true = :erlang.resume_process(holder)
      :ok = GenServer.call(holder, :ping)
      assert Process.info(self(), :messages) == {:messages, []}
    end

    test "does not read the caller's mailbox", %{reg: reg} do
      KeyHolder.start(Registry, reg, :key)
      for n <- 1..200_000, do: send(self(), {:unread, n})
      asked = List.duplicate({:key, {:echo, 1}}, 100)
      {:reductions, before} = Process.info(self(), :reductions)
      answers = Registry.multicall(reg, asked, 60_000)
      {:reductions, later} = Process.info(self(), :reductions)
      assert answers == List.duplicate({:key, {:ok, 1}}, 100)
      # Looking once through the mailbox for each answer would cost twenty million.
      assert later - before < 1_000_000
    end

    defp leads_key(reg, key) do
      test = self()

      pid =
        spawn(fn ->
          Registry.ensure_started(reg, key, fn ->
            send(test, {:in_starter, self()}) && receive(do: (:never -> :ok))
          end)
        end)

      receive(do: ({:in_starter, ^pid} -> {pid, nil}))
    end
  end

  describe "keys and processes" do
    test "of every kind are told apart as `===` does", %{reg: reg} do
      port = Port.open({:spawn, "cat"}, [])

      keys =
        [
          nil,
          true,
          1,
          1.0,
          -1,
          2 ** 70,
          "",
          "1",
          ~c"1",
          :"1",
          {},
          {1},
          {1.0},
          [],
          [nil],
          [1 | 2],
          %{},
          %{1 => 1},
          %{1.0 => 1},
          %{1 => 1.0}
        ] ++
          [
            <<1::3>>,
            make_ref(),
            self(),
            port,
            fn -> 1 end,
            &String.upcase/1,
            String.duplicate("k", 1_000_000),
            {:deep, [[[[%{a: [1.0]}]]]]}
          ]

      for {key, n} <- Enum.with_index(keys), do: assert(Registry.register(reg, key, n) == :ok)

      for {key, n} <- Enum.with_index(keys),
          do: assert(Registry.lookup(reg, key) == {:ok, self(), n})

      {:ok, listed} = Registry.keys(reg)
      assert Enum.sort(listed) == Enum.sort(keys)
      for key <- keys, do: assert(Registry.unregister(reg, key) == :ok)
      assert {:ok, %{keys: 0, entries: 0}} = Registry.info(reg)
      Port.close(port)
    end

    test "a port or nil where a process belongs is an error value or a function clause, never a crash of the machine",
         %{reg: reg} do
      port = Port.open({:spawn, "cat"}, [])

      assert {:error, {:bad_return_value, {:ok, nil}}} =
               Registry.ensure_started(reg, :key, fn -> {:ok, nil} end)

      assert {:error, {:bad_return_value, {:ok, ^port}}} =
               Registry.ensure_started(reg, :key, fn -> {:ok, port} end)

      assert Registry.register_name({reg, :key}, KeyHolder.start_idle()) == :no
      assert_raise FunctionClauseError, fn -> Registry.keys(reg, port) end
      assert Registry.lookup(reg, :key) == {:error, :not_found}
      Port.close(port)
    end

    test "a process of another node is refused", %{reg: _reg} do
      assert {_output, 0} = System.cmd("epmd", ["-daemon"])
      id = System.unique_integer([:positive])
      options = [host: ~c"127.0.0.1", longnames: true]

      [here, there] =
        for side <- [:here, :there],
            do: SecondMachine.start([], [{:name, :"racefree_#{side}_#{id}"} | options])

      refused =
        SecondMachine.call(here, Foreigner, :refused, [
          SecondMachine.call(there, :erlang, :node, [])
        ])

      assert refused == %{start: {:error, :remote_pid}, name: :no, left: {:ok, 0}, messages: []}
      for machine <- [here, there], do: SecondMachine.stop(machine)
    end
  end

  test "a registry that is killed under load keeps every entry, value and subscription", %{
    reg: reg,
    seed: seed
  } do
    Seed.use(seed, :load)
    holders = for n <- 1..200, do: {n, KeyHolder.start(Registry, reg, n, {:value, n})}

    subscriptions =
      for {n, _pid} <- holders,
          {:ok, subscription} <- [Registry.subscribe(reg, n)],
          do: {n, subscription}

    {:ok, removal} = Registry.begin_remove(reg, :removed, :reason)
    stop = :atomics.new(1, [])

    caller = fn ->
      Stream.repeatedly(fn -> Registry.lookup(reg, :rand.uniform(200)) end)
      |> Enum.find_value(fn
        {:ok, _pid, {:value, _n}} -> :atomics.get(stop, 1) == 1 && :as_it_should
        {:error, :registry_down} -> :atomics.get(stop, 1) == 1 && :as_it_should
        wrong -> {:wrong, wrong}
      end)
    end

    callers = Together.start(List.duplicate(caller, 3))

    for _ <- 1..20 do
      Seed.spin(30_000)
      with pid when is_pid(pid) <- Process.whereis(reg), do: KeyHolder.finish_all([pid])
    end

    :atomics.put(stop, 1, 1)
    assert Together.await(callers) == List.duplicate({:value, :as_it_should}, 3)
    until(fn -> match?({:ok, _}, Registry.info(reg)) end)

    for {n, pid} <- holders, do: assert(Registry.lookup(reg, n) == {:ok, pid, {:value, n}})
    assert Registry.lookup(reg, :removed) == {:error, {:removed, :reason}}
    assert Registry.finish_remove(removal) == :ok

    for {n, %{ref: ref}} <- subscriptions do
      assert Registry.broadcast(reg, n, :still) == {:ok, 1}
      assert_received {Registry, ^ref, :still}
    end

    KeyHolder.finish_all(for {_n, pid} <- holders, do: pid)

    for {_n, %{ref: ref}} <- subscriptions,
        do: assert_received({:DOWN, ^ref, :process, _pid, :killed})

    # The test's own process stays watched.
    settle(reg, 1)
    assert Registry.count(reg) == {:ok, 0}
  end

  # Asks until it is so; the test's own timeout bounds it.
  defp until(condition), do: if(condition.(), do: :ok, else: until(condition))
end
