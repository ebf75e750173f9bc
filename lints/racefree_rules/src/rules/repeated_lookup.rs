//! # The same process looked up again and again
//!
//! ## What it reports
//!
//! Several steps of one function belong together and go to one process, but each looks it up by itself. The answers may differ: between
//! two steps the process can end and another can take its name. Reported are three steps or more, and two when one of them is a monitor
//! or link.
//!
//! ```elixir
//! defmodule Client do
//!   def transfer(account, amount) do
//!     GenServer.call(pid(account), {:reserve, amount})
//!     GenServer.call(pid(account), :audit)
//!     GenServer.call(pid(account), {:commit, amount})
//!   end
//!
//!   defp pid(account), do: GenServer.whereis(account)
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! caller                        | account
//! ------------------------------|------------------------------
//! looks it up, reserves         |
//!                               | crashes, the reservation with it
//!                               | is restarted, takes the name
//! looks it up, audits           |
//! looks it up, commits          | never heard of a reservation
//! ```
//!
//! ## Instead
//!
//! Look the process up once, monitor that pid, and use it for all steps: they then go to one process or fail together. Where the steps must
//! succeed or fail as one, make them one request.
//!
//! ```elixir
//! defmodule Client do
//!   def transfer(account, amount) do
//!     case GenServer.whereis(account) do
//!       nil -> {:error, :not_running}
//!       pid -> steps(pid, amount)
//!     end
//!   end
//!
//!   defp steps(pid, amount) do
//!     GenServer.call(pid, {:reserve, amount})
//!     GenServer.call(pid, :audit)
//!     GenServer.call(pid, {:commit, amount})
//!   catch
//!     :exit, _reason -> {:error, :not_running}
//!   end
//! end
//! ```
//!
//! `Racefree.Registry.call_monitored/4` looks up once, and its subscription says when the process of the later steps is gone:
//! `guides/migration.md` shows the rewrite.
//!
//! ## Not reported
//!
//! - Steps on one pid that was looked up once.
//! - Two independent calls: that is common and mostly harmless.
//! - Steps in different branches, and steps under different keys.
//! - Steps whose exit is caught: the code is ready for a process that went.
//! - Calls by a registered name (`GenServer.call(Jobs, …)`) without a lookup in the source.

use super::Rule;
use crate::finding::{Finding, Severity, Tier};
use crate::identity::{is_resolved_anew, looked_up_apart};
use crate::story::{Story, effect_words, first_point, process_words, signal};
use racefree_analysis::Program;
use racefree_analysis::summary::{ExitHandling, FunctionId};
use racefree_analysis::walk::Event;
use racefree_models::EffectKind;

pub static RULE: Rule = Rule {
    id: "repeated_lookup",
    severity: Severity::Warning,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/repeated_lookup.md"),
    shared: "A name: the process behind it may end, and another may take it, between any two uses.",
    primitive: "`Racefree.Registry.subscribe/3` and `call_monitored/4`: one lookup, and a reference that stands for the process found.",
    check,
};

const USES: u64 = 1 << EffectKind::Call as u64
    | 1 << EffectKind::Cast as u64
    | 1 << EffectKind::Send as u64
    | 1 << EffectKind::Monitor as u64
    | 1 << EffectKind::Link as u64
    | 1 << EffectKind::Stop as u64;

/// The process looked up.
const OTHER: &str = "other process";

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    for (id, _) in program.functions() {
        if program.has_pair(program.summary(id), USES, USES) {
            findings.extend(check_function(program, id));
        }
    }
}

/// The first two uses of one process, each with a lookup of its own, of which neither handles that the process went.
fn check_function(program: &Program<'_>, id: FunctionId) -> Option<Finding> {
    let events = program.events(id, USES);
    let uses: Vec<&Event<'_>> = events.iter().filter(|event| is_use(program, event)).collect();
    for (index, first) in uses.iter().enumerate() {
        let again: Vec<&&Event<'_>> = uses
            .get(index + 1..)?
            .iter()
            .filter(|later| later.first_item() != first.first_item() && is_again(program, first, later) && first.compatible(later, program))
            .collect();
        let Some(second) = again.first() else { continue };
        let binding = again.iter().copied().chain([first]).any(|event| is_binding(event));
        // A message to nobody is lost, and that is all: it takes two steps that need an answer.
        let waiting = again.iter().copied().chain([first]).filter(|event| !is_message(event)).count();
        if waiting > 1 && (binding && first.effect.kind == EffectKind::Call || again.len() > 1) {
            return Some(finding(program, id, first, second, again.len() + 1));
        }
    }
    None
}

