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
//! Other repairs: one request to a registry that looks up, subscribes and monitors as a single step; or a subscription that answers
//! with the publisher's pid, which is then monitored.
//!
//! `Racefree.Registry.subscribe/2` and `call_monitored/4` look up, monitor and subscribe as one step: `guides/migration.md` shows the
//! rewrite.
//!
//! ## Not reported
//!
//! - A monitor or link before the subscription.
//! - Both on one pid that was looked up once: a monitor of a dead process still delivers its `:DOWN`.
//! - Requests that are no subscription: neither the caller's pid nor a word such as `subscribe`, `join` or `watch` is in the message.
//! - Subscriptions that a library makes in a table of its own, such as `Phoenix.PubSub.subscribe`.

use super::Rule;
use crate::finding::{Finding, Safety, Severity, Tier};
use crate::fixes::movable;
use crate::identity::{Identity, same_process};
use crate::sketch::{Sketch, Stroke};
use crate::story::{Story, effect_words, first_point, process_words, signal};
use racefree_analysis::Program;
use racefree_analysis::summary::{FunctionId, ScopeKind};
use racefree_analysis::value::Value;
use racefree_analysis::walk::Event;
use racefree_models::EffectKind;

pub static RULE: Rule = Rule {
    id: "monitor_after_subscribe",
    severity: Severity::Warning,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/monitor_after_subscribe.md"),
    shared: "A name: the process behind it may end, and another may take it, between any two uses.",
    primitive: "`Racefree.Registry.subscribe/3`: lookup, subscription and monitor as one step, of one process.",
    check,
};

const REQUESTS: u64 = 1 << EffectKind::Call as u64 | 1 << EffectKind::Cast as u64 | 1 << EffectKind::Send as u64;
const WATCHES: u64 = 1 << EffectKind::Monitor as u64 | 1 << EffectKind::Link as u64;

/// What it takes to find the process.
const LOOKS: u64 = 1 << EffectKind::Lookup as u64 | 1 << EffectKind::TableRead as u64;

/// The process subscribed to.
const PUBLISHER: &str = "publisher";

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
    event.message().is_some_and(Value::holds_self)
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
        .sends(signal(subscription.effect), PUBLISHER)
        .event(PUBLISHER, "ends, and forgets its subscribers; a new process may take its name")
        .step(subscriber.clone(), first_point(program, monitor), "looks the name up again")
        .way(&subscriber, monitor)
        .step(subscriber.clone(), monitor.place(program), "monitors nobody, or a process that knows nothing of the subscription")
        .harm(format!(
            "{subscriber} waits for messages that nobody will send, or takes the missing process for a crash of the one it subscribed to."
        ))
        .help("Look the process up once, monitor that pid, then subscribe: its end then always arrives as a message.")
        .sketches(monitor_first(program, id, subscription, monitor))
        .done()
}

