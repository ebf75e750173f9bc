//! The rules, one file each, over summaries only.

pub mod finding;
pub mod rules;
pub mod suppression;

mod handlers;
mod identity;
mod nil_flow;
mod story;
mod tables;

#[cfg(test)]
mod idioms;
#[cfg(test)]
mod tests;

pub use finding::{Finding, Place, Severity, Step, Tier};
pub use rules::{RULES, Rule};

use racefree_analysis::Program;

/// Runs the rules that `selected` accepts; the findings come sorted by place, then rule, without duplicates.
pub fn check(program: &Program, selected: impl Fn(&Rule) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in RULES.iter().filter(|rule| selected(rule)) {
        (rule.check)(program, &mut findings);
    }
    findings.sort_by(|a, b| (a.place, a.rule, &a.message).cmp(&(b.place, b.rule, &b.message)));
    findings.dedup_by(|a, b| a.place == b.place && a.rule == b.rule && a.message == b.message);
    findings
}
