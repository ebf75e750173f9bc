defmodule Racefree.RegistryCase do
  @moduledoc """
  A registry of its own for each test, under a supervisor that starts it again as often as a test ends it.
  """

  use ExUnit.CaseTemplate

  alias Racefree.Seed

  using do
    quote do
      import Racefree.RegistryCase

      alias Racefree.{KeyHolder, Registry, RegistryLaws, SchedulerWatch, Seed, Stepped, Together}
    end
  end

  setup context do
    {:ok, reg: start_registry(context[:subject] || Racefree.Registry), seed: Seed.new()}
  end

  @restarts_max 1_000_000

  @doc "Starts a registry that the test's end stops."
  def start_registry(subject, options \\ []) do
    reg = :"registry_#{System.unique_integer([:positive])}"
    child = Supervisor.child_spec({subject, [name: reg] ++ options}, restart: :permanent)

    start_supervised!(%{
      id: reg,
      type: :supervisor,
      start:
        {Supervisor, :start_link,
         [[child], [strategy: :one_for_one, max_restarts: @restarts_max, max_seconds: 1]]}
    })

    reg
  end

  @doc """
  Returns when the registry has cleaned up behind the dead: it watches no more than so many processes, and nothing is left to do.

  Cleaning up sends no message that a test could wait for, so this asks until it is done, and fails after a minute.
  """
  def settle(reg, processes \\ 0) do
    settle(reg, processes, System.monotonic_time(:second) + 60)
  end

  defp settle(reg, processes, until) do
    case Racefree.Registry.info(reg) do
      {:ok, %{processes: left, pending: 0}} when left <= processes ->
        :ok

      info ->
        if System.monotonic_time(:second) < until,
          do: settle(reg, processes, until),
          else: flunk("not cleaned up: #{inspect(info)}")
    end
  end

  @doc "Fails with the seed, the counts and the first few breaks, if a law was broken."
  def assert_kept(%{broken: []}), do: :ok

  def assert_kept(%{broken: broken, tries: tries, seed: seed}) do
    flunk("""
    broken #{length(broken)} times in #{tries} tries (RACEFREE_SEED=#{seed} makes the same choices), for instance
    #{broken |> Enum.take(5) |> Enum.map_join("\n", &inspect(&1, limit: 30))}
    """)
  end

  @doc "Fails if the law was never broken: then it could not catch anything."
  def assert_broken(%{broken: [], tries: tries, seed: seed}),
    do: flunk("kept in #{tries} tries, RACEFREE_SEED=#{seed}")

  def assert_broken(%{broken: broken}), do: length(broken)
end
