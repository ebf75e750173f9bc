//! The rules, one file each, over summaries only.

pub mod finding;

pub use finding::{Finding, Place, Severity, Step, Tier};
