//! # x

use super::Rule;
use crate::finding::{Finding, Severity};
use racefree_analysis::Program;

pub static RULE: Rule = Rule {
    id: "unchecked_io_before_publish",
    severity: Severity::Error,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/unchecked_io_before_publish.md"),
    check,
};

fn check(_program: &Program<'_>, _findings: &mut Vec<Finding>) {}
