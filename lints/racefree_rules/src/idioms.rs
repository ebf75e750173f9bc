//! The safe idioms of real code, each as a fixture in which no rule may report anything. Some concern rules that do not exist yet:
//! they guard the future.

use crate::tests::accept;

#[test]
fn accepts_a_caught_exit_at_function_level() {
    accept(
        r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    GenServer.call(Process.whereis(name), :run)
  catch
    :exit, _ -> {:error, :gone}
  end

  def stop(name) do
    GenServer.stop(name)
  catch
    kind, reason -> {:error, {kind, reason}}
  end

  def checkout(pool) do
    try do
      NimblePool.checkout!(pool, :checkout, fn _from, conn -> {conn, :ok} end)
    catch
      :exit, _ -> {:error, :no_pool}
    end
  end
end
"#,
    );
}

#[test]
fn accepts_a_wrapper_that_catches_for_its_callers() {
    accept(
        r#"
#- /lib/safe.ex
defmodule Safe do
  def call(server, message, default) do
    GenServer.call(server, message)
  catch
    :exit, _ -> default
  end
end
#- /lib/jobs.ex
defmodule Jobs do
  def size(name), do: Safe.call(Process.whereis(name), :size, 0)
  def sizes(names), do: Enum.map(names, &Safe.call(GenServer.whereis(&1), :size, 0))
end
"#,
    );
}

#[test]
fn accepts_a_wrapper_that_catches_around_a_closure() {
    accept(
        r#"
#- /lib/safe.ex
defmodule Safe do
  def run(default, fun) do
    fun.()
  catch
    :exit, _ -> default
  end
end
#- /lib/jobs.ex
defmodule Jobs do
  def size(name), do: Safe.run(0, fn -> GenServer.call(Process.whereis(name), :size) end)
end
"#,
    );
}

#[test]
fn accepts_whereis_with_a_nil_branch() {
    accept(
        r#"
#- /lib/jobs.ex
defmodule Jobs do
  def a(name) do
    case GenServer.whereis(name) do
      nil -> {:error, :not_running}
      pid -> GenServer.call(pid, :run)
    end
  end

  def b(name) do
    with pid when is_pid(pid) <- Process.whereis(name), do: GenServer.call(pid, :run)
  end

  def c(name) do
    case :global.whereis_name(name) do
      :undefined -> exit({:noproc, name})
      pid -> send(pid, :run)
    end
  end
end
"#,
    );
}

#[test]
fn accepts_a_whereis_that_raises_on_purpose() {
    accept(
        r##"
#- /lib/jobs.ex
defmodule Jobs do
  def run!(name) do
    pid = Process.whereis(name) || raise "#{inspect(name)} is not running"
    GenServer.call(pid, :run)
  end
end
"##,
    );
}

#[test]
fn accepts_a_comprehension_filter_on_a_lookup() {
    accept(
        r#"
#- /lib/jobs.ex
defmodule Jobs do
  def notify(names), do: for(name <- names, pid = Process.whereis(name), do: send(pid, :go))
end
"#,
    );
}

#[test]
fn accepts_whereis_monitor_send_and_receive() {
    accept(
        r#"
#- /lib/jobs.ex
defmodule Jobs do
  def ask(name) do
    pid = Process.whereis(name)
    ref = Process.monitor(pid)
    GenServer.cast(pid, {:ask, self(), ref})

    receive do
      {^ref, reply} ->
        Process.demonitor(ref, [:flush])
        {:ok, reply}

      {:DOWN, ^ref, :process, _, reason} ->
        {:error, reason}
    end
  end
end
"#,
    );
}

#[test]
fn accepts_insert_then_monitor() {
    accept(
        r#"
#- /lib/watchers.ex
defmodule Watchers do
  use GenServer
  def init(table), do: {:ok, table}

  def handle_call({:add, pid}, _from, table) do
    :ets.insert(table, {pid, :watching})
    ref = Process.monitor(pid)
    {:reply, {:ok, ref}, table}
  end

  def handle_info({:DOWN, _ref, :process, pid, _}, table) do
    :ets.delete(table, pid)
    {:noreply, table}
  end
end
"#,
    );
}

