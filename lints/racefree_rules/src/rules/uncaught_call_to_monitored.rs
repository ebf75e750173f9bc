//! # A call of a process whose end is handled elsewhere
//!
//! ## What it reports
//!
//! A server monitors another process and has a clause that handles its `:DOWN` in an orderly way. It also calls that process and catches
//! nothing. When the process ends during the call, the call exits and takes the server with it: the orderly clause never runs.
//!
//! ```elixir
//! defmodule Consumer do
//!   use GenServer
//!
//!   def init(_), do: {:ok, %{ref: Process.monitor(View)}}
//!
//!   def handle_cast({:changes, changes}, state) do
//!     {:noreply, Map.put(state, :keys, GenServer.call(View, {:apply, changes}))}
//!   end
//!
//!   def handle_info({:DOWN, ref, :process, _pid, _reason}, %{ref: ref} = state), do: {:stop, {:shutdown, :view_gone}, state}
//! end
//!
//! defmodule View do
//!   use GenServer
//!   def init(keys), do: {:ok, keys}
//!   def handle_call({:apply, changes}, _from, keys), do: {:reply, keys, keys ++ changes}
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! consumer                      | view
//! ------------------------------|------------------------------
//! monitors the view             |
//! calls it and waits            |
//!                               | ends before it replies
//! the call exits: consumer down |
//! :DOWN is never handled        |
//! ```
//!
//! What the consumer's end sets off, such as a clean-up for a crash, follows a crash instead of a clean stop.
//!
//! ## Instead
//!
//! Catch the exit around the call, and let the `:DOWN` decide what happens.
//!
//! ```elixir
//! defmodule Consumer do
//!   use GenServer
//!
//!   def init(_), do: {:ok, %{ref: Process.monitor(View)}}
//!
//!   def handle_cast({:changes, changes}, state) do
//!     {:noreply, Map.put(state, :keys, apply_changes(changes))}
//!   end
//!
//!   def handle_info({:DOWN, ref, :process, _pid, _reason}, %{ref: ref} = state), do: {:stop, {:shutdown, :view_gone}, state}
//!
//!   defp apply_changes(changes) do
//!     GenServer.call(View, {:apply, changes})
//!   catch
//!     :exit, _reason -> []
//!   end
//! end
//!
//! defmodule View do
//!   use GenServer
//!   def init(keys), do: {:ok, keys}
//!   def handle_call({:apply, changes}, _from, keys), do: {:reply, keys, keys ++ changes}
//! end
//! ```
//!
//! `Racefree.Registry.call/4` gives `{:error, {:down, reason}}` where `GenServer.call/3` exits: `guides/migration.md` shows the rewrite.
//!
//! ## Not reported
//!
//! - Calls whose exit is caught, wholly or by a list of reasons. A list that is not complete is `incomplete_exit_catch`.
//! - Calls in `init` and `terminate`: the server does not run yet, or ends anyway.
//! - A monitor without a clause for its message, and a clause without a monitor.
//! - Servers that the analysis cannot tell: the target names no module of the program and no request tells which server takes it.

use super::Rule;
use crate::finding::{Finding, Place, Severity, SignalKind, Tier};
use crate::story::{Story, effect_words, server_words};
use racefree_analysis::Program;
use racefree_analysis::summary::{ExitHandling, FunctionId, ModuleId, ScopeKind};
use racefree_analysis::term::Term;
use racefree_analysis::value::{Alt, Shape, Value};
use racefree_analysis::walk::Event;
use racefree_models::{EffectKind, Role};
use racefree_syntax::{Symbol, symbol};
use rustc_hash::FxHashMap;

pub static RULE: Rule = Rule {
    id: "uncaught_call_to_monitored",
    severity: Severity::Error,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/uncaught_call_to_monitored.md"),
    shared: "The life of the process that is called: its end comes twice, as the exit of the call and as a message.",
    primitive: "`Racefree.Registry.call_monitored/4`: one reference for request and monitor; the end of the other process is a value.",
    check,
};

const REQUESTS: u64 = 1 << EffectKind::Call as u64 | 1 << EffectKind::Cast as u64;
/// The callbacks of a server's ordinary work. What ends the server anyway may end with an exit.
const WORK: [Role; 4] = [Role::Call, Role::Cast, Role::Info, Role::Continue];

/// Which process kind a part of a request is, by server, callback and the part's term.
type Known = FxHashMap<(FunctionId, Term), ModuleId>;

