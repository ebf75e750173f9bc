defmodule Racefree.RegistryLaws do
  @moduledoc """
  What a registry must keep to under random deaths, as functions that count how often it did not.

  The registry comes as a parameter: the tests show that `Racefree.Registry` breaks no law in any try, and that a
  registry written by hand breaks each of them. The names are those of the invariants B1 to B11.
  """

  alias Racefree.{KeyHolder, Seed, Together}

  @type result :: %{tries: pos_integer(), seed: non_neg_integer(), broken: [term()]}

  @doc "B1: who saw a process end, or ended it, never finds it."
  def dead_is_not_found(subject, reg, tries, seed) do
    repeat(tries, seed, fn n ->
      key = {:dead, rem(n, 100)}
      pid = KeyHolder.start(subject, reg, key)
      seen_dead(pid, Enum.random([:down, :exit, :killed]))
      for found <- findings(subject, reg, key), found == pid, do: {n, :found_dead, pid}
    end)
  end

  defp seen_dead(pid, :killed), do: Process.exit(pid, :kill)

  defp seen_dead(pid, :down) do
    ref = Process.monitor(pid)
    {ending, _seen} = KeyHolder.random_ending()
    KeyHolder.finish(pid, ending)
    receive do: ({:DOWN, ^ref, :process, ^pid, _reason} -> :ok)
  end

  defp seen_dead(pid, :exit) do
    Process.flag(:trap_exit, true)
    Process.link(pid)
    {ending, _seen} = KeyHolder.random_ending()
    KeyHolder.finish(pid, ending)
    receive do: ({:EXIT, ^pid, _reason} -> Process.flag(:trap_exit, false))
  end

  defp findings(subject, reg, key) do
    looked_up = for _ <- 1..10, {:ok, pid, _value} <- [subject.lookup(reg, key)], do: pid

    subscribed =
      for {:ok, subscription} <- [attempt(fn -> subject.subscribe(reg, key) end)],
          do: left(subject, subscription)

    looked_up ++ subscribed
  end

  defp left(subject, subscription) do
    subject.unsubscribe(subscription)
    subscription.pid
  end

  @doc "B2: a subscription that was granted brings one `:DOWN` with the true reason."
  def granted_subscription_hears_the_end(subject, reg, tries, seed) do
    only(subscriptions_at_the_end(subject, reg, tries, seed), [:granted])
  end

  @doc "B4: a subscription that was refused leaves no monitor and no message. (That it raised is B3.)"
  def refused_subscription_leaves_nothing(subject, reg, tries, seed) do
    only(subscriptions_at_the_end(subject, reg, tries, seed), [:refused])
  end

  defp only(result, kinds),
    do: %{
      result
      | broken: for({_n, kind, _what} = broken <- result.broken, kind in kinds, do: broken)
    }

  defp subscriptions_at_the_end(subject, reg, tries, seed) do
    repeat(tries, seed, fn n ->
      key = {:ending, n}
      holder = KeyHolder.start(subject, reg, key)
      {ending, reason} = KeyHolder.random_ending()

      workers =
        for m <- 1..2, do: fn -> subscriber(subject, reg, key, {holder, reason}, {seed, n, m}) end

      running = Together.start(workers)
      Seed.spin(4_000)
      KeyHolder.finish(holder, ending)
      for {:value, broken} <- Together.await(running), {kind, what} <- broken, do: {n, kind, what}
    end)
  end

  defp subscriber(subject, reg, key, {holder, reason}, {seed, n, m}) do
    Seed.use(seed, {n, m})
    Seed.spin(4_000)

    case attempt(fn -> subject.subscribe(reg, key) end) do
      {:ok, subscription} -> hears(subscription, holder, reason)
      refused -> for {:messages, [_ | _] = left} <- mine(), do: {:refused, {refused, left}}
    end
  end

  defp hears(%{ref: ref}, holder, reason) do
    heard = receive do: ({:DOWN, ^ref, :process, pid, heard} -> {pid, heard})
    more = receive do: ({:DOWN, ^ref, _, _, _} = more -> more), after: (0 -> nil)

    cond do
      heard != {holder, reason} -> [{:granted, {:heard, heard, :instead_of, {holder, reason}}}]
      more != nil -> [{:granted, {:twice, more}}]
      true -> []
    end
  end

  # The monitors that the process holds and the messages that it has.
  defp mine do
    {:monitors, monitors} = Process.info(self(), :monitors)
    {:messages, messages} = Process.info(self(), :messages)
    [messages: monitors ++ messages]
  end

  @doc "B3 and B11: whatever is gone, the registry itself or a process, calls give values that the specification lists."
  def answers_are_values(subject, reg, tries, seed) do
    repeat(div(tries, 20), seed, fn n ->
      keys = for m <- 1..3, do: {:values, n, m}
      workers = for m <- 1..3, do: fn -> random_calls(subject, reg, keys, {seed, n, m}) end
      running = Together.start(workers)
      Seed.spin(20_000)
      # The supervisor starts it anew.
      with pid when is_pid(pid) <- Process.whereis(reg), do: Process.exit(pid, :kill)

      for outcome <- Together.await(running), broken <- unlisted(outcome), do: {n, broken}
    end)
  end

  defp unlisted({:value, broken}), do: broken
  defp unlisted(outcome), do: [outcome]

  defp random_calls(subject, reg, keys, {seed, n, m}) do
    Seed.use(seed, {n, m})

    for turn <- 1..20,
        key = Enum.random(keys),
        {name, result} <- [random_call(subject, reg, key)],
        not listed?(name, result) do
      {turn, name, result}
    end
  end

  defp random_call(subject, reg, key) do
    {name, call} =
      Enum.random(
        register: fn -> subject.register(reg, key, :value) end,
        unregister: fn -> subject.unregister(reg, key) end,
        lookup: fn -> subject.lookup(reg, key) end,
        subscribe: fn ->
          with {:ok, subscription} <- subject.subscribe(reg, key),
               do: subject.unsubscribe(subscription)
        end,
        broadcast: fn -> subject.broadcast(reg, key, :hello) end,
        call: fn -> subject.call(reg, key, {:echo, 1}, 1) end,
        call_monitored: fn -> subject.call_monitored(reg, key, {:echo, 1}, 1) end,
        multicall: fn -> subject.multicall(reg, [{key, {:echo, 1}}], 1) end,
        ensure_started: fn ->
          subject.ensure_started(reg, key, fn -> {:ok, KeyHolder.start_idle()} end, 5)
        end,
        remove: fn ->
          with {:ok, removal} <- subject.begin_remove(reg, key, :test),
               do: subject.finish_remove(removal)
        end
      )

    {name, attempt(call)}
  end

  @doc "Whether the specification lists this result of the call `name`."
  def listed?(_name, :ok), do: true
  def listed?(:lookup, {:ok, pid, _value}), do: is_pid(pid)
  def listed?(:broadcast, {:ok, count}), do: is_integer(count)
  def listed?(:call, {:ok, _reply}), do: true

  def listed?(:call_monitored, {:ok, _reply, %{ref: ref, pid: pid}}),
    do: is_reference(ref) and is_pid(pid)

  def listed?(:ensure_started, {:ok, pid}), do: is_pid(pid)

  def listed?(:multicall, [{_key, outcome}]),
    do: match?({:ok, _reply}, outcome) or listed?(:call, {:error, outcome})

  def listed?(:register, {:error, {:already_registered, pid}}), do: is_pid(pid)
  def listed?(:remove, {:error, :stale}), do: true
  def listed?(:ensure_started, {:error, {:registered_by_other, pid}}), do: is_pid(pid)
  def listed?(:ensure_started, {:error, {:start_failed, _reason}}), do: true
  def listed?(:ensure_started, {:error, :noproc}), do: true
  def listed?(name, {:error, {:down, _reason}}) when name in [:call, :call_monitored], do: true

  def listed?(name, {:error, :timeout}) when name in [:call, :call_monitored, :ensure_started],
    do: true

  def listed?(name, {:error, :calling_self}) when name in [:call, :call_monitored], do: true

  def listed?(name, {:error, reason}) when reason in [:not_found, :starting],
    do: name not in [:register, :remove]

  def listed?(_name, {:error, {:removed, _reason}}), do: true
  def listed?(_name, {:error, :registry_down}), do: true
  def listed?(_name, _result), do: false

  @doc "B5: between the return of `begin_remove` and the call of `finish_remove` nothing succeeds under the key."
  def removed_stays_removed(subject, reg, tries, seed) do
    repeat(tries, seed, fn n ->
      key = {:removed, n}
      clock = :atomics.new(1, [])
      if :rand.uniform(2) == 1, do: KeyHolder.start(subject, reg, key)
      workers = for m <- 1..2, do: fn -> successes(subject, reg, key, clock, {seed, n, m}) end
      running = Together.start(workers)
      {began, finishes} = remove(subject, reg, key, clock, n)
      windows = for {:value, windows} <- Together.await(running), window <- windows, do: window
      for {name, from, upto} <- windows, from > began, upto < finishes, do: {n, name}
    end)
  end

  # Every other remover dies with the removal begun, and another finishes.
  defp remove(subject, reg, key, clock, n) when rem(n, 2) == 0 do
    [value: began] = Together.run([fn -> begin(subject, reg, key, clock) end])
    Seed.spin(4_000)
    {_began, removal} = begin(subject, reg, key, clock)
    finish(subject, removal, clock, elem(began, 0))
  end

  defp remove(subject, reg, key, clock, _n) do
    Seed.spin(4_000)
    {began, removal} = begin(subject, reg, key, clock)
    Seed.spin(4_000)
    finish(subject, removal, clock, began)
  end

  defp begin(subject, reg, key, clock) do
    {:ok, removal} = subject.begin_remove(reg, key, :test)
    {tick(clock), removal}
  end

  defp finish(subject, removal, clock, began) do
    finishes = tick(clock)
    :ok = subject.finish_remove(removal)
    {began, finishes}
  end

  defp tick(clock), do: :atomics.add_get(clock, 1, 1)

  defp successes(subject, reg, key, clock, {seed, n, m}) do
    Seed.use(seed, {n, m})

    for _turn <- 1..20 do
      from = tick(clock)
      {name, result} = random_use(subject, reg, key)
      {name, from, tick(clock), result}
    end
    |> Enum.flat_map(fn
      {_name, _from, _upto, refused} when refused in [:error, nil] -> []
      {name, from, upto, _granted} -> [{name, from, upto}]
    end)
  end

  defp random_use(subject, reg, key) do
    {name, call} =
      Enum.random(
        register: fn ->
          with :ok <- subject.register(reg, key), do: subject.unregister(reg, key) && :granted
        end,
        lookup: fn -> with {:ok, pid, _value} <- subject.lookup(reg, key), do: pid end,
        subscribe: fn ->
          with {:ok, subscription} <- subject.subscribe(reg, key), do: left(subject, subscription)
        end,
        call: fn ->
          with {:ok, _reply} <- subject.call(reg, key, {:echo, 1}, 1_000), do: :granted
        end,
        start: fn ->
          with {:ok, pid} <- subject.ensure_started(reg, key, &started/0, 1_000), do: pid
        end
      )

    case attempt(call) do
      granted when granted == :granted or is_pid(granted) -> {name, granted}
      _refused -> {name, :error}
    end
  end

  defp started, do: {:ok, KeyHolder.start_idle()}

  @keys_each 500

  @doc "B6: the late end of a former holder does not touch the next one."
  def late_end_spares_the_next(subject, reg, tries, seed) do
    repeat(tries, seed, fn n ->
      # Many keys, so that the registry is still busy with the former's end while the next one registers.
      keys = for m <- 1..@keys_each, do: {:next, n, m}
      [former, next] = for _ <- 1..2, do: KeyHolder.start_idle()
      register = fn -> for(key <- keys, do: subject.register(reg, key)) |> Enum.uniq() end
      [:ok] = KeyHolder.run(former, register)
      KeyHolder.finish_all([former])
      refused = KeyHolder.run(next, register) -- [:ok]
      # The registry has cleaned up behind the former when it has handled one more end.
      KeyHolder.finish_all([KeyHolder.start(subject, reg, :last)])
      settle(subject, reg, 1)
      lost = for key <- keys, lost = lost(subject.lookup(reg, key), next), do: {n, key, lost}
      KeyHolder.finish_all([next])
      Enum.map(refused, &{n, &1}) ++ lost
    end)
  end

  defp lost({:ok, pid, _value}, pid), do: nil
  defp lost(found, pid), do: {found, :instead_of, pid}

  defp settle(Racefree.NaiveRegistry, reg, _processes), do: :sys.get_state(reg)
  defp settle(_subject, reg, processes), do: Racefree.RegistryCase.settle(reg, processes)

  @doc "B7: a multicall gives one outcome for each key in order, and no message follows."
  def multicall_answers_once(subject, reg, tries, seed, patience_ms \\ 30_000) do
    repeat(tries, seed, fn n ->
      kinds =
        for m <- 1..(1 + :rand.uniform(8)),
            do: {{:asked, n, m}, Enum.random([:echo, :end, :hold, :absent, :removed, :dying])}

      holders =
        for {key, kind} <- kinds,
            kind not in [:absent, :removed],
            do: KeyHolder.start(subject, reg, key)

      for {key, :removed} <- kinds, do: subject.begin_remove(reg, key, :test)
      for {{_key, :dying}, pid} <- Enum.zip(present(kinds), holders), do: Process.exit(pid, :kill)
      again = Enum.take_random(kinds, 2)
      asked = for {key, kind} <- kinds ++ again, do: {key, request(kind, key)}

      # Only who is held decides on a deadline: a slow machine must not.
      deadline_ms = if List.keymember?(kinds, :hold, 1), do: 20, else: patience_ms
      answers = attempt(fn -> subject.multicall(reg, asked, deadline_ms) end)
      for pid <- holders, do: send(pid, :release)
      broken = outcomes(answers, kinds ++ again, deadline_ms)
      # A late answer would be under way: whoever still lives has answered by now.
      for pid <- holders, Process.alive?(pid), do: attempt(fn -> GenServer.call(pid, :ping) end)
      late = flush()
      KeyHolder.finish_all(holders)
      for what <- broken ++ late, do: {n, what}
    end)
  end

  defp present(kinds),
    do: for({key, kind} <- kinds, kind not in [:absent, :removed], do: {key, kind})

  defp request(:end, _key), do: {:end, :asked}
  defp request(:hold, _key), do: :hold
  defp request(_kind, key), do: {:echo, key}

  defp outcomes(answers, kinds, deadline_ms)
       when is_list(answers) and length(answers) == length(kinds) do
    for {{key, outcome}, {wanted, kind}} <- Enum.zip(answers, kinds),
        key != wanted or
          not (outcome?(kind, key, outcome) or (outcome == :timeout and deadline_ms == 20)) do
      {kind, wanted, key, outcome}
    end
  end

  defp outcomes(answers, kinds, _deadline_ms), do: [{:not_one_each, answers, kinds}]

  defp outcome?(:echo, key, outcome), do: outcome == {:ok, key}
  # Asked twice, the second request may find the process gone.
  defp outcome?(:end, _key, outcome),
    do: outcome in [{:down, :asked}, {:down, :noproc}, :not_found]

  defp outcome?(:hold, _key, outcome), do: outcome == :timeout
  defp outcome?(:absent, _key, outcome), do: outcome == :not_found
  defp outcome?(:removed, _key, outcome), do: outcome == {:removed, :test}

  defp outcome?(:dying, _key, outcome),
    do: outcome in [:not_found, {:down, :killed}, {:down, :noproc}]

  defp flush do
    receive do
      message -> [{:late, message} | flush()]
    after
      0 -> []
    end
  end

  @doc "B8: one starter at a time under a key, none while what was started lives, and everyone who waits is answered."
  def one_starter(subject, reg, tries, seed) do
    table = :ets.new(:starters, [:public, :set])

    result =
      repeat(tries, seed, fn n ->
        key = {:started, n}
        callers = for m <- 1..4, do: fn -> starting(subject, reg, key, table, {seed, n, m}) end
        outcomes = Together.run(callers)
        overlaps = for {_id, what} <- :ets.take(table, {:overlap, key}), do: {n, what}
        unanswered = for outcome <- outcomes, not answered?(outcome), do: {n, outcome}

        living =
          for({:value, {:ok, pid}} <- outcomes, Process.alive?(pid), do: pid) |> Enum.uniq()

        several = if length(living) > 1, do: [{n, {:several, living}}], else: []
        KeyHolder.finish_all(living)
        overlaps ++ unanswered ++ several
      end)

    :ets.delete(table)
    result
  end

  defp answered?({:value, result}),
    do: listed?(:ensure_started, result) or match?({:error, :refused}, result)

  # Its own starter raised, or ended the caller.
  defp answered?({:raised, {:exit, :in_starter}}), do: true
  defp answered?({:raised, {:throw, :in_starter}}), do: true
  defp answered?({:ended, :killed}), do: true
  defp answered?(_outcome), do: false

  defp starting(subject, reg, key, table, {seed, n, m}) do
    Seed.use(seed, {n, m})
    Seed.spin(3_000)
    kind = Enum.random([:holder, :holder, :itself, :refused, :exit, :throw, :kill, :dead])

    result =
      subject.ensure_started(reg, key, fn -> starter(subject, reg, key, table, kind) end, 30_000)

    with {:ok, pid} <- result, do: :ets.insert(table, {{:published, key}, pid})
    result
  end

  defp starter(subject, reg, key, table, kind) do
    enter(table, key)
    Seed.spin(3_000)
    result = start(kind, subject, reg, key)
    :ets.delete_object(table, {{:inside, key}, self()})
    result
  catch
    class, reason ->
      :ets.delete_object(table, {{:inside, key}, self()})
      :erlang.raise(class, reason, __STACKTRACE__)
  end

  defp enter(table, key) do
    for {_id, pid} <- :ets.lookup(table, {:published, key}), Process.alive?(pid) do
      :ets.insert(table, {{:overlap, key}, {:started_beside, pid}})
    end

    unless :ets.insert_new(table, {{:inside, key}, self()}), do: take_over(table, key)
  end

  # The one inside may have been killed there.
  defp take_over(table, key) do
    for {_id, pid} <- :ets.lookup(table, {:inside, key}), pid != self(), Process.alive?(pid) do
      :ets.insert(table, {{:overlap, key}, {:two_inside, pid, self()}})
    end

    :ets.insert(table, {{:inside, key}, self()})
  end

  defp start(:holder, _subject, _reg, _key), do: {:ok, KeyHolder.start_idle()}
  defp start(:itself, subject, reg, key), do: {:ok, KeyHolder.start(subject, reg, key)}
  defp start(:refused, _subject, _reg, _key), do: {:error, :refused}
  defp start(:exit, _subject, _reg, _key), do: exit(:in_starter)
  defp start(:throw, _subject, _reg, _key), do: throw(:in_starter)
  defp start(:kill, _subject, _reg, _key), do: Process.exit(self(), :kill)

  defp start(:dead, _subject, _reg, _key) do
    pid = KeyHolder.start_idle()
    KeyHolder.finish_all([pid])
    {:ok, pid}
  end

  @doc "B10: after `unsubscribe` nothing of the subscription is in the mailbox, and nothing comes."
  def silence_after_unsubscribe(subject, reg, tries, seed) do
    key = :loud
    holder = KeyHolder.start(subject, reg, key)
    stop = :atomics.new(1, [])

    [_ | _] =
      speakers = for(_ <- 1..2, do: fn -> speak(subject, reg, key, stop) end) |> Together.start()

    result =
      repeat(tries, seed, fn n ->
        {:ok, subscription} = subject.subscribe(reg, key)
        ref = subscription.ref
        # Messages come now.
        receive do: ({Racefree.Registry, ^ref, _message} -> :ok)
        Seed.spin(3_000)
        :ok = subject.unsubscribe(subscription)
        at_once = about(ref)
        # Each speaker goes once around.
        for {pid, _ref} <- speakers, do: around(pid)
        for message <- at_once ++ about(ref), do: {n, message}
      end)

    :atomics.put(stop, 1, 1)
    Together.await(speakers)
    KeyHolder.finish_all([holder])
    result
  end

  defp speak(subject, reg, key, stop) do
    {:ok, _count} = subject.broadcast(reg, key, :word)

    receive do
      {:around, pid, ref} -> send(pid, ref)
    after
      0 -> :ok
    end

    if :atomics.get(stop, 1) == 0, do: speak(subject, reg, key, stop), else: :ok
  end

  defp around(pid) do
    ref = make_ref()
    send(pid, {:around, self(), ref})
    receive do: (^ref -> :ok)
  end

  defp about(ref) do
    receive do
      {Racefree.Registry, ^ref, _message} = late -> [late | about(ref)]
      {:DOWN, ^ref, _type, _pid, _reason} = late -> [late | about(ref)]
    after
      0 -> []
    end
  end

  defp repeat(tries, seed, try) do
    # A process of its own: what it holds and receives is the law's alone.
    run = fn -> Seed.use(seed, :tries) && Enum.flat_map(1..max(tries, 1), try) end

    case Together.run([run], :infinity) do
      [value: broken] -> %{tries: tries, seed: seed, broken: broken}
      [outcome] -> %{tries: tries, seed: seed, broken: [outcome]}
    end
  end

  defp attempt(call) do
    call.()
  catch
    kind, reason -> {:raised, kind, reason}
  end
end
