//! Findings to bytes: text for people, one line for editors, JSON for programs.
//!
//! A [`Report`] is all that a format may look at. This crate opens no file, asks no clock, reads no environment and analyses nothing: the same report
//! gives the same bytes. What a person could be fooled by (control characters, text direction marks) is made visible on the way to a terminal; JSON
//! carries it unchanged.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used))]

pub mod coverage;
mod excerpt;
pub mod fingerprint;
pub mod json;
pub mod oneline;
mod plain;
pub mod source;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod text;
mod timeline;

pub use coverage::Coverage;
pub use source::{Problem, Range, Source};
pub use summary::{Hidden, Summary};
pub use termcolor;

use racefree_rules::{Finding, Severity, Tier};

/// Everything one run has to say.
///
/// Invariant: findings and problems are in the order to be shown. No format sorts, drops or merges them.
#[derive(Debug)]
pub struct Report<'a> {
    /// A file's index is its `FileId`.
    pub sources: &'a [Source],
    pub findings: &'a [Finding],
    /// One for each finding, in their order; see [`fingerprint`]. Made before anything was hidden: what is hidden must not rename what is shown.
    pub fingerprints: &'a [String],
    pub problems: &'a [Problem],
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