/// A monitor that a server sets, and whom it watches.
struct Watch {
    watched: ModuleId,
    /// The callback's clause that sets it. A call in the same run belongs to the set-up: a process that cannot be set up may fail.
    set_in: (FunctionId, u16),
    /// One of many of that kind, watched in a loop.
    many: bool,
    place: Place,
    /// The tag of the message that tells of the end.
    tag: Symbol,
}

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    let known = parts_of_requests(program);
    for (server, _) in program.modules() {
        if program.is_server(server) {
            check_server(program, server, &known, findings);
        }
    }
}

/// A process that hands its own pid over in a request makes that part of the message a process of its kind.
fn parts_of_requests(program: &Program<'_>) -> Known {
    let mut known = Known::default();
    for (sender, _) in program.modules() {
        if !program.is_server(sender) {
            continue;
        }
        for root in callbacks(program, sender, &[Role::Init, Role::Call, Role::Cast, Role::Info, Role::Continue]) {
            if program.summary(root).reach & REQUESTS == 0 {
                continue;
            }
            for event in program.events(root, REQUESTS) {
                note_request(program, sender, &event, &mut known);
            }
        }
    }
    known
}

fn note_request(program: &Program<'_>, sender: ModuleId, event: &Event<'_>, known: &mut Known) {
    let (Some(target), Some(message)) = (event.target(), event.message()) else { return };
    let role = if event.effect.kind == EffectKind::Call { Role::Call } else { Role::Cast };
    for alt in &message.alts {
        let Shape::Tuple(parts) = &alt.shape else { continue };
        for (index, _) in parts.iter().enumerate().filter(|(_, part)| part.is_self()) {
            let Some(handled) = program.handler(event.function(), role, target, message) else { continue };
            let Some(callback) = handled.callback else { continue };
            known.insert((callback, Term::param(0).item(index as u32)), sender);
        }
    }
}

fn callbacks(program: &Program<'_>, server: ModuleId, roles: &[Role]) -> Vec<FunctionId> {
    let mut found: Vec<FunctionId> = roles.iter().flat_map(|role| program.with_role(server, *role)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn check_server(program: &Program<'_>, server: ModuleId, known: &Known, findings: &mut Vec<Finding>) {
    let watches = watches(program, server, known);
    if watches.is_empty() {
        return;
    }
    let mut reported: Vec<Place> = Vec::new();
    for root in callbacks(program, server, &WORK) {
        if program.summary(root).reach & EffectKind::Call.bit() == 0 {
            continue;
        }
        for event in program.events(root, EffectKind::Call.bit()) {
            let Some(watch) = watched_by(program, server, root, &event, &watches) else { continue };
            let place = event.place(program);
            if !reported.contains(&place) {
                reported.push(place);
                findings.push(finding(program, server, root, &event, watch));
            }
        }
    }
}

/// The monitors that the server's callbacks set on processes of a known kind, and whose message it handles.
fn watches(program: &Program<'_>, server: ModuleId, known: &Known) -> Vec<Watch> {
    let mut found = Vec::new();
    for root in callbacks(program, server, &[Role::Init, Role::Call, Role::Cast, Role::Info, Role::Continue]) {
        if program.summary(root).reach & EffectKind::Monitor.bit() == 0 {
            continue;
        }
        for event in program.events(root, EffectKind::Monitor.bit()) {
            let Some(target) = event.target() else { continue };
            let by_request = known.get(&(root, target.term.clone())).copied();
            let watched = by_request.or_else(|| program.server_named(target));
            let tag = message_tag(program, &event);
            if let Some(watched) = watched.filter(|watched| *watched != server)
                && ends_cleanly(program, server, tag)
            {
                found.push(Watch {
                    watched,
                    set_in: run_of(program, root, &event),
                    many: is_one_of_many(program, &event),
                    place: event.place(program),
                    tag,
                });
            }
        }
    }
    found
}

/// Whether the server handles the message, and does not just stop for the same reason: that would be a crash too.
fn ends_cleanly(program: &Program<'_>, server: ModuleId, tag: Symbol) -> bool {
    let stop = program.models().conventions.stop.as_str();
    let repeats = |answer: &Alt| match &answer.shape {
        Shape::Tuple(parts) => {
            let stops = parts.first().is_some_and(|first| first.atoms().any(|atom| atom.as_str() == stop));
            stops && parts.get(1).is_some_and(|reason| reason.term.root_param() == Some(0))
        }
        _ => false,
    };
    program.clauses_for(server, Role::Info, tag).into_iter().any(|(callback, clause)| {
        let answer = program.summary(callback).clauses.get(clause).map(|clause| &clause.returns);
        answer.is_some_and(|answer| answer.is_never() || !answer.alts.iter().all(repeats))
    })
}

/// The tag of the message that this monitor sends: its option, or the usual one.
fn message_tag(program: &Program<'_>, event: &Event<'_>) -> Symbol {
    let conventions = &program.models().conventions;
    let option = symbol(&conventions.down_option);
    let chosen = event.args.iter().find_map(|arg| {
        arg.alts.iter().find_map(|alt| match &alt.shape {
            Shape::Map(map) => map.fields.iter().find(|(name, _)| *name == option).and_then(|(_, value)| value.tag()),
            _ => None,
        })
    });
    chosen.unwrap_or_else(|| symbol(&conventions.down))
}

/// The watch on the process that this uncaught call goes to.
fn watched_by<'w>(program: &Program<'_>, server: ModuleId, root: FunctionId, event: &Event<'_>, watches: &'w [Watch]) -> Option<&'w Watch> {
    if !event.here(program) || event.exit_handling(program).0 != ExitHandling::Uncaught {
        return None;
    }
    let called = called_server(program, event)?;
    let (run, many) = (run_of(program, root, event), is_one_of_many(program, event));
    watches.iter().find(|watch| watch.watched == called && called != server && watch.set_in != run && watch.many == many)
}

