defmodule Racefree.BenchTest do
  @moduledoc "The scripts under `bench/` run. What they measure is for people to read."

  use ExUnit.Case, async: true

  @root Path.expand("..", __DIR__)

  test "bench/registry.exs --quick prints every row" do
    env = [{"MIX_ENV", "test"}, {"RACEFREE_BENCH_PUBSUB", nil}]

    {output, status} =
      System.cmd("mix", ~w(run --no-compile bench/registry.exs --quick),
        cd: @root,
        env: env,
        stderr_to_stdout: true
      )

    assert status == 0, output

    for row <- [
          "idle keys",
          "look-up with liveness",
          "register and unregister",
          "subscribe and monitor",
          "dead process",
          "many deaths",
          "broadcast",
          "multicall"
        ] do
      assert output =~ row
    end

    # The only one that is no matter of speed.
    assert output =~ "bar: at most 0 times, is 0: met"
    assert output =~ "which did not take part"
  end

  @store_rows [
    "idle logs",
    "append 200 B, one a call",
    "append 200 B, a hundred a call",
    "read 1000 records of 200 B from memory",
    "cold read 4 KiB",
    "commit acknowledged, p50",
    "dirty logs made durable",
    "recovery, in the page cache",
    "recovery, not in the page cache"
  ]

  @tag :tmp_dir
  test "bench/store.exs --smoke prints every row, and whether its bar is met", %{tmp_dir: dir} do
    {output, status} =
      System.cmd(
        "mix",
        ["run", "--no-compile", "bench/store.exs", "--smoke", "--dir", Path.join(dir, "bench")],
        cd: @root,
        env: [{"MIX_ENV", "test"}],
        stderr_to_stdout: true
      )

    assert status == 0, output

    for row <- @store_rows,
        do: assert(output =~ ~r/^\S*\s?#{row} .*(yes|NO)$/m, "#{row} is not in:\n#{output}")
  end
end
