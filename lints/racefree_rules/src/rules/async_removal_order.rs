//! # What is looked up goes first, who looks it up later
//!
//! ## What it reports
//!
//! An entry is removed at once, and then another process is asked to stop the events for it. That request is answered before it is carried
//! out: the server replies and does the work in a continuation. Until then events for the key still arrive, and find nothing behind it.
//!
//! ```elixir
//! defmodule Cleaner do
//!   def remove(key) do
//!     :ets.delete(:status, key)
//!     GenServer.call(Batcher, {:remove, key})
//!   end
//! end
//!
//! defmodule Batcher do
//!   use GenServer
//!   def init(keys), do: {:ok, keys}
//!
//!   def handle_call({:remove, key}, _from, keys) do
//!     {:reply, :ok, [key | keys], {:continue, :flush}}
//!   end
//!
//!   def handle_continue(:flush, keys) do
//!     GenServer.cast(Router, {:remove, keys})
//!     {:noreply, []}
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! cleaner              | batcher              | router
//! ---------------------|----------------------|----------------------
//! deletes the status   |                      |
//! asks to remove       |                      |
//!                      | replies :ok          |
//!                      |                      | gets an event for the key
//!                      |                      | looks the status up: gone
//!                      | casts to the router  |
//! ```
//!
//! `:ok` from such a request means *requested*, not *done*.
//!
//! ## Instead
//!
//! Remove the route first, with a request that is answered when it is done; then what the route leads to.
//!
//! ```elixir
//! defmodule Cleaner do
//!   def remove(key) do
//!     :ok = GenServer.call(Router, {:remove, key})
//!     :ets.delete(:status, key)
//!   end
//! end
//!
//! defmodule Router do
//!   use GenServer
//!   def init(routes), do: {:ok, routes}
//!
//!   def handle_call({:remove, key}, _from, routes) do
//!     {:reply, :ok, Map.delete(routes, key)}
//!   end
//! end
//! ```
//!
//! Three repairs are known: the route first and synchronously; a tombstone that marks the key as being removed, which lookups report; and a
//! reader that takes a missing entry for a normal answer.
//!
//! ## Not reported
//!
//! - The route removed before the entry.
//! - Requests that are carried out before they are answered, whatever the callback does afterwards to other state.
//! - Requests for another key, and requests whose name is no word of removal (`remove`, `delete`, `forget`, `unsubscribe`, …).
//! - Requests by cast, and work that a server sends to itself instead of `{:continue, _}`: not recognised yet.

use super::Rule;
use crate::finding::{Finding, Severity, SignalKind, Tier};
use crate::story::{Story, effect_words, first_point, point, process_words, server_words};
use racefree_analysis::Program;
use racefree_analysis::summary::{FunctionId, Handled, Item, ItemKind};
use racefree_analysis::value::{Alt, Shape, Value};
use racefree_analysis::walk::Event;
use racefree_models::{EffectKind, Role};

pub static RULE: Rule = Rule {
    id: "async_removal_order",
    severity: Severity::Warning,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/async_removal_order.md"),
    shared: "An entry, and the route that leads events to it: two pieces of state that must go together.",
    primitive: "`Racefree.Registry.begin_remove/3`: from its return nothing finds the key any more, and `finish_remove/1` frees it when all parts are gone.",
    check,
};

const REMOVES: u64 = 1 << EffectKind::TableDelete as u64 | 1 << EffectKind::StoreDelete as u64;
/// What a callback does to the world before it replies, if it does the work itself.
const ACTS: u64 = REMOVES
    | 1 << EffectKind::TableWrite as u64
    | 1 << EffectKind::TableClear as u64
    | 1 << EffectKind::Unregister as u64
    | 1 << EffectKind::Call as u64
    | 1 << EffectKind::Cast as u64
    | 1 << EffectKind::Send as u64;
const REQUEST: u64 = 1 << EffectKind::Call as u64;

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    for (id, _) in program.functions() {
        if program.has_pair(program.summary(id), REMOVES, REQUEST) {
            findings.extend(check_function(program, id));
        }
    }
}