/// The callback's clause that leads to the event.
fn run_of(program: &Program<'_>, root: FunctionId, event: &Event<'_>) -> (FunctionId, u16) {
    (root, program.summary(root).items.get(event.first_item()).map_or(0, |item| item.clause))
}

/// Whether the process is one of many: another one at each turn of a loop.
fn is_one_of_many(program: &Program<'_>, event: &Event<'_>) -> bool {
    event.within(program, |kind| matches!(kind, ScopeKind::Loop(_))) && event.target().is_some_and(|target| !target.term.is_stable())
}

fn called_server(program: &Program<'_>, event: &Event<'_>) -> Option<ModuleId> {
    let target: &Value = event.target()?;
    program.server_named(target).or_else(|| {
        let handled = program.handler(event.function(), Role::Call, target, event.message()?)?;
        Some(handled.server)
    })
}

fn finding(program: &Program<'_>, server: ModuleId, root: FunctionId, event: &Event<'_>, watch: &Watch) -> Finding {
    let caller = server_words(program, server);
    let callee = server_words(program, watch.watched);
    let function = event.functions.iter().rev().find(|id| program.function(**id).module == server).copied().unwrap_or(root);
    let level = event.functions.iter().position(|id| *id == function).unwrap_or(0);
    let place = event.way(program).get(level).copied().unwrap_or_else(|| event.place(program));
    let message = format!("{caller} monitors {callee} and handles its end, but this call exits with it before the message is handled");
    let process = caller.clone();
    Story::new(program, &RULE, Tier::Certain, function, place, message)
        .step(process.clone(), watch.place, format!("monitors {callee}: its end comes as a `{}` message", watch.tag))
        .way(&process, event)
        .step(process.clone(), event.place(program), format!("{} waits for {callee}", effect_words(event.effect)))
        .sends(SignalKind::Call, callee.clone())
        .event(callee, "ends before it replies")
        .sends(SignalKind::Exit, process.clone())
        .event(process, format!("the exit of the call ends {caller}; the message behind it is never handled"))
        .harm(format!("{caller} crashes where its own handler would have stopped cleanly; what its end sets off follows a crash instead."))
        .help("Catch the exit around the call (`catch :exit, _ -> …`) and let the message decide what happens.")
        .done()
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::check;

    #[test]
    fn reports_a_call_of_a_monitored_server() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer
  def init(_), do: {:ok, Process.monitor(View)}
                               # ^^^^^^^ step: monitors View: its end comes as a `DOWN` message

  def handle_cast({:changes, changes}, ref) do
    GenServer.call(View, {:apply, changes})
            # ^^^^ error: Consumer monitors View and handles its end
            # ^^^^ step: waits for View
    {:noreply, ref}
  end

  def handle_info({:DOWN, ref, _, _, _}, ref), do: {:stop, {:shutdown, :view_gone}, ref}
end

defmodule View do
  use GenServer
  def init(rows), do: {:ok, rows}
  def handle_call({:apply, rows}, _from, _), do: {:reply, :ok, rows}
end
"#,
        );
    }

    #[test]
    fn accepts_a_call_that_is_caught() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer
  def init(_), do: {:ok, Process.monitor(View)}

  def handle_cast({:changes, changes}, ref) do
    apply_changes(changes)
    {:noreply, ref}
  end

  def handle_info({:DOWN, ref, _, _, _}, ref), do: {:stop, {:shutdown, :view_gone}, ref}

  defp apply_changes(changes) do
    GenServer.call(View, {:apply, changes})
  catch
    :exit, _ -> :gone
  end
