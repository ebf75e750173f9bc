//! SARIF 2.1.0, which code scanning services and viewers read: each finding with its interleaving as one thread flow for each process.
//!
//! What is particular to this tool's use of the format:
//! - Paths are relative to the root of the repository, which is `%SRCROOT%`; its address on this machine is left out, as are times: the same program
//!   gives the same bytes.
//! - The steps of all thread flows share one execution order, which is the losing schedule.
//! - A step outside the source stands at the place of the step before it, marked by `outsideSource`: services refuse a file with a step without place.
//! - Findings that a comment allows are there, as suppressed in source, with the comment's reason.
//! - What could not be read is a notification of the invocation.

mod flow;
mod object;

use std::collections::BTreeMap;
use std::io::{self, Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use racefree_rules::suppression::Allowed;
use racefree_rules::{Finding, Fix, Page, Place};
use serde::Serialize;

use crate::{Level, Problem, Report, Source, json};
use object::*;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
const ROOT: &str = "%SRCROOT%";

/// Above and below a finding.
const CONTEXT_LINES: u32 = 3;
/// More than this around a finding is generated code.
const CONTEXT_BYTES_MAX: usize = 4000;

/// What a URI's path may hold as it is. A colon may not: in the first part it would end a scheme.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let artifacts = Artifacts::new(report);
    write!(out, "{{\"$schema\": \"{SCHEMA}\", \"version\": \"2.1.0\", \"runs\": [{{\n\"tool\": {{\"driver\": {{")?;
    write!(out, "\"name\": \"racefree\", \"semanticVersion\": \"{}\", \"language\": \"en\"", env!("CARGO_PKG_VERSION"))?;
    let address = env!("CARGO_PKG_REPOSITORY");
    if !address.is_empty() {
        write!(out, ", \"informationUri\": \"{address}\"")?;
    }
    json::list(out, "rules", report.pages.iter().map(rule))?;
    write!(out, "}}}},\n\"columnKind\": \"unicodeCodePoints\",\n\"originalUriBaseIds\": ")?;
    let root = BTreeMap::from([(ROOT, Base { description: Message::text("The root of the repository.") })]);
    serde_json::to_writer(&mut *out, &root)?;
    write!(out, ",\n\"invocations\": [{{\"executionSuccessful\": true")?;
    json::list(out, "toolExecutionNotifications", report.problems.iter().map(|problem| artifacts.notification(problem)))?;
    write!(out, "}}]")?;
    json::list(out, "artifacts", artifacts.entries())?;
    let findings = report.findings.iter().zip(report.fingerprints).map(|(finding, name)| artifacts.result(finding, None, name));
    let allowed = report.allowed.iter().zip(report.allowed_fingerprints);
    let allowed = allowed.map(|(allowed, name)| artifacts.result(&allowed.finding, Some(allowed), name));
    json::list(out, "results", findings.chain(allowed).flatten())?;
    writeln!(out, "}}]}}")
}

fn rule(page: &Page) -> Rule {
    let title = sentence(page.title());
    let level = match page.severity {
        racefree_rules::Severity::Error => "error",
        racefree_rules::Severity::Warning => "warning",
    };
    Rule {
        id: page.id,
        name: friendly_name(page.id),
        short_description: Message::text(&title),
        full_description: Message::text(first_paragraph(page.doc).unwrap_or(title)),
        help: Help { text: plain_text(page.doc), markdown: page.doc },
        help_uri: page.address(),
        default_configuration: Configuration { level },
        properties: RuleProperties { tags: ["concurrency"] },
    }
}

/// `nil_pid_call` as `NilPidCall`, the form in which the format wants names.
fn friendly_name(id: &str) -> String {
    let word = |word: &str| word.get(..1).map(str::to_ascii_uppercase).unwrap_or_default() + word.get(1..).unwrap_or_default();
    id.split('_').map(word).collect()
}

