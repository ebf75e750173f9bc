//! # A rescue meant for a missing table that hides every other mistake
//!
//! ## What it reports
//!
//! A table operation raises `ArgumentError` when the table is gone, for instance because its owner has just ended. A `rescue ArgumentError` that
//! gives a default covers more than that operation: other functions, or a conversion that raises `ArgumentError` for a reason of its own. All of
//! them get the same answer, which was meant for the missing table alone.
//!
//! ```elixir
//! defmodule Status do
//!   def changed_since?(key, text) do
//!     offset = String.to_integer(text)
//!
//!     :ets.lookup_element(:status, key, 2) > offset
//!   rescue
//!     ArgumentError -> false
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! table owner                   | caller
//! ------------------------------|------------------------------
//! lives, the table is there     | gets text "12a" from a client
//!                               | String.to_integer raises ArgumentError
//!                               | the rescue answers false: "no change"
//! ```
//!
//! The client waits for a change that was there all the time. No log line tells of it, and a test of the missing table passes.
//!
//! ## Instead
//!
//! Put the rescue around the one operation that may find its table gone.
//!
//! ```elixir
//! defmodule Status do
//!   def changed_since?(key, text) do
//!     offset = String.to_integer(text)
//!
//!     case fetch(key) do
//!       {:ok, last} -> last > offset
//!       :error -> false
//!     end
//!   end
//!
//!   defp fetch(key) do
//!     {:ok, :ets.lookup_element(:status, key, 2)}
//!   rescue
//!     ArgumentError -> :error
//!   end
//! end
//! ```
//!
//! ## Not reported
//!
//! - A rescue around table operations alone, also when a pure function makes the table's name or the key first.
//! - A rescue that raises again, or that binds the exception and can look at it.
//! - A rescue around one or two functions of the program in which nothing else raises `ArgumentError`; from three on the finding is likely.
//! - `rescue ArgumentError` around code without any table operation, such as a parser.
//! - A rescue of everything (`rescue _ ->`): it hides more, but says so.

use super::Rule;
use crate::finding::{Finding, Place, Severity, Tier};
use crate::handlers::{body, is_harmless};
use crate::story::{Story, effect_words, process_words};
use racefree_analysis::Program;
use racefree_analysis::summary::{FunctionId, Item, ItemKind, RescueSummary, Summary, Try};
use racefree_models::EffectKind;

pub static RULE: Rule = Rule {
    id: "rescue_all_argument_error",
    severity: Severity::Warning,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/rescue_all_argument_error.md"),
    check,
};

/// Effects that raise when a table or registry is gone.
const TABLE: u64 = 1 << EffectKind::TableRead as u64
    | 1 << EffectKind::TableWrite as u64
    | 1 << EffectKind::TableDelete as u64
    | 1 << EffectKind::TableClear as u64
    | 1 << EffectKind::Lookup as u64
    | 1 << EffectKind::Register as u64;

/// Functions looked into below one rescue at most.
const FUNCTIONS_MAX: usize = 400;
/// A rescue that covers this many functions of the program covers more than one operation.
const BROAD: usize = 3;

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    let name = program.models().conventions.bad_argument.as_str();
    for (id, _) in program.functions() {
        let summary = program.summary(id);
        for (index, tried) in summary.tries.iter().enumerate() {
            let rescue = tried.rescues.iter().find(|r| !r.diverges && !r.binds && r.exceptions.iter().any(|e| e.as_str() == name));
            if let Some(rescue) = rescue {
                findings.extend(finding(program, id, summary, index, tried, rescue));
            }
        }
    }
}

/// What stands under a rescue.
#[derive(Default)]
struct Cover {
    functions: Vec<FunctionId>,
    /// The first operation on a table.
    table: Option<Place>,
    table_words: String,
    /// Something else that raises the same exception.
    other: Option<(Place, String)>,
}

fn finding(program: &Program<'_>, id: FunctionId, summary: &Summary, index: usize, tried: &Try, rescue: &RescueSummary) -> Option<Finding> {
    let mut cover = Cover::default();
    let items: Vec<&Item> = body(summary, index, tried).collect();
    let first = items.iter().position(|item| program.item_reach(item) & TABLE != 0)?;
    for (position, item) in items.iter().enumerate() {
        // Pure code up to the first operation makes the table's name and the key.
        if position >= first || !is_harmless(program, item) {
            cover.item(program, id, item);
        }
    }
    let table = cover.table?;
    let broad = cover.functions.len() >= BROAD;
    if cover.other.is_none() && !broad {
        return None;
    }
    let tier = if cover.other.is_some() { Tier::Certain } else { Tier::Likely };
    let place = Place { file: program.file_of(id), span: rescue.span };
    let count = cover.functions.len();
    let message = match &cover.other {
        Some((_, words)) => format!("this rescue is for a table that may be gone, and takes the ArgumentError of {words} for the same"),
        None => format!(
            "this rescue is for a table that may be gone, and stands around {count} functions: any ArgumentError in them is taken for the same"
        ),
    };
    let caller = process_words(program, id);
    let mut story = Story::new(program, &RULE, tier, id, place, message).event("table owner", "ends, and its table with it").step(
        caller.clone(),
        table,
        format!("{} raises ArgumentError: this is what the rescue is for", cover.table_words),
    );
    if let Some((place, words)) = cover.other {
        story = story.step(caller.clone(), place, format!("{words} raises ArgumentError too, for a reason of its own"));
    }
    Some(
        story
            .step(caller, place, "gives the same answer for both")
            .harm("A mistake in the code looks like a table that is not there: it is answered with a default and never seen.")
            .help("Put the rescue around the one operation that may find its table gone.")
            .done(),
    )
}

impl Cover {
    fn item(&mut self, program: &Program<'_>, id: FunctionId, item: &Item) {
        let here = program.place(id, item.name_span);
        match &item.kind {
            ItemKind::Effect(effect) if effect.kind == EffectKind::Diverge => {
                let name = program.models().conventions.bad_argument.as_str();
                if effect.args.first().is_some_and(|arg| arg.atoms().any(|atom| atom.as_str() == name)) {
                    self.other.get_or_insert((here, format!("`{}`", effect_words(effect))));
                }
            }
            ItemKind::Effect(effect) if TABLE & effect.kind.bit() != 0 => {
                if self.table.is_none() {
                    self.table = Some(here);
                    self.table_words = effect_words(effect);
                }
            }
            ItemKind::Effect(_) => {}
            ItemKind::Foreign { module, name, args } => {
                let model = program.models().function(*module, *name, args.len() as u32);
                let bad = program.models().conventions.bad_argument.as_str();
                match model {
                    Some(model) if model.raises.iter().any(|raised| raised == bad) => {
                        self.other.get_or_insert((here, format!("`{}`", crate::story::call_words(*module, *name))));
                    }
                    _ => {}
                }
            }
            ItemKind::Call { callee, .. } => self.function(program, *callee),
        }
    }

    fn function(&mut self, program: &Program<'_>, id: FunctionId) {
        if self.functions.len() >= FUNCTIONS_MAX || self.functions.contains(&id) {
            return;
        }
        self.functions.push(id);
        let summary = program.summary(id);
        let name = program.models().conventions.bad_argument.as_str();
        for item in summary.items.iter().filter(|item| !summary.rescues(item.scope, name)) {
            self.item(program, id, item);
        }
    }
}
