defmodule Mix.Tasks.Racefree.Store do
  @shortdoc "Looks into a store's directory: inspect, verify, salvage"

  @moduledoc """
  Looks into the directory of a `Racefree.Store`. Nothing in it is written, and the store may be running.

      mix racefree.store inspect DIR        what is in it: transactions, logs, files
      mix racefree.store verify DIR         read every byte, and list what is damaged
      mix racefree.store salvage DIR TO     copy what is provably good of a damaged store to a new one in TO

  Exit status: 0 all is well, 1 something is damaged, 2 bad usage, 3 the directory cannot be read.

  `--keys` lists every log of `inspect`, with the offset below which it is trimmed and its number of records.

  `verify` lists all damaged places of a store that opens. Where the damage keeps it from opening, only that one place is named, and nothing says that the rest is good;
  `salvage` reads on, and names what it meets.

  A release has no Mix: see `Racefree.Store.inspect_dir/2`, `Racefree.Store.verify_dir/1` and `Racefree.Store.salvage/2`.
  """

  use Mix.Task

  alias Racefree.Store
  alias Racefree.Store.Directory

  @impl true
  def run(arguments) do
    case OptionParser.parse(arguments, strict: [keys: :boolean]) do
      {options, ["inspect", dir], []} ->
        look(dir, fn ->
          options = [count: Keyword.get(options, :keys, false)]
          Directory.tell_inspection(dir, Store.inspect_dir(dir, options))
        end)

      {_options, ["verify", dir], []} ->
        look(dir, fn -> Directory.tell_verification(dir, Store.verify_dir(dir)) end)

      {_options, ["salvage", dir, to], []} ->
        look(dir, fn -> Directory.tell_salvage(dir, to, Store.salvage(dir, to)) end)

      {_options, _arguments, [{flag, _} | _]} ->
        usage("unknown option: #{flag}")

      _ ->
        usage("give a command and a directory")
    end
  end

  defp usage(message) do
    Mix.shell().error("racefree: #{message}\n\n#{Mix.Task.moduledoc(__MODULE__)}")
    exit({:shutdown, 2})
  end

  defp look(dir, told) do
    # Outside of a project there is nothing to compile: the task and the library are there already.
    if Mix.Project.get(), do: Mix.Task.run("compile")

    {status, lines, errors} =
      if File.dir?(dir),
        do: told.(),
        else: {3, [], ["racefree: there is no directory #{dir}"]}

    Enum.each(lines, &Mix.shell().info/1)
    Enum.each(errors, &Mix.shell().error/1)
    if status != 0, do: exit({:shutdown, status})
  end
end
