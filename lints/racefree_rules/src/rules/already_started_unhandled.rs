//! # Whoever starts second crashes
//!
//! ## What it reports
//!
//! A process is looked up by its name, is not there, and is started under that name; the answer of the start is taken apart by a match, or by a
//! `case`, that has no place for `{:error, {:already_started, pid}}`. When two processes do so at the same time, one of them crashes over a
//! process that is there, as it wanted.
//!
//! ```elixir
//! defmodule Room do
//!   use GenServer
//!   def start_link(id), do: GenServer.start_link(__MODULE__, id, name: {:global, {:room, id}})
//!   def init(id), do: {:ok, id}
//!
//!   def ensure(id) do
//!     case GenServer.whereis({:global, {:room, id}}) do
//!       nil ->
//!         {:ok, pid} = DynamicSupervisor.start_child(Rooms, {Room, id})
//!         pid
//!
//!       pid ->
//!         pid
//!     end
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! caller                        | another caller
//! ------------------------------|------------------------------
//! looks the room up: nobody     |
//!                               | looks it up: nobody
//!                               | starts it: {:ok, pid}
//! starts it: {:error, {:already_started, pid}}
//! the match fails: crashes      |
//! ```
//!
//! ## Instead
//!
//! Take the process that is there.
//!
//! ```elixir
//! defmodule Room do
//!   use GenServer
//!   def start_link(id), do: GenServer.start_link(__MODULE__, id, name: {:global, {:room, id}})
//!   def init(id), do: {:ok, id}
//!
//!   def ensure(id) do
//!     case DynamicSupervisor.start_child(Rooms, {Room, id}) do
//!       {:ok, pid} -> pid
//!       {:error, {:already_started, pid}} -> pid
//!     end
//!   end
//! end
//! ```
//!
//! `Racefree.Registry.ensure_started/3` looks up and starts as one step: of all who ask at once, one starts the process and all get its pid.
//!
//! ## Not reported
//!
//! - Answers with a clause for that error, or whose errors are handed on or dropped.
//! - Starts that no lookup of the same name decided, such as those of an application or a supervisor.
//! - Lookups and starts that one server's process alone makes, or that a lock surrounds.
//! - Processes that take no name.

use super::Rule;
use crate::finding::{Finding, Place, Severity, Tier};
use crate::named_start::tier;
use crate::rivals::may_run_twice;
use crate::story::{Story, effect_words, process_words};
use crate::winner::take_winner;
use racefree_analysis::Program;
use racefree_analysis::summary::{FunctionId, Item, ItemKind, Misfit, MisfitKind, ScopeKind};
use racefree_analysis::term::Term;
use racefree_analysis::value::{Alt, Deps, OriginKind, Shape, Value};
use racefree_analysis::walk::Event;
use racefree_models::EffectKind;
use racefree_syntax::symbol;
use std::collections::BTreeMap;

pub(super) static RULE: Rule = Rule {
    id: "already_started_unhandled",
    severity: Severity::Error,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/already_started_unhandled.md"),
    shared: "A name that one process at a time can have.",
    primitive: "`Racefree.Registry.ensure_started/3`: of all who ask at once, one starts the process, and all get its pid.",
    check,
};

const LOOKUP: u64 = 1 << EffectKind::Lookup as u64;
const START: u64 = 1 << EffectKind::Start as u64;

/// Who does the same.
const RIVAL: &str = "another process";

/// A match that fails for whoever starts second.
struct Loser<'p> {
    function: FunctionId,
    misfit: &'p Misfit,
    /// The start whose answer it takes.
    start: Place,
}

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    let losers = losers(program);
    if losers.is_empty() {
        return;
    }
    let mut found: BTreeMap<Place, (usize, Place, Finding)> = BTreeMap::new();
    for (id, _) in program.functions() {
        let reach = program.summary(id).reach;
        if reach & LOOKUP == 0 || reach & START == 0 || program.is_test(id) {
            continue;
        }
        let events = program.events(id, LOOKUP | START);
        for (index, start) in events.iter().enumerate() {
            let place = start.place(program);
            let here = |loser: &&Loser<'_>| loser.start == place && start.functions.contains(&loser.function);
            for loser in losers.iter().filter(here) {
                let before = events.get(..index).unwrap_or(&[]);
                let Some(lookup) = before.iter().rfind(|lookup| decided(program, lookup, start)) else { continue };
                let Some(tier) = tier(program, start) else { continue };
                let key = program.place(loser.function, loser.misfit.span);
                let rank = (start.path.len(), lookup.place(program));
                if found.get(&key).is_none_or(|(length, place, _)| rank < (*length, *place)) {
                    found.insert(key, (rank.0, rank.1, finding(program, tier, lookup, start, loser)));
                }
            }
        }
    }
    findings.extend(found.into_values().map(|(_, _, finding)| finding));
}

