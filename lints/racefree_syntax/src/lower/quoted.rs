//! Strings, heredocs, charlists, sigils and quoted atoms.

use super::Lowering;
use crate::core::{Expr, ExprKind, InterpolatedKind};
use crate::kinds::Kind;
use crate::tree::NodeId;
use crate::{Span, Symbol, symbol};

/// A longer string is cut: a symbol is kept for good, and no analysis reads that far.
const STRING_BYTES_MAX: usize = 1024;

/// The text between the quotes, and what to do with it.
#[derive(Debug, Clone, Copy)]
struct Content<'a> {
    span: Span,
    sigil: &'a str,
    modifiers: &'a str,
    /// How much to take off each line of a heredoc.
    indent: Option<usize>,
    /// Escapes stand for themselves.
    raw: bool,
}

impl<'a> Lowering<'a> {
    pub(super) fn quoted(&mut self, id: NodeId) -> ExprKind {
        let node = self.tree.node(id);
        let Some(content) = self.content(id) else { return ExprKind::Opaque(Vec::new()) };
        let (text, parts) = self.skeleton(id, content);
        let kind = match node.kind {
            Kind::String => InterpolatedKind::String,
            Kind::QuotedAtom | Kind::QuotedKeyword => InterpolatedKind::Atom,
            Kind::Sigil if content.sigil == "s" || content.sigil == "S" => InterpolatedKind::String,
            _ => InterpolatedKind::Sigil,
        };
        if parts.is_empty() {
            match kind {
                InterpolatedKind::String => return ExprKind::String(text),
                InterpolatedKind::Atom => return ExprKind::Atom(module_atom(text)),
                InterpolatedKind::Sigil if content.sigil.eq_ignore_ascii_case("w") => return words(text, content, node.span()),
                InterpolatedKind::Sigil => {}
            }
        }
        ExprKind::Interpolated { kind, text, parts }
    }

    /// The literal text of a string, atom or keyword node, for names.
    pub(super) fn literal(&mut self, id: NodeId) -> Symbol {
        match self.content(id) {
            Some(content) => self.decode(content.span, content),
            None => self.symbol_of(id),
        }
    }

