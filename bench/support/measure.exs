defmodule Racefree.Bench.Measure do
  @moduledoc """
  Rounds in which all contenders take part, medians over them, and the table of what came out.

  The contenders of a row take turns within each round, and who is first changes: a machine that gets slower or busier does so for all of them. Left out on purpose: means and deviations,
  which one stall of a disk decides.
  """

  @typedoc "What is measured: gets the number of the round, and gives the nanoseconds that it took."
  @type contender :: {name :: atom, (pos_integer -> number)}
  @typedoc "A line of the table. A row without a bar is there to compare."
  @type row :: %{
          what: String.t(),
          figure: String.t(),
          ratio: String.t(),
          bar: String.t(),
          met: boolean | nil
        }

  @doc "The median time of each contender, in nanoseconds, over `rounds` that follow `warm_up` rounds."
  @spec medians([contender], rounds: pos_integer, warm_up: non_neg_integer) :: %{atom => number}
  def medians(contenders, options) do
    for {name, times} <- samples(contenders, options), into: %{}, do: {name, median(times)}
  end

  @doc "Like `medians/2`, but all times of each contender."
  @spec samples([contender], rounds: pos_integer, warm_up: non_neg_integer) :: %{
          atom => [number, ...]
        }
  def samples(contenders, options) do
    warm_up = Keyword.fetch!(options, :warm_up)
    last = warm_up + Keyword.fetch!(options, :rounds)

    times =
      for round <- 1..last,
          {name, run} <- rotate(contenders, rem(round, length(contenders))),
          took = run.(round),
          round > warm_up,
          do: {name, took}

    Enum.group_by(times, &elem(&1, 0), &elem(&1, 1))
  end

  defp rotate(contenders, by) do
    {first, rest} = Enum.split(contenders, by)
    rest ++ first
  end

  @doc "The nanoseconds that `run` takes."
  @spec time((() -> term)) :: non_neg_integer
  def time(run) do
    start = System.monotonic_time(:nanosecond)
    run.()
    System.monotonic_time(:nanosecond) - start
  end

  @doc "A contender's function that runs `operation` so many times, each with its number, and gives the nanoseconds of one. What `afterwards` does is not measured."
  @spec batch(pos_integer, (pos_integer -> term), (() -> term)) :: (pos_integer -> float)
  def batch(count, operation, afterwards \\ fn -> :ok end) do
    fn _round ->
      took = time(fn -> repeat(count, operation) end)
      afterwards.()
      took / count
    end
  end

  defp repeat(0, _operation), do: :ok

  defp repeat(left, operation) do
    operation.(left)
    repeat(left - 1, operation)
  end

  @spec median([number, ...]) :: number
  def median(times), do: times |> Enum.sort() |> Enum.at(div(length(times), 2))

  @doc "The time that so many percent of all do not exceed."
  @spec percentile([number, ...], 0..100) :: number
  def percentile(times, percent),
    do: times |> Enum.sort() |> Enum.at(max(ceil(length(times) * percent / 100) - 1, 0))

  @doc "The memory of this operating-system process that is in use, in bytes, once nothing that can be collected is left."
  @spec resident_bytes() :: non_neg_integer
  def resident_bytes do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    {kilobytes, 0} = System.cmd("ps", ["-o", "rss=", "-p", System.pid()])
    1024 * (kilobytes |> String.trim() |> String.to_integer())
  end

  @doc "A time in a unit that suits it."
  @spec show(number) :: String.t()
  def show(nanoseconds) when nanoseconds < 1_000, do: "#{round(nanoseconds)} ns"
  def show(nanoseconds) when nanoseconds < 1_000_000, do: "#{decimal(nanoseconds / 1_000)} us"
  def show(nanoseconds), do: "#{decimal(nanoseconds / 1_000_000)} ms"

  @doc "Two decimals."
  @spec decimal(number) :: String.t()
  def decimal(number), do: :erlang.float_to_binary(number / 1, decimals: 2)

  @doc "Prints a title with what the figures depend on."
  @spec print_title(String.t()) :: :ok
  def print_title(title) do
    IO.puts(
      "#{title}\nElixir #{System.version()}, OTP #{System.otp_release()}, #{System.schedulers_online()} schedulers, load #{load()}\n"
    )
  end

  @doc "The load averages, as `uptime` says them."
  @spec load() :: String.t()
  def load do
    {text, 0} = System.cmd("uptime", [])

    text
    |> String.split("load average")
    |> List.last()
    |> String.trim_leading("s")
    |> String.trim(": ")
    |> String.trim()
  end

  @doc "Prints rows below each other, with the load at the end of the run."
  @spec print_table([row]) :: :ok
  def print_table(rows) do
    lines = [~w(what figure ratio bar met) | Enum.map(rows, &cells/1)]

    widths =
      for column <- 0..4, do: lines |> Enum.map(&String.length(Enum.at(&1, column))) |> Enum.max()

    for line <- lines do
      line
      |> Enum.zip(widths)
      |> Enum.map_join("  ", fn {cell, width} -> String.pad_trailing(cell, width) end)
      |> String.trim_trailing()
      |> IO.puts()
    end

    IO.puts("\nload at the end: #{load()}")
  end

  defp cells(row), do: [row.what, row.figure, row.ratio, row.bar, met(row.met)]

  defp met(nil), do: ""
  defp met(true), do: "yes"
  defp met(false), do: "NO"
end
