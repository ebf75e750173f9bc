//! # One missing process ends a message to many
//!
//! ## What it reports
//!
//! A loop sends to many processes, and what stands for one of them may be nil because it was not found. `send(nil, _)` raises, a call
//! of nil exits: the loop ends there. The processes behind the missing one get nothing, and the process that runs the loop goes down
//! with all that it serves.
//!
//! ```elixir
//! defmodule Broadcast do
//!   def publish(keys, event) do
//!     keys
//!     |> Enum.map(fn key -> {key, pid(key)} end)
//!     |> Enum.each(fn {_key, pid} -> send(pid, event) end)
//!   end
//!
//!   defp pid(key) do
//!     case :ets.lookup(:consumers, key) do
//!       [{^key, pid}] -> pid
//!       [] -> nil
//!     end
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! router                        | consumer of key 2
//! ------------------------------|------------------------------
//!                               | is removed from the table
//! looks up 1, 2, 3: pid, nil, pid
//! sends to 1                    |
//! sends to nil: raises          |
//! 3 gets nothing, the router and all its keys are down
//! ```
//!
//! ## Instead
//!
//! Drop what was not found before the loop. A comprehension with a filter, `Enum.reject(&is_nil/1)` and `Enum.flat_map` over lists of
//! one or none all do.
//!
//! ```elixir
//! defmodule Broadcast do
//!   def publish(keys, event) do
//!     keys
//!     |> Enum.map(&pid/1)
//!     |> Enum.reject(&is_nil/1)
//!     |> Enum.each(fn pid -> send(pid, event) end)
//!   end
//!
//!   defp pid(key) do
//!     case :ets.lookup(:consumers, key) do
//!       [{^key, pid}] -> pid
//!       [] -> nil
//!     end
//!   end
//! end
//! ```
//!
//! Three repairs are common: filter nil; remove the route first and synchronously, so that no event comes for a key that is gone; mark
//! the key as being removed and let the lookup say so. Where keys are never lost on purpose, filtering hides a mistake: log what was
//! dropped.
//!
//! `Racefree.Registry.multicall/3` gives one outcome for each key, whether or not there is a process, and a removal in two phases closes a
//! key before its process stops: `guides/migration.md` shows the rewrite.
//!
//! ## Not reported
//!
//! - Loops over what was filtered: `Enum.reject(&is_nil/1)`, `Enum.filter(&is_pid/1)`, a `for` filter, `List.wrap` in a `flat_map`.
//! - A loop whose body takes the nil in a clause, a `case` or an `if`.
//! - `Registry.dispatch` and `Registry.lookup`: they give pids only. `send` to a pid that is dead does nothing and is harmless.
//! - `GenServer.cast` of nil: the message is lost, the loop goes on.
//! - The same defect outside a loop is `nil_pid_call`.

use super::Rule;
use crate::finding::{Finding, Severity};
use crate::nil_flow::report;
use racefree_analysis::Program;

