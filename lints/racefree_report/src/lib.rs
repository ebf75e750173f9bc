//! Findings to bytes: text and a page for people, one line for editors, JSON for programs, and what code hosts, review bots and test dashboards read.
//!
//! A [`Report`] is all that a format may look at. This crate opens no file, asks no clock, reads no environment and analyses nothing: the same report
//! gives the same bytes. What a person could be fooled by (control characters, text direction marks) is made visible on the way to a terminal; JSON
//! carries it unchanged.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used))]

pub mod coverage;
mod excerpt;
pub mod explanation;
pub mod exunit;
pub mod fingerprint;
pub mod github;
pub mod gitlab;
pub mod html;
pub mod json;
pub mod jsonl;
pub mod junit;
pub mod oneline;
mod plain;
pub mod rdjson;
pub mod sarif;
pub mod source;
pub mod standpoint;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod text;
mod timeline;

pub use coverage::Coverage;
pub use source::{Problem, Range, Source};
pub use standpoint::Standpoint;
pub use summary::{Hidden, Summary};
pub use termcolor;

use racefree_rules::suppression::Allowed;
use racefree_rules::{Finding, Page, Severity, Tier};

/// Everything one run has to say.
///
/// Invariant: findings and problems are in the order to be shown. No format sorts, drops or merges them, but those that a tool's own layout groups.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// A file's index is its `FileId`.
    pub sources: &'a [Source],
    pub findings: &'a [Finding],
    /// One for each finding, in their order; see [`fingerprint`]. Made before anything was hidden: what is hidden must not rename what is shown.
    pub fingerprints: &'a [String],
    /// Findings that a comment silences, in the order in which the others are.
    pub allowed: &'a [Allowed],
    pub allowed_fingerprints: &'a [String],
    pub problems: &'a [Problem],
    /// Those of the rules that ran, sorted by id: one for each rule that a finding here names.
    pub pages: &'a [Page],
    /// Findings at least this sure fail the run.
    pub failing: Tier,
    pub standpoint: &'a Standpoint,
    pub summary: Summary,
}

/// How a finding is ranked on the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warning,
    Note,
}

impl Level {
    /// A certain finding weighs what its rule says, a likely one is a warning, and one of the audit tier is a note.
    pub fn of(finding: &Finding) -> Self {
        match (finding.tier, finding.severity) {
            (Tier::Certain, Severity::Error) => Self::Error,
            (Tier::Certain, Severity::Warning) | (Tier::Likely, _) => Self::Warning,
            (Tier::Audit, _) => Self::Note,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}
