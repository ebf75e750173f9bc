//! The store's protocols under loom: every interleaving of two or three threads, over the code that production runs.
//!
//! Run by `cargo xtask loom`. Blocks are tracked byte by byte: a read of a byte that was not published before it is reported by loom itself. The disk is a map in memory
//! whose locks loom does not see; it is touched by one thread at a time. A lost wake-up shows as a deadlock, which loom reports too.

use super::*;
use crate::store::block::{BlockWriter, Gauge};
use crate::store::watermark::{Awaited, Watermark};
use crate::sync::{Arc, Condvar, Mutex};
use ::loom::model::Builder;
use ::loom::thread;

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

#[test]
fn block_publishes_whole_pushes_in_order() {
    explore(None, || {
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
    });
}

#[test]
fn a_reader_misses_nothing_while_its_records_move_from_memory_to_a_pack() {
    explore(Some(2), || {
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
                assert_eq!(page.records.len() as u64, page.lsn);
            }
        });
        store.transact(3, &[write()]).unwrap();
        read.join().unwrap();
        drop(kept.join().unwrap());
        assert_eq!(store.info().pack_files, 1);
        assert_eq!(log.read(&everything(), Level::Visible).unwrap().records.len(), 3);
    });
}

#[test]
fn a_visible_transaction_holds_every_record_that_was_staged_for_it() {
    explore(Some(3), || {
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
        assert_eq!(seen, usize::from(staged && lsn == 1));
        assert_eq!(first.read(&everything(), Level::Visible).unwrap().records.len(), usize::from(staged));
    });
}

#[test]
fn a_snapshot_shows_records_and_meta_of_one_transaction() {
    explore(Some(2), || {
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
                assert_eq!(reader.read(&everything()).unwrap().records.len() as u64, lsn);
                assert_eq!(reader.meta().map(|(of, meta)| (of, meta.to_vec())), Some((lsn, vec![lsn as u8])));
            }
        });
        put(2);
        // Durable up to 2: the next meta makes the store forget the first, which the reader may still be about to ask for.
        flusher.step();
        put(3);
        reader.join().unwrap();
    });
}

#[test]
fn a_waiter_is_called_once_and_never_after_it_was_cancelled() {
    explore(None, || {
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
        mover.join().unwrap();
        assert_eq!(mark.load(), 2);
        assert_eq!(*calls.lock().unwrap(), if cancelled { vec![] } else { vec![2] });
        assert_eq!(kept.lock().unwrap().len(), 1);
    });
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

#[test]
fn a_sleeping_flusher_is_woken_by_a_commit_and_by_the_end() {
    explore(Some(2), || {
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
    });
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
