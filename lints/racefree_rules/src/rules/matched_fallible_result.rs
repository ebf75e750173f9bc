//! # A hard match on an answer that may be an error
//!
//! ## What it reports
//!
//! A server's process asks another one, which is one of many that come and go, and matches the answer hard: `{:ok, x} = …` or `:ok =
//! …`. The other process answers with an error when it fails or is being removed. The match then crashes the server over another's
//! ordinary failure.
//!
//! ```elixir
//! defmodule View do
//!   use GenServer
//!   def init(key), do: {:ok, key, {:continue, :start}}
//!
//!   def handle_continue(:start, key) do
//!     {:ok, offset} = Source.await_snapshot(key)
//!     {:noreply, {key, offset}}
//!   end
//! end
//!
//! defmodule Source do
//!   use GenServer
//!   def await_snapshot(key), do: GenServer.call({:via, Registry, {Sources, key}}, :await_snapshot)
//!   def init(state), do: {:ok, state}
//!   def handle_call(:await_snapshot, _from, %{failed: reason} = state), do: {:reply, {:error, reason}, state}
//!   def handle_call(:await_snapshot, _from, state), do: {:reply, {:ok, state.offset}, state}
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! view                          | source
//! ------------------------------|------------------------------
//! asks for the snapshot         |
//!                               | its snapshot fails
//!                               | replies {:error, reason}
//! {:ok, _} does not match: view crashes
//! what depends on the view sees a crash
//! ```
//!
//! ## Instead
//!
//! Match the answer with `case`, and stop or retry in an orderly way.
//!
//! ```elixir
//! defmodule View do
//!   use GenServer
//!   def init(key), do: {:ok, key, {:continue, :start}}
//!
//!   def handle_continue(:start, key) do
//!     case Source.await_snapshot(key) do
//!       {:ok, offset} -> {:noreply, {key, offset}}
//!       {:error, _reason} -> {:stop, {:shutdown, :source_gone}, key}
//!     end
//!   end
//! end
//!
//! defmodule Source do
//!   use GenServer
//!   def init(state), do: {:ok, state}
//!   def handle_call(:await_snapshot, _from, %{failed: reason} = state), do: {:reply, {:error, reason}, state}
//!   def handle_call(:await_snapshot, _from, state), do: {:reply, {:ok, state.offset}, state}
//!
//!   def await_snapshot(key) do
//!     GenServer.call({:via, Registry, {Sources, key}}, :await_snapshot)
//!   catch
//!     :exit, _reason -> {:error, :gone}
//!   end
//! end
//! ```
//!
//! ## Not reported
//!
//! - Answers that are matched by `case`, `with` or function clauses.
//! - Code that no server's process runs: there a crash is a plain error, told to whoever asked.
//! - Servers of fixed name that live as long as the system.
//! - Matches around which `MatchError` is rescued.

use super::Rule;
use crate::finding::{Finding, Severity, Tier};
use crate::story::{Story, process_words};
use racefree_analysis::summary::{FunctionId, ItemKind, Misfit, MisfitKind, ScopeKind};
use racefree_analysis::value::{Origin, OriginKind, Shape, Value};
use racefree_analysis::walk::Event;
use racefree_analysis::{Process, Program};
use racefree_models::EffectKind;

pub static RULE: Rule = Rule {
    id: "matched_fallible_result",
    severity: Severity::Warning,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/matched_fallible_result.md"),
    shared: "The state of another process: it may have failed, or be about to be removed, when the request reaches it.",
    primitive: "`Racefree.Registry.call_monitored/4`: every end of the request is a value, and the end of the process a single `:DOWN`.",
    check,
};

/// The first atoms by which an answer says that it could not be.
const REFUSALS: [&str; 2] = ["error", "nil"];

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    for (id, _) in program.functions() {
        // Where a crash takes a server's state with it, or what depends on the server.
        if !program.processes(id).iter().any(|process| matches!(process, Process::Server(_))) {
            continue;
        }
        let summary = program.summary(id);
        for misfit in summary.misfits.iter().filter(|misfit| misfit.kind == MisfitKind::Match) {
            let elsewhere = summary.in_scope(misfit.scope, |kind| matches!(kind, ScopeKind::Elsewhere | ScopeKind::AtTarget));
            if !elsewhere && !summary.rescues(misfit.scope, &program.models().conventions.match_error) {
                findings.extend(finding(program, id, misfit));
            }
        }
    }
}

