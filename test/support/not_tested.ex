defmodule Racefree.NotTested do
  @moduledoc """
  What a test says that cannot be had on this machine: it passes with a word about it, or fails where `RACEFREE_NO_SKIPS` asks for all of them.
  """

  @spec because(String.t(), String.t()) :: :ok
  def because(what, reason) do
    words = "#{what}: NOT TESTED, for #{reason}"

    if System.get_env("RACEFREE_NO_SKIPS", "") == "",
      do: IO.puts(:stderr, words),
      else: ExUnit.Assertions.flunk("#{words}, and RACEFREE_NO_SKIPS is set")
  end
end
