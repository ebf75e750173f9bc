//! # A monitor is taken back, its message is not
//!
//! ## What it reports
//!
//! `Process.demonitor(ref)` without `[:flush]`, where the message of the monitor may be in the mailbox already and does harm there: nobody
//! waits for it, no clause takes it, or a clause takes it for the end of a process that matters.
//!
//! ```elixir
//! defmodule Printer do
//!   def ask(pid, request) do
//!     ref = Process.monitor(pid)
//!     send(pid, {request, self(), ref})
//!
//!     receive do
//!       {^ref, reply} ->
//!         Process.demonitor(ref)
//!         {:ok, reply}
//!
//!       {:DOWN, ^ref, _, _, reason} ->
//!         {:error, reason}
//!     end
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! caller                        | printer
//! ------------------------------|------------------------------
//! monitors, asks                |
//!                               | replies
//! takes the reply               |
//!                               | ends: the `:DOWN` message is sent
//! takes the monitor back        |
//! goes on; `:DOWN` is still in its mailbox
//! ```
//!
//! In a plain process the message stays for ever and makes every later `receive` slower. A server gets it in `handle_info`, where no clause
//! is ready for it.
//!
//! ## Instead
//!
//! Take the message back together with the monitor.
//!
//! ```elixir
//! defmodule Printer do
//!   def ask(pid, request) do
//!     ref = Process.monitor(pid)
//!     send(pid, {request, self(), ref})
//!
//!     receive do
//!       {^ref, reply} ->
//!         Process.demonitor(ref, [:flush])
//!         {:ok, reply}
//!
//!       {:DOWN, ^ref, _, _, reason} ->
//!         {:error, reason}
//!     end
//!   end
//! end
//! ```
//!
//! ## Not reported
//!
//! - A `receive` of that message behind it, and what is done in answer to the message.
//! - Servers that are ready for it: a clause that looks whose end it is told of, or a clause for all that nobody expects.
//! - Servers that stop then, and `terminate`.
//! - Monitors with options, such as `alias: :demonitor`.
//! - References that come from elsewhere, in code that no server's process runs.

use super::Rule;
use crate::finding::{Edit, Finding, Fix, Place, Safety, Severity, SignalKind, Tier};
use crate::fixes::{call_at, option_edit};
use crate::story::{Story, effect_words, process_words, server_words};
use racefree_analysis::summary::{FunctionId, ModuleId};
use racefree_analysis::term::Term;
use racefree_analysis::value::{Shape, Value};
use racefree_analysis::walk::Event;
use racefree_analysis::{Process, Program, Reception};
use racefree_models::{EffectKind, Role};
use racefree_syntax::Span;
use std::collections::BTreeMap;

pub(super) static RULE: Rule = Rule {
    id: "demonitor_without_flush",
    severity: Severity::Warning,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/demonitor_without_flush.md"),
    shared: "The mailbox of the process that monitors: the message may be in it before the monitor is taken back.",
    primitive: "`Racefree.Registry.unsubscribe/1`: a subscription that is ended sends nothing more, and leaves nothing behind.",
    check,
};

const MONITOR: u64 = 1 << EffectKind::Monitor as u64;
const DEMONITOR: u64 = 1 << EffectKind::Demonitor as u64;

/// The callbacks after which a server goes on.
const WORK: [Role; 6] = [Role::Init, Role::Call, Role::Cast, Role::Info, Role::Continue, Role::Inside];

/// What the message does where it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Harm {
    /// It stays in the mailbox of whoever called.
    Stays,
    /// No clause of the server's callback takes it.
    Crashes(ModuleId),
    /// The server stops, as if the process had mattered still.
    Stops(ModuleId),
}

/// A monitor that is taken back, by the place where that happens.
struct Found {
    function: FunctionId,
    monitor: Option<Place>,
    words: String,
    target: Term,
    harm: Harm,
    /// The shorter way is the one to tell.
    length: usize,
}

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    let mut found: BTreeMap<Place, Found> = BTreeMap::new();
    for (id, _) in program.functions() {
        if program.summary(id).reach & DEMONITOR != 0 && program.has_pair(program.summary(id), MONITOR, DEMONITOR) {
            look_at_run(program, id, &mut found);
        }
    }
    for (server, _) in program.modules() {
        if program.is_server(server) {
            look_at_server(program, server, &mut found);
        }
    }
    let mut reported: Vec<(FunctionId, &Term)> = Vec::new();
    for (place, one) in &found {
        if program.is_test(one.function) || reported.contains(&(one.function, &one.target)) {
            continue;
        }
        reported.push((one.function, &one.target));
        let together = found.iter().filter(|(_, other)| other.function == one.function && other.target == one.target);
        findings.push(finding(program, *place, one, flush(program, one.function, together.map(|(place, _)| place.span))));
    }
}

