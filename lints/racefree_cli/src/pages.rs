//! `racefree rules` and `racefree explain RULE`: what the rules say about themselves.

use std::io::Write;

use racefree_report::termcolor::{Ansi, ColorSpec, WriteColor};
use racefree_rules::page::pages;

use crate::arguments::Colour;
use crate::failure::{Failure, Status};
use crate::selection;
use crate::surroundings::Surroundings;

pub(crate) fn explain(id: &str, wish: Colour, surroundings: &Surroundings, out: &mut dyn Write) -> Result<Status, Failure> {
    let page = pages().into_iter().find(|page| page.id == id.trim()).ok_or_else(|| selection::unknown(id))?;
    if !surroundings.is_output_coloured(wish) {
        writeln!(out, "{}", page.doc.trim_end())?;
        return Ok(Status::Clean);
    }
    let mut out = Ansi::new(out);
    for line in page.doc.trim_end().lines() {
        if line.starts_with('#') {
            out.set_color(ColorSpec::new().set_bold(true))?;
            writeln!(out, "{line}")?;
            out.reset()?;
        } else {
            writeln!(out, "{line}")?;
        }
    }
    Ok(Status::Clean)
}

pub(crate) fn rules(out: &mut dyn Write) -> Result<Status, Failure> {
    let pages = pages();
    let width = pages.iter().map(|page| page.id.len()).max().unwrap_or(0);
    for page in pages {
        writeln!(out, "{:width$}  {:7}  {}", page.id, page.severity.name(), page.title())?;
    }
    Ok(Status::Clean)
}