#[test]
fn accepts_alive_then_monitor() {
    accept(
        r#"
#- /lib/watchers.ex
defmodule Watchers do
  def watch(pid) do
    if Process.alive?(pid), do: {:ok, Process.monitor(pid)}, else: :gone
  end
end
"#,
    );
}

#[test]
fn accepts_a_start_that_takes_the_winner() {
    accept(
        r#"
#- /lib/jobs.ex
defmodule Jobs do
  def ensure(key) do
    case Registry.lookup(Jobs.Registry, key) do
      [{pid, _}] -> {:ok, pid}
      [] -> start(key)
    end
  end

  defp start(key) do
    case DynamicSupervisor.start_child(Jobs.Supervisor, {Job, key}) do
      {:ok, pid} -> {:ok, pid}
      {:error, {:already_started, pid}} -> {:ok, pid}
      {:error, reason} -> {:error, reason}
    end
  end
end
"#,
    );
}

#[test]
fn accepts_a_registration_that_takes_the_winner() {
    accept(
        r#"
#- /lib/jobs.ex
defmodule Jobs do
  def claim(key) do
    case Registry.register(Jobs.Registry, key, nil) do
      {:ok, _owner} -> :claimed
      {:error, {:already_registered, pid}} -> {:taken, pid}
    end
  end
end
"#,
    );
}

#[test]
fn accepts_a_start_whose_result_is_dropped_on_purpose() {
    accept(
        r#"
#- /lib/jobs.ex
defmodule Jobs do
  def warm(key) do
    if Process.whereis(key) == nil, do: DynamicSupervisor.start_child(Jobs.Supervisor, {Job, key})
    :ok
  end
end
"#,
    );
}

#[test]
fn accepts_a_global_lock_around_the_whole() {
    accept(
        r#"
#- /lib/jobs.ex
defmodule Jobs do
  def ensure(key) do
    :global.trans({{:job, key}, self()}, fn ->
      case :global.whereis_name(key) do
        :undefined -> DynamicSupervisor.start_child(Jobs.Supervisor, {Job, key})
        pid -> {:ok, pid}
      end
    end)
  end
end
"#,
    );
}

#[test]
fn accepts_a_check_repeated_inside_the_server() {
    accept(
        r#"
#- /lib/cache.ex
defmodule Cache do
  use GenServer
  def init(table), do: {:ok, table}

  def fetch(key) do
    case :ets.lookup(:cache, key) do
      [{_, value}] -> value
      [] -> GenServer.call(__MODULE__, {:fill, key})
    end
  end

  def handle_call({:fill, key}, _from, table) do
    case :ets.lookup(:cache, key) do
      [{_, value}] ->
        {:reply, value, table}

      [] ->
        :ets.insert(:cache, {key, key})
        {:reply, key, table}
    end
  end
end
"#,
    );
}

#[test]
fn accepts_a_check_repeated_inside_a_transaction() {
    accept(
        r#"
#- /lib/accounts.ex
defmodule Accounts do
  def open(id) do
    if :mnesia.dirty_read(:accounts, id) == [] do
      :mnesia.transaction(fn ->
        case :mnesia.read(:accounts, id) do
          [] -> :mnesia.write({:accounts, id, 0})
          [_] -> :ok
        end
      end)
    end
  end
end
"#,
    );
}

#[test]
fn accepts_insert_new_and_a_second_look() {
    accept(
        r#"
#- /lib/cache.ex
defmodule Cache do
  def put_once(key, value) do
    case :ets.insert_new(:cache, {key, value}) do
      true -> value
      false -> :ets.lookup_element(:cache, key, 2)
    end
  end
end
"#,
    );
}

#[test]
fn accepts_operations_that_decide_and_act_at_once() {
    accept(
        r#"
#- /lib/queue.ex
defmodule Queue do
  def pop(key), do: :ets.take(:queue, key)
  def bump(key), do: :ets.update_counter(:counts, key, {2, 1}, {key, 0})
  def touch(key), do: :ets.update_element(:seen, key, {2, true})

  def expire(entry) do
    :ets.delete_object(:queue, entry)
  end

  def claim(key, owner) do
    case :ets.select_replace(:jobs, [{{key, :free}, [], [{{key, owner}}]}]) do
      1 -> :ok
      0 -> :taken
    end
  end
end
"#,
    );
}

