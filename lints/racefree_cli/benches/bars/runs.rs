//! The command on a whole program: without what an earlier run left, with it, and for what a change brings.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use racefree_syntax::parse::Parser;

use crate::{Cost, Texts, bare_parse, check, median, memory_peak_bytes, note, tell};

const ROUNDS: usize = 15;

/// One round, all with the same file changed.
struct Round {
    bare: Cost,
    cold: Cost,
    cold_diff: Cost,
    warm: Cost,
    warm_diff: Cost,
}

pub(crate) fn measure(texts: &Texts) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    texts.write(folder.path())?;
    fs::write(folder.path().join(".gitignore"), ".racefree\n")?;
    git(folder.path(), &["init", "--quiet"])?;
    git(folder.path(), &["add", "."])?;
    git(folder.path(), &["commit", "--quiet", "--message", "all"])?;
    let mut parser = Parser::new();
    // Leaves what the warm runs find, and is the first to use memory.
    check(folder.path(), &[]);
    let changed: Vec<(&Path, String)> =
        texts.texts.iter().filter_map(|(path, text)| Some((path.as_path(), with_function(text)?))).collect();
    assert!(!changed.is_empty(), "no file has a function");
    let mut rounds = Vec::new();
    for index in 0..ROUNDS {
        let Some((path, text)) = changed.get(index * changed.len() / ROUNDS) else { continue };
        let path = folder.path().join(path);
        let original = fs::read(&path)?;
        fs::write(&path, text)?;
        rounds.push(Round {
            bare: bare_parse(texts, &mut parser),
            cold: check(folder.path(), &["--no-cache"]),
            warm: check(folder.path(), &[]),
            cold_diff: check(folder.path(), &["--no-cache", "--diff", "HEAD"]),
            warm_diff: check(folder.path(), &["--diff", "HEAD"]),
        });
        fs::write(&path, original)?;
    }
    report(&rounds)
}

/// `text` with one more function in its middle.
fn with_function(text: &str) -> Option<String> {
    const HEAD: &str = "\n  def ";
    let starts: Vec<usize> = text.match_indices(HEAD).map(|(at, _)| at).collect();
    let (before, after) = text.split_at_checked(*starts.get(starts.len() / 2)?)?;
    Some(format!("{before}\n  def racefree_bench(pid), do: send(pid, :go)\n{after}"))
}

fn report(rounds: &[Round]) -> io::Result<()> {
    const COLD_WALL_MAX: Duration = Duration::from_millis(500);
    const WARM_WALL_MAX: Duration = Duration::from_millis(60);
    const MEMORY_MAX: u64 = 150 << 20;
    let wall = |of: fn(&Round) -> Cost| median(rounds.iter().map(|round| of(round).wall)).unwrap_or_default();
    let cpu = |of: fn(&Round) -> Cost| median(rounds.iter().map(|round| of(round).cpu)).unwrap_or_default();
    let ratio = |of: fn(&Round) -> f64| median(rounds.iter().map(of)).unwrap_or_default();
    let share = |what: &str, ratio: f64, max: f64| tell(what, &format!("{ratio:.2}"), &format!("<= {max}"), ratio <= max);
    let bare = cpu(|round| round.bare);
    writeln!(io::stdout(), "\n{} rounds; bare parse {bare:.0?} of one processor", rounds.len())?;
    share("cold: processor time / bare parse", ratio(|round| round.cold.cpu.div_duration_f64(round.bare.cpu)), 2.0)?;
    let time = wall(|round| round.cold);
    tell("cold: wall time", &format!("{time:.0?}"), "<= 500ms", time <= COLD_WALL_MAX)?;
    let memory = memory_peak_bytes();
    tell("memory of any of these runs", &format!("{} MiB", memory >> 20), "<= 150 MiB", memory <= MEMORY_MAX)?;
    let time = wall(|round| round.warm);
    tell("warm, one file changed: wall time", &format!("{time:.1?}"), "<= 60ms", time <= WARM_WALL_MAX)?;
    note("warm: processor time", &format!("{:.1?}", cpu(|round| round.warm)))?;
    note("warm: processor time / bare parse", &format!("{:.2}", ratio(|round| round.warm.cpu.div_duration_f64(round.bare.cpu))))?;
    share("--diff / full run, cold: processor time", ratio(|round| round.cold_diff.cpu.div_duration_f64(round.cold.cpu)), 1.1)?;
    share("--diff / full run, cold: wall time", ratio(|round| round.cold_diff.wall.div_duration_f64(round.cold.wall)), 1.1)?;
    let extra = median(rounds.iter().map(|round| round.warm_diff.wall.saturating_sub(round.warm.wall))).unwrap_or_default();
    note("--diff, warm: wall time more than a full run", &format!("{extra:.1?}"))
}

fn git(folder: &Path, arguments: &[&str]) -> io::Result<()> {
    let mut command = Command::new("git");
    for setting in ["user.name=a", "user.email=a@example.org", "commit.gpgSign=false", "init.defaultBranch=main"] {
        command.args(["-c", setting]);
    }
    let status = command.args(arguments).current_dir(folder).status()?;
    assert!(status.success(), "git {arguments:?}: {status}");
    Ok(())
}
