//! The list of rules, sorted by id.

mod already_started_unhandled;
mod async_removal_order;
mod catch_misses_exit;
mod demonitor_without_flush;
mod ets_check_then_write;
mod incomplete_exit_catch;
mod matched_fallible_result;
mod monitor_after_subscribe;
mod nil_in_broadcast;
mod nil_pid_call;
mod repeated_lookup;
mod rescue_all_argument_error;
mod stale_metadata_read;
mod uncaught_call_to_monitored;
mod unchecked_io_before_publish;

use crate::finding::{Finding, Severity};
use racefree_analysis::Program;

/// A rule: what it is called, how it weighs, and how it looks at a program.
pub struct Rule {
    /// File name, SARIF `ruleId` and suppression word.
    pub id: &'static str,
    pub severity: Severity,
    /// The version that brought it.
    pub since: &'static str,
    /// Its page, Markdown, generated from the head of its file.
    pub doc: &'static str,
    /// What the processes share, one sentence.
    pub shared: &'static str,
    /// What of the runtime makes this race impossible, one sentence; empty when nothing does yet.
    pub primitive: &'static str,
    pub check: fn(&Program<'_>, &mut Vec<Finding>),
}

pub static RULES: &[&Rule] = &[
    &already_started_unhandled::RULE,
    &async_removal_order::RULE,
    &catch_misses_exit::RULE,
    &demonitor_without_flush::RULE,
    &ets_check_then_write::RULE,
    &incomplete_exit_catch::RULE,
    &matched_fallible_result::RULE,
    &monitor_after_subscribe::RULE,
    &nil_in_broadcast::RULE,
    &nil_pid_call::RULE,
    &repeated_lookup::RULE,
    &rescue_all_argument_error::RULE,
    &stale_metadata_read::RULE,
    &uncaught_call_to_monitored::RULE,
    &unchecked_io_before_publish::RULE,
];
