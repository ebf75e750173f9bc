//! The store's protocols under loom: every interleaving of two or three threads, over the code that production runs.
//!
//! Run by `cargo xtask loom`. Blocks are tracked byte by byte: a read of a byte that was not published before it is reported by loom itself. The disk is a map in memory
//! whose locks loom does not see; it is touched by one thread at a time. A lost wake-up shows as a deadlock, which loom reports too.
//! Each schedule that a planted bug breaks is a function of its own: one test runs it as the store is, and [`catches_every_planted_bug`] with the bug.

use super::*;
use crate::store::block::{BlockWriter, Gauge};
use crate::store::planted::{BETWEEN_THREADS, IS_POSSIBLE, Planted, plant};
use crate::store::watermark::{Awaited, Watermark};
use crate::sync::{Arc, Condvar, Mutex};
use ::loom::model::Builder;
use ::loom::thread;
use std::process::Command;

/// All schedules, or those with at most `preemptions_max` switches away from a thread that could go on: whole stores have too many for all.
fn explore(preemptions_max: Option<usize>, schedule: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions_max;
    builder.max_branches = 20_000;
    builder.check(schedule);
}

fn tiny() -> Options {
    Options { wal_bytes_max: 4096, block_bytes_max: 256, ..small() }
}

fn payloads(page: &Page) -> Vec<Vec<u8>> {
    page.records.iter().map(|(_, payload)| payload.to_vec()).collect()
}

fn reader_of_a_block() {
    let mut writer = BlockWriter::new(8, &Arc::new(Gauge::default()));
    let block = Arc::clone(writer.block());
    let reader = thread::spawn(move || {
        let first = block.published().len();
        let second = block.published().to_vec();
        assert!(first <= second.len());
        assert!([&b""[..], b"ab", b"abcde"].contains(&&*second), "{second:?}");
    });
    assert!(writer.push(b"a", b"b"));
    assert!(writer.push(b"", b"cde"));
    assert!(!writer.push(b"1234", b""));
    reader.join().unwrap();
}

#[test]
fn block_publishes_whole_pushes_in_order() {
    explore(None, reader_of_a_block);
}

fn reader_beside_seal() {
    let disk = MemoryDisk::default();
    let Stepped { store, mut flusher, mut keeper, .. } = open(&disk, tiny());
    let log = store.log(b"log").unwrap();
    let record = [Record { op: None, payload: &[1; 2500] }];
    let write = || Write { log: &log, lease: None, records: &record, meta: None };
    store.transact(1, &[write()]).unwrap();
    store.transact(2, &[write()]).unwrap();
    while flusher.step() == Progress::Worked {}
    // Sealed; the keeper makes the pack and swaps the view while the reader reads and the writer commits.
    let kept = thread::spawn(move || {
        assert_eq!(keeper.step(), Progress::Worked);
        keeper
    });
    let read = thread::spawn({
        let log = log.clone();
        move || {
            let page = log.read(&everything(), Level::Visible).unwrap();
            assert_eq!(page.records.len() as u64, page.lsn, "a record is missed");
        }
    });
    store.transact(3, &[write()]).unwrap();
    read.join().unwrap();
    drop(kept.join().unwrap());
    assert_eq!(store.info().pack_files, 1);
    assert_eq!(log.read(&everything(), Level::Visible).unwrap().records.len(), 3);
}

#[test]
fn a_reader_misses_nothing_while_its_records_move_from_memory_to_a_pack() {
    explore(Some(2), reader_beside_seal);
}

fn reader_beside_merge() {
    let disk = MemoryDisk::default();
    let Stepped { store, mut flusher, mut keeper, .. } = open(&disk, Options { merge_fan_in: 2, ..tiny() });
    let log = store.log(b"log").unwrap();
    let record = [Record { op: None, payload: &[1; 4200] }];
    for lsn in 1..=2 {
        store.transact(lsn, &[Write { log: &log, lease: None, records: &record, meta: None }]).unwrap();
        while flusher.step() == Progress::Worked {}
        assert_eq!(keeper.step(), Progress::Worked);
    }
    assert_eq!(store.info().pack_files, 2);
    let read = thread::spawn(move || {
        let page = log.read(&everything(), Level::Visible).unwrap();
        assert_eq!(page.records.len(), 2, "a record is missed");
    });
    while keeper.step() == Progress::Worked {}
    read.join().unwrap();
    assert_eq!(store.info().pack_files, 1);
}

