//! The linter as a native library of the BEAM: the same command line, with the same bytes and the same exit status, for tasks of mix.
//!
//! It is a library of its own, so that production loads no parser. Left out on purpose: the language server, which wants a standard input of its own;
//! and anything that decides what is a finding.

#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod command;
mod document;
mod output;
mod thread;
mod version;

/// Analysis makes many small, long-lived values on many threads at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

rustler::init!("Elixir.Racefree.Lint.Native");
