//! # A lookup that found nobody is used as a process
//!
//! ## What it reports
//!
//! A process is looked up by name, in a registry or in a table, and what came back goes straight into a call, a `send`, a stop or a
//! link. When the process is not there, what came back is nil: `GenServer.call(nil, _)` exits with `:noproc`, `send(nil, _)`,
//! `Process.link(nil)`, `Process.exit(nil, _)` and `Process.alive?(nil)` raise. The nil is followed through wrappers, `||`, closures,
//! tuples, maps and arguments to the place that fails on it.
//!
//! ```elixir
//! defmodule Jobs do
//!   def pid(name), do: Process.whereis(name)
//!
//!   def pause(name) do
//!     GenServer.call(pid(name), :pause)
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! caller                        | worker
//! ------------------------------|------------------------------
//!                               | crashes; its name is free
//! looks the name up: nil        |
//! calls nil: exits with :noproc |
//!                               | is restarted by its supervisor
//! ```
//!
//! The caller crashes over an event that the supervisor was there to absorb. Whoever reads the crash sees `:noproc` and may take a short
//! absence for lost data.
//!
//! ## Instead
//!
//! Give nil a branch of its own where the lookup is made. The process may still end between the lookup and the call, so catch the exit as
//! well. With the catch alone, nil needs no branch for a call; for `send` it does.
//!
//! ```elixir
//! defmodule Jobs do
//!   def pause(name) do
//!     case Process.whereis(name) do
//!       nil -> {:error, :not_running}
//!       pid -> pause_found(pid)
//!     end
//!   end
//!
//!   defp pause_found(pid) do
//!     GenServer.call(pid, :pause)
//!   catch
//!     :exit, _reason -> {:error, :not_running}
//!   end
//! end
//! ```
//!
//! Three repairs are common: catch the exit and give an error value; one request that looks up, subscribes and monitors as a single step; a
//! check before each step. The check alone leaves a smaller window.
//!
//! `Racefree.Registry.call/4` finds the process and calls it, and gives an error value whether it was never there or ended on the way:
//! `guides/migration.md` shows the rewrite.
//!
//! ## Not reported
//!
//! - A lookup whose nil has a branch: `case`, `with`, `if pid`, a guard `when is_pid(pid)`, a `for` filter, also when that branch exits or
//!   raises on purpose.
//! - A call whose exit is caught, in the function or in a caller on every way to it.
//! - `Process.monitor(nil)`: it is safe, and a `:DOWN` with `:noproc` follows. `GenServer.cast(nil, _)`: it is lost, but nothing fails.
//! - A pid that was found and is dead by the time of the call: this rule is about nil.
//! - A default nil that no lookup gave, for instance an optional argument.

use super::Rule;
use crate::finding::{Finding, Severity};
use crate::nil_flow::report;
use racefree_analysis::Program;

pub static RULE: Rule = Rule {
    id: "nil_pid_call",
    severity: Severity::Error,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/nil_pid_call.md"),
    shared: "A name: the process behind it may be absent at any time.",
    primitive: "`Racefree.Registry.lookup/2` gives `{:error, :not_found}`, never nil, and `Racefree.Registry.call/4` never exits over a process that is not there.",
    check,
};

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    report(program, &RULE, findings, |flow| !flow.in_loop);
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::check;

    #[test]
    fn reports_call_of_a_lookup() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def pause(name) do
    pid = Process.whereis(name)
        # ^^^^^^^^^^^^^^^ step: Process.whereis looks the process up
    GenServer.call(pid, :pause)
  # ^^^^^^^^^^^^^^ error: GenServer.call gets nil when Process.whereis finds no entry: it exits with :noproc
  # ^^^^^^^^^^^^^^ step: there is no process nil
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_lookup_in_another_module() {
        check(
            &RULE,
            r#"
#- /lib/names.ex
defmodule Names do
  def pid(name) do
    case :ets.lookup(:names, name) do
       # ^^^^^^^^^^^ step: :ets.lookup reads the table
      [{^name, pid}] -> pid
      [] -> nil
          # ^^^ step: this branch, chosen by that answer, gives nil
    end
  end
end
#- /lib/client.ex
defmodule Client do
  def run(name), do: GenServer.call(Names.pid(name), :run)
                   # ^^^^^^^^^^^^^^ error: GenServer.call gets nil when :ets.lookup finds no entry
                                  # ^^^^^^^^^ step: Names.pid returns it
end
"#,
        );
    }

    #[test]
    fn reports_a_call_in_another_module() {
        check(
            &RULE,
            r#"
#- /lib/client.ex
defmodule Client do
  def run(name), do: name |> GenServer.whereis() |> Server.run()
                                                  # ^^^^^^^^^^ step: passes it on
end
#- /lib/server.ex
defmodule Server do
  def run(pid), do: do_run(pid, 5_000)
  defp do_run(pid, timeout), do: GenServer.call(pid, :run, timeout)
                               # ^^^^^^^^^^^^^^ error: gets nil when GenServer.whereis finds no entry
end
"#,
        );
    }

    #[test]
    fn reports_every_function_that_fails_on_nil() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def a(name), do: send(Process.whereis(name), :go)
                 # ^^^^ error: it raises
  def b(name), do: Process.exit(Process.whereis(name), :kill)
                 # ^^^^^^^^^^^^ error: it raises
  def c(name), do: Process.link(Process.whereis(name))
                 # ^^^^^^^^^^^^ error: it raises
  def d(name), do: GenServer.stop(Process.whereis(name))
                 # ^^^^^^^^^^^^^^ error: it exits
  def e(name), do: Process.alive?(Process.whereis(name))
                 # ^^^^^^^^^^^^^^ error: it raises
  def f(name), do: Agent.get(:global.whereis_name(name), & &1)
                 # ^^^^^^^^^ error: it exits
