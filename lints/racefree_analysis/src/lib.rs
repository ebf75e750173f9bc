//! Whole-program analysis: from core-language files to summaries that rules read.
//!
//! Each function is evaluated once over abstract values, callees before callers; the result is a [`summary::Summary`]. Rules ask
//! [`Program`] and walk summaries; they never look at source. This crate reads no files, takes no time, starts no threads of its own
//! and names no library function: what those do is data in `racefree_models`.

mod context;
mod eval;
mod graph;
mod handlers;
pub mod memory;
pub mod nils;
mod outline;
pub mod program;
mod reception;
mod resolve;
mod stored;
pub mod summary;
pub mod term;
pub mod value;
mod view;
pub mod walk;

pub use context::Process;
pub use memory::{FileKey, Memory};
pub use program::Program;
pub use reception::Reception;

use racefree_syntax::{FileId, Span};

/// A place in the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub file: FileId,
    pub span: Span,
}
