//! The list of rules, sorted by id.

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
    pub check: fn(&Program, &mut Vec<Finding>),
}

pub static RULES: &[&Rule] = &[];
