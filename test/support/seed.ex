defmodule Racefree.Seed do
  @moduledoc """
  The seed of a random test: `RACEFREE_SEED`, else one drawn anew for each run.

  A test that fails names its seed. The same seed gives the same choices, not the same interleaving: run it
  a few times.
  """

  @spec new() :: non_neg_integer()
  def new do
    case System.get_env("RACEFREE_SEED") do
      nil -> :erlang.unique_integer([:positive]) * 1_000_003 + rem(System.os_time(), 999_983)
      seed -> String.to_integer(seed)
    end
  end

  @doc "Seeds the calling process. `salt` tells the processes of one test apart."
  @spec use(non_neg_integer(), term()) :: :ok
  def use(seed, salt) do
    :rand.seed(:exsss, {seed, :erlang.phash2(salt), 0})
    :ok
  end

  @doc "Spends a random time, up to `turns_max` turns, on the scheduler: shifts two processes against each other."
  @spec spin(pos_integer()) :: :ok
  def spin(turns_max), do: turn(:rand.uniform(turns_max))

  defp turn(0), do: :ok
  defp turn(left), do: turn(left - 1)
end
