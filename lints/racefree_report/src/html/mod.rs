//! One page for people, in one file: findings with filters, their source, and each interleaving drawn as lanes, a lane for each process.
//!
//! The page asks nothing of a network and allows itself nothing: its content security policy names the hashes of its own style and script, and no element
//! carries a style or a handler of its own. Without the script everything is there but the filters. The drawing and the list that a screen reader hears are one
//! and the same ordered list; the style alone makes lanes of it.
//!
//! What could fool a reader of the source (control characters, direction marks) is made visible, as on a terminal.

mod code;
mod finding;
mod lanes;
mod rule;

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use racefree_rules::suppression::Allowed;
use racefree_rules::{Finding, Tier};
use sha2::{Digest, Sha256};

use crate::{Report, json, oneline, plain, summary};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let style = format!("{STYLE}{}", lanes::style());
    let policy =
        format!("default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'", hash(&style), hash(SCRIPT));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(format!("racefree {}", env!("CARGO_PKG_VERSION")));
                title { "Racefree: " (verdict(report)) }
                style { (PreEscaped(&style)) }
            }
            body {
                a.skip href="#findings" { "Skip to the findings" }
                (head(report))
                div.columns {
                    @if !report.findings.is_empty() { (index(report)) }
                    main #findings tabindex="-1" { (findings(report)) }
                }
                footer { p { "Written by racefree " (env!("CARGO_PKG_VERSION")) "." } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    writeln!(out, "{}", page.into_string())
}

/// As a content security policy names an inline text.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

fn verdict(report: &Report) -> String {
    match report.findings.len() {
        0 => "no races found".to_owned(),
        found => summary::count(found, "finding"),
    }
}

fn head(report: &Report) -> Markup {
    let files = summary::count(report.summary.files, "file");
    let functions = summary::count(report.summary.functions, "function");
    html! {
        header.page {
            p.brand { "Racefree" }
            @if report.findings.is_empty() {
                h1 { "No races found" }
            } @else {
                h1 { (summary::count(report.findings.len(), "finding")) }
            }
            p.lead {
                @if !report.findings.is_empty() { (summary::tiers(report)) " · " }
                (files) " · " (functions)
                @if !report.problems.is_empty() { " · " a href="#not-read" { (summary::count(report.problems.len(), "problem")) } }
            }
            @if let Some(hidden) = summary::hidden(report.summary.hidden) { p.quiet { (hidden) } }
            @if !report.findings.is_empty() { (filters(report)) }
        }
    }
}

/// Shown by the script, without which they could do nothing.
fn filters(report: &Report) -> Markup {
    let mut rules: Vec<&str> = report.findings.iter().map(|finding| finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    html! {
        form #filters role="search" aria-label="Filter the findings" hidden {
            label { span { "Text" } input type="search" name="text" autocomplete="off" spellcheck="false"; }
            label { span { "Path" } input type="search" name="path" autocomplete="off" spellcheck="false" placeholder="lib/…"; }
            label {
                span { "Rule" }
                select name="rule" {
                    option value="" { "all rules" }
                    @for rule in rules { option value=(rule) { (rule) } }
                }
            }
            fieldset {
                legend { "Sureness" }
                @for tier in Tier::ALL.iter().filter(|tier| report.findings.iter().any(|finding| finding.tier == **tier)) {
                    label { input type="checkbox" name="tier" value=(tier.name()) checked; (tier.name()) }
                }
            }
            p #shown role="status" {}
        }
    }
}

/// The way to each finding, by file.
fn index(report: &Report) -> Markup {
    let mut files: BTreeMap<&str, Vec<(&Finding, &String, u32)>> = BTreeMap::new();
    for (finding, name) in report.findings.iter().zip(report.fingerprints) {
        if let Some((path, range)) = json::locate(report.sources, finding.place) {
            files.entry(path).or_default().push((finding, name, range.start.line));
        }
    }
    html! {
        nav aria-label="Findings by file" {
            @for (path, findings) in files {
                section {
                    h2 { (breakable(&plain::line(path))) }
                    ul {
                        @for (finding, name, line) in findings {
                            li {
                                a href={ "#f-" (name) } {
                                    span.line { (line) }
                                    " "
                                    span.(finding.tier.name()) { (breakable(finding.rule)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn findings(report: &Report) -> Markup {
    let names: Vec<&str> = report.pages.iter().map(|page| page.id).filter(|id| report.findings.iter().any(|of| of.rule == *id)).collect();
    html! {
        @if report.findings.is_empty() {
            p.none { "No process was seen to overtake another." }
        } @else {
            p.none #none hidden { "No finding fits the filters." }
        }
        @for (at, (finding, name)) in report.findings.iter().zip(report.fingerprints).enumerate() {
            (finding::article(report, finding, name, at + 1))
        }
        @if !report.allowed.is_empty() { (allowed(report)) }
        @if !report.problems.is_empty() { (problems(report)) }
        @if !names.is_empty() { (rule::pages(report, &names)) }
    }
}

fn allowed(report: &Report) -> Markup {
    let place = |allowed: &Allowed| {
        let located = json::locate(report.sources, allowed.finding.place);
        located.map(|(path, range)| format!("{}:{}", plain::line(path), range.start.line)).unwrap_or_default()
    };
    html! {
        section.aside #allowed {
            h2 { "Allowed by a comment" }
            ul {
                @for allowed in report.allowed {
                    li {
                        p { code.path { (breakable(&place(allowed))) } " " span.rule { (allowed.finding.rule) } }
                        p { (inline(&allowed.finding.message)) }
                        @if allowed.reason.is_empty() {
                            p.quiet { "The comment gives no reason." }
                        } @else {
                            p.quiet { "“" (plain::line(&allowed.reason)) "”" }
                        }
                    }
                }
            }
        }
    }
}

fn problems(report: &Report) -> Markup {
    html! {
        section.aside #not-read {
            h2 { "What could not be read" }
            ul { @for problem in report.problems { li { (oneline::problem_line(report.sources, problem, "")) } } }
        }
    }
}

/// A sentence, its code in backticks set as code.
fn inline(text: &str) -> Markup {
    let text = plain::line(text);
    let parts: Vec<&str> = text.split('`').collect();
    // An odd one out is no quotation.
    let paired = if parts.len() % 2 == 1 { parts.len() } else { parts.len().saturating_sub(1) };
    html! {
        @for (at, part) in parts.iter().enumerate() {
            @if at >= paired {
                "`" (breakable(part))
            } @else if at % 2 == 1 {
                code { (breakable(part)) }
            } @else {
                (breakable(part))
            }
        }
    }
}

/// A path or a name, with places to break it.
fn breakable(text: &str) -> Markup {
    html! {
        @for (at, part) in parts(text).into_iter().enumerate() {
            @if at > 0 { wbr; }
            (part)
        }
    }
}

/// `text` cut behind each joint between two words: `lib/`, `a_`, `b.`, `ex`. A mark that stands alone, as `_` does in a pattern, is no joint.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut rest, mut from) = (text, 0);
    while let Some(at) = rest.get(from..).and_then(|behind| behind.find(['/', '_', '.'])).map(|at| from + at) {
        let (before, behind) = rest.split_at(at + 1);
        let is_joint =
            before.trim_end_matches(['/', '_', '.']).ends_with(char::is_alphanumeric) && behind.starts_with(char::is_alphanumeric);
        if is_joint {
            parts.push(before);
            (rest, from) = (behind, 0);
        } else {
            from = at + 1;
        }
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_break_at_their_joints_and_patterns_do_not() {
        assert_eq!(parts("lib/a_b.ex:3"), ["lib/", "a_", "b.", "ex:3"]);
        assert_eq!(parts("{:normal, _}, {_, _rest}"), ["{:normal, _}, {_, _rest}"]);
        assert_eq!(parts("It ends. And ../x"), ["It ends. And ../x"]);
        assert_eq!(parts(""), [""]);
    }
}
