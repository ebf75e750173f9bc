//! The store's core against fjall, redb and plain files, in one run: `cargo run --release` in this folder.
//!
//! `cargo run --release -- --dir DIR --only ROW` says where the files go (a tmpfs makes nonsense of every row with a sync; `target/rivals-bench` if not said) and which row is measured. The
//! contenders take turns within each round and who is first changes, so on a busy machine the ratios hold better than the times. A figure is the median over the rounds, a
//! ratio is to Racefree's.
//!
//! Left out on purpose: memory, space on disk, and everything that a key-value store does and a log does not. "Cold" means that the records are in files, which the system's cache
//! may hold; fjall and redb keep their own caches, of their default sizes.

mod contender;

use contender::{CONTENDERS, Contender, Durable};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A row: what it measures, by contender and round.
type Row = (&'static str, fn(&Path) -> Vec<Vec<Duration>>);

const ROWS: [Row; 6] = [
    ("append", append),
    ("commit", commit),
    ("dirty", dirty_logs),
    ("memory", read_from_memory),
    ("cold", cold_read),
    ("recovery", recovery),
];

const ROUNDS: u64 = 11;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)).cloned();
    let dir = option("--dir").map_or_else(|| PathBuf::from("target/rivals-bench"), PathBuf::from);
    let only = option("--only");
    for (name, row) in ROWS.iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == name)) {
        let _ = std::fs::remove_dir_all(&dir);
        let times: Vec<Duration> = row(&dir).into_iter().map(median).collect();
        let ours = times[0].as_secs_f64();
        println!("{name}");
        for ((contender, _), took) in CONTENDERS.iter().zip(times) {
            println!("  {contender:<12} {:>12} {:>8.2}x", format!("{took:.2?}"), took.as_secs_f64() / ours);
        }
    }
    let _ = std::fs::remove_dir_all(&dir);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn open_all(dir: &Path) -> Vec<Box<dyn Contender>> {
    CONTENDERS
        .iter()
        .map(|(name, open)| {
            let dir = dir.join(name);
            std::fs::create_dir_all(&dir).unwrap();
            open(&dir)
        })
        .collect()
}

/// Lets all take part in `rounds`, in turns, and gives the time of each in each.
fn interleave(contenders: &mut [Box<dyn Contender>], rounds: u64, mut run: impl FnMut(&mut dyn Contender, u64)) -> Vec<Vec<Duration>> {
    let count = contenders.len();
    let mut times = vec![Vec::new(); count];
    for round in 1..=rounds {
        for turn in 0..count {
            let index = (turn + round as usize) % count;
            let start = Instant::now();
            run(contenders[index].as_mut(), round);
            times[index].push(start.elapsed());
        }
    }
    times
}

/// Ten thousand records of 200 bytes into one log, a hundred a transaction, durable at leisure.
fn append(dir: &Path) -> Vec<Vec<Duration>> {
    interleave(&mut open_all(dir), ROUNDS, |contender, round| {
        for tx in (round - 1) * 100 + 1..=round * 100 {
            contender.write(tx, &[1], 100, &[7; 200], Durable::Later);
        }
    })
}

/// One record of 200 bytes until it is durable.
fn commit(dir: &Path) -> Vec<Vec<Duration>> {
    interleave(&mut open_all(dir), 200, |contender, round| contender.write(round, &[1], 1, &[7; 200], Durable::Now))
}

/// A record of 200 bytes in each of a thousand logs until all are durable.
fn dirty_logs(dir: &Path) -> Vec<Vec<Duration>> {
    let logs: Vec<u64> = (1..=1000).collect();
    interleave(&mut open_all(dir), ROUNDS, |contender, round| contender.write(round, &logs, 1, &[7; 200], Durable::Now))
}

/// A thousand records of 200 bytes that were written a moment ago.
fn read_from_memory(dir: &Path) -> Vec<Vec<Duration>> {
    let mut contenders = open_all(dir);
    for tx in 1..=300 {
        contenders.iter_mut().for_each(|contender| contender.write(tx, &[1], 100, &[7; 200], Durable::Later));
    }
    interleave(&mut contenders, 500, |contender, round| {
        assert_eq!(contender.read(1, (round * 7919 % 280 + 1, round % 100), 1000), 1000);
    })
}

/// A record of 4 KiB out of 64 MiB.
fn cold_read(dir: &Path) -> Vec<Vec<Duration>> {
    let mut contenders = open_all(dir);
    for tx in 1..=160 {
        contenders.iter_mut().for_each(|contender| contender.write(tx, &[1], 100, &[7; 4096], Durable::Now));
    }
    contenders.iter_mut().for_each(|contender| contender.settle());
    interleave(&mut contenders, 1000, |contender, round| {
        assert_eq!(contender.read(1, (round * 7919 % 150 + 1, round % 90), 1), 1);
    })
}

/// Opening what a process left that was killed with 48 MB of records of 200 bytes in a hundred logs, a tenth of a megabyte a transaction.
fn recovery(dir: &Path) -> Vec<Vec<Duration>> {
    let logs: Vec<u64> = (1..=100).collect();
    let mut contenders = open_all(dir);
    for tx in 1..=480 {
        contenders.iter_mut().for_each(|contender| contender.write(tx, &logs, 5, &[7; 200], Durable::Now));
    }
    let mut times = vec![Vec::new(); CONTENDERS.len()];
    for round in 0..ROUNDS as usize {
        for turn in 0..CONTENDERS.len() {
            let index = (turn + round) % CONTENDERS.len();
            let (name, open) = CONTENDERS[index];
            // The files of a store that is still open are those of one that was killed.
            let copied = dir.join("copy");
            copy(&dir.join(name), &copied);
            let start = Instant::now();
            let opened = open(&copied);
            times[index].push(start.elapsed());
            drop(opened);
            std::fs::remove_dir_all(&copied).unwrap();
        }
    }
    times
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
