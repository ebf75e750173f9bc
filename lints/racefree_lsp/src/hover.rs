//! What is shown of a finding under the pointer: what happens, and the page of its rule.

use lsp_types::{Hover, HoverContents, MarkupContent, MarkupKind};

use crate::analyst::Named;
use crate::diagnostic::Shown;

pub(crate) fn hover(shown: &Shown<'_>, named: &[&Named], page: &dyn Fn(&str) -> Option<&'static str>) -> Option<Hover> {
    let range = shown.range(named.first()?.finding.place);
    let mut parts = Vec::new();
    let mut explained: Vec<&str> = Vec::new();
    for named in named {
        let finding = &named.finding;
        parts.push(format!("**{}**: {}\n\n{}", finding.rule, finding.message, finding.harm));
        let steps = finding.trace.iter().enumerate().map(|(index, step)| format!("{}. *{}*: {}\n", index + 1, step.process, step.message));
        parts.push(steps.collect());
        parts.push(finding.help.clone());
        if !explained.contains(&finding.rule) {
            explained.push(finding.rule);
        }
    }
    parts.extend(explained.into_iter().filter_map(page).map(|page| format!("---\n\n{}", page.trim())));
    parts.retain(|part| !part.trim().is_empty());
    let kind = if shown.abilities.markdown { MarkupKind::Markdown } else { MarkupKind::PlainText };
    let contents = HoverContents::Markup(MarkupContent { kind, value: parts.join("\n\n") });
    Some(Hover { contents, range })
}