fn is_use(program: &Program<'_>, event: &Event<'_>) -> bool {
    event.here(program) && event.target().is_some_and(|target| is_resolved_anew(target) && target.term.is_stable()) && {
        let exits = event.effect.model.exits && event.exit_handling(program).0 != ExitHandling::Uncaught;
        !exits
    }
}

fn is_again(program: &Program<'_>, first: &Event<'_>, later: &Event<'_>) -> bool {
    match (first.target(), later.target()) {
        (Some(a), Some(b)) => a.term == b.term && looked_up_apart(program, first, a, later, b),
        _ => false,
    }
}

fn is_message(event: &Event<'_>) -> bool {
    matches!(event.effect.kind, EffectKind::Cast | EffectKind::Send)
}

/// A use that ties the caller to the very process it found.
fn is_binding(event: &Event<'_>) -> bool {
    matches!(event.effect.kind, EffectKind::Monitor | EffectKind::Link)
}

fn finding(program: &Program<'_>, id: FunctionId, first: &Event<'_>, second: &Event<'_>, count: usize) -> Finding {
    let tier = if count > 2 { Tier::Certain } else { Tier::Likely };
    let caller = process_words(program, id);
    let message = format!("{count} steps look the same process up, each for itself: they may find different processes, or none");
    Story::new(program, &RULE, tier, id, first_point(program, second), message)
        .way(&caller, first)
        .step(caller.clone(), first.place(program), format!("{} goes to the process found first", effect_words(first.effect)))
        .sends(signal(first.effect), OTHER)
        .event(OTHER, "ends; another may take its name")
        .step(caller.clone(), first_point(program, second), "looks it up again")
        .way(&caller, second)
        .step(
            caller.clone(),
            second.place(program),
            format!("{} goes to nobody, or to a process that knows nothing of the first step", effect_words(second.effect)),
        )
        .harm(format!("{caller} fails half-way, or goes on with a process that has not seen the earlier steps."))
        .help("Look the process up once, monitor that pid, and use it for all steps.")
        .done()
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::check;

    #[test]
    fn reports_three_steps() {
        check(
            &RULE,
            r#"
#- /lib/client.ex
defmodule Client do
  def transfer(name, amount) do
    GenServer.call(Process.whereis(name), {:reserve, amount})
  # ^^^^^^^^^^^^^^ step: GenServer.call goes to the process found first
    GenServer.call(Process.whereis(name), :audit)
  # ^^^^^^^^^^^^^^ error: 3 steps look the same process up, each for itself
  # ^^^^^^^^^^^^^^ step: looks it up again
    GenServer.call(Process.whereis(name), {:commit, amount})
  end
end
"#,
        );
    }

    #[test]
    fn accepts_one_lookup_for_all_steps() {
        check(
            &RULE,
            r#"
#- /lib/client.ex
defmodule Client do
  def transfer(name, amount) do
    pid = Process.whereis(name)
    GenServer.call(pid, {:reserve, amount})
    GenServer.call(pid, :audit)
    GenServer.call(pid, {:commit, amount})
  end
end
"#,
        );
    }

    #[test]
    fn reports_steps_of_another_module() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  def await(key), do: GenServer.call(whereis(key), :await)
  def subscribe(key), do: GenServer.call(whereis(key), {:subscribe, self()})
  def monitor(key), do: Process.monitor(whereis(key))
  def whereis(key), do: :ets.lookup_element(:consumers, key, 2, nil)
end
#- /lib/view.ex
defmodule View do
  def start(key) do
    {:ok, offset} = Consumer.await(key)
    :ok = Consumer.subscribe(key)
                 # ^^^^^^^^^ error: 3 steps look the same process up
                 # ^^^^^^^^^ step: calls Consumer.subscribe/1
    Consumer.monitor(key)
    offset
  end
end
"#,
        );
    }

    #[test]
    fn reports_two_steps_when_one_is_a_monitor() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def start(name) do
    GenServer.call(GenServer.whereis(name), :prepare)
    Process.monitor(GenServer.whereis(name))
          # ^^^^^^^ warning: 2 steps look the same process up
  end
