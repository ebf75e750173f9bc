//! Text made safe to print: what would move a terminal's cursor, or make code read otherwise than it runs, is shown as what it is.

use std::borrow::Cow;

/// `text` on one line: control characters and direction marks are written as escapes, line breaks as spaces.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c.is_control() || is_direction_mark(c)) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' | '\t' => safe.push(' '),
            '\r' => {}
            c if c.is_control() || is_direction_mark(c) => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Source text whose every byte offset is still true: each dangerous character gives way to a harmless one of the same length.
pub(crate) fn source(text: &str) -> Cow<'_, str> {
    let dangerous = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r') || is_direction_mark(c);
    if !text.chars().any(dangerous) {
        return Cow::Borrowed(text);
    }
    let stand_in = |c: char| match c.len_utf8() {
        1 => '?',
        2 => '¿',
        _ => char::REPLACEMENT_CHARACTER,
    };
    Cow::Owned(text.chars().map(|c| if dangerous(c) { stand_in(c) } else { c }).collect())
}

fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
