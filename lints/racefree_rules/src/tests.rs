//! Runs one rule over a fixture and compares what it reports with the carets. The rules' own pages are fixtures too.

use crate::{Finding, Place, RULES, Rule, Tier};
use racefree_analysis::Program;
use racefree_models::Models;
use racefree_syntax::core::File;
use racefree_syntax::parse::Parsed;
use racefree_testing::{Fixture, FixtureFile, Kind, Observed};
use std::sync::OnceLock;

/// Runs `rule` over `fixture` and compares. What differs fails the test, told with the fixture's own lines.
#[track_caller]
pub(crate) fn check(rule: &Rule, fixture: &str) {
    compare(fixture, |candidate| candidate.id == rule.id);
}

/// Runs every rule over `fixture`, none of which may report.
#[track_caller]
pub(crate) fn accept(fixture: &str) {
    let parsed = Fixture::parse(fixture);
    assert!(
        parsed.expectations.iter().all(|expectation| expectation.label == racefree_testing::Label::Wrong),
        "a safe idiom has no finding"
    );
    compare(fixture, |_| true);
}

#[track_caller]
fn compare(fixture: &str, selected: impl Fn(&Rule) -> bool) {
    let fixture = Fixture::parse(fixture);
    let observed = Sources::new(&fixture.files).report(&selected);
    if let Err(difference) = fixture.compare(&observed) {
        panic!("{difference}");
    }
    let reversed: Vec<FixtureFile> = fixture.files.iter().rev().cloned().collect();
    let observed_reversed = Sources::new(&reversed).report(&selected);
    assert_eq!(sorted(observed_reversed), sorted(observed), "the order of files decides what is reported");
}

/// Applies the first fix of the only finding of `rule` in `before`: `after` comes out, and the rule has nothing to say of it. Without a fix the two are equal.
#[track_caller]
pub(crate) fn fixes(rule: &Rule, before: &str, after: &str) {
    let found = |text: &str| {
        let file = FixtureFile { path: "/lib/a.ex".to_owned(), text: text.to_owned() };
        let mut findings = Sources::new(std::slice::from_ref(&file)).findings(|candidate| candidate.id == rule.id);
        crate::sketch::write_out(&mut findings, |_| Some(text));
        findings
    };
    let findings = found(before);
    let [finding] = findings.as_slice() else { panic!("{} findings in\n{before}", findings.len()) };
    let fixed = finding.fixes.first().map(|fix| fix.applied(before).expect("edits in order"));
    assert_eq!(fixed.as_deref().unwrap_or(before), after);
    assert!(fixed.is_none() || found(after).is_empty(), "still reported:\n{after}");
}

/// In an order that does not depend on that of the files.
fn sorted(mut observed: Vec<Observed>) -> Vec<Observed> {
    observed
        .sort_by(|a, b| (&a.path, a.line, a.start_column, a.kind, &a.message).cmp(&(&b.path, b.line, b.start_column, b.kind, &b.message)));
    observed
}

/// A fixture's files, parsed.
struct Sources<'f> {
    files: &'f [FixtureFile],
    parsed: Vec<Parsed>,
    core: Vec<File>,
}

impl<'f> Sources<'f> {
    #[track_caller]
    fn new(files: &'f [FixtureFile]) -> Self {
        let mut parsed: Vec<Parsed> = files.iter().map(|file| racefree_syntax::parse::parse(&file.text)).collect();
        for (file, parsed) in files.iter().zip(&parsed) {
            assert!(parsed.problems.is_empty(), "{} cannot be read: {:?}\n{}", file.path, parsed.problems, file.text);
        }
        let core = parsed.iter_mut().map(|parsed| std::mem::take(&mut parsed.file)).collect();
        Self { files, parsed, core }
    }

    fn findings(&self, selected: impl Fn(&Rule) -> bool) -> Vec<Finding> {
        crate::check(&Program::new(&self.core, models()), selected)
    }