#[test]
fn a_reader_misses_nothing_while_its_packs_are_merged() {
    explore(Some(3), reader_beside_merge);
}

fn two_writers_of_a_transaction() {
    let disk = MemoryDisk::default();
    let Stepped { store, .. } = open(&disk, tiny());
    let (first, second) = (store.log(b"first").unwrap(), store.log(b"second").unwrap());
    let other = thread::spawn({
        let lease = first.lease().unwrap();
        move || lease.append(1, &[Record { op: None, payload: b"x" }], None).unwrap()
    });
    let reader = thread::spawn({
        let (first, second) = (first.clone(), second.clone());
        let store = store.clone();
        move || {
            let snapshot = store.snapshot(&[&first, &second], Level::Visible).unwrap();
            let [one, two] = snapshot.readers() else { panic!("two logs were asked for") };
            let (one, two) = (one.read(&everything()).unwrap(), two.read(&everything()).unwrap());
            if snapshot.lsn() == 0 {
                assert!(one.records.is_empty() && two.records.is_empty());
            } else {
                assert_eq!(payloads(&two), [b"y"]);
            }
            (snapshot.lsn(), one.records.len())
        }
    });
    let lease = second.lease().unwrap();
    lease.append(1, &[Record { op: None, payload: b"y" }], None).unwrap();
    store.commit(1).unwrap();
    let staged = matches!(other.join().unwrap(), Appended::Staged { .. });
    let (lsn, seen) = reader.join().unwrap();
    // A record that was accepted is part of the transaction for all who see it.
    assert_eq!(seen, usize::from(staged && lsn == 1), "accepted is seen");
    assert_eq!(first.read(&everything(), Level::Visible).unwrap().records.len(), usize::from(staged));
}

#[test]
fn a_visible_transaction_holds_every_record_that_was_staged_for_it() {
    explore(Some(3), two_writers_of_a_transaction);
}

fn snapshot_beside_writer() {
    let disk = MemoryDisk::default();
    let Stepped { store, mut flusher, .. } = open(&disk, tiny());
    let log = store.log(b"log").unwrap();
    let put = {
        let (store, log) = (store.clone(), log.clone());
        move |lsn: Lsn| {
            let record = [Record { op: None, payload: b"x" }];
            let meta = [lsn as u8];
            store.transact(lsn, &[Write { log: &log, lease: None, records: &record, meta: Some(&meta) }]).unwrap();
        }
    };
    put(1);
    let reader = thread::spawn({
        let log = log.clone();
        move || {
            let reader = log.reader(Level::Visible).unwrap();
            let lsn = reader.lsn();
            assert_eq!(reader.read(&everything()).unwrap().records.len() as u64, lsn, "the transaction is not whole");
            assert_eq!(reader.meta().map(|(of, meta)| (of, meta.to_vec())), Some((lsn, vec![lsn as u8])), "the transaction is not whole");
        }
    });
    put(2);
    // Durable up to 2: the next meta makes the store forget the first, which the reader may still be about to ask for.
    flusher.step();
    put(3);
    reader.join().unwrap();
}

#[test]
fn a_snapshot_shows_records_and_meta_of_one_transaction() {
    explore(Some(2), snapshot_beside_writer);
}

