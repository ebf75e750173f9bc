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
end
