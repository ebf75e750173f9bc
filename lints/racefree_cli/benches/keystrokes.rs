//! From a key stroke to the diagnostics, in the real server over a real program: open a file, type a line into it, wait each time for what is published.
//!
//! `RACEFREE_BENCH_DIR` names the program; without it the example is small and says little. A bare parse of the whole program, timed between the files,
//! tells how fast the machine is at that moment: on a busy one the times mean nothing, and their ratio to it does.

#[path = "../tests/project/editor.rs"]
mod editor;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use editor::{Editor, uri};
use ignore::WalkBuilder;
use racefree_syntax::parse::Parser;
use serde_json::json;

const FILES: usize = 40;
/// Half-typed for most of the time, as code is.
const TYPED: &str = " result = GenServer.call(pid, {:get, 1})\n";
const BAR: Duration = Duration::from_millis(50);

fn main() -> io::Result<()> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shape_service");
    let folder = fs::canonicalize(env::var_os("RACEFREE_BENCH_DIR").map_or(example, PathBuf::from))?;
    let walk = WalkBuilder::new(&folder).sort_by_file_path(Path::cmp).build();
    let paths = walk.filter_map(Result::ok).map(ignore::DirEntry::into_path);
    let is_code = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "ex");
    let texts: Vec<(PathBuf, String)> =
        paths.filter(is_code).filter_map(|path| Some((path.clone(), fs::read_to_string(path).ok()?))).collect();
    let started = Instant::now();
    let mut editor = Editor::open(env!("CARGO_BIN_EXE_racefree"), &["--no-cache"], &folder);
    editor.published();
    let first = started.elapsed();
    let mut times = Vec::new();
    let mut parses = Vec::new();
    let mut parser = Parser::new();
    for (index, (path, text)) in texts.iter().step_by(texts.len().div_ceil(FILES)).enumerate() {
        times.extend(type_into(&mut editor, path, text, index * 7));
        let started = Instant::now();
        let parsed = texts.iter().filter(|(_, text)| parser.tree(text).is_some()).count();
        parses.push(started.elapsed());
        assert_eq!(parsed, texts.len());
    }
    let process = editor.process();
    let memory = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let memory = memory.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown").to_owned();
    editor.close();
    times.sort();
    parses.sort();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len() - 1)).copied().unwrap_or_default();
    let parse = parses.get(parses.len() / 2).copied().unwrap_or_default();
    let of_parse = |time: Duration| time.as_secs_f64() / parse.as_secs_f64();
    let mut out = io::stdout();
    writeln!(out, "{} key strokes in {} of {} files of {}", times.len(), parses.len(), texts.len(), folder.display())?;
    writeln!(out, "first diagnostics {first:.0?}; {memory}")?;
    writeln!(out, "bare parse of the whole, one thread, median: {parse:.1?}")?;
    for share in [50, 95, 99] {
        writeln!(out, "p{share}: {:.1?}, {:.3} of the bare parse", at(share), of_parse(at(share)))?;
    }
    writeln!(out, "within {BAR:?} at p95: {}", at(95) <= BAR)
}

/// Types a line at the end of one that depends on `seed`, key by key.
fn type_into(editor: &mut Editor, path: &Path, text: &str, seed: usize) -> Vec<Duration> {
    let uri = uri(path);
    editor.open_document(&uri, text);
    editor.published_for(&uri, 1);
    let lines: Vec<&str> = text.lines().collect();
    let line = seed % lines.len().max(1);
    let first_column = lines.get(line).map_or(0, |line| line.chars().count());
    let mut times = Vec::new();
    for ((version, column), key) in (2..).zip(first_column..).zip(TYPED.chars()) {
        let at = json!({"line": line, "character": column});
        let started = Instant::now();
        editor.change(&uri, version, json!({"range": {"start": at, "end": at}, "text": key}));
        editor.published_for(&uri, version);
        times.push(started.elapsed());
    }
    editor.tell("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    times
}
