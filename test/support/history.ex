defmodule Racefree.History do
  @moduledoc """
  What processes did to a registry, and when: the input of `Racefree.Linearizability`.

  Each operation stands between two ticks of one counter, taken before the call and after it, so that operations that
  did not overlap are in order. Processes are killed while they work: an operation without an end may have taken effect
  or not. A kill is an operation too, from the signal to the `:DOWN`.
  """

  alias Racefree.{KeyHolder, Seed, Together}

  @type operation :: %{
          id: pos_integer(),
          key: term(),
          process: pid(),
          call: tuple(),
          result: term(),
          from: pos_integer(),
          upto: pos_integer() | :never
        }

  @doc "Has `workers` processes use `keys` at random, kills some of them, and gives the operations by key."
  @spec record(module(), atom(), keyword()) :: %{term() => [operation()]}
  def record(subject, reg, options) do
    record = %{
      subject: subject,
      reg: reg,
      clock: :atomics.new(1, []),
      table: :ets.new(:history, [:public, :ordered_set]),
      keys: Keyword.fetch!(options, :keys),
      seed: Keyword.fetch!(options, :seed),
      turns: Keyword.fetch!(options, :turns)
    }

    Seed.use(record.seed, :killer)

    running =
      for n <- 1..Keyword.fetch!(options, :workers),
          do: {n, Together.start([fn -> work(record, n) end])}

    kill_some(record, running, Keyword.fetch!(options, :kills))
    # A worker that is through stays: its end would be an operation too.
    for {_n, [{pid, _ref}]} <- running, do: through(pid)
    for {_n, [{pid, _ref}] = worker} <- running, do: send(pid, :leave) && Together.await(worker)

    operations = for {_id, operation} <- :ets.tab2list(record.table), do: operation

    KeyHolder.finish_all(
      for(%{result: {:ok, pid}} <- operations, is_pid(pid), uniq: true, do: pid)
    )

    :ets.delete(record.table)
    kills = for %{key: :all} = operation <- operations, do: operation

    Map.new(record.keys, fn key ->
      {key, kills ++ for(%{key: ^key} = operation <- operations, do: operation)}
    end)
  end

  # Victims are workers and what they have started.
  defp kill_some(record, running, kills) do
    for _ <- 1..kills//1 do
      Seed.spin(15_000)
      workers = for {_n, [{pid, _ref}]} <- running, Process.alive?(pid), do: pid

      started =
        for {_id, %{result: {:ok, pid}}} when is_pid(pid) <- :ets.tab2list(record.table),
            Process.alive?(pid),
            do: pid

      case Enum.uniq(workers ++ started) do
        [] -> :ok
        alive -> kill(record, Enum.random(alive))
      end
    end
  end

  defp kill(record, victim) do
    write(record, :all, {:kill, victim}, fn ->
      # A monitor that was there before would be seen by the registry before ours.
      ref = Process.monitor(victim)
      Process.exit(victim, :kill)
      receive do: ({:DOWN, ^ref, :process, ^victim, _reason} -> :ok)
    end)
  end

  defp work(record, n) do
    Seed.use(record.seed, n)
    for _ <- 1..record.turns, do: turn(record, Enum.random(record.keys))
    receive(do: ({:through?, pid, ref} -> send(pid, ref)))
    receive(do: (:leave -> :ok))
  end

  defp through(pid) do
    ref = Process.monitor(pid)
    send(pid, {:through?, self(), ref})

    receive do
      ^ref -> Process.demonitor(ref, [:flush])
      {:DOWN, ^ref, :process, ^pid, _killed} -> true
    end
  end

  defp turn(%{subject: subject, reg: reg} = record, key) do
    Seed.spin(500)

    case :rand.uniform(10) do
      n when n <= 2 ->
        value = :rand.uniform(1_000_000)
        write(record, key, {:register, value}, fn -> subject.register(reg, key, value) end)

      3 ->
        write(record, key, :unregister, fn -> subject.unregister(reg, key) end)

      n when n <= 7 ->
        write(record, key, :lookup, fn -> subject.lookup(reg, key) end)

      8 ->
        start(record, key)

      n when n >= 9 ->
        remove(record, key)
    end
  end

  defp remove(%{subject: subject, reg: reg} = record, key) do
    reason = :rand.uniform(1_000_000)

    with {:ok, removal} <-
           write(
             record,
             key,
             {:begin_remove, reason},
             fn -> subject.begin_remove(reg, key, reason) end,
             &began/1
           ) do
      Seed.spin(500)
      write(record, key, {:finish_remove, reason}, fn -> subject.finish_remove(removal) end)
    end
  end

  defp began({:ok, _removal}), do: :ok
  defp began(refused), do: refused

  # A start is one operation for who waits, and two for who leads: taking the lead, and what came of it.
  defp start(%{subject: subject, reg: reg} = record, key) do
    id = open(record, key, :wait)

    starter = fn ->
      close(record, id, :lead, :ok)
      pid = KeyHolder.start_idle()
      Process.put(:publishing, open(record, key, {:publish, pid}))

      # If a removal has begun and finished meanwhile, the lead is lost, and publishing takes a new one; or not.
      open(record, key, :lead_again)
      {:ok, pid}
    end

    result = subject.ensure_started(reg, key, starter, 5_000)

    case Process.delete(:publishing) do
      nil -> close(record, id, :wait, result)
      publishing -> close(record, publishing, nil, result)
    end
  end

  defp write(record, key, call, run, shown \\ & &1) do
    id = open(record, key, call)
    result = run.()
    close(record, id, nil, shown.(result))
    result
  end

  defp open(record, key, call) do
    from = tick(record)

    :ets.insert(
      record.table,
      {from,
       %{id: from, key: key, process: self(), call: call, result: nil, from: from, upto: :never}}
    )

    from
  end

  defp close(record, id, call, result) do
    upto = tick(record)
    [{^id, operation}] = :ets.lookup(record.table, id)

    :ets.insert(
      record.table,
      {id, %{operation | call: call || operation.call, result: result, upto: upto}}
    )
  end

  defp tick(record), do: :atomics.add_get(record.clock, 1, 1)
end
