defmodule Racefree.FaultScenarios do
  @moduledoc """
  What happens in a virtual machine whose native library panics or takes long on demand. Each function runs there and returns what it saw.

  In that library, using the key `{:racefree_fault, place}` makes the next passage of that place panic, `{:racefree_stall, place}` makes it take half a second or more, and
  `{:racefree_memory, ref}` brings `{ref, bytes}`: what the library holds, to the byte.
  """

  alias Racefree.{Registry, RegistryCase, SchedulerWatch}

  @registry __MODULE__.Registry
  @listener __MODULE__.Listener

  @doc "A panic at `place`, as callers, the owner's supervisor and the next incarnation see it."
  def panic(place) do
    {:ok, _supervisor} = start()
    owner = Process.whereis(@registry)
    watch = Process.monitor(owner)
    Process.register(self(), @listener)
    :ok = Registry.register(@registry, :held, :value)
    holder = holder(:other)
    waiter = waiter()
    {:error, :not_found} = Registry.lookup(@registry, {:racefree_fault, place})
    provoked = provoke(place, holder)
    stopped = receive do: ({:DOWN, ^watch, :process, ^owner, reason} -> reason)
    waited = receive do: ({:waited, ^waiter, answer} -> answer)
    await_restart(owner)

    %{
      provoked: provoked,
      stopped: stopped,
      waited: waited,
      after_restart: {Registry.lookup(@registry, :held), Registry.lookup(@registry, :other)},
      works:
        {Registry.register(@registry, :held, 2),
         Registry.lookup(@registry, :held) == {:ok, self(), 2}}
    }
  end

  @doc "A passage of `place` that takes long, as the watch over the schedulers reports it."
  def stall(place) do
    {:ok, _supervisor} = start()

    {_result, reports} =
      SchedulerWatch.watch(5, fn ->
        pid = holder(:other)
        watch = Process.monitor(pid)
        {:error, :not_found} = Registry.lookup(@registry, {:racefree_stall, place})
        {:error, :not_found} = Registry.lookup(@registry, :nobody)
        Process.exit(pid, :kill)
        receive(do: ({:DOWN, ^watch, :process, ^pid, :killed} -> :ok))
        RegistryCase.settle(@registry, 1)
      end)

    for {_process, details} <- reports, do: Map.new(details)
  end

  @doc "Processes in all roles that die together, `rounds` times: the bytes that the library holds after each."
  def die_together(count, rounds) do
    {:ok, _supervisor} = start()

    for _round <- 1..rounds do
      members = for n <- 1..count, do: spawn_monitor(fn -> play_role(rem(n, 4), n) end)
      await_processes(count)
      for {pid, _ref} <- members, do: Process.exit(pid, :kill)
      for {_pid, ref} <- members, do: receive(do: ({:DOWN, ^ref, :process, _pid, _reason} -> :ok))
      RegistryCase.settle(@registry)
      held_bytes()
    end
  end

  # Every member has a role when it begins to wait for its end; who waits for a start does so for a member's.
  defp play_role(0, n), do: Registry.ensure_started(@registry, {:start, n}, &wait_for_the_end/0)

  defp play_role(1, n),
    do: Registry.ensure_started(@registry, {:start, n - 1}, &wait_for_the_end/0, :infinity)

  defp play_role(2, n) do
    {:ok, removal} = Registry.begin_remove(@registry, {:removed, n}, String.duplicate("r", 50))
    :ok = Registry.finish_remove(removal)
    {:ok, _subscription} = subscribe_to_own(n, {:small, n})
    wait_for_the_end()
  end

  defp play_role(3, n) do
    {:ok, _subscription} = subscribe_to_own(n, String.duplicate("v", rem(n, 3_000)))
    wait_for_the_end()
  end

  defp subscribe_to_own(n, value) do
    key = {:member, n, "longer than what an entry keeps inside"}
    :ok = Registry.register(@registry, key, value)
    Registry.subscribe(@registry, key)
  end

  defp wait_for_the_end, do: receive(do: (:never -> :ok))

  defp await_processes(count) do
    {:ok, %{processes: processes}} = Registry.info(@registry)
    if processes < count, do: await_processes(count), else: :ok
  end

  defp held_bytes do
    ref = make_ref()
    {:error, :not_found} = Registry.lookup(@registry, {:racefree_memory, ref})
    receive(do: ({^ref, bytes} -> bytes))
  end

  @doc "A second loading of the module, while a registry is in use."
  def load_again do
    {:ok, _supervisor} = start()
    :ok = Registry.register(@registry, :held, :value)
    loaded = :code.load_file(Racefree.Native)
    %{loaded: loaded, found: found()}
  end

  @doc "The module leaves the machine and comes back with the next call."
  def purge do
    {:ok, _supervisor} = start()
    :ok = Registry.register(@registry, :held, :value)
    holder = holder(:other)
    true = :code.delete(Racefree.Native)
    _ = :code.purge(Racefree.Native)
    found = found()
    Process.exit(holder, :kill)
    # Found dead, whether or not its `down` came; a new registration would find out otherwise.
    %{found: found, cleaned_up: Registry.lookup(@registry, :other)}
  end

  defp found do
    with {:ok, pid, :value} <- Registry.lookup(@registry, :held), do: {:ok, pid == self()}
  end

  @doc "All events, as the host's `:telemetry` is given them. `:poisoned` comes last."
  def events do
    # This host's own: `execute/3` is all that is called.
    Code.compile_string(
      "defmodule :telemetry do def execute(event, measurements, metadata), do: send(#{inspect(@listener)}, {event, measurements, metadata}) end"
    )

    Process.register(self(), @listener)
    {:ok, _supervisor} = start()
    me = self()

    :ok = Registry.register(@registry, :key, :value)
    {:ok, removal} = Registry.begin_remove(@registry, :key, :because)
    :ok = Registry.finish_remove(removal)
    :ok = Registry.register(@registry, :own)
    :ok = Registry.unregister(@registry, :own)
    holder = holder(:held)
    Process.exit(holder, :kill)
    first = for _ <- 1..7, do: event()
    down = event()

    remover = spawn(fn -> Registry.begin_remove(@registry, :left, :because) end)
    removed = for _ <- 1..2, do: event()

    leader =
      spawn(fn ->
        Registry.ensure_started(@registry, :start, fn ->
          send(me, :leading) && receive do: (:never -> :ok)
        end)
      end)

    receive do: (:leading -> :ok)
    Process.exit(leader, :kill)
    led = event()

    {:error, :not_found} = Registry.lookup(@registry, {:racefree_fault, :call})
    Registry.lookup(@registry, :key)

    %{
      me: me,
      holder: holder,
      remover: remover,
      leader: leader,
      events: first ++ [down] ++ removed ++ [led, event()]
    }
  end

  defp event do
    receive do
      {[:racefree, :registry, name], %{count: 1}, %{registry: @registry} = metadata} ->
        {name, Map.delete(metadata, :registry)}
    end
  end

  @doc "What `start_link` returns."
  def start_alone do
    Process.flag(:trap_exit, true)
    Registry.start_link(name: @registry)
  end

  defp start do
    parent = self()

    # The supervisor must not die with a scenario's caller, nor trap its exits.
    spawn(fn ->
      send(
        parent,
        Supervisor.start_link([{Registry, name: @registry, listeners: [@listener]}],
          strategy: :one_for_one
        )
      )

      receive do: (:never -> :ok)
    end)

    receive do: ({:ok, supervisor} -> {:ok, supervisor})
  end

  defp holder(key) do
    parent = self()

    pid =
      spawn(fn ->
        send(parent, {:registered, Registry.register(@registry, key)})
        receive do: (:never -> :ok)
      end)

    receive do: ({:registered, :ok} -> pid)
  end

  # Waits for a start that never ends.
  defp waiter do
    parent = self()

    spawn(fn ->
      Registry.ensure_started(@registry, :started, fn ->
        send(parent, :leading)
        receive do: (:never -> :ok)
      end)
    end)

    receive do: (:leading -> :ok)

    waiter =
      spawn(fn ->
        send(
          parent,
          {:waited, self(),
           Registry.ensure_started(@registry, :started, fn -> :ignore end, :infinity)}
        )
      end)

    await_waiting(waiter)
    waiter
  end

  defp await_waiting(pid) do
    unless Process.info(pid, :status) == {:status, :waiting}, do: await_waiting(pid)
  end

  defp provoke(:call, _holder), do: Registry.lookup(@registry, :held)
  defp provoke(:down, holder), do: Process.exit(holder, :kill)
  # An event for the listener.
  defp provoke(:janitor, _holder), do: Registry.register(@registry, :third)

  defp await_restart(former) do
    case Process.whereis(@registry) do
      pid when is_pid(pid) and pid != former -> :sys.get_state(pid)
      _not_yet -> await_restart(former)
    end
  end
end