/// The matches of the program that raise for `{:error, {:already_started, _}}`, and have nothing around that takes it.
fn losers<'p>(program: &'p Program<'_>) -> Vec<Loser<'p>> {
    let mut losers = Vec::new();
    for (id, _) in program.functions() {
        let summary = program.summary(id);
        for misfit in &summary.misfits {
            let shielded =
                summary.in_scope(misfit.scope, |kind| matches!(kind, ScopeKind::Try(_) | ScopeKind::Shielded(_) | ScopeKind::Locked));
            if !shielded
                && !program.is_test(id)
                && may_run_twice(program, id)
                && let Some(start) = misfit.value.alts.iter().find_map(|alt| refused_start(program, alt))
            {
                losers.push(Loser { function: id, misfit, start });
            }
        }
    }
    losers
}

/// The start whose refusal the value is, when it says that the process is there already.
fn refused_start(program: &Program<'_>, alt: &Alt) -> Option<Place> {
    let root = alt.origin.as_ref()?.root();
    let is_start = matches!(root.kind, OriginKind::Observed { effect: EffectKind::Start, .. });
    let Shape::Tuple(parts) = &alt.shape else { return None };
    let reason = parts.get(1)?.alts.iter().find_map(|alt| match &alt.shape {
        Shape::Tuple(reason) => reason.first()?.atoms().next(),
        _ => None,
    });
    (is_start && reason == Some(symbol(&program.models().conventions.already_started))).then_some(root.place)
}

/// Whether the start was made because the lookup found nobody under the same name.
fn decided(program: &Program<'_>, lookup: &Event<'_>, start: &Event<'_>) -> bool {
    if lookup.effect.kind != EffectKind::Lookup || start.effect.kind != EffectKind::Start || !lookup.compatible(start, program) {
        return false;
    }
    let calm = |event: &Event<'_>| event.here(program) && !event.within(program, |kind| kind == ScopeKind::Locked);
    let Some((first, then)) = parting(program, lookup, start) else { return false };
    let observed = first.observation;
    observed != Deps::default()
        && then.control.has(observed)
        && calm(lookup)
        && calm(start)
        // A start with what was found is no start of what was not.
        && !arguments(then).iter().any(|arg| arg.all_deps().has(observed))
        && lookup.key().is_some_and(|key| is_about(start, key))
}

/// The two items at which the ways to the events part.
fn parting<'s>(program: &'s Program<'_>, a: &Event<'_>, b: &Event<'_>) -> Option<(&'s Item, &'s Item)> {
    let level = a.path.iter().zip(&b.path).position(|(a, b)| a != b)?;
    let items = &program.summary(*a.functions.get(level)?).items;
    Some((items.get(*a.path.get(level)? as usize)?, items.get(*b.path.get(level)? as usize)?))
}

fn arguments(item: &Item) -> &[Value] {
    match &item.kind {
        ItemKind::Effect(effect) => &effect.args,
        ItemKind::Call { args, .. } => args,
        ItemKind::Foreign { args, .. } => args,
    }
}

/// Whether what is started has to do with the key that was looked up: the key itself is among the arguments, or all that it was made from is.
fn is_about(start: &Event<'_>, key: &Value) -> bool {
    if !key.term.is_stable() {
        return false;
    }
    let mut params = Vec::new();
    key.gather_params(&mut params);
    if params.is_empty() {
        return start.args.iter().any(|arg| mentions(arg, &key.term));
    }
    let mut given = Vec::new();
    start.args.iter().for_each(|arg| arg.gather_params(&mut given));
    params.iter().all(|param| given.contains(param))
}

/// Whether the term is part of the value.
fn mentions(value: &Value, term: &Term) -> bool {
    value.term.mentions(term)
        || value.alts.iter().any(|alt| match &alt.shape {
            Shape::Tuple(parts) => parts.iter().any(|part| mentions(part, term)),
            Shape::List(element) => mentions(element, term),
            Shape::Map(map) => map.fields.iter().any(|(_, field)| mentions(field, term)),
            _ => false,
        })
}

