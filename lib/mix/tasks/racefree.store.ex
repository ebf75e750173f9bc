defmodule Mix.Tasks.Racefree.Store do
  @shortdoc "Looks into a store's directory: inspect, verify, salvage"

  @moduledoc """
  Looks into the directory of a `Racefree.Store`. Nothing in it is written, and the store may be running.

      mix racefree.store inspect DIR        what is in it: transactions, logs, files
      mix racefree.store verify DIR         read every byte, and list what is damaged
      mix racefree.store salvage DIR TO     copy what is provably good of a damaged store to a new one in TO

  Exit status: 0 all is well, 1 something is damaged, 2 bad usage, 3 the directory cannot be read.

  `--keys` lists every log of `inspect`, with the offset below which it is trimmed and its number of records.
  """

  use Mix.Task

  alias Racefree.{Log, Native, Store}
  alias Racefree.Store.Words

  @impl true
  def run(arguments) do
    case OptionParser.parse(arguments, strict: [keys: :boolean]) do
      {options, [command, dir], []} when command in ["inspect", "verify"] ->
        Mix.Task.run("compile")
        look(command, dir, options)

      {_options, ["salvage", dir, to], []} ->
        Mix.Task.run("compile")
        salvage(dir, to)

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

  defp look(command, dir, options) do
    unless File.dir?(dir), do: stop(3, "there is no directory #{dir}")

    case Native.store_open_read_only(dir, Store.default_settings()) do
      {:ok, service, report} when command == "inspect" -> show(service, report, dir, options)
      {:ok, service, _report} -> verify(service, dir)
      {:error, reason} -> refuse(dir, reason)
    end
  end

  defp stop(status, message) do
    Mix.shell().error("racefree: #{message}")
    exit({:shutdown, status})
  end

  defp refuse(dir, {:corrupt, file, offset, kind}) do
    stop(
      1,
      "#{dir} is damaged: #{file} at byte #{offset} (#{Words.defect(kind)}). A store does not open like this, so that nothing is lost silently. " <>
        "Keep a copy of the directory; `mix racefree.store salvage` copies what is provably good to a new one."
    )
  end

  defp refuse(dir, {:missing, file}), do: stop(3, "#{dir} holds no store, or has lost #{file}")

  defp refuse(dir, {:foreign, file}),
    do: stop(1, "#{dir} is damaged: #{file} belongs to another store")

  defp refuse(dir, {:unknown_version, file, version}),
    do:
      stop(
        3,
        "#{dir}: #{file} has format version #{version}, which this release of Racefree does not know; use the release that wrote it"
      )

  defp refuse(dir, reason), do: stop(3, "#{dir} cannot be read: #{inspect(reason)}")

  defp show(service, report, dir, options) do
    info = Native.store_info(service)
    keys = service |> Native.store_keys() |> Enum.map(&Store.decode/1) |> Enum.sort()
    shell = Mix.shell()
    shell.info("#{dir}")
    shell.info("  last transaction    #{report.lsn}")

    shell.info(
      "  last stop           #{if report.clean, do: "clean: everything is on disk", else: "not clean: it runs now, or it crashed"}"
    )

    shell.info("  logs                #{length(keys)}")

    shell.info(
      "  pack files          #{info.pack_files}, #{bytes(info.pack_bytes)}, of them #{bytes(info.dead_bytes)} no longer needed"
    )

    shell.info(
      "  write-ahead log     #{bytes(info.wal_bytes)}: #{report.records} records that are in no pack yet"
    )

    if report.dropped_records > 0,
      do:
        shell.info(
          "  not committed       #{report.dropped_records} records, #{bytes(report.dropped_bytes)}: dropped at the next start"
        )

    if report.torn,
      do:
        shell.info(
          "  torn                #{elem(report.torn, 0)} at byte #{elem(report.torn, 1)}: what was being written in a crash; not damage"
        )

    for key <- report.pending_removals,
        do:
          shell.info(
            "  removal begun       #{inspect(Store.decode(key))}: to be finished with Racefree.Log.finish_remove/2"
          )

    if options[:keys], do: Enum.each(keys, &show_log(service, &1))
  end

  defp show_log(service, key) do
    {:ok, handle} = Native.store_find(service, Store.encode(key))
    {tx, op} = trimmed = Native.store_trimmed(handle)
    log = %Log{store: __MODULE__, key: key, handle: handle}

    case count(log, trimmed, 0, nil) do
      {:ok, count, last} ->
        trim = if {tx, op} == {0, 0}, do: "", else: ", trimmed up to #{inspect(trimmed)}"

        Mix.shell().info(
          "  #{inspect(key)}: #{count} records#{if last, do: ", the last at #{inspect(last)}"}#{trim}"
        )

      {:error, reason} ->
        Mix.shell().info("  #{inspect(key)}: cannot be read: #{inspect(reason)}")
    end
  end

  defp count(log, from, count, last) do
    case Log.read(log, from) do
      {:ok, [], :done} -> {:ok, count, last}
      {:ok, records, :done} -> {:ok, count + length(records), records |> List.last() |> elem(0)}
      {:ok, records, {:more, next}} -> count(log, next, count + length(records), next)
      {:error, reason} -> {:error, reason}
    end
  end

  defp verify(service, dir) do
    case Native.store_verify(service) do
      {:ok, %{problems: []} = report} ->
        Mix.shell().info(
          "#{dir}: #{report.files} files, #{report.records} packed records, #{bytes(report.bytes)} read; all is well"
        )

      {:ok, report} ->
        for {file, offset, kind} <- report.problems,
            do:
              Mix.shell().error("#{Path.join(dir, file)}: byte #{offset}: #{Words.defect(kind)}")

        stop(1, "#{length(report.problems)} damaged places in #{report.files} files")

      {:error, reason} ->
        refuse(dir, reason)
    end
  end

  defp salvage(dir, to) do
    unless File.dir?(dir), do: stop(3, "there is no directory #{dir}")

    case Native.store_salvage(dir, to, Store.default_settings()) do
      {:ok, report} ->
        Mix.shell().info(
          "#{to}: #{report.logs} logs with #{report.records} records, at transaction #{report.lsn}"
        )

        for line <- losses(report), do: Mix.shell().error("  #{line}")
        if report.damage != [] or report.lost != [], do: exit({:shutdown, 1})

      {:error, {:foreign, _file}} ->
        stop(3, "#{to} holds a store already: salvage writes to a new directory")

      {:error, reason} ->
        stop(3, "#{dir} cannot be salvaged: #{Words.reason(reason) || inspect(reason)}")
    end
  end

  # What is damaged, then what the new store lacks because of it.
  defp losses(report) do
    damaged = for {:error, reason} <- report.damage, do: Words.reason(reason) || inspect(reason)

    # A pack that cannot be opened is missing in the middle; all other damage ends what can be told of the store's past.
    cut =
      if Enum.any?(report.damage, fn {:error, reason} -> not pack?(reason) end),
        do: [
          "lost: every transaction after #{report.lsn}, and what was created, trimmed or removed after it"
        ],
        else: []

    packs =
      for {above, upto} <- report.lost_packs,
          do:
            "lost: transactions after #{above}, up to #{upto}, as far as they were in a file that cannot be opened"

    records =
      for {key, above, below} <- report.lost,
          do:
            "lost: of #{inspect(Store.decode(key))} what lies above #{inspect(above)} and below #{inspect(below)}"

    damaged ++ cut ++ packs ++ records
  end

  defp pack?(reason) when elem(reason, 0) in [:corrupt, :missing, :foreign, :unknown_version],
    do: String.ends_with?(elem(reason, 1), ".pack")

  defp pack?(_reason), do: true

  defp bytes(count) when count < 10_000, do: "#{count} bytes"
  defp bytes(count) when count < 10_000_000, do: "#{div(count, 1_000)} kB"
  defp bytes(count), do: "#{div(count, 1_000_000)} MB"
end
