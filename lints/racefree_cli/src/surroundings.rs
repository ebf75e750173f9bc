//! What a run takes from its process: folder, terminal, environment, clock.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Instant;

use crate::arguments::Colour;

/// Wide enough for timelines, narrow enough for most windows: for pipes and files.
pub(crate) const WIDTH_WITHOUT_TERMINAL: usize = 100;

#[derive(Debug, Clone)]
pub struct Surroundings {
    pub started: Instant,
    /// Paths in the output are relative to it, unless one folder is named.
    pub current_dir: PathBuf,
    /// Columns to write text for.
    pub width: usize,
    pub output: Stream,
    pub error: Stream,
    pub environment: Environment,
    pub stdin: Stdin,
    pub afterwards: Afterwards,
}

/// What comes after the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// The process ends: what it holds need not be given back piece by piece.
    ProcessEnds,
    /// Other work, which wants the memory.
    ProcessGoesOn,
}

/// Where standard input comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stdin {
    /// This process's own.
    Process,
    /// Somebody has read it already.
    Text(Vec<u8>),
}

/// Where a stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Terminal,
    Elsewhere,
}

/// What the environment says about colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// `NO_COLOR`, `CLICOLOR=0`, or a terminal that cannot.
    Colourless,
    /// `CLICOLOR_FORCE`.
    Coloured,
    Silent,
}

impl Surroundings {
    pub fn of_this_process() -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        let is = |name, wanted| std::env::var_os(name).is_some_and(|value| value == wanted);
        let environment = if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
            Environment::Colourless
        } else if is_set("CLICOLOR_FORCE") {
            Environment::Coloured
        } else if is("CLICOLOR", "0") || is("TERM", "dumb") {
            Environment::Colourless
        } else {
            Environment::Silent
        };
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let window = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let output = stream(io::stdout().is_terminal());
        let width = columns.or_else(|| if output == Stream::Terminal { window() } else { None });
        Self {
            started: Instant::now(),
            current_dir: std::env::current_dir().unwrap_or_default(),
            width: width.unwrap_or(WIDTH_WITHOUT_TERMINAL),
            output,
            error: stream(io::stderr().is_terminal()),
            environment,
            stdin: Stdin::Process,
            afterwards: Afterwards::ProcessEnds,
        }
    }

    /// For a caller that keeps what is written: no colour that nobody asked for, and a width that does not depend on a window.
    pub fn of_no_terminal() -> Self {
        let (output, error, environment) = (Stream::Elsewhere, Stream::Elsewhere, Environment::Silent);
        Self { width: WIDTH_WITHOUT_TERMINAL, output, error, environment, ..Self::of_this_process() }
    }

    pub(crate) fn is_output_coloured(&self, wish: Colour) -> bool {
        self.is_coloured(self.output, wish)
    }

    pub(crate) fn is_error_coloured(&self, wish: Colour) -> bool {
        self.is_coloured(self.error, wish)
    }

    /// The command line decides first, then the environment, then whether anybody can see it.
    fn is_coloured(&self, stream: Stream, wish: Colour) -> bool {
        match (wish, self.environment) {
            (Colour::Always, _) | (Colour::Auto, Environment::Coloured) => true,
            (Colour::Never, _) | (Colour::Auto, Environment::Colourless) => false,
            (Colour::Auto, Environment::Silent) => stream == Stream::Terminal,
        }
    }
}

fn stream(is_terminal: bool) -> Stream {
    if is_terminal { Stream::Terminal } else { Stream::Elsewhere }
}
