//! The JSON document taken apart into lines, for tools that read as the lines come: what the tool is, each finding, each problem, and the counts at the end.
//!
//! Each line is an object of its own; its first key, `type`, says which: `tool`, `finding`, `problem`, `summary`. The other keys are those of the
//! document, described in [`crate::json`]. A reader passes over lines of a type that it does not know.

use std::io::{self, Write};

use serde::Serialize;

use crate::Report;
use crate::json::{self, TOOL, VERSION};

#[derive(Serialize)]
struct Line<T> {
    r#type: &'static str,
    #[serde(flatten)]
    entry: T,
}

#[derive(Serialize)]
struct ToolEntry {
    version: u32,
    tool: json::Tool,
}

pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    line(out, "tool", ToolEntry { version: VERSION, tool: TOOL })?;
    for (finding, fingerprint) in report.findings.iter().zip(report.fingerprints) {
        line(out, "finding", json::entry(report.sources, finding, fingerprint))?;
    }
    for problem in report.problems {
        line(out, "problem", json::problem_entry(report.sources, problem))?;
    }
    line(out, "summary", json::summary(report))
}

fn line<T: Serialize>(out: &mut dyn Write, r#type: &'static str, entry: T) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Line { r#type, entry })?;
    writeln!(out)
}