#[test]
fn accepts_a_compare_and_swap_loop() {
    accept(
        r#"
#- /lib/counter.ex
defmodule Counter do
  def update(ref, fun) do
    old = :atomics.get(ref, 1)

    case :atomics.compare_exchange(ref, 1, old, fun.(old)) do
      :ok -> :ok
      _changed -> update(ref, fun)
    end
  end
end
"#,
    );
}

#[test]
fn accepts_look_up_and_insert_of_the_only_writer() {
    accept(
        r#"
#- /lib/sessions.ex
defmodule Sessions do
  use GenServer

  def init(_) do
    {:ok, :ets.new(:sessions, [:named_table, :protected])}
  end

  def handle_call({:join, key}, _from, table) do
    if :ets.lookup(table, key) == [], do: :ets.insert(table, {key, 0})
    {:reply, :ok, table}
  end

  def handle_cast({:leave, key}, table) do
    case :ets.lookup(table, key) do
      [{^key, _}] -> :ets.delete(table, key)
      [] -> :ok
    end

    {:noreply, table}
  end
end
"#,
    );
}

#[test]
fn accepts_whole_table_reads() {
    accept(
        r#"
#- /lib/sessions.ex
defmodule Sessions do
  def all, do: :ets.tab2list(:sessions)
  def old(at), do: :ets.select(:sessions, [{{:"$1", :"$2"}, [{:<, :"$2", at}], [:"$1"]}])
  def of(user), do: :ets.match(:sessions, {user, :"$1"})
end
"#,
    );
}

#[test]
fn accepts_a_rescue_around_one_operation() {
    accept(
        r#"
#- /lib/status.ex
defmodule Status do
  def member?(key) do
    :ets.member(:status, key)
  rescue
    ArgumentError -> false
  end

  def last(key) do
    :ets.lookup_element(:status, key, 2)
  catch
    :error, :badarg -> nil
  end

  def tell(name) do
    send(name, :go)
  rescue
    ArgumentError -> :not_running
  end
end
"#,
    );
}

#[test]
fn accepts_a_table_made_before_its_users() {
    accept(
        r#"
#- /lib/application.ex
defmodule App do
  use Application

  def start(_type, _args) do
    :ets.new(:cache, [:named_table, :public])
    Supervisor.start_link([Worker], strategy: :one_for_one)
  end
end
#- /lib/worker.ex
defmodule Worker do
  use GenServer
  def start_link(arg), do: GenServer.start_link(__MODULE__, arg, name: __MODULE__)
  def init(arg), do: {:ok, arg}

  def handle_cast({:put, key}, state) do
    :ets.insert(:cache, {key, true})
    {:noreply, state}
  end
end
"#,
    );
}

#[test]
fn accepts_a_table_made_in_the_supervisor() {
    accept(
        r#"
#- /lib/tree.ex
defmodule Tree do
  use Supervisor
  def start_link(arg), do: Supervisor.start_link(__MODULE__, arg, name: __MODULE__)

  def init(_) do
    :ets.new(:tree, [:named_table, :public, {:heir, self(), nil}])
    Supervisor.init([Owner, Reader], strategy: :rest_for_one)
  end
end
"#,
    );
}

#[test]
fn accepts_a_call_of_a_sibling_started_earlier() {
    accept(
        r#"
#- /lib/tree.ex
defmodule Tree do
  use Supervisor
  def init(_), do: Supervisor.init([Owner, Reader], strategy: :rest_for_one)
end
#- /lib/reader.ex
defmodule Reader do
  use GenServer
  def init(_), do: {:ok, GenServer.call(Owner, :table)}
end
#- /lib/owner.ex
defmodule Owner do
  use GenServer
  def init(_), do: {:ok, :ets.new(:owned, [])}
  def handle_call(:table, _from, table), do: {:reply, table, table}
end
"#,
    );
}

