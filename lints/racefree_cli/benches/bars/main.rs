//! What the linter promises about its speed, measured in one run: the command as people run it, and the server as editors do.
//!
//! `RACEFREE_BENCH_DIR` names the program that is measured; without it the example is small and says little. All contenders of a part take turns, and
//! what counts is their ratio in the same round: on a machine that others use, times mean nothing alone. A bare parse of the same texts, on one thread and
//! already in memory, is among them everywhere. `cargo bench --bench bars -- growth` measures one part.

#[path = "../../tests/project/editor.rs"]
mod editor;
mod growth;
mod keystrokes;
mod runs;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use ignore::WalkBuilder;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use racefree_syntax::parse::Parser;

const BINARY: &str = env!("CARGO_BIN_EXE_racefree");

/// The sources of a program, by their paths in it.
struct Texts {
    texts: Vec<(PathBuf, String)>,
}

impl Texts {
    fn read(folder: &Path) -> io::Result<Self> {
        let walk = WalkBuilder::new(folder).sort_by_file_path(Path::cmp).build();
        let paths = walk.filter_map(Result::ok).map(ignore::DirEntry::into_path);
        let is_elixir = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "ex" || extension == "exs");
        let mut texts = Vec::new();
        for path in paths.filter(is_elixir) {
            // What is no UTF-8 is left out: the contenders are given the same.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            texts.push((path.strip_prefix(folder).unwrap_or(&path).to_path_buf(), text));
        }
        Ok(Self { texts })
    }

    fn lines(&self) -> usize {
        self.texts.iter().map(|(_, text)| text.lines().count()).sum()
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        for (path, text) in &self.texts {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            fs::write(path, text)?;
        }
        Ok(())
    }
}

/// What something took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    wall: Duration,
    /// Of all threads.
    cpu: Duration,
}

fn cost(who: UsageWho, work: impl FnOnce()) -> Cost {
    let spent = || {
        getrusage(who).map_or(Duration::ZERO, |usage| {
            Duration::from_micros((usage.user_time() + usage.system_time()).num_microseconds().try_into().unwrap_or_default())
        })
    };
    let (before, started) = (spent(), Instant::now());
    work();
    Cost { wall: started.elapsed(), cpu: spent().saturating_sub(before) }
}

/// `racefree check` in `folder`.
fn check(folder: &Path, arguments: &[&str]) -> Cost {
    let mut command = Command::new(BINARY);
    command.args(["check", "--format", "oneline"]).args(arguments).current_dir(folder).stdout(Stdio::null());
    cost(UsageWho::RUSAGE_CHILDREN, || {
        let status = command.status().expect("the linter starts");
        assert!(status.code().is_some_and(|code| code <= 1), "{status}");
    })
}

fn bare_parse(texts: &Texts, parser: &mut Parser) -> Cost {
    cost(UsageWho::RUSAGE_SELF, || {
        let parsed = texts.texts.iter().filter(|(_, text)| parser.tree(text).is_some()).count();
        assert_eq!(parsed, texts.texts.len());
    })
}

/// The most that any run so far has held in memory.
fn memory_peak_bytes() -> u64 {
    const UNIT: i64 = if cfg!(target_os = "macos") { 1 } else { 1024 };
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| (usage.max_rss() * UNIT).try_into().unwrap_or_default())
}

/// The middle one.
fn median<T: Copy + PartialOrd>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}

/// A line of the table: what, how much, and the bar.
fn tell(what: &str, measured: &str, bar: &str, holds: bool) -> io::Result<()> {
    writeln!(io::stdout(), "{what:<52} {measured:>16}   {bar:<10} {}", if holds { "holds" } else { "MISSED" })
}

/// A line without a bar, to read the others by.
fn note(what: &str, measured: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{what:<52} {measured:>16}")
}

fn main() -> io::Result<()> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shape_service");
    let folder = fs::canonicalize(env::var_os("RACEFREE_BENCH_DIR").map_or(example, PathBuf::from))?;
    let texts = Texts::read(&folder)?;
    assert!(!texts.texts.is_empty(), "no .ex or .exs files under {}", folder.display());
    writeln!(io::stdout(), "{}: {} files, {} lines", folder.display(), texts.texts.len(), texts.lines())?;
    let wanted: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let parts: [(&str, fn(&Texts) -> io::Result<()>); 3] =
        [("runs", runs::measure), ("keystrokes", keystrokes::measure), ("growth", growth::measure)];
    for (name, measure) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            measure(&texts)?;
        }
    }
    Ok(())
}