/// Moves the monitor before the subscription, where both are statements of one block.
fn monitor_first(program: &Program<'_>, id: FunctionId, subscription: &Event<'_>, monitor: &Event<'_>) -> Option<Sketch> {
    let summary = program.summary(id);
    let (subscribes, monitors) = (summary.items.get(subscription.first_item())?, summary.items.get(monitor.first_item())?);
    let (statement, above) = movable(program, id, monitors.name_span, subscribes.name_span)?;
    // A handler around the two would be left with a monitor that was set before.
    let is_caught = summary.in_scope(monitors.scope, |kind| matches!(kind, ScopeKind::Try(_)));
    let is_only_monitor = program.item_reach(monitors) & !(WATCHES | LOOKS) == 0;
    (is_only_monitor && monitors.scope == subscribes.scope).then(|| Sketch {
        title: "Monitor first".to_owned(),
        safety: if is_caught { Safety::Unsafe } else { Safety::Safe },
        stroke: Stroke::Move { statement: program.place(id, statement), above: program.place(id, above) },
    })
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::{check, fixes};

    #[test]
    fn reports_a_monitor_by_another_lookup() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def start(name) do
    :ok = GenServer.call(Process.whereis(name), {:subscribe, self()})
        # ^^^^^^^^^^^^^^ step: GenServer.call subscribes
    Process.monitor(Process.whereis(name))
          # ^^^^^^^ error: the process is monitored after the subscription
          # ^^^^^^^ step: looks the name up again
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_monitor_before() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def start(name) do
    pid = Process.whereis(name)
    ref = Process.monitor(pid)
    :ok = GenServer.call(pid, {:subscribe, self()})
    ref
  end

  def restart(name) do
    ref = Process.monitor(Process.whereis(name))
    :ok = GenServer.call(Process.whereis(name), {:subscribe, self()})
    ref
  end
end
"#,
        );
    }

    #[test]
    fn reports_the_two_in_modules_of_their_own() {
        check(
            &RULE,
            r#"
#- /lib/consumer.ex
defmodule Consumer do
  def subscribe(key), do: GenServer.call(whereis(key), {:subscribe_changes, self()})
  def monitor(key), do: Process.monitor(whereis(key))
                      # ^^^^^^^^^^^^^^^ step: monitors nobody, or a process that knows nothing of the subscription
  def whereis(key), do: :ets.lookup_element(:consumers, key, 2, nil)
end
#- /lib/view.ex
defmodule View do
  use GenServer

  def init(key), do: {:ok, key, {:continue, :start}}

  def handle_continue(:start, key) do
    :ok = Consumer.subscribe(key)
                 # ^^^^^^^^^ step: calls Consumer.subscribe/1
    Consumer.monitor(key)
           # ^^^^^^^ error: its end in between goes unseen
    {:noreply, key}
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_subscription_by_its_name_alone() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def start(key) do
    GenServer.call(pid(key), :join)
    Process.monitor(pid(key))
          # ^^^^^^^ warning: is monitored after the subscription
  end

  defp pid(key), do: GenServer.whereis({:via, Registry, {Views, key}})
end
"#,
        );
    }

    #[test]
    fn reports_a_subscription_by_cast_and_by_message() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def a(name) do
    GenServer.cast(Process.whereis(name), {:attach, self()})
    Process.monitor(Process.whereis(name))
          # ^^^^^^^ error: by a lookup of its own
  end

  def b(name) do
    send(Process.whereis(name), {:watch, self()})
    Process.monitor(Process.whereis(name))
          # ^^^^^^^ error: by a lookup of its own
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_name_and_a_lookup_of_it() {
        check(
            &RULE,
            r#"
#- /lib/source.ex
defmodule Source do
  use GenServer
  def init(state), do: {:ok, state}
  def handle_call({:subscribe, pid}, _from, state), do: {:reply, :ok, [pid | state]}
end
#- /lib/view.ex
defmodule View do
  def start do
    GenServer.call(Source, {:subscribe, self()})
    Process.monitor(Process.whereis(Source))
          # ^^^^^^^ error: by a lookup of its own
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_monitor_of_the_name() {
        check(
            &RULE,
            r#"
#- /lib/source.ex
defmodule Source do
  use GenServer
  def init(state), do: {:ok, state}
  def handle_call({:subscribe, pid}, _from, state), do: {:reply, :ok, [pid | state]}
end
#- /lib/view.ex
defmodule View do
  def start do
    GenServer.call(Source, {:subscribe, self()})
    Process.monitor(Source)
          # ^^^^^^^ error: is monitored after the subscription
  end
end
"#,
        );
    }

    #[test]
    fn reports_steps_in_a_with() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def start(name) do
    with :ok <- GenServer.call(GenServer.whereis(name), {:subscribe, self()}),
         ref when is_reference(ref) <- Process.monitor(GenServer.whereis(name)) do
                                             # ^^^^^^^ error: is monitored after the subscription
      {:ok, ref}
    else
      _ -> :error
    end
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_subscriber_kept_in_a_variable() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def start(name) do
    me = self()
    request = {:register, %{pid: me, name: name}}
    GenServer.call(GenServer.whereis(name), request)
    Process.monitor(GenServer.whereis(name))
          # ^^^^^^^ error: is monitored after the subscription
  end
end
"#,
        );
    }

    #[test]
    fn accepts_one_pid_for_both() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def start(name) do
    case Process.whereis(name) do
      nil ->
        :error

      pid ->
        :ok = GenServer.call(pid, {:subscribe, self()})
        {:ok, Process.monitor(pid)}
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_pid_that_was_given() {
        check(
            &RULE,
            r#"
#- /lib/source.ex
defmodule Source do
  use GenServer
  def init(_), do: {:ok, %{}}

  def handle_call({:subscribe, pid}, _from, state) do
    send(pid, {:subscribed, self()})
    {:reply, :ok, Map.put(state, Process.monitor(pid), pid)}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_requests_that_are_no_subscription() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def start(name) do
    info = GenServer.call(Process.whereis(name), :info)
    {info, Process.monitor(Process.whereis(name))}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_two_publishers() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def start(a, b) do
    GenServer.call(Process.whereis(a), {:subscribe, self()})
    Process.monitor(Process.whereis(b))
  end
end
"#,
        );
    }

    #[test]
    fn accepts_branches_of_their_own() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def start(name, mode) do
    case mode do
      :events -> GenServer.call(Process.whereis(name), {:subscribe, self()})
      :watch -> Process.monitor(Process.whereis(name))
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_link_before() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def start(name) do
    Process.link(Process.whereis(name))
    GenServer.call(Process.whereis(name), {:subscribe, self()})
    Process.monitor(Process.whereis(name))
  end
end
"#,
        );
    }

    #[test]
    fn accepts_whereis_monitor_send_receive() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def ask(name) do
    ref = Process.monitor(Process.whereis(name))
    send(name, {:subscribe, self(), ref})

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
    fn accepts_a_subscription_kept_by_a_library() {
        check(
            &RULE,
            r#"
#- /lib/view.ex
defmodule View do
  def start(name) do
    :ok = Phoenix.PubSub.subscribe(App.PubSub, "changes")
    Process.monitor(Process.whereis(name))
  end
end
"#,
        );
    }

    #[test]
    fn fixes_by_moving_the_monitor() {
        fixes(
            &RULE,
            r#"
defmodule View do
  def start(name) do
    # tell it who we are
    :ok = GenServer.call(Process.whereis(name), {:subscribe, self()})
    size = 7

    # its end matters
    ref = Process.monitor(Process.whereis(name)) # twice

    {ref, size}
  end
end
"#,
            r#"
defmodule View do
  def start(name) do
    # its end matters
    ref = Process.monitor(Process.whereis(name)) # twice
    # tell it who we are
    :ok = GenServer.call(Process.whereis(name), {:subscribe, self()})
    size = 7

    {ref, size}
  end
end
"#,
        );
    }

    #[test]
    fn leaves_alone_a_monitor_that_a_block_returns() {
        let returned = r#"
defmodule View do
  def start(name) do
    GenServer.call(Process.whereis(name), {:subscribe, self()})
    Process.monitor(Process.whereis(name))
  end
end
"#;
        fixes(&RULE, returned, returned);
    }

    #[test]
    fn leaves_alone_a_monitor_of_what_was_bound_in_between() {
        let bound = r#"
defmodule View do
  def start(key) do
    :ok = GenServer.call(Process.whereis(key), {:subscribe, self()})
    pid = Process.whereis(key)
    ref = Process.monitor(pid)
    {:ok, ref}
  end
end
"#;
        fixes(&RULE, bound, bound);
    }
}