#[test]
fn accepts_a_flushed_demonitor_on_every_way_out() {
    accept(
        r#"
#- /lib/ask.ex
defmodule Ask do
  def run(pid) do
    ref = Process.monitor(pid)
    send(pid, {:run, self(), ref})

    receive do
      {^ref, reply} -> {:ok, reply}
      {:DOWN, ^ref, _, _, reason} -> {:error, reason}
    after
      5_000 -> {:error, :timeout}
    end
    |> tap(fn _ -> Process.demonitor(ref, [:flush]) end)
  end
end
"#,
    );
}

#[test]
fn accepts_an_alias_that_ends_with_the_monitor() {
    accept(
        r#"
#- /lib/ask.ex
defmodule Ask do
  def run(pid) do
    ref = :erlang.monitor(:process, pid, alias: :demonitor)
    send(pid, {:run, ref})

    receive do
      {^ref, reply} -> {:ok, reply}
      {:DOWN, ^ref, _, _, reason} -> {:error, reason}
    end
  end
end
"#,
    );
}

#[test]
fn accepts_a_down_clause_that_asks_the_state() {
    accept(
        r#"
#- /lib/pool.ex
defmodule Pool do
  use GenServer
  def init(_), do: {:ok, %{}}

  def handle_call({:join, pid}, _from, members) do
    {:reply, :ok, Map.put(members, Process.monitor(pid), pid)}
  end

  def handle_info({:DOWN, ref, :process, _pid, _reason}, members) do
    case Map.pop(members, ref) do
      {nil, members} -> {:noreply, members}
      {_pid, members} -> {:noreply, members}
    end
  end

  def handle_info(_other, members), do: {:noreply, members}
end
"#,
    );
}

#[test]
fn accepts_a_down_clause_that_pins_the_stored_reference() {
    accept(
        r#"
#- /lib/follower.ex
defmodule Follower do
  use GenServer
  def init(pid), do: {:ok, %{ref: Process.monitor(pid)}}
  def handle_info({:DOWN, ref, :process, _, _}, %{ref: ref} = state), do: {:stop, :normal, state}
  def handle_info(_other, state), do: {:noreply, state}
end
"#,
    );
}

#[test]
fn accepts_a_cancelled_timer_that_is_flushed() {
    accept(
        r#"
#- /lib/timer.ex
defmodule Timer do
  def cancel(ref) do
    if Process.cancel_timer(ref) == false do
      receive do
        {:timeout, ^ref} -> :ok
      after
        0 -> :ok
      end
    end
  end
end
"#,
    );
}

#[test]
fn accepts_timer_messages_with_a_tag() {
    accept(
        r#"
#- /lib/timer.ex
defmodule Timer do
  use GenServer
  def init(_), do: {:ok, start(%{})}
  def handle_info({:tick, tag}, %{tag: tag} = state), do: {:noreply, start(state)}
  def handle_info({:tick, _old}, state), do: {:noreply, state}

  defp start(state) do
    tag = make_ref()
    Process.send_after(self(), {:tick, tag}, 1_000)
    Map.put(state, :tag, tag)
  end
end
"#,
    );
}

#[test]
fn accepts_a_continuation_after_init() {
    accept(
        r#"
#- /lib/loader.ex
defmodule Loader do
  use GenServer
  def init(path), do: {:ok, path, {:continue, :load}}
  def handle_continue(:load, path), do: {:noreply, File.read!(path)}
end
"#,
    );
}

#[test]
fn accepts_a_message_to_itself_in_init() {
    accept(
        r#"
#- /lib/loader.ex
defmodule Loader do
  use GenServer

  def init(path) do
    send(self(), :load)
    {:ok, path}
  end

  def handle_info(:load, path), do: {:noreply, File.read!(path)}
end
"#,
    );
}

#[test]
fn accepts_a_stop_whose_dependants_are_linked() {
    accept(
        r#"
#- /lib/leader.ex
defmodule Leader do
  use GenServer

  def init(arg) do
    {:ok, pid} = GenServer.start_link(Follower, self())
    {:ok, {arg, pid}}
  end

  def handle_cast(:finish, state), do: {:stop, :normal, state}
end
"#,
    );
}

