//! No text may crash the parser or make it hang, however deep or broken it is.

use racefree_syntax::core::{BlindSpotKind, File};
use racefree_syntax::parse::{Parsed, Parser, SOURCE_BYTES_MAX, parse};

/// The least stack that the threads of the tool have.
const STACK_BYTES: usize = 2 << 20;

fn on_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap().join().unwrap();
}

fn is_cut(file: &File) -> bool {
    file.blind_spots.iter().any(|spot| spot.kind == BlindSpotKind::TooDeep)
}

fn nested(before: &str, open: &str, middle: &str, close: &str, after: &str, depth: usize) -> String {
    [before, &open.repeat(depth), middle, &close.repeat(depth), after].concat()
}

fn in_function(body: &str) -> String {
    format!("defmodule A do\n  def f(x) do\n{body}\n  end\n  def g(x), do: x\nend\n")
}

#[test]
fn accepts_any_nesting_on_a_small_stack() {
    for depth in [200, 300, 20_000] {
        for (open, middle, close) in [
            ("(", "x", ")"),
            ("[", "x", "]"),
            ("{", "x", "}"),
            ("f(", "x", ")"),
            ("M.f(", "x", ")"),
            ("%{a: ", "x", "}"),
            ("fn x -> ", "x", " end"),
            ("&", "x", ""),
            ("!", "x", ""),
            ("if x do\n", "x", "\nend"),
            ("case x do\ny -> ", "x", "\nend"),
            ("try do\n", "x", "\nrescue\n_ -> 1\nend"),
            ("with x <- ", "x", ", do: 1"),
            ("for x <- y do\n", "x", "\nend"),
            ("receive do\nx -> ", "x", "\nend"),
            ("cond do\nx -> ", "x", "\nend"),
            ("macro do\n", "x", "\nend"),
            ("\"#{", "x", "}\""),
            ("x = ", "x", ""),
            ("x |> ", "x", ""),
            ("x <> ", "x", ""),
            ("x ++ ", "x", ""),
            ("x || ", "x", ""),
            ("x.", "x", ""),
            ("", "x", ".y"),
            ("", "x", "[1]"),
            ("", "x", ".()"),
            ("quote do\n", "x", "\nend"),
            ("{x, ", "x", "} = y"),
            ("def f do\n", "x", "\nend"),
            ("defmodule M do\n", "x", "\nend"),
        ] {
            let text = in_function(&nested("", open, middle, close, "", depth));
            on_small_stack(move || {
                let parsed = parse(&text);
                let names: Vec<&str> = parsed.file.modules.iter().flat_map(|m| &m.functions).map(|f| f.name.as_str()).collect();
                assert!(names.contains(&"g") || !parsed.problems.is_empty(), "{depth}: {names:?}");
                drop(
                    parsed
                        .file
                        .modules
                        .iter()
                        .map(|m| m.functions.iter().map(|f| f.clauses.clone()).collect::<Vec<_>>())
                        .collect::<Vec<_>>(),
                );
            });
        }
    }
}

#[test]
fn accepts_any_nesting_outside_functions() {
    for depth in [200, 300, 20_000] {
        for (open, middle, close) in [
            ("defmodule A do\n", "def f, do: 1", "\nend"),
            ("if x do\n", "def f, do: 1", "\nend"),
            ("describe \"x\" do\n", "test \"y\" do\n:ok\nend", "\nend"),
            ("@type t :: [", "x", "]"),
            ("@type t :: ", "x", " | y"),
            ("@spec f(", "x", ") :: x"),
            ("def f({", "x", "}), do: 1"),
            ("def f(", "x", " = x), do: 1"),
            ("@a [", "1", "]"),
            ("use A, [", "1", "]"),
        ] {
            let text = nested("defmodule B do\n", open, middle, close, "\nend\n", depth);
            on_small_stack(move || drop(parse(&text)));
        }
    }
}

#[test]
fn reports_what_nests_too_deep_and_keeps_the_rest() {
    let parsed = parse(&in_function(&nested("", "[", "x", "]", "", 1_000)));
    assert!(is_cut(&parsed.file));
    assert_eq!(parsed.file.modules[0].functions.len(), 2);
    assert_eq!(parsed.problems.len(), 1);
}

#[test]
fn keeps_every_call_of_a_long_pipe() {
    let text = in_function(&format!("x{}", " |> h(1)".repeat(5_000)));
    on_small_stack(move || {
        let parsed = parse(&text);
        assert!(is_cut(&parsed.file));
        let dump = racefree_syntax::dump::file(&parsed.file);
        assert_eq!(dump.matches("(h (opaque) 1)").count(), 5_000);
    });
}

#[test]
fn accepts_a_file_that_is_too_large() {
    let parsed = parse(&"x\n".repeat(SOURCE_BYTES_MAX / 2 + 1));
    assert_eq!(parsed.problems.len(), 1);
    assert!(parsed.file.modules.is_empty());
}

const PREFIX_STEP: usize = 11;
const EDITED_TEXTS: usize = 150;

const SOURCES: &[&str] = &[include_str!("sources/everything.ex"), include_str!("sources/server.ex"), include_str!("sources/suite.exs")];

fn check(parsed: &Parsed, text: &str) {
    for problem in &parsed.problems {
        assert!(problem.span.start <= problem.span.end && problem.span.end as usize <= text.len());
    }
    for function in parsed.file.modules.iter().flat_map(|module| &module.functions) {
        for clause in &function.clauses {
            assert!(clause.span.end as usize <= text.len());
            assert_eq!(clause.names.len(), clause.variables as usize);
        }
    }
    std::hint::black_box(racefree_syntax::dump::file(&parsed.file));
}

#[test]
fn accepts_prefixes() {
    let mut parser = Parser::new();
    for source in SOURCES {
        // Each eleventh byte and the whole: every prefix takes a minute and finds no more.
        for end in (0..source.len()).step_by(PREFIX_STEP).chain([source.len()]).filter(|end| source.is_char_boundary(*end)) {
            check(&parser.parse(&source[..end]), &source[..end]);
        }
    }
}

/// Text that edits put in: what opens, closes or joins something.
const PIECES: &[&str] = &[
    "",
    " ",
    "\n",
    "do",
    "end",
    "fn",
    "->",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<<",
    ">>",
    "\"",
    "\"\"\"",
    "'",
    "#{",
    "&1",
    "&",
    "|>",
    "|",
    "=",
    "\\\\",
    "def f",
    "defmodule",
    "@",
    ".",
    ",",
    ":",
    "::",
    "%",
    "~s(",
    "when",
    "else",
    "rescue",
    "^",
    "\u{0}",
    "é",
    "\\",
    "#",
    "if",
    "case",
    "with",
    "for",
    "unquote(",
    "quote do",
    "alias A.{",
    "x: ",
    "1..",
    "//",
    "not in",
    "?",
    ";",
];

#[test]
fn accepts_random_edits() {
    let mut parser = Parser::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for source in SOURCES {
        for _ in 0..EDITED_TEXTS {
            let mut bytes = source.as_bytes().to_vec();
            for _ in 0..=random(6) {
                let at = random(bytes.len());
                let end = (at + random(12)).min(bytes.len());
                let piece = PIECES[random(PIECES.len())].bytes();
                bytes.splice(at..end, piece);
            }
            let text = String::from_utf8_lossy(&bytes);
            check(&parser.parse(&text), &text);
        }
    }
}