/// A removal that takes effect at once, and after it a request to forget the same key that is answered before it is carried out.
fn check_function(program: &Program<'_>, id: FunctionId) -> Option<Finding> {
    let events = program.events(id, REMOVES | REQUEST);
    for (index, request) in events.iter().enumerate().filter(|(_, event)| event.effect.kind == EffectKind::Call) {
        let (Some(message), true) = (request.message(), request.here(program)) else { continue };
        let Some(tag) = message.tag().filter(|tag| program.models().vocabulary.is_removal(*tag)) else { continue };
        let Some(handled) = request.target().and_then(|target| program.handler(request.function(), Role::Call, target, message)) else {
            continue;
        };
        let Some(late) = late_effect(program, handled) else { continue };
        let before = events.get(..index).unwrap_or(&[]);
        let removal = before.iter().find(|event| {
            event.effect.kind.bit() & REMOVES != 0
                && event.first_item() != request.first_item()
                && event.here(program)
                && event.compatible(request, program)
                && event.key().is_some_and(|key| names_key(message, key))
        });
        if let Some(removal) = removal {
            return Some(finding(program, id, removal, request, tag.as_str(), handled, &late));
        }
    }
    None
}

/// Whether the message carries the key that was removed.
fn names_key(message: &Value, key: &Value) -> bool {
    key.term.is_open() && message.term.mentions(&key.term)
}

/// The step that carries the request out, after the reply: what the callback continues with, or what it sends to itself.
struct Late<'s> {
    function: FunctionId,
    item: &'s Item,
}

/// The callback replies, and the effect comes from a continuation behind the reply.
fn late_effect<'s>(program: &'s Program<'_>, handled: Handled) -> Option<Late<'s>> {
    let callback = handled.callback?;
    let conventions = &program.models().conventions;
    let summary = program.summary(callback);
    let mut continues = false;
    for (index, clause) in summary.clauses.iter().enumerate().take(64) {
        if handled.clauses & (1 << index) == 0 {
            continue;
        }
        continues |= clause.returns.alts.iter().any(|alt| replies_and_goes_on(alt, &conventions.reply, &conventions.go_on));
    }
    let before_reply = summary.items.iter().filter(|item| item.clause < 64 && handled.clauses & (1 << item.clause) != 0);
    if !continues || before_reply.into_iter().any(|item| program.item_reach(item) & ACTS != 0) {
        return None;
    }
    let outward = EffectKind::Call.bit() | EffectKind::Cast.bit() | EffectKind::Send.bit();
    program.with_role(handled.server, Role::Continue).find_map(|function| {
        let item = program.summary(function).items.iter().find(|item| program.item_reach(item) & outward != 0)?;
        Some(Late { function, item })
    })
}

/// `{:reply, value, state, {:continue, _}}`.
fn replies_and_goes_on(answer: &Alt, reply: &str, go_on: &str) -> bool {
    let Shape::Tuple(parts) = &answer.shape else { return false };
    let tagged = |value: &Value, tag: &str| value.atoms().any(|atom| atom.as_str() == tag);
    parts.first().is_some_and(|first| tagged(first, reply))
        && parts.get(3).is_some_and(|last| {
            last.alts.iter().any(|alt| match &alt.shape {
                Shape::Tuple(parts) => parts.first().is_some_and(|first| tagged(first, go_on)),
                _ => false,
            })
        })
}

