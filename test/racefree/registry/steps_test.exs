defmodule Racefree.Registry.StepsTest do
  @moduledoc """
  Every function of the registry, from every state of its key, with each disturbance before and after each of its steps.

  The steps are the calls that the compiled code makes (`Racefree.Stepped`): to the native library, to monitors, to other
  processes. What is asked afterwards: the answer is one that is listed; the caller is left with no message and no
  monitor that it does not know of; and when all processes have died, the registry is as empty as before.
  """

  use Racefree.RegistryCase, async: true

  setup_all do
    :ets.new(__MODULE__, [:named_table, :public, :bag])
    %{Racefree.Registry => twin} = Stepped.load(registry_modules())
    {:ok, twin: twin}
  end

  # The registry and what stands in `lib/racefree/registry/`.
  defp registry_modules do
    {:ok, modules} = :application.get_key(:racefree, :modules)

    for module <- modules,
        "#{module.module_info(:compile)[:source]}" =~ ~r"/lib/racefree/registry(/.*)?\.ex$",
        do: module
  end

  @states [:free, :held, :starting, :removed, :left_removed]
  @operations ~w(register unregister put_value lookup subscribe unsubscribe broadcast call call_monitored multicall ensure_started remove)a

  for disturbance <-
        ~w(holder_dies holder_changes somebody_registers removal_begins removal_passes remover_dies
                        others_die registry_dies registry_stops broadcast caller_dies)a do
    test "#{disturbance} at each step of each function", %{twin: twin} do
      points =
        for state <- @states,
            operation <- @operations,
            state == :held or operation != :unsubscribe do
          # A registry for each: what one leaves behind must not be taken for another's.
          reg = start_registry(Registry)
          points = Stepped.sweep(&scenario(&1, twin, reg, state, operation, unquote(disturbance)))
          assert points >= 2, "#{operation} has no steps"
          points
        end

      assert Enum.sum(points) > 150
    end
  end

  defp scenario(hold, twin, reg, state, operation, disturbance) do
    key = make_ref()
    processes = enter(state, reg, key)

    caller = fn ->
      hold.(fn -> run(operation, twin, reg, key) end, fn _point ->
        disturb(disturbance, reg, key, processes)
      end)
      |> seen(operation)
    end

    [outcome] = Together.run([caller])
    where = "#{operation} of a key that is #{state}, with #{disturbance}"

    case outcome do
      {:value, :as_it_should} -> :ok
      {:ended, :killed} when disturbance == :caller_dies -> :ok
      wrong -> flunk("#{where}: #{inspect(wrong)}")
    end

    clear(reg, key, processes)
    {:ok, left} = up(fn -> Registry.info(reg) end)
    assert left.entries == 0, "#{where} leaves #{inspect(left)}"
  end

  defp enter(:free, _reg, _key), do: []
  defp enter(:held, reg, key), do: [holder(reg, key)]

  defp enter(:starting, reg, key) do
    test = self()

    leader =
      spawn(fn ->
        starter = fn ->
          send(test, {:leads, self()})
          receive(do: (:never -> :ok))
        end

        Registry.ensure_started(reg, key, starter)
      end)

    receive(do: ({:leads, ^leader} -> [leader]))
  end

  defp enter(:removed, reg, key) do
    remover = idle(key)
    {:ok, _removal} = KeyHolder.run(remover, fn -> Registry.begin_remove(reg, key, :test) end)
    [remover]
  end

  defp enter(:left_removed, reg, key),
    do: enter(:removed, reg, key) |> KeyHolder.finish_all() && []

  defp run(operation, twin, reg, key) do
    case operation do
      :register ->
        twin.register(reg, key, :value)

      :unregister ->
        twin.unregister(reg, key)

      :put_value ->
        twin.put_value(reg, key, :other)

      :lookup ->
        twin.lookup(reg, key)

      :subscribe ->
        twin.subscribe(reg, key)

      :unsubscribe ->
        with(
          {:ok, subscription} <- Registry.subscribe(reg, key),
          do: unsubscribe(twin, subscription)
        )

      :broadcast ->
        twin.broadcast(reg, key, :disturbed)

      :call ->
        twin.call(reg, key, {:echo, 1}, 5_000)

      :call_monitored ->
        twin.call_monitored(reg, key, {:echo, 1}, 5_000)

      :multicall ->
        twin.multicall(reg, [{key, {:echo, 1}}], 5_000)

      :ensure_started ->
        twin.ensure_started(reg, key, fn -> {:ok, idle(key)} end, 5)

      :remove ->
        with(
          {:ok, removal} <- twin.begin_remove(reg, key, :test),
          do: twin.finish_remove(removal)
        )
    end
  end

  defp unsubscribe(twin, subscription),
    do: with(:ok <- twin.unsubscribe(subscription), do: {:ok, subscription})

  # Whether the answer is listed, and whether the caller has what it says and nothing else.
  defp seen({:ok, subscription}, :subscribe), do: subscribed(subscription)
  defp seen({:ok, 1, subscription}, :call_monitored), do: subscribed(subscription)

  defp seen({:ok, %Racefree.Subscription{ref: ref}}, :unsubscribe),
    do: about(ref) || empty_handed()

  defp seen({:error, _reason} = refused, :unsubscribe), do: seen(refused, :subscribe)
  defp seen({:error, :not_found}, :put_value), do: empty_handed()

  defp seen(result, operation),
    do:
      if(RegistryLaws.listed?(operation, result), do: empty_handed(), else: {:not_listed, result})

  defp about(ref) do
    receive do
      {Racefree.Registry, ^ref, message} -> {:after_unsubscribe, message}
      {:DOWN, ^ref, _, _, _} = down -> {:after_unsubscribe, down}
    after
      0 -> nil
    end
  end

  # The subscription is to the process that is monitored, whoever holds the key by now; and (B2) the end of that process is heard of once, with the reason.
  defp subscribed(%{ref: ref, pid: pid} = subscription) do
    missed = of_another_life(subscription)
    Process.exit(pid, :kill)
    heard = receive(do: ({:DOWN, ^ref, :process, ^pid, reason} -> reason))
    again = receive(do: ({:DOWN, ^ref, _, _, _} = down -> down), after: (0 -> nil))
    :ok = Registry.unsubscribe(subscription)

    if {missed, heard, again} == {nil, :killed, nil},
      do: empty_handed(),
      else: {:subscribed, missed, heard, again}
  end

  # A broadcast to the key reaches the subscriber if the process that it monitors holds the key, and not if another does.
  defp of_another_life(%{registry: reg, key: key, ref: ref, pid: pid}) do
    # Nobody but this process does anything now: the disturbance is over, but for a registry that is being restarted.
    held_by = with {:ok, holder, _value} <- up(fn -> Registry.lookup(reg, key) end), do: holder
    _ = Registry.broadcast(reg, key, :whose)
    reached = receive(do: ({Racefree.Registry, ^ref, :whose} -> true), after: (0 -> false))
    if is_pid(held_by) and reached != (held_by == pid), do: {pid, held_by, reached: reached}
  end

  defp empty_handed do
    {:messages, messages} = Process.info(self(), :messages)
    {:monitors, monitors} = Process.info(self(), :monitors)
    if messages == [] and monitors == [], do: :as_it_should, else: {:left, messages, monitors}
  end

  defp disturb(:caller_dies, _reg, _key, _processes), do: Process.exit(self(), :kill)
  # Whoever the state of the key came from: leader, remover, holder.
  defp disturb(:others_die, _reg, _key, processes),
    do: others(fn -> KeyHolder.finish_all(processes) end)

  # By another process: the caller's own mailbox and monitors are under test.
  defp disturb(disturbance, reg, key, _processes) do
    caller = self()
    others(fn -> disturb_by_another(disturbance, reg, key, caller) end)
  end

  defp others(function) do
    {pid, ref} = spawn_monitor(function)
    receive(do: ({:DOWN, ^ref, :process, ^pid, reason} -> :normal = reason))
  end

  defp disturb_by_another(:holder_dies, reg, key, caller) do
    with {:ok, pid, _value} when pid != caller <- Registry.lookup(reg, key),
         do: KeyHolder.finish_all([pid])
  end

  defp disturb_by_another(:holder_changes, reg, key, caller) do
    with {:ok, pid, _value} when pid != caller <- Registry.lookup(reg, key) do
      :ok = KeyHolder.run(pid, fn -> Registry.unregister(reg, key) end)
      holder(reg, key)
    end
  end

  defp disturb_by_another(:somebody_registers, reg, key, _caller),
    do: holder(reg, key)

  defp disturb_by_another(:removal_begins, reg, key, _caller) do
    KeyHolder.run(idle(key), fn -> Registry.begin_remove(reg, key, :disturbed) end)
  end

  defp disturb_by_another(:removal_passes, reg, key, _caller) do
    with {:ok, removal} <- Registry.begin_remove(reg, key, :disturbed),
         do: Registry.finish_remove(removal)
  end

  # This process ends right after.
  defp disturb_by_another(:remover_dies, reg, key, _caller),
    do: Registry.begin_remove(reg, key, :disturbed)

  defp disturb_by_another(:registry_dies, reg, _key, _caller),
    do: with(pid when is_pid(pid) <- Process.whereis(reg), do: KeyHolder.finish_all([pid]))

  defp disturb_by_another(:registry_stops, reg, _key, _caller) do
    with pid when is_pid(pid) <- Process.whereis(reg), do: GenServer.stop(pid, :shutdown)
  end

  defp disturb_by_another(:broadcast, reg, key, _caller),
    do: Registry.broadcast(reg, key, :disturbed)

  # Every process of a scenario is entered under its key, so that none outlives it.
  defp idle(key), do: entered(KeyHolder.start_idle(), key)
  defp holder(reg, key), do: entered(KeyHolder.start(Registry, reg, key), key)

  defp entered(pid, key) do
    :ets.insert(__MODULE__, {key, pid})
    pid
  end

  defp clear(reg, key, processes) do
    KeyHolder.finish_all(processes ++ for({_key, pid} <- :ets.take(__MODULE__, key), do: pid))
    # Until nobody holds the key: a disturbance may have put somebody there.
    clear(reg, key)
  end

  defp clear(reg, key) do
    case up(fn -> Registry.lookup(reg, key) end) do
      {:ok, pid, _value} -> KeyHolder.finish_all([pid]) && clear(reg, key)
      {:error, {:removed, _reason}} -> take_over(reg, key) && clear(reg, key)
      {:error, :starting} -> clear(reg, key)
      # The test's own process may be watched, for the removals that it has finished.
      {:error, :not_found} -> settle(reg, 1)
    end
  end

  defp take_over(reg, key) do
    # A living remover is one that a disturbance has started, and has nothing else to do.
    case up(fn -> Registry.removals(reg) end) do
      {:ok, [{^key, _reason, remover}]} when is_pid(remover) ->
        KeyHolder.finish_all([remover])

      {:ok, _none_or_dead} ->
        with(
          {:ok, removal} <- Registry.begin_remove(reg, key, :test),
          do: Registry.finish_remove(removal)
        )
    end
  end

  # Waits for the restarted registry.
  defp up(call) do
    case call.() do
      {:error, :registry_down} -> up(call)
      answer -> answer
    end
  end
end
