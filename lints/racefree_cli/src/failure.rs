//! How a run ends.

use std::io;

/// The exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No finding of the failing tier.
    Clean,
    /// Findings at or above the failing tier.
    Findings,
    /// The command line asks for what does not exist.
    Usage,
    /// The run could not take place.
    CouldNotRun,
}

impl Status {
    pub fn code(self) -> i32 {
        match self {
            Self::Clean => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::CouldNotRun => 3,
        }
    }
}

/// Why there is no report.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line's parser has the last word: an error, or the help that was asked for.
    Refused(clap::Error),
    Usage(String),
    CouldNotRun(String),
    Output(io::Error),
}

impl Failure {
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Refused(refusal) if !refusal.use_stderr() => Status::Clean,
            Self::Refused(_) | Self::Usage(_) => Status::Usage,
            Self::CouldNotRun(_) | Self::Output(_) => Status::CouldNotRun,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