fn waiters_beside_a_move() {
    let mark = Arc::new(Watermark::new(Awaited::Lsn, 0));
    let calls = Arc::new(Mutex::new(Vec::new()));
    let mover = thread::spawn({
        let mark = Arc::clone(&mark);
        move || {
            mark.advance(1);
            mark.advance(2);
        }
    });
    let note = |calls: &Arc<Mutex<Vec<u64>>>| {
        let calls = Arc::clone(calls);
        Box::new(move |outcome: Result<u64, Failure>| calls.lock().unwrap().push(outcome.unwrap()))
    };
    let id = mark.wait(2, note(&calls));
    let cancelled = mark.cancel(id);
    let kept = Arc::new(Mutex::new(Vec::new()));
    mark.wait(1, note(&kept));
    // No later move makes up for what the last one forgets.
    mark.wait(2, note(&kept));
    mover.join().unwrap();
    assert_eq!(mark.load(), 2);
    assert_eq!(*calls.lock().unwrap(), if cancelled { vec![] } else { vec![2] });
    assert_eq!(kept.lock().unwrap().len(), 2, "each waiter is called once");
}

#[test]
fn a_waiter_is_called_once_and_never_after_it_was_cancelled() {
    explore(None, waiters_beside_a_move);
}

#[test]
fn a_failed_watermark_stands_still_and_every_waiter_hears_of_it_or_was_served() {
    explore(None, || {
        let mark = Arc::new(Watermark::new(Awaited::Lsn, 0));
        let outcome = Arc::new(Mutex::new(None));
        let failing = thread::spawn({
            let mark = Arc::clone(&mark);
            move || mark.fail(Failure { operation: Operation::Sync, kind: std::io::ErrorKind::Other, os_code: None })
        });
        let noted = Arc::clone(&outcome);
        mark.wait(1, Box::new(move |result| assert!(noted.lock().unwrap().replace(result.is_ok()).is_none())));
        mark.advance(1);
        failing.join().unwrap();
        assert_eq!(*outcome.lock().unwrap(), Some(mark.load() == 1));
        let before = mark.load();
        mark.advance(9);
        assert_eq!(mark.load(), before);
    });
}

#[test]
fn the_newer_lease_appends_and_the_older_is_fenced_from_then_on() {
    explore(Some(3), || {
        let disk = MemoryDisk::default();
        let Stepped { store, .. } = open(&disk, tiny());
        let log = store.log(b"log").unwrap();
        let record = [Record { op: None, payload: b"x" }];
        let older = log.lease().unwrap();
        let taker = thread::spawn({
            let log = log.clone();
            move || {
                let newer = log.lease().unwrap();
                let appended = newer.append(1, &[Record { op: None, payload: b"y" }], None);
                (newer, appended)
            }
        });
        let first = older.append(1, &record, None);
        let (newer, appended) = taker.join().unwrap();
        assert!(matches!(appended, Ok(Appended::Staged { .. })));
        assert_eq!(older.append(1, &record, None), Err(AppendError::Fenced));
        store.commit(1).unwrap();
        let expected: &[&[u8]] = if first.is_ok() { &[b"x", b"y"] } else { &[b"y"] };
        assert_eq!(payloads(&log.read(&everything(), Level::Visible).unwrap()), expected);
        drop((older, newer));
    });
}

fn sleeping_flusher() {
    let disk = MemoryDisk::default();
    let Stepped { store, flusher, .. } = open(&disk, tiny());
    let running = thread::spawn(move || flusher.run());
    store.transact(1, &[]).unwrap();
    let served = Arc::new((Mutex::new(None), Condvar::new()));
    let by_flusher = Arc::clone(&served);
    let waiter = move |outcome| {
        *by_flusher.0.lock().unwrap() = Some(outcome);
        by_flusher.1.notify_one();
    };
    store.await_durable(1, Box::new(waiter));
    let mut outcome = served.0.lock().unwrap();
    while outcome.is_none() {
        outcome = served.1.wait(outcome).unwrap();
    }
    assert_eq!(*outcome, Some(Ok(1)));
    drop(outcome);
    store.shut_down();
    running.join().unwrap();
}

#[test]
fn a_sleeping_flusher_is_woken_by_a_commit_and_by_the_end() {
    explore(Some(2), sleeping_flusher);
}

