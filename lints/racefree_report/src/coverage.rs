//! What the analysis could not see: problems and blind spots, by kind and place. A linter that is silent about its own limits is not believed.

use std::io::{self, Write};

use racefree_syntax::FileId;
use racefree_syntax::core::{BlindSpot, BlindSpotKind};
use serde::Serialize;

use crate::summary::count;
use crate::{Problem, Range, Source, Summary, json, oneline, plain};

#[derive(Debug)]
pub struct Coverage<'a> {
    /// A file's index is its `FileId`.
    pub sources: &'a [Source],
    pub problems: &'a [Problem],
    /// In the order of files and places.
    pub blind_spots: &'a [(FileId, BlindSpot)],
    pub summary: Summary,
}

#[derive(Serialize)]
struct SummaryEntry {
    files: usize,
    functions: usize,
    problems: usize,
    blind_spots: usize,
}

#[derive(Serialize)]
struct BlindSpotEntry<'a> {
    kind: &'a str,
    path: &'a str,
    range: Range,
}

const KINDS: [BlindSpotKind; 4] = [BlindSpotKind::DynamicModule, BlindSpotKind::DynamicApply, BlindSpotKind::Macro, BlindSpotKind::TooDeep];

pub fn write_json(coverage: &Coverage, out: &mut dyn Write) -> io::Result<()> {
    let summary = SummaryEntry {
        files: coverage.summary.files,
        functions: coverage.summary.functions,
        problems: coverage.problems.len(),
        blind_spots: coverage.blind_spots.len(),
    };
    json::head(out)?;
    write!(out, ",\n\"summary\": ")?;
    serde_json::to_writer(&mut *out, &summary)?;
    json::problems(out, coverage.sources, coverage.problems)?;
    let entry = |(file, spot): &(FileId, BlindSpot)| {
        let source = coverage.sources.get(file.0 as usize)?;
        Some(BlindSpotEntry { kind: name(spot.kind), path: &source.path, range: source.range(spot.span) })
    };
    json::list(out, "blind_spots", coverage.blind_spots.iter().filter_map(entry))?;
    writeln!(out, "}}")
}

/// Everything, however long: who asks for coverage wants the list.
pub fn write_text(coverage: &Coverage, out: &mut dyn Write) -> io::Result<()> {
    let Summary { files, functions, .. } = coverage.summary;
    writeln!(out, "Read {}, {}.", count(files, "file"), count(functions, "function"))?;
    if coverage.problems.is_empty() && coverage.blind_spots.is_empty() {
        return writeln!(out, "Nothing stayed out of sight.");
    }
    if !coverage.problems.is_empty() {
        writeln!(out, "\n{}: what could not be read\n", count(coverage.problems.len(), "problem"))?;
        for problem in coverage.problems {
            writeln!(out, "  {}", oneline::problem_line(coverage.sources, problem, ""))?;
        }
    }
    for kind in KINDS {
        write_kind(coverage, kind, out)?;
    }
    Ok(())
}

fn write_kind(coverage: &Coverage, kind: BlindSpotKind, out: &mut dyn Write) -> io::Result<()> {
    let found = coverage.blind_spots.iter().filter(|(_, spot)| spot.kind == kind).count();
    if found == 0 {
        return Ok(());
    }
    writeln!(out, "\n{} ({}): {}\n", count(found, "blind spot"), name(kind), meaning(kind))?;
    for of_file in coverage.blind_spots.chunk_by(|a, b| a.0 == b.0) {
        let Some(source) = of_file.first().and_then(|(file, _)| coverage.sources.get(file.0 as usize)) else { continue };
        let spots = of_file.iter().filter(|(_, spot)| spot.kind == kind);
        let lines: Vec<_> = spots.map(|(_, spot)| source.lines.line(spot.span.start).to_string()).collect();
        if !lines.is_empty() {
            writeln!(out, "  {}:{}", plain::line(&source.path), lines.join(", "))?;
        }
    }
    Ok(())
}

fn name(kind: BlindSpotKind) -> &'static str {
    match kind {
        BlindSpotKind::DynamicModule => "dynamic_module",
        BlindSpotKind::DynamicApply => "dynamic_apply",
        BlindSpotKind::Macro => "macro",
        BlindSpotKind::TooDeep => "too_deep",
    }
}

fn meaning(kind: BlindSpotKind) -> &'static str {
    match kind {
        BlindSpotKind::DynamicModule => "calls into a module that is computed",
        BlindSpotKind::DynamicApply => "apply/3 with a module, name or arguments that are computed",
        BlindSpotKind::Macro => "macros' bodies, quoted code, definitions whose name is computed",
        BlindSpotKind::TooDeep => "code nested too deep to follow",
    }
}
