//! From Elixir source text to a small core language.
//!
//! `parse` runs the tree-sitter grammar and walks its tree once; what comes out is a [`core::File`] together with the
//! list of [`parse::Problem`]s: text that could not be read. A broken function never hides the rest of its file. This crate reads no files
//! and knows nothing of OTP: names are resolved through `alias`, macros are left as calls, and what a call means is the models' business.

pub mod core;
mod depth;
pub mod dump;
mod kinds;
mod lower;
pub mod parse;
mod repair;
mod scope;
pub mod span;
pub mod stored;
mod tree;
mod words;

pub use span::{FileId, Span};
pub use ustr::{Ustr as Symbol, ustr as symbol};
