//! # Subscribe first, monitor later
//!
//! ## What it reports
//!
//! A process subscribes to another one and monitors it afterwards, each by a lookup of its own. Between the two the publisher may end. The
//! monitor then watches nobody, or a successor under the same name that knows nothing of the subscription.
//!
//! ```elixir
//! defmodule View do
//!   use GenServer
//!
//!   def init(key) do
//!     GenServer.call(Names.pid(key), {:subscribe, self()})
//!     ref = Process.monitor(Names.pid(key))
//!     {:ok, %{key: key, ref: ref}}
//!   end
//! end
//!
//! defmodule Names do
//!   def pid(key), do: :global.whereis_name({:source, key})
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! subscriber                    | publisher
//! ------------------------------|------------------------------
//! subscribes: :ok               |
//!                               | ends; its subscribers are forgotten
//!                               | a new publisher takes the name
//! looks the name up again       |
//! monitors the new publisher    |
//! waits for events for ever     | knows of no subscriber
//! ```
//!
//! Without a successor the monitor answers at once with `:noproc` instead of the true reason, and a clean stop is taken for a crash.
//!
//! ## Instead
//!
//! Look the publisher up once, monitor that pid, then subscribe: its end after that always arrives as a message.
//!
//! ```elixir
//! defmodule View do
//!   use GenServer
//!
//!   def init(key) do
//!     case Process.whereis(key) do
//!       nil -> {:stop, :not_running}
//!       pid -> {:ok, %{ref: subscribe(pid)}}
//!     end
//!   end
//!
//!   defp subscribe(pid) do
//!     ref = Process.monitor(pid)
//!     GenServer.call(pid, {:subscribe, self()})
//!     ref
//!   catch
//!     :exit, _reason -> :gone
//!   end
//! end
//! ```
//!
//! Other repairs: one request to a registry that looks up, subscribes and monitors as a single step; or a subscription that answers with the
//! publisher's pid, which is then monitored.
//!
//! ## Not reported
//!
//! - A monitor or link before the subscription.
//! - Both on one pid that was looked up once: a monitor of a dead process still delivers its `:DOWN`.
//! - Requests that are no subscription: neither the caller's pid nor a word such as `subscribe`, `join` or `watch` is in the message.
//! - Subscriptions that a library makes in a table of its own, such as `Phoenix.PubSub.subscribe`.

use super::Rule;
use crate::finding::{Finding, Severity, Tier};
use crate::identity::{Identity, same_process};
use crate::story::{Story, effect_words, first_point, process_words};
use racefree_analysis::Program;
use racefree_analysis::summary::FunctionId;
use racefree_analysis::walk::Event;
use racefree_models::EffectKind;

pub static RULE: Rule = Rule {
    id: "monitor_after_subscribe",
    severity: Severity::Warning,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/monitor_after_subscribe.md"),
    check,
};

const REQUESTS: u64 = 1 << EffectKind::Call as u64 | 1 << EffectKind::Cast as u64 | 1 << EffectKind::Send as u64;
const WATCHES: u64 = 1 << EffectKind::Monitor as u64 | 1 << EffectKind::Link as u64;

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    for (id, _) in program.functions() {
        if program.summary(id).reach & EffectKind::Monitor.bit() != 0
            && program.has_pair(program.summary(id), REQUESTS, EffectKind::Monitor.bit())
        {
            check_function(program, id, findings);
        }
    }
}

fn check_function(program: &Program<'_>, id: FunctionId, findings: &mut Vec<Finding>) {
    let events = program.events(id, REQUESTS | WATCHES);
    for (index, monitor) in events.iter().enumerate() {
        if monitor.effect.kind != EffectKind::Monitor || !monitor.here(program) {
            continue;
        }
        let before = events.get(..index).unwrap_or(&[]);
        let watched_earlier = before.iter().any(|event| is_watch(event) && meets(program, event, monitor));
        if watched_earlier {
            continue;
        }
        let subscription = before.iter().find(|event| {
            !is_watch(event)
                && event.first_item() != monitor.first_item()
                && event.here(program)
                && event.compatible(monitor, program)
                && is_subscription(program, event)
                && meets(program, event, monitor)
        });
        if let Some(subscription) = subscription {
            findings.push(finding(program, id, subscription, monitor));
        }
    }
}

fn is_watch(event: &Event<'_>) -> bool {
    matches!(event.effect.kind, EffectKind::Monitor | EffectKind::Link)
}

/// A request that leaves the caller's pid with the other process, or is called a subscription.
fn is_subscription(program: &Program<'_>, event: &Event<'_>) -> bool {
    let Some(message) = event.message() else { return false };
    hands_over_self(event) || message.tag().is_some_and(|tag| program.models().vocabulary.is_subscription(tag))
}

fn hands_over_self(event: &Event<'_>) -> bool {
    use racefree_analysis::term::TermKind;
    event.message().is_some_and(|message| message.term.any(&|kind| matches!(kind, TermKind::SelfPid)))
}

/// Whether both go to one process that was looked up for each of them anew.
fn meets(program: &Program<'_>, event: &Event<'_>, monitor: &Event<'_>) -> bool {
    matches!(same_process(program, event, monitor), Some(Identity::LookedUpTwice))
        || (is_watch(event) && same_process(program, event, monitor).is_some())
}

fn finding(program: &Program<'_>, id: FunctionId, subscription: &Event<'_>, monitor: &Event<'_>) -> Finding {
    let tier = if hands_over_self(subscription) { Tier::Certain } else { Tier::Likely };
    let subscriber = process_words(program, id);
    let place = first_point(program, monitor);
    let message = "the process is monitored after the subscription, by a lookup of its own: its end in between goes unseen";
    Story::new(program, &RULE, tier, id, place, message.to_string())
        .way(&subscriber, subscription)
        .step(subscriber.clone(), subscription.place(program), format!("{} subscribes", effect_words(subscription.effect)))
        .event("publisher", "ends, and forgets its subscribers; a new process may take its name")
        .step(subscriber.clone(), first_point(program, monitor), "looks the name up again")
        .way(&subscriber, monitor)
        .step(subscriber.clone(), monitor.place(program), "monitors nobody, or a process that knows nothing of the subscription")
        .harm(format!(
            "{subscriber} waits for messages that nobody will send, or takes the missing process for a crash of the one it subscribed to."
        ))
        .help("Look the process up once, monitor that pid, then subscribe: its end then always arrives as a message.")
        .done()
}
