defmodule Racefree.Registry.InvariantsTest do
  @moduledoc """
  The invariants B1 to B12, each under random deaths. `bin/soak registry` runs them with more tries.

  That each of these laws can be broken is shown in `harness_test.exs`.
  """

  use Racefree.RegistryCase, async: false

  alias Racefree.{History, Linearizability, RegistryModel}

  @effort String.to_integer(System.get_env("RACEFREE_EFFORT", "1"))

  for {name, law, tries} <- [
        {"B1 who saw a process end, or ended it, never finds it", :dead_is_not_found, 10_000},
        {"B2 a granted subscription brings one :DOWN with the true reason",
         :granted_subscription_hears_the_end, 3_000},
        {"B4 a refused subscription leaves nothing", :refused_subscription_leaves_nothing, 3_000},
        {"B5 between begin and finish of a removal nothing succeeds", :removed_stays_removed,
         1_500},
        {"B6 a late death does not touch the next life of a key", :late_end_spares_the_next, 50},
        {"B7 a multicall has one outcome for each key and no message after",
         :multicall_answers_once, 200},
        {"B8 one starter at a time, and every waiter is answered", :one_starter, 1_500},
        {"B10 unsubscribing stops the messages before it returns", :silence_after_unsubscribe,
         200}
      ] do
    test name, %{reg: reg, seed: seed} do
      {result, reports} =
        SchedulerWatch.watch(5, fn ->
          apply(RegistryLaws, unquote(law), [Registry, reg, unquote(tries) * @effort, seed])
        end)

      assert_kept(result)
      assert reports == []
    end
  end

  test "B3 and B11 a registry restarted under its callers gives error values, never an exit or a raise",
       %{reg: reg, seed: seed} do
    {result, reports} =
      SchedulerWatch.watch(5, fn ->
        RegistryLaws.answers_are_values(Registry, reg, 4_000 * @effort, seed)
      end)

    assert_kept(result)
    assert reports == []
  end

  test "B9 nothing is left of processes that died", %{reg: reg, seed: seed} do
    settle(reg)
    {:ok, empty} = Registry.info(reg)

    {_result, reports} =
      SchedulerWatch.watch(5, fn ->
        Seed.use(seed, :roles)
        workers = for n <- 1..(300 * @effort), do: fn -> play_roles(reg, seed, n) end
        # All of them die in the end, in whatever they are doing.
        running = Together.start(workers)
        for {pid, _ref} <- Enum.shuffle(running), do: Process.exit(pid, :kill)
        Together.await(running)
      end)

    # By a process that ends, too.
    [{:value, _finished}] = Together.run([fn -> finish_removals(reg) end])
    settle(reg)
    {:ok, left} = Registry.info(reg)

    assert Map.take(left, [:keys, :entries, :processes, :pending]) ==
             Map.take(empty, [:keys, :entries, :processes, :pending])

    assert reports == []
  end

  # Holders, subscribers, leaders, waiters and removers, until the end.
  defp play_roles(reg, seed, n) do
    Seed.use(seed, n)

    for _turn <- 1..100 do
      key = :rand.uniform(50)

      case :rand.uniform(5) do
        1 -> Registry.register(reg, key, n)
        2 -> Registry.subscribe(reg, key)
        3 -> Registry.begin_remove(reg, key, n)
        4 -> Registry.ensure_started(reg, key, fn -> {:error, :none} end, 1)
        5 -> Registry.ensure_started(reg, key, fn -> receive(do: (:never -> :ok)) end, 1)
      end
    end
  end

  # A removal outlives its remover: somebody must finish it.
  defp finish_removals(reg) do
    {:ok, removals} = Registry.removals(reg)

    for {key, _reason, nil} <- removals do
      {:ok, removal} = Registry.begin_remove(reg, key, :again)
      :ok = Registry.finish_remove(removal)
    end
  end

  test "B12 the end of a process with 100,000 keys holds no scheduler", %{reg: reg} do
    {_result, reports} =
      SchedulerWatch.watch(1, fn ->
        holder = KeyHolder.start_idle()

        for part <- Enum.chunk_every(1..100_000, 100),
            do:
              KeyHolder.run(holder, fn ->
                for n <- part, do: :ok = Registry.register(reg, {:many, n})
              end)

        assert Registry.count(reg) == {:ok, 100_000}
        KeyHolder.finish_all([holder])
        settle(reg)
      end)

    assert Registry.count(reg) == {:ok, 0}
    assert reports == []
  end

  test "histories of processes that use the same keys and die are linearizable", %{
    reg: reg,
    seed: seed
  } do
    for n <- 1..(150 * @effort) do
      options = [keys: [{n, 1}, {n, 2}], workers: 4, turns: 30, kills: 4, seed: seed + n]

      for {key, operations} <- History.record(Registry, reg, options) do
        checked = Linearizability.check(RegistryModel, operations)

        assert checked == :ok,
               "key #{inspect(key)}, RACEFREE_SEED=#{seed}: #{inspect(checked, pretty: true, limit: 200)}"
      end
    end
  end

  test "a subscriber that stays gets each broadcast once and in order, whoever comes and goes", %{
    reg: reg,
    seed: seed
  } do
    key = :in_order
    holder = KeyHolder.start(Registry, reg, key)
    broadcasts = 500 * @effort
    stop = :atomics.new(1, [])

    stays = fn ->
      {:ok, %{ref: ref}} = Registry.subscribe(reg, key)

      for n <- 1..broadcasts,
          do: receive(do: ({Registry, ^ref, {:number, m}} -> {^n, true} = {m, n == m}))

      receive(do: ({Registry, ^ref, {:number, _} = more} -> more), after: (0 -> :each_once))
    end

    comes_and_goes = fn ->
      Seed.use(seed, self())

      Stream.repeatedly(fn ->
        {:ok, subscription} = Registry.subscribe(reg, key)
        Seed.spin(300)
        Registry.unsubscribe(subscription)
      end)
      |> Enum.find(fn _ -> :atomics.get(stop, 1) == 1 end)
    end

    staying = Together.start(List.duplicate(stays, 40))
    wait_for_subscribers(reg, key, 40)
    moving = Together.start(List.duplicate(comes_and_goes, 3))
    for n <- 1..broadcasts, do: {:ok, _count} = Registry.broadcast(reg, key, {:number, n})
    assert Together.await(staying) == List.duplicate({:value, :each_once}, 40)
    :atomics.put(stop, 1, 1)
    Together.await(moving)
    KeyHolder.finish_all([holder])
  end

  defp wait_for_subscribers(reg, key, count) do
    case Registry.broadcast(reg, key, :nothing) do
      {:ok, ^count} -> :ok
      _fewer -> wait_for_subscribers(reg, key, count)
    end
  end
end
