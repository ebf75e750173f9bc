//! Fixes that repeat or move pieces of the source, lines and comments included.
//!
//! Rules see no text: they draw such a fix with places, and it becomes edits where the text is at hand ([`write_out`]). What cannot be written with
//! the source's own layout kept (a line shared with other code, a comment that would be lost) is no fix.

use crate::finding::{Edit, Finding, Fix, Place, Safety};
use racefree_syntax::Span;

/// A fix, drawn with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    pub title: String,
    pub safety: Safety,
    pub stroke: Stroke,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stroke {
    /// New text takes the place of code that holds no comment. Its lines are indented as the line is on which the place begins.
    Replace { place: Place, with: Vec<Piece> },
    /// A clause of a `case` behind the one at `clause`, laid out as that one is.
    Clause { clause: Place, head: String, body: Vec<Piece> },
    /// The lines of a statement, with the comments above, move above those of another one.
    Move { statement: Place, above: Place },
}

/// A piece of new text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// What stands there in the source.
    Source(Span),
}

/// Turns the sketches of `findings` into fixes, behind those that they have. `text` gives a file's text.
pub fn write_out<'t>(findings: &mut [Finding], text: impl Fn(racefree_syntax::FileId) -> Option<&'t str>) {
    for finding in findings {
        for sketch in std::mem::take(&mut finding.sketches) {
            let file = match &sketch.stroke {
                Stroke::Replace { place, .. } | Stroke::Clause { clause: place, .. } | Stroke::Move { statement: place, .. } => place.file,
            };
            finding.fixes.extend(text(file).and_then(|text| sketch.fix(Source { text, file })));
        }
    }
}

/// A file's text.
#[derive(Clone, Copy)]
struct Source<'t> {
    text: &'t str,
    file: racefree_syntax::FileId,
}

impl Sketch {
    fn fix(self, source: Source<'_>) -> Option<Fix> {
        let edits = match &self.stroke {
            Stroke::Replace { place, with } => vec![source.replace(place.span, with)?],
            Stroke::Clause { clause, head, body } => vec![source.clause(clause.span, head, body)?],
            Stroke::Move { statement, above } => source.moved(statement.span, above.span)?,
        };
        Some(Fix { title: self.title, safety: self.safety, edits })
    }
}

impl<'t> Source<'t> {
    fn edit(self, start: usize, end: usize, text: String) -> Edit {
        Edit { place: Place { file: self.file, span: Span::new(start, end) }, text }
    }