fn finding(program: &Program<'_>, id: FunctionId, misfit: &Misfit) -> Option<Finding> {
    let (refusal, origin) = refusal(&misfit.value)?;
    if !asks_for_one_of_many(program, id, misfit) {
        return None;
    }
    let replied = origin.steps().iter().any(|step| matches!(step.kind, OriginKind::Replied { .. }));
    let tier = if replied { Tier::Certain } else { Tier::Likely };
    let place = program.place(id, misfit.span);
    let caller = process_words(program, id);
    let message =
        format!("this match takes no `{refusal}`, which is what the other process answers when it has failed or is being removed");
    Some(
        Story::new(program, &RULE, tier, id, place, message)
            .event("other process", "fails, or is removed, while the request is under way")
            .origin(&caller, origin)
            .step(caller.clone(), place, format!("`{refusal}` does not match: the process crashes"))
            .harm(format!("{caller} crashes over another process's ordinary failure, and all that it serves goes with it."))
            .help("Match the answer with `case`, and stop or retry cleanly on the error.")
            .done(),
    )
}

/// An alternative that says no, in words, and where it came from.
fn refusal(value: &Value) -> Option<(String, &Origin)> {
    value.alts.iter().find_map(|alt| {
        let origin = alt.origin.as_deref()?;
        if !matches!(origin.root().kind, OriginKind::Observed { effect: EffectKind::Call, .. }) {
            return None;
        }
        let is_refusal = |name: &str| REFUSALS.contains(&name);
        match &alt.shape {
            Shape::Atom(atom) if is_refusal(atom.as_str()) => Some((format!(":{atom}").replace(":nil", "nil"), origin)),
            Shape::Tuple(parts) => {
                let tag = parts.first()?.atoms().next()?;
                is_refusal(tag.as_str()).then(|| (format!("{{:{tag}, _}}"), origin))
            }
            _ => None,
        }
    })
}

/// The process asked is one of many that come and go: it was looked up by key. One that lives as long as the system answers for itself.
fn asks_for_one_of_many(program: &Program<'_>, id: FunctionId, misfit: &Misfit) -> bool {
    let Some(index) = misfit.item else { return false };
    let events = program.events(id, EffectKind::Call.bit());
    events.iter().any(|event: &Event<'_>| {
        event.path.first() == Some(&index)
            && event.target().is_some_and(|target| crate::identity::is_resolved_anew(target) || is_keyed(target))
    }) && program.summary(id).items.get(index as usize).is_some_and(|item| !matches!(item.kind, ItemKind::Foreign { .. }))
}

/// A name made with a key: `{:via, registry, {…, key}}`.
fn is_keyed(target: &Value) -> bool {
    use racefree_analysis::term::TermKind;
    matches!(target.term.kind(), TermKind::Tuple(parts) if parts.len() > 2 && parts.iter().any(racefree_analysis::term::Term::is_open))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::check;

    #[test]
    fn reports_a_hard_match_on_an_answer() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  use GenServer
  def init(key), do: {:ok, key, {:continue, :start}}

  def handle_continue(:start, key) do
    {:ok, offset} = Source.await(key)
  # ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: this match takes no `{:error, _}`
                         # ^^^^^ step: Source.await returns it
    {:noreply, {key, offset}}
  end
end
#- /lib/source.ex
defmodule Source do
  use GenServer
  def await(key), do: GenServer.call({:via, Registry, {Sources, key}}, :await)
  def init(state), do: {:ok, state}
  def handle_call(:await, _from, %{failed: reason} = state), do: {:reply, {:error, reason}, state}
  def handle_call(:await, _from, state), do: {:reply, {:ok, state.offset}, state}
end
"#,
        );
    }

    #[test]
    fn accepts_a_case_on_the_answer() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  use GenServer
  def init(key), do: {:ok, key, {:continue, :start}}

  def handle_continue(:start, key) do
    case Source.await(key) do
      {:ok, offset} -> {:noreply, {key, offset}}
      {:error, _} -> {:stop, :normal, key}
    end
  end
