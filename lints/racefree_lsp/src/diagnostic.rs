//! Findings to diagnostics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lsp_types::{
    CodeDescription, Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, Location, NumberOrString, Range, Url,
};
use racefree_report::Level;
use racefree_rules::{Place, suppression};
use serde_json::json;

use crate::analyst::{Analysis, File, Named};
use crate::client::Abilities;
use crate::position::Places;

/// What tells our diagnostics from others'.
pub(crate) const SOURCE: &str = "racefree";

/// An analysis as a client sees it.
pub(crate) struct Shown<'a> {
    pub(crate) analysis: &'a Analysis,
    pub(crate) abilities: Abilities,
    /// The editor's own names of documents that are open.
    pub(crate) uri: &'a dyn Fn(&Path) -> Option<Url>,
    /// Where rules are explained.
    pub(crate) page: &'a dyn Fn(&str) -> Option<String>,
}

impl Shown<'_> {
    /// All diagnostics, by file.
    pub(crate) fn diagnostics(&self) -> BTreeMap<PathBuf, Vec<Diagnostic>> {
        let mut by_file: BTreeMap<PathBuf, Vec<Diagnostic>> = BTreeMap::new();
        for named in &self.analysis.findings {
            let file = self.analysis.files.get(&named.finding.place.file);
            if let (Some(file), Some(diagnostic)) = (file, self.diagnostic(named)) {
                by_file.entry(file.path.clone()).or_default().push(diagnostic);
            }
        }
        by_file
    }

    pub(crate) fn diagnostic(&self, named: &Named) -> Option<Diagnostic> {
        let finding = &named.finding;
        let page = if self.abilities.code_description { (self.page)(finding.rule) } else { None };
        let href = page.and_then(|page| Url::parse(&page).ok());
        let is_superfluous = finding.rule == suppression::UNUSED_ALLOW;
        let steps = finding.trace.iter().filter_map(|step| {
            let location = self.location(step.place?)?;
            Some(DiagnosticRelatedInformation { location, message: format!("{}: {}", step.process, step.message) })
        });
        Some(Diagnostic {
            range: self.range(finding.place)?,
            severity: Some(severity(named)),
            code: Some(NumberOrString::String(finding.rule.to_owned())),
            code_description: href.map(|href| CodeDescription { href }),
            source: Some(SOURCE.to_owned()),
            message: self.message(named),
            related_information: self.abilities.related_information.then(|| steps.collect()),
            tags: (self.abilities.tags && is_superfluous).then(|| vec![DiagnosticTag::UNNECESSARY]),
            data: self.abilities.data.then(|| json!({ "fingerprint": named.fingerprint })),
        })
    }

    /// What a client that does not show related places cannot do without is the interleaving: then it stands in the text.
    fn message(&self, named: &Named) -> String {
        let finding = &named.finding;
        let mut message = finding.message.clone();
        if !self.abilities.related_information {
            for step in &finding.trace {
                message.push_str(&format!("\n{}: {}", step.process, step.message));
                if let Some((File { source, .. }, place)) =
                    step.place.and_then(|place| self.analysis.files.get(&place.file).zip(Some(place)))
                {
                    message.push_str(&format!(" ({}:{})", source.path, source.lines.line(place.span.start)));
                }
            }
        }
        for sentence in [&finding.harm, &finding.help] {
            if !sentence.is_empty() {
                message.push('\n');
                message.push_str(sentence);
            }
        }
        message
    }

    pub(crate) fn range(&self, place: Place) -> Option<Range> {
        let source = &self.analysis.files.get(&place.file)?.source;
        let places = Places { text: &source.text, lines: &source.lines, encoding: self.abilities.encoding };
        Some(places.range(place.span))
    }

    pub(crate) fn uri(&self, place: Place) -> Option<Url> {
        let path = &self.analysis.files.get(&place.file)?.path;
        (self.uri)(path).or_else(|| Url::from_file_path(path).ok())
    }

    fn location(&self, place: Place) -> Option<Location> {
        Some(Location { uri: self.uri(place)?, range: self.range(place)? })
    }
}

fn severity(named: &Named) -> DiagnosticSeverity {
    match Level::of(&named.finding) {
        _ if named.is_known => DiagnosticSeverity::HINT,
        Level::Error => DiagnosticSeverity::ERROR,
        Level::Warning => DiagnosticSeverity::WARNING,
        Level::Note => DiagnosticSeverity::INFORMATION,
    }
}
