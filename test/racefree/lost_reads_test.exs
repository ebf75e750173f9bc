Code.require_file("../../bench/support/lost_reads.exs", __DIR__)

defmodule Racefree.LostReadsTest do
  # The race that bench/lost_reads.exs shows, on schedules that no timing decides.
  use ExUnit.Case, async: true

  alias Racefree.Bench.LostReads

  @moduletag :tmp_dir

  test "the buffer loses what a flush moves between a reader's two steps", %{tmp_dir: dir} do
    {expected, found} = LostReads.force_buffer(dir)
    assert length(expected) == 64
    assert found == []
  end

  test "the store loses nothing on the same schedule", %{tmp_dir: dir} do
    {expected, found, held} = LostReads.force_store(dir)
    assert length(expected) == 64
    assert found == expected
    assert held == expected
  end

  test "the store loses nothing under load", %{tmp_dir: dir} do
    counts = LostReads.run_store(dir, 3, 500)
    assert counts.reads > 0
    assert {counts.reads_short, counts.records_lost} == {0, 0}
  end
end
