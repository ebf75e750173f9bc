//! One finding: what is wrong and where, what is lost, the interleaving, the source, and what to do.

use maud::{Markup, html};
use racefree_rules::{Finding, Fix, Tier};

use super::{breakable, code, inline, lanes};
use crate::{Report, json, plain};

/// `number` counts the findings from 1; `name` is the fingerprint, which makes a link last.
pub(super) fn article(report: &Report, finding: &Finding, name: &str, number: usize) -> Markup {
    let located = json::locate(report.sources, finding.place);
    let path = plain::line(located.map_or("", |(path, _)| path)).into_owned();
    let place = located.map_or(String::new(), |(_, range)| format!("{path}:{}:{}", range.start.line, range.start.column));
    let id = format!("f-{name}");
    html! {
        article id=(id) data-rule=(finding.rule) data-tier=(finding.tier.name()) data-path=(path) aria-labelledby={ (id) "-title" } {
            header {
                p.facts {
                    span.tier.(finding.tier.name()) { (finding.tier.name()) }
                    " "
                    a.rule href={ "#rule-" (finding.rule) } { (breakable(finding.rule)) }
                    " "
                    code.path { (breakable(&place)) }
                }
                h2 id={ (id) "-title" } { span.number { (number) } " " (inline(&finding.message)) }
                @if !finding.harm.is_empty() { p.harm { (inline(&finding.harm)) } }
                @if let Some(doubt) = doubt(finding) { p.quiet { (doubt) } }
            }
            @if !finding.trace.is_empty() {
                section {
                    h3 { "The interleaving that loses" }
                    (lanes::drawing(report.sources, finding, &id))
                }
            }
            section {
                h3 { "The source" }
                @if !finding.function.is_empty() { p.quiet { "In " code { (breakable(&plain::line(&finding.function))) } } }
                (code::excerpts(report.sources, finding, &id))
            }
            @if !finding.help.is_empty() || !finding.fixes.is_empty() {
                section {
                    h3 { "What helps" }
                    @if !finding.help.is_empty() { p { (inline(&finding.help)) } }
                    @for fix in &finding.fixes { (self::fix(report, fix)) }
                }
            }
        }
    }
}

fn doubt(finding: &Finding) -> Option<&'static str> {
    match finding.tier {
        Tier::Likely if !finding.trace.is_empty() => Some("One step is assumed, not proven."),
        Tier::Audit => Some("Worth a look, not proven."),
        Tier::Certain | Tier::Likely => None,
    }
}

fn fix(report: &Report, fix: &Fix) -> Markup {
    html! {
        div.fix {
            p { (inline(&fix.title)) " " span.quiet { "(" (fix.safety.name()) ")" } }
            @for edit in &fix.edits {
                @if let Some(source) = report.sources.get(edit.place.file.0 as usize) {
                    p.quiet { code.path { (breakable(&plain::line(&source.line(edit.place.span)))) } }
                    pre.edit tabindex="0" {
                        @for line in plain::source(source.code(edit.place.span)).lines() { del { (line) } "\n" }
                        @for line in plain::source(&edit.text).lines() { ins { (line) } "\n" }
                    }
                }
            }
        }
    }
}
