//! # One missing process ends a message to many
//!
//! ## What it reports
//!
//! A loop sends to many processes, and what stands for one of them may be nil because it was not found. `send(nil, _)` raises, a call of nil
//! exits: the loop ends there. The processes behind the missing one get nothing, and the process that runs the loop goes down with all that
//! it serves.
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
//! Drop what was not found before the loop. A comprehension with a filter, `Enum.reject(&is_nil/1)` and `Enum.flat_map` over lists of one or
//! none all do.
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
//! Three repairs are common: filter nil; remove the route first and synchronously, so that no event comes for a key that is gone; mark the key
//! as being removed and let the lookup say so. Where keys are never lost on purpose, filtering hides a mistake: log what was dropped.
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
    check,
};

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    report(program, &RULE, findings, |flow| flow.in_loop);
}