end
"#,
        );
    }

    #[test]
    fn reports_a_default_nil_from_a_table() {
        check(
            &RULE,
            r#"
#- /lib/registry.ex
defmodule Consumers do
  def whereis(key), do: :ets.lookup_element(:consumers, key, 2, nil)

  def await(key, timeout \\ 5_000) do
    GenServer.call(whereis(key), :await, timeout)
  # ^^^^^^^^^^^^^^ error: when :ets.lookup_element finds no entry
  end
end
"#,
        );
    }

    #[test]
    fn reports_an_alternative_that_gives_nil_too() {
        check(
            &RULE,
            r#"
#- /lib/consumers.ex
defmodule Consumers do
  def publish(key, event) do
    pid = whereis(key) || start(key)
    send(pid, event)
  # ^^^^ error: send gets nil when
  end

  defp whereis(key), do: :ets.lookup_element(:consumers, key, 2, nil)

  defp start(key) do
    case DynamicSupervisor.start_child(Sup, {Consumer, key}) do
      {:ok, pid} -> pid
      {:error, _reason} -> nil
    end
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_nil_that_a_closure_in_a_wrapper_gives() {
        check(
            &RULE,
            r#"
#- /lib/consumers.ex
defmodule Consumers do
  def publish(key, event) do
    pid = Trace.span("find", fn -> find(key) end)
    send(pid, event)
  # ^^^^ error: when :ets.lookup finds no entry
  end

  defp find(key) do
    with [{_key, pid}] <- :ets.lookup(:consumers, key) do
      pid
    else
      [] -> nil
    end
  end
end
#- /lib/trace.ex
defmodule Trace do
  @spec span(binary, (-> t)) :: t when t: term
  def span(_name, fun) do
    result = fun.()
    result
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_nil_through_a_library_wrapper() {
        check(
            &RULE,
            r#"
#- /lib/consumers.ex
defmodule Consumers do
  def publish(key, event) do
    pid = :telemetry.span([:find], %{}, fn -> {Process.whereis(key), %{}} end)
    send(pid, event)
  # ^^^^ error: when Process.whereis finds no entry
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_nil_in_a_tuple() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    {:found, pid} = find(name)
    GenServer.call(pid, :run)
  # ^^^^^^^^^^^^^^ error: when Process.whereis finds no entry
  end

  defp find(name), do: {:found, Process.whereis(name)}
end
"#,
        );
    }

    #[test]
    fn reports_a_nil_in_a_map() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    job = %{name: name, pid: Process.whereis(name)}
    GenServer.call(job.pid, :run)
  # ^^^^^^^^^^^^^^ error: when Process.whereis finds no entry
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_nil_behind_a_delegate() {
        check(
            &RULE,
            r#"
#- /lib/names.ex
defmodule Names do
  def whereis(name), do: Process.whereis(name)
end
#- /lib/jobs.ex
defmodule Jobs do
  defdelegate pid(name), to: Names, as: :whereis
  def run(name), do: GenServer.call(pid(name), :run)
                   # ^^^^^^^^^^^^^^ error: when Process.whereis finds no entry
end
"#,
        );
    }

    #[test]
    fn reports_a_nil_through_a_capture() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    find = &Process.whereis/1
    GenServer.call(find.(name), :run)
  # ^^^^^^^^^^^^^^ error: when Process.whereis finds no entry
  end

  def stop(name), do: name |> Process.whereis() |> then(&GenServer.stop(&1))
                                                       # ^^^^^^^^^^^^^^ error: when Process.whereis finds no entry
end
"#,
        );
    }

    #[test]
    fn reports_a_registry_without_entries() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(key), do: GenServer.call(pid(key), :run)
                  # ^^^^^^^^^^^^^^ error: when Registry.lookup finds no entry

  defp pid(key) do
    case Registry.lookup(Jobs.Registry, key) do
      [{pid, _}] -> pid
      _ -> nil
    end
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_first_of_nobody() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(key) do
    {pid, _} = List.first(Registry.lookup(Jobs.Registry, key)) || {nil, nil}
    send(pid, :run)
  # ^^^^ missed: a nil inside a literal that `||` chose is no observed nil
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_nil_that_a_rescue_gives() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name), do: GenServer.call(pid(name), :run)
                   # ^^^^^^^^^^^^^^ error: gets nil when

  defp pid(name) do
    :ets.lookup_element(:names, name, 2)
  rescue
    ArgumentError -> nil
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_nil_kept_in_the_state() {
        check(
            &RULE,
            r#"
#- /lib/poller.ex
defmodule Poller do
  use GenServer
  def init(name), do: {:ok, %{source: Process.whereis(name)}}

  def handle_info(:poll, state) do
    {:noreply, Map.put(state, :rows, GenServer.call(state.source, :rows))}
                                   # ^^^^^^^^^^^^^^ missed: fields of a server's state are not followed from one callback to the next
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_nil_that_another_process_replies() {
        check(
            &RULE,
            r#"
#- /lib/directory.ex
defmodule Directory do
  use GenServer
  def whereis(key), do: GenServer.call(__MODULE__, {:whereis, key})
  def init(pids), do: {:ok, pids}
  def handle_call({:whereis, key}, _from, pids), do: {:reply, Map.get(pids, key), pids}
end
#- /lib/client.ex
defmodule Client do
  def run(key), do: send(Directory.whereis(key), :run)
                  # ^^^^ warning: gets nil when
end
"#,
        );
    }

    #[test]
    fn reports_a_whereis_guard_that_does_not_guard() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    if Process.whereis(name) do
      send(Process.whereis(name), :run)
    # ^^^^ error: when Process.whereis finds no entry
    end
  end
end
"#,
        );
    }

    /// A call of nil exits, and `rescue` takes no exit.
    #[test]
    fn reports_a_rescue_around_a_call() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    GenServer.call(Process.whereis(name), :run)
  # ^^^^^^^^^^^^^^ error: it exits with :noproc
  rescue
    ArgumentError -> :not_running
  end
end
"#,
        );
    }

    #[test]
    fn reports_lookups_by_alias_import_attribute_and_apply() {
        check(
            &RULE,
            r#"
#- /lib/names.ex
defmodule App.Names do
  def find(name), do: Process.whereis(name)
end
#- /lib/jobs.ex
defmodule App.Jobs do
  alias App.{Names, Names.Other}
  import App.Names, only: [find: 1]
  @finder Names

  def a(name), do: send(Names.find(name), :go)
                 # ^^^^ error: when Process.whereis finds no entry
  def b(name), do: send(find(name), :go)
                 # ^^^^ error: when Process.whereis finds no entry
  def c(name), do: send(@finder.find(name), :go)
                 # ^^^^ error: when Process.whereis finds no entry
  def d(name), do: send(apply(Process, :whereis, [name]), :go)
                 # ^^^^ error: when Process.whereis finds no entry
  def e(name), do: {Other, name}
end
"#,
        );
    }

    #[test]
    fn reports_a_lookup_given_to_a_function() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def a(name), do: with_found(name, fn pid -> send(pid, :go) end)
                                            # ^^^^ error: when Process.whereis finds no entry
  defp with_found(name, fun), do: fun.(Process.whereis(name))

  def b(name), do: notify(name, &Process.whereis/1)
  defp notify(name, find), do: send(find.(name), :go)
                             # ^^^^ missed: what a given function returns is not known where it is used
