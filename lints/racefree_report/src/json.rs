//! The format for programs: one JSON document, versioned, each finding and each problem on a line of its own, so that line tools can compare two runs.
//!
//! Lines and columns count from 1, columns in characters, an end is the first place behind. `path` and `range` of a step are null when it happens outside
//! the source, and `signal` is there when the step sends something to another process; `range` of a problem is null when it concerns a whole file or folder. `elapsed_ms` is the one value that differs between two runs over the
//! same input: it is the last key of the second line, and whoever compares documents masks it.

use std::io::{self, Write};

use racefree_rules::{Edit, Finding, Fix, Place, Step};
use serde::Serialize;

use crate::{Level, Problem, Range, Report, Source};

#[derive(Serialize)]
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
}

pub(crate) const TOOL: Tool = Tool { name: "racefree", version: env!("CARGO_PKG_VERSION") };

/// Goes up when a reader written for the version before could go wrong; new keys alone do not raise it.
pub(crate) const VERSION: u32 = 1;

#[derive(Serialize)]
pub(crate) struct SummaryEntry {
    files: usize,
    functions: usize,
    findings: usize,
    problems: usize,
    elapsed_ms: u64,
}

#[derive(Serialize)]
pub(crate) struct FindingEntry<'a> {
    rule: &'a str,
    tier: &'a str,
    severity: &'a str,
    message: &'a str,
    harm: &'a str,
    help: &'a str,
    function: &'a str,
    path: &'a str,
    range: Option<Range>,
    fingerprint: &'a str,
    trace: Vec<StepEntry<'a>>,
    fixes: Vec<FixEntry<'a>>,
}

#[derive(Serialize)]
struct StepEntry<'a> {
    process: &'a str,
    message: &'a str,
    path: Option<&'a str>,
    range: Option<Range>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<SignalEntry<'a>>,
}

#[derive(Serialize)]
struct SignalEntry<'a> {
    kind: &'a str,
    to: &'a str,
}

#[derive(Serialize)]
struct FixEntry<'a> {
    title: &'a str,
    safety: &'a str,
    edits: Vec<EditEntry<'a>>,
}

#[derive(Serialize)]
struct EditEntry<'a> {
    path: &'a str,
    range: Range,
    text: &'a str,
}

#[derive(Serialize)]
pub(crate) struct ProblemEntry<'a> {
    path: &'a str,
    range: Option<Range>,
    message: &'a str,
}

pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    head(out)?;
    write!(out, ",\n\"summary\": ")?;
    serde_json::to_writer(&mut *out, &summary(report))?;
    let findings = report.findings.iter().zip(report.fingerprints).map(|(finding, name)| entry(report.sources, finding, name));
    list(out, "findings", findings)?;
    problems(out, report.sources, report.problems)?;
    writeln!(out, "}}")
}

pub(crate) fn summary(report: &Report) -> SummaryEntry {
    SummaryEntry {
        files: report.summary.files,
        functions: report.summary.functions,
        findings: report.findings.len(),
        problems: report.problems.len(),
        elapsed_ms: report.summary.elapsed.map_or(0, |elapsed| elapsed.as_millis() as u64),
    }
}

/// The opening of every document.
pub(crate) fn head(out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{{\"version\": {VERSION}, \"tool\": ")?;
    Ok(serde_json::to_writer(&mut *out, &TOOL)?)
}

pub(crate) fn problems(out: &mut dyn Write, sources: &[Source], problems: &[Problem]) -> io::Result<()> {
    list(out, "problems", problems.iter().map(|problem| problem_entry(sources, problem)))
}

pub(crate) fn problem_entry<'a>(sources: &[Source], problem: &'a Problem) -> ProblemEntry<'a> {
    let range = problem.place.and_then(|place| locate(sources, place)).map(|(_, range)| range);
    ProblemEntry { path: &problem.path, range, message: &problem.message }
}

/// `"name": […]`, an item a line.
pub(crate) fn list<T: Serialize>(out: &mut dyn Write, name: &str, items: impl Iterator<Item = T>) -> io::Result<()> {
    write!(out, ",\n\"{name}\": [")?;
    let mut separator = "\n";
    for item in items {
        out.write_all(separator.as_bytes())?;
        serde_json::to_writer(&mut *out, &item)?;
        separator = ",\n";
    }
    write!(out, "]")
}

/// The path and range of `place`; `None` for a file that is not in the report.
pub(crate) fn locate(sources: &[Source], place: Place) -> Option<(&str, Range)> {
    let source = sources.get(place.file.0 as usize)?;
    Some((source.path.as_str(), source.range(place.span)))
}

pub(crate) fn entry<'a>(sources: &'a [Source], finding: &'a Finding, fingerprint: &'a str) -> FindingEntry<'a> {
    let (path, range) = locate(sources, finding.place).unzip();
    FindingEntry {
        rule: finding.rule,
        tier: finding.tier.name(),
        severity: Level::of(finding).name(),
        message: &finding.message,
        harm: &finding.harm,
        help: &finding.help,
        function: &finding.function,
        path: path.unwrap_or_default(),
        range,
        fingerprint,
        trace: finding.trace.iter().map(|step| step_entry(sources, step)).collect(),
        fixes: finding.fixes.iter().map(|fix| fix_entry(sources, fix)).collect(),
    }
}

fn step_entry<'a>(sources: &'a [Source], step: &'a Step) -> StepEntry<'a> {
    let (path, range) = step.place.and_then(|place| locate(sources, place)).unzip();
    let signal = step.signal.as_ref().map(|signal| SignalEntry { kind: signal.kind.name(), to: &signal.to });
    StepEntry { process: &step.process, message: &step.message, path, range, signal }
}

fn fix_entry<'a>(sources: &'a [Source], fix: &'a Fix) -> FixEntry<'a> {
    let edit = |edit: &'a Edit| locate(sources, edit.place).map(|(path, range)| EditEntry { path, range, text: &edit.text });
    FixEntry { title: &fix.title, safety: fix.safety.name(), edits: fix.edits.iter().filter_map(edit).collect() }
}
