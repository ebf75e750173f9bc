//! One snapshot of each format over a program of two files, and the drawing of timelines at several widths.
//!
//! `UPDATE_EXPECT=1 cargo test -p racefree_report` rewrites the snapshots.

mod formats;

use std::time::Duration;

use expect_test::{Expect, expect, expect_file};
use racefree_rules::suppression::Allowed;
use racefree_rules::{Edit, Finding, Fix, Page, Place, Safety, Severity, Signal, SignalKind, Step, Tier};
use racefree_syntax::core::{BlindSpot, BlindSpotKind};
use racefree_syntax::{FileId, Span};
use termcolor::{Ansi, NoColor};

use crate::{Coverage, Hidden, Problem, Report, Source, Standpoint, Summary, coverage, fingerprint, json, oneline, text};

const CLIENT: &str = "\
defmodule Jobs.Client do
  def run(name, job) do
    pid = Jobs.Registry.whereis(name)
    GenServer.call(
      pid,
      {:run, job}
    )
  end

  def ping(naïve) do GenServer.call(whereis(naïve), :ping) end
end
";

const REGISTRY: &str = "\
defmodule Jobs.Registry do
  def whereis(name) do
    case :ets.lookup(:jobs, name) do
      [{^name, pid}] -> pid
      [] -> nil
    end
  end

  def handle_info({:DOWN, _, :process, pid, _}, state) do
    :ets.match_delete(:jobs, {:_, pid})
    {:noreply, state}
  end
end
";

fn sources() -> Vec<Source> {
    vec![Source::new("lib/jobs/client.ex", CLIENT), Source::new("lib/jobs/registry.ex", REGISTRY)]
}

/// The place of the first `code` in file `id`.
fn place(id: u32, code: &str) -> Place {
    let text = if id == 0 { CLIENT } else { REGISTRY };
    let start = text.find(code).expect("code of the fixture");
    Place { file: FileId(id), span: Span::new(start, start + code.len()) }
}

fn step(process: &str, message: &str, place: Option<Place>) -> Step {
    Step { process: process.into(), message: message.into(), place, signal: None }
}

fn sends(kind: SignalKind, to: &str, step: Step) -> Step {
    Step { signal: Some(Signal { kind, to: to.into() }), ..step }
}

fn findings() -> Vec<Finding> {
    let call = place(0, "GenServer.call(\n      pid,\n      {:run, job}\n    )");
    let nil = Finding {
        rule: "nil_pid_call",
        tier: Tier::Certain,
        severity: Severity::Error,
        place: call,
        message: "`GenServer.call/2` may be given nil: `Jobs.Registry.whereis/1` finds nothing once the job has died".into(),
        harm: "The caller exits with `{:noproc, _}`, and its own state is lost.".into(),
        trace: vec![
            step("caller", "looks up the pid of `name`", Some(place(0, "Jobs.Registry.whereis(name)"))),
            sends(SignalKind::Exit, "Jobs.Registry", step("job `name`", "dies", None)),
            step("Jobs.Registry", "removes its entry", Some(place(1, ":ets.match_delete(:jobs, {:_, pid})"))),
            step("caller", "gets nil: there is no entry", Some(place(1, "nil"))),
            step("caller", "calls nil, and exits", Some(call)),
        ],
        help: "Match on nil before the call, and give the caller an error it can handle.".into(),
        function: "Jobs.Client.run/2".into(),
        sketches: Vec::new(),
        fixes: vec![Fix {
            title: "Give nil an answer of its own".into(),
            safety: Safety::Unsafe,
            edits: vec![Edit { place: place(0, "GenServer.call("), text: "pid && GenServer.call(".into() }],
        }],
    };
    let ping = place(0, "GenServer.call(whereis(naïve), :ping)");
    let two = Finding {
        rule: "catch_misses_exit",
        tier: Tier::Likely,
        severity: Severity::Error,
        place: ping,
        message: "an exit of the callee passes through".into(),
        trace: vec![
            sends(SignalKind::Call, "job `name`", step("caller", "asks", Some(ping))),
            step("job `name`", "stops while it answers, because its supervisor shuts down the whole tree above it", None),
        ],
        function: "Jobs.Client.ping/1".into(),
        fixes: Vec::new(),
        sketches: Vec::new(),
        ..nil.clone()
    };
    let audit = Finding { tier: Tier::Audit, trace: Vec::new(), help: String::new(), rule: "get_then_put", ..two.clone() };
    vec![nil, two, audit]
}

