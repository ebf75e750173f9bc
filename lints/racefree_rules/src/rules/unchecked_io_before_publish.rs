//! # Data is announced, and nobody looked whether it was written
//!
//! ## What it reports
//!
//! A function writes to a file or syncs it, throws the result away, and then publishes: it writes the new position to a table, or clears the
//! copy in memory. `:file.write`, `:file.datasync`, `IO.binwrite` and their like fail by a value, `{:error, :enospc}` for instance, and the
//! code goes on as if all were well. The finding is certain where the code syncs, since it then promises that the data is on disk.
//!
//! ```elixir
//! defmodule Log do
//!   def flush(file, buffer, position) do
//!     :file.write(file, :ets.tab2list(buffer))
//!     :file.datasync(file)
//!     :ets.insert(:positions, {:persisted, position})
//!     :ets.delete_all_objects(buffer)
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! writer                        | reader
//! ------------------------------|------------------------------
//! writes: {:error, :enospc}     |
//! publishes the new position    |
//! clears the copy in memory     |
//!                               | reads the position: on disk
//!                               | reads the file: nothing there
//! ```
//!
//! ## Instead
//!
//! Look at each result before anything is published. A match that crashes keeps the old state, which is true; an error value lets the caller
//! stop or retry.
//!
//! ```elixir
//! defmodule Log do
//!   def flush(file, buffer, position) do
//!     with :ok <- :file.write(file, :ets.tab2list(buffer)),
//!          :ok <- :file.datasync(file) do
//!       :ets.insert(:positions, {:persisted, position})
//!       :ets.delete_all_objects(buffer)
//!       :ok
//!     end
//!   end
//! end
//! ```
//!
//! ## Not reported
//!
//! - Results that are matched, piped, returned or bound to a name that is used.
//! - The bang variants: they raise.
//! - Writes after which nothing is published in the same function: a log line, a report.
//! - Writes to a named device such as `:stdio`.
//! - A publication in the caller of the function that writes: the rule looks at one function and what it calls after the write.

use super::Rule;
use crate::finding::{Finding, Severity, Tier};
use crate::story::{Story, effect_words, point, process_words};
use racefree_analysis::Program;
use racefree_analysis::summary::{Effect, FunctionId, Item, ItemKind, Summary, Usage};
use racefree_analysis::term::TermKind;
use racefree_models::EffectKind;

pub static RULE: Rule = Rule {
    id: "unchecked_io_before_publish",
    severity: Severity::Error,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/unchecked_io_before_publish.md"),
    check,
};

/// Effects that tell others that the data is there, or take away the copy they had.
const PUBLISHES: u64 = 1 << EffectKind::TableWrite as u64
    | 1 << EffectKind::TableClear as u64
    | 1 << EffectKind::TableDelete as u64
    | 1 << EffectKind::StoreWrite as u64;

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    for (id, _) in program.functions() {
        let summary = program.summary(id);
        let mut reported = false;
        for (index, item) in summary.items.iter().enumerate() {
            if let ItemKind::Effect(effect) = &item.kind
                && !reported
                && is_unchecked(item, effect)
                && let Some(finding) = finding(program, id, summary, index, item, effect)
            {
                reported = true;
                findings.push(finding);
            }
        }
    }
}

/// A write to a file, or a sync, whose error value falls to the ground. What goes to a terminal or a log device is no data.
fn is_unchecked(item: &Item, effect: &Effect) -> bool {
    let fails_by_value = effect.model.raises.is_empty() && effect.model.returns != racefree_models::Returns::Any;
    let device = effect.target().is_some_and(|target| matches!(target.term.kind(), TermKind::Atom(_)));
    matches!(effect.kind, EffectKind::FileWrite | EffectKind::FileSync) && fails_by_value && item.usage == Usage::Discarded && !device
}

fn finding(program: &Program<'_>, id: FunctionId, summary: &Summary, index: usize, item: &Item, effect: &Effect) -> Option<Finding> {
    let publish = summary.items.iter().skip(index + 1).find(|later| {
        program.item_reach(later) & PUBLISHES != 0 && later.clause == item.clause && summary.compatible(item.arm, later.arm)
    })?;
    let synced = summary
        .items
        .iter()
        .any(|other| other.clause == item.clause && matches!(&other.kind, ItemKind::Effect(effect) if effect.kind == EffectKind::FileSync));
    let tier = if synced { Tier::Certain } else { Tier::Likely };
    let place = point(program, id, item);
    let writer = process_words(program, id);
    let call = effect_words(effect);
    let message = format!("the result of {call} is thrown away, and the data is published as if it were written");
    Some(
        Story::new(program, &RULE, tier, id, place, message)
            .step(writer.clone(), place, format!("{call} gives {{:error, reason}}: the disk is full, or the device fails"))
            .step(writer.clone(), point(program, id, publish), "publishes the new state, or clears the copy in memory")
            .event("reader", "trusts the published state, and finds nothing behind it")
            .harm("Data that readers were told of exists neither in memory nor on disk.")
            .help("Match the result (`:ok = …`) before anything is published: a crash keeps the old state, which is true.")
            .done(),
    )
}