end
#- /lib/source.ex
defmodule Source do
  use GenServer
  def await(key), do: GenServer.call({:via, Registry, {Sources, key}}, :await)
  def init(state), do: {:ok, state}
  def handle_call(:await, _from, %{failed: reason} = state), do: {:reply, {:error, reason}, state}
  def handle_call(:await, _from, state), do: {:reply, {:ok, state.offset}, state}
end
"#,
        );
    }

    #[test]
    fn reports_an_answer_by_pid() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  use GenServer
  def init(name), do: {:ok, name}

  def handle_info(:poll, name) do
    :ok = name |> Process.whereis() |> Source.subscribe()
  # ^^^ warning: this match takes no `:error`
    {:noreply, name}
  end
end
#- /lib/source.ex
defmodule Source do
  use GenServer
  def subscribe(pid), do: GenServer.call(pid, {:subscribe_to_changes, self()})
  def init(state), do: {:ok, state}
  def handle_call({:subscribe_to_changes, _pid}, _from, %{closing: true} = state), do: {:reply, :error, state}
  def handle_call({:subscribe_to_changes, pid}, _from, state), do: {:reply, :ok, Map.put(state, pid, pid)}
end
"#,
        );
    }

    #[test]
    fn reports_an_answer_of_a_caught_call() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  use GenServer
  def init(key), do: {:ok, key}

  def handle_info(:poll, key) do
    {:ok, rows} = Source.rows(key)
  # ^^^^^^^^^^^^^ warning: this match takes no `{:error, _}`
    {:noreply, {key, rows}}
  end
end
#- /lib/source.ex
defmodule Source do
  use GenServer
  def init(state), do: {:ok, state}
  def handle_call(:rows, _from, state), do: {:reply, {:ok, state}, state}

  def rows(key) do
    GenServer.call({:via, Registry, {Sources, key}}, :rows)
  catch
    :exit, _ -> {:error, :gone}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_with_on_the_answer() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  use GenServer
  def init(key), do: {:ok, key}

  def handle_info(:poll, key) do
    with {:ok, rows} <- Source.rows(key) do
      {:noreply, {key, rows}}
    else
      {:error, _} -> {:stop, :normal, key}
    end
  end
end
#- /lib/source.ex
defmodule Source do
  use GenServer
  def rows(key), do: GenServer.call({:via, Registry, {Sources, key}}, :rows)
  def init(state), do: {:ok, state}
  def handle_call(:rows, _from, []), do: {:reply, {:error, :empty}, []}
  def handle_call(:rows, _from, state), do: {:reply, {:ok, state}, state}
end
"#,
        );
    }

    #[test]
    fn accepts_a_match_outside_servers() {
        check(
            &RULE,
            r#"
#- /lib/client.ex
defmodule Client do
  def rows(key) do
    {:ok, rows} = GenServer.call({:via, Registry, {Sources, key}}, :rows)
    rows
  end
end
#- /lib/source.ex
defmodule Source do
  use GenServer
  def init(state), do: {:ok, state}
  def handle_call(:rows, _from, []), do: {:reply, {:error, :empty}, []}
  def handle_call(:rows, _from, state), do: {:reply, {:ok, state}, state}
end
"#,
        );
    }

    #[test]
    fn accepts_an_answer_that_fits_always() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  use GenServer
  def init(key), do: {:ok, key}

  def handle_info(:poll, key) do
    {:ok, rows} = GenServer.call({:via, Registry, {Sources, key}}, :rows)
    {:noreply, {key, rows}}
  end
end
#- /lib/source.ex
defmodule Source do
  use GenServer
  def init(state), do: {:ok, state}
  def handle_call(:rows, _from, state), do: {:reply, {:ok, state}, state}