end

defmodule View do
  use GenServer
  def init(rows), do: {:ok, rows}
  def handle_call({:apply, rows}, _from, _), do: {:reply, :ok, rows}
end
"#,
        );
    }

    #[test]
    fn reports_a_call_through_the_other_module() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer
  def init(key), do: {:ok, %{key: key, ref: Process.monitor(View.name(key))}}

  def handle_info({:changes, changes}, state) do
    {:noreply, Map.put(state, :rows, forward(changes, state))}
  end

  def handle_info({:DOWN, _, _, _, _}, state), do: {:stop, {:shutdown, :view_gone}, state}

  defp forward(changes, state), do: View.apply(state.key, changes)
                                       # ^^^^^ error: but this call exits with it before the message is handled
end
#- /lib/view.ex
defmodule View do
  use GenServer
  def name(key), do: {:via, Registry, {Views, {__MODULE__, key}}}
  def apply(key, changes), do: GenServer.call(name(key), {:apply, changes})
  def init(rows), do: {:ok, rows}
  def handle_call({:apply, rows}, _from, _), do: {:reply, :ok, rows}
end
"#,
        );
    }

    #[test]
    fn reports_a_process_that_gave_its_pid() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer
  def init(key), do: {:ok, %{key: key, views: %{}}}

  def handle_call({:subscribe, pid}, _from, state) do
    Process.monitor(pid, tag: :view_down)
    {:reply, :ok, state}
  end

  def handle_cast({:changes, changes}, state) do
    View.apply(state.key, changes)
       # ^^^^^ error: Consumer monitors View
    {:noreply, state}
  end

  def handle_info({:view_down, _, _, _, _}, state), do: {:stop, :normal, state}
end
#- /lib/view.ex
defmodule View do
  use GenServer
  def apply(key, rows), do: GenServer.call({:via, Registry, {Names, {__MODULE__, key}}}, {:apply, rows})
  def init(key), do: {:ok, key, {:continue, :start}}
  def handle_continue(:start, key) do
    :ok = GenServer.call({:via, Registry, {Names, {Consumer, key}}}, {:subscribe, self()})
    {:noreply, key}
  end
  def handle_call({:apply, rows}, _from, _), do: {:reply, :ok, rows}
end
"#,
        );
    }

    #[test]
    fn accepts_a_monitor_without_its_clause() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer
  def init(_), do: {:ok, Process.monitor(View)}

  def handle_cast({:changes, changes}, ref) do
    GenServer.call(View, {:apply, changes})
    {:noreply, ref}
  end
end

defmodule View do
  use GenServer
  def init(rows), do: {:ok, rows}
  def handle_call({:apply, rows}, _from, _), do: {:reply, :ok, rows}
end
"#,
        );
    }

    #[test]
    fn accepts_calls_in_init_and_terminate() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer

  def init(_) do
    ref = Process.monitor(View)
    {:ok, {ref, GenServer.call(View, :rows)}}
  end

  def handle_info({:DOWN, _, _, _, _}, state), do: {:stop, :normal, state}
  def terminate(_reason, _state), do: GenServer.call(View, :leave)
end

defmodule View do
  use GenServer
  def init(rows), do: {:ok, rows}
  def handle_call(_, _from, rows), do: {:reply, rows, rows}
end
"#,
        );
    }

    #[test]
    fn accepts_a_call_of_another_server() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer
  def init(_), do: {:ok, Process.monitor(View)}

  def handle_cast({:changes, changes}, ref) do
    GenServer.call(Log, {:append, changes})
    {:noreply, ref}
  end

  def handle_info({:DOWN, ref, _, _, _}, ref), do: {:stop, :normal, ref}
end

defmodule View do
  use GenServer
  def init(rows), do: {:ok, rows}
end

defmodule Log do
  use GenServer
  def init(rows), do: {:ok, rows}
  def handle_call({:append, rows}, _from, all), do: {:reply, :ok, [rows | all]}
end
"#,
        );
    }

    #[test]
    fn accepts_a_call_from_a_task() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer
  def init(_), do: {:ok, Process.monitor(View)}

  def handle_cast(:refresh, ref) do
    Task.start(fn -> GenServer.call(View, :rows) end)
    {:noreply, ref}
  end

  def handle_info({:DOWN, ref, _, _, _}, ref), do: {:stop, :normal, ref}
