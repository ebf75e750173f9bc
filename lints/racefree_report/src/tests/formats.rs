//! Formats for tools: one snapshot each, and what text from the source must not do to them.

use super::*;
use crate::{github, gitlab, html, jsonl, junit, rdjson, sarif};
use std::io::{self, Write};

type Format = fn(&Report, &mut dyn Write) -> io::Result<()>;

const FORMATS: [(&str, Format); 8] = [
    ("json", json::write),
    ("jsonl", jsonl::write),
    ("sarif", sarif::write),
    ("github", github::write),
    ("gitlab", gitlab::write),
    ("rdjson", rdjson::write),
    ("junit", junit::write),
    ("html", html::write),
];

fn rendered(format: Format) -> String {
    render(|report, out| format(report, out).expect("memory takes every write"))
}

#[test]
fn jsonl_lines() {
    let out = rendered(jsonl::write);
    let types: Vec<_> =
        out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("valid JSON")["type"].clone()).collect();
    assert_eq!(types, ["tool", "finding", "finding", "finding", "problem", "problem", "summary"]);
    expect_file!["../../tests/snapshots/report.jsonl"].assert_eq(&out);
}

#[test]
fn jsonl_says_what_json_says() {
    let document: serde_json::Value = serde_json::from_str(&rendered(json::write)).expect("valid JSON");
    let lines = rendered(jsonl::write);
    let mut lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("valid JSON"));
    let first_finding = lines.find(|line| line["type"] == "finding").expect("a finding");
    for (key, value) in document["findings"][0].as_object().expect("an object") {
        assert_eq!(first_finding[key], *value);
    }
}

#[test]
fn sarif_log() {
    let out = rendered(sarif::write);
    expect_file!["../../tests/snapshots/report.sarif"].assert_eq(&out);
}

#[test]
fn sarif_has_a_thread_flow_for_each_process_in_one_order() {
    let log: serde_json::Value = serde_json::from_str(&rendered(sarif::write)).expect("valid JSON");
    let flows = &log["runs"][0]["results"][0]["codeFlows"][0]["threadFlows"];
    let ids: Vec<_> = flows.as_array().expect("flows").iter().map(|flow| flow["id"].clone()).collect();
    assert_eq!(ids, ["caller", "job `name`", "Jobs.Registry"]);
    let locations = flows.as_array().expect("flows").iter().flat_map(|flow| flow["locations"].as_array().expect("locations"));
    let mut orders: Vec<_> = locations.map(|location| location["executionOrder"].as_u64().expect("a number")).collect();
    orders.sort_unstable();
    assert_eq!(orders, [1, 2, 3, 4, 5]);
}

#[test]
fn sarif_keeps_what_comments_allow() {
    let log: serde_json::Value = serde_json::from_str(&rendered(sarif::write)).expect("valid JSON");
    let results = log["runs"][0]["results"].as_array().expect("results");
    let suppressed: Vec<_> = results.iter().map(|result| result["suppressions"].as_array().expect("a list").len()).collect();
    assert_eq!(suppressed, [0, 0, 0, 1]);
    assert_eq!(results[3]["suppressions"][0]["justification"], allowed()[0].reason);
}

#[test]
fn sarif_paths_are_escaped() {
    let sources = [Source::new("lib/a b/ü%20:#?.ex", CLIENT), Source::new("/srv/x.ex", REGISTRY)];
    let out = render_of(&sources, &findings(), |report, out| sarif::write(report, out).expect("memory takes every write"));
    assert!(out.contains("\"uri\":\"apps/the%20jobs/lib/a%20b/%C3%BC%2520%3A%23%3F.ex\",\"uriBaseId\":\"%SRCROOT%\""), "{out}");
    assert!(out.contains("\"uri\":\"file:///srv/x.ex\",\"index\""), "{out}");
}

#[test]
fn github_commands() {
    expect_file!["../../tests/snapshots/report.github"].assert_eq(&rendered(github::write));
}

#[test]
fn gitlab_report() {
    let out = rendered(gitlab::write);
    let entries: Vec<serde_json::Value> = serde_json::from_str(&out).expect("valid JSON");
    let mut names: Vec<_> = entries.iter().map(|entry| entry["fingerprint"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 5, "each entry needs a fingerprint of its own");
    expect_file!["../../tests/snapshots/report.gitlab.json"].assert_eq(&out);
}

#[test]
fn rdjson_document() {
    let out = rendered(rdjson::write);
    serde_json::from_str::<serde_json::Value>(&out).expect("valid JSON");
    expect_file!["../../tests/snapshots/report.rdjson"].assert_eq(&out);
}

#[test]
fn rdjson_counts_bytes() {
    let document: serde_json::Value = serde_json::from_str(&rendered(rdjson::write)).expect("valid JSON");
    let line = CLIENT.lines().nth(9).expect("the line of `ping`");
    let range = &document["diagnostics"][1]["location"]["range"];
    assert_eq!(range["start"]["column"], line.find("GenServer").expect("the call") + 1);
    assert_eq!(range["end"]["column"], line.find(" end").expect("its end") + 1);
    assert_eq!(rdjson_text(&document, 1), "GenServer.call(whereis(naïve), :ping)");
}

/// What a reader that counts bytes takes the range of a diagnostic for; on one line.
fn rdjson_text(document: &serde_json::Value, index: usize) -> &'static str {
    let range = &document["diagnostics"][index]["location"]["range"];
    let number = |end: &str, what: &str| range[end][what].as_u64().expect("a number") as usize - 1;
    let line = CLIENT.lines().nth(number("start", "line")).expect("a line");
    &line[number("start", "column")..number("end", "column")]
}

