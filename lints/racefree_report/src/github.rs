//! Workflow commands, from which GitHub makes annotations of a run and of the lines that a pull request changes.
//!
//! A command is one line: `::error file=…,line=…::message`. The message carries the whole interleaving, for an annotation has no other place for it.

use std::fmt::Write as _;
use std::io::{self, Write};

use racefree_rules::{Finding, Place};

use crate::{Level, Report, json, plain};

pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for finding in report.findings {
        let command = match Level::of(finding) {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "notice",
        };
        let place = properties(report, Some(finding.place), None);
        writeln!(out, "::{command} {place}title={}::{}", property(finding.rule), data(&message(report, finding)))?;
    }
    for problem in report.problems {
        let place = properties(report, problem.place, Some(&problem.path));
        writeln!(out, "::warning {place}title=not read::{}", data(&plain::line(&problem.message)))?;
    }
    Ok(())
}

/// `file=…,line=…,`: where, as far as it is known.
fn properties(report: &Report, place: Option<Place>, path: Option<&str>) -> String {
    let located = place.and_then(|place| json::locate(report.sources, place));
    let Some(path) = located.map(|(path, _)| path).or(path) else { return String::new() };
    let mut text = format!("file={},", property(&plain::line(&report.standpoint.in_repository(path))));
    if let Some((_, range)) = located {
        let (start, end) = (range.start, range.end);
        // Writing to a string cannot fail.
        let _ = write!(text, "line={},endLine={},", start.line, end.line);
        // GitHub takes columns within one line only, and counts the last one in.
        if start.line == end.line {
            let _ = write!(text, "col={},endColumn={},", start.column, end.column.saturating_sub(1).max(start.column));
        }
    }
    text
}

fn message(report: &Report, finding: &Finding) -> String {
    let mut text = plain::line(&finding.message).into_owned();
    if !finding.trace.is_empty() {
        text.push('\n');
    }
    for (at, step) in finding.trace.iter().enumerate() {
        let _ = write!(text, "\n{}. {}: {}", at + 1, plain::line(&step.process), plain::line(&step.message));
        if let Some((path, range)) = step.place.and_then(|place| json::locate(report.sources, place)) {
            let _ = write!(text, " ({}:{})", plain::line(path), range.start.line);
        }
    }
    for (word, sentence) in [("Harm", &finding.harm), ("Help", &finding.help)] {
        if !sentence.is_empty() {
            let _ = write!(text, "\n\n{word}: {}", plain::line(sentence));
        }
    }
    text
}

/// What the runner turns back in a message: the percent sign, and what would end the line.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// In a property, its two separators besides.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