/// With a full stop, as the format asks of messages.
fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// The first paragraph below a heading, on one line.
fn first_paragraph(doc: &str) -> Option<String> {
    let is_prose = |part: &&str| !part.trim().is_empty() && !part.starts_with(['#', '`', '-']);
    let paragraph = doc.split("\n\n").find(is_prose)?;
    Some(sentence(&paragraph.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The page for viewers that cannot show Markdown: without the marks that only a renderer wants. What is left is as readable as its source.
fn plain_text(doc: &str) -> String {
    let mut is_code = false;
    let mut lines = Vec::new();
    for line in doc.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if is_code {
            lines.push(line);
        } else {
            lines.push(line.trim_start_matches('#').trim_start());
        }
    }
    lines.join("\n")
}

/// The files that the report speaks of.
struct Artifacts<'a> {
    report: &'a Report<'a>,
    /// Each one's place in the list.
    indexes: BTreeMap<u32, usize>,
}

impl<'a> Artifacts<'a> {
    fn new(report: &'a Report<'a>) -> Self {
        let mut indexes = BTreeMap::new();
        let findings = report.findings.iter().chain(report.allowed.iter().map(|allowed| &allowed.finding));
        let places = findings.flat_map(|finding| {
            let steps = finding.trace.iter().filter_map(|step| step.place);
            let edits = finding.fixes.iter().flat_map(|fix| &fix.edits).map(|edit| edit.place);
            steps.chain(edits).chain([finding.place]).collect::<Vec<_>>()
        });
        let places = places.chain(report.problems.iter().filter_map(|problem| problem.place));
        indexes.extend(places.map(|place| (place.file.0, 0)).filter(|(file, _)| (*file as usize) < report.sources.len()));
        for (at, index) in indexes.values_mut().enumerate() {
            *index = at;
        }
        Self { report, indexes }
    }

    fn entries(&self) -> impl Iterator<Item = Artifact> {
        let path = |file: &u32| self.report.sources.get(*file as usize).map(|source| self.uri(&source.path));
        self.indexes.keys().filter_map(path).map(|location| Artifact { location, source_language: "elixir" })
    }

    fn uri(&self, path: &str) -> ArtifactLocation {
        let path = self.report.standpoint.in_repository(path);
        let encoded = utf8_percent_encode(&path, KEPT).to_string();
        match path.starts_with('/') {
            true => ArtifactLocation { uri: format!("file://{encoded}"), uri_base_id: None, index: None },
            false => ArtifactLocation { uri: encoded, uri_base_id: Some(ROOT), index: None },
        }
    }

    fn source(&self, place: Place) -> Option<&'a Source> {
        self.report.sources.get(place.file.0 as usize)
    }

    fn artifact(&self, place: Place) -> Option<ArtifactLocation> {
        let index = self.indexes.get(&place.file.0).copied();
        Some(ArtifactLocation { index, ..self.uri(&self.source(place)?.path) })
    }

    fn physical(&self, place: Place) -> Option<PhysicalLocation<'a>> {
        let source = self.source(place)?;
        let region = Region { snippet: Some(Content { text: source.code(place.span) }), ..region(source, place) };
        Some(PhysicalLocation { artifact_location: self.artifact(place)?, region: Some(region), context_region: None })
    }

    /// With the lines around it, for viewers that do not have the source.
    fn in_context(&self, place: Place) -> Option<PhysicalLocation<'a>> {
        let source = self.source(place)?;
        let range = source.range(place.span);
        let start_line = range.start.line.saturating_sub(CONTEXT_LINES).max(1);
        let end_line = (range.end.line + CONTEXT_LINES).min(source.lines.line_count() as u32);
        let text = source.code(source.lines.line_span(&source.text, start_line).to(source.lines.line_span(&source.text, end_line)));
        let context_region = (text.len() <= CONTEXT_BYTES_MAX).then_some(ContextRegion { start_line, end_line, snippet: Content { text } });
        Some(PhysicalLocation { context_region, ..self.physical(place)? })
    }

    fn result(&self, finding: &'a Finding, allowed: Option<&'a Allowed>, fingerprint: &'a str) -> Option<Outcome<'a>> {
        let message = format!("{} {}", sentence(&finding.message), finding.harm);
        let function = (!finding.function.is_empty()).then_some(LogicalLocation { name: &finding.function, kind: "function" });
        let location = Location {
            id: None,
            physical_location: Some(self.in_context(finding.place)?),
            logical_locations: function.into_iter().collect(),
            message: None,
        };
        Some(Outcome {
            rule_id: finding.rule,
            rule_index: self.report.pages.iter().position(|page| page.id == finding.rule),
            level: Level::of(finding).name(),
            message: Message::text(message.trim_end()),
            locations: [location],
            related_locations: flow::related(self, finding),
            code_flows: flow::code_flow(self, finding).into_iter().collect(),
            partial_fingerprints: Fingerprints { racefree: fingerprint },
            suppressions: allowed.map(|allowed| self.suppression(allowed)).into_iter().collect(),
            fixes: finding.fixes.iter().filter_map(|fix| self.fix(fix)).collect(),
            properties: OutcomeProperties { tier: finding.tier.name(), help: &finding.help },
        })
    }

    fn suppression(&self, allowed: &'a Allowed) -> Suppression<'a> {
        let location =
            Location { id: None, physical_location: self.physical(allowed.comment), logical_locations: Vec::new(), message: None };
        let justification = (!allowed.reason.is_empty()).then_some(allowed.reason.as_str());
        Suppression { kind: "inSource", status: "accepted", justification, location }
    }

    /// `None` when an edit lies outside the report: half a fix would be worse than none.
    fn fix(&self, fix: &'a Fix) -> Option<FixObject<'a>> {
        let mut changes: BTreeMap<u32, ArtifactChange> = BTreeMap::new();
        for edit in &fix.edits {
            let artifact_location = self.artifact(edit.place)?;
            let region = region(self.source(edit.place)?, edit.place);
            let change = changes.entry(edit.place.file.0);
            let change = change.or_insert_with(|| ArtifactChange { artifact_location, replacements: Vec::new() });
            change.replacements.push(Replacement { deleted_region: region, inserted_content: Content { text: &edit.text } });
        }
        let description = Message::text(sentence(&fix.title));
        Some(FixObject {
            description,
            artifact_changes: changes.into_values().collect(),
            properties: FixProperties { safety: fix.safety.name() },
        })
    }

    fn notification(&self, problem: &Problem) -> Notification<'a> {
        let physical = problem.place.and_then(|place| self.physical(place));
        let physical =
            physical.unwrap_or_else(|| PhysicalLocation { artifact_location: self.uri(&problem.path), region: None, context_region: None });
        let location = Location { id: None, physical_location: Some(physical), logical_locations: Vec::new(), message: None };
        Notification { level: "warning", message: Message::text(sentence(&problem.message)), locations: [location] }
    }
}

fn region<'a>(source: &Source, place: Place) -> Region<'a> {
    let range = source.range(place.span);
    Region {
        start_line: range.start.line,
        start_column: range.start.column,
        end_line: range.end.line,
        end_column: range.end.column,
        snippet: None,
    }
}

/// A key that the format leaves to the tool, with the version of how its value is made.
#[derive(Serialize)]
struct Fingerprints<'a> {
    #[serde(rename = "racefree/v1")]
    racefree: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_plain_text() {
        let page = "# A title\n\nSome `code`\nand more\n\n```elixir\n# a comment\n  x\n```\n\n## Instead\n\n- one\n";
        assert_eq!(plain_text(page), "A title\n\nSome `code`\nand more\n\n# a comment\n  x\n\nInstead\n\n- one");
        assert_eq!(first_paragraph(page).as_deref(), Some("Some `code` and more."));
        assert_eq!(first_paragraph("# Only a title"), None);
        assert_eq!(friendly_name("nil_pid_call"), "NilPidCall");
    }
}
