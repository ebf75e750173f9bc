//! `path:line:column: severity[rule] message`, a finding a line: what `grep`, quickfix lists and error parsers read.

use std::io::{self, Write};

use crate::{Level, Problem, Report, Source, plain};

/// Writes the findings, then the problems as `path:line:column: problem: message`. There is no summary: every line is an entry.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for finding in report.findings {
        let Some(source) = report.sources.get(finding.place.file.0 as usize) else { continue };
        let at = source.range(finding.place.span).start;
        let (path, message) = (plain::line(&source.path), plain::line(&finding.message));
        let (level, rule) = (Level::of(finding).name(), finding.rule);
        writeln!(out, "{path}:{}:{}: {level}[{rule}] {message}", at.line, at.column)?;
    }
    for problem in report.problems {
        writeln!(out, "{}", problem_line(report.sources, problem, "problem: "))?;
    }
    Ok(())
}

/// A problem on one line; `word` stands before its message.
pub(crate) fn problem_line(sources: &[Source], problem: &Problem, word: &str) -> String {
    let (path, message) = (plain::line(&problem.path), plain::line(&problem.message));
    let at = problem.place.and_then(|place| Some(sources.get(place.file.0 as usize)?.range(place.span).start));
    match at {
        Some(at) => format!("{path}:{}:{}: {word}{message}", at.line, at.column),
        None => format!("{path}: {word}{message}"),
    }
}
