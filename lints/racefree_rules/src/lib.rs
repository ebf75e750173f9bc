//! The rules, one file each, over summaries only.

pub mod finding;
pub mod page;
pub mod rules;
pub mod sketch;
pub mod suppression;

mod counter;
mod fixes;
mod handlers;
mod identity;
mod named_start;
mod nil_flow;
mod rivals;
mod story;
mod tables;
mod winner;

#[cfg(test)]
mod idioms;
#[cfg(test)]
mod tests;

pub use finding::{Edit, Finding, Fix, Place, Safety, Severity, Signal, SignalKind, Step, Tier};
pub use page::Page;
pub use rules::{RULES, Rule};

use racefree_analysis::Program;
use rayon::prelude::*;

/// Runs the rules that `selected` accepts, on the threads of the current pool; the findings come sorted by place, then rule, without duplicates.
pub fn check(program: &Program<'_>, selected: impl Fn(&Rule) -> bool) -> Vec<Finding> {
    let rules: Vec<&&Rule> = RULES.iter().filter(|rule| selected(rule)).collect();
    let found = rules.par_iter().map(|rule| {
        let mut findings = Vec::new();
        (rule.check)(program, &mut findings);
        findings
    });
    let mut findings: Vec<Finding> = found.flatten().collect();
    findings.sort_by(|a, b| (a.place, a.rule, &a.message).cmp(&(b.place, b.rule, &b.message)));
    findings.dedup_by(|a, b| a.place == b.place && a.rule == b.rule && a.message == b.message);
    findings
}