    fn skeleton(&mut self, id: NodeId, content: Content<'a>) -> (Symbol, Vec<Expr>) {
        let tree = self.tree;
        let mut interpolations = tree.children(id).filter(|child| tree.kind(*child) == Kind::Interpolation).peekable();
        if interpolations.peek().is_none() {
            return (self.decode(content.span, content), Vec::new());
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut at = content.span.start;
        for interpolation in interpolations {
            let span = self.span_of(interpolation);
            unescape(self.source(Span { start: at, end: span.start }), content, at == content.span.start, &mut text);
            text.push_str("{}");
            parts.extend(tree.children(interpolation).filter(|child| tree.kind(*child) != Kind::Error).map(|part| self.expr(part)));
            at = span.end;
        }
        unescape(self.source(Span { start: at, end: content.span.end.max(at) }), content, false, &mut text);
        (symbol(cut(&text)), parts)
    }

    fn decode(&mut self, span: Span, content: Content<'a>) -> Symbol {
        let text = self.source(span);
        if content.indent.is_none() && (content.raw || !text.contains('\\')) {
            return symbol(cut(text));
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        unescape(cut(text), content, true, &mut scratch);
        let decoded = symbol(&scratch);
        self.scratch = scratch;
        decoded
    }

    /// Finds the quotes of the node; `None` when they are not there, as in broken text.
    fn content(&self, id: NodeId) -> Option<Content<'a>> {
        let node = self.tree.node(id);
        let text = self.source(node.span());
        let mut sigil = "";
        let mut modifiers = "";
        let mut end = text.len();
        let mut start = match node.kind {
            Kind::QuotedAtom => 1,
            Kind::Sigil => {
                let after = text.get(1..)?;
                sigil = after.get(..after.find(|c: char| !c.is_ascii_alphanumeric())?)?;
                1 + sigil.len()
            }
            _ => 0,
        };
        if node.kind == Kind::QuotedKeyword {
            end = text.rfind(':')?;
        }
        if node.kind == Kind::Sigil {
            let body = text.trim_end_matches(|c: char| c.is_ascii_alphanumeric());
            modifiers = text.get(body.len()..)?;
            end = body.len();
        }
        let heredoc = text.get(start..).is_some_and(|rest| rest.starts_with("\"\"\"") || rest.starts_with("'''"));
        let quotes = if heredoc { 3 } else { 1 };
        start += quotes;
        end = end.checked_sub(quotes).filter(|end| *end >= start)?;
        let body = text.get(start..end)?;
        let raw = sigil.starts_with(|c: char| c.is_ascii_uppercase());
        let mut span = Span { start: node.start + start as u32, end: node.start + end as u32 };
        let mut indent = None;
        if heredoc {
            let last = body.rfind('\n').map_or(0, |at| at + 1);
            indent = Some(body.len() - last);
            span.start += body.find('\n').map_or(0, |at| at as u32 + 1);
            span.end = node.start + (start + last) as u32;
            span.end = span.end.max(span.start);
        }
        Some(Content { span, sigil, modifiers, indent, raw })
    }
}

/// `:"Elixir.Foo"` is the alias `Foo`.
fn module_atom(text: Symbol) -> Symbol {
    match text.as_str().strip_prefix("Elixir.") {
        Some(alias) if alias.starts_with(|c: char| c.is_ascii_uppercase()) => symbol(alias),
        _ => text,
    }
}

/// The list of `~w(…)`.
fn words(text: Symbol, content: Content<'_>, span: Span) -> ExprKind {
    let kind = |word: &str| match content.modifiers {
        "a" => ExprKind::Atom(symbol(word)),
        "c" => ExprKind::Interpolated { kind: InterpolatedKind::Sigil, text: symbol(word), parts: Vec::new() },
        _ => ExprKind::String(symbol(word)),
    };
    let items = text.as_str().split_ascii_whitespace().map(|word| Expr { kind: kind(word), span }).collect();
    ExprKind::List { items, tail: None }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(STRING_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}

/// Appends `text` with escapes resolved and a heredoc's indentation removed; `is_first` when it begins where the content does.
fn unescape(text: &str, content: Content<'_>, is_first: bool, out: &mut String) {
    let mut chars = text.chars().peekable();
    let mut margin = if is_first { content.indent.unwrap_or(0) } else { 0 };
    while let Some(c) = chars.next() {
        if margin > 0 && (c == ' ' || c == '\t') {
            margin -= 1;
            continue;
        }
        margin = 0;
        match c {
            '\n' => {
                out.push(c);
                margin = content.indent.unwrap_or(0);
            }
            '\\' if !content.raw => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('s') => out.push(' '),
                Some('0') => out.push('\0'),
                Some('e') => out.push('\u{1b}'),
                Some('a') => out.push('\u{7}'),
                Some('\n') | None => {}
                Some(digits @ ('x' | 'u')) => code_point(digits, &mut chars, out),
                Some(other) => out.push(other),
            },
            _ => out.push(c),
        }
    }
}

/// `\x41`, `\u0041`, `\u{41}`.
fn code_point(kind: char, chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let braces = chars.next_if_eq(&'{').is_some();
    let digits_max = match (braces, kind) {
        (true, _) => 6,
        (false, 'x') => 2,
        (false, _) => 4,
    };
    let mut value = 0;
    for _ in 0..digits_max {
        let Some(digit) = chars.next_if(char::is_ascii_hexdigit).and_then(|c| c.to_digit(16)) else { break };
        value = value * 16 + digit;
    }
    if braces {
        chars.next_if_eq(&'}');
    }
    out.push(char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER));
}

/// The code point of `?a` or `?\n`.
pub(super) fn char_value(text: &str) -> Option<i64> {
    let content = Content { span: Span::default(), sigil: "", modifiers: "", indent: None, raw: false };
    let mut decoded = String::new();
    unescape(text.strip_prefix('?')?, content, true, &mut decoded);
    decoded.chars().next().map(|c| i64::from(u32::from(c)))
}

/// The value of an integer literal, `None` when it does not fit.
pub(super) fn integer_value(text: &str) -> Option<i64> {
    let digits: std::borrow::Cow<'_, str> = if text.contains('_') { text.replace('_', "").into() } else { text.into() };
    let radix = |prefix: &str, radix| digits.strip_prefix(prefix).map(|digits| i64::from_str_radix(digits, radix).ok());
    radix("0x", 16).or_else(|| radix("0b", 2)).or_else(|| radix("0o", 8)).unwrap_or_else(|| digits.parse().ok())
}