end
"#,
        );
    }

    #[test]
    fn reports_a_check_that_goes_on() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    pid = Process.whereis(name)
    if pid == nil, do: IO.puts("gone")
    send(pid, :go)
  # ^^^^ error: when Process.whereis finds no entry
  end

  def stop(name) do
    case Process.whereis(name) do
      :undefined -> :gone
      pid -> GenServer.stop(pid)
           # ^^^^^^^^^^^^^^ error: when Process.whereis finds no entry
    end
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_default_argument_that_looks_up() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(job, pid \\ Process.whereis(Jobs.Server)) do
    GenServer.call(pid, {:run, job})
  # ^^^^^^^^^^^^^^ error: when Process.whereis finds no entry
  end

  def stop(job, pid \\ Process.whereis(Jobs.Server))
  def stop(job, pid), do: GenServer.call(pid, {:stop, job})
                        # ^^^^^^^^^^^^^^ error: when Process.whereis finds no entry
  def stop_all(jobs), do: for(job <- jobs, do: job) |> hd() |> stop()
end
"#,
        );
    }

    #[test]
    fn reports_a_first_of_an_empty_list() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(key) do
    pid = Jobs.Registry |> Registry.lookup(key) |> Enum.map(fn {pid, _} -> pid end) |> List.first()
    GenServer.call(pid, :run)
  # ^^^^^^^^^^^^^^ missed: the first of an empty list that a lookup gave is no observed nil
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_nil_in_a_handler() {
        check(
            &RULE,
            r#"
#- /lib/server.ex
defmodule Server do
  use GenServer
  def init(peer), do: {:ok, peer}

  def handle_call({:forward, message}, _from, peer) do
    {:reply, GenServer.call(Process.whereis(peer), message), peer}
           # ^^^^^^^^^^^^^^ error: it exits with :noproc
  end

  def handle_info(:tick, peer) do
    send(Process.whereis(peer), :tick)
  # ^^^^ error: it raises
    {:noreply, peer}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_case_on_the_lookup() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def pause(name) do
    case Process.whereis(name) do
      nil -> {:error, :not_running}
      pid -> GenServer.call(pid, :pause)
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_guards_on_the_pid() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def a(name), do: Process.whereis(name) |> run()
  def b(name), do: if(pid = Process.whereis(name), do: GenServer.call(pid, :run))
  def c(name), do: (pid = Process.whereis(name)) && send(pid, :run)
  def d(names), do: for(name <- names, pid = Process.whereis(name), do: send(pid, :run))

  def e(name) do
    pid = Process.whereis(name)
    unless is_nil(pid), do: GenServer.call(pid, :run)
  end

  def f(name) do
    with pid when is_pid(pid) <- Process.whereis(name), do: GenServer.call(pid, :run)
  end

  defp run(pid) when is_pid(pid), do: GenServer.call(pid, :run)
  defp run(nil), do: {:error, :not_running}
end
"#,
        );
    }

    #[test]
    fn accepts_a_nil_branch_that_raises_or_exits_on_purpose() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name), do: GenServer.call(pid!(name), :run)
  def stop(name), do: GenServer.stop(Process.whereis(name) || exit(:noproc))
  def kill(name), do: Process.exit(Process.whereis(name) || raise("gone"), :kill)

  defp pid!(name) do
    case GenServer.whereis(name) do
      nil -> raise ArgumentError, "no process #{inspect(name)}"
      pid -> pid
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_cond_on_the_pid() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    pid = Process.whereis(name)

    cond do
      is_nil(pid) -> :error
      true -> GenServer.call(pid, :run)
    end
  end

  def stop(name) do
    pid = Process.whereis(name)
    if pid == nil, do: :ok, else: GenServer.stop(pid)
  end

  def halt(name) do
    pid = Process.whereis(name)
    if pid != nil and Process.alive?(pid), do: Process.exit(pid, :kill)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_caught_exit() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    GenServer.call(Process.whereis(name), :run)
  catch
    :exit, _ -> {:error, :not_running}
  end

  def stop(name) do
    try do
      Jobs.Server.stop(Process.whereis(name))
    catch
      kind, reason -> {:error, {kind, reason}}
    end
  end
end
#- /lib/server.ex
defmodule Jobs.Server do
  def stop(pid), do: GenServer.stop(pid)
end
"#,
        );
    }

    #[test]
    fn accepts_a_rescued_send() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    send(Process.whereis(name), :run)
  rescue
    ArgumentError -> :not_running
  end
end
"#,
        );
    }
}