#[test]
fn junit_suites() {
    expect_file!["../../tests/snapshots/report.junit.xml"].assert_eq(&rendered(junit::write));
}

#[test]
fn junit_counts_what_it_lists() {
    let out = rendered(junit::write);
    assert!(out.contains("<testsuites name=\"racefree\" tests=\"10\" failures=\"1\" errors=\"0\">"), "{out}");
    assert_eq!((out.matches("<testcase ").count(), out.matches("<failure ").count()), (10, 1));
}

#[test]
fn empty_reports_are_documents_too() {
    let standpoint = Standpoint::default();
    let mut all = String::new();
    // The page is mostly style; what an empty one says has a test of its own.
    for (name, format) in FORMATS.into_iter().filter(|(name, _)| *name != "html") {
        let mut out = Vec::new();
        format(&Report { summary: Summary::default(), ..report(&[], &[], &standpoint) }, &mut out).expect("memory takes every write");
        all.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&out).replace('\n', " ")));
    }
    expect_file!["../../tests/snapshots/empty.txt"].assert_eq(&all);
}

#[test]
fn html_page() {
    expect_file!["../../tests/snapshots/report.html"].assert_eq(&rendered(html::write));
}

/// The values of an attribute, in order.
fn attributes<'t>(page: &'t str, name: &str) -> Vec<&'t str> {
    let open = format!(" {name}=\"");
    page.split(open.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn html_links_lead_somewhere_and_ids_are_unique() {
    let page = rendered(html::write);
    let mut ids = attributes(&page, "id");
    for href in attributes(&page, "href") {
        assert!(href.strip_prefix('#').is_some_and(|id| ids.contains(&id)), "{href} leads nowhere");
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn html_asks_for_nothing_and_allows_nothing() {
    let page = rendered(html::write);
    for outside in ["http://", "https://", "src=", "url(", "@import", " style=", " onclick", "javascript:"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn html_draws_arrows_between_lanes_and_says_them_in_words() {
    let page = rendered(html::write);
    assert!(page.contains("<li class=\"step lane-2 outside\">"), "the job dies outside the source, in a lane of its own");
    assert!(page.contains("<span class=\"arrow exit rightwards between-2-3\" aria-hidden=\"true\"><span>exit</span></span>"));
    assert!(page.contains("<span class=\"to\">→ exit to Jobs.<wbr>Registry</span>"));
    assert_eq!(page.matches("reported here").count(), 2, "a step of each of the two findings that have any");
}

#[test]
fn html_of_nothing_says_so() {
    let standpoint = Standpoint::default();
    let mut out = Vec::new();
    html::write(&Report { summary: Summary::default(), ..report(&[], &[], &standpoint) }, &mut out).expect("memory takes every write");
    let page = String::from_utf8(out).expect("output is UTF-8");
    assert!(page.contains("<h1>No races found</h1>") && !page.contains("<form") && !page.contains("<nav"), "{page}");
}

/// Everything that can come from a source or a path, at its worst.
fn hostile() -> (Vec<Source>, Vec<Finding>) {
    let word = "\u{0}\u{1b}[31m ]]> <x a=\"'\"> &amp; %0A ::error:: \r\n\u{202e}\u{fffe}\u{7f}\u{9b}, : \\";
    let mut finding = findings().remove(0);
    finding.message = word.into();
    finding.harm = word.into();
    finding.help = word.into();
    finding.function = word.into();
    for step in &mut finding.trace {
        step.message = word.into();
        step.process = format!("{word}{}", step.process);
        step.signal = Some(Signal { kind: SignalKind::Call, to: word.into() });
    }
    finding.fixes[0].title = word.into();
    finding.fixes[0].edits[0].text = word.into();
    let sources = vec![Source::new(format!("lib/{word}.ex"), CLIENT.replace("name", word)), Source::new("b.ex", word)];
    (sources, vec![finding])
}

#[test]
fn hostile_text_breaks_no_document() {
    let (sources, findings) = hostile();
    let of = |format: Format| render_of(&sources, &findings, |report, out| format(report, out).expect("memory takes every write"));
    for format in [json::write as Format, sarif::write, gitlab::write, rdjson::write] {
        serde_json::from_str::<serde_json::Value>(&of(format)).expect("valid JSON");
    }
    assert!(of(jsonl::write).lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    let github = of(github::write);
    assert!(github.lines().all(|line| line.starts_with("::error ") || line.starts_with("::warning ")), "{github}");
    assert_eq!(github.lines().count(), 3);
    let junit = of(junit::write);
    let allowed = |c: char| matches!(c, '\n' | '\t' | '\r') || (c >= ' ' && c != '\u{fffe}' && c != '\u{ffff}');
    assert!(junit.chars().all(allowed), "{junit}");
    let page = of(html::write);
    assert!(!page.contains("<x a=") && page.contains("&lt;x a="), "{page}");
    let is_hidden = |c: char| (c.is_control() && !matches!(c, '\n' | '\t' | '\r')) || c == '\u{202e}';
    assert!(!page.contains(is_hidden), "{page}");
    let mut reader = quick_xml::Reader::from_str(&junit);
    while reader.read_event().expect("well-formed XML") != quick_xml::events::Event::Eof {}
}
