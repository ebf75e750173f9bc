//! The files that findings point into, and the trouble met while reading them.

use std::ops::Range as Bytes;

use racefree_rules::Place;
use racefree_syntax::Span;
use racefree_syntax::span::{LineIndex, Position};
use serde::Serialize;

/// A file of the program.
#[derive(Debug, Clone)]
pub struct Source {
    /// Relative to the project root, with forward slashes.
    pub path: String,
    pub text: String,
    pub lines: LineIndex,
}

impl Source {
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { path: path.into(), lines: LineIndex::new(&text), text }
    }

    /// The part of the text within `span`; as much of it as there is, cut at character boundaries.
    pub fn code(&self, span: Span) -> &str {
        self.text.get(self.bytes(span)).unwrap_or_default()
    }

    pub fn range(&self, span: Span) -> Range {
        let start = self.lines.position(&self.text, span.start).into();
        Range { start, end: self.lines.position(&self.text, span.end.max(span.start)).into() }
    }

    /// `path:line`, for a person to go to.
    pub(crate) fn line(&self, span: Span) -> String {
        format!("{}:{}", self.path, self.lines.line(span.start))
    }

    /// `span` brought within the text and to character boundaries: a rule's slip in arithmetic must not cost the whole report.
    pub(crate) fn bytes(&self, span: Span) -> Bytes<usize> {
        let start = boundary(&self.text, span.start as usize);
        start..boundary(&self.text, span.end as usize).max(start)
    }
}

fn boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// Something that could not be read, or only in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Of a file or a folder, relative to the project root.
    pub path: String,
    /// `None` when it concerns the whole of it.
    pub place: Option<Place>,
    pub message: String,
}

/// Where something starts, and the first place behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Range {
    pub start: LineColumn,
    pub end: LineColumn,
}

/// Both count from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LineColumn {
    pub line: u32,
    pub column: u32,
}

impl From<Position> for LineColumn {
    fn from(position: Position) -> Self {
        Self { line: position.line, column: position.column }
    }
}
