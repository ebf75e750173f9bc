//! Suppression comments: `# racefree:allow RULE - reason`, and the same with `allow-function` and `allow-module`.

use crate::core::{Allow, AllowScope};
use crate::{Span, symbol};

/// Reads the comment at `span`; `None` when it is no suppression.
pub(crate) fn allow(text: &str, span: Span) -> Option<Allow> {
    let comment = text.get(span.start as usize..span.end as usize)?;
    let directive = comment.trim_start_matches('#').trim().strip_prefix("racefree:")?;
    let (word, rest) = directive.split_at(directive.find(char::is_whitespace).unwrap_or(directive.len()));
    let scope = match word {
        "allow" => AllowScope::Line,
        "allow-function" => AllowScope::Function,
        "allow-module" => AllowScope::Module,
        _ => return None,
    };
    let rest = rest.trim();
    let (rule, after) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
    let (rule, after) = if is_dash(rule) { ("", rest) } else { (rule, after.trim_start()) };
    let reason = after.trim_start_matches(['-', '–', '—', ':']).trim();
    let before = text.get(..span.start as usize)?;
    let line = before.rsplit('\n').next().unwrap_or("");
    Some(Allow { span, scope, rule: symbol(rule.trim_end_matches(':')), reason: reason.to_owned(), own_line: line.trim().is_empty() })
}

fn is_dash(word: &str) -> bool {
    matches!(word, "-" | "--" | "–" | "—" | ":")
}
