//! Whole-program analysis: from core-language files to summaries that rules read.

pub mod program;

pub use program::Program;
