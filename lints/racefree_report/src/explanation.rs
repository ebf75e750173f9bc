//! The whole story of one finding: what is shared, who may run when, why the rule speaks, how to repair it, and what makes it impossible.

use std::io;

use racefree_rules::page::Page;
use racefree_rules::{Finding, Tier};
use termcolor::{ColorSpec, WriteColor};

use crate::excerpt::Excerpts;
use crate::text::{write_line, write_timeline};
use crate::timeline::{Ink, wrap};
use crate::{Source, plain};

/// Sentences wider than this are hard to follow.
const WIDTH_MAX: usize = 100;
const WIDTH_MIN: usize = 40;

/// Writes what is known of `finding`; `page` is its rule's.
pub fn write(sources: &[Source], finding: &Finding, page: &Page, width: usize, out: &mut dyn WriteColor) -> io::Result<()> {
    let width = width.clamp(WIDTH_MIN, WIDTH_MAX);
    Excerpts::new(sources).write(finding, out)?;
    write_timeline(sources, finding, width, out)?;
    let mut section = |heading: &str, text: &str| -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        out.set_color(ColorSpec::new().set_bold(true))?;
        write!(out, "{heading}")?;
        out.reset()?;
        writeln!(out)?;
        for line in flowed(&plain::source(text), width) {
            write_line(&vec![(Ink::Plain, if line.is_empty() { line } else { format!("  {line}") })], out)?;
        }
        writeln!(out)
    };
    section("What is shared", page.shared)?;
    section("Who may run when", &window(finding))?;
    section("What is lost", &finding.harm)?;
    section("Why this is no false alarm", &grounds(finding, page))?;
    section("How to repair it", &[finding.help.as_str(), page.section("Instead")].join("\n\n"))?;
    section("What makes it impossible", page.primitive)?;
    section("How to see it lose", &trial(sources, finding))
}

/// Between which steps others run, told from the order of the trace.
fn window(finding: &Finding) -> String {
    let name = |index: usize| finding.trace.get(index).map(|step| step.process.as_str());
    let Some(reported) = finding.trace.iter().rposition(|step| step.place == Some(finding.place)) else { return String::new() };
    let Some(victim) = name(reported) else { return String::new() };
    let rivals: Vec<usize> = (0..finding.trace.len()).filter(|index| name(*index) != Some(victim)).collect();
    let Some(first) = rivals.first() else {
        return format!("Every step is taken by one process, {victim}; what changes in between is outside the source shown.");
    };
    let mut others: Vec<&str> = Vec::new();
    for other in rivals.iter().filter_map(|index| name(*index)) {
        if !others.contains(&other) {
            others.push(other);
        }
    }
    let others = others.join(" and ");
    let before = (0..*first).rev().find(|index| name(*index) == Some(victim)).map(|index| index + 1);
    let act = reported + 1;
    match before {
        Some(check) if *first < reported => format!(
            "Between step {check} and step {act} of {victim}, nothing keeps {others} from running: no lock, request or message orders them."
        ),
        Some(check) => {
            format!("After step {check}, {victim} waits for nobody, and nothing orders {others}: no lock, request or message.")
        }
        None => format!("Nothing keeps {others} from running before step {act} of {victim}."),
    }
}

/// How to come by a test that takes the steps in this order.
fn trial(sources: &[Source], finding: &Finding) -> String {
    let Some(source) = sources.get(finding.place.file.0 as usize) else { return String::new() };
    let (place, rule) = (plain::line(&source.line(finding.place.span)).into_owned(), finding.rule);
    format!(
        "A test that takes these steps in this order, to be filled in:\n\n```sh\nracefree explain {place} --test test/{rule}_test.exs\n```"
    )
}

/// How sure the rule is, and what it would have taken for an excuse.
fn grounds(finding: &Finding, page: &Page) -> String {
    let sureness = match finding.tier {
        Tier::Certain => "Every step above was found in the source and follows from it; nothing is assumed.",
        Tier::Likely => "The steps above were found in the source; one of them is assumed, not proven.",
        Tier::Audit => "The code has the shape of this race; whether the steps meet is for a person to judge.",
    };
    match page.section("Not reported") {
        "" => sureness.to_owned(),
        excuses => format!("{sureness} The rule looked for what makes such code safe, and found none of it here:\n\n{excuses}"),
    }
}

/// Markdown with its paragraphs and list entries brought to `width`; code blocks stay.
fn flowed(text: &str, width: usize) -> Vec<String> {
    let width = width.saturating_sub(2);
    let mut lines = Vec::new();
    let mut paragraph = String::new();
    let mut is_code = false;
    let flush = |paragraph: &mut String, lines: &mut Vec<String>| {
        let (lead, text) = paragraph.strip_prefix("- ").map_or(("", paragraph.as_str()), |text| ("- ", text));
        for (index, line) in wrap(text, width.saturating_sub(lead.len())).into_iter().enumerate().filter(|(_, line)| !line.is_empty()) {
            lines.push(format!("{}{line}", if index == 0 { lead } else { "  ".get(..lead.len()).unwrap_or_default() }));
        }
        paragraph.clear();
    };
    for line in text.lines() {
        if line.starts_with("```") {
            flush(&mut paragraph, &mut lines);
            is_code = !is_code;
        } else if is_code {
            lines.push(if line.is_empty() { String::new() } else { format!("    {line}") });
        } else if line.is_empty() {
            flush(&mut paragraph, &mut lines);
            lines.push(String::new());
        } else {
            if line.starts_with("- ") {
                flush(&mut paragraph, &mut lines);
            }
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(line.trim_start());
        }
    }
    flush(&mut paragraph, &mut lines);
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_paragraphs_and_lists_and_leaves_code() {
        let text = "one two\nthree\n\n- first entry that\n  goes on\n- second\n\n```elixir\ndef a,   do: 1\n```\n";
        let expected = ["one two three", "", "- first entry", "  that goes", "  on", "- second", "", "    def a,   do: 1"];
        assert_eq!(flowed(text, 15), expected);
    }
}