#[test]
fn accepts_unlink_before_kill_and_cleanup_in_after() {
    accept(
        r#"
#- /lib/leader.ex
defmodule Leader do
  def drop(pid) do
    Process.unlink(pid)
    Process.exit(pid, :kill)
  end

  def with_lock(lock, fun) do
    true = :global.set_lock({lock, self()})

    try do
      fun.()
    after
      :global.del_lock({lock, self()})
    end
  end
end
"#,
    );
}

#[test]
fn accepts_stop_wait_kill_wait() {
    accept(
        r#"
#- /lib/reaper.ex
defmodule Reaper do
  def stop(pid) do
    ref = Process.monitor(pid)
    Process.exit(pid, :shutdown)

    receive do
      {:DOWN, ^ref, _, _, _} -> :ok
    after
      5_000 ->
        Process.exit(pid, :kill)

        receive do
          {:DOWN, ^ref, _, _, _} -> :killed
        end
    end
  end
end
"#,
    );
}

#[test]
fn accepts_a_task_that_nobody_waits_for() {
    accept(
        r#"
#- /lib/mail.ex
defmodule Mail do
  def deliver(mail), do: Task.Supervisor.start_child(Mail.Tasks, fn -> Mail.Smtp.send(mail) end)
end
"#,
    );
}

#[test]
fn accepts_a_call_without_a_time_limit() {
    accept(
        r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(server), do: GenServer.call(server, :run, :infinity)
end
"#,
    );
}

#[test]
fn accepts_local_functions_on_local_processes() {
    accept(
        r#"
#- /lib/info.ex
defmodule Info do
  def alive?(pid) when node(pid) == node(), do: Process.alive?(pid)
  def alive?(pid), do: :rpc.call(node(pid), Process, :alive?, [pid])

  def memory(pid) do
    if node(pid) == node(), do: Process.info(pid, :memory)
  end
end
"#,
    );
}

#[test]
fn accepts_casts_and_sends_that_cannot_fail() {
    accept(
        r#"
#- /lib/notify.ex
defmodule Notify do
  def cast(name), do: GenServer.cast(name, :go)
  def cast_found(name), do: GenServer.cast(Process.whereis(name), :go)
  def tell(pid) when is_pid(pid), do: send(pid, :go)
end
"#,
    );
}

#[test]
fn accepts_a_monitor_of_nobody() {
    accept(
        r#"
#- /lib/watch.ex
defmodule Watch do
  def start(name), do: Process.monitor(Process.whereis(name))
  def start_global(name), do: Process.monitor(:global.whereis_name(name))
end
"#,
    );
}

#[test]
fn accepts_idempotent_markers_and_cache_fills() {
    accept(
        r#"
#- /lib/cache.ex
defmodule Cache do
  def get(key) do
    case :ets.lookup(:cache, key) do
      [{_, value}] ->
        value

      [] ->
        value = :erlang.phash2(key)
        :ets.insert(:cache, {key, value})
        value
    end
  end

  def mark(key), do: :ets.insert(:seen, {key, true})
end
"#,
    );
}

#[test]
fn accepts_alive_to_drop_the_state_of_a_monitored_process_early() {
    accept(
        r#"
#- /lib/pool.ex
defmodule Pool do
  use GenServer
  def init(_), do: {:ok, %{}}
  def handle_call({:join, pid}, _from, state), do: {:reply, :ok, Map.put(state, pid, Process.monitor(pid))}

  def handle_call(:members, _from, state) do
    alive = Map.filter(state, fn {pid, _ref} -> Process.alive?(pid) end)
    {:reply, Map.keys(alive), alive}
  end

  def handle_info({:DOWN, _, _, pid, _}, state), do: {:noreply, Map.delete(state, pid)}
end
"#,
    );
}

#[test]
fn accepts_an_unregister_that_does_nothing_on_purpose() {
    accept(
        r#"
#- /lib/via.ex
defmodule Via do
  def whereis_name(key) do
    case :ets.lookup(:names, key) do
      [{_, pid}] -> pid
      [] -> :undefined
    end
  end

  def unregister_name(_key), do: :ok
end
"#,
    );
}
