//! One file for each lane.

pub(crate) mod kills;
pub(crate) mod seeds;

/// What a lane came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Clean,
    Found,
}

/// Writes a line to standard output. Nobody reads on if it is closed, so that is no error.
pub(crate) fn say(line: impl std::fmt::Display) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}