fn allowed() -> Vec<Allowed> {
    let whereis = place(0, "Jobs.Registry.whereis(name)");
    let finding = Finding { rule: "repeated_lookup", place: whereis, trace: Vec::new(), fixes: Vec::new(), ..findings().remove(0) };
    vec![Allowed { finding, comment: place(0, "defmodule"), reason: "the <registry> \"never\" restarts & never ends".into() }]
}

/// Those of the rules that the findings name.
fn pages() -> Vec<Page> {
    let named = ["catch_misses_exit", "get_then_put", "nil_pid_call", "repeated_lookup"];
    let doc = "# A call\n\nWaits for *one* process.\n\n```elixir\nGenServer.call(pid, :ping)\n```\n\n## Instead\n\n- Handle `nil`.\n";
    named.map(|id| Page { id, severity: Severity::Error, doc, shared: "", primitive: "" }).into()
}

fn standpoint() -> Standpoint {
    Standpoint { repository: "apps/the jobs/".into(), working_folder: "../the jobs/".into() }
}

fn problems() -> Vec<Problem> {
    vec![
        Problem { path: "lib/broken.ex".into(), place: None, message: "holds a NUL byte: not read as source".into() },
        Problem { path: "lib/jobs/client.ex".into(), place: Some(place(0, "naïve")), message: "cannot be read".into() },
    ]
}

fn summary() -> Summary {
    let hidden = Hidden { allowed: 1, tests: 2, likely: 0, audit: 4, baseline: 0, elsewhere: 0 };
    Summary { files: 2, functions: 4, elapsed: Some(Duration::from_millis(12)), hidden, fixed: 0 }
}

fn render(write: impl Fn(&Report, &mut Vec<u8>)) -> String {
    render_of(&sources(), &findings(), write)
}

/// With everything else as in [`render`].
fn render_of(sources: &[Source], findings: &[Finding], write: impl Fn(&Report, &mut Vec<u8>)) -> String {
    let (allowed, problems, pages, standpoint) = (allowed(), problems(), pages(), standpoint());
    let mut out = Vec::new();
    let all = findings.iter().chain(allowed.iter().map(|allowed| &allowed.finding));
    let fingerprints = fingerprint::fingerprints(sources, all);
    let (fingerprints, allowed_fingerprints) = fingerprints.split_at(findings.len());
    let report = Report {
        sources,
        findings,
        fingerprints,
        allowed: &allowed,
        allowed_fingerprints,
        problems: &problems,
        pages: &pages,
        failing: Tier::Certain,
        standpoint: &standpoint,
        summary: summary(),
    };
    write(&report, &mut out);
    String::from_utf8(out).expect("output is UTF-8")
}

/// With nothing but these.
fn report<'a>(sources: &'a [Source], findings: &'a [Finding], standpoint: &'a Standpoint) -> Report<'a> {
    Report {
        sources,
        findings,
        fingerprints: fingerprint::fingerprints(sources, findings).leak(),
        allowed: &[],
        allowed_fingerprints: &[],
        problems: &[],
        pages: &[],
        failing: Tier::Certain,
        standpoint,
        summary: summary(),
    }
}

fn text_at(width: usize) -> String {
    render(|report, out| text::write(report, width, &mut NoColor::new(out)).expect("memory takes every write"))
}

#[test]
fn text_in_80_columns() {
    expect_file!["../../tests/snapshots/text_80.txt"].assert_eq(&text_at(80));
}

#[test]
fn text_in_120_columns() {
    expect_file!["../../tests/snapshots/text_120.txt"].assert_eq(&text_at(120));
}

#[test]
fn text_in_40_columns() {
    expect_file!["../../tests/snapshots/text_40.txt"].assert_eq(&text_at(40));
}