pub static RULE: Rule = Rule {
    id: "nil_in_broadcast",
    severity: Severity::Error,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/nil_in_broadcast.md"),
    shared: "The set of processes that a message goes to: each of them may end, or be removed, while the set is put together.",
    primitive: "`Racefree.Registry.multicall/3`: exactly one outcome for each key, and none of them is nil.",
    check,
};

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    report(program, &RULE, findings, |flow| flow.in_loop);
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::{check, fixes};

    #[test]
    fn reports_a_send_in_a_loop() {
        check(
            &RULE,
            r#"
#- /lib/router.ex
defmodule Router do
  def publish(keys, event) do
    Enum.each(keys, fn key -> send(pid(key), event) end)
                            # ^^^^ error: send gets nil for one of many processes when :ets.lookup_element finds no entry
                                 # ^^^ step: Router.pid returns it
  end

  defp pid(key), do: :ets.lookup_element(:routes, key, 2, nil)
                        # ^^^^^^^^^^^^^^ step: :ets.lookup_element reads the table
end
"#,
        );
    }

    #[test]
    fn those_not_found_are_left_out() {
        let rest = "\n  end\n  defp pid(key), do: :ets.lookup_element(:routes, key, 2, nil)\nend\n";
        for (before, after) in [
            (
                "keys |> Enum.map(&pid/1) |> Enum.each(&send(&1, e))",
                "keys |> Enum.map(&pid/1) |> Enum.reject(&is_nil/1) |> Enum.each(&send(&1, e))",
            ),
            (
                "pids = Enum.map(keys, &pid/1)\n    for pid <- pids, do: send(pid, e)",
                "pids = Enum.map(keys, &pid/1)\n    for pid <- pids |> Enum.reject(&is_nil/1), do: send(pid, e)",
            ),
        ] {
            let code = |body: &str| format!("defmodule Router do\n  def publish(keys, e) do\n    {body}{rest}");
            fixes(&RULE, &code(before), &code(after));
        }
    }

    #[test]
    fn accepts_a_loop_over_those_found() {
        check(
            &RULE,
            r#"
#- /lib/router.ex
defmodule Router do
  def publish(keys, event) do
    keys |> Enum.map(&pid/1) |> Enum.reject(&is_nil/1) |> Enum.each(&send(&1, event))
  end

  defp pid(key), do: :ets.lookup_element(:routes, key, 2, nil)
end
"#,
        );
    }

    #[test]
    fn reports_a_loop_across_modules() {
        check(
            &RULE,
            r#"
#- /lib/router.ex
defmodule Router do
  def publish(keys, event) do
    keys |> Enum.map(&Routes.whereis/1) |> Broadcast.run(event)
                                         # ^^^^^^^^^^^^^ step: passes it on
  end
end
#- /lib/broadcast.ex
defmodule Broadcast do
  def run(pids, event), do: for(pid <- pids, do: send(pid, event))
                                               # ^^^^ error: when Process.whereis finds no entry
end
#- /lib/routes.ex
defmodule Routes do
  def whereis(key), do: Process.whereis(key)
end
"#,
        );
    }

    /// The documented shape: a lookup with a default, `||` a start in a tracing closure, a 3-tuple in `Enum.map`, a pipe, a destructuring.
    #[test]
    fn reports_a_nil_in_a_tuple_in_a_map() {
        check(
            &RULE,
            r#"
#- /lib/consumers.ex
defmodule Consumers do
  def publish(table, events) do
    events
    |> Enum.map(fn {key, event} -> {key, event, pid(table, key) || Trace.span(:start, fn -> start(table, key) end)} end)
    |> broadcast()
  end

  defp pid(table, key), do: :ets.lookup_element(table, key, 2, nil)

  defp start(_table, key) do
    case DynamicSupervisor.start_child(Consumers.Supervisor, {Consumer, key}) do
                         # ^^^^^^^^^^^ step: DynamicSupervisor.start_child
      {:ok, pid} -> pid
      {:error, :no_shape} -> nil
                           # ^^^ step: this branch, chosen by that answer, gives nil
    end
  end

  defp broadcast(list), do: Enum.map(list, fn {key, event, pid} -> {key, send(pid, {:event, event})} end)
                                                                       # ^^^^ error: send gets nil for one of many processes
end
#- /lib/trace.ex
defmodule Trace do
  @spec span(atom, (-> t)) :: t when t: term
  def span(_name, fun), do: fun.()
end
"#,
        );
    }

    #[test]
    fn accepts_the_same_with_wrapped_lists() {
        check(
            &RULE,
            r#"
#- /lib/consumers.ex
defmodule Consumers do
  def publish(table, events) do
    events
    |> Enum.flat_map(fn {key, event} -> for pid <- List.wrap(pid(table, key) || start(key)), do: {key, event, pid} end)
    |> broadcast()
  end

  defp pid(table, key), do: :ets.lookup_element(table, key, 2, nil)

  defp start(key) do
    case DynamicSupervisor.start_child(Consumers.Supervisor, {Consumer, key}) do
      {:ok, pid} -> pid
      {:error, :no_shape} -> nil
    end
  end

  defp broadcast(list), do: Enum.map(list, fn {key, event, pid} -> {key, send(pid, {:event, event})} end)
end
"#,
        );
    }

    #[test]
    fn accepts_flat_map_over_wrapped_pids() {
        check(
            &RULE,
            r#"
#- /lib/consumers.ex
defmodule Consumers do
  def publish(keys, event) do
    keys |> Enum.flat_map(fn key -> key |> Process.whereis() |> List.wrap() end) |> Enum.each(&send(&1, event))
  end
end
"#,
        );
    }

    #[test]
    fn accepts_filtered_tuples() {
        check(
            &RULE,
            r#"
#- /lib/consumers.ex
defmodule Consumers do
  def a(keys, event) do
    pairs = Enum.map(keys, fn key -> {key, Process.whereis(key)} end)
    for {_key, pid} when is_pid(pid) <- pairs, do: send(pid, event)
  end

  def b(keys, event) do
    for key <- keys, pid = Process.whereis(key), do: send(pid, event)
  end

  def c(keys, event) do
    for key <- keys, pid = Process.whereis(key), not is_nil(pid), do: send(pid, event)
  end

  def d(keys, event) do
    keys
    |> Enum.map(fn key -> {key, Process.whereis(key)} end)
    |> Enum.reject(fn {_key, pid} -> is_nil(pid) end)
    |> Enum.each(fn {_key, pid} -> send(pid, event) end)
  end

  def e(keys, event) do
    keys |> Enum.map(&Process.whereis/1) |> Enum.filter(&is_pid/1) |> Enum.each(&send(&1, event))
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_loop_that_takes_nil() {
        check(
            &RULE,
            r#"
#- /lib/consumers.ex
defmodule Consumers do
  def publish(keys, event), do: Enum.each(keys, &deliver(Process.whereis(&1), event))

  def notify(keys, event) do
    Enum.each(keys, fn key ->
      case Process.whereis(key) do
        nil -> :ok
        pid -> send(pid, event)
      end
    end)
  end

  defp deliver(nil, _event), do: :gone
  defp deliver(pid, event), do: send(pid, event)
end
"#,
        );
    }

    #[test]
    fn accepts_dispatch_of_a_registry() {
        check(
            &RULE,
            r#"
#- /lib/topics.ex
defmodule Topics do
  def publish(topic, event) do
    Registry.dispatch(Topics.Registry, topic, fn entries ->
      for {pid, _} <- entries, do: send(pid, event)
    end)
  end

  def ask(topic), do: for({pid, _} <- Registry.lookup(Topics.Registry, topic), do: send(pid, :ask))
end
"#,
        );
    }

    #[test]
    fn accepts_casts_of_nil() {
        check(
            &RULE,
            r#"
#- /lib/topics.ex
defmodule Topics do
  def publish(names, event), do: Enum.each(names, &GenServer.cast(Process.whereis(&1), event))
end
"#,
        );
    }

    #[test]
    fn accepts_a_caught_call_in_a_loop() {
        check(
            &RULE,
            r#"
#- /lib/topics.ex
defmodule Topics do
  def ask(names), do: Enum.map(names, &ask_one/1)

  defp ask_one(name) do
    GenServer.call(Process.whereis(name), :ask)
  catch
    :exit, _ -> nil
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_call_in_a_comprehension() {
        check(
            &RULE,
            r#"
#- /lib/topics.ex
defmodule Topics do
  def ask(names) do
    for name <- names, do: GenServer.call(Process.whereis(name), :ask)
                         # ^^^^^^^^^^^^^^ error: it exits with :noproc, and the others are not reached
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_reduce() {
        check(
            &RULE,
            r#"
#- /lib/topics.ex
defmodule Topics do
  def ask(names) do
    Enum.reduce(names, 0, fn name, sum ->
      pid = Process.whereis(name)
      sum + GenServer.call(pid, :size)
          # ^^^^^^^^^^^^^^ error: gets nil for one of many processes
    end)
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_recursion_over_a_list() {
        check(
            &RULE,
            r#"
#- /lib/topics.ex
defmodule Topics do
  def publish(names, event), do: do_publish(Enum.map(names, &Process.whereis/1), event)

  defp do_publish([pid | rest], event) do
    send(pid, event)
  # ^^^^ missed: a recursion over a list is not seen as a loop
    do_publish(rest, event)
  end

  defp do_publish([], _event), do: :ok
end
"#,
        );
    }

    #[test]
    fn accepts_other_filters() {
        check(
            &RULE,
            r#"
#- /lib/consumers.ex
defmodule Consumers do
  def a(keys), do: keys |> Enum.map(&Process.whereis/1) |> Enum.filter(& &1) |> Enum.each(&send(&1, :go))

  def b(keys) do
    keys
    |> Enum.map(&{&1, Process.whereis(&1)})
    |> Enum.filter(fn {_, pid} -> pid end)
    |> Enum.each(fn {_, pid} -> send(pid, :go) end)
  end

  def c(keys) do
    for {_, pid} <- Enum.map(keys, &{&1, Process.whereis(&1)}), pid != nil, do: send(pid, :go)
  end

  def d(keys), do: keys |> Enum.map(&Process.whereis/1) |> Enum.each(&(&1 && send(&1, :go)))
end
"#,
        );
    }

    #[test]
    fn accepts_a_reduce_that_leaves_nil_out() {
        check(
            &RULE,
            r#"
#- /lib/consumers.ex
defmodule Consumers do
  def publish(keys) do
    keys |> Enum.reduce([], &collect/2) |> Enum.each(&send(&1, :go))
  end

  defp collect(key, pids) do
    case Process.whereis(key) do
      nil -> pids
      pid -> [pid | pids]
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_filters_by_match_and_split() {
        check(
            &RULE,
            r#"
#- /lib/consumers.ex
defmodule Consumers do
  def a(keys) do
    keys
    |> Enum.map(&{&1, Process.whereis(&1)})
    |> Enum.reject(&match?({_, nil}, &1))
    |> Enum.each(fn {_, pid} -> send(pid, :go) end)
  end

  def b(keys) do
    {found, _missing} = keys |> Enum.map(&Process.whereis/1) |> Enum.split_with(&is_pid/1)
    Enum.each(found, &send(&1, :go))
                    # ^^^^ wrong: `split_with` keeps nil in both halves
  end

  def c(keys) do
    pids = Enum.map(keys, &Process.whereis/1)
    if Enum.all?(pids, &is_pid/1), do: Enum.each(pids, &send(&1, :go))
                                                      # ^^^^ wrong: a test of all elements does not narrow them
  end
end
"#,
        );
    }

    #[test]
    fn accepts_clauses_of_the_loops_function() {
        check(
            &RULE,
            r#"
#- /lib/consumers.ex
defmodule Consumers do
  def a(keys) do
    keys
    |> Enum.map(&Process.whereis/1)
    |> Enum.each(fn
      nil -> :gone
      pid -> send(pid, :go)
    end)
  end

  def b(keys) do
    keys
    |> Map.new(&{&1, Process.whereis(&1)})
    |> Enum.each(fn
      {_, nil} -> :gone
      {_, pid} -> send(pid, :go)
    end)
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_nil_through_other_collections() {
        check(
            &RULE,
            r#"
#- /lib/consumers.ex
defmodule Consumers do
  def a(keys), do: keys |> Map.new(&{&1, Process.whereis(&1)}) |> Enum.each(fn {_, pid} -> send(pid, :go) end)
                                                                                         # ^^^^ error: one of many
  def b(keys) do
    pids = for key <- keys, into: %{}, do: {key, Process.whereis(key)}
    for {_key, pid} <- pids, do: send(pid, :go)
                               # ^^^^ error: one of many
  end

  def c(keys) do
    Enum.reduce(keys, [], fn key, pids -> [Process.whereis(key) | pids] end) |> Enum.each(&send(&1, :go))
                                                                                         # ^^^^ error: one of many
  end

  def d(keys), do: keys |> Stream.map(&Process.whereis/1) |> Stream.each(&send(&1, :go)) |> Stream.run()
                                                                        # ^^^^ error: one of many
  def e(keys), do: Enum.zip(keys, Enum.map(keys, &Process.whereis/1)) |> Enum.each(fn {_, pid} -> send(pid, :go) end)
                                                                                                # ^^^^ error: one of many
end
"#,
        );
    }

    #[test]
    fn accepts_a_closure_run_by_a_loop_that_catches() {
        check(
            &RULE,
            r#"
#- /lib/safe.ex
defmodule Safe do
  def each(list, fun) do
    Enum.each(list, fn element ->
      try do
        fun.(element)
      catch
        _, _ -> :ok
      end
    end)
  end
end
#- /lib/topics.ex
defmodule Topics do
  def publish(names), do: Safe.each(names, &send(Process.whereis(&1), :go))
end
"#,
        );
    }
}