end
"#,
        );
    }

    #[test]
    fn accepts_a_server_of_fixed_name() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  use GenServer
  def init(key), do: {:ok, key}

  def handle_info(:poll, key) do
    {:ok, rows} = GenServer.call(Source, :rows)
    {:noreply, {key, rows}}
  end
end
#- /lib/source.ex
defmodule Source do
  use GenServer
  def init(state), do: {:ok, state}
  def handle_call(:rows, _from, []), do: {:reply, {:error, :empty}, []}
  def handle_call(:rows, _from, state), do: {:reply, {:ok, state}, state}
end
"#,
        );
    }

    #[test]
    fn accepts_a_match_under_a_rescue() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  use GenServer
  def init(key), do: {:ok, key}

  def handle_info(:poll, key) do
    {:ok, rows} = GenServer.call({:via, Registry, {Sources, key}}, :rows)
    {:noreply, {key, rows}}
  rescue
    MatchError -> {:stop, :normal, key}
  end
end
#- /lib/source.ex
defmodule Source do
  use GenServer
  def init(state), do: {:ok, state}
  def handle_call(:rows, _from, []), do: {:reply, {:error, :empty}, []}
  def handle_call(:rows, _from, state), do: {:reply, {:ok, state}, state}
end
"#,
        );
    }

    #[test]
    fn reports_a_match_on_terminate_child() {
        check(
            &RULE,
            r#"
#- /lib/owner.ex
defmodule Owner do
  use GenServer
  def init(pid), do: {:ok, pid}

  def handle_cast(:close, pid) do
    :ok = DynamicSupervisor.terminate_child(Workers, pid)
  # ^^^ missed: only answers of calls count, not those of a stop
    {:noreply, nil}
  end
end
"#,
        );
    }

    #[test]
    fn reports_an_answer_of_a_server_that_is_named() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  use GenServer
  def init(key), do: {:ok, key}

  def handle_info(:poll, key) do
    {:ok, rows} = GenServer.call({:via, Registry, {Names, {Source, key}}}, :rows)
  # ^^^^^^^^^^^^^ warning: this match takes no `{:error, _}`
    {:noreply, {key, rows}}
  end
end
#- /lib/source.ex
defmodule Source do
  use GenServer
  def init(state), do: {:ok, state}
  def handle_call(:rows, _from, []), do: {:reply, {:error, :empty}, []}
  def handle_call(:rows, _from, state), do: {:reply, {:ok, state}, state}
end
"#,
        );
    }

    #[test]
    fn reports_a_match_one_line_later() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  use GenServer
  def init(key), do: {:ok, key}

  def handle_info(:poll, key) do
    answer = Source.rows(key)
    {:ok, rows} = answer
  # ^^^^^^^^^^^^^ missed: only the match on the call itself tells which process was asked
    {:noreply, {key, rows}}
  end
end
#- /lib/source.ex
defmodule Source do
  use GenServer
  def rows(key), do: GenServer.call({:via, Registry, {Names, {__MODULE__, key}}}, :rows)
  def init(state), do: {:ok, state}
  def handle_call(:rows, _from, []), do: {:reply, {:error, :empty}, []}
  def handle_call(:rows, _from, state), do: {:reply, {:ok, state}, state}
end
"#,
        );
    }

    #[test]
    fn accepts_answers_taken_by_clauses() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  use GenServer
  def init(key), do: {:ok, key}
  def handle_info(:poll, key), do: {:noreply, {key, key |> Source.rows() |> or_none()}}
  def handle_info(:task, key), do: {:noreply, {key, Task.start(fn -> {:ok, _} = Source.rows(key) end)}}
  defp or_none({:ok, rows}), do: rows
  defp or_none({:error, _}), do: []
end
#- /lib/source.ex
defmodule Source do
  use GenServer
  def rows(key), do: GenServer.call({:via, Registry, {Names, {__MODULE__, key}}}, :rows)
  def init(state), do: {:ok, state}
  def handle_call(:rows, _from, []), do: {:reply, {:error, :empty}, []}
  def handle_call(:rows, _from, state), do: {:reply, {:ok, state}, state}
end
"#,
        );
    }
}