end
"#,
        );
    }

    #[test]
    fn reports_steps_of_a_pipe_and_closures() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def start(key) do
    key |> pid() |> GenServer.call(:prepare)
    Trace.run(fn -> key |> pid() |> GenServer.call(:load) end)
                                            # ^^^^ error: 3 steps look the same process up
    tap(pid(key), &GenServer.cast(&1, :go))
  end

  defp pid(key) do
    [{pid, _}] = Registry.lookup(Views, key)
    pid
  end
end
#- /lib/trace.ex
defmodule Trace do
  def run(fun), do: fun.()
end
"#,
        );
    }

    #[test]
    fn accepts_two_independent_calls() {
        check(
            &RULE,
            r#"
#- /lib/client.ex
defmodule Client do
  def info(name) do
    size = GenServer.call(Process.whereis(name), :size)
    {size, GenServer.call(Process.whereis(name), :age)}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_steps_under_different_keys() {
        check(
            &RULE,
            r#"
#- /lib/client.ex
defmodule Client do
  def info(a, b, c) do
    GenServer.call(Process.whereis(a), :size)
    GenServer.call(Process.whereis(b), :size)
    GenServer.call(Process.whereis(c), :size)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_steps_in_different_branches() {
        check(
            &RULE,
            r#"
#- /lib/client.ex
defmodule Client do
  def info(name, what) do
    case what do
      :size -> GenServer.call(Process.whereis(name), :size)
      :age -> GenServer.call(Process.whereis(name), :age)
      :watch -> Process.monitor(Process.whereis(name))
    end
  end

  def run(name, :a), do: GenServer.call(Process.whereis(name), :a)
  def run(name, :b), do: GenServer.call(Process.whereis(name), :b)
  def run(name, :c), do: GenServer.call(Process.whereis(name), :c)
end
"#,
        );
    }

    #[test]
    fn accepts_steps_that_take_the_exit() {
        check(
            &RULE,
            r#"
#- /lib/client.ex
defmodule Client do
  def info(name) do
    {ask(name, :size), ask(name, :age), ask(name, :rank)}
  end

  defp ask(name, what) do
    GenServer.call(Process.whereis(name), what)
  catch
    :exit, _ -> nil
  end
end
"#,
        );
    }

    #[test]
    fn accepts_calls_by_a_fixed_name() {
        check(
            &RULE,
            r#"
#- /lib/client.ex
defmodule Client do
  def info do
    GenServer.call(Jobs, :size)
    GenServer.call(Jobs, :age)
    GenServer.call(Jobs, :rank)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_steps_of_other_processes() {
        check(
            &RULE,
            r#"
#- /lib/client.ex
defmodule Client do
  def info(name) do
    a = Task.async(fn -> GenServer.call(Process.whereis(name), :a) end)
    b = Task.async(fn -> GenServer.call(Process.whereis(name), :b) end)
    {Task.await(a), Task.await(b), GenServer.call(Process.whereis(name), :c)}
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_wait_and_a_retry() {
        check(
            &RULE,
            r#"
#- /lib/client.ex
defmodule Client do
  def run(name) do
    GenServer.call(Process.whereis(name), :a)
    GenServer.call(Process.whereis(name), :b)
  # ^^^^^^^^^^^^^^ error: 3 steps look the same process up
    if GenServer.call(Process.whereis(name), :more?), do: run(name)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_pids_given_by_the_caller() {
        check(
            &RULE,
            r#"
#- /lib/client.ex
defmodule Client do
  def run(pid) do
    GenServer.call(pid, :a)
    GenServer.call(pid, :b)
    Process.monitor(pid)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_lookups_with_a_nil_branch_each() {
        check(
            &RULE,
            r#"
#- /lib/client.ex
defmodule Client do
  def a(name) do
    if pid = Process.whereis(name), do: GenServer.cast(pid, :a)
    if pid = Process.whereis(name), do: GenServer.cast(pid, :b)
    if pid = Process.whereis(name), do: GenServer.cast(pid, :c)
  end
end
"#,
        );
    }
}
