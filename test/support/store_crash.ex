defmodule Racefree.StoreCrash do
  @moduledoc """
  Kills a virtual machine in the middle of its writes, opens its store again, and compares.

  What the child writes stands in `Racefree.StoreScript`, so the parent knows what must be there without being told: the child tells only how far the durable
  position has come, and which trims and removals are durable. Every cycle begins where the store stands after the former one. Most kills come when the child has said a
  number of things, some at a moment of their own, which may be before it has said or opened anything.
  """

  alias Racefree.{ChildMachine, Log, Store, StoreScript}

  @last 0xFFFF_FFFF_FFFF_FFFF
  # A child that is not killed must come to an end all the same.
  @transactions_max 100_000

  # What a whole comparison reads grows with every cycle, so there is a new store now and then.
  @cycles_per_store 20

  @no_counts %{
    kills: 0,
    early: 0,
    announced: 0,
    lsn: 0,
    torn: 0,
    dropped: 0,
    trims: 0,
    removals: 0
  }

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
    {_model, counts} =
      Enum.reduce(1..cycles, {%StoreScript.Model{}, @no_counts}, fn _cycle, {model, counts} ->
        choices = draw()
        told = kill(dir, seed, choices)
        announced = max(told.durable, counts.announced)
        {:ok, owner} = Store.start_link(options(dir))
        {:ok, recovery} = Store.recovery(__MODULE__)
        found = compare!(model, recovery, %{told | durable: announced}, choices, seed)
        stop(owner, choices.stop)
        {found, count(counts, model, found, recovery, announced, told)}
      end)

    # An owner that was killed leaves a last step to its threads: who opens the store has waited for it.
    {:ok, owner} = Store.start_link(options(dir))
    GenServer.stop(owner)
    File.rm_rf!(dir)
    counts
  end

  # All that a cycle chooses, so that no choice depends on how long something takes.
  defp draw do
    %{
      words: :rand.uniform(80),
      # From the start of the process: about as long as it takes to come up, and somewhat longer.
      delay: if(:rand.uniform(5) == 1, do: :rand.uniform(1_200), else: nil),
      from: if(:rand.uniform(20) == 1, do: :start, else: :former),
      stop: if(:rand.uniform(2) == 1, do: :drained, else: :killed)
    }
  end

  defp count(counts, model, found, recovery, announced, told) do
    made = fn model -> model.since |> Map.values() |> Enum.sum() end

    %{
      kills: counts.kills + 1,
      early: counts.early + if(told.durable == 0, do: 1, else: 0),
      announced: announced,
      lsn: recovery.lsn,
      torn: counts.torn + if(recovery.torn, do: 1, else: 0),
      dropped: counts.dropped + recovery.dropped_records,
      trims: counts.trims + if(found.trimmed != model.trimmed, do: 1, else: 0),
      removals: counts.removals + if(made.(found) > made.(model), do: 1, else: 0)
    }
  end

  # Half of the time the next child finds a store that was drained, half of the time one that was only opened and dropped.
  defp stop(owner, :drained), do: GenServer.stop(owner)

  defp stop(owner, :killed) do
    Process.unlink(owner)
    ref = Process.monitor(owner)
    Process.exit(owner, :kill)

    receive do
      {:DOWN, ^ref, :process, ^owner, _reason} -> :ok
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

  # Starts a child, kills it, and gives what it said: the last durable position, and how many events after which transaction were durable.
  defp kill(dir, seed, %{delay: delay, words: words}) do
    port = ChildMachine.start(__MODULE__, [dir, "#{seed}"])
    told = %{durable: 0, after: {0, 0}}

    told =
      if delay,
        do: listen_until(port, System.monotonic_time(:millisecond) + delay, told),
        else: listen(port, words, told)

    ChildMachine.kill(port)
    drain(port, told)
  end

  defp listen(_port, 0, told), do: told

  defp listen(port, left, told) do
    case ChildMachine.next(port, 120_000) do
      {:line, line} -> listen(port, left - 1, hear(line, told))
      {:ended, status} -> raise "the child ended by itself with #{status}"
      :timeout -> raise "the child says nothing"
    end
  end

  defp listen_until(port, time, told) do
    case ChildMachine.next(port, max(time - System.monotonic_time(:millisecond), 0)) do
      {:line, line} -> listen_until(port, time, hear(line, told))
      {:ended, status} -> raise "the child ended by itself with #{status}"
      :timeout -> told
    end
  end

  # What it said before it died counts.
  defp drain(port, told) do
    case ChildMachine.next(port, 120_000) do
      {:line, line} -> drain(port, hear(line, told))
      {:ended, 137} -> told
      {:ended, status} -> raise "the child ended by itself with #{status}"
    end
  end

  defp hear(line, told) do
    case String.split(line) do
      ["durable", lsn] ->
        %{told | durable: max(told.durable, String.to_integer(lsn))}

      # What follows a transaction is durable after it.
      ["after", lsn, count] ->
        lsn = String.to_integer(lsn)
        %{told | durable: max(told.durable, lsn), after: {lsn, String.to_integer(count)}}

      ["open", _lsn] ->
        told

      _ ->
        raise "the child says: #{line}"
    end
  end

  ## The child

  @doc false
  def child do
    [dir, seed] = :init.get_plain_arguments()
    seed = List.to_integer(seed)
    {:ok, _} = Application.ensure_all_started(:elixir)
    {:ok, _owner} = Store.start_link(options(List.to_string(dir)))
    {:ok, lsn} = Store.durable_lsn(__MODULE__)
    {:ok, _subscription} = Store.subscribe_durable(__MODULE__)
    {:ok, %{pending_removals: keys}} = Store.recovery(__MODULE__)
    removals = Map.new(keys, &{&1, removal!(&1)})
    Enum.reduce((lsn + 1)..(lsn + @transactions_max), removals, &transaction(&1, seed, &2))
  end

  defp transaction(lsn, seed, removals) do
    writes =
      for key <- StoreScript.keys(),
          not is_map_key(removals, key),
          records = StoreScript.records(seed, lsn, key),
          records != [],
          do: {log!(key), records}

    write(StoreScript.way(seed, lsn), lsn, writes)
    announce()
    events = StoreScript.events(seed, lsn, MapSet.new(Map.keys(removals)))

    {removals, _} =
      Enum.reduce(events, {removals, 1}, fn event, {removals, count} ->
        {durable, removals} = carry_out(event, removals, lsn)
        if durable == :durable, do: IO.puts("after #{lsn} #{count}")
        {removals, count + 1}
      end)

    removals
  end

  defp write(:whole, lsn, writes) do
    metas = for {log, _records} <- writes, do: {log, "#{lsn}"}
    :ok = patiently(fn -> Store.transact(__MODULE__, lsn, writes, metas) end)
  end

  defp write(:parts, lsn, writes) do
    leases =
      for {log, records} <- writes do
        {:ok, lease} = Log.lease(log)
        {:ok, _} = patiently(fn -> Log.append(lease, lsn, records, meta: "#{lsn}") end)
        lease
      end

    IO.puts("open #{lsn}")
    :ok = Store.commit(__MODULE__, lsn)
    Enum.each(leases, &Log.release/1)
  end

  defp write(:aborted, lsn, writes) do
    leases =
      for {log, _records} <- Enum.take(writes, 3) do
        {:ok, lease} = Log.lease(log)
        {:ok, _} = patiently(fn -> Log.append(lease, lsn, ["never"], meta: "never") end)
        lease
      end

    IO.puts("open #{lsn}")
    if leases != [], do: :ok = Store.abort(__MODULE__, lsn)
    Enum.each(leases, &Log.release/1)
    write(:whole, lsn, writes)
  end

  defp patiently(fun) do
    case fun.() do
      {:error, {:busy, ref}} ->
        receive do
          {^ref, {:ok, _}} -> patiently(fun)
        end

      answer ->
        answer
    end
  end

  # Whether it is known to be durable, and the removals under way. Every other time nobody waits for it; then it is looked whether it was begun, for there may have been no room.
  defp carry_out({:trim, key, upto}, removals, lsn) do
    log = log!(key)

    case Log.trim(log, {upto, @last}, patience(lsn)) do
      :ok ->
        {:durable, removals}

      {:error, :timeout} ->
        if Log.trimmed(log) >= {upto, @last},
          do: {:begun, removals},
          else: {durable!(Log.trim(log, {upto, @last}, :infinity)), removals}
    end
  end

  defp carry_out({:begin, key}, removals, lsn) do
    log = log!(key)

    with {:error, :timeout} <- Log.begin_remove(log, patience(lsn)),
         {:error, :stale} <- Store.removal(__MODULE__, key) do
      {:ok, removal} = Log.begin_remove(log, :infinity)
      {:durable, Map.put(removals, key, removal)}
    else
      {:ok, removal} ->
        {if(patience(lsn) == 0, do: :begun, else: :durable), Map.put(removals, key, removal)}
    end
  end

  defp carry_out({:finish, key}, removals, lsn) do
    {removal, removals} = Map.pop!(removals, key)

    with {:error, :timeout} <- Log.finish_remove(removal, patience(lsn)),
         {:error, :stale} <- Log.finish_remove(removal, :infinity) do
      {:begun, removals}
    else
      :ok -> {:durable, removals}
    end
  end

  defp durable!(:ok), do: :durable

  defp patience(lsn), do: if(rem(lsn, 2) == 0, do: 0, else: :infinity)

  defp announce do
    receive do
      {Store, _ref, {:durable, lsn}} ->
        IO.puts("durable #{lsn}")
        announce()
    after
      0 -> :ok
    end
  end

  defp log!(key) do
    {:ok, log} = Store.log(__MODULE__, key)
    log
  end

  defp removal!(key) do
    {:ok, removal} = Store.removal(__MODULE__, key)
    removal
  end

  ## The comparison

  # Gives the model that the store is equal to.
  defp compare!(model, recovery, told, choices, seed) do
    if recovery.lsn < told.durable,
      do:
        raise("seed #{seed}: #{told.durable} was announced durable, and #{recovery.lsn} is there")

    certain = if elem(told.after, 0) == recovery.lsn, do: elem(told.after, 1), else: 0
    # Whole contents every so often; else what this cycle added and a little before.
    from = if choices.from == :start, do: 0, else: max(model.lsn - 50, 0)
    outcomes = StoreScript.outcomes(model, seed, recovery.lsn, certain)
    found = Enum.map(outcomes, &{&1, difference(&1, recovery, from, seed)})

    case List.keyfind(found, nil, 1) do
      {outcome, nil} ->
        outcome

      nil ->
        differences = Enum.map_join(found, "; or ", &elem(&1, 1))
        raise "seed #{seed}, after #{from}, at #{recovery.lsn}: #{differences}"
    end
  end

  # The first thing in which the store is not as it should be, in words.
  defp difference(model, recovery, from, seed) do
    if MapSet.new(recovery.pending_removals) == model.removing do
      Enum.find_value(StoreScript.keys(), fn key ->
        if key not in model.removing, do: log_difference(model, key, from, seed)
      end)
    else
      "#{words(recovery.pending_removals)} are being removed, and not #{words(model.removing)}"
    end
  end

  defp words(keys), do: keys |> Enum.sort() |> inspect(charlists: :as_lists)

  defp log_difference(model, key, from, seed) do
    since = Map.get(model.since, key, 0)
    trimmed = Map.get(model.trimmed, key, 0)
    from = max(from, trimmed)

    records =
      for tx <- (max(from, since) + 1)..model.lsn//1,
          {payload, op} <- Enum.with_index(StoreScript.records(seed, tx, key)),
          do: {{tx, op}, payload}

    last =
      Enum.find(model.lsn..max(model.lsn - 500, since + 1)//-1, fn tx ->
        StoreScript.written?(seed, tx, key)
      end)

    expected = %{records: records, trimmed: if(trimmed > 0, do: {trimmed, @last}, else: {0, 0})}
    found = found(key, from)

    cond do
      found.records != expected.records ->
        "log #{key}: #{record_difference(expected.records, found.records)}"

      found.trimmed != expected.trimmed ->
        "log #{key}: trimmed up to #{inspect(found.trimmed)}, and not #{inspect(expected.trimmed)}"

      # One that is older is not looked for.
      (last || since > model.lsn - 500) && found.meta != (last && {last, "#{last}"}) ->
        "log #{key}: the meta is #{inspect(found.meta)}, and not of #{inspect(last)}"

      true ->
        nil
    end
  end

  defp found(key, from) do
    case Store.find(__MODULE__, key) do
      {:ok, log} ->
        {:ok, meta} = Log.meta(log)
        trimmed = Log.trimmed(log)
        # What is trimmed further than it should be is told by `trimmed`.
        after_offset = max(trimmed, if(from > 0, do: {from, @last}, else: {0, 0}))
        %{records: Enum.to_list(Log.stream(log, after_offset)), trimmed: trimmed, meta: meta}

      {:error, :not_found} ->
        %{records: [], trimmed: {0, 0}, meta: nil}

      {:error, :removed} ->
        %{records: [], trimmed: :removed, meta: nil}
    end
  end

  defp record_difference(expected, found) do
    missing = expected -- found
    surplus = found -- expected

    "#{length(missing)} missing (#{inspect(Enum.take(missing, 2), printable_limit: 20)}), #{length(surplus)} too many (#{inspect(Enum.take(surplus, 2), printable_limit: 20)})"
  end
end
