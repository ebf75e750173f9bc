//! # x

use super::Rule;
use crate::finding::{Finding, Severity};
use racefree_analysis::Program;

pub static RULE: Rule = Rule {
    id: "uncaught_call_to_monitored",
    severity: Severity::Error,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/uncaught_call_to_monitored.md"),
    check,
};

fn check(_program: &Program<'_>, _findings: &mut Vec<Finding>) {}