    fn report(&self, selected: impl Fn(&Rule) -> bool) -> Vec<Observed> {
        self.observed(&self.findings(selected))
    }

    /// The findings and the steps of their traces, where a person would see them.
    fn observed(&self, findings: &[Finding]) -> Vec<Observed> {
        let mut observed = Vec::new();
        for finding in findings {
            let kind = match finding.tier {
                Tier::Certain => Kind::Error,
                Tier::Likely => Kind::Warning,
                Tier::Audit => Kind::Note,
            };
            observed.push(self.observe(finding.place, kind, &finding.message));
            let steps = finding.trace.iter().filter_map(|step| step.place.map(|place| (place, &step.message)));
            observed.extend(steps.map(|(place, message)| self.observe(place, Kind::Step, message)));
        }
        observed
    }

    fn observe(&self, place: Place, kind: Kind, message: &str) -> Observed {
        let index = place.file.0 as usize;
        let (file, lines) = (&self.files[index], &self.parsed[index].lines);
        let (start, end) = (lines.position(&file.text, place.span.start), lines.position(&file.text, place.span.end));
        Observed {
            path: file.path.clone(),
            line: start.line,
            start_column: start.column,
            end_line: end.line,
            end_column: end.column,
            kind,
            message: message.to_owned(),
        }
    }
}

/// The shipped models, read once for all tests.
fn models() -> &'static Models {
    static MODELS: OnceLock<Models> = OnceLock::new();
    MODELS.get_or_init(|| Models::shipped().expect("the shipped models are in order"))
}

/// The first Elixir fence of the section under `heading`.
fn example<'p>(page: &'p str, heading: &str) -> &'p str {
    let section = page.split_once(&format!("## {heading}\n")).map_or("", |(_, section)| section);
    let section = section.split("\n## ").next().unwrap_or(section);
    let (_, fence) = section.split_once("```elixir\n").unwrap_or_else(|| panic!("no Elixir under {heading:?}"));
    fence.split("```").next().unwrap_or(fence)
}

/// The ids of the rules that report something in `source`.
fn reporting(source: &str) -> Vec<&'static str> {
    let files = [FixtureFile { path: "lib/page.ex".to_owned(), text: source.to_owned() }];
    let sources = Sources::new(&files);
    sources.findings(|_| true).iter().map(|finding| finding.rule).collect()
}

/// A page's bad example shows the defect and nothing else.
const BAD_EXAMPLE_LINES_MAX: usize = 20;

#[test]
fn reports_the_bad_example_of_every_page() {
    for rule in RULES {
        let source = example(rule.doc, "What it reports");
        assert!(source.lines().count() <= BAD_EXAMPLE_LINES_MAX, "{} has a long bad example", rule.id);
        assert!(reporting(source).contains(&rule.id), "{} does not report its own bad example:\n{source}", rule.id);
    }
}

#[test]
fn accepts_the_good_example_of_every_page() {
    for rule in RULES {
        let source = example(rule.doc, "Instead");
        assert_eq!(reporting(source), [""; 0], "rules report the good example of {}:\n{source}", rule.id);
    }
}

/// Whoever reads a finding must learn who does what, where, and how to mend it.
#[test]
fn tells_a_story_with_every_finding() {
    for rule in RULES {
        let source = example(rule.doc, "What it reports");
        let files = [FixtureFile { path: "lib/page.ex".to_owned(), text: source.to_owned() }];
        for finding in Sources::new(&files).findings(|candidate| candidate.id == rule.id) {
            let processes: std::collections::BTreeSet<&str> = finding.trace.iter().map(|step| step.process.as_str()).collect();
            assert!(processes.len() > 1, "{}: one process races with nobody: {:?}", rule.id, finding.trace);
            assert!(!finding.harm.is_empty() && !finding.help.is_empty() && !finding.message.is_empty(), "{}", rule.id);
        }
    }
}
