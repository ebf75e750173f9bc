//! Byte offsets to the positions of the protocol, and back: lines from 0, and columns in units that client and server have agreed upon.

use lsp_types::{Position, PositionEncodingKind, Range};
use racefree_syntax::Span;
use racefree_syntax::span::LineIndex;

/// What a column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Bytes.
    Utf8,
    /// What every client knows.
    Utf16,
    /// Characters.
    Utf32,
}

impl Encoding {
    /// The best that the client offers: bytes, which cost nothing to count.
    pub(crate) fn agreed(offered: Option<&[PositionEncodingKind]>) -> Self {
        let offers = |kind: &PositionEncodingKind| offered.is_some_and(|offered| offered.contains(kind));
        if offers(&PositionEncodingKind::UTF8) {
            Self::Utf8
        } else if !offers(&PositionEncodingKind::UTF16) && offers(&PositionEncodingKind::UTF32) {
            Self::Utf32
        } else {
            Self::Utf16
        }
    }

    pub(crate) fn kind(self) -> PositionEncodingKind {
        match self {
            Self::Utf8 => PositionEncodingKind::UTF8,
            Self::Utf16 => PositionEncodingKind::UTF16,
            Self::Utf32 => PositionEncodingKind::UTF32,
        }
    }

    fn units(self, character: char) -> usize {
        match self {
            Self::Utf8 => character.len_utf8(),
            Self::Utf16 => character.len_utf16(),
            Self::Utf32 => 1,
        }
    }
}

/// A text with what is needed to find places in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'t> {
    pub(crate) text: &'t str,
    pub(crate) lines: &'t LineIndex,
    pub(crate) encoding: Encoding,
}

impl Places<'_> {
    pub(crate) fn range(&self, span: Span) -> Range {
        Range { start: self.position(span.start as usize), end: self.position(span.end.max(span.start) as usize) }
    }

    pub(crate) fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let line = self.lines.line(offset as u32);
        let start = self.lines.line_span(self.text, line).start as usize;
        let units = self.text.get(start..).unwrap_or_default().char_indices().take_while(|(at, _)| start + at < offset);
        let column: usize = units.map(|(_, character)| self.encoding.units(character)).sum();
        Position { line: line - 1, character: column as u32 }
    }

    /// The offset of `position`; what lies behind the end of a line or of the text is brought back to it.
    pub(crate) fn offset(&self, position: Position) -> usize {
        let line = position.line.saturating_add(1);
        if line as usize > self.lines.line_count() {
            return self.text.len();
        }
        let span = self.lines.line_span(self.text, line);
        let content = self.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        let content = content.strip_suffix('\r').unwrap_or(content);
        let mut units = position.character as usize;
        for (at, character) in content.char_indices() {
            let width = self.encoding.units(character);
            // In the middle of a character means before it.
            if units < width {
                return span.start as usize + at;
            }
            units -= width;
        }
        span.start as usize + content.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, character: u32) -> Position {
        Position { line, character }
    }

    #[test]
    fn counts_columns_in_the_units_agreed_upon() {
        let text = "a\näß𝄞x\r\nend";
        let lines = LineIndex::new(text);
        let x = text.find('x').unwrap();
        for (encoding, column) in [(Encoding::Utf8, 8), (Encoding::Utf16, 4), (Encoding::Utf32, 3)] {
            let places = Places { text, lines: &lines, encoding };
            assert_eq!(places.position(x), at(1, column));
            assert_eq!(places.offset(at(1, column)), x);
            assert_eq!(places.position(text.len()), at(2, 3));
        }
    }

    #[test]
    fn every_offset_comes_back() {
        let text = "def a, do: \"äß𝄞\"\n\n# 𝄞𝄞\nend";
        let lines = LineIndex::new(text);
        for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
            let places = Places { text, lines: &lines, encoding };
            for (offset, _) in text.char_indices() {
                assert_eq!(places.offset(places.position(offset)), offset, "{encoding:?}");
            }
        }
    }

    #[test]
    fn brings_back_what_lies_outside() {
        let text = "ab\r\n𝄞\n";
        let lines = LineIndex::new(text);
        let places = Places { text, lines: &lines, encoding: Encoding::Utf16 };
        assert_eq!(places.offset(at(0, 99)), 2);
        assert_eq!(places.offset(at(1, 1)), 4, "in the middle of a pair");
        assert_eq!(places.offset(at(9, 0)), text.len());
        assert_eq!(places.offset(at(u32::MAX, u32::MAX)), text.len());
    }

    #[test]
    fn agrees_on_bytes_where_it_can() {
        let kinds = |kinds: &[PositionEncodingKind]| Encoding::agreed(Some(kinds));
        assert_eq!(Encoding::agreed(None), Encoding::Utf16);
        assert_eq!(kinds(&[PositionEncodingKind::UTF16, PositionEncodingKind::UTF8]), Encoding::Utf8);
        assert_eq!(kinds(&[PositionEncodingKind::UTF32]), Encoding::Utf32);
        assert_eq!(kinds(&[PositionEncodingKind::UTF32, PositionEncodingKind::UTF16]), Encoding::Utf16);
    }
}
