//! # A list of exit reasons that leaves some out
//!
//! ## What it reports
//!
//! A call of another process is wrapped in a `catch :exit` that lists reasons. The list shows that the code means to survive the end of the
//! process it calls. That end comes to the caller in five usual shapes, and the list leaves some out: `{:noproc, _}`, `{:normal, _}`,
//! `{:shutdown, _}`, `{{:shutdown, _}, _}` and `{:killed, _}`.
//!
//! ```elixir
//! defmodule Reader do
//!   def read(server, key) do
//!     GenServer.call(server, {:read, key})
//!   catch
//!     :exit, {:noproc, _} -> {:error, :gone}
//!     :exit, {:normal, _} -> {:error, :gone}
//!     :exit, {:shutdown, _} -> {:error, :gone}
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! caller                        | server
//! ------------------------------|------------------------------
//! calls and waits               |
//!                               | is asked to stop by its supervisor
//!                               | takes longer than its shutdown time
//!                               | is killed
//! exits with {:killed, _}: not in the list
//! ```
//!
//! The list works in every test that stops the server politely. In real projects such lists grow by one reason every few months.
//!
//! ## Instead
//!
//! Take every exit. The question is whether a reply came, and the reason does not change the answer.
//!
//! ```elixir
//! defmodule Reader do
//!   def read(server, key) do
//!     GenServer.call(server, {:read, key})
//!   catch
//!     :exit, _reason -> {:error, :gone}
//!   end
//! end
//! ```
//!
//! Where a timeout must stay a crash, list what is *not* taken: `:exit, {:timeout, _} = reason -> exit(reason)` first, `:exit, _` after it.
//!
//! ## Not reported
//!
//! - `:exit, _`, `kind, reason`, and a list that ends with one of them.
//! - A `catch` that takes none of the five, such as `:exit, {:timeout, _}` alone, or one that says little of a missing process, such as
//!   `{:shutdown, _}` alone: it is about something else.
//! - Clauses that exit, raise or throw again.
//! - A list inside another `try` that takes every exit.
//! - Bodies in which no other process is asked, or is only asked to stop: a stop exits with reasons of another shape.

use super::Rule;
use crate::finding::{Finding, Place, Safety, Severity, SignalKind, Tier};
use crate::fixes::fix;
use crate::handlers::{body, exits_taken, may_exit, takes_exit};
use crate::story::{Story, process_words};
use racefree_analysis::Program;
use racefree_analysis::summary::{CatchKind, CatchPattern, ExitHandling, FunctionId, Summary, Try};
use racefree_models::{EffectKind, ExitReason};
use racefree_syntax::Span;
use racefree_syntax::core::{Pattern, PatternKind, VarId};

pub static RULE: Rule = Rule {
    id: "incomplete_exit_catch",
    severity: Severity::Warning,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/incomplete_exit_catch.md"),
    shared: "The life of the process that is called: it may end while its caller waits, for reasons its callers do not choose.",
    primitive: "`Racefree.Registry.call/4`: the end of the other process comes back as `{:error, {:down, reason}}`, whatever the reason.",
    check,
};

/// The process at the other end of the call.
const CALLED: &str = "called process";

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    for (id, _) in program.functions() {
        let summary = program.summary(id);
        for (index, tried) in summary.tries.iter().enumerate() {
            findings.extend(finding(program, id, summary, index, tried));
        }
    }
}

fn finding(program: &Program<'_>, id: FunctionId, summary: &Summary, index: usize, tried: &Try) -> Option<Finding> {
    let exits = || tried.catches.iter().filter(|catch| catch.kind == CatchKind::Exit);
    let (taken, missing) = exits_taken(program, tried);
    let first = exits().find(|catch| !catch.diverges && taken.iter().any(|reason| takes_exit(catch, reason)))?;
    let request =
        body(summary, index, tried).find(|item| may_exit(program, item) && program.item_reach(item) & EffectKind::Call.bit() != 0)?;
    // A list that takes a process plainly gone means to live without it; one that takes a single other reason speaks of that alone.
    let means_gone = taken.len() > 1 || taken.iter().any(|reason| reason.plain);
    let outer = summary.exit_handling(tried.scope) == ExitHandling::Caught;
    if !means_gone || missing.is_empty() || outer {
        return None;
    }
    let tier = if taken.len() > 1 { Tier::Certain } else { Tier::Likely };
    let (listed, left_out) = (patterns(&taken), patterns(&missing));
    let message = format!("the process called may be gone in ways that this list of reasons leaves out: {left_out}");
    let place = Place { file: program.file_of(id), span: first.span };
    let caller = process_words(program, id);
    let mut story = Story::new(program, &RULE, tier, id, place, message)
        .step(caller.clone(), program.place(id, request.name_span), "calls the other process and waits for its reply")
        .sends(SignalKind::Call, CALLED);
    let example = missing.iter().find(|reason| reason.pattern.contains("killed")).or(missing.first())?;
    story =
        story.event(CALLED, format!("{}: the call exits with {}", example.when, example.pattern)).sends(SignalKind::Exit, caller.clone());
    story = story.step(caller.clone(), place, format!("takes only {listed}; the exit goes on and ends the caller"));
    Some(
        story
            .harm(format!("{caller} crashes with the process it called, in a case that the code means to survive."))
            .help("Take every exit with `:exit, _` and decide by whether a reply came; the reasons differ with how the other process ends.")
            .fixes(last_reason(program, id, tried).map(|reason| {
                let title = "Let the last clause take every exit";
                fix(title, Safety::Unsafe, program.place(id, reason), "_")
            }))
            .done(),
    )
}

