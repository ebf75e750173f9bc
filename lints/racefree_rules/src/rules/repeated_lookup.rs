//! # x

use super::Rule;
use crate::finding::{Finding, Severity};
use racefree_analysis::Program;

pub static RULE: Rule = Rule {
    id: "repeated_lookup",
    severity: Severity::Warning,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/repeated_lookup.md"),
    check,
};

fn check(_program: &Program<'_>, _findings: &mut Vec<Finding>) {}