/// Likely at best: that the request is a removal rests on its name.
fn finding(
    program: &Program<'_>,
    id: FunctionId,
    removal: &Event<'_>,
    request: &Event<'_>,
    tag: &str,
    handled: Handled,
    late: &Late<'_>,
) -> Finding {
    let remover = process_words(program, id);
    let server = server_words(program, handled.server);
    let message = format!("the entry is removed here at once, and `{tag}`, which ends the events for it, is answered before it is done");
    let mut story = Story::new(program, &RULE, Tier::Likely, id, first_point(program, removal), message)
        .way(&remover, removal)
        .step(remover.clone(), removal.place(program), format!("{} removes the entry", effect_words(removal.effect)))
        .way(&remover, request)
        .step(remover.clone(), request.place(program), format!("asks with `{tag}`, and gets :ok"))
        .sends(SignalKind::Call, server.clone());
    if let Some(callback) = handled.callback
        && let Some(clause) = program.function(callback).function.clauses.get(handled.clauses.trailing_zeros() as usize)
    {
        story = story
            .step(server.clone(), program.place(callback, clause.span), "replies first, and goes on later")
            .sends(SignalKind::Reply, remover);
    }
    let words = match &late.item.kind {
        ItemKind::Effect(effect) => format!("only now {} passes it on", effect_words(effect)),
        _ => "only now it is passed on".to_string(),
    };
    story
        .event("router", "gets an event for the key: the route is still there, and the entry behind it is gone")
        .step(server, point(program, late.function, late.item), words)
        .harm("Events that arrive in between are routed to something that no longer exists: the router finds nothing where it expects a process or an entry.")
        .help("Remove the route first, with a request that is answered when it is done; or mark the key as being removed and let lookups say so.")
        .done()
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::check;

    #[test]
    fn reports_an_entry_removed_before_its_route() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def remove(key) do
    :ets.delete(:status, key)
       # ^^^^^^ warning: the entry is removed here at once, and `remove`
    GenServer.call(Batcher, {:remove, key})
            # ^^^^ step: asks with `remove`, and gets :ok
  end
end

defmodule Batcher do
  use GenServer
  def init(keys), do: {:ok, keys}
  def handle_call({:remove, key}, _from, keys), do: {:reply, :ok, [key | keys], {:continue, :flush}}
    # ^^^^^^^^^^^ step: replies first, and goes on later

  def handle_continue(:flush, keys) do
    GenServer.cast(Router, {:remove, keys})
            # ^^^^ step: only now GenServer.cast passes it on
    {:noreply, []}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_the_route_removed_first() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def remove(key) do
    GenServer.call(Batcher, {:remove, key})
    :ets.delete(:status, key)
  end
end

defmodule Batcher do
  use GenServer
  def init(keys), do: {:ok, keys}
  def handle_call({:remove, key}, _from, keys), do: {:reply, :ok, [key | keys], {:continue, :flush}}

  def handle_continue(:flush, keys) do
    GenServer.cast(Router, {:remove, keys})
    {:noreply, []}
  end
end
"#,
        );
    }

    #[test]
    fn reports_the_steps_in_modules_of_their_own() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def remove(table, key) do
    Status.remove(table, key)
         # ^^^^^^ warning: which ends the events for it, is answered before it is done
    Supervisor.terminate_child(Consumers, key)
    Batcher.remove(key)
  end
end
#- /lib/status.ex
defmodule Status do
  def remove(table, key), do: :ets.delete(table, key)
end
#- /lib/batcher.ex
defmodule Batcher do
  use GenServer
  def remove(key), do: GenServer.call(__MODULE__, {:remove_shape, key})
  def init(state), do: {:ok, %{to_remove: []}}
  def handle_call({:remove_shape, key}, from, state) do
    {:reply, :ok, %{state | to_remove: [{key, from} | state.to_remove]}, {:continue, :process}}
  end
  def handle_continue(:process, state) do
    Router.handle_removals(state.to_remove)
    {:noreply, %{state | to_remove: []}}
  end
end
#- /lib/router.ex
defmodule Router do
  def handle_removals(keys), do: GenServer.cast(__MODULE__, {:remove, keys})
end
"#,
        );
    }

    #[test]
    fn reports_a_key_without_a_table() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def remove(key) do
    :persistent_term.erase({:status, key})
                   # ^^^^^ missed: a key built from the message's key is not the key itself
    GenServer.call(Batcher, {:forget, key})
  end
end

defmodule Batcher do
  use GenServer
  def init(keys), do: {:ok, keys}
  def handle_call({:forget, key}, _from, keys), do: {:reply, :ok, [key | keys], {:continue, :flush}}

  def handle_continue(:flush, keys) do
    GenServer.cast(Router, {:forget, keys})
    {:noreply, []}
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_reply_before_a_message_to_itself() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def remove(key) do
    :ets.delete(:status, key)
       # ^^^^^^ missed: only `{:continue, _}` is known as work behind the reply
    GenServer.call(Batcher, {:remove, key})
  end
end

defmodule Batcher do
  use GenServer
  def init(keys), do: {:ok, keys}

  def handle_call({:remove, key}, _from, keys) do
    send(self(), :flush)
    {:reply, :ok, [key | keys]}
  end

  def handle_info(:flush, keys) do
    GenServer.cast(Router, {:remove, keys})
    {:noreply, []}
  end
end
"#,
        );
    }

    #[test]
    fn reports_an_explicit_reply_before_the_work() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def remove(key) do
    :ets.delete(:status, key)
       # ^^^^^^ missed: `GenServer.reply` before the work is not looked at
    GenServer.call(Batcher, {:remove, key})
  end
end

defmodule Batcher do
  use GenServer
  def init(keys), do: {:ok, keys}

  def handle_call({:remove, key}, from, keys) do
    GenServer.reply(from, :ok)
    GenServer.cast(Router, {:remove, key})
    {:noreply, keys}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_request_that_is_done_when_answered() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def remove(key) do
    :ets.delete(:status, key)
    GenServer.call(Router, {:remove, key})
  end
end