/// The reason in the last clause that takes exits, if its body makes no use of it and no later clause would be cut off.
fn last_reason(program: &Program<'_>, id: FunctionId, tried: &Try) -> Option<Span> {
    let last = tried.catches.last().filter(|catch| catch.kind == CatchKind::Exit)?;
    let CatchPattern::Some { pattern, guard_atoms: None } = &last.pattern else { return None };
    let names =
        program.function(id).function.clauses.iter().find(|clause| clause.span.contains(pattern.span)).map(|clause| &clause.names)?;
    let unused = |variable: &VarId| names.get(variable.0 as usize).is_some_and(|name| name.as_str().starts_with('_'));
    variables(pattern)?.iter().all(unused).then_some(pattern.span)
}

/// The variables that a pattern of atoms, tuples and variables binds; `None` for other patterns.
fn variables(pattern: &Pattern) -> Option<Vec<VarId>> {
    match &pattern.kind {
        PatternKind::Wild | PatternKind::Atom(_) => Some(Vec::new()),
        PatternKind::Bind(variable) => Some(vec![*variable]),
        PatternKind::Tuple(parts) => parts.iter().map(variables).collect::<Option<Vec<_>>>().map(|parts| parts.concat()),
        _ => None,
    }
}

fn patterns(reasons: &[&ExitReason]) -> String {
    reasons.iter().map(|reason| format!("`{}`", reason.pattern)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::{check, fixes};

    #[test]
    fn the_last_clause_takes_the_rest() {
        let with = |last: &str| {
            format!(
                "defmodule A do\n  def ask(pid) do\n    GenServer.call(pid, :x)\n  catch\n    :exit, {{:noproc, _}} -> :down\n    :exit, {last} -> :down\n  end\nend\n"
            )
        };
        fixes(&RULE, &with("{:normal, _call}"), &with("_"));
    }

    #[test]
    fn a_reason_that_is_used_stays() {
        let code = "defmodule A do\n  def ask(pid) do\n    GenServer.call(pid, :x)\n  catch\n    :exit, {:noproc, _} -> :down\n    :exit, {:normal, call} -> {:down, call}\n  end\nend\n";
        fixes(&RULE, code, code);
    }

    #[test]
    fn reports_a_list_of_reasons() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def read(server, key) do
    GenServer.call(server, {:read, key})
  # ^^^^^^^^^^^^^^ step: calls the other process and waits for its reply
  catch
    :exit, {:noproc, _} -> :gone
  # ^^^^^ error: leaves out: `{{:shutdown, _}, _}`, `{:killed, _}`
  # ^^^^^ step: takes only `{:noproc, _}`, `{:normal, _}`, `{:shutdown, _}`; the exit goes on
    :exit, {:normal, _} -> :gone
    :exit, {:shutdown, _} -> :gone
  end
end
"#,
        );
    }

    #[test]
    fn accepts_every_reason() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def read(server, key) do
    GenServer.call(server, {:read, key})
  catch
    :exit, _reason -> :gone
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_list_around_a_call_in_another_module() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  def changes(pid) do
    Materializer.get(pid)
               # ^^^ step: calls the other process and waits
  catch
    :exit, {reason, _} when reason in [:noproc, :normal] -> []
  # ^^^^^ error: leaves out: `{:shutdown, _}`, `{{:shutdown, _}, _}`, `{:killed, _}`
  end
end
#- /lib/materializer.ex
defmodule Materializer do
  def get(pid), do: GenServer.call(pid, :get)
