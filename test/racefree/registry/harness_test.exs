defmodule Racefree.Registry.HarnessTest do
  @moduledoc """
  The laws, the stepped twin and the checker of histories catch what they are for: here they are given a registry
  written by hand, which loses every race.
  """

  use Racefree.RegistryCase, async: true

  alias Racefree.{History, Linearizability, NaiveRegistry, RegistryModel}

  @moduletag subject: NaiveRegistry, capture_log: true

  for {law, tries} <- [
        dead_is_not_found: 500,
        granted_subscription_hears_the_end: 500,
        refused_subscription_leaves_nothing: 5_000,
        answers_are_values: 500,
        removed_stays_removed: 500,
        late_end_spares_the_next: 20,
        one_starter: 200,
        silence_after_unsubscribe: 50
      ] do
    test "the law #{law} is broken by a registry written by hand", %{reg: reg, seed: seed} do
      # Which race is lost is up to the schedule: on some machines it takes many rounds.
      result =
        Enum.reduce_while(0..49, nil, fn round, _kept ->
          case apply(RegistryLaws, unquote(law), [
                 NaiveRegistry,
                 reg,
                 unquote(tries),
                 seed + round
               ]) do
            %{broken: []} = kept -> {:cont, kept}
            broken -> {:halt, broken}
          end
        end)

      broken = assert_broken(result)

      if System.get_env("RACEFREE_COUNTS"),
        do: IO.puts("#{unquote(law)}: #{broken} breaks in #{unquote(tries)} tries")
    end
  end

  test "histories of a registry written by hand are not linearizable", %{reg: reg, seed: seed} do
    checked =
      for n <- 1..20 do
        options = [keys: [{n, 1}], workers: 4, turns: 25, kills: 0, seed: seed + n]

        for {_key, operations} <- History.record(NaiveRegistry, reg, options),
            do: Linearizability.check(RegistryModel, operations)
      end

    assert Enum.any?(List.flatten(checked), &match?({:error, _where}, &1))
  end

  describe "the checker of histories" do
    defp history(rows) do
      for {row, id} <- Enum.with_index(rows, 1) do
        {process, call, result, from, upto} = row
        %{id: id, key: :key, process: process, call: call, result: result, from: from, upto: upto}
      end
    end

    test "accepts operations that overlap, in whatever order explains them" do
      rows = [
        {:a, {:register, 1}, :ok, 1, 6},
        {:b, :lookup, {:ok, :a, 1}, 2, 3},
        {:b, {:register, 2}, {:error, {:already_registered, :a}}, 4, 5}
      ]

      assert Linearizability.check(RegistryModel, history(rows)) == :ok
    end

    test "refuses a look-up that finds nobody after the registration has returned" do
      rows = [{:a, {:register, 1}, :ok, 1, 2}, {:b, :lookup, {:error, :not_found}, 3, 4}]

      assert {:error, %{cannot_follow: [%{call: :lookup}]}} =
               Linearizability.check(RegistryModel, history(rows))
    end

    test "refuses a look-up that finds a process after its end was seen" do
      rows = [
        {:a, {:register, 1}, :ok, 1, 2},
        {:b, {:kill, :a}, :ok, 3, 4},
        {:b, :lookup, {:ok, :a, 1}, 5, 6}
      ]

      assert {:error, _where} = Linearizability.check(RegistryModel, history(rows))
    end

    test "lets an operation without an end take effect or not" do
      for found <- [{:ok, :a, 1}, {:error, :not_found}] do
        rows = [{:a, {:register, 1}, nil, 1, :never}, {:b, :lookup, found, 2, 3}]
        assert Linearizability.check(RegistryModel, history(rows)) == :ok
      end
    end

    test "refuses that it takes effect, is seen, and then had none" do
      rows = [
        {:a, {:register, 1}, nil, 1, :never},
        {:b, :lookup, {:ok, :a, 1}, 2, 3},
        {:b, :lookup, {:error, :not_found}, 4, 5}
      ]

      assert {:error, _where} = Linearizability.check(RegistryModel, history(rows))
    end

    test "refuses two leads at a time" do
      rows = [
        {:a, :lead, :ok, 1, 2},
        {:b, :lead, :ok, 3, 4},
        {:a, {:publish, :c}, {:ok, :c}, 5, 6}
      ]

      assert {:error, _where} = Linearizability.check(RegistryModel, history(rows))
    end

    test "refuses a success between the begin and the finish of a removal" do
      rows = [
        {:a, {:begin_remove, :r}, :ok, 1, 2},
        {:b, {:register, 1}, :ok, 3, 4},
        {:a, {:finish_remove, :r}, :ok, 5, 6}
      ]

      assert {:error, _where} = Linearizability.check(RegistryModel, history(rows))
    end
  end

  test "a stepped twin stops before and after each outside call", %{reg: reg} do
    %{NaiveRegistry => twin} = Stepped.load([NaiveRegistry])
    {:ok, seen} = Agent.start_link(fn -> [] end)

    points =
      Stepped.sweep(fn hold ->
        holder = KeyHolder.start(NaiveRegistry, reg, :key)

        hold.(fn -> twin.subscribe(reg, :key) end, fn point ->
          Agent.update(seen, &[point | &1])
        end)

        KeyHolder.finish_all([holder])
        :sys.get_state(reg)
      end)

    seen = seen |> Agent.get(& &1) |> Enum.reverse()
    assert length(seen) == points
    assert {:before, {GenServer, :call, 2}} in seen
    assert {:after, {Process, :monitor, 1}} in seen or {:after, {:erlang, :monitor, 2}} in seen
  end
end
