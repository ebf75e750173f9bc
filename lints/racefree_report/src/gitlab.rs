//! GitLab's code quality report, the part of Code Climate's format that GitLab reads: a list of entries, shown in merge requests.

use std::borrow::Cow;
use std::io::{self, Write};

use racefree_rules::Finding;
use serde::Serialize;

use crate::{Level, Report, fingerprint, json};

#[derive(Serialize)]
struct Entry<'a> {
    description: String,
    check_name: &'a str,
    /// GitLab shows one of several entries that share it.
    fingerprint: Cow<'a, str>,
    severity: &'a str,
    location: Location<'a>,
}

#[derive(Serialize)]
struct Location<'a> {
    path: Cow<'a, str>,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: u32,
    end: u32,
}

pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let findings = report.findings.iter().zip(report.fingerprints).filter_map(|(finding, name)| entry(report, finding, name));
    let mut separator = "[\n";
    for entry in findings.chain(problems(report)) {
        out.write_all(separator.as_bytes())?;
        serde_json::to_writer(&mut *out, &entry)?;
        separator = ",\n";
    }
    writeln!(out, "{}", if separator.starts_with('[') { "[]" } else { "]" })
}

fn entry<'a>(report: &'a Report, finding: &'a Finding, fingerprint: &'a str) -> Option<Entry<'a>> {
    let (path, range) = json::locate(report.sources, finding.place)?;
    // The interface shows the description alone, and none of the other fields that a rule's name could stand in.
    let description = format!("{} ({})", finding.message, finding.rule);
    let severity = match Level::of(finding) {
        Level::Error => "critical",
        Level::Warning => "major",
        Level::Note => "info",
    };
    let lines = Lines { begin: range.start.line, end: range.end.line };
    Some(Entry {
        description,
        check_name: finding.rule,
        fingerprint: fingerprint.into(),
        severity,
        location: Location { path: report.standpoint.in_repository(path), lines },
    })
}

fn problems<'a>(report: &'a Report) -> impl Iterator<Item = Entry<'a>> {
    report.problems.iter().map(|problem| {
        let range = problem.place.and_then(|place| json::locate(report.sources, place)).map(|(_, range)| range);
        let lines = range.map_or(Lines { begin: 1, end: 1 }, |range| Lines { begin: range.start.line, end: range.end.line });
        Entry {
            description: format!("not read: {}", problem.message),
            check_name: "not_read",
            fingerprint: fingerprint::of_problem(problem, lines.begin).into(),
            severity: "info",
            location: Location { path: report.standpoint.in_repository(&problem.path), lines },
        }
    })
}
