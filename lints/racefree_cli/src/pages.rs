//! `racefree rules` and `racefree explain RULE`: what the rules say about themselves.

use std::io::Write;

use racefree_report::termcolor::{Ansi, ColorSpec, WriteColor};
use racefree_rules::suppression::PAGES;
use racefree_rules::{RULES, Severity};

use crate::arguments::Colour;
use crate::failure::{Failure, Status};
use crate::selection;
use crate::surroundings::Surroundings;

/// One row of the list of rules.
struct Row {
    id: &'static str,
    severity: Severity,
    doc: &'static str,
}

pub(crate) fn explain(id: &str, wish: Colour, surroundings: &Surroundings, out: &mut dyn Write) -> Result<Status, Failure> {
    let row = rows().into_iter().find(|row| row.id == id.trim()).ok_or_else(|| selection::unknown(id))?;
    if !surroundings.is_output_coloured(wish) {
        writeln!(out, "{}", row.doc.trim_end())?;
        return Ok(Status::Clean);
    }
    let mut out = Ansi::new(out);
    for line in row.doc.trim_end().lines() {
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
    let rows = rows();
    let width = rows.iter().map(|row| row.id.len()).max().unwrap_or(0);
    for Row { id, severity, doc } in rows {
        writeln!(out, "{id:width$}  {:7}  {}", severity.name(), title(doc))?;
    }
    Ok(Status::Clean)
}

fn rows() -> Vec<Row> {
    let of_rules = RULES.iter().map(|rule| Row { id: rule.id, severity: rule.severity, doc: rule.doc });
    let of_comments = PAGES.iter().map(|(id, doc)| Row { id, severity: Severity::Warning, doc });
    let mut rows: Vec<_> = of_rules.chain(of_comments).collect();
    rows.sort_unstable_by_key(|row| row.id);
    rows
}

/// A page begins with its title.
fn title(doc: &str) -> &str {
    doc.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default()
}
