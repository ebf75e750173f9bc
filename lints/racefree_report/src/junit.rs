//! JUnit's XML, as Jenkins, GitLab and most test dashboards read it: a suite for each rule that ran, a test case for each file it looked at.
//!
//! Cases of rules that found nothing are there too: a dashboard sees that a race is gone by a case of the same name that passes. What fails the run is
//! a failure; a finding below that stands in the case's output; where a comment allows what was found, and where a file could not be read whole, the
//! case was skipped. There are no times: they would be those of files, and rules look at programs.

use std::collections::BTreeMap;
use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use racefree_rules::Finding;
use racefree_rules::suppression::Allowed;
use termcolor::NoColor;

use crate::excerpt::Excerpts;
use crate::{Report, plain, summary, text};

/// Wide enough for timelines in a window that shows a test's output.
const WIDTH: usize = 100;

/// The suite of files that could not be read, or only in part.
const READING: &str = "reading";

type Xml<'w> = Writer<&'w mut dyn Write>;

/// What one rule found in one file.
#[derive(Default)]
struct Case<'a> {
    failures: Vec<&'a Finding>,
    others: Vec<&'a Finding>,
    allowed: Vec<&'a Allowed>,
}

/// By rule, then file.
type Cases<'a> = BTreeMap<(&'a str, u32), Case<'a>>;

pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let cases = cases(report);
    let mut excerpts = Excerpts::new(report.sources);
    let (files, failures) = (report.sources.len(), cases.values().filter(|case| case.is_failed()).count());
    let tests = files * report.pages.len() + unread(report).len();
    let mut xml = Writer::new_with_indent(out, b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let suites = xml.create_element("testsuites").with_attribute(("name", "racefree")).with_attributes([
        ("tests", tests.to_string().as_str()),
        ("failures", &failures.to_string()),
        ("errors", "0"),
    ]);
    suites.write_inner_content(|xml| {
        for page in report.pages {
            write_suite(report, page.id, &cases, &mut excerpts, xml)?;
        }
        write_problems(report, xml)
    })?;
    writeln!(xml.into_inner())
}

impl Case<'_> {
    fn is_failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// What is known of the file is that a comment answers for it.
    fn is_skipped(&self) -> bool {
        self.failures.is_empty() && self.others.is_empty() && !self.allowed.is_empty()
    }
}

fn cases<'a>(report: &Report<'a>) -> Cases<'a> {
    let mut cases = Cases::new();
    for finding in report.findings {
        let case = cases.entry((finding.rule, finding.place.file.0)).or_default();
        if finding.tier <= report.failing { case.failures.push(finding) } else { case.others.push(finding) }
    }
    for allowed in report.allowed {
        cases.entry((allowed.finding.rule, allowed.finding.place.file.0)).or_default().allowed.push(allowed);
    }
    cases
}

fn write_suite(report: &Report, rule: &str, cases: &Cases, excerpts: &mut Excerpts, xml: &mut Xml) -> io::Result<()> {
    let of_rule = |is_counted: fn(&Case) -> bool| cases.range((rule, 0)..=(rule, u32::MAX)).filter(|(_, case)| is_counted(case)).count();
    let suite = xml.create_element("testsuite").with_attribute(("name", rule)).with_attributes([
        ("tests", report.sources.len().to_string().as_str()),
        ("failures", &of_rule(|case| case.is_failed()).to_string()),
        ("errors", "0"),
        ("skipped", &of_rule(|case| case.is_skipped()).to_string()),
    ]);
    suite.write_inner_content(|xml| {
        for (file, source) in report.sources.iter().enumerate() {
            write_case(&source.path, rule, cases.get(&(rule, file as u32)), excerpts, xml)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn write_case(path: &str, rule: &str, case: Option<&Case>, excerpts: &mut Excerpts, xml: &mut Xml) -> io::Result<()> {
    let class = format!("racefree.{rule}");
    let name = legal(&plain::line(path));
    let element = xml.create_element("testcase").with_attributes([("classname", class.as_str()), ("name", &name)]);
    let Some(case) = case else { return element.write_empty().map(drop) };
    element.write_inner_content(|xml| {
        if let [first, more @ ..] = case.failures.as_slice() {
            let more = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
            let message = format!("{}{more}", legal(&plain::line(&first.message)));
            let failure = xml.create_element("failure").with_attributes([("type", rule), ("message", &message)]);
            failure.write_text_content(BytesText::new(&drawn(&case.failures, excerpts)?))?;
        }
        if case.is_skipped() {
            write_skipped(&reasons(&case.allowed), xml)?;
        }
        if !case.others.is_empty() {
            xml.create_element("system-out").write_text_content(BytesText::new(&drawn(&case.others, excerpts)?))?;
        }
        Ok(())
    })?;
    Ok(())
}

/// The findings as the text report has them.
fn drawn(findings: &[&Finding], excerpts: &mut Excerpts) -> io::Result<String> {
    let mut out = NoColor::new(Vec::new());
    for finding in findings {
        writeln!(out)?;
        text::write_finding(excerpts, finding, WIDTH, &mut out)?;
    }
    Ok(legal(&String::from_utf8_lossy(&out.into_inner())))
}

fn reasons(allowed: &[&Allowed]) -> String {
    let reason = |allowed: &&Allowed| if allowed.reason.is_empty() { "no reason given".to_owned() } else { allowed.reason.clone() };
    let reasons: Vec<_> = allowed.iter().map(reason).collect();
    format!("{} allowed by a comment: {}", summary::count(allowed.len(), "finding"), legal(&plain::line(&reasons.join("; "))))
}

fn write_problems(report: &Report, xml: &mut Xml) -> io::Result<()> {
    let unread = unread(report);
    if unread.is_empty() {
        return Ok(());
    }
    let count = unread.len().to_string();
    let counts = [("tests", count.as_str()), ("failures", "0"), ("errors", "0"), ("skipped", &count)];
    xml.create_element("testsuite").with_attribute(("name", READING)).with_attributes(counts).write_inner_content(|xml| {
        for (path, messages) in &unread {
            let case = xml.create_element("testcase");
            let case = case.with_attributes([("classname", "racefree.reading"), ("name", &legal(&plain::line(path)))]);
            case.write_inner_content(|xml| write_skipped(&format!("not read whole: {}", legal(&plain::line(&messages.join("; ")))), xml))?;
        }
        Ok(())
    })?;
    Ok(())
}

/// The reason is text: only newer schemas have an attribute for it.
fn write_skipped(reason: &str, xml: &mut Xml) -> io::Result<()> {
    xml.create_element("skipped").write_text_content(BytesText::new(reason)).map(drop)
}

/// What went wrong, by file: two cases must not share a name.
fn unread<'a>(report: &Report<'a>) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut unread: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for problem in report.problems {
        unread.entry(&problem.path).or_default().push(&problem.message);
    }
    unread
}

/// `text` without the characters that no XML document can hold, escaped or not.
fn legal(text: &str) -> String {
    let is_legal = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r') || c >= '\u{80}';
    text.chars().map(|c| if is_legal(c) && !matches!(c, '\u{fffe}' | '\u{ffff}') { c } else { char::REPLACEMENT_CHARACTER }).collect()
}
