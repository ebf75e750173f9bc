//! The language server: what an editor is told of the races in its folders, while they are written.
//!
//! The editor's messages are taken one by one, at once, on the thread that called [`serve`]; the analysis runs on a thread of its own and always over the newest
//! text (see `worker`). What is asked about a text that is still being analysed is answered when that is done. A panic costs one answer.
//!
//! This crate speaks the protocol and counts positions as editors do. It reads no file and knows no rule: an [`Analyst`] does that, whom the command line
//! brings along. Parse errors are not shown: the compiler's words about them are better, and others bring those to the editor.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used))]

mod action;
mod analyst;
mod client;
mod diagnostic;
mod document;
mod hover;
mod position;
mod server;
mod worker;

pub use analyst::{Analysis, Analyst, File, Finder, Job, Named};

use std::io::{self, BufRead, Write};

/// The URI of a file, if its path is an absolute one.
pub fn file_uri(path: &std::path::Path) -> Option<String> {
    lsp_types::Url::from_file_path(path).ok().map(String::from)
}

/// Serves one client until it says goodbye; whether it did so in order.
pub fn serve(finder: Box<dyn Finder>, input: Box<dyn BufRead + Send>, output: &mut dyn Write) -> io::Result<bool> {
    server::run(finder, input, output)
}