fn finding(program: &Program<'_>, tier: Tier, lookup: &Event<'_>, start: &Event<'_>, loser: &Loser<'_>) -> Finding {
    let caller = process_words(program, loser.function);
    let reason = &program.models().conventions.already_started;
    let (looks, starts) = (effect_words(lookup.effect), effect_words(start.effect));
    let span = match loser.misfit.kind {
        MisfitKind::Match => loser.misfit.span,
        // A whole `case` is too much to point at.
        MisfitKind::NoClause | MisfitKind::Raised => loser.misfit.pattern,
    };
    let place = program.place(loser.function, span);
    let message =
        format!("who comes second gets `{{:error, {{:{reason}, pid}}}}` from {starts}, and crashes here over a process that is there");
    Story::new(program, &RULE, tier, loser.function, place, message)
        .way(&caller, lookup)
        .step(caller.clone(), lookup.place(program), format!("{looks} finds nobody"))
        .step(RIVAL, lookup.place(program), "finds nobody either")
        .step(RIVAL, start.place(program), format!("{starts} starts the process"))
        .way(&caller, start)
        .step(caller.clone(), start.place(program), format!("{starts} is refused: the process has been started"))
        .step(caller.clone(), place, "has no place for that answer: raises")
        .harm(format!("{caller} crashes although the process that it wanted is there."))
        .help(format!("Take the process that is there: a clause for `{{:error, {{:{reason}, pid}}}}`."))
        .sketches(take_winner(program, loser.function, loser.misfit, start))
        .done()
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::{check, fixes};

    #[test]
    fn reports_a_hard_match() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def ensure(name) do
    case Process.whereis(name) do
               # ^^^^^^^ step: finds nobody
      nil ->
        {:ok, pid} = GenServer.start(Jobs.Server, [], name: name)
      # ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error: who comes second gets `{:error, {:already_started, pid}}`
                             # ^^^^^ step: starts the process
        pid

      pid ->
        pid
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_clause_for_it() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def ensure(name) do
    case Process.whereis(name) do
      nil -> start(name)
      pid -> pid
    end
  end

  defp start(name) do
    case GenServer.start(Jobs.Server, [], name: name) do
      {:ok, pid} -> pid
      {:error, {:already_started, pid}} -> pid
    end
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_case_of_another_module() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def ensure(key) do
    case Registry.lookup(Jobs.Registry, key) do
                # ^^^^^^ step: finds nobody
      [{pid, _}] -> pid
      [] -> Jobs.Supervisor.start(key)
    end
  end
end
#- /lib/jobs/supervisor.ex
defmodule Jobs.Supervisor do
  def start(key) do
    case DynamicSupervisor.start_child(__MODULE__, {Jobs.Server, key}) do
      {:ok, pid} -> pid
      {:error, reason} -> raise "no job: #{inspect(reason)}"
    # ^^^^^^^^^^^^^^^^ error: who comes second gets
    end
  end
end
#- /lib/jobs/server.ex
defmodule Jobs.Server do
  def start_link(key), do: GenServer.start_link(__MODULE__, key, name: {:via, Registry, {Jobs.Registry, key}})
end
"#,
        );
    }

    #[test]
    fn accepts_an_error_that_is_handed_on() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def ensure(name) do
    with nil <- Process.whereis(name),
         {:ok, pid} <- GenServer.start(Jobs.Server, [], name: name) do
      pid
    end
  end

  def warm(name) do
    if Process.whereis(name) == nil, do: GenServer.start(Jobs.Server, [], name: name)
    :ok
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_start_that_no_lookup_decided() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def boot do
    {:ok, pid} = GenServer.start_link(Jobs.Server, [], name: Jobs.Server)
    pid
  end

  def child(name) do
    case Process.whereis(Jobs.Supervisor) do
      nil ->
        :not_running

      supervisor ->
        {:ok, pid} = DynamicSupervisor.start_child(supervisor, {Jobs.Server, name})
        pid
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_one_server_a_lock_and_no_name() {
        check(
            &RULE,
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  use GenServer
  def init(_), do: {:ok, nil}

  def handle_call({:ensure, name}, _from, state) do
    if Process.whereis(name) == nil do
      {:ok, _pid} = GenServer.start(Jobs.Server, [], name: name)
    end

    {:reply, :ok, state}
  end

  def locked(name) do
    :global.trans({name, self()}, fn ->
      if Process.whereis(name) == nil, do: {:ok, _} = GenServer.start(Jobs.Server, [], name: name)
    end)
  end

  def nameless(name) do
    if Process.whereis(name) == nil do
      {:ok, pid} = GenServer.start(Jobs.Server, name)
      Process.register(pid, name)
    end
  end
end
"#,
        );
    }

    #[test]
    fn fixes_a_case_by_a_clause() {
        let before = |clauses: &str| {
            format!(
                r#"
defmodule Jobs do
  def ensure(key) do
    case Registry.lookup(Jobs.Registry, key) do
      [{{pid, _}}] -> pid
      [] -> start(key)
    end
  end

  defp start(key) do
    case DynamicSupervisor.start_child(Jobs.Supervisor, {{Jobs.Server, key}}) do
{clauses}    end
  end
end

defmodule Jobs.Server do
  def start_link(key), do: GenServer.start_link(__MODULE__, key, name: {{:global, key}})
end
"#
            )
        };
        let (success, rest) = ("      {:ok, pid} -> pid # ours\n", "      # it has told why\n      {:error, reason} -> exit(reason)\n");
        let winner = "      {:error, {:already_started, pid}} -> pid\n";
        fixes(&RULE, &before(&[success, rest].concat()), &before(&[success, winner, rest].concat()));
    }

    #[test]
    fn fixes_a_match_by_a_case() {
        fixes(
            &RULE,
            r#"
defmodule Jobs do
  def ensure(name) do
    if Process.whereis(name) == nil do
      {:ok, pid} = GenServer.start(Jobs.Server, [], name: name)
      send(pid, :warm)
    end
  end
end
"#,
            r#"
defmodule Jobs do
  def ensure(name) do
    if Process.whereis(name) == nil do
      pid =
        case GenServer.start(Jobs.Server, [], name: name) do
          {:ok, pid} -> pid
          {:error, {:already_started, pid}} -> pid
        end
      send(pid, :warm)
    end
  end
end
"#,
        );
    }
}
