//! The head of a finding and the code it speaks of, with its places underlined and numbered as the timeline below numbers its steps.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range as Bytes;

use codespan_reporting::diagnostic::{Diagnostic, Label, LabelStyle, Severity};
use codespan_reporting::files::{Error, Files};
use codespan_reporting::term::{self, Config};
use racefree_rules::{Finding, Place};
use termcolor::WriteColor;

use crate::{Level, Source, plain};

/// A line longer than this is generated code: drawing it would bury the finding.
const LINE_BYTES_MAX: usize = 500;

/// Draws excerpts; each source is made safe to print once, however many findings it has.
pub(crate) struct Excerpts<'a> {
    pub(crate) sources: &'a [Source],
    drawn: BTreeMap<u32, (&'a Source, Cow<'a, str>)>,
}

impl<'a> Excerpts<'a> {
    pub(crate) fn new(sources: &'a [Source]) -> Self {
        Self { sources, drawn: BTreeMap::new() }
    }

    /// Draws `finding`: its severity, rule and message, and an excerpt from each file it touches.
    pub(crate) fn write(&mut self, finding: &Finding, out: &mut dyn WriteColor) -> io::Result<()> {
        let places = finding.trace.iter().filter_map(|step| step.place).chain([finding.place]);
        for id in places.map(|place| place.file.0) {
            if let Some(source) = self.sources.get(id as usize) {
                self.drawn.entry(id).or_insert_with(|| (source, plain::source(&source.text)));
            }
        }
        write_excerpt(self, finding, out)
    }

    fn get(&self, id: u32) -> Result<(&'a Source, &str), Error> {
        self.drawn.get(&id).map(|(source, text)| (*source, text.as_ref())).ok_or(Error::FileMissing)
    }
}

fn write_excerpt(drawn: &Excerpts, finding: &Finding, out: &mut dyn WriteColor) -> io::Result<()> {
    let severity = match Level::of(finding) {
        Level::Error => Severity::Error,
        Level::Warning => Severity::Warning,
        Level::Note => Severity::Note,
    };
    let diagnostic =
        Diagnostic::new(severity).with_code(finding.rule).with_message(plain::line(&finding.message)).with_labels(labels(drawn, finding));
    match term::emit_to_write_style(out, &Config::default(), drawn, &diagnostic) {
        Ok(()) => {}
        Err(Error::Io(error)) => return Err(error),
        Err(error) => return Err(io::Error::other(error)),
    }
    match drawn.get(finding.place.file.0) {
        Ok((source, _)) if diagnostic.labels.iter().all(|label| label.style != LabelStyle::Primary) => {
            let at = source.range(finding.place.span).start;
            writeln!(out, "   ┌─ {}:{}:{}: a line too long to draw\n", plain::line(&source.path), at.line, at.column)
        }
        _ => Ok(()),
    }
}

/// One label for each place, the primary one first: its file is drawn first. Steps that share a place share its label.
fn labels(drawn: &Excerpts, finding: &Finding) -> Vec<Label<u32>> {
    let mut texts: BTreeMap<Place, Vec<String>> = BTreeMap::new();
    for (at, step) in finding.trace.iter().enumerate() {
        if let Some(place) = step.place {
            texts.entry(place).or_default().push(format!("{}: {}", at + 1, plain::line(&step.process)));
        }
    }
    let primary = texts.remove(&finding.place).unwrap_or_default();
    let mut labels = Vec::with_capacity(texts.len() + 1);
    labels.extend(label(drawn, LabelStyle::Primary, finding.place, &primary));
    labels.extend(texts.iter().filter_map(|(place, texts)| label(drawn, LabelStyle::Secondary, *place, texts)));
    labels
}

/// A label on the first line of `place`: brackets around many lines say less than a pointer to where they begin.
fn label(drawn: &Excerpts, style: LabelStyle, place: Place, texts: &[String]) -> Option<Label<u32>> {
    let (source, text) = drawn.get(place.file.0).ok()?;
    let Bytes { start, end } = source.bytes(place.span);
    let line = source.lines.line_span(&source.text, source.lines.line(start as u32));
    if line.end - line.start > LINE_BYTES_MAX as u32 {
        return None;
    }
    let first_line = text.get(start..end.min(line.end as usize)).unwrap_or_default();
    let range = start..start + first_line.trim_end().len();
    Some(Label::new(style, place.file.0, range).with_message(texts.join(", ")))
}

impl<'a> Files<'a> for Excerpts<'_> {
    type FileId = u32;
    type Name = Cow<'a, str>;
    type Source = &'a str;

    fn name(&'a self, id: u32) -> Result<Self::Name, Error> {
        Ok(plain::line(&self.get(id)?.0.path))
    }

    fn source(&'a self, id: u32) -> Result<&'a str, Error> {
        Ok(self.get(id)?.1)
    }

    fn line_index(&'a self, id: u32, byte_index: usize) -> Result<usize, Error> {
        Ok((self.get(id)?.0.lines.line(byte_index as u32) as usize).saturating_sub(1))
    }

    fn line_range(&'a self, id: u32, line_index: usize) -> Result<Bytes<usize>, Error> {
        let (source, text) = self.get(id)?;
        let max = source.lines.line_count();
        if line_index >= max {
            return Err(Error::LineTooLarge { given: line_index, max });
        }
        let line = source.lines.line_span(&source.text, line_index as u32 + 1);
        Ok(line.start as usize..(line.end as usize + 1).min(text.len()))
    }
}
