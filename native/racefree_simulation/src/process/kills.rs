//! The process that kills, remembers what was announced, and compares.

use super::options;
use super::script::{self, LOGS};
use racefree_core::store::disk::{Disk, MonotonicClock};
use racefree_core::store::{Level, Lsn, Next, Offset, ReadLimit, ReadRange, Source, Store};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// What is to be killed, and where it works.
pub struct Kills {
    /// A program that calls [`super::worker::work`] with the two arguments that follow those given here: the folder and the seed.
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub dir: PathBuf,
    pub seed: u64,
}

/// How much happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub kills: u64,
    /// Of them, before the store was open.
    pub kills_in_recovery: u64,
    /// Transactions in the store at the end.
    pub transactions: Lsn,
    /// How many transactions were in the store after a kill that had not been announced.
    pub unannounced: u64,
}

impl Kills {
    /// Kills and compares `count` times. `Err` says what was lost, or what should not have been there.
    pub fn run(&self, count: u64, mut report: impl FnMut(&Count)) -> Result<Count, String> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let mut counted = Count::default();
        let mut announced = 0;
        for round in 0..count {
            let at_birth = rng.u8(0..5) == 0;
            let delay = Duration::from_micros(rng.u64(0..if at_birth { 15_000 } else { 90_000 }));
            let life = self.kill_one(at_birth, delay).map_err(|problem| format!("kill {round}, seed {}: {problem}", self.seed))?;
            counted.kills += 1;
            counted.kills_in_recovery += u64::from(life.ready.is_none());
            announced = announced.max(life.announced).max(life.ready.unwrap_or(0));
            let lsn = self.compare(round, announced).map_err(|problem| format!("after kill {round}, seed {}: {problem}", self.seed))?;
            counted.unannounced += lsn - announced;
            counted.transactions = lsn;
            announced = lsn;
            report(&counted);
        }
        Ok(counted)
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(&self.dir).arg(self.seed.to_string());
        command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn()
    }

    /// Starts a process and kills it `delay` after its birth, or after it opened the store.
    fn kill_one(&self, at_birth: bool, delay: Duration) -> Result<Life, String> {
        let mut child = self.spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
        let Some(output) = child.stdout.take() else { return Err("no pipe".to_owned()) };
        let (lines, inbox) = channel();
        let listener = std::thread::spawn(move || {
            let mut life = Life::default();
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                life.hear(&line);
                if lines.send(line).is_err() {
                    // Nobody waits for a word any longer; what is announced counts all the same.
                }
            }
            life
        });
        let mut is_over = false;
        if !at_birth {
            is_over = inbox.recv_timeout(Duration::from_secs(120)).is_err();
        }
        // The end of the process ends the wait early.
        let deadline = std::time::Instant::now() + delay;
        while !is_over && let Some(rest) = deadline.checked_duration_since(std::time::Instant::now()) {
            match inbox.recv_timeout(rest) {
                Ok(_) => {}
                Err(error) => is_over = error == std::sync::mpsc::RecvTimeoutError::Disconnected,
            }
        }
        child.kill().map_err(|error| format!("kill: {error}"))?;
        child.wait().map_err(|error| format!("wait: {error}"))?;
        let life = listener.join().map_err(|_| "the listener panicked")?;
        match life.wrong {
            Some(problem) => Err(problem),
            None if is_over => Err("the process ended by itself, or never opened the store".to_owned()),
            None => Ok(life),
        }
    }

    /// Opens what the dead process left, and compares it with the script.
    fn compare(&self, round: u64, announced: Lsn) -> Result<Lsn, String> {
        let store = if round.is_multiple_of(2) {
            Store::open(Disk, &self.dir, options(), Box::new(MonotonicClock::default())).map_err(|error| format!("open: {error}"))?.store
        } else {
            Store::open_read_only(Disk, &self.dir, options()).map_err(|error| format!("open read-only: {error}"))?.0
        };
        let lsn = store.visible_lsn();
        if lsn < announced {
            return Err(format!("lsn {announced} was announced durable, and the store is at {lsn}"));
        }
        compare_logs(&store, self.seed, lsn)?;
        Ok(lsn)
    }
}

/// What one process said.
#[derive(Debug, Default)]
struct Life {
    ready: Option<Lsn>,
    announced: Lsn,
    wrong: Option<String>,
}

impl Life {
    fn hear(&mut self, line: &str) {
        // The last line may be cut by the kill; `durable 12` for `durable 123` is no lie. A number that does not parse was cut before it began.
        match line.split_once(' ') {
            Some(("ready", lsn)) => self.ready = lsn.parse().ok(),
            Some(("durable", lsn)) => self.announced = self.announced.max(lsn.parse().unwrap_or(0)),
            Some(("wrong", problem)) => self.wrong = Some(problem.to_owned()),
            _ => {}
        }
    }
}

/// Compares every log and meta of the store with the script at `lsn`.
pub(super) fn compare_logs(store: &Store<Disk>, seed: u64, lsn: Lsn) -> Result<(), String> {
    let mut trims: Vec<Offset> = Vec::new();
    for log in 0..LOGS {
        // A process killed early may not have got to creating all of them.
        trims.push(store.find(&script::key(log)).map_or(Offset::START, |log| log.trimmed()));
    }
    let first = trims.iter().map(|trimmed| trimmed.tx).min().unwrap_or(0);
    let expected = script::expected(seed, first, lsn);
    for (index, trimmed) in trims.iter().enumerate() {
        let wanted: Vec<(Offset, &[u8])> = expected.records[index]
            .iter()
            .filter(|(offset, _)| offset > trimmed)
            .map(|(offset, payload)| (*offset, payload.as_slice()))
            .collect();
        let Ok(log) = store.find(&script::key(index)) else {
            if wanted.is_empty() {
                continue;
            }
            return Err(format!("log {index} is missing"));
        };
        let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
        let range = ReadRange { after: *trimmed, upto: Offset::END, limit, source: Source::Any };
        let page = log.read(&range, Level::Visible).map_err(|error| format!("log {index}: {error}"))?;
        if !page.records.iter().eq(wanted.iter().copied()) || !matches!(page.next, Next::Done) {
            return Err(format!("log {index} at {lsn}: {} records for {}", page.records.len(), wanted.len()));
        }
        let meta = log.meta(Level::Visible).map_err(|error| format!("meta {index}: {error}"))?;
        let found = meta.as_ref().map(|(lsn, meta)| (*lsn, meta.to_vec()));
        // An older meta than the window of the script is as the script of its own lsn says.
        let wanted = match (&expected.metas[index], &found) {
            (None, Some((lsn, _))) => script::expected(seed, *lsn, *lsn).metas[index].clone(),
            (wanted, _) => wanted.clone(),
        };
        if found != wanted {
            return Err(format!("the meta of log {index} is {found:?}, and should be {wanted:?}"));
        }
    }
    Ok(())
}

/// A folder for a run, beside build output: on a real disk, where `/dev/shm` is not.
pub fn folder(parent: &Path) -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in(parent)
}