/// A monitor set and taken back in one run of a function that any process may call.
fn look_at_run(program: &Program<'_>, id: FunctionId, found: &mut BTreeMap<Place, Found>) {
    let events = program.events(id, MONITOR | DEMONITOR);
    for (index, taken_back) in events.iter().enumerate() {
        if !program.processes(taken_back.function()).contains(&Process::Any) || !leaves_message(program, taken_back) {
            continue;
        }
        let Some(target) = taken_back.target() else { continue };
        let monitor = events.get(..index).unwrap_or(&[]).iter().rfind(|event| {
            let reference = Term::site(program.file_of(event.function()), event.item.span);
            event.effect.kind == EffectKind::Monitor && reference == target.term && event.here(program) && options(event).is_none()
        });
        let Some(monitor) = monitor else { continue };
        let one = Found {
            function: taken_back.function(),
            monitor: Some(monitor.place(program)),
            words: effect_words(taken_back.effect),
            target: own_target(taken_back),
            harm: Harm::Stays,
            length: monitor.path.len() + taken_back.path.len(),
        };
        note(program, taken_back, one, found);
    }
}

/// What a server's callbacks take back, when the server is not ready for the message.
fn look_at_server(program: &Program<'_>, server: ModuleId, found: &mut BTreeMap<Place, Found>) {
    let reaching = |id: &FunctionId| program.summary(*id).reach & DEMONITOR != 0;
    let roots: Vec<FunctionId> = WORK.iter().flat_map(|role| program.with_role(server, *role)).filter(reaching).collect();
    if roots.is_empty() {
        return;
    }
    let Some((harm, answering)) = harm(program, server) else { return };
    for root in roots {
        let events = program.events(root, MONITOR | DEMONITOR);
        if events.iter().any(|event| event.effect.kind == EffectKind::Monitor && options(event).is_some()) {
            continue;
        }
        for taken_back in &events {
            let run = program.summary(root).items.get(taken_back.first_item()).map_or(0, |item| item.clause as usize);
            if !leaves_message(program, taken_back)
                || program.only_stops(root, run)
                || answering == (root, run)
                || is_own_message(program, taken_back)
            {
                continue;
            }
            let one = Found {
                function: taken_back.function(),
                monitor: None,
                words: effect_words(taken_back.effect),
                target: own_target(taken_back),
                harm,
                length: taken_back.path.len(),
            };
            note(program, taken_back, one, found);
        }
    }
}

fn note(program: &Program<'_>, event: &Event<'_>, one: Found, found: &mut BTreeMap<Place, Found>) {
    let rank = |one: &Found| (one.length, one.monitor, one.harm);
    let place = event.place(program);
    if found.get(&place).is_none_or(|known| rank(&one) < rank(known)) {
        found.insert(place, one);
    }
}

/// What a stray message does to the server, and the clause that takes it.
fn harm(program: &Program<'_>, server: ModuleId) -> Option<(Harm, (FunctionId, usize))> {
    match program.stray_end(server)? {
        Reception::Refused { callback } => Some((Harm::Crashes(server), (callback, usize::MAX))),
        Reception::Taken { callback, clause } => program.only_stops(callback, clause).then_some((Harm::Stops(server), (callback, clause))),
    }
}

/// Whether it takes back a monitor, here, and not its message.
fn leaves_message(program: &Program<'_>, event: &Event<'_>) -> bool {
    event.effect.kind == EffectKind::Demonitor
        && event.here(program)
        && options(event).is_none_or(is_empty)
        && !event.functions.iter().zip(&event.path).any(|(function, index)| program.receives_end(*function, *index))
}

fn options<'e>(event: &'e Event<'_>) -> Option<&'e Value> {
    event.args.get(event.effect.model.options?)
}

/// No options at all: an empty list, or something that is no list.
fn is_empty(options: &Value) -> bool {
    !options.alts.is_empty()
        && options.alts.iter().all(|alt| match &alt.shape {
            Shape::Atom(_) => true,
            Shape::List(element) => element.is_never(),
            _ => false,
        })
}

/// Whether the reference is that of the very message which the callback was given.
fn is_own_message(program: &Program<'_>, event: &Event<'_>) -> bool {
    let own = Term::param(0).item(program.models().conventions.down_reference as u32);
    event.target().is_some_and(|target| target.term == own)
}

/// The reference as the function that takes the monitor back knows it.
fn own_target(event: &Event<'_>) -> Term {
    event.effect.target().map_or_else(|| Term::param(0), |target| target.term.clone())
}

