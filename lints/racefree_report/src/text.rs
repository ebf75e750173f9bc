//! The format for people: an excerpt from the code, the interleaving that loses as a timeline, what is lost, and what to do about it.

use std::io;

use racefree_rules::{Finding, Tier};
use termcolor::{Color, ColorSpec, WriteColor};

use crate::excerpt::Excerpts;
use crate::timeline::{Event, Ink, Line, Timeline, wrap};
use crate::{Report, Source, oneline, plain, summary};

/// A report that lists more problems than this hides its findings.
const PROBLEMS_MAX: usize = 20;
/// Lines longer than this are hard to follow, however wide the terminal.
const WIDTH_MAX: usize = 120;
const WIDTH_MIN: usize = 40;
/// Where the advice under a finding begins.
const INDENT: usize = 2;

/// Writes `report` for a terminal `width` columns wide; `out` decides about colour.
pub fn write(report: &Report, width: usize, out: &mut dyn WriteColor) -> io::Result<()> {
    let width = width.clamp(WIDTH_MIN, WIDTH_MAX);
    let mut excerpts = Excerpts::new(report.sources);
    for finding in report.findings {
        write_finding(&mut excerpts, finding, width, out)?;
        writeln!(out)?;
    }
    write_problems(report, out)?;
    writeln!(out, "{}", summary::sentence(report))?;
    match summary::hidden(report.summary.hidden) {
        Some(line) => writeln!(out, "{line}"),
        None => Ok(()),
    }
}

/// The whole of one finding, as it stands in the report.
pub(crate) fn write_finding(excerpts: &mut Excerpts, finding: &Finding, width: usize, out: &mut dyn WriteColor) -> io::Result<()> {
    excerpts.write(finding, out)?;
    write_timeline(excerpts.sources, finding, width, out)?;
    write_advice(finding, width, out)
}

pub(crate) fn write_timeline(sources: &[Source], finding: &Finding, width: usize, out: &mut dyn WriteColor) -> io::Result<()> {
    if finding.trace.is_empty() {
        return Ok(());
    }
    for line in timeline(sources, finding).draw(width) {
        write_line(&line, out)?;
    }
    writeln!(out)
}

fn timeline(sources: &[Source], finding: &Finding) -> Timeline {
    let mut timeline = Timeline { processes: Vec::new(), events: Vec::with_capacity(finding.trace.len()) };
    for step in &finding.trace {
        let name = plain::line(&step.process);
        let process = timeline.processes.iter().position(|known| *known == name).unwrap_or_else(|| {
            timeline.processes.push(name.into_owned());
            timeline.processes.len() - 1
        });
        let place = step.place.and_then(|place| Some(sources.get(place.file.0 as usize)?.line(place.span)));
        timeline.events.push(Event {
            process,
            message: plain::line(&step.message).into_owned(),
            place: plain::line(&place.unwrap_or_default()).into_owned(),
            is_reported: step.place == Some(finding.place),
        });
    }
    timeline
}

/// What is lost, what to do, how sure this is, and where to read on.
fn write_advice(finding: &Finding, width: usize, out: &mut dyn WriteColor) -> io::Result<()> {
    let sureness = match finding.tier {
        Tier::Likely if !finding.trace.is_empty() => "one step is assumed, not proven",
        Tier::Audit => "worth a look, not proven",
        Tier::Certain | Tier::Likely => "",
    };
    let explain = format!("racefree explain {}", finding.rule);
    for (word, text) in [("harm", finding.harm.as_str()), ("help", &finding.help), (finding.tier.name(), sureness), ("more", &explain)] {
        if text.is_empty() {
            continue;
        }
        let lead = format!("{word}: ");
        let mut lines = wrap(&plain::line(text), width.saturating_sub(INDENT + 2 + lead.len())).into_iter();
        let first = lines.next().unwrap_or_default();
        write_line(&vec![(Ink::Faint, format!("{}= ", " ".repeat(INDENT))), (Ink::Process, lead.clone()), (Ink::Plain, first)], out)?;
        for line in lines {
            writeln!(out, "{}{line}", " ".repeat(INDENT + 2 + lead.len()))?;
        }
    }
    Ok(())
}

fn write_problems(report: &Report, out: &mut dyn WriteColor) -> io::Result<()> {
    for problem in report.problems.iter().take(PROBLEMS_MAX) {
        out.set_color(ColorSpec::new().set_bold(true))?;
        write!(out, "problem")?;
        out.reset()?;
        writeln!(out, ": {}", oneline::problem_line(report.sources, problem, ""))?;
    }
    let more = report.problems.len().saturating_sub(PROBLEMS_MAX);
    if more > 0 {
        writeln!(out, "and {} more (see `racefree coverage`)", summary::count(more, "problem"))?;
    }
    if report.problems.is_empty() { Ok(()) } else { writeln!(out) }
}

pub(crate) fn write_line(line: &Line, out: &mut dyn WriteColor) -> io::Result<()> {
    for (ink, text) in line {
        let mut colour = ColorSpec::new();
        match ink {
            Ink::Plain => {}
            Ink::Faint => drop(colour.set_fg(Some(Color::Cyan))),
            Ink::Process => drop(colour.set_bold(true)),
            Ink::Reported => drop(colour.set_fg(Some(Color::Red)).set_bold(true)),
        }
        if colour.is_none() {
            write!(out, "{text}")?;
        } else {
            out.set_color(&colour)?;
            write!(out, "{text}")?;
            out.reset()?;
        }
    }
    writeln!(out)
}
