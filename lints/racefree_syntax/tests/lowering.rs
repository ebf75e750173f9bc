//! What each construct is lowered to. A case is a name, source, a line of dashes and the dump; `UPDATE_EXPECT=1` writes what is.

use std::fmt::Write;
use std::path::Path;

use racefree_syntax::{dump, parse};

struct Case<'a> {
    name: &'a str,
    source: &'a str,
    expected: &'a str,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let blocks = text.split("=== ").skip(1);
    blocks
        .map(|block| {
            let (name, rest) = block.split_once('\n').unwrap();
            let (source, expected) = rest.split_once("\n---\n").unwrap();
            Case { name, source, expected: expected.trim() }
        })
        .collect()
}

fn check(file: &str, lower: impl Fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lowering").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut updated = String::new();
    let mut wrong = String::new();
    for case in cases(&text) {
        let actual = lower(case.source);
        let actual = actual.trim();
        writeln!(updated, "=== {}\n{}\n---\n{actual}\n", case.name, case.source).unwrap();
        if actual != case.expected {
            writeln!(wrong, "{}\n  expected {}\n  actual   {actual}", case.name, case.expected).unwrap();
        }
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, updated).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn whole(source: &str) -> String {
    let parsed = parse::parse(source);
    let mut out = dump::file(&parsed.file);
    for problem in &parsed.problems {
        let at = parsed.lines.position(source, problem.span.start);
        writeln!(out, "{}:{} {}", at.line, at.column, problem.message).unwrap();
    }
    out
}

#[test]
fn accepts_bodies() {
    check("bodies.txt", |source| {
        let out = whole(&format!("defmodule M do\ndef f(x) do\n{source}\nend\nend\n"));
        let lines: Vec<&str> = out.lines().skip(2).map(str::trim).collect();
        lines.join("\n")
    });
}

#[test]
fn accepts_modules() {
    check("modules.txt", whole);
}

#[test]
fn reports_broken_text_and_keeps_the_rest() {
    check("broken.txt", whole);
}

#[test]
fn accepts_spans_of_calls() {
    let source = "defmodule M do\n  def f(x) do\n    x |> Foo.bar(1)\n  end\nend\n";
    let parsed = parse::parse(source);
    let body = &parsed.file.modules[0].functions[0].clauses[0].body;
    let racefree_syntax::core::ExprKind::Call(call) = &body.kind else { panic!("{body:?}") };
    assert_eq!(&source[body.span.start as usize..body.span.end as usize], "x |> Foo.bar(1)");
    assert_eq!(&source[call.name_span.start as usize..call.name_span.end as usize], "bar");
}

#[test]
fn reports_a_file_given_up() {
    let mut parser = parse::Parser::new();
    parser.interrupt_with(|| true);
    let source = "defmodule M do\n  def f(x), do: [1, 2, 3, x]\nend\n".repeat(100);
    let parsed = parser.parse(&source);
    assert_eq!(parsed.problems.len(), 1);
    assert!(parsed.file.modules.is_empty());
}