/// Adds the option to every call that takes the same monitor back.
fn flush(program: &Program<'_>, function: FunctionId, calls: impl Iterator<Item = Span>) -> Option<Fix> {
    let option = format!("[:{}]", program.models().conventions.flush_option);
    let edits: Option<Vec<Edit>> = calls
        .map(|name| {
            let call = call_at(program, function, name)?;
            let (span, text) = option_edit(call, name, &option)?;
            Some(Edit { place: program.place(function, span), text })
        })
        .collect();
    Some(Fix { title: "Take the message back as well".to_owned(), safety: Safety::Safe, edits: edits? })
}

fn finding(program: &Program<'_>, place: Place, one: &Found, fix: Option<Fix>) -> Finding {
    let process = match one.harm {
        Harm::Stays => process_words(program, one.function),
        Harm::Crashes(server) | Harm::Stops(server) => server_words(program, server),
    };
    let down = &program.models().conventions.down;
    let tier = if one.harm == Harm::Stays { Tier::Certain } else { Tier::Likely };
    let (outcome, harm) = match one.harm {
        Harm::Stays => (
            "nobody takes it".to_owned(),
            "It stays in the mailbox for ever and slows down what is received there, or meets a server that has no clause for it."
                .to_owned(),
        ),
        Harm::Crashes(_) => (format!("{process} has no clause for it"), format!("{process} crashes over a process that it had let go.")),
        Harm::Stops(_) => (format!("{process} stops on it"), format!("{process} stops over a process that it had let go.")),
    };
    let message = format!("this takes the monitor back and leaves a `:{down}` message that has come already: {outcome}");
    let mut story = Story::new(program, &RULE, tier, one.function, place, message);
    if let Some(monitor) = one.monitor {
        story = story.step(process.clone(), monitor, "monitors the other process");
    }
    story
        .event("other process", format!("ends: `:{down}` is in the mailbox"))
        .sends(SignalKind::Exit, process.clone())
        .step(process.clone(), place, format!("{} takes the monitor back, not the message", one.words))
        .event(process, format!("goes on with `:{down}` in its mailbox: {outcome}"))
        .harm(harm)
        .help("Take the message back as well: `[:flush]` as the second argument.")
        .fixes(fix)
        .done()
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::{check, fixes};

    #[test]
    fn reports_a_message_that_nobody_takes() {
        check(
            &RULE,
            r#"
#- /lib/printer.ex
defmodule Printer do
  def ask(pid, request) do
    ref = Process.monitor(pid)
                # ^^^^^^^ step: monitors the other process
    send(pid, {request, self(), ref})

    receive do
      {^ref, reply} ->
        Process.demonitor(ref)
              # ^^^^^^^^^ error: takes the monitor back and leaves a `:DOWN` message
              # ^^^^^^^^^ step: takes the monitor back, not the message
        reply

      {:DOWN, ^ref, _, _, reason} ->
        {:error, reason}
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_flush() {
        check(
            &RULE,
            r#"
#- /lib/printer.ex
defmodule Printer do
  @options [:flush]
  def a(pid) do
    ref = Process.monitor(pid)
    send(pid, {:print, self(), ref})
    receive do: ({^ref, reply} -> reply)
    Process.demonitor(ref, [:flush, :info])
  end

  def b(pid) do
    ref = :erlang.monitor(:process, pid)
    :erlang.demonitor(ref, @options)
  end

  def c(pid, options) do
    ref = Process.monitor(pid)
    Process.demonitor(ref, options)
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_monitor_of_another_module() {
        check(
            &RULE,
            r#"
#- /lib/watch.ex
defmodule Watch do
  def on(pid), do: Process.monitor(pid)
  def off(ref), do: Process.demonitor(ref)
                          # ^^^^^^^^^ error: nobody takes it
end
#- /lib/printer.ex
defmodule Printer do
  def ask(pid, request) do
    ref = Watch.on(pid)
    answer = GenServer.call(pid, request)
    Watch.off(ref)
    answer
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_server_without_a_clause_for_it() {
        check(
            &RULE,
            r#"
#- /lib/lease.ex
defmodule Lease do
  use GenServer
  def init(pid), do: {:ok, %{pid: pid, ref: Process.monitor(pid)}}

  def handle_call(:release, _from, state) do
    Process.demonitor(state.ref)
          # ^^^^^^^^^ warning: Lease has no clause for it
    {:reply, :ok, %{state | ref: nil}}
  end

  def handle_info({:DOWN, ref, _, _, _}, %{ref: ref} = state), do: {:noreply, %{state | ref: nil}}
end
"#,
        );
    }

    #[test]
    fn reports_a_server_that_stops_on_any_end() {
        check(
            &RULE,
            r#"
#- /lib/follower.ex
defmodule Follower do
  use GenServer
  def init(pid), do: {:ok, Process.monitor(pid)}

  def handle_cast({:follow, pid}, ref) do
    Process.demonitor(ref, [])
          # ^^^^^^^^^ warning: Follower stops on it
    {:noreply, Process.monitor(pid)}
  end

  def handle_info({:DOWN, _ref, :process, _pid, reason}, ref), do: {:stop, reason, ref}
end
"#,
        );
    }

    #[test]
    fn accepts_servers_that_are_ready_for_it() {
        check(
            &RULE,
            r#"
#- /lib/by_state.ex
defmodule ByState do
  use GenServer
  def init(pid), do: {:ok, %{Process.monitor(pid) => pid}}

  def handle_cast({:forget, ref}, pids) do
    Process.demonitor(ref)
    {:noreply, Map.delete(pids, ref)}
  end

  def handle_info({:DOWN, ref, _, _, _}, pids), do: {:noreply, Map.delete(pids, ref)}
end
#- /lib/by_rest.ex
defmodule ByRest do
  use GenServer
  def init(pid), do: {:ok, Process.monitor(pid)}

  def handle_cast({:follow, pid}, ref) do
    Process.demonitor(ref)
    {:noreply, Process.monitor(pid)}
  end

  def handle_info({:DOWN, ref, _, _, _}, ref), do: {:stop, :normal, ref}
  def handle_info(_other, ref), do: {:noreply, ref}
end
"#,
        );
    }

    #[test]
    fn accepts_servers_that_end_with_it() {
        check(
            &RULE,
            r#"
#- /lib/lease.ex
defmodule Lease do
  use GenServer
  def init(pid), do: {:ok, Process.monitor(pid)}

  def handle_cast(:stop, ref) do
    Process.demonitor(ref)
    {:stop, :normal, ref}
  end

  def handle_info({:DOWN, ref, _, _, _}, ref), do: {:stop, :normal, ref}
  def terminate(_reason, ref), do: Process.demonitor(ref)
end
"#,
        );
    }

    #[test]
    fn accepts_a_receive_of_the_message() {
        check(
            &RULE,
            r#"
#- /lib/reaper.ex
defmodule Reaper do
  def stop(pid) do
    ref = Process.monitor(pid)
    Process.exit(pid, :shutdown)
    receive do: ({:DOWN, ^ref, _, _, _} -> Process.demonitor(ref))
  end

  def let_go(pid) do
    ref = Process.monitor(pid)
    send(pid, :go)
    Process.demonitor(ref)

    receive do
      {:DOWN, ^ref, _, _, _} -> :ok
    after
      0 -> :ok
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_an_alias_and_references_from_elsewhere() {
        check(
            &RULE,
            r#"
#- /lib/ask.ex
defmodule Ask do
  def run(pid) do
    ref = :erlang.monitor(:process, pid, alias: :demonitor)
    send(pid, {:run, ref})
    receive do: ({^ref, reply} -> reply)
    :erlang.demonitor(ref)
  end

  def cancel(%{ref: ref}), do: Process.demonitor(ref)
end
"#,
        );
    }

    #[test]
    fn accepts_a_task_of_its_own() {
        check(
            &RULE,
            r#"
#- /lib/ask.ex
defmodule Ask do
  def run(pid) do
    Task.async(fn ->
      ref = Process.monitor(pid)
      send(pid, {:run, ref})
      receive do: ({^ref, reply} -> reply)
      Process.demonitor(ref)
    end)
  end
end
"#,
        );
    }

    #[test]
    fn fixes_every_call_for_one_monitor() {
        fixes(
            &RULE,
            r#"
defmodule Printer do
  def ask(pid) do
    ref = Process.monitor(pid)
    send(pid, {:print, self(), ref})

    receive do
      # it has been printed
      {^ref, :ok} -> Process.demonitor(ref) # for good
      {^ref, :later} -> ref |> Process.demonitor()
      {^ref, :never} -> Process.demonitor(ref, [])
      {:DOWN, ^ref, _, _, reason} -> {:error, reason}
    end
  end
end
"#,
            r#"
defmodule Printer do
  def ask(pid) do
    ref = Process.monitor(pid)
    send(pid, {:print, self(), ref})

    receive do
      # it has been printed
      {^ref, :ok} -> Process.demonitor(ref, [:flush]) # for good
      {^ref, :later} -> ref |> Process.demonitor([:flush])
      {^ref, :never} -> Process.demonitor(ref, [:flush])
      {:DOWN, ^ref, _, _, reason} -> {:error, reason}
    end
  end
end
"#,
        );
    }

    #[test]
    fn leaves_alone_what_it_cannot_lay_out() {
        let odd = r#"
defmodule Printer do
  def ask(pid) do
    ref = Process.monitor(pid)
    send(pid, {:print, self(), ref})
    receive do: ({^ref, reply} -> reply)

    Process.demonitor(
      ref
    )
  end
end
"#;
        fixes(&RULE, odd, odd);
    }
}
