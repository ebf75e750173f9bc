//! The interleaving that loses, drawn as people draw it: time runs down, each process has a column.
//!
//! When the columns would be too narrow to read, or too many, the same steps become a numbered list.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// More processes than this make columns hard to follow.
const COLUMNS_MAX: usize = 3;
/// Below this a sentence falls to pieces.
const COLUMN_WIDTH_MIN: usize = 24;
/// Between two columns.
const SEPARATOR: &str = " │ ";
/// The numbers' column and the blanks around it.
const GUTTER_WIDTH: usize = 6;

/// A step, ready to draw.
#[derive(Debug)]
pub(crate) struct Event {
    /// Index into the timeline's processes.
    pub(crate) process: usize,
    pub(crate) message: String,
    /// `path:line`; empty for what happens outside the source.
    pub(crate) place: String,
    /// This step is where the finding is reported.
    pub(crate) is_reported: bool,
}

#[derive(Debug)]
pub(crate) struct Timeline {
    /// In the order in which they first act.
    pub(crate) processes: Vec<String>,
    pub(crate) events: Vec<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    Plain,
    /// Numbers, lines between columns, places.
    Faint,
    Process,
    /// The number of the step that is reported.
    Reported,
}

/// A line of the drawing.
pub(crate) type Line = Vec<(Ink, String)>;

impl Timeline {
    pub(crate) fn draw(&self, width: usize) -> Vec<Line> {
        let separators = SEPARATOR.width() * self.processes.len().saturating_sub(1);
        let room = width.saturating_sub(GUTTER_WIDTH + separators);
        let wanted = self.natural_widths();
        let widths = shares(&wanted, room);
        let is_readable = wanted.iter().zip(&widths).all(|(wanted, width)| *width >= COLUMN_WIDTH_MIN.min(*wanted));
        if self.processes.len() <= COLUMNS_MAX && is_readable { self.columns(&widths) } else { self.list(width) }
    }

    /// How wide each column would be if nothing in it were wrapped.
    fn natural_widths(&self) -> Vec<usize> {
        let width_of = |(process, name): (usize, &String)| {
            let events = self.events.iter().filter(|event| event.process == process);
            let gap = |event: &Event| if event.place.is_empty() { 0 } else { 2 };
            let width = events.map(|event| event.message.width() + gap(event) + event.place.width()).max();
            width.unwrap_or(0).max(name.width())
        };
        self.processes.iter().enumerate().map(width_of).collect()
    }

    fn columns(&self, widths: &[usize]) -> Vec<Line> {
        let names: Vec<Vec<Line>> =
            self.processes.iter().zip(widths).map(|(name, width)| inked(Ink::Process, &wrap(name, *width))).collect();
        let mut lines = rows(&[], &names, widths);
        let rules: Vec<_> = widths.iter().map(|width| "─".repeat(*width)).collect();
        lines.push(vec![(Ink::Faint, format!("{}{}", " ".repeat(GUTTER_WIDTH), rules.join("─┼─")))]);
        for (at, event) in self.events.iter().enumerate() {
            let mut cells = vec![Vec::new(); widths.len()];
            if let (Some(cell), Some(width)) = (cells.get_mut(event.process), widths.get(event.process)) {
                *cell = sentence(event, *width);
            }
            lines.extend(rows(&number(at, event), &cells, widths));
        }
        lines
    }

    fn list(&self, width: usize) -> Vec<Line> {
        let room = width.saturating_sub(GUTTER_WIDTH).max(COLUMN_WIDTH_MIN);
        let mut lines = Vec::new();
        for (at, event) in self.events.iter().enumerate() {
            let process = self.processes.get(event.process).map_or("", String::as_str);
            let name = inked(Ink::Process, &wrap(process, room));
            lines.extend(rows(&number(at, event), &[name], &[room]));
            lines.extend(rows(&[], &[sentence(event, room)], &[room]));
        }
        lines
    }
}

/// The step's number, as wide as the gutter.
fn number(at: usize, event: &Event) -> Line {
    let ink = if event.is_reported { Ink::Reported } else { Ink::Faint };
    vec![(ink, format!("{:>width$}  ", at + 1, width = GUTTER_WIDTH - 2))]
}

/// What happens, and where: on the last line's right edge when there is room, else below.
fn sentence(event: &Event, width: usize) -> Vec<Line> {
    let mut lines = inked(Ink::Plain, &wrap(&event.message, width));
    if event.place.is_empty() {
        return lines;
    }
    let last = lines.last().map_or(width, line_width);
    match lines.last_mut() {
        Some(line) if last + 2 + event.place.width() <= width => {
            line.push((Ink::Plain, " ".repeat(width - last - event.place.width())));
            line.push((Ink::Faint, event.place.clone()));
        }
        _ => lines.extend(inked(Ink::Faint, &wrap(&shortened(&event.place, width), width))),
    }
    lines
}

/// Puts cells side by side, each padded to its column's width; `gutter` stands before the first line.
fn rows(gutter: &[(Ink, String)], cells: &[Vec<Line>], widths: &[usize]) -> Vec<Line> {
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let mut lines = Vec::with_capacity(height);
    for row in 0..height {
        let mut line = if row == 0 { gutter.to_vec() } else { Line::new() };
        if line.is_empty() {
            line.push((Ink::Plain, " ".repeat(GUTTER_WIDTH)));
        }
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            if column > 0 {
                line.push((Ink::Faint, SEPARATOR.to_owned()));
            }
            let parts = cell.get(row).cloned().unwrap_or_default();
            let padding = width.saturating_sub(line_width(&parts));
            line.extend(parts);
            line.push((Ink::Plain, " ".repeat(padding)));
        }
        trim_end(&mut line);
        lines.push(line);
    }
    lines
}

fn inked(ink: Ink, texts: &[String]) -> Vec<Line> {
    texts.iter().map(|text| vec![(ink, text.clone())]).collect()
}

fn line_width(line: &Line) -> usize {
    line.iter().map(|(_, text)| text.width()).sum()
}

fn trim_end(line: &mut Line) {
    while let Some((_, text)) = line.last_mut() {
        text.truncate(text.trim_end_matches(' ').len());
        if !text.is_empty() {
            break;
        }
        line.pop();
    }
}

/// Divides `room` among columns: each gets what it asks for, and those that ask for more than a fair share divide what is left.
fn shares(wanted: &[usize], room: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|column| wanted.get(*column));
    let mut widths = vec![0; wanted.len()];
    let (mut left, mut columns) = (room, wanted.len());
    for column in order {
        let fair = left / columns.max(1);
        let width = wanted.get(column).copied().unwrap_or(0).clamp(1, fair.max(1));
        if let Some(slot) = widths.get_mut(column) {
            *slot = width;
        }
        left = left.saturating_sub(width);
        columns -= 1;
    }
    widths
}

/// Breaks `text` into lines of at most `width`: between words, and inside a word that is longer than a line.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.width() + 1 + word.width() <= width {
            line.push(' ');
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            if !line.is_empty() && line.width() + c.width().unwrap_or(0) > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// A path that is too wide loses folders from its left: the excerpt above shows the whole of it.
fn shortened(place: &str, width: usize) -> String {
    let mut rest = place;
    while rest.width() + 2 > width && place.width() > width {
        match rest.split_once('/') {
            Some((_, shorter)) => rest = shorter,
            None => break,
        }
    }
    if rest.len() == place.len() { place.to_owned() } else { format!("…/{rest}") }
}