    fn piece(self, span: Span) -> Option<&'t str> {
        self.text.get(span.start as usize..span.end as usize)
    }

    /// Where the line that holds the offset begins.
    fn line_start(self, at: usize) -> usize {
        self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
    }

    /// Where the line that holds the offset ends, its newline included.
    fn line_end(self, at: usize) -> usize {
        self.text.get(at..).and_then(|after| after.find('\n')).map_or(self.text.len(), |newline| at + newline + 1)
    }

    fn indentation(self, at: usize) -> &'t str {
        let line = self.text.get(self.line_start(at)..).unwrap_or("");
        line.get(..line.len() - line.trim_start_matches([' ', '\t']).len()).unwrap_or("")
    }

    /// Pieces of one line each.
    fn joined(self, pieces: &[Piece]) -> Option<String> {
        let mut joined = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => joined.push_str(text),
                Piece::Source(span) => joined.push_str(self.piece(*span).filter(|text| !text.contains('\n'))?),
            }
        }
        Some(joined)
    }

    fn replace(self, span: Span, with: &[Piece]) -> Option<Edit> {
        // A `#` may be no comment, but then nothing is lost but the fix.
        if self.piece(span)?.contains('#') {
            return None;
        }
        let text = self.joined(with)?.replace('\n', &format!("\n{}", self.indentation(span.start as usize)));
        Some(self.edit(span.start as usize, span.end as usize, text))
    }

    fn clause(self, clause: Span, head: &str, body: &[Piece]) -> Option<Edit> {
        let (start, end) = (clause.start as usize, clause.end as usize);
        self.whole_lines(clause)?;
        let (indentation, body) = (self.indentation(start), self.joined(body)?);
        let text = if self.piece(clause)?.contains('\n') {
            format!("\n{indentation}{head} ->\n{indentation}  {body}\n")
        } else {
            format!("{indentation}{head} -> {body}\n")
        };
        let at = self.line_end(end);
        Some(self.edit(at, at, text))
    }

    /// The lines of the code at `span`, which nothing but a comment shares with it.
    fn whole_lines(self, span: Span) -> Option<(usize, usize)> {
        let (start, end) = (self.line_start(span.start as usize), self.line_end(span.end as usize));
        let before = self.text.get(start..span.start as usize)?;
        let behind = self.text.get(span.end as usize..end)?.trim();
        (before.trim().is_empty() && (behind.is_empty() || behind.starts_with('#')) && self.text.get(..end)?.ends_with('\n'))
            .then_some((start, end))
    }

    /// The comments on lines of their own right above `start`.
    fn with_comments(self, start: usize) -> usize {
        let mut first = start;
        while first > 0 {
            let above = self.line_start(first - 1);
            if !self.text.get(above..first).is_some_and(|line| line.trim_start().starts_with('#')) {
                break;
            }
            first = above;
        }
        first
    }

    fn moved(self, statement: Span, above: Span) -> Option<Vec<Edit>> {
        let (start, mut end) = self.whole_lines(statement)?;
        let (target, target_end) = self.whole_lines(above)?;
        let (start, at) = (self.with_comments(start), self.with_comments(target));
        if target_end > start {
            return None;
        }
        let mut lines = self.text.get(start..end)?.to_owned();
        // An expression of several lines stands between empty ones.
        if self.piece(above)?.contains('\n') {
            lines.push('\n');
        }
        let is_blank = |from: usize, to: usize| self.text.get(from..to).is_some_and(|line| line.trim().is_empty() && line.ends_with('\n'));
        let next = self.line_end(end);
        if is_blank(end, next) && is_blank(self.line_start(start.checked_sub(1)?), start) {
            end = next;
        }
        Some(vec![self.edit(at, at, lines), self.edit(start, end, String::new())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use racefree_syntax::FileId;

    fn span(text: &str, part: &str) -> Place {
        let start = text.find(part).expect("a part of the text");
        Place { file: FileId(0), span: Span::new(start, start + part.len()) }
    }

    fn drawn(text: &str, stroke: Stroke) -> Option<String> {
        let sketch = Sketch { title: "Mend it".to_owned(), safety: Safety::Safe, stroke };
        sketch.fix(Source { text, file: FileId(0) })?.applied(text)
    }

    #[test]
    fn moves_a_statement_with_its_comments() {
        let text = "  # first\n  call(pid)\n  # second\n  ref = monitor(pid) # third\n  ref\n";
        let stroke = Stroke::Move { statement: span(text, "ref = monitor(pid)"), above: span(text, "call(pid)") };
        let moved = "  # second\n  ref = monitor(pid) # third\n  # first\n  call(pid)\n  ref\n";
        assert_eq!(drawn(text, stroke).as_deref(), Some(moved));
    }

    #[test]
    fn keeps_single_empty_lines() {
        let text = "  call(\n    pid\n  )\n\n  ref = monitor(pid)\n\n  ref\n";
        let stroke = Stroke::Move { statement: span(text, "ref = monitor(pid)"), above: span(text, "call(\n    pid\n  )") };
        assert_eq!(drawn(text, stroke).as_deref(), Some("  ref = monitor(pid)\n\n  call(\n    pid\n  )\n\n  ref\n"));
    }

    #[test]
    fn refuses_to_move_part_of_a_line() {
        let text = "  call(pid); ref = monitor(pid)\n";
        assert_eq!(drawn(text, Stroke::Move { statement: span(text, "ref = monitor(pid)"), above: span(text, "call(pid)") }), None);
    }

    #[test]
    fn lays_a_clause_out_as_its_neighbour() {
        let short = "    {:ok, pid} -> pid # here\n    _ -> nil\n";
        let body = || vec![Piece::Text("pid".to_owned())];
        let stroke = Stroke::Clause { clause: span(short, "{:ok, pid} -> pid"), head: "other".to_owned(), body: body() };
        assert_eq!(drawn(short, stroke).as_deref(), Some("    {:ok, pid} -> pid # here\n    other -> pid\n    _ -> nil\n"));
        let long = "    {:ok, pid} ->\n      pid\n\n    _ ->\n      nil\n";
        let stroke = Stroke::Clause { clause: span(long, "{:ok, pid} ->\n      pid"), head: "other".to_owned(), body: body() };
        assert_eq!(
            drawn(long, stroke).as_deref(),
            Some("    {:ok, pid} ->\n      pid\n\n    other ->\n      pid\n\n    _ ->\n      nil\n")
        );
    }

    #[test]
    fn refuses_to_drop_a_comment() {
        let text = "  case read() do\n    # never there\n    [] -> 1\n  end\n";
        let place = span(text, "case read() do\n    # never there\n    [] -> 1\n  end");
        assert_eq!(drawn(text, Stroke::Replace { place, with: vec![Piece::Text("1".to_owned())] }), None);
    }
}
