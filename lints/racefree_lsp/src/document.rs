//! Open documents: their texts as the editor has them, changed piece by piece.

use std::path::PathBuf;
use std::sync::Arc;

use lsp_types::{TextDocumentContentChangeEvent, Url};
use racefree_syntax::span::LineIndex;

use crate::position::{Encoding, Places};

#[derive(Debug)]
pub(crate) struct Document {
    /// As the editor names it.
    pub(crate) uri: Url,
    pub(crate) path: PathBuf,
    pub(crate) version: i32,
    pub(crate) text: Arc<String>,
}

impl Document {
    /// Makes the changes in their order; one without a range replaces the whole.
    pub(crate) fn change(&mut self, version: i32, changes: Vec<TextDocumentContentChangeEvent>, encoding: Encoding) {
        self.version = version;
        // The analysis may hold the old text: then it keeps that, and we write a copy.
        let text = Arc::make_mut(&mut self.text);
        for change in changes {
            let Some(range) = change.range else {
                *text = change.text;
                continue;
            };
            let lines = LineIndex::new(text);
            let places = Places { text, lines: &lines, encoding };
            let start = places.offset(range.start);
            let end = places.offset(range.end).max(start);
            text.replace_range(start..end, &change.text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsp_types::{Position, Range};

    fn document(text: &str) -> Document {
        let uri = Url::parse("file:///a.ex").unwrap();
        Document { uri, path: "/a.ex".into(), version: 1, text: Arc::new(text.to_owned()) }
    }

    fn change(start: (u32, u32), end: (u32, u32), text: &str) -> TextDocumentContentChangeEvent {
        let position = |(line, character)| Position { line, character };
        let range = Some(Range { start: position(start), end: position(end) });
        TextDocumentContentChangeEvent { range, range_length: None, text: text.to_owned() }
    }

    #[test]
    fn makes_changes_one_after_the_other() {
        let mut document = document("one\ntwö three\n");
        let changes = vec![change((1, 4), (1, 9), "3"), change((0, 0), (0, 0), "zero\n"), change((2, 2), (2, 3), "o")];
        document.change(7, changes, Encoding::Utf16);
        assert_eq!((document.text.as_str(), document.version), ("zero\none\ntwo 3\n", 7));
    }

    #[test]
    fn takes_ranges_that_lie_outside_or_stand_on_their_head() {
        let mut document = document("ab\n");
        document.change(2, vec![change((9, 9), (9, 9), "end"), change((0, 2), (0, 1), "c")], Encoding::Utf8);
        assert_eq!(document.text.as_str(), "abc\nend");
    }
}