#[test]
fn a_sleeping_keeper_is_woken_by_a_seal_and_by_a_drain() {
    explore(Some(2), || {
        let disk = MemoryDisk::default();
        let Stepped { store, mut flusher, keeper, .. } = open(&disk, tiny());
        let log = store.log(b"log").unwrap();
        let record = [Record { op: None, payload: &[1; 4200] }];
        store.transact(1, &[Write { log: &log, lease: None, records: &record, meta: None }]).unwrap();
        let running = thread::spawn(move || keeper.run());
        while flusher.step() == Progress::Worked {}
        store.begin_drain();
        while flusher.step() == Progress::Worked {}
        running.join().unwrap();
        assert_eq!(store.durable_lsn(), 1);
    });
}

/// What a bug breaks, how far the model looks for it, and what is then said.
struct Caught {
    bug: Planted,
    preemptions_max: Option<usize>,
    schedule: fn(),
    words: &'static str,
}

const fn caught(bug: Planted, preemptions_max: Option<usize>, schedule: fn(), words: &'static str) -> Caught {
    Caught { bug, preemptions_max, schedule, words }
}

const CAUGHT: [Caught; 11] = [
    caught(Planted::ViewBeforePosition, Some(2), reader_beside_seal, "a record is missed"),
    caught(Planted::ViewBeforePosition, Some(2), snapshot_beside_writer, "the transaction is not whole"),
    caught(Planted::ShowBeforeRecords, Some(2), reader_beside_seal, "a record is missed"),
    caught(Planted::ShowBeforeRecords, Some(2), snapshot_beside_writer, "the transaction is not whole"),
    caught(Planted::UnlockBeforeAppend, Some(3), two_writers_of_a_transaction, "accepted is seen"),
    caught(Planted::PublishBeforeBytes, None, reader_of_a_block, "Causality violation"),
    caught(Planted::PublishRelaxed, None, reader_of_a_block, "Causality violation"),
    caught(Planted::SwapInTwoSteps, Some(2), reader_beside_seal, "a record is missed"),
    caught(Planted::MergeInTwoSteps, Some(3), reader_beside_merge, "a record is missed"),
    caught(Planted::WakeBeforeMove, None, waiters_beside_a_move, "each waiter is called once"),
    caught(Planted::WakeWithoutLock, Some(2), sleeping_flusher, "deadlock"),
];

/// Names the one of [`CAUGHT`] to a process of its own.
const CAUGHT_INDEX: &str = "RACEFREE_PLANTED";

/// Loom ends a model that deadlocks in the middle of its own work, and what unwinds then ends the process: so each bug gets one.
#[test]
#[ignore = "fails on purpose: catches_every_planted_bug runs it"]
fn runs_with_a_planted_bug() {
    let index: usize = std::env::var(CAUGHT_INDEX).unwrap().parse().unwrap();
    let Caught { bug, preemptions_max, schedule, .. } = CAUGHT[index];
    plant(Some(bug));
    explore(preemptions_max, schedule);
}

#[test]
fn catches_every_planted_bug() {
    const { assert!(IS_POSSIBLE, "`cargo xtask loom` turns the feature on") };
    for (index, Caught { bug, words, .. }) in CAUGHT.iter().enumerate() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::loom::runs_with_a_planted_bug", "--ignored", "--nocapture", "--test-threads=1"])
            .env(CAUGHT_INDEX, index.to_string())
            .env("RUST_BACKTRACE", "0")
            .output()
            .unwrap();
        assert!(!output.status.success(), "{bug:?} is not caught");
        let told = String::from_utf8_lossy(&output.stderr);
        // What fails while a failed model unwinds comes after it.
        let first = told.split("panicked at").nth(1).unwrap_or_default();
        assert!(first.contains(words), "{bug:?} is caught for another reason: {told}");
    }
    for bug in BETWEEN_THREADS {
        assert!(CAUGHT.iter().any(|caught| caught.bug == bug), "no schedule is tried with {bug:?}");
    }
}
