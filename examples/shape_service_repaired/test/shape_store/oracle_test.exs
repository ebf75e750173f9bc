defmodule ShapeStore.OracleTest do
  @moduledoc """
  The test that found race 4 in production: after each batch every client must see what the database has.

  `SHAPE_STORE_BATCHES` makes it longer. The seed is shown by a failure and as `RACEFREE_SEED` repeats its choices.
  """

  use ShapeStore.StoreCase, async: true

  alias ShapeStore.{LogsApart, Oracle}

  @moduletag :stopped
  @batches String.to_integer(System.get_env("SHAPE_STORE_BATCHES", "40"))
  @moduletag timeout: 60_000 + 1_000 * @batches

  setup do
    seed = System.get_env("RACEFREE_SEED") || "#{:rand.uniform(1_000_000_000)}"
    {:ok, seed: String.to_integer(seed)}
  end

  test "every client sees what the database has, over restarts and kills", %{seed: seed} = context do
    assert {seed, Oracle.run(context, seed, @batches)} == {seed, :ok}
  end

  test "shapes that are on disk at different positions are found out", %{seed: seed} = context do
    LogsApart.new(context.store, fn shape -> 1 + 2 * Shape.layer(shape) end)
    assert {^seed, {:mismatch, _batch, _what}} = {seed, Oracle.run(context, seed, 10_000, logs: LogsApart)}
  end

  test "the same logs at one position are not", %{seed: seed} = context do
    LogsApart.new(context.store, fn _shape -> 3 end)
    assert {seed, Oracle.run(context, seed, @batches, logs: LogsApart)} == {seed, :ok}
  end
end
