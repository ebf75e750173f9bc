defmodule Racefree.Store.Directory do
  # A store's directory seen from outside: `Racefree.Store.inspect_dir/2`, `verify_dir/1` and `salvage/2`, and what they found in words.
  #
  # Works without Mix, for a release has none, and without a running store.
  @moduledoc false

  alias Racefree.{Log, Native, Store}
  alias Racefree.Store.Words

  ## What is there

  @spec inspect_dir(Path.t(), boolean) :: {:ok, map} | {:error, Store.not_opened()}
  def inspect_dir(dir, count?) do
    reading(dir, fn service, recovery ->
      keys = service |> Native.store_keys() |> Enum.map(&Store.decode/1) |> Enum.sort()
      logs = if count?, do: Enum.map(keys, &log(service, &1))
      {:ok, %{recovery: recovery, info: Native.store_info(service), keys: keys, logs: logs}}
    end)
  end

  @spec verify_dir(Path.t()) :: {:ok, map} | {:error, Store.not_opened()}
  def verify_dir(dir), do: reading(dir, fn service, _recovery -> Native.store_verify(service) end)

  @spec salvage(Path.t(), Path.t()) :: {:ok, map} | {:error, Store.not_opened()}
  def salvage(from, to) do
    with {:ok, report} <- Native.store_salvage(from, to, Store.default_settings()) do
      damage = for {:error, reason} <- report.damage, do: reason
      lost = for {key, above, below} <- report.lost, do: {Store.decode(key), above, below}

      # A pack that cannot be opened is missing in the middle; all other damage ends what can be told of the store's past.
      lost_after = if Enum.any?(damage, &(not pack?(&1))), do: report.lsn
      {:ok, Map.merge(report, %{damage: damage, lost: lost, lost_after: lost_after})}
    end
  end

  defp pack?(reason) when elem(reason, 0) in [:corrupt, :missing, :foreign, :unknown_version],
    do: String.ends_with?(elem(reason, 1), ".pack")

  defp pack?(_reason), do: true

  # Opens for reading alone, and not for longer than `look` takes.
  defp reading(dir, look) do
    with {:ok, service, recovery} <- Native.store_open_read_only(dir, Store.default_settings()) do
      recovery =
        Map.update!(recovery, :pending_removals, fn keys -> Enum.map(keys, &Store.decode/1) end)

      try do
        look.(service, recovery)
      after
        Native.store_close(service, 0)
      end
    end
  end

  defp log(service, key) do
    {:ok, handle} = Native.store_find(service, Store.encode(key))
    trimmed = Native.store_trimmed(handle)
    log = %Log{store: __MODULE__, key: key, handle: handle}

    case count(log, trimmed, 0, nil) do
      {:ok, records, last} -> %{key: key, trimmed: trimmed, records: records, last: last}
      {:error, reason} -> %{key: key, trimmed: trimmed, unreadable: reason}
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

  ## In words

  @typedoc "0 all is well, 1 something is damaged, 3 the directory cannot be read; what goes to standard output; what goes to standard error."
  @type told :: {0 | 1 | 3, [String.t()], [String.t()]}

  @spec tell_inspection(Path.t(), {:ok, map} | {:error, term}) :: told
  def tell_inspection(dir, {:ok, found}) do
    %{recovery: recovery, info: info, keys: keys} = found

    state = [
      dir,
      "  last transaction    #{recovery.lsn}",
      "  last stop           #{if recovery.clean, do: "clean: everything is on disk", else: "not clean: it runs now, or it crashed"}",
      "  logs                #{length(keys)}",
      "  pack files          #{info.pack_files}, #{bytes(info.pack_bytes)}, of them #{bytes(info.dead_bytes)} no longer needed",
      "  write-ahead log     #{bytes(info.wal_bytes)}: #{recovery.records} records that are in no pack yet"
    ]

    dropped =
      if recovery.dropped_records > 0,
        do: [
          "  not committed       #{recovery.dropped_records} records, #{bytes(recovery.dropped_bytes)}: dropped at the next start"
        ],
        else: []

    torn =
      case recovery.torn do
        nil ->
          []

        {file, at} ->
          [
            "  torn                #{file} at byte #{at}: what was being written in a crash; not damage"
          ]
      end

    removals =
      for key <- recovery.pending_removals,
          do:
            "  removal begun       #{inspect(key)}: to be finished with Racefree.Log.finish_remove/2"

    {0, state ++ dropped ++ torn ++ removals ++ Enum.map(found.logs || [], &line/1), []}
  end

  def tell_inspection(dir, {:error, reason}), do: refused(dir, reason)

  defp line(%{unreadable: reason} = log),
    do: "  #{inspect(log.key)}: cannot be read: #{say(reason)}"

  defp line(log) do
    last = if log.last, do: ", the last at #{inspect(log.last)}"
    trim = if log.trimmed != {0, 0}, do: ", trimmed up to #{inspect(log.trimmed)}"
    "  #{inspect(log.key)}: #{log.records} records#{last}#{trim}"
  end

  @spec tell_verification(Path.t(), {:ok, map} | {:error, term}) :: told
  def tell_verification(dir, {:ok, %{problems: []} = report}) do
    {0,
     [
       "#{dir}: #{report.files} files, #{report.records} packed records, #{bytes(report.bytes)} read; all is well"
     ], []}
  end

  def tell_verification(dir, {:ok, report}) do
    places =
      for {file, offset, kind} <- report.problems,
          do: "#{Path.join(dir, file)}: byte #{offset}: #{Words.defect(kind)}"

    {1, [], places ++ ["racefree: #{length(places)} damaged places in #{report.files} files"]}
  end

  def tell_verification(dir, {:error, reason}), do: refused(dir, reason)

  @spec tell_salvage(Path.t(), Path.t(), {:ok, map} | {:error, term}) :: told
  def tell_salvage(_dir, to, {:ok, report}) do
    cut =
      if report.lost_after,
        do: [
          "lost: every transaction after #{report.lost_after}, and what was created, trimmed or removed after it"
        ],
        else: []

    packs =
      for {above, upto} <- report.lost_packs,
          do:
            "lost: transactions after #{above}, up to #{upto}, as far as they were in a file that cannot be opened"

    records =
      for {key, above, below} <- report.lost,
          do:
            "lost: of #{inspect(key)} what lies above #{inspect(above)} and below #{inspect(below)}"

    losses = Enum.map(report.damage, &say/1) ++ cut ++ packs ++ records

    {if(losses == [], do: 0, else: 1),
     [
       "#{to}: #{report.logs} logs with #{report.records} records, at transaction #{report.lsn}"
     ], Enum.map(losses, &("  " <> &1))}
  end

  def tell_salvage(_dir, to, {:error, {:foreign, "MANIFEST"}}) do
    {3, [], ["racefree: #{to} holds a store already: salvage writes to a new directory"]}
  end

  def tell_salvage(dir, _to, {:error, reason}),
    do: {3, [], ["racefree: #{dir} cannot be salvaged: #{say(reason)}"]}

  defp refused(dir, reason) do
    cond do
      empty?(dir, reason) ->
        {3, [], ["racefree: #{dir} holds no store"]}

      is_tuple(reason) and elem(reason, 0) in [:corrupt, :missing, :foreign] ->
        {1, [],
         [
           "racefree: #{dir} is damaged: #{say(reason)}. A store does not open like this, so that nothing is lost silently. " <>
             "Keep a copy of the directory; #{way_out(reason)}."
         ]}

      true ->
        {3, [], ["racefree: #{dir} cannot be read: #{say(reason)}"]}
    end
  end

  # A manifest says which files belong together; salvage needs its beginning.
  defp way_out({:missing, "MANIFEST"}), do: without_manifest()
  defp way_out({:corrupt, "MANIFEST", 0, _defect}), do: without_manifest()

  defp way_out(_reason) do
    "salvage (`mix racefree.store salvage`, or Racefree.Store.salvage/2 in a release) copies what is provably good to a new one"
  end

  defp without_manifest,
    do:
      "salvage cannot help, for without MANIFEST nothing says which of its files belong together"

  # Without a manifest there is no store, unless other files say that there was one.
  defp empty?(dir, {:missing, "MANIFEST"}) do
    case File.ls(dir) do
      {:ok, names} -> not Enum.any?(names, &(Path.extname(&1) in [".wal", ".pack"]))
      {:error, _reason} -> true
    end
  end

  defp empty?(_dir, _reason), do: false

  defp say(reason), do: Words.reason(reason) || inspect(reason)

  defp bytes(count) when count < 10_000, do: "#{count} bytes"
  defp bytes(count) when count < 10_000_000, do: "#{div(count, 1_000)} kB"
  defp bytes(count), do: "#{div(count, 1_000_000)} MB"
end
