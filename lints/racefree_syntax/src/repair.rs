//! Keeps the damage of a syntax error local.
//!
//! A parser that meets an error in the middle of a module may give up on all that follows. People indent, and their indentation still tells
//! what belongs together: the text is cut into chunks along it, each is parsed on its own, and the smallest chunks that cannot be parsed are
//! blanked out. What remains has the same offsets and parses. Nothing here runs for a file without errors.

use tree_sitter::Tree;

use crate::Span;
use crate::parse::Problem;
use crate::tree::{excerpt, is_reserved};

/// How often all of the text may be parsed again, in parts.
const PASSES_MAX: usize = 8;
const BUDGET_BYTES_MIN: usize = 64 << 10;
/// What a parse costs beside the bytes it reads, in bytes.
const PARSE_BYTES: usize = 64;
/// A longer chunk is no clause and no list item.
const FRAMED_BYTES_MAX: usize = 32 << 10;
/// A longer text was written by a machine, which does not indent for us.
const TEXT_BYTES_MAX: usize = 2 << 20;
/// Chunks inside chunks.
const LEVELS_MAX: usize = 24;

/// Something to stand before and behind a chunk that is no statement by itself: clauses, list items and options, the rest of a pipe.
const FRAMES: [(&str, &str); 4] = [("", ""), ("fn\n", "\nend"), ("[\n", "\n]"), ("x\n", "")];

/// Words that continue the construct above them when they begin a line.
const CONTINUATIONS: &[&str] = &["end", "else", "rescue", "catch", "after", "and", "or", "in", "when", "do"];

/// Text with blanks where it could not be parsed, and what was there.
pub(crate) struct Repaired {
    pub(crate) text: String,
    pub(crate) problems: Vec<Problem>,
}

/// Repairs `text`, which does not parse. `None` when that would take too long.
pub(crate) fn repair(text: &str, parse: &mut dyn FnMut(&[u8]) -> Option<Tree>) -> Option<Repaired> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let lines = lines(text);
    let mut mender = Mender {
        original: text,
        text: text.as_bytes().to_vec(),
        lines: &lines,
        parse,
        framed: Vec::new(),
        problems: Vec::new(),
        budget: BUDGET_BYTES_MIN + text.len() * PASSES_MAX,
        level: 0,
    };
    for chunk in mender.chunks(0, lines.len()) {
        mender.mend(chunk.0, chunk.1);
        if mender.budget == 0 {
            return None;
        }
    }
    Some(Repaired { text: String::from_utf8(mender.text).ok()?, problems: mender.problems })
}

/// One line of the text.
#[derive(Debug, Clone, Copy)]
struct Line {
    start: usize,
    end: usize,
    /// Columns of leading white space; `None` for a line that only belongs to what is above: blank, a comment's, or inside a heredoc.
    indent: Option<usize>,
    /// Begins with a word or sign that continues the construct above.
    continues: bool,
}

/// How well a chunk parses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quality {
    Clean,
    /// All was understood, but something that closes is not there.
    Unclosed,
    Broken,
}

struct Mender<'a> {
    original: &'a str,
    text: Vec<u8>,
    lines: &'a [Line],
    parse: &'a mut dyn FnMut(&[u8]) -> Option<Tree>,
    framed: Vec<u8>,
    problems: Vec<Problem>,
    /// Bytes that may still be parsed.
    budget: usize,
    level: usize,
}

