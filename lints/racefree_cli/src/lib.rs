//! The command line: which files to read, which rules to run, what to show, and the exit status. Analysis and formats live in other crates.
//!
//! Everything that depends on the process (terminal, environment, folder) comes in through [`Surroundings`], and everything said goes out through the two
//! writers of [`run`]: a caller that is no terminal program gets the same behaviour.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used))]

mod arguments;
mod baseline;
mod cache;
mod changes;
mod check;
mod children;
mod config;
mod coverage;
pub mod crash;
mod editor;
mod explain;
mod failure;
mod files;
mod fix;
mod held;
mod output;
mod pages;
mod progress;
mod selection;
mod session;
mod settings;
mod sources;
mod standpoint;
mod stock;
mod surroundings;

pub use failure::Status;
pub use surroundings::{Afterwards, Stdin, Surroundings};

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Colour, Command};
use failure::Failure;

/// Runs one command line, the program's name included. Messages about the run itself go to `err`; `out` is flushed.
pub fn run(arguments: impl IntoIterator<Item = OsString>, surroundings: &Surroundings, out: &mut dyn Write, err: &mut dyn Write) -> Status {
    let outcome = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => {
            crash::guard(|| execute(&arguments, surroundings, out)).unwrap_or_else(|report| Err(Failure::CouldNotRun(crash::plea(&report))))
        }
        Err(refusal) => Err(Failure::Refused(refusal)),
    };
    match outcome.and_then(|status| out.flush().map(|()| status).map_err(Failure::Output)) {
        Ok(status) => status,
        Err(failure) => report(&failure, surroundings, out, err),
    }
}

/// Whether `word` is one of the commands, such as `check`.
pub fn is_command(word: &OsStr) -> bool {
    Arguments::command().find_subcommand(word).is_some()
}

fn execute(arguments: &Arguments, surroundings: &Surroundings, out: &mut dyn Write) -> Result<Status, Failure> {
    match &arguments.command {
        Command::Check(options) => check::run(options, arguments.color, surroundings, out),
        Command::Baseline(options) => check::baseline(options, surroundings, out),
        Command::Coverage(options) => coverage::run(options, surroundings, out),
        Command::Explain(options) => explain::run(options, arguments.color, surroundings, out),
        Command::Lsp(options) => editor::run(options, surroundings, out),
        Command::Rules => pages::rules(out),
    }
}

/// Says what went wrong. When even that fails, the status alone has to do.
fn report(failure: &Failure, surroundings: &Surroundings, out: &mut dyn Write, err: &mut dyn Write) -> Status {
    let told: io::Result<()> = match failure {
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return Status::Clean,
        Failure::Refused(refusal) if refusal.use_stderr() => say(refusal, surroundings.is_error_coloured(Colour::Auto), err),
        Failure::Refused(refusal) => say(refusal, surroundings.is_output_coloured(Colour::Auto), out),
        Failure::Usage(message) | Failure::CouldNotRun(message) => writeln!(err, "error: {message}"),
        Failure::Output(error) => writeln!(err, "error: cannot write the report: {error}"),
    };
    // A reader that has gone away, or a closed error output, leaves nobody to tell.
    drop(told);
    failure.status()
}

/// Prints what the command line's parser has to say: help, version, or what is wrong.
fn say(refusal: &clap::Error, is_coloured: bool, to: &mut dyn Write) -> io::Result<()> {
    let text = refusal.render();
    if is_coloured {
        write!(to, "{}", text.ansi())?
    } else {
        write!(to, "{text}")?
    }
    to.flush()
}