end

defmodule View do
  use GenServer
  def init(rows), do: {:ok, rows}
  def handle_call(:rows, _from, rows), do: {:reply, rows, rows}
end
"#,
        );
    }

    #[test]
    fn accepts_a_cast_to_a_monitored_server() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer
  def init(_), do: {:ok, Process.monitor(View)}

  def handle_cast({:changes, changes}, ref) do
    GenServer.cast(View, {:apply, changes})
    {:noreply, ref}
  end

  def handle_info({:DOWN, ref, _, _, _}, ref), do: {:stop, :normal, ref}
end

defmodule View do
  use GenServer
  def init(rows), do: {:ok, rows}
  def handle_cast({:apply, rows}, _), do: {:noreply, rows}
end
"#,
        );
    }

    #[test]
    fn accepts_a_call_in_a_closure_that_a_wrapper_catches() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer
  def init(_), do: {:ok, Process.monitor(View)}
  def handle_call(:rows, _from, ref), do: {:reply, safely(fn -> View.rows() end), ref}
  def handle_info({:DOWN, ref, _, _, _}, ref), do: {:stop, :normal, ref}

  defp safely(fun) do
    fun.()
  catch
    :exit, _ -> []
  end
end

defmodule View do
  use GenServer
  def rows, do: GenServer.call(__MODULE__, :rows)
  def init(rows), do: {:ok, rows}
  def handle_call(:rows, _from, rows), do: {:reply, rows, rows}
end
"#,
        );
    }

    #[test]
    fn reports_an_end_handled_in_a_case() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer
  def init(_), do: {:ok, Process.monitor(View)}
  def handle_call(:rows, _from, ref), do: {:reply, View.rows(), ref}
                                                      # ^^^^ missed: only a clause of handle_info tells that the message is handled

  def handle_info(message, ref) do
    case message do
      {:DOWN, ^ref, _, _, _} -> {:stop, {:shutdown, :view_gone}, ref}
      _ -> {:noreply, ref}
    end
  end
end

defmodule View do
  use GenServer
  def rows, do: GenServer.call(__MODULE__, :rows)
  def init(rows), do: {:ok, rows}
  def handle_call(:rows, _from, rows), do: {:reply, rows, rows}
end
"#,
        );
    }

    #[test]
    fn reports_a_process_that_the_server_started() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer

  def init(_) do
    {:ok, pid} = View.start_link([])
    {:ok, %{view: pid, ref: Process.monitor(pid)}}
  end

  def handle_call(:rows, _from, state), do: {:reply, View.rows(state.view), state}
                                                        # ^^^^ missed: which server a start gives is not followed into the state
  def handle_info({:DOWN, _, _, _, _}, state), do: {:stop, :normal, state}
end

defmodule View do
  use GenServer
  def start_link(rows), do: GenServer.start_link(__MODULE__, rows)
  def rows(pid), do: GenServer.call(pid, {:rows, :all})
  def init(rows), do: {:ok, rows}
  def handle_call({:rows, :all}, _from, rows), do: {:reply, rows, rows}
end
"#,
        );
    }

    #[test]
    fn accepts_monitors_of_clients_beside_a_call() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer
  def init(_), do: {:ok, %{}}
  def handle_call({:join, pid}, _from, state), do: {:reply, View.rows(), Map.put(state, Process.monitor(pid), pid)}
  def handle_info({:DOWN, ref, _, _, _}, state), do: {:noreply, Map.delete(state, ref)}
end

defmodule View do
  use GenServer
  def rows, do: GenServer.call(__MODULE__, :rows)
  def init(rows), do: {:ok, rows}
  def handle_call(:rows, _from, rows), do: {:reply, rows, rows}
end
"#,
        );
    }

    /// The list is not complete: that is another rule's business.
    #[test]
    fn accepts_a_call_under_a_list_of_reasons() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  use GenServer
  def init(_), do: {:ok, Process.monitor(View)}
  def handle_call(:rows, _from, ref), do: {:reply, rows(), ref}
  def handle_info({:DOWN, ref, _, _, _}, ref), do: {:stop, :normal, ref}

  defp rows do
    View.rows()
  catch
    :exit, {reason, _} when reason in [:noproc, :normal] -> []
  end
end

defmodule View do
  use GenServer
  def rows, do: GenServer.call(__MODULE__, :rows)
  def init(rows), do: {:ok, rows}
  def handle_call(:rows, _from, rows), do: {:reply, rows, rows}
end
"#,
        );
    }
}