impl Mender<'_> {
    /// The chunks among the lines from `first` to before `end`: each begins at a line of the least indentation.
    fn chunks(&self, first: usize, end: usize) -> Vec<(usize, usize)> {
        let lines = self.lines.get(first..end).unwrap_or(&[]);
        let least = lines.iter().filter_map(|line| line.indent).min().unwrap_or(0);
        let mut starts: Vec<usize> = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            if line.indent == Some(least) && !line.continues || starts.is_empty() && line.indent.is_some() {
                starts.push(first + at);
            }
        }
        let ends = starts.iter().skip(1).copied().chain([end]);
        starts.iter().copied().zip(ends).collect()
    }

    /// Blanks as little of the chunk as makes it parse.
    fn mend(&mut self, first: usize, end: usize) {
        let mut quality = self.quality(first, end);
        if quality == Quality::Clean || self.mask_raw_quotes(first, end) || self.budget == 0 {
            return;
        }
        if self.level < LEVELS_MAX && self.has_inside(first, end) {
            self.level += 1;
            self.mend_inside(first, end);
            self.level -= 1;
            self.drop_dangling_commas(first, end);
            quality = self.quality(first, end);
        }
        match quality {
            Quality::Clean => {}
            Quality::Unclosed if self.is_definition(first) => self.report(first, first + 1, "is not closed"),
            // Without its head the inside is a row of statements.
            Quality::Unclosed if self.has_inside(first, end) => {
                self.report(first, first + 1, "is not closed");
                self.blank(first, first + 1);
            }
            _ => {
                self.report(first, end, "cannot be parsed");
                self.blank(first, end);
            }
        }
    }

    /// Mends the deeper lines, which the lines of the head's own indentation part into sections.
    fn mend_inside(&mut self, first: usize, end: usize) {
        let head = self.indent(first);
        let mut at = first + 1;
        while at < end {
            let start = at;
            while at < end && self.lines.get(at).is_some_and(|line| line.indent.is_none_or(|indent| indent > head)) {
                at += 1;
            }
            for chunk in self.chunks(start, at) {
                self.mend(chunk.0, chunk.1);
            }
            at += 1;
        }
    }

    fn has_inside(&self, first: usize, end: usize) -> bool {
        let head = self.indent(first);
        self.lines.get(first + 1..end).unwrap_or(&[]).iter().any(|line| line.indent.is_some_and(|indent| indent > head))
    }

    fn indent(&self, line: usize) -> usize {
        self.lines.get(line).and_then(|line| line.indent).unwrap_or(0)
    }

    fn is_definition(&self, line: usize) -> bool {
        let (start, end) = self.bounds(line, line + 1);
        let text = self.original.get(start..end).unwrap_or("").trim_start();
        text.starts_with("def") || text.starts_with("test ") || text.starts_with("describe ")
    }

    fn bounds(&self, first: usize, end: usize) -> (usize, usize) {
        let start = self.lines.get(first).map_or(self.text.len(), |line| line.start);
        (start, end.checked_sub(1).and_then(|last| self.lines.get(last)).map_or(start, |line| line.end.max(start)))
    }

    fn quality(&mut self, first: usize, end: usize) -> Quality {
        let (start, end) = self.bounds(first, end);
        let mut best = Quality::Broken;
        // Only inside a definition there is anything but statements.
        let frames = if self.level > 0 && end - start <= FRAMED_BYTES_MAX { FRAMES.len() } else { 1 };
        for (open, close) in FRAMES.iter().take(frames) {
            let chunk = self.text.get(start..end).unwrap_or(&[]);
            self.budget = self.budget.saturating_sub(chunk.len() + PARSE_BYTES);
            if self.budget == 0 {
                return best;
            }
            self.framed.clear();
            self.framed.extend_from_slice(open.as_bytes());
            self.framed.extend_from_slice(chunk);
            self.framed.extend_from_slice(close.as_bytes());
            let Some(tree) = (self.parse)(&self.framed) else { continue };
            match soundness(&tree, &self.framed) {
                Quality::Clean => return Quality::Clean,
                Quality::Unclosed if open.is_empty() => best = Quality::Unclosed,
                _ => {}
            }
        }
        best
    }

    /// The grammar takes the second backslash of `~S'\\'` for an escape of the quote. Other characters in their place mend that.
    fn mask_raw_quotes(&mut self, first: usize, end: usize) -> bool {
        let (start, stop) = self.bounds(first, end);
        let Some(before) = self.text.get(start..stop).map(<[u8]>::to_vec) else { return false };
        let mut masked = before.clone();
        let mut is_changed = false;
        for at in 0..masked.len() {
            if let Some([b'~', b'A'..=b'Z', quote, b'\\', b'\\', close]) = masked.get(at..at + 6)
                && quote == close
                && matches!(quote, b'"' | b'\'' | b'/' | b'|')
            {
                is_changed = true;
                if let Some(slashes) = masked.get_mut(at + 3..at + 5) {
                    slashes.fill(b'x');
                }
            }
        }
        if !is_changed {
            return false;
        }
        self.replace(start, &masked);
        if self.quality(first, end) == Quality::Clean {
            return true;
        }
        self.replace(start, &before);
        false
    }

    /// Takes off the commas before a closing bracket, where the last argument of a call was blanked.
    fn drop_dangling_commas(&mut self, first: usize, end: usize) {
        let (start, end) = self.bounds(first, end);
        let mut comma = None;
        for at in start..end {
            match self.text.get(at) {
                Some(b',') => comma = Some(at),
                Some(b')') => {
                    if let Some(byte) = comma.take().and_then(|comma| self.text.get_mut(comma)) {
                        *byte = b' ';
                    }
                }
                Some(byte) if byte.is_ascii_whitespace() => {}
                _ => comma = None,
            }
        }
    }

    fn replace(&mut self, start: usize, with: &[u8]) {
        if let Some(place) = self.text.get_mut(start..start + with.len()) {
            place.copy_from_slice(with);
        }
    }

    fn blank(&mut self, first: usize, end: usize) {
        let (start, end) = self.bounds(first, end);
        // One line of blanks: over many lines of blanks the scanner of the grammar takes quadratic time.
        let Some(chunk) = self.text.get_mut(start..end) else { return };
        chunk.fill(b' ');
        if let Some(last) = chunk.last_mut() {
            *last = b'\n';
        }
    }

    fn report(&mut self, first: usize, end: usize, what: &str) {
        let (start, end) = self.bounds(first, end);
        let text = self.original.get(start..end).unwrap_or("");
        let start = start + (text.len() - text.trim_start().len());
        let span = Span::new(start, start + text.trim().len());
        let message = format!("`{}` {what}; the rest of the file is analysed", excerpt(self.original, span));
        self.problems.push(Problem { span, message });
    }
}