defmodule Router do
  use GenServer
  def init(routes), do: {:ok, routes}
  def handle_call({:remove, key}, _from, routes), do: {:reply, :ok, Map.delete(routes, key)}
end
"#,
        );
    }

    #[test]
    fn accepts_a_reply_that_waits_for_the_work() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def remove(key) do
    :ets.delete(:status, key)
    GenServer.call(Batcher, {:remove, key})
  end
end

defmodule Batcher do
  use GenServer
  def init(waiting), do: {:ok, waiting}
  def handle_call({:remove, key}, from, waiting), do: {:noreply, [{key, from} | waiting], {:continue, :flush}}

  def handle_continue(:flush, waiting) do
    for {key, from} <- waiting, do: GenServer.reply(from, GenServer.call(Router, {:remove, key}))
    {:noreply, []}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_another_key() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def replace(old, key) do
    :ets.delete(:status, old)
    GenServer.call(Batcher, {:remove, key})
  end
end

defmodule Batcher do
  use GenServer
  def init(keys), do: {:ok, keys}
  def handle_call({:remove, key}, _from, keys), do: {:reply, :ok, [key | keys], {:continue, :flush}}

  def handle_continue(:flush, keys) do
    GenServer.cast(Router, {:remove, keys})
    {:noreply, []}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_request_that_removes_nothing() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def finish(key) do
    :ets.delete(:jobs, key)
    GenServer.call(Stats, {:finished, key})
  end
end

defmodule Stats do
  use GenServer
  def init(keys), do: {:ok, keys}
  def handle_call({:finished, key}, _from, keys), do: {:reply, :ok, [key | keys], {:continue, :flush}}

  def handle_continue(:flush, keys) do
    GenServer.cast(Log, {:finished, keys})
    {:noreply, []}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_continuation_that_tells_nobody() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def remove(key) do
    :ets.delete(:status, key)
    GenServer.call(Routes, {:remove, key})
  end
end

defmodule Routes do
  use GenServer
  def init(keys), do: {:ok, keys}
  def handle_call({:remove, key}, _from, keys), do: {:reply, :ok, List.delete(keys, key), {:continue, :count}}
  def handle_continue(:count, keys), do: {:noreply, Enum.sort(keys)}
end
"#,
        );
    }

    #[test]
    fn accepts_a_continuation_that_only_tells_of_what_was_done() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def remove(key) do
    :ets.delete(:status, key)
       # ^^^^^^ wrong: any message from the continuation counts as the removal itself
    GenServer.call(Router, {:remove, key})
  end
end

defmodule Router do
  use GenServer
  def init(routes), do: {:ok, routes}
  def handle_call({:remove, key}, _from, routes), do: {:reply, :ok, Map.delete(routes, key), {:continue, :report}}

  def handle_continue(:report, routes) do
    GenServer.cast(Stats, {:size, map_size(routes)})
    {:noreply, routes}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_continuation_of_another_clause() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def remove(key) do
    :ets.delete(:status, key)
    GenServer.call(Router, {:remove, key})
  end
end

defmodule Router do
  use GenServer
  def init(routes), do: {:ok, routes}
  def handle_call({:remove, key}, _from, routes), do: {:reply, :ok, Map.delete(routes, key)}
  def handle_call({:add, key}, _from, routes), do: {:reply, :ok, Map.put(routes, key, 1), {:continue, :flush}}

  def handle_continue(:flush, routes) do
    GenServer.cast(Other, {:all, routes})
    {:noreply, routes}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_mark_before_the_request() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def remove(key) do
    :ets.insert(:status, {key, :being_removed})
    GenServer.call(Batcher, {:remove, key})
  end
end

defmodule Batcher do
  use GenServer
  def init(keys), do: {:ok, keys}
  def handle_call({:remove, key}, _from, keys), do: {:reply, :ok, [key | keys], {:continue, :flush}}

  def handle_continue(:flush, keys) do
    GenServer.cast(Router, {:remove, keys})
    {:noreply, []}
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_request_by_cast() {
        check(
            &RULE,
            r#"
#- /lib/cleaner.ex
defmodule Cleaner do
  def remove(key) do
    :ets.delete(:status, key)
       # ^^^^^^ missed: a cast is not done when it returns either, and is not looked at
    GenServer.cast(Router, {:remove, key})
  end
end

defmodule Router do
  use GenServer
  def init(routes), do: {:ok, routes}
  def handle_cast({:remove, key}, routes), do: {:noreply, Map.delete(routes, key)}
end
"#,
        );
    }
}
