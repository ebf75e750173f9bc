//! Reviewdog's diagnostic format: findings for any review tool that it serves, with suggested changes.
//!
//! Its columns count bytes. A suggestion is one replacement, so a fix of several edits is left out: half of it would break the code.

use std::borrow::Cow;
use std::io::{self, Write};

use racefree_rules::{Finding, Fix, Place};
use serde::Serialize;

use crate::{Level, Problem, Report, Source};

#[derive(Serialize)]
struct Diagnostic<'a> {
    message: String,
    location: Location<'a>,
    severity: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suggestions: Vec<Suggestion<'a>>,
}

#[derive(Serialize)]
struct Location<'a> {
    path: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<Range>,
}

#[derive(Serialize)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Serialize)]
struct Position {
    line: u32,
    column: u32,
}

#[derive(Serialize)]
struct Code<'a> {
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

#[derive(Serialize)]
struct Suggestion<'a> {
    range: Range,
    text: &'a str,
}

pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{{\"source\": {{\"name\": \"racefree\"}},\n\"diagnostics\": [")?;
    let findings = report.findings.iter().filter_map(|finding| diagnostic(report, finding));
    let problems = report.problems.iter().map(|problem| of_problem(report, problem));
    let mut separator = "\n";
    for diagnostic in findings.chain(problems) {
        out.write_all(separator.as_bytes())?;
        serde_json::to_writer(&mut *out, &diagnostic)?;
        separator = ",\n";
    }
    writeln!(out, "]}}")
}

fn diagnostic<'a>(report: &'a Report, finding: &'a Finding) -> Option<Diagnostic<'a>> {
    let source = report.sources.get(finding.place.file.0 as usize)?;
    let severity = match Level::of(finding) {
        Level::Error => "ERROR",
        Level::Warning => "WARNING",
        Level::Note => "INFO",
    };
    let url = report.pages.iter().find(|page| page.id == finding.rule).and_then(racefree_rules::Page::address);
    Some(Diagnostic {
        message: message(report, finding),
        location: Location { path: report.standpoint.in_working_folder(&source.path), range: Some(range(source, finding.place)) },
        severity,
        code: Some(Code { value: finding.rule, url }),
        suggestions: finding.fixes.iter().filter_map(|fix| suggestion(source, finding.place, fix)).collect(),
    })
}

/// The message and the interleaving, as a list that review tools render.
fn message(report: &Report, finding: &Finding) -> String {
    let mut lines = vec![finding.message.clone()];
    if !finding.trace.is_empty() {
        lines.push(String::new());
    }
    for (at, step) in finding.trace.iter().enumerate() {
        let source = step.place.and_then(|place| Some((report.sources.get(place.file.0 as usize)?, place)));
        let place = source.map_or(String::new(), |(source, place)| format!(" ({})", source.line(place.span)));
        lines.push(format!("{}. {}: {}{place}", at + 1, step.process, step.message));
    }
    for sentence in [&finding.harm, &finding.help] {
        if !sentence.is_empty() {
            lines.extend([String::new(), sentence.clone()]);
        }
    }
    lines.join("\n")
}

fn suggestion<'a>(source: &Source, reported: Place, fix: &'a Fix) -> Option<Suggestion<'a>> {
    match fix.edits.as_slice() {
        [edit] if edit.place.file == reported.file => Some(Suggestion { range: range(source, edit.place), text: &edit.text }),
        _ => None,
    }
}

fn of_problem<'a>(report: &'a Report, problem: &'a Problem) -> Diagnostic<'a> {
    let range = problem.place.and_then(|place| Some(range(report.sources.get(place.file.0 as usize)?, place)));
    Diagnostic {
        message: format!("not read: {}", problem.message),
        location: Location { path: report.standpoint.in_working_folder(&problem.path), range },
        severity: "INFO",
        code: None,
        suggestions: Vec::new(),
    }
}

fn range(source: &Source, place: Place) -> Range {
    let bytes = source.bytes(place.span);
    Range { start: position(source, bytes.start), end: position(source, bytes.end) }
}

fn position(source: &Source, offset: usize) -> Position {
    let line = source.lines.line(offset as u32);
    let start = source.lines.line_span(&source.text, line).start;
    Position { line, column: (offset as u32).saturating_sub(start) + 1 }
}