fn soundness(tree: &Tree, text: &[u8]) -> Quality {
    let mut cursor = tree.walk();
    let has_error = tree.root_node().has_error();
    loop {
        let node = cursor.node();
        let word = text.get(node.byte_range()).unwrap_or(&[]);
        if node.is_error() || word.len() <= 6 && is_reserved(word) && node.kind() == "identifier" && !follows_dot(text, node.start_byte()) {
            return Quality::Broken;
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return if has_error { Quality::Unclosed } else { Quality::Clean };
            }
        }
    }
}

fn follows_dot(text: &[u8], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| text.get(before)) == Some(&b'.')
}

fn lines(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let body = line.trim();
        let is_code = !body.is_empty() && !body.starts_with('#');
        let indent = is_code.then(|| line.len() - line.trim_start().len());
        lines.push(Line { start, end, indent, continues: is_continuation(body) });
        start = end;
    }
    hide_heredocs(text, &mut lines);
    lines
}

fn is_continuation(line: &str) -> bool {
    let word = line.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
    if !word.is_empty() {
        // `end: 1` and `after(…)` are a key and a call.
        let rest = line.get(word.len()..).unwrap_or("");
        return CONTINUATIONS.contains(&word) && !rest.starts_with([':', '?', '!']);
    }
    let signs = [")", "]", "}", ">>", "|", "<>", "++", "--", "&&", "=", "<-", "->", "\"\"\"", "'''", "::", ".", ",", "+ ", "* ", "/ "];
    signs.iter().any(|sign| line.starts_with(sign))
}

/// Lines of a heredoc belong to the line that opens it, however they are indented.
fn hide_heredocs(text: &str, lines: &mut [Line]) {
    let mut at = 0;
    while at < lines.len() {
        let opener = trimmed(text, lines.get(at));
        let quotes = ["\"\"\"", "'''"].into_iter().find(|quotes| opener.ends_with(quotes) && opener.len() > 3 && !opener.starts_with('#'));
        let Some(quotes) = quotes else {
            at += 1;
            continue;
        };
        let rest = lines.get(at + 1..).unwrap_or(&[]);
        let close = rest.iter().position(|line| {
            let line = trimmed(text, Some(line));
            line.starts_with(quotes) || line.ends_with(quotes)
        });
        match close {
            // Another one opens before this one closes: it is the unclosed one that is broken.
            Some(length) if trimmed(text, rest.get(length)).starts_with(quotes) => {
                for line in lines.iter_mut().skip(at + 1).take(length) {
                    line.indent = None;
                }
                at += length + 2;
            }
            _ => at += 1,
        }
    }
}

fn trimmed<'t>(text: &'t str, line: Option<&Line>) -> &'t str {
    line.and_then(|line| text.get(line.start..line.end)).unwrap_or("").trim()
}
