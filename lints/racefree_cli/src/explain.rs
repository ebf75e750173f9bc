//! `racefree explain`: a rule's page, or the story of the finding at a line.

use std::fs;
use std::io::Write;
use std::path::Path;

use racefree_analysis::Program;
use racefree_report::termcolor::{Ansi, NoColor, WriteColor};
use racefree_report::{explanation, exunit};
use racefree_rules::page::{Page, pages};
use racefree_rules::{Finding, Place};

use crate::arguments::{Colour, ExplainOptions};
use crate::failure::{Failure, Status};
use crate::pages;
use crate::progress::Progress;
use crate::settings::{Input, project_models};
use crate::sources::{self, Sources};
use crate::stock::Stock;
use crate::surroundings::Surroundings;

/// At most so many other lines are named when there is nothing at the one asked for.
const LINES_NAMED_MAX: usize = 5;

pub(crate) fn run(options: &ExplainOptions, wish: Colour, surroundings: &Surroundings, out: &mut dyn Write) -> Result<Status, Failure> {
    match line_of(&options.subject) {
        Some((file, line)) => explain_line(options, (Path::new(file), line), wish, surroundings, out),
        None if options.test.is_some() => Err(Failure::Usage("--test needs a finding: name it as FILE:LINE".to_owned())),
        None => pages::explain(&options.subject, wish, surroundings, out),
    }
}

/// `FILE:LINE` in two; a column behind it, as editors and reports write it, is passed over.
fn line_of(subject: &str) -> Option<(&str, u32)> {
    let (before, last) = subject.rsplit_once(':')?;
    let last = last.parse().ok()?;
    match before.rsplit_once(':') {
        Some((file, line)) if line.parse::<u32>().is_ok() => Some((file, line.parse().ok()?)),
        _ => Some((before, last)),
    }
}

fn explain_line(
    options: &ExplainOptions,
    (file, line): (&Path, u32),
    wish: Colour,
    surroundings: &Surroundings,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let config = Input::config(&options.input, surroundings)?;
    let input = Input::new(&options.input, &config, surroundings)?;
    let models = project_models(config.models)?;
    let pool = sources::pool(options.input.threads)?;
    let progress = Progress::new(surroundings);
    let sources = sources::read(&input, &Stock::default(), &pool, &progress)?;
    progress.stage("looking for races", 0);
    // Of every tier, in tests too, and allowed ones as well: whoever asks wants to know.
    let mut findings = pool.install(|| racefree_rules::check(&Program::new(&sources.files, &models), |_| true));
    racefree_rules::sketch::write_out(&mut findings, |file| sources.texts.get(file.0 as usize).map(|source| source.text.as_str()));
    drop(progress);
    let index = file_index(&sources, &input, file)?;
    let touches = |place: &Place| {
        let lines = sources.texts.get(index).map(|source| &source.lines);
        let spans = lines.is_some_and(|lines| lines.line(place.span.start) <= line && line <= lines.line(place.span.end));
        place.file.0 as usize == index && spans
    };
    let mut told: Vec<&Finding> = findings.iter().filter(|finding| touches(&finding.place)).collect();
    if told.is_empty() {
        told = findings.iter().filter(|finding| finding.trace.iter().any(|step| step.place.as_ref().is_some_and(touches))).collect();
    }
    if told.is_empty() {
        return Err(nothing_at(file, line, index, &sources, &findings));
    }
    if let (Some(path), Some(finding)) = (&options.test, told.first()) {
        write_test(path, &sources, finding)?;
        writeln!(out, "{}: fill in its steps; it fails until then", path.display())?;
        return Ok(Status::Clean);
    }
    let is_coloured = surroundings.is_output_coloured(wish);
    let (mut coloured, mut uncoloured);
    let out: &mut dyn WriteColor = if is_coloured {
        coloured = Ansi::new(out);
        &mut coloured
    } else {
        uncoloured = NoColor::new(out);
        &mut uncoloured
    };
    let pages = pages();
    for finding in told {
        if let Some(page) = pages.iter().find(|page: &&Page| page.id == finding.rule) {
            explanation::write(&sources.texts, finding, page, surroundings.width, out)?;
        }
    }
    Ok(Status::Clean)
}

/// Which of the program's files is meant.
fn file_index(sources: &Sources, input: &Input, file: &Path) -> Result<usize, Failure> {
    let candidates = [file.to_path_buf(), input.base.join(file)];
    let wanted: Vec<_> = candidates.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let is_meant = |path: &std::path::PathBuf| fs::canonicalize(path).is_ok_and(|path| wanted.contains(&path));
    let unknown = || Failure::Usage(format!("`{}` is no file of the program that was read", file.display()));
    sources.paths.iter().position(is_meant).ok_or_else(unknown)
}

fn nothing_at(file: &Path, line: u32, index: usize, sources: &Sources, findings: &[Finding]) -> Failure {
    let here = findings.iter().filter(|finding| finding.place.file.0 as usize == index);
    let line_of = |finding: &Finding| sources.texts.get(index).map(|source| source.lines.line(finding.place.span.start));
    let mut lines: Vec<u32> = here.filter_map(line_of).collect();
    lines.dedup();
    let named: Vec<String> = lines.iter().take(LINES_NAMED_MAX).map(u32::to_string).collect();
    let file = file.display();
    Failure::Usage(match named.as_slice() {
        [] => format!("no race was found at {file}:{line}, nor elsewhere in this file"),
        [only] => format!("no race was found at {file}:{line}; there is one at line {only}"),
        _ => format!("no race was found at {file}:{line}; there are some at lines {}", named.join(", ")),
    })
}

/// Never writes over a file: somebody may have filled it in.
fn write_test(path: &Path, sources: &Sources, finding: &Finding) -> Result<(), Failure> {
    let failed = |error| Failure::CouldNotRun(format!("cannot write `{}`: {error}", path.display()));
    let mut file = fs::File::create_new(path).map_err(failed)?;
    exunit::write(&sources.texts, finding, &mut file).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_places_as_reports_write_them() {
        assert_eq!(line_of("lib/a.ex:54"), Some(("lib/a.ex", 54)));
        assert_eq!(line_of("lib/a.ex:54:7"), Some(("lib/a.ex", 54)));
        assert_eq!(line_of("c:/a.ex:54"), Some(("c:/a.ex", 54)));
        assert_eq!(line_of("nil_pid_call"), None);
    }
}
