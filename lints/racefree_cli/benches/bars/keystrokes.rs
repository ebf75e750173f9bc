//! From a key stroke to the diagnostics, in the real server over the whole program: open a file, type a line into its middle, wait each time for what is
//! published. The time in which the server waits for more keys is part of it. What the server's processor time says holds on a busy machine too.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use racefree_syntax::parse::Parser;
use serde_json::json;

use crate::editor::{Editor, uri};
use crate::{BINARY, Cost, Texts, bare_parse, median, note, tell};

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
    let mut costs = Vec::new();
    let mut parses = Vec::new();
    let mut parser = Parser::new();
    for (index, (path, text)) in texts.texts.iter().step_by(texts.texts.len().div_ceil(FILES)).enumerate() {
        costs.extend(type_into(&mut editor, &folder.join(path), text, index * 7));
        parses.push(bare_parse(texts, &mut parser));
    }
    editor.close();
    let parse = |of: fn(&Cost) -> Duration| median(parses.iter().map(of)).unwrap_or_default();
    writeln!(io::stdout(), "\n{} key strokes in {} files; first diagnostics after {first:.0?}", costs.len(), parses.len())?;
    for share in [50, 95, 99] {
        let (wall, cpu) = (percentile(&costs, share, |cost| cost.wall), percentile(&costs, share, |cost| cost.cpu));
        let what = format!("key stroke to diagnostics, percentile {share}");
        if share == 95 {
            tell(&what, &format!("{wall:.1?}"), "<= 50ms", wall <= BAR)?;
        } else {
            note(&what, &format!("{wall:.1?}"))?;
        }
        note("    of processor time", &format!("{cpu:.1?}"))?;
        note("    / bare parse", &format!("{:.3}", cpu.div_duration_f64(parse(|cost| cost.cpu))))?;
    }
    Ok(())
}

fn percentile(costs: &[Cost], share: usize, of: fn(&Cost) -> Duration) -> Duration {
    let mut values: Vec<Duration> = costs.iter().map(of).collect();
    values.sort();
    values.get((values.len() * share / 100).min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// The processor time that a process has taken so far.
#[cfg(target_os = "linux")]
fn spent(process: u32) -> Duration {
    let clock = nix::time::clock_getcpuclockid(nix::unistd::Pid::from_raw(process.cast_signed()));
    clock.and_then(nix::time::ClockId::now).map_or(Duration::ZERO, Duration::from)
}

/// Other systems do not tell.
#[cfg(not(target_os = "linux"))]
fn spent(_process: u32) -> Duration {
    Duration::ZERO
}

/// Types a line at the end of one around the middle, key by key.
fn type_into(editor: &mut Editor, path: &Path, text: &str, seed: usize) -> Vec<Cost> {
    let uri = uri(path);
    editor.open_document(&uri, text);
    editor.published_for(&uri, 1);
    let lines: Vec<&str> = text.lines().collect();
    let line = lines.len() / 4 + seed % (lines.len() / 2).max(1);
    let first_column = lines.get(line).map_or(0, |line| line.chars().count());
    let process = editor.process();
    let mut costs = Vec::new();
    for ((version, column), key) in (2..).zip(first_column..).zip(TYPED.chars()) {
        let at = json!({"line": line, "character": column});
        let (started, before) = (Instant::now(), spent(process));
        editor.change(&uri, version, json!({"range": {"start": at, "end": at}, "text": key}));
        editor.published_for(&uri, version);
        costs.push(Cost { wall: started.elapsed(), cpu: spent(process).saturating_sub(before) });
    }
    editor.tell("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    costs
}