end
"#,
        );
    }

    #[test]
    fn reports_one_reason_alone() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def read(server) do
    try do
      GenServer.call(server, :read)
    catch
      :exit, {:noproc, _} -> :gone
    # ^^^^^ warning: leaves out: `{:normal, _}`, `{:shutdown, _}`, `{{:shutdown, _}, _}`, `{:killed, _}`
    end
  end
end
"#,
        );
    }

    #[test]
    fn reports_reasons_joined_by_or() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def read(server) do
    GenServer.call(server, :read)
  catch
    :exit, {reason, _} when reason == :noproc or reason == :normal -> :gone
  # ^^^^^ error: leaves out: `{:shutdown, _}`, `{{:shutdown, _}, _}`, `{:killed, _}`
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_list_beside_a_timeout() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def read(server) do
    GenServer.call(server, :read)
  catch
    :exit, {:timeout, _} -> :slow
    :exit, {:noproc, _} -> :gone
  # ^^^^^ error: leaves out: `{:normal, _}`, `{:killed, _}`
    :exit, {:shutdown, _} -> :gone
    :exit, {{:shutdown, _}, _} -> :gone
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_list_around_a_stop() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def close(server) do
    GenServer.stop(server)
  catch
    :exit, {:noproc, _} -> :ok
  # ^^^^^ missed: a stop exits with reasons of another shape, which no model lists yet
    :exit, {:normal, _} -> :ok
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_list_that_ends_with_all() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def a(server) do
    GenServer.call(server, :read)
  catch
    :exit, {:noproc, _} -> :gone
    :exit, {:timeout, _} -> :slow
    :exit, _ -> :failed
  end

  def b(server) do
    GenServer.call(server, :read)
  catch
    :exit, {:noproc, _} -> :gone
    kind, reason -> {kind, reason}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_all_reasons_listed() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def read(server) do
    GenServer.call(server, :read)
  catch
    :exit, {{:shutdown, _}, _} -> :gone
    :exit, {reason, _} when reason in [:noproc, :normal, :shutdown, :killed] -> :gone
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_pair_of_any_reason() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def a(server) do
    GenServer.call(server, :read)
  catch
    :exit, {_reason, {GenServer, :call, _}} -> :gone
  end

  def b(server) do
    GenServer.call(server, :read)
  catch
    :exit, {reason, _} -> {:error, reason}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_timeout_alone() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def read(server) do
    GenServer.call(server, :read, 1_000)
  catch
    :exit, {:timeout, _} -> :slow
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_list_that_exits_again() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def read(server) do
    GenServer.call(server, :read)
  catch
    :exit, {:noproc, _} -> exit(:no_reader)
    :exit, {:normal, _} -> raise "stopped"
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_list_inside_a_catch_of_all() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def read(server) do
    try do
      try do
        GenServer.call(server, :read)
      catch
        :exit, {:noproc, _} -> :gone
        :exit, {:normal, _} -> :gone
      end
    catch
      :exit, _ -> :failed
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_list_without_a_call() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def run(fun) do
    fun.()
  catch
    :exit, {:noproc, _} -> :gone
    :exit, {:normal, _} -> :gone
  end
end
"#,
        );
    }

    /// `{:shutdown, :left} in [:shutdown]` is false.
    #[test]
    fn reports_a_guard_that_names_the_inner_atom_alone() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def read(server) do
    GenServer.call(server, :read)
  catch
    :exit, {reason, _} when reason in [:noproc, :normal, :shutdown, :killed] -> :gone
  # ^^^^^ error: leaves out: `{{:shutdown, _}, _}`
  end
end
"#,
        );
    }

    #[test]
    fn accepts_reasons_told_apart_in_the_handler() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def a(server) do
    GenServer.call(server, :read)
  catch
    :exit, reason ->
      case reason do
        {:noproc, _} -> :gone
        other -> exit(other)
      end
  end

  def b(server) do
    GenServer.call(server, :read)
  catch
    :exit, {:noproc, _} -> :gone
    :exit, {:normal, _} -> :gone
    _, _ -> :failed
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_timeout_that_stays_a_crash() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def read(server) do
    GenServer.call(server, :read)
  catch
    :exit, {:timeout, _} = reason -> exit(reason)
    :exit, _ -> :gone
  end
end
"#,
        );
    }

    #[test]
    fn accepts_one_reason_that_does_not_mean_gone() {
        check(
            &RULE,
            r#"
#- /lib/reader.ex
defmodule Reader do
  def read(server) do
    GenServer.call(server, :read)
  catch
    :exit, {:shutdown, _} -> :stopping
  end
end
"#,
        );
    }
}
