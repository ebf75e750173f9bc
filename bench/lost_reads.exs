# Readers that lose data to a flush, and readers that do not: `mix run bench/lost_reads.exs [--seconds 10] [--readers 4] [--dir DIR]`.
#
# For so many seconds each, against a buffer of ETS and a file, and against Racefree.Store; `support/lost_reads.exs` says what is counted. Exit status 1 if the store lost a read.

Code.require_file("support/lost_reads.exs", __DIR__)

alias Racefree.Bench.LostReads

{options, []} =
  OptionParser.parse!(System.argv(), strict: [seconds: :integer, readers: :integer, dir: :string])

milliseconds = 1_000 * Keyword.get(options, :seconds, 10)
readers = Keyword.get(options, :readers, 4)
dir = Path.expand(Keyword.get(options, :dir, "tmp/lost_reads"))
File.rm_rf!(dir)
File.mkdir_p!(dir)

IO.puts("#{readers} readers against a flushing writer, #{div(milliseconds, 1_000)} s each\n")

[_buffer, store] =
  for {name, run} <- [
        {"ETS and a file", &LostReads.run_buffer/3},
        {"Racefree.Store", &LostReads.run_store/3}
      ] do
    counts = run.(dir, readers, milliseconds)

    IO.puts(
      "#{String.pad_trailing(name, 15)} #{counts.written} records written; #{counts.reads} reads, #{counts.records} records read; " <>
        "#{counts.reads_short} reads came short, #{counts.records_lost} records lost" <>
        if(counts.refused > 0, do: "; #{counts.refused} reads refused as trimmed", else: "")
    )

    counts
  end

File.rm_rf!(dir)
if store.records_lost > 0, do: System.halt(1)
