defmodule Racefree.StoreCrash do
  @moduledoc """
  Kills a virtual machine in the middle of its writes, opens its store again, and compares.

  What a transaction writes follows from its number and the seed, so the parent knows what must be there without being told: the child tells only how far the durable
  position has come. Every cycle begins where the store stands after the former one.
  """

  alias Racefree.{Log, Store}

  @logs 100
  # A child that is not killed must come to an end all the same.
  @transactions_max 100_000

  # What a whole comparison reads grows with every cycle, so there is a new store now and then.
  @cycles_per_store 20

  @no_counts %{kills: 0, announced: 0, lsn: 0, torn: 0, dropped: 0}

  @doc """
  `cycles` kills of children that write to stores in `dir`. Raises at the first difference, with the seed. Gives counts.
  """
  def run(dir, cycles, seed) do
    :rand.seed(:exsss, {seed, 0, 0})

    1..cycles
    |> Enum.chunk_every(@cycles_per_store)
    |> Enum.map(&run_store(dir, length(&1), seed))
    |> Enum.reduce(@no_counts, &Map.merge(&1, &2, fn _count, left, right -> left + right end))
  end

  defp run_store(dir, cycles, seed) do
    counts =
      Enum.reduce(1..cycles, @no_counts, fn _cycle, counts ->
        announced = kill(dir, seed, :rand.uniform(60))
        {:ok, owner} = Store.start_link(options(dir))
        {:ok, recovery} = Store.recovery(__MODULE__)
        compare!(recovery.lsn, max(announced, counts.announced), counts.lsn, seed)
        stop(owner)

        %{
          kills: counts.kills + 1,
          announced: max(announced, counts.announced),
          lsn: recovery.lsn,
          torn: counts.torn + if(recovery.torn, do: 1, else: 0),
          dropped: counts.dropped + recovery.dropped_records
        }
      end)

    # An owner that was killed leaves a last step to its threads: who opens the store has waited for it.
    {:ok, owner} = Store.start_link(options(dir))
    GenServer.stop(owner)
    File.rm_rf!(dir)
    counts
  end

  # Half of the time the next child finds a store that was drained, half of the time one that was only opened and dropped.
  defp stop(owner) do
    if :rand.uniform(2) == 1 do
      GenServer.stop(owner)
    else
      Process.unlink(owner)
      ref = Process.monitor(owner)
      Process.exit(owner, :kill)

      receive do
        {:DOWN, ^ref, :process, ^owner, _reason} -> :ok
      end
    end
  end

  defp options(dir) do
    # Small, so that write-ahead logs are switched and packs are written and merged between any two kills.
    [
      name: __MODULE__,
      dir: dir,
      wal_bytes_max: 1_048_576,
      transaction_bytes_max: 1_048_576,
      stage_bytes_max: 1_048_576,
      record_bytes_max: 65_536,
      memory_bytes_max: 16 * 1_048_576,
      block_bytes_max: 4096
    ]
  end

  # Starts a child, lets it announce `announcements` positions, kills it, and gives the last position that it announced.
  defp kill(dir, seed, announcements) do
    arguments =
      ["-noshell", "-pa" | ebins()] ++
        ["-s", "Elixir.Racefree.StoreCrash", "child", "-extra", dir, "#{seed}"]

    executable = System.find_executable("erl")

    port =
      Port.open({:spawn_executable, executable}, [
        :binary,
        :exit_status,
        {:line, 100},
        args: arguments
      ])

    last = follow(port, announcements, 0)
    {:os_pid, pid} = Port.info(port, :os_pid)
    {_, 0} = System.cmd("kill", ["-9", "#{pid}"])
    drain(port, last)
  end

  defp ebins do
    for app <- [:racefree, :elixir, :logger], do: to_charlist_path(app)
  end

  defp to_charlist_path(app), do: app |> :code.lib_dir() |> Path.join("ebin")

  defp follow(_port, 0, last), do: last

  defp follow(port, left, _last) do
    receive do
      {^port, {:data, {:eol, "durable " <> lsn}}} ->
        follow(port, left - 1, String.to_integer(lsn))

      {^port, {:data, {_, other}}} ->
        raise "the child says: #{other}"

      {^port, {:exit_status, status}} ->
        raise "the child ended by itself with #{status}"
    after
      120_000 -> raise "the child announces nothing"
    end
  end

  # What it announced before it died counts.
  defp drain(port, last) do
    receive do
      {^port, {:data, {:eol, "durable " <> lsn}}} -> drain(port, String.to_integer(lsn))
      {^port, {:data, {_, _cut}}} -> drain(port, last)
      {^port, {:exit_status, _status}} -> last
    end
  end

  @doc false
  def child do
    [dir, seed] = :init.get_plain_arguments()
    seed = List.to_integer(seed)
    {:ok, _} = Application.ensure_all_started(:elixir)
    {:ok, _owner} = Store.start_link(options(List.to_string(dir)))
    {:ok, lsn} = Store.durable_lsn(__MODULE__)
    {:ok, _subscription} = Store.subscribe_durable(__MODULE__)
    logs = for key <- 1..@logs, do: log!(key)
    Enum.each((lsn + 1)..(lsn + @transactions_max), &write(&1, seed, logs))
  end

  defp log!(key) do
    {:ok, log} = Store.log(__MODULE__, key)
    log
  end

  defp write(lsn, seed, logs) do
    writes =
      for {log, key} <- Enum.with_index(logs, 1),
          records = records(seed, lsn, key),
          records != [],
          do: {log, records}

    metas =
      for {log, key} <- Enum.with_index(logs, 1), written?(seed, lsn, key), do: {log, "#{lsn}"}

    case Store.transact(__MODULE__, lsn, writes, metas) do
      :ok ->
        :ok

      {:error, {:busy, ref}} ->
        receive do
          {^ref, {:ok, _}} -> write(lsn, seed, logs)
        end
    end

    announce()
  end

  defp announce do
    receive do
      {Store, _ref, {:durable, lsn}} ->
        IO.puts("durable #{lsn}")
        announce()
    after
      0 -> :ok
    end
  end

  # A tenth of the logs takes part in a transaction, with one to four records.
  defp written?(seed, lsn, key), do: :erlang.phash2({seed, lsn, key}, 10) == 0

  defp records(seed, lsn, key) do
    if written?(seed, lsn, key) do
      for op <- 0..:erlang.phash2({lsn, key}, 4), do: payload(lsn, key, op)
    else
      []
    end
  end

  defp payload(lsn, key, op),
    do: :binary.copy("#{lsn}.#{key}.#{op} ", 1 + :erlang.phash2({lsn, op}, 30))

  # Whole contents at first, and every so often; else what this cycle added and a little before.
  defp compare!(lsn, announced, former, seed) do
    if lsn < announced,
      do: raise("seed #{seed}: #{announced} was announced durable, and #{lsn} is there")

    from = if :rand.uniform(20) == 1, do: 0, else: max(former - 50, 0)

    for key <- 1..@logs do
      log = log!(key)

      expected =
        for tx <- (from + 1)..lsn//1,
            {payload, op} <- Enum.with_index(records(seed, tx, key)),
            do: {{tx, op}, payload}

      found = log |> Log.stream({from, 0xFFFF_FFFF_FFFF_FFFF}) |> Enum.to_list()

      if found != expected,
        do:
          raise(
            "seed #{seed}, log #{key}, after #{from}, at #{lsn}: #{difference(expected, found)}"
          )

      last = Enum.find(lsn..max(lsn - 500, 1)//-1, &written?(seed, &1, key))
      meta = last && {last, "#{last}"}

      if last && Log.meta(log) != {:ok, meta},
        do:
          raise(
            "seed #{seed}, log #{key}: the meta is #{inspect(Log.meta(log))}, and #{inspect(meta)} was written"
          )
    end
  end

  defp difference(expected, found) do
    missing = expected -- found
    surplus = found -- expected

    "#{length(missing)} missing (#{inspect(Enum.take(missing, 2), printable_limit: 20)}), #{length(surplus)} too many (#{inspect(Enum.take(surplus, 2), printable_limit: 20)})"
  end
end
