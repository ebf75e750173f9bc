//! Code actions: the fixes that findings bring along, and a comment that allows one.

use std::collections::HashMap;

use lsp_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, DocumentChanges, OneOf, OptionalVersionedTextDocumentIdentifier, Range,
    TextDocumentEdit, TextEdit, Url, WorkspaceEdit,
};
use racefree_rules::finding::{Edit, Fix, Safety};
use racefree_rules::{Place, suppression};
use racefree_syntax::Span;

use crate::analyst::Named;
use crate::diagnostic::Shown;

/// What can be done about `named`.
pub(crate) fn actions(shown: &Shown<'_>, named: &Named, version: &dyn Fn(&Url) -> Option<i32>) -> Vec<CodeActionOrCommand> {
    let fixes = named.finding.fixes.iter().enumerate().filter_map(|(index, fix)| {
        let title = match fix.safety {
            Safety::Safe => fix.title.clone(),
            Safety::Unsafe => format!("{} (look before you keep it)", fix.title),
        };
        action(shown, named, title, fix, index == 0 && fix.safety == Safety::Safe, version)
    });
    let allowed = allowing(shown, named).and_then(|fix| action(shown, named, fix.title.clone(), &fix, false, version));
    fixes.chain(allowed).map(CodeActionOrCommand::CodeAction).collect()
}

fn action(
    shown: &Shown<'_>,
    named: &Named,
    title: String,
    fix: &Fix,
    is_best: bool,
    version: &dyn Fn(&Url) -> Option<i32>,
) -> Option<CodeAction> {
    Some(CodeAction {
        title,
        kind: Some(CodeActionKind::QUICKFIX),
        diagnostics: shown.diagnostic(named).map(|diagnostic| vec![diagnostic]),
        edit: Some(workspace_edit(shown, fix, version)?),
        is_preferred: (shown.abilities.action_preferred && is_best).then_some(true),
        ..CodeAction::default()
    })
}

fn workspace_edit(shown: &Shown<'_>, fix: &Fix, version: &dyn Fn(&Url) -> Option<i32>) -> Option<WorkspaceEdit> {
    let mut by_document: Vec<(Url, Vec<TextEdit>)> = Vec::new();
    for Edit { place, text } in &fix.edits {
        let (uri, range) = (shown.uri(*place)?, shown.range(*place)?);
        let edit = TextEdit { range, new_text: text.clone() };
        match by_document.iter_mut().find(|(known, _)| *known == uri) {
            Some((_, edits)) => edits.push(edit),
            None => by_document.push((uri, vec![edit])),
        }
    }
    if !shown.abilities.document_changes {
        let changes: HashMap<Url, Vec<TextEdit>> = by_document.into_iter().collect();
        return Some(WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() });
    }
    let document_edit = |(uri, edits): (Url, Vec<TextEdit>)| {
        let version = version(&uri);
        let text_document = OptionalVersionedTextDocumentIdentifier { uri, version };
        TextDocumentEdit { text_document, edits: edits.into_iter().map(OneOf::Left).collect() }
    };
    let changes = DocumentChanges::Edits(by_document.into_iter().map(document_edit).collect());
    Some(WorkspaceEdit { document_changes: Some(changes), ..WorkspaceEdit::default() })
}

/// A comment on the line before, for the person to write the reason into. What is wrong with a comment cannot be allowed by another one.
fn allowing(shown: &Shown<'_>, named: &Named) -> Option<Fix> {
    let finding = &named.finding;
    if suppression::PAGES.iter().any(|(id, _)| *id == finding.rule) {
        return None;
    }
    let source = &shown.analysis.files.get(&finding.place.file)?.source;
    let line = source.lines.line_span(&source.text, source.lines.line(finding.place.span.start));
    let content = source.text.get(line.start as usize..line.end as usize)?;
    let indentation: String = content.chars().take_while(|character| character.is_whitespace() && *character != '\r').collect();
    let newline = if content.ends_with('\r') { "\r\n" } else { "\n" };
    let text = format!("{indentation}# racefree:allow {} - reason{newline}", finding.rule);
    let place = Place { file: finding.place.file, span: Span { start: line.start, end: line.start } };
    let title = format!("Allow {} here, with a reason", finding.rule);
    Some(Fix { title, safety: Safety::Unsafe, edits: vec![Edit { place, text }] })
}

/// Whether two ranges share a place; an empty one lies in those around it.
pub(crate) fn touches(a: Range, b: Range) -> bool {
    a.start <= b.end && b.start <= a.end
}
