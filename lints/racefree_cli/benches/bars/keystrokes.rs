//! From a key stroke to the diagnostics, in the real server over the whole program: open a file, type a line into its middle, wait each time for what is
//! published. The time in which the server waits for more keys is part of it.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use racefree_syntax::parse::Parser;
use serde_json::json;

use crate::editor::{Editor, uri};
use crate::{BINARY, Texts, bare_parse, median, tell};

const FILES: usize = 40;
/// Half-typed for most of the time, as code is.
const TYPED: &str = " result = GenServer.call(pid, {:get, 1})\n";
const BAR: Duration = Duration::from_millis(50);

pub(crate) fn measure(texts: &Texts) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = std::fs::canonicalize(folder.path())?;
    texts.write(&folder)?;
    let started = Instant::now();
    let mut editor = Editor::open(BINARY, &["--no-cache"], &folder);
    editor.published();
    let first = started.elapsed();
    let mut times = Vec::new();
    let mut parses = Vec::new();
    let mut parser = Parser::new();
    for (index, (path, text)) in texts.texts.iter().step_by(texts.texts.len().div_ceil(FILES)).enumerate() {
        times.extend(type_into(&mut editor, &folder.join(path), text, index * 7));
        parses.push(bare_parse(texts, &mut parser).wall);
    }
    editor.close();
    times.sort();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len() - 1)).copied().unwrap_or_default();
    let parse = median(parses.iter().copied()).unwrap_or_default();
    writeln!(io::stdout(), "\n{} key strokes in {} files; first diagnostics after {first:.0?}", times.len(), parses.len())?;
    for share in [50, 95, 99] {
        let (what, time) = (format!("key stroke to diagnostics, percentile {share}"), at(share));
        let measured = format!("{time:.1?}");
        if share == 95 {
            tell(&what, &measured, "<= 50ms", time <= BAR)?;
        } else {
            writeln!(io::stdout(), "{what:<52} {measured:>16}")?;
        }
    }
    writeln!(io::stdout(), "{:<52} {:>16.3}", "percentile 95 / wall time of the bare parse", at(95).div_duration_f64(parse))
}

/// Types a line at the end of one around the middle, key by key.
fn type_into(editor: &mut Editor, path: &Path, text: &str, seed: usize) -> Vec<Duration> {
    let uri = uri(path);
    editor.open_document(&uri, text);
    editor.published_for(&uri, 1);
    let lines: Vec<&str> = text.lines().collect();
    let line = lines.len() / 4 + seed % (lines.len() / 2).max(1);
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
