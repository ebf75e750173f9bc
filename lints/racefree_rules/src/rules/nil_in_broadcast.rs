//! # One missing process ends a message to many

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
