defmodule Racefree.Registry do
  @options [
    {:name, :atom, :required,
     "what the registry is called in all functions; the owner process is registered under it too"},
    {:listeners, {:list, :atom}, [],
     "names of processes that hear of registrations, see \"Listeners\""},
    {:shards, :pos_integer, 64,
     "into how many parts the keys are split, each with a lock of its own; rounded up to a power of two"},
    {:telemetry, :boolean, true,
     "whether events go to `:telemetry`, if the host has it, see \"Events\""}
  ]

  @moduledoc """
  Processes under keys, where looking up, subscribing, starting and removing are one step each.

      children = [{Racefree.Registry, name: MyApp.Registry}]

  A key is any term, compared with `===`; a key has at most one process. All functions return values: none exits or raises because a process or the
  registry is gone. A wrong *type* of argument raises as usual.

      iex> {:ok, _owner} = Racefree.Registry.start_link(name: DocRegistry)
      iex> Racefree.Registry.register(DocRegistry, {:room, 1}, :value)
      :ok
      iex> {:ok, pid, :value} = Racefree.Registry.lookup(DocRegistry, {:room, 1})
      iex> pid == self()
      true
      iex> Racefree.Registry.lookup(DocRegistry, {:room, 2})
      {:error, :not_found}

  ## Guarantees

    * **No dead process.** Whoever received the `:DOWN` or `:EXIT` of a process, or killed it, does not find it any more: not by `lookup/2`, nor any other way.
    * **Subscribing is one step.** After `subscribe/2` returned `{:ok, _}`, exactly one `:DOWN` with the true reason follows, unless `unsubscribe/1` comes
      first. After it returned `{:error, _}`, nothing is left of it: no monitor, no message.
    * **Unsubscribing is one step.** After `unsubscribe/1` returned, no message of the subscription is in the mailbox, and none will be.
    * **One start at a time.** Of all who call `ensure_started/5` for a key, one runs its starter; the others get its outcome. If it dies, the next one starts.
    * **Removed stays removed.** From the return of `begin_remove/3` to the call of `finish_remove/1` nobody finds, registers, starts or subscribes to the key,
      also if the remover crashes meanwhile.
    * **A late death harms nobody.** Cleaning up after a process never touches the next one under the same key.
    * **One outcome for each.** `multicall/3` gives an outcome for every key by the deadline, and no message of it arrives afterwards.
    * **A crash of the registry's owner process loses nothing.** While it is away, calls return `{:error, :registry_down}`; the restarted one goes on with
      the same entries. Only a fault inside the registry, a panic, empties it; see `:poisoned` below.

  ## Does not guarantee

    * **That a process lives on after it was found.** `A` looks up and gets `pid`; `pid` exits; `A` sends to `pid`: the message is lost. Use `call/4`,
      `call_monitored/4` or `subscribe/2`, which say so.
    * **A snapshot of several keys.** `select/1` has listed key 1; a process moves from key 2 to key 1; `select/1` lists key 2: the process is in neither place.
    * **That a request timed out was not served.** `A` calls with 100 ms; the server is busy for 200 ms; `A` has `{:error, :timeout}`; then the server does
      what was asked. Its reply is dropped.
    * **That the loser of a registration finds the winner.** `B` registers; `A` registers and has `{:error, {:already_registered, b}}`; `B` exits; `A` looks up and
      finds nobody. Use `ensure_started/5` to have somebody.
    * **One process per key over several nodes.** `A` on one node registers a key; `B` on another node registers the same key in the registry of the same name there:
      both have `:ok`, since each node has its own. Processes of other nodes are refused with `{:error, :remote_pid}`.
    * **Keys with references or functions across a change of the node's name.** `A` registers `{:job, ref}`; the node becomes distributed (`Node.start/2`);
      `ref` is written differently from now on: `A`'s key is not found.
    * **0.0 and -0.0 as one key.** `A` registers `0.0`; `B` looks up `-0.0` and finds nothing. OTP 27 made the two different terms; here they are on all releases.

  ## Names

  `{:via, Racefree.Registry, {registry, key}}` or `{:via, Racefree.Registry, {registry, key, value}}` is a name for `GenServer` and the like.

  ## Listeners

  The processes registered under the names in `:listeners` receive `{:register, registry, key, pid, value}` and `{:unregister, registry, key, pid}`, the latter also
  when a process died or a removal begins. Per key the order is that of what happened. A listener hears of it after the fact.

  ## Events

  If the host has `:telemetry`, the owner process executes events with the measurement `%{count: 1}`:

  | event | metadata beside `:registry` and `:key` |
  |---|---|
  | `[:racefree, :registry, :registered]` | `:pid`, `:value` |
  | `[:racefree, :registry, :unregistered]`, also when a removal begins | `:pid` |
  | `[:racefree, :registry, :down]`: a process died and its key is free | `:pid` |
  | `[:racefree, :registry, :removal_started]` | `:pid` (the remover), `:owner` |
  | `[:racefree, :registry, :removal_finished]` | |
  | `[:racefree, :registry, :remover_down]`: a remover died and its tombstone stays | `:pid` |
  | `[:racefree, :registry, :leader_down]`: a process died in its starter | `:pid` |
  | `[:racefree, :registry, :poisoned]`: a panic was caught; the registry restarts empty | `:place` (no `:key`) |

  A poisoned registry answers `{:error, :registry_down}`; its owner process stops with `{:poisoned, place}`, and its supervisor starts it anew.

  ## Costs

  Each call is a native call on the caller's own scheduler of well under a microsecond, under the lock of one shard. No native call takes a scheduler for
  a millisecond: what is large goes in parts, or to a dirty scheduler, which costs some microseconds. So do keys with functions, with bit strings that are not
  binaries, or with integers of more than 64 bits.

  `lookup/2`, `subscribe/2` and whatever else names a living process ask the machine whether it lives. That takes nanoseconds, unless that process has signals
  before it that it has not handled: then the caller waits until it has, normally microseconds. `subscribe/2` always asks so, since it has just sent a signal.
  `call/4`, `call_monitored/4`, `multicall/3` and `broadcast/3` do not ask: a monitor, or nobody, tells them.

  | what | memory |
  |---|---|
  | a key with a small value | about 170 bytes, with 25 bytes for the key itself |
  | a value or reason below 1 KiB | its size; a larger one up to 4 KiB more |
  | a process known to the registry, and its monitor | about 200 bytes, however many keys and subscriptions it has |
  | a subscription, with its handle and its monitor | about 800 bytes |
  """

  import Kernel, except: [send: 2]

  alias Racefree.{Error, Native, Options, Removal, Subscription}
  alias Racefree.Registry.Multicall

  @typedoc "The name of a registry."
  @type name :: atom
  @type key :: term
  @type value :: term

  @typedoc "The registry is not started, is being restarted, or has stopped."
  @type down :: :registry_down
  @typedoc "The key has more than 16 MiB."
  @type key_too_large :: :key_too_large
  @typedoc "A removal is under way, for this reason."
  @type removed :: {:removed, term}
  @typedoc "Why nobody is found under a key."
  @type absent :: :not_found | :starting | removed | down | key_too_large
  @typedoc "Why a request was not answered: nobody is there, the process ended, the time is over, or it is the caller itself."
  @type unanswered :: absent | {:down, term} | :timeout | :calling_self
  @typedoc "Why nothing was started. `ensure_started/5` explains each."
  @type not_started ::
          removed
          | down
          | key_too_large
          | :timeout
          | :noproc
          | :remote_pid
          | :already_leading
          | :ignore
          | {:registered_by_other, pid}
          | {:start_failed, term}
          | {:bad_return_value, term}
          | term

  # Calls the native function, and its variant for dirty schedulers if a normal one should not do the work. The arguments are evaluated twice: variables only.
  defmacrop native({function, _meta, arguments}) do
    quote do
      case Native.unquote(function)(unquote_splicing(arguments)) do
        :oversized -> Native.unquote(:"#{function}_dirty")(unquote_splicing(arguments))
        answer -> answer
      end
    end
  end

  ## The owner process

  @doc """
  Starts a registry.

  #{Options.docs(@options)}
  """
  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(options) do
    options = Options.check!(options, @options)
    GenServer.start_link(Racefree.Registry.Owner, options, name: options.name)
  end

  @doc "A supervisor's child: `{Racefree.Registry, name: MyApp.Registry}`."
  @spec child_spec(keyword) :: Supervisor.child_spec()
  def child_spec(options) do
    %{
      id: Keyword.get(options, :name, __MODULE__),
      start: {__MODULE__, :start_link, [options]},
      type: :worker
    }
  end

  ## Keys

  @doc """
  Registers the calling process under `key`.

  A holder that is dead is replaced at once, whether or not it was cleaned up. A start of the key that is under way is fulfilled by it.
  A key that the caller holds already gives `{:error, {:already_registered, self()}}`.

      iex> {:ok, _owner} = Racefree.Registry.start_link(name: RegisterRegistry)
      iex> Racefree.Registry.register(RegisterRegistry, :leader)
      :ok
      iex> Racefree.Registry.register(RegisterRegistry, :leader) == {:error, {:already_registered, self()}}
      true
  """
  @spec register(name, key, value) ::
          :ok | {:error, {:already_registered, pid} | removed | down | key_too_large}
  def register(registry, key, value \\ nil) when is_atom(registry) do
    case native(registry_register(registry, key, value)) do
      {:held, pid, generation} ->
        if Process.alive?(pid) do
          {:error, {:already_registered, pid}}
        else
          _ = native(registry_evict(registry, key, generation))
          register(registry, key, value)
        end

      answer ->
        answer
    end
  end

  @doc """
  Frees `key`, if the calling process holds it. Subscribers keep their monitor and hear nothing more.

      iex> {:ok, _owner} = Racefree.Registry.start_link(name: UnregisterRegistry)
      iex> :ok = Racefree.Registry.register(UnregisterRegistry, :leader)
      iex> Racefree.Registry.unregister(UnregisterRegistry, :leader)
      :ok
      iex> Racefree.Registry.unregister(UnregisterRegistry, :leader)
      :ok
  """
  @spec unregister(name, key) :: :ok
  def unregister(registry, key) when is_atom(registry) do
    # What a registry that is gone held is gone too, and a key that is too large was never held.
    _ = native(registry_unregister(registry, key))
    :ok
  end

  @doc """
  Gives `key`, which the calling process holds, another value.

      iex> {:ok, _owner} = Racefree.Registry.start_link(name: ValueRegistry)
      iex> :ok = Racefree.Registry.register(ValueRegistry, :leader, 1)
      iex> Racefree.Registry.put_value(ValueRegistry, :leader, 2)
      :ok
      iex> {:ok, _pid, value} = Racefree.Registry.lookup(ValueRegistry, :leader)
      iex> value
      2
  """
  @spec put_value(name, key, value) :: :ok | {:error, :not_found | down | key_too_large}
  def put_value(registry, key, value) when is_atom(registry),
    do: native(registry_put_value(registry, key, value))

  @doc """
  The process that holds `key`, and the key's value.

  The process was alive after the call began.

      iex> {:ok, _owner} = Racefree.Registry.start_link(name: LookupRegistry)
      iex> Racefree.Registry.lookup(LookupRegistry, :nobody)
      {:error, :not_found}
  """
  @spec lookup(name, key) :: {:ok, pid, value} | {:error, absent}
  def lookup(registry, key) when is_atom(registry), do: look_up(registry, key, nil)

  # `dead` was found before and seen to be dead.
  defp look_up(registry, key, dead) do
    case native(registry_lookup(registry, key)) do
      # It has died, and nothing has come of its key yet.
      {:ok, ^dead, _value} ->
        {:error, :not_found}

      # The last step: only this answer of the machine respects the order of signals. A holder that was alive at the look and is dead by now may have been followed by
      # another, or by a removal: that nobody holds the key is not said before a second look.
      {:ok, pid, _value} = found ->
        if Process.alive?(pid), do: found, else: look_up(registry, key, pid)

      {:error, _reason} = error ->
        error
    end
  end

  # For those who monitor it: the process may be ending, unless that can be seen without waiting for it.
  @doc false
  @spec reach(name, key) :: {:ok, pid} | {:error, absent}
  def reach(registry, key), do: native(registry_reach(registry, key))

  ## Subscriptions

  @doc """
  Finds the process that holds `key`, monitors it, and subscribes to its broadcasts, in one step.

  After `{:ok, subscription}` the caller receives `{Racefree.Registry, subscription.ref, message}` for each broadcast that began after the return, and once
  `{:DOWN, subscription.ref, :process, subscription.pid, reason}`. Each call makes a subscription of its own. A process may subscribe to itself.

      iex> {:ok, _owner} = Racefree.Registry.start_link(name: SubscribeRegistry)
      iex> :ok = Racefree.Registry.register(SubscribeRegistry, :news)
      iex> {:ok, subscription} = Racefree.Registry.subscribe(SubscribeRegistry, :news)
      iex> Racefree.Registry.broadcast(SubscribeRegistry, :news, :hello)
      {:ok, 1}
      iex> ref = subscription.ref
      iex> receive do {Racefree.Registry, ^ref, message} -> message end
      :hello
      iex> Racefree.Registry.unsubscribe(subscription)
      :ok
  """
  @spec subscribe(name, key) :: {:ok, Subscription.t()} | {:error, absent}
  def subscribe(registry, key) when is_atom(registry) do
    with {:ok, pid, value, generation} <- native(registry_locate(registry, key)) do
      # The monitor stands before the subscription is entered, so no death is missed; the generation is that of the process monitored.
      ref = Process.monitor(pid)

      # Order: the machine holds a monitor back until its process is next taken off the scheduler, and `Process.alive?/1` below does not wait for it. Without
      # this, a process that ends in between was alive, and is monitored too late to tell its reason. It costs less than what it spares `Process.alive?/1`.
      :erlang.yield()

      case native(registry_subscribe(registry, key, generation, ref)) do
        {:ok, id} ->
          subscription = %Subscription{
            registry: registry,
            key: key,
            ref: ref,
            pid: pid,
            value: value,
            id: id
          }

          if Process.alive?(pid),
            do: {:ok, subscription},
            else: withdraw(subscription, :not_found)

        :changed ->
          Process.demonitor(ref, [:flush])
          subscribe(registry, key)

        {:error, _reason} = error ->
          Process.demonitor(ref, [:flush])
          error
      end
    end
  end

  defp withdraw(subscription, reason) do
    unsubscribe(subscription)
    {:error, reason}
  end

  @doc """
  Ends a subscription of the calling process.

  After the return none of its messages is in the mailbox and none will arrive, `:DOWN` included. A second call does nothing. Costs a look through the mailbox.
  """
  @spec unsubscribe(Subscription.t()) :: :ok
  def unsubscribe(%Subscription{registry: registry, ref: ref, id: id}) do
    # A registry that is down has silenced its subscribers, or is about to and does so here.
    _ = Native.registry_unsubscribe(registry, id)
    Process.demonitor(ref, [:flush])
    flush(ref)
  end

  defp flush(ref) do
    receive do
      {__MODULE__, ^ref, _message} -> flush(ref)
    after
      0 -> :ok
    end
  end

  @doc """
  Sends `{Racefree.Registry, ref, message}` to all subscribers of `key`, each with its own `ref`, and says to how many.

  A process that is subscribed from the call to its return gets the message exactly once; one that subscribes or unsubscribes meanwhile, perhaps. Any process may
  broadcast. If the holder ends meanwhile the broadcast ends with it. `{:error, :registry_down}` may come after some have got the message.
  """
  @spec broadcast(name, key, term) :: {:ok, non_neg_integer} | {:error, absent}
  def broadcast(registry, key, message) when is_atom(registry),
    do: broadcast(registry, key, message, nil, 0)

  defp broadcast(registry, key, message, cursor, sent) do
    case native(registry_broadcast(registry, key, message, cursor)) do
      {:done, count} -> {:ok, sent + count}
      {:more, count, next} -> broadcast(registry, key, message, next, sent + count)
      {:error, _reason} = error -> error
    end
  end

  ## Requests

  @doc """
  Calls the process that holds `key`, any `GenServer` or `:gen_statem`, and waits for its reply.

  Where `GenServer.call/3` exits, this returns: `{:error, {:down, reason}}` if the process ended before it replied, `{:error, :timeout}` if it did not reply in
  `timeout` milliseconds. A late reply is dropped. `:noproc` as the reason says that it was ending when it was asked, or that it ended with that reason; `{:error, :not_found}`
  says that nobody was asked.

      iex> {:ok, _owner} = Racefree.Registry.start_link(name: CallRegistry)
      iex> {:ok, _agent} = Agent.start_link(fn -> 42 end, name: {:via, Racefree.Registry, {CallRegistry, :answer}})
      iex> Racefree.Registry.call(CallRegistry, :answer, {:get, & &1})
      {:ok, 42}
      iex> Racefree.Registry.call(CallRegistry, :question, {:get, & &1})
      {:error, :not_found}
  """
  @spec call(name, key, term, timeout) :: {:ok, term} | {:error, unanswered}
  def call(registry, key, request, timeout \\ 5_000) when is_atom(registry) do
    case reach(registry, key) do
      {:ok, pid} when pid == self() -> {:error, :calling_self}
      {:ok, pid} -> request(pid, request, timeout)
      {:error, _reason} = error -> error
    end
  end

  defp request(pid, request, timeout) do
    ref = :erlang.monitor(:process, pid, alias: :demonitor)
    Kernel.send(pid, {:"$gen_call", {self(), [:alias | ref]}, request})

    receive do
      {[:alias | ^ref], reply} ->
        Process.demonitor(ref, [:flush])
        {:ok, reply}

      {:DOWN, ^ref, :process, _pid, reason} ->
        {:error, {:down, reason}}
    after
      timeout ->
        # This ends the alias too: what was not delivered by now never will be.
        Process.demonitor(ref, [:flush])

        receive do
          {[:alias | ^ref], reply} -> {:ok, reply}
        after
          0 -> {:error, :timeout}
        end
    end
  end

  @doc """
  Subscribes to the process that holds `key` and calls it; the subscription stands before the request is sent.

  So nothing that the process broadcasts after it served the request is missed: its reply can say where to begin, and the messages follow from there.
  If there is no reply, for whatever reason, there is no subscription either.

      iex> {:ok, _owner} = Racefree.Registry.start_link(name: CallMonitoredRegistry)
      iex> {:ok, agent} = Agent.start_link(fn -> 42 end, name: {:via, Racefree.Registry, {CallMonitoredRegistry, :answer}})
      iex> {:ok, 42, subscription} = Racefree.Registry.call_monitored(CallMonitoredRegistry, :answer, {:get, & &1})
      iex> :ok = Agent.stop(agent)
      iex> ref = subscription.ref
      iex> receive do {:DOWN, ^ref, :process, ^agent, reason} -> reason end
      :normal
  """
  @spec call_monitored(name, key, term, timeout) ::
          {:ok, term, Subscription.t()} | {:error, unanswered}
  def call_monitored(registry, key, request, timeout \\ 5_000) when is_atom(registry) do
    case native(registry_locate(registry, key)) do
      {:ok, pid, _value, _generation} when pid == self() ->
        {:error, :calling_self}

      {:ok, pid, value, generation} ->
        # One reference for request, reply, monitor and subscription; it outlives the reply as a monitor, not as an address.
        ref = :erlang.monitor(:process, pid, alias: :explicit_unalias)

        case native(registry_subscribe(registry, key, generation, ref)) do
          {:ok, id} ->
            subscription = %Subscription{
              registry: registry,
              key: key,
              ref: ref,
              pid: pid,
              value: value,
              id: id
            }

            request_subscribed(ref, subscription, request, timeout)

          :changed ->
            give_up(ref)
            call_monitored(registry, key, request, timeout)

          {:error, _reason} = error ->
            give_up(ref)
            error
        end

      {:error, _reason} = error ->
        error
    end
  end

  defp give_up(ref) do
    :erlang.unalias(ref)
    Process.demonitor(ref, [:flush])
  end

  defp unalias(subscription, reason) do
    :erlang.unalias(subscription.ref)
    withdraw(subscription, reason)
  end

  defp request_subscribed(ref, subscription, request, timeout) do
    Kernel.send(subscription.pid, {:"$gen_call", {self(), [:alias | ref]}, request})

    receive do
      {[:alias | ^ref], reply} ->
        :erlang.unalias(ref)
        {:ok, reply, subscription}

      {:DOWN, ^ref, :process, _pid, reason} ->
        unalias(subscription, {:down, reason})
    after
      timeout ->
        :erlang.unalias(ref)

        receive do
          {[:alias | ^ref], reply} -> {:ok, reply, subscription}
        after
          0 -> withdraw(subscription, :timeout)
        end
    end
  end

  @typedoc "What became of one request of a `multicall/3`."
  @type outcome ::
          {:ok, term}
          | {:down, term}
          | :not_found
          | :starting
          | removed
          | :timeout
          | down
          | key_too_large

  @doc """
  Sends each key's process its request and gives each an outcome within `deadline` milliseconds, in the order given.

  All requests are sent before the first reply is awaited. A key may be named several times. The caller's own key gives `{:down, :calling_self}`.
  After the return no reply arrives any more. How full the caller's mailbox is does not matter.

      iex> {:ok, _owner} = Racefree.Registry.start_link(name: MulticallRegistry)
      iex> {:ok, _agent} = Agent.start_link(fn -> 1 end, name: {:via, Racefree.Registry, {MulticallRegistry, :one}})
      iex> Racefree.Registry.multicall(MulticallRegistry, [{:one, {:get, & &1}}, {:two, {:get, & &1}}], 1_000)
      [one: {:ok, 1}, two: :not_found]
  """
  @spec multicall(name, [{key, term}], timeout) :: [{key, outcome}]
  def multicall(registry, requests, deadline) when is_atom(registry) and is_list(requests) do
    Multicall.run(registry, requests, moment(deadline))
  end

  ## Starting

  @start_options [
    {:value, :any, nil, "the key's value, if the started process does not register itself"}
  ]

  @doc """
  The process that holds `key`; if there is none, starts it.

  Of several callers one runs its `starter`, a function without arguments, in its own process, and the others wait for the outcome. The key is taken as soon as any
  process registers it, the started one in its `init`, by a `:via` name, or the leading caller with what its starter returned:

    * `{:ok, pid}`, `{:ok, pid, info}` or `{:error, {:already_started, pid}}`: `pid` is registered, unless it did so itself, and all callers get `{:ok, pid}`.
    * `{:error, reason}` or `:ignore`: all get `{:error, reason}` or `{:error, :ignore}`. The next call starts anew.
    * anything else: all get `{:error, {:bad_return_value, term}}`.

  If the starter raises, throws or exits, so does the call, and the others get `{:error, {:start_failed, reason}}`. If the leading caller is killed, the next one
  leads and runs its own starter.

  Other errors: `{:removed, reason}`, the key is being removed; if this happened while the starter ran, its process is left to the caller, so start processes under
  `:via` names, which refuse to start then. `{:registered_by_other, pid}`: the started process is not the one that took the key. `:noproc`: the started process is
  dead already. `:remote_pid`: it is on another node. `:already_leading`: the starter itself asks for the same key. `:timeout`: the wait took
  longer than `timeout` milliseconds; a starter's own run is not limited.

  #{Options.docs(@start_options)}

      iex> {:ok, _owner} = Racefree.Registry.start_link(name: StartRegistry)
      iex> {:ok, pid} = Racefree.Registry.ensure_started(StartRegistry, :counter, fn -> Agent.start_link(fn -> 0 end) end)
      iex> Racefree.Registry.ensure_started(StartRegistry, :counter, fn -> raise "not run" end) == {:ok, pid}
      true
  """
  @spec ensure_started(name, key, (() -> term), timeout, keyword) ::
          {:ok, pid} | {:error, not_started}
  def ensure_started(registry, key, starter, timeout \\ 5_000, options \\ [])
      when is_atom(registry) and is_function(starter, 0) do
    %{value: value} = Options.check!(options, @start_options)

    case lookup(registry, key) do
      {:ok, pid, _value} ->
        {:ok, pid}

      {:error, reason} when reason in [:not_found, :starting] ->
        enter(%{registry: registry, key: key, starter: starter, value: value}, moment(timeout))

      {:error, _reason} = error ->
        error
    end
  end

  defp enter(%{registry: registry, key: key} = start, until) do
    ref = make_ref()

    case native(registry_enter(registry, key, ref)) do
      {:lead, lead} ->
        lead(start, lead, until)

      {:waiting, wait} ->
        await(start, ref, wait, until)

      {:live, pid, _value, generation} ->
        if Process.alive?(pid) do
          {:ok, pid}
        else
          _ = native(registry_evict(registry, key, generation))
          enter(start, until)
        end

      {:error, _reason} = error ->
        error
    end
  end

  defp await(start, ref, wait, until) do
    receive do
      {__MODULE__, ^ref, notice} -> noticed(start, notice, until)
    after
      remaining(until) ->
        case Native.registry_cancel_wait(start.registry, wait) do
          :silent -> {:error, :timeout}
          # Also if the registry is down: it told everybody before it went.
          _delivered -> await_delivered(start, ref, until)
        end
    end
  end

  defp await_delivered(start, ref, until) do
    receive do
      {__MODULE__, ^ref, {:lead, lead}} ->
        resign(start.registry, lead, :timeout)

      {__MODULE__, ^ref, notice} ->
        noticed(start, notice, until)
    after
      0 -> {:error, :timeout}
    end
  end

  defp noticed(start, notice, until) do
    case notice do
      {:started, pid} -> if Process.alive?(pid), do: {:ok, pid}, else: enter(start, until)
      {:lead, lead} -> lead(start, lead, until)
      {:failed, reason} -> {:error, reason}
      {:removed, reason} -> {:error, {:removed, reason}}
      :closed -> {:error, :registry_down}
    end
  end

  defp lead(start, lead, until) do
    case run(start, lead) do
      {:ok, pid} when is_pid(pid) -> publish(start, lead, pid, until)
      {:ok, pid, _info} when is_pid(pid) -> publish(start, lead, pid, until)
      {:error, {:already_started, pid}} when is_pid(pid) -> publish(start, lead, pid, until)
      {:error, reason} -> abandon(start, lead, reason)
      :ignore -> abandon(start, lead, :ignore)
      other -> abandon(start, lead, {:bad_return_value, other})
    end
  end

  defp run(start, lead) do
    start.starter.()
  catch
    kind, reason ->
      abandon(start, lead, {:start_failed, exit_reason(kind, reason, __STACKTRACE__)})
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  # As a process's exit would tell it.
  defp exit_reason(:exit, reason, _stacktrace), do: reason
  defp exit_reason(:throw, value, stacktrace), do: {{:nocatch, value}, stacktrace}
  defp exit_reason(:error, reason, stacktrace), do: {reason, stacktrace}

  defp abandon(%{registry: registry}, lead, reason) do
    _ = native(registry_abandon(registry, lead, reason))
    {:error, reason}
  end

  defp publish(%{registry: registry} = start, lead, pid, until) do
    cond do
      node(pid) != node() -> resign(registry, lead, :remote_pid)
      Process.alive?(pid) -> publish_living(start, lead, pid, until)
      true -> resign(registry, lead, :noproc)
    end
  end

  # The next caller runs its starter.
  defp resign(registry, lead, reason) do
    Native.registry_resign(registry, lead)
    {:error, reason}
  end

  defp publish_living(%{registry: registry, key: key, value: value} = start, lead, pid, until) do
    case native(registry_publish(registry, key, lead, pid, value)) do
      :ok ->
        {:ok, pid}

      {:error, {:registered_by_other, other, generation}} ->
        if Process.alive?(other) do
          {:error, {:registered_by_other, other}}
        else
          _ = native(registry_evict(registry, key, generation))
          publish_anew(start, pid, until)
        end

      {:error, :stale} ->
        publish_anew(start, pid, until)

      {:error, :registry_down} ->
        resign(registry, lead, :registry_down)

      {:error, _reason} = error ->
        error
    end
  end

  # The process is started, but the lead was lost meanwhile: it takes part in the next start.
  defp publish_anew(start, pid, until) do
    case enter(%{start | starter: fn -> {:ok, pid} end}, until) do
      {:ok, other} when other != pid -> {:error, {:registered_by_other, other}}
      answer -> answer
    end
  end

  ## Removing

  @doc """
  Begins the removal of `key`: from the return until `finish_remove/1` nobody finds, registers, starts or subscribes to it.

  Works on a key that is held, being started, or free. A process that holds it lives on without it: stop it, clean up behind it, then finish. Its subscribers keep
  their monitors. Callers who wait for a start get `{:error, {:removed, reason}}`.

  A second removal is refused with the first one's reason while the process that began it lives. If that process died, the key stays removed,
  and the next `begin_remove/3` takes the removal over.

      iex> {:ok, _owner} = Racefree.Registry.start_link(name: RemoveRegistry)
      iex> :ok = Racefree.Registry.register(RemoveRegistry, :shape)
      iex> {:ok, removal} = Racefree.Registry.begin_remove(RemoveRegistry, :shape, :dropped)
      iex> removal.owner == self()
      true
      iex> Racefree.Registry.register(RemoveRegistry, :shape)
      {:error, {:removed, :dropped}}
      iex> Racefree.Registry.finish_remove(removal)
      :ok
      iex> Racefree.Registry.register(RemoveRegistry, :shape)
      :ok
  """
  @spec begin_remove(name, key, term) ::
          {:ok, Removal.t()} | {:error, removed | down | key_too_large}
  def begin_remove(registry, key, reason) when is_atom(registry) do
    case native(registry_begin_remove(registry, key, reason)) do
      {:ok, id, owner} ->
        owner = if owner != nil and Process.alive?(owner), do: owner, else: :none
        {:ok, %Removal{registry: registry, key: key, reason: reason, owner: owner, id: id}}

      {:held, former_reason, remover, generation} ->
        if Process.alive?(remover) do
          {:error, {:removed, former_reason}}
        else
          _ = native(registry_evict(registry, key, generation))
          begin_remove(registry, key, reason)
        end

      {:error, _reason} = error ->
        error
    end
  end

  @doc """
  Finishes a removal: the key is free. Any process may do it.

  `{:error, :stale}`: it is finished already, was taken over by another process, or its registry is gone.
  """
  @spec finish_remove(Removal.t()) :: :ok | {:error, :stale}
  def finish_remove(%Removal{registry: registry, id: id}) do
    with {:error, _reason} <- Native.registry_finish_remove(registry, id), do: {:error, :stale}
  end

  @doc "The removals under way, each with the process that began it if that lives, else with nil: somebody has to take those over."
  @spec removals(name) :: {:ok, [{key, reason :: term, pid | nil}]} | {:error, down}
  def removals(registry) when is_atom(registry) do
    with {:ok, removals} <- list(registry, Native.registry_listing(), &Native.registry_removals/2) do
      {:ok,
       for(
         {key, reason, remover} <- removals,
         do: {key, reason, if(remover != nil and Process.alive?(remover), do: remover)}
       )}
    end
  end

  ## Listings

  @doc "The keys that `pid` holds, in no particular order."
  @spec keys(name, pid) :: {:ok, [key]} | {:error, down | :remote_pid}
  def keys(registry, pid \\ self()) when is_atom(registry) and is_pid(pid) do
    with {:ok, keys} <- keys(registry, pid, nil, []) do
      {:ok, if(Process.alive?(pid), do: keys, else: [])}
    end
  end

  defp keys(registry, pid, cursor, found) do
    case Native.registry_keys(registry, pid, cursor) do
      {:done, keys} -> {:ok, keys ++ found}
      {:more, keys, next} -> keys(registry, pid, next, keys ++ found)
      {:error, _reason} = error -> error
    end
  end

  @doc "How many keys are held. Counts processes that died until they are cleaned up, moments later."
  @spec count(name) :: {:ok, non_neg_integer} | {:error, down}
  def count(registry) when is_atom(registry), do: Native.registry_count(registry)

  @doc """
  How much the registry holds, for tests and for watching it from outside.

    * `keys`: keys that a process holds
    * `entries`: those, and the ones being started or removed
    * `processes`: processes that are watched because they hold, subscribe, start, wait or remove
    * `capacity`: for how many entries and processes there is room; shrinks after many have gone
    * `pending`: deaths that are not cleaned up yet, and messages that are not sent yet

  The numbers are read one after the other, not at one moment.

      iex> {:ok, _owner} = Racefree.Registry.start_link(name: InfoRegistry)
      iex> :ok = Racefree.Registry.register(InfoRegistry, :leader)
      iex> {:ok, %{keys: 1, entries: 1, processes: 1}} = Racefree.Registry.info(InfoRegistry)
  """
  @spec info(name) ::
          {:ok, %{(:keys | :entries | :processes | :capacity | :pending) => non_neg_integer}}
          | {:error, down}
  def info(registry) when is_atom(registry) do
    with {:ok, keys, entries, processes, capacity, pending} <- Native.registry_info(registry) do
      {:ok,
       %{keys: keys, entries: entries, processes: processes, capacity: capacity, pending: pending}}
    end
  end

  @doc """
  All keys with their processes and values, in no particular order. No snapshot: see "Does not guarantee".

      iex> {:ok, _owner} = Racefree.Registry.start_link(name: SelectRegistry)
      iex> :ok = Racefree.Registry.register(SelectRegistry, :leader, 1)
      iex> Racefree.Registry.select(SelectRegistry) == {:ok, [{:leader, self(), 1}]}
      true
  """
  @spec select(name) :: {:ok, [{key, pid, value}]} | {:error, down}
  def select(registry) when is_atom(registry) do
    with {:ok, entries} <- list(registry, Native.registry_listing(), &Native.registry_select/2) do
      {:ok, for({_key, pid, _value} = entry <- entries, Process.alive?(pid), do: entry)}
    end
  end

  defp list(registry, listing, next, found \\ []) do
    case next.(registry, listing) do
      {:done, part} -> {:ok, part ++ found}
      {:more, part} -> list(registry, listing, next, part ++ found)
      {:error, _reason} = error -> error
    end
  end

  ## Names

  @doc false
  @spec register_name({name, key} | {name, key, value}, pid) :: :yes | :no
  def register_name({registry, key}, pid), do: register_name({registry, key, nil}, pid)

  def register_name({registry, key, value}, pid) when pid == self() do
    if register(registry, key, value) == :ok, do: :yes, else: :no
  end

  def register_name({_registry, _key, _value}, _pid), do: :no

  @doc false
  @spec unregister_name({name, key} | {name, key, value}) :: :ok
  def unregister_name({registry, key}), do: unregister(registry, key)
  def unregister_name({registry, key, _value}), do: unregister(registry, key)

  @doc false
  @spec whereis_name({name, key} | {name, key, value}) :: pid | :undefined
  def whereis_name({registry, key}) do
    case lookup(registry, key) do
      {:ok, pid, _value} -> pid
      {:error, _reason} -> :undefined
    end
  end

  def whereis_name({registry, key, _value}), do: whereis_name({registry, key})

  # The one function that exits: `GenServer.cast/2` and the like expect it of a module behind `:via`.
  @doc false
  @spec send({name, key} | {name, key, value}, term) :: pid
  def send(name, message) do
    case whereis_name(name) do
      :undefined ->
        :erlang.exit({:badarg, {name, message}})

      pid ->
        Kernel.send(pid, message)
        pid
    end
  end

  ## Twins that raise

  @doc "Like `lookup/2`, but raises `Racefree.Error`."
  @spec lookup!(name, key) :: {pid, value}
  def lookup!(registry, key) do
    case lookup(registry, key) do
      {:ok, pid, value} -> {pid, value}
      {:error, reason} -> fail(:lookup, registry, key, reason)
    end
  end

  @doc "Like `register/3`, but raises `Racefree.Error`."
  @spec register!(name, key, value) :: :ok
  def register!(registry, key, value \\ nil) do
    with {:error, reason} <- register(registry, key, value),
         do: fail(:register, registry, key, reason)
  end

  @doc "Like `subscribe/2`, but raises `Racefree.Error`."
  @spec subscribe!(name, key) :: Subscription.t()
  def subscribe!(registry, key),
    do: registry |> subscribe(key) |> value!(:subscribe, registry, key)

  @doc "Like `call/4`, but raises `Racefree.Error`."
  @spec call!(name, key, term, timeout) :: term
  def call!(registry, key, request, timeout \\ 5_000),
    do: registry |> call(key, request, timeout) |> value!(:call, registry, key)

  @doc "Like `ensure_started/5`, but raises `Racefree.Error`."
  @spec ensure_started!(name, key, (() -> term), timeout, keyword) :: pid
  def ensure_started!(registry, key, starter, timeout \\ 5_000, options \\ []) do
    registry
    |> ensure_started(key, starter, timeout, options)
    |> value!(:ensure_started, registry, key)
  end

  defp value!({:ok, value}, _operation, _registry, _key), do: value

  defp value!({:error, reason}, operation, registry, key),
    do: fail(operation, registry, key, reason)

  @spec fail(atom, name, key, term) :: no_return
  defp fail(operation, registry, key, reason) do
    raise Error, operation: operation, registry: registry, key: key, reason: reason
  end

  ## Time

  @typedoc false
  @type moment :: integer | :infinity

  # In microseconds, so that a wait is never shorter than asked for.
  @doc false
  @spec moment(timeout) :: moment
  def moment(:infinity), do: :infinity

  def moment(timeout) when is_integer(timeout) and timeout >= 0 do
    System.monotonic_time(:microsecond) + timeout * 1_000
  end

  @doc false
  @spec remaining(moment) :: timeout
  def remaining(:infinity), do: :infinity

  def remaining(until) do
    max(div(until - System.monotonic_time(:microsecond) + 999, 1_000), 0)
  end
end
