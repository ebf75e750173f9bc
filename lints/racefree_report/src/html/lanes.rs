//! The interleaving: an ordered list of steps, which the style draws as lanes where there is room: time runs down, and what one process sends to another is
//! an arrow between their lanes.
//!
//! A content security policy without inline styles leaves no way to hand a number to the style but a class, so the rules that place lanes and arrows
//! are written here, for as many lanes as are drawn.

use std::fmt::Write;

use maud::{Markup, html};
use racefree_rules::{Finding, SignalKind, Step};

use super::{breakable, inline};
use crate::{Source, plain};

/// With more processes than this the lanes would be too narrow: the list stays a list.
const LANES_MAX: usize = 4;
/// Below this a lane's sentences fall to pieces.
const LANE_REM_MIN: usize = 13;

/// The rules that depend on the number of lanes.
pub(super) fn style() -> String {
    let mut style = String::new();
    for lanes in 2..=LANES_MAX {
        // Writing to a string cannot fail.
        let _ = writeln!(style, "@container (min-width: {}rem) {{", LANE_REM_MIN * lanes);
        let of = format!(".lanes-{lanes}");
        let _ = writeln!(style, "{of} {{ --lanes: {lanes} }}");
        let _ = writeln!(style, "{of} .heads, {of} .step {{ display: grid }}");
        let _ = writeln!(
            style,
            "{of} .who, {of} .to {{ position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden }}"
        );
        let _ = writeln!(style, "{of} ol {{ background-image: linear-gradient(to right, var(--lifeline) 1px, transparent 1px) }}");
        let _ = writeln!(style, "{of} .arrow {{ display: block }}");
        let _ = writeln!(style, "{of} .card {{ margin: 0 .75rem 0 0 }}");
        for lane in 1..=lanes {
            let _ = writeln!(style, "{of} .lane-{lane} .card {{ grid-column: {} }}", lane + 1);
            for other in lane + 1..=lanes {
                let _ = writeln!(style, "{of} .between-{lane}-{other} {{ grid-column: {} / {} }}", lane + 1, other + 1);
            }
        }
        style.push_str("}\n");
    }
    style
}

/// `id` is that of the finding.
pub(super) fn drawing(sources: &[Source], finding: &Finding, id: &str) -> Markup {
    let mut lanes: Vec<&str> = Vec::new();
    for step in &finding.trace {
        if !lanes.contains(&step.process.as_str()) {
            lanes.push(&step.process);
        }
    }
    let lane_of = |process: &str| lanes.iter().position(|lane| *lane == process).map(|lane| lane + 1);
    html! {
        div.interleaving {
            div.{ "lanes-" (lanes.len()) } {
                div.heads aria-hidden="true" { @for lane in &lanes { span { (inline(lane)) } } }
                ol {
                    @for (at, step) in finding.trace.iter().enumerate() {
                        (self::step(sources, finding, step, id, at + 1, &lane_of))
                    }
                }
            }
        }
    }
}

fn step(sources: &[Source], finding: &Finding, step: &Step, id: &str, number: usize, lane_of: &dyn Fn(&str) -> Option<usize>) -> Markup {
    let lane = lane_of(&step.process).unwrap_or(1);
    let is_reported = step.place == Some(finding.place);
    let place = step.place.and_then(|place| Some((sources.get(place.file.0 as usize)?, place)));
    let class = format!("lane-{lane}{}{}", if is_reported { " loses" } else { "" }, if place.is_none() { " outside" } else { "" });
    html! {
        li.step.(class) {
            div.card {
                span.who { (inline(&step.process)) }
                " "
                span.what { (inline(&step.message)) }
                " "
                @if let Some((source, place)) = place {
                    a.where href={ "#" (id) "-s" (number) } { (breakable(&plain::line(&source.line(place.span)))) }
                } @else {
                    span.where { "outside the source" }
                }
                @if is_reported { " " strong.verdict { "reported here" } }
                @if let Some(signal) = &step.signal { " " span.to { "→ " (signal.kind.name()) " to " (inline(&signal.to)) } }
            }
            @if let Some(signal) = &step.signal {
                @if let Some(to) = lane_of(&signal.to).filter(|to| *to != lane) { (arrow(signal.kind, lane, to)) }
            }
        }
    }
}

/// Of a step in lane `from`; the list says the same in words.
fn arrow(kind: SignalKind, from: usize, to: usize) -> Markup {
    let direction = if from < to { "rightwards" } else { "leftwards" };
    html! {
        span.arrow.(kind.name()).(direction).{ "between-" (from.min(to)) "-" (from.max(to)) } aria-hidden="true" { span { (kind.name()) } }
    }
}
