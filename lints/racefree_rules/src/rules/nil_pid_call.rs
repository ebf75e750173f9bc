//! # A lookup that found nobody is used as a process
//!
//! ## What it reports
//!
//! A process is looked up by name, in a registry or in a table, and what came back goes straight into a call, a `send`, a stop or a link.
//! When the process is not there, what came back is nil: `GenServer.call(nil, _)` exits with `:noproc`, `send(nil, _)`, `Process.link(nil)`,
//! `Process.exit(nil, _)` and `Process.alive?(nil)` raise. The nil is followed through wrappers, `||`, closures, tuples, maps and arguments to
//! the place that fails on it.
//!
//! ```elixir
//! defmodule Jobs do
//!   def pid(name), do: Process.whereis(name)
//!
//!   def pause(name) do
//!     GenServer.call(pid(name), :pause)
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! caller                        | worker
//! ------------------------------|------------------------------
//!                               | crashes; its name is free
//! looks the name up: nil        |
//! calls nil: exits with :noproc |
//!                               | is restarted by its supervisor
//! ```
//!
//! The caller crashes over an event that the supervisor was there to absorb. Whoever reads the crash sees `:noproc` and may take a short
//! absence for lost data.
//!
//! ## Instead
//!
//! Give nil a branch of its own where the lookup is made. The process may still end between the lookup and the call, so catch the exit as
//! well. With the catch alone, nil needs no branch for a call; for `send` it does.
//!
//! ```elixir
//! defmodule Jobs do
//!   def pause(name) do
//!     case Process.whereis(name) do
//!       nil -> {:error, :not_running}
//!       pid -> pause_found(pid)
//!     end
//!   end
//!
//!   defp pause_found(pid) do
//!     GenServer.call(pid, :pause)
//!   catch
//!     :exit, _reason -> {:error, :not_running}
//!   end
//! end
//! ```
//!
//! Three repairs are common: catch the exit and give an error value; one request that looks up, subscribes and monitors as a single step; a
//! check before each step. The check alone leaves a smaller window.
//!
//! ## Not reported
//!
//! - A lookup whose nil has a branch: `case`, `with`, `if pid`, a guard `when is_pid(pid)`, a `for` filter, also when that branch exits or
//!   raises on purpose.
//! - A call whose exit is caught, in the function or in a caller on every way to it.
//! - `Process.monitor(nil)`: it is safe, and a `:DOWN` with `:noproc` follows. `GenServer.cast(nil, _)`: it is lost, but nothing fails.
//! - A pid that was found and is dead by the time of the call: this rule is about nil.
//! - A default nil that no lookup gave, for instance an optional argument.

use super::Rule;
use crate::finding::{Finding, Severity};
use crate::nil_flow::report;
use racefree_analysis::Program;

pub static RULE: Rule = Rule {
    id: "nil_pid_call",
    severity: Severity::Error,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/nil_pid_call.md"),
    check,
};

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    report(program, &RULE, findings, |flow| !flow.in_loop);
}
