//! The source around a finding and its steps, line by line, with their places marked and numbered as the steps are.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use racefree_rules::{Finding, Place};

use super::breakable;
use crate::{Source, plain};

/// Above and below each place.
const CONTEXT_LINES: u32 = 2;
/// Of a place that goes on for longer, the beginning is shown.
const PLACE_LINES_MAX: u32 = 8;
/// A line longer than this is generated code: its end is left out.
const LINE_BYTES_MAX: usize = 500;

/// Something to mark in one file.
struct Spot {
    bytes: std::ops::Range<usize>,
    /// Which steps take place there.
    steps: Vec<usize>,
    is_reported: bool,
}

/// A part of a line under the same marks.
struct Segment<'t> {
    text: &'t str,
    is_marked: bool,
    is_reported: bool,
    /// Steps whose places begin here.
    steps: Vec<usize>,
}

/// An excerpt from each file that `finding` touches, its own first; `id` is that of the finding.
pub(super) fn excerpts(sources: &[Source], finding: &Finding, id: &str) -> Markup {
    let mut places: BTreeMap<Place, Vec<usize>> = BTreeMap::from([(finding.place, Vec::new())]);
    for (at, step) in finding.trace.iter().enumerate() {
        if let Some(place) = step.place {
            places.entry(place).or_default().push(at + 1);
        }
    }
    let mut files: Vec<u32> = places.keys().map(|place| place.file.0).collect();
    files.dedup();
    files.sort_by_key(|file| (*file != finding.place.file.0, *file));
    html! {
        @for file in files {
            @if let Some(source) = sources.get(file as usize) {
                (excerpt(source, &spots(source, file, &places, finding.place), id))
            }
        }
    }
}

fn spots(source: &Source, file: u32, places: &BTreeMap<Place, Vec<usize>>, reported: Place) -> Vec<Spot> {
    let of_file = places.iter().filter(|(place, _)| place.file.0 == file);
    of_file.map(|(place, steps)| Spot { bytes: source.bytes(place.span), steps: steps.clone(), is_reported: *place == reported }).collect()
}

fn excerpt(source: &Source, spots: &[Spot], id: &str) -> Markup {
    let text = plain::source(&source.text);
    let lines = shown_lines(source, spots);
    let first = lines.first().copied().unwrap_or(0);
    html! {
        figure.excerpt {
            figcaption { code.path { (breakable(&plain::line(&source.path))) } }
            div.code {
                @for line in &lines {
                    @if *line > first && !lines.contains(&(line - 1)) { div.gap aria-hidden="true" { "⋯" } }
                    div.line { span.no { (line) } code { (marked(source, &text, *line, spots, id)) } }
                }
            }
        }
    }
}

fn shown_lines(source: &Source, spots: &[Spot]) -> BTreeSet<u32> {
    let last = source.lines.line_count() as u32;
    let mut lines = BTreeSet::new();
    for spot in spots {
        let first = source.lines.line(spot.bytes.start as u32);
        let end = source.lines.line(spot.bytes.end.max(spot.bytes.start) as u32).min(first + PLACE_LINES_MAX);
        lines.extend(first.saturating_sub(CONTEXT_LINES).max(1)..=(end + CONTEXT_LINES).min(last));
    }
    // A mark for one line left out would take as much room as the line.
    let lone: Vec<u32> = lines.iter().map(|line| line + 1).filter(|line| !lines.contains(line) && lines.contains(&(line + 1))).collect();
    lines.extend(lone);
    lines
}

/// One line; a line without text still has its height.
fn marked(source: &Source, text: &str, line: u32, spots: &[Spot], id: &str) -> Markup {
    let span = source.lines.line_span(&source.text, line);
    let (start, end) = (span.start as usize, span.end as usize);
    let whole = text.get(start..end).unwrap_or_default().trim_end();
    let cut = (0..=LINE_BYTES_MAX.min(whole.len())).rev().find(|at| whole.is_char_boundary(*at)).unwrap_or(0);
    let segments = segments(whole.get(..cut).unwrap_or_default(), start, spots);
    html! {
        @for segment in segments {
            @for step in &segment.steps { sup id={ (id) "-s" (step) } { (step) } }
            @if segment.is_marked { mark.loses[segment.is_reported] { (segment.text) } } @else { (segment.text) }
        }
        @if cut < whole.len() { "…" }
    }
}

/// Cuts `line`, which begins at byte `start` of its file, wherever a spot begins or ends. Indentation is never marked.
fn segments<'t>(line: &'t str, start: usize, spots: &[Spot]) -> Vec<Segment<'t>> {
    let end = start + line.len();
    let text = start + (line.len() - line.trim_start().len());
    let edges = spots.iter().flat_map(|spot| [spot.bytes.start, spot.bytes.end]).filter(|edge| (start..end).contains(edge));
    let cuts: BTreeSet<usize> = edges.chain([start, text, end]).collect();
    let cuts: Vec<usize> = cuts.into_iter().collect();
    let segment = |pair: &[usize]| {
        let [from, to] = *pair else { return None };
        let over =
            || spots.iter().filter(move |spot| text <= from && spot.bytes.start <= from && to <= spot.bytes.end && !spot.bytes.is_empty());
        let begins = spots.iter().filter(|spot| spot.bytes.start == from);
        Some(Segment {
            text: line.get(from - start..to - start)?,
            is_marked: over().next().is_some(),
            is_reported: over().any(|spot| spot.is_reported),
            steps: begins.flat_map(|spot| spot.steps.iter().copied()).collect(),
        })
    };
    cuts.windows(2).filter_map(segment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(bytes: std::ops::Range<usize>, steps: &[usize], is_reported: bool) -> Spot {
        Spot { bytes, steps: steps.to_vec(), is_reported }
    }

    fn drawn(line: &str, start: usize, spots: &[Spot]) -> String {
        let segments = segments(line, start, spots);
        let draw = |segment: &Segment| {
            let steps: String = segment.steps.iter().map(|step| format!("{step}:")).collect();
            match (segment.is_marked, segment.is_reported) {
                (_, true) => format!("{steps}[{}]", segment.text),
                (true, false) => format!("{steps}({})", segment.text),
                (false, false) => format!("{steps}{}", segment.text),
            }
        };
        segments.iter().map(draw).collect()
    }

    #[test]
    fn places_are_marked_where_they_are() {
        assert_eq!(drawn("abcdef", 10, &[spot(12..14, &[1], false)]), "ab1:(cd)ef");
        assert_eq!(drawn("abcdef", 10, &[spot(10..16, &[2], true)]), "2:[abcdef]");
        assert_eq!(drawn("abcdef", 10, &[spot(3..9, &[1], true), spot(20..30, &[2], true)]), "abcdef");
    }

    #[test]
    fn places_inside_one_another_and_across_lines_are_marked() {
        assert_eq!(drawn("abcdef", 10, &[spot(10..15, &[1], false), spot(12..14, &[2, 3], true)]), "1:(ab)2:3:[cd](e)f");
        assert_eq!(drawn("abcdef", 10, &[spot(4..12, &[1], false), spot(14..40, &[2], false)]), "(ab)cd2:(ef)");
        assert_eq!(drawn("  cdef", 10, &[spot(4..40, &[1], true)]), "  [cdef]");
    }
}