#[test]
fn text_says_the_same_in_colour() {
    let coloured = render(|report, out| text::write(report, 80, &mut Ansi::new(out)).expect("memory takes every write"));
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    assert!(coloured.contains('\u{1b}'));
    assert_eq!(plain, text_at(80));
}

#[test]
fn one_line_each() {
    let out = render(|report, out| oneline::write(report, out).expect("memory takes every write"));
    expect![[r#"
        lib/jobs/client.ex:4:5: error[nil_pid_call] `GenServer.call/2` may be given nil: `Jobs.Registry.whereis/1` finds nothing once the job has died
        lib/jobs/client.ex:10:22: warning[catch_misses_exit] an exit of the callee passes through
        lib/jobs/client.ex:10:22: note[get_then_put] an exit of the callee passes through
        lib/broken.ex: problem: holds a NUL byte: not read as source
        lib/jobs/client.ex:10:12: problem: cannot be read
    "#]].assert_eq(&out);
}

#[test]
fn json_document() {
    let out = render(|report, out| json::write(report, out).expect("memory takes every write"));
    serde_json::from_str::<serde_json::Value>(&out).expect("valid JSON");
    expect_file!["../../tests/snapshots/report.json"].assert_eq(&out);
}

#[test]
fn empty_report() {
    let standpoint = Standpoint::default();
    let report = Report { summary: Summary::default(), ..report(&[], &[], &standpoint) };
    let mut out = Vec::new();
    json::write(&report, &mut out).expect("memory takes every write");
    text::write(&report, 80, &mut NoColor::new(&mut out)).expect("memory takes every write");
    expect![[r#"
        {"version": 1, "tool": {"name":"racefree","version":"0.1.0"},
        "summary": {"files":0,"functions":0,"findings":0,"problems":0,"elapsed_ms":0},
        "findings": [],
        "problems": []}
        No races found in 0 files, 0 functions
    "#]]
    .assert_eq(&String::from_utf8_lossy(&out));
}

fn covered(expected: &Expect, write: fn(&Coverage, &mut dyn std::io::Write) -> std::io::Result<()>) {
    let (sources, problems) = (sources(), problems());
    let spot = |kind, place: Place| (place.file, BlindSpot { kind, span: place.span });
    let blind_spots = [
        spot(BlindSpotKind::DynamicModule, place(0, "Jobs.Registry")),
        spot(BlindSpotKind::Macro, place(0, "GenServer")),
        spot(BlindSpotKind::DynamicModule, place(0, "{:run")),
        spot(BlindSpotKind::DynamicModule, place(1, "nil")),
    ];
    let coverage = Coverage { sources: &sources, problems: &problems, blind_spots: &blind_spots, summary: summary() };
    let mut out = Vec::new();
    write(&coverage, &mut out).expect("memory takes every write");
    expected.assert_eq(&String::from_utf8_lossy(&out));
}

#[test]
fn coverage_text() {
    covered(
        &expect![[r#"
        Read 2 files, 4 functions.

        2 problems: what could not be read

          lib/broken.ex: holds a NUL byte: not read as source
          lib/jobs/client.ex:10:12: cannot be read

        3 blind spots (dynamic_module): calls into a module that is computed

          lib/jobs/client.ex:3, 6
          lib/jobs/registry.ex:5

        1 blind spot (macro): macros' bodies, quoted code, definitions whose name is computed

          lib/jobs/client.ex:4
    "#]],
        coverage::write_text,
    );
}

#[test]
fn coverage_json() {
    covered(
        &expect![[r#"
        {"version": 1, "tool": {"name":"racefree","version":"0.1.0"},
        "summary": {"files":2,"functions":4,"problems":2,"blind_spots":4},
        "problems": [
        {"path":"lib/broken.ex","range":null,"message":"holds a NUL byte: not read as source"},
        {"path":"lib/jobs/client.ex","range":{"start":{"line":10,"column":12},"end":{"line":10,"column":17}},"message":"cannot be read"}],
        "blind_spots": [
        {"kind":"dynamic_module","path":"lib/jobs/client.ex","range":{"start":{"line":3,"column":11},"end":{"line":3,"column":24}}},
        {"kind":"macro","path":"lib/jobs/client.ex","range":{"start":{"line":4,"column":5},"end":{"line":4,"column":14}}},
        {"kind":"dynamic_module","path":"lib/jobs/client.ex","range":{"start":{"line":6,"column":7},"end":{"line":6,"column":12}}},
        {"kind":"dynamic_module","path":"lib/jobs/registry.ex","range":{"start":{"line":5,"column":13},"end":{"line":5,"column":16}}}]}
    "#]],
        coverage::write_json,
    );
}

#[test]
fn fingerprint_ignores_lines_and_white_space() {
    let before = fingerprint::fingerprints(&sources(), &findings());
    let moved = format!("# a comment\n\n{}", CLIENT.replace("      pid,\n      {:run, job}\n    )", "pid, {:run, job}\n)"));
    let start = moved.find("GenServer").expect("code of the fixture");
    let end = start + moved[start..].find("\n)").expect("code of the fixture") + 2;
    let mut finding = findings().remove(0);
    finding.place.span = Span::new(start, end);
    let after = fingerprint::fingerprints(&[Source::new("lib/elsewhere.ex", moved)], &[finding.clone(), finding]);
    assert_eq!(before[0], after[0]);
    assert_ne!(after[0], after[1], "equal findings are told apart by their order");
}

#[test]
fn places_out_of_bounds_do_no_harm() {
    let mut finding = findings().remove(0);
    finding.place.span = Span { start: 300, end: 9000 };
    finding.trace[0].place = Some(Place { file: FileId(7), span: Span::default() });
    let (sources, findings) = (sources(), [finding]);
    let standpoint = Standpoint::default();
    let report = report(&sources, &findings, &standpoint);
    for width in [0, 1, 60, 1000] {
        text::write(&report, width, &mut NoColor::new(Vec::new())).expect("memory takes every write");
    }
    json::write(&report, &mut Vec::new()).expect("memory takes every write");
}

#[test]
fn very_long_lines_are_not_drawn() {
    let code = format!("x = \"{}\"\n", "long ".repeat(200));
    let place = Place { file: FileId(0), span: Span::new(0, code.len()) };
    let findings = [Finding { trace: Vec::new(), place, ..findings().remove(1) }];
    let sources = [Source::new("lib/generated.ex", code)];
    let standpoint = Standpoint::default();
    let report = report(&sources, &findings, &standpoint);
    let mut out = Vec::new();
    text::write(&report, 80, &mut NoColor::new(&mut out)).expect("memory takes every write");
    let out = String::from_utf8_lossy(&out);
    assert!(out.contains("lib/generated.ex:1:1: a line too long to draw"), "{out}");
    assert!(out.len() < 800, "{out}");
}

#[test]
fn what_would_fool_a_terminal_is_shown_harmless() {
    let code = "x = \"\u{1b}[2J\u{202e}\u{9b}\"\r\n";
    let sources = [Source::new("lib/\u{1b}[31m.ex", code)];
    let place = Place { file: FileId(0), span: Span::new(0, code.len()) };
    let finding = Finding { message: "\u{7} \n rings".into(), trace: Vec::new(), place, ..findings().remove(1) };
    let findings = [finding];
    let standpoint = Standpoint::default();
    let report = report(&sources, &findings, &standpoint);
    let mut out = Vec::new();
    text::write(&report, 80, &mut NoColor::new(&mut out)).expect("memory takes every write");
    oneline::write(&report, &mut out).expect("memory takes every write");
    expect![[r#"
        warning[catch_misses_exit]: \u{7}   rings
          ┌─ lib/\u{1b}[31m.ex:1:1
          │
        1 │ x = "?[2J�¿"
          │ ^^^^^^^^^^^^

          = harm: The caller exits with `{:noproc, _}`, and its own state is lost.
          = help: Match on nil before the call, and give the caller an error it can
                  handle.
          = more: racefree explain catch_misses_exit

        1 finding (1 likely) in 2 files, 4 functions, 0.01 s
        Not shown: 4 to audit (--tier audit), 2 in test files (--include-tests), 1 allowed by a comment
        lib/\u{1b}[31m.ex:1:1: warning[catch_misses_exit] \u{7}   rings
    "#]]
    .assert_eq(&String::from_utf8_lossy(&out));
}
