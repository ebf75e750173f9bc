//! The invariants A1 to A15 of the store, each as tests that name it. What can only be seen by interleaving threads is in `loom`, what needs a hostile disk in the simulator.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Three logs, of which each transaction writes to two, and a meta that says how much was written.
fn mixed(stepped: &Stepped, lsn: Lsn) {
    let names = [&b"a"[..], b"b", b"c"];
    let (first, second) = (names[lsn as usize % 3], names[(lsn as usize + 1) % 3]);
    let payload = vec![lsn as u8; 40 + (lsn as usize * 37) % 200];
    let (first, second) = (stepped.store.log(first).unwrap(), stepped.store.log(second).unwrap());
    let records = [Record { op: None, payload: &payload }];
    let meta = lsn.to_le_bytes();
    let write = |log| Write { log, lease: None, records: &records, meta: Some(&meta) };
    assert!(matches!(stepped.store.transact(lsn, &[write(&first), write(&second)]), Ok(Committed::Now { .. })));
}

/// What `mixed` up to `lsn` must have left in the log `index`.
fn mixed_expected(index: usize, upto: Lsn) -> Vec<(Offset, Vec<u8>)> {
    let touches = |lsn: &Lsn| *lsn as usize % 3 == index || (*lsn as usize + 1) % 3 == index;
    (1..=upto).filter(touches).map(|lsn| (at(lsn, 0), vec![lsn as u8; 40 + (lsn as usize * 37) % 200])).collect()
}

fn assert_mixed(stepped: &Stepped, lsn: Lsn) {
    for (index, key) in [&b"a"[..], b"b", b"c"].into_iter().enumerate() {
        let expected = mixed_expected(index, lsn);
        let found = stepped.store.find(key).map(|log| log.reader(Level::Visible).unwrap());
        let Ok(reader) = found else {
            assert!(expected.is_empty());
            continue;
        };
        assert_eq!(read_all(&reader), expected, "log {index} at {lsn}");
        assert_eq!(reader.meta().map(|(lsn, _)| lsn), expected.last().map(|(offset, _)| offset.tx));
    }
}

#[test]
fn a1_reads_miss_nothing_between_any_two_background_steps() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    for lsn in 1..=rounds(220) {
        mixed(&stepped, lsn);
        for turn in 0..lsn % 4 {
            let _ = if (lsn + turn) % 2 == 0 { stepped.flusher.step() } else { stepped.keeper.step() };
            assert_mixed(&stepped, lsn);
        }
    }
    stepped.settle();
    assert_mixed(&stepped, rounds(220));
    let info = stepped.store.info();
    assert!(info.pack_files >= 1 && info.pack_files < 12, "{info:?}");
}

#[test]
fn a1_a2_readers_on_threads_see_every_record_once_in_order() {
    const LAST: Lsn = rounds(1500);
    let disk = MemoryDisk::default();
    let Stepped { store, mut flusher, mut keeper, .. } = open(&disk, small());
    let done = AtomicBool::new(false);
    let log = store.log(b"log").unwrap();
    std::thread::scope(|scope| {
        let background = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                flusher.step();
                keeper.step();
            }
        });
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (store, log, done) = (&store, &log, &done);
                scope.spawn(move || {
                    let mut seen = Offset::START;
                    let level = if reader == 0 { Level::Visible } else { Level::Durable };
                    while !done.load(Ordering::Acquire) || seen.tx < LAST {
                        let range = ReadRange { after: seen, limit: ReadLimit { records: 50, bytes: 4000 }, ..everything() };
                        let page = log.read(&range, level).unwrap();
                        for (offset, payload) in page.records.iter() {
                            let expected = if seen.op == 1 || seen.tx == 0 { at(seen.tx + 1, 0) } else { at(seen.tx, 1) };
                            assert_eq!(offset, expected);
                            assert_eq!(payload, offset.tx.to_le_bytes().repeat(8));
                            seen = offset;
                        }
                        // Done means all that was committed at the position is here.
                        if page.next == Next::Done {
                            assert_eq!(seen, if page.lsn == 0 { Offset::START } else { at(page.lsn, 1) });
                        }
                    }
                    assert!(store.visible_lsn() >= seen.tx);
                })
            })
            .collect();
        for lsn in 1..=LAST {
            let payload = lsn.to_le_bytes().repeat(8);
            let records = [Record { op: None, payload: &payload }; 2];
            while store.transact(lsn, &[Write { log: &log, lease: None, records: &records, meta: None }]) == Err(AppendError::Busy) {
                std::thread::yield_now();
            }
        }
        store.wait_durable(LAST, Duration::from_secs(60)).unwrap();
        done.store(true, Ordering::Release);
        background.join().unwrap();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn a2_a_block_that_a_pack_already_holds_in_part_gives_no_record_twice() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, Options { block_bytes_max: 16 * 1024, ..small() });
    for lsn in 1..=60 {
        stepped.put(lsn, b"log", &[&[1; 200]]);
        stepped.flusher.step();
    }
    // The switch lies somewhere inside the block; what comes after is in memory alone.
    for _ in 0..3 {
        stepped.keeper.step();
    }
    assert!(stepped.store.info().pack_files > 0);
    let offsets: Vec<_> = stepped.all(b"log", Level::Visible).into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, (1..=60).map(|lsn| at(lsn, 0)).collect::<Vec<_>>());
}

#[test]
fn a3_a_reader_finishes_its_view_after_trim_merge_and_purge() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    for lsn in 1..=150 {
        mixed(&stepped, lsn);
        stepped.settle();
    }
    let log = stepped.store.find(b"a").unwrap();
    let reader = log.reader(Level::Visible).unwrap();
    let range = everything();
    log.trim(at(100, 0)).unwrap();
    log.begin_remove().unwrap().0.finish().unwrap();
    for lsn in 151..=400 {
        stepped.put(lsn, b"other", &[&[0; 300]]);
        stepped.settle();
    }
    let pages: Vec<Records> = reader.pages(range).collect::<Result<_, _>>().unwrap();
    let found: Vec<_> = pages.iter().flat_map(|page| page.iter().map(|(offset, payload)| (offset, payload.to_vec()))).collect();
    assert_eq!(found, mixed_expected(0, 150));
    assert_eq!(log.read(&range, Level::Visible).unwrap_err(), ReadError::Removed);
}

#[test]
fn a4_an_empty_page_means_that_nothing_was_committed_in_the_range() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    let log = stepped.store.log(b"log").unwrap();
    let records = [Record { op: Some(5), payload: b"x" }, Record { op: Some(9), payload: b"y" }];
    stepped.store.transact(10, &[Write { log: &log, lease: None, records: &records, meta: None }]).unwrap();
    for packed in [false, true] {
        let read = |after, upto, limit| {
            let page = log.read(&ReadRange { after, upto, limit, source: Source::Any }, Level::Visible).unwrap();
            (page.records.iter().map(|(offset, _)| offset.op).collect::<Vec<_>>(), page.next)
        };
        let one = ReadLimit { records: 1, bytes: usize::MAX };
        assert_eq!(read(at(10, 5), at(10, 8), ReadLimit::NONE), (vec![], Next::Done), "between two records, packed: {packed}");
        assert_eq!(read(at(10, 4), at(10, 5), ReadLimit::NONE), (vec![5], Next::Done));
        assert_eq!(read(Offset::END, Offset::START, ReadLimit::NONE), (vec![], Next::Done), "reversed");
        assert_eq!(read(at(u64::MAX, u64::MAX - 1), Offset::END, ReadLimit::NONE), (vec![], Next::Done));
        assert_eq!(read(Offset::START, Offset::END, one), (vec![5], Next::More(at(10, 5))));
        assert_eq!(read(Offset::START, at(10, 8), one), (vec![5], Next::Done), "exact: the next record is above the range");
        assert_eq!(read(at(10, 5), Offset::END, one), (vec![9], Next::Done));
        assert_eq!(read(Offset::START, Offset::END, ReadLimit { records: 0, bytes: 0 }), (vec![5], Next::More(at(10, 5))));
        if !packed {
            for lsn in 11..60 {
                stepped.put(lsn, b"filler", &[&[0; 250]]);
                stepped.settle();
            }
            assert!(matches!(log.read(&ReadRange { source: Source::Memory, ..everything() }, Level::Visible), Err(ReadError::Cold)));
        }
    }
    log.trim(at(10, 5)).unwrap();
    assert_eq!(log.read(&everything(), Level::Visible).unwrap_err(), ReadError::Trimmed { after: at(10, 5) });
    assert_eq!(log.read(&ReadRange { after: at(10, 5), ..everything() }, Level::Visible).unwrap().records.len(), 1);
}

#[test]
fn what_the_system_has_in_memory_is_read_without_waiting_and_the_rest_is_cold() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    stepped.put(1, b"small", &[&[1; 100], &[2; 100]]);
    stepped.put(2, b"large", &[&[3; 40_000]]);
    stepped.settle();
    stepped.put(3, b"large", &[&[4; 40_000]]);
    for lsn in 4..60 {
        stepped.put(lsn, b"filler", &[&[0; 250]]);
        stepped.settle();
    }
    let read = |key: &[u8], source| {
        let page = stepped.store.find(key).unwrap().read(&ReadRange { source, ..everything() }, Level::Visible)?;
        Ok(page.records.iter().map(|(_, payload)| payload.to_vec()).collect::<Vec<_>>())
    };
    assert_eq!(read(b"small", Source::Cached), read(b"small", Source::Any));
    assert_eq!(read(b"small", Source::Memory), Err(ReadError::Cold));
    assert_eq!(read(b"large", Source::Cached), Err(ReadError::Cold), "more than one call may copy");
    assert_eq!(read(b"large", Source::Any).unwrap().len(), 2);
    disk.failing().cached_reads.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(read(b"small", Source::Cached), Err(ReadError::Cold));
    assert_eq!(read(b"small", Source::Any).unwrap().len(), 2);
}

#[test]
fn a5_a6_a15_after_a_power_loss_at_any_step_all_logs_stand_at_one_announced_transaction() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    let mut announced = 0;
    for lsn in 1..=rounds(150) {
        mixed(&stepped, lsn);
        let _ = if lsn % 3 == 0 { stepped.keeper.step() } else { stepped.flusher.step() };
        let durable = stepped.store.durable_lsn();
        assert!(durable >= announced && durable <= stepped.store.visible_lsn());
        announced = durable;
        for (loss, left) in [(true, disk.power_loss()), (false, disk.process_end())] {
            let again = open(&left, small());
            assert!(again.report.lsn >= announced, "{} < {announced}, power loss: {loss}", again.report.lsn);
            assert_eq!(again.store.durable_lsn(), again.report.lsn);
            assert_mixed(&again, again.report.lsn);
        }
    }
}

#[test]
fn a7_what_is_uncommitted_or_aborted_is_never_visible() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    let log = stepped.store.log(b"log").unwrap();
    let lease = log.lease().unwrap();
    let mut expected = Vec::new();
    for lsn in 1..=rounds(200) {
        let wrong = [Record { op: None, payload: &[0xEE; 90] }; 3];
        lease.append(lsn, &wrong, Some(b"wrong")).unwrap();
        assert_eq!(stepped.all(b"log", Level::Visible), expected);
        if lsn % 3 == 0 {
            stepped.settle();
            assert_eq!(open(&disk.process_end(), small()).all(b"log", Level::Visible), expected);
        }
        stepped.store.abort(lsn).unwrap();
        assert_eq!(stepped.all(b"log", Level::Visible), expected);
        if lsn % 2 == 0 {
            // The same number again, with other records.
            let right = [Record { op: None, payload: &lsn.to_le_bytes() }];
            lease.append(lsn, &right, Some(&lsn.to_le_bytes())).unwrap();
            stepped.store.commit(lsn).unwrap();
            expected.push((at(lsn, 0), lsn.to_le_bytes().to_vec()));
            assert_eq!(log.meta(Level::Visible).unwrap().unwrap().0, lsn);
        }
    }
    stepped.settle();
    assert_eq!(stepped.all(b"log", Level::Durable), expected);
    assert_eq!(open(&disk.power_loss(), small()).all(b"log", Level::Durable), expected);
}

#[test]
fn a8_repeats_change_nothing_and_going_back_is_refused() {
    let disk = MemoryDisk::default();
    let stepped = open(&disk, small());
    stepped.put(5, b"log", &[b"x"]);
    let log = stepped.store.find(b"log").unwrap();
    let records = [Record { op: Some(0), payload: b"other" }];
    let write = [Write { log: &log, lease: None, records: &records, meta: Some(b"other") }];
    for lsn in [1, 5] {
        assert_eq!(stepped.store.transact(lsn, &write), Ok(Committed::Already));
        assert_eq!(stepped.store.commit(lsn), Ok(Committed::Already));
    }
    assert_eq!(stepped.all(b"log", Level::Visible), [(at(5, 0), b"x".to_vec())]);
    let lease = log.lease().unwrap();
    lease.append(9, &records, None).unwrap();
    assert_eq!(lease.append(5, &records, None), Ok(Appended::Already));
    assert_eq!(lease.append(8, &records, None), Err(AppendError::LsnBehind { current: 9 }));
    assert_eq!(stepped.store.commit(8), Err(CommitError::Refused(AppendError::LsnBehind { current: 9 })));
    assert_eq!(lease.append(10, &records, None), Err(AppendError::TransactionOpen { current: 9 }));
    assert_eq!(lease.append(0, &records, None), Err(AppendError::LsnZero));
    assert_eq!(lease.append(9, &records, None), Err(AppendError::OpNotIncreasing { index: 0 }));
    assert!(matches!(stepped.store.commit(9), Ok(Committed::Now { .. })));
}

#[test]
fn a8_a_refused_transaction_leaves_nothing_behind() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    stepped.put(1, b"log", &[b"x"]);
    let log = stepped.store.find(b"log").unwrap();
    let records = [Record { op: Some(3), payload: b"y" }];
    let write = || Write { log: &log, lease: None, records: &records, meta: Some(b"meta") };
    assert_eq!(stepped.store.transact(2, &[write(), write()]), Err(AppendError::OpNotIncreasing { index: 0 }));
    assert_eq!(stepped.store.info().open_transaction, None);
    assert_eq!(log.meta(Level::Visible).unwrap(), None);
    stepped.put(2, b"log", &[b"z"]);
    stepped.settle();
    let expected = [(at(1, 0), b"x".to_vec()), (at(2, 0), b"z".to_vec())];
    assert_eq!(stepped.all(b"log", Level::Durable), expected);
    assert_eq!(open(&disk.power_loss(), small()).all(b"log", Level::Durable), expected);
}

#[test]
fn a9_recovery_repeated_gives_the_same_state() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    for lsn in 1..=130 {
        mixed(&stepped, lsn);
        let _ = if lsn % 4 == 0 { stepped.keeper.step() } else { stepped.flusher.step() };
    }
    let mut left = disk.process_end();
    let lsn = open(&left.process_end(), small()).report.lsn;
    for turn in 0..12 {
        let again = open(&left, small());
        assert_eq!(again.report.lsn, lsn, "turn {turn}");
        assert_mixed(&again, lsn);
        left = if turn % 2 == 0 { left.power_loss() } else { left.process_end() };
    }
    assert!(left.names().iter().filter(|name| name.ends_with(".wal")).count() < 20);
}

#[test]
fn a10_after_a_failed_step_nothing_is_reported_durable_any_more() {
    type Fault = fn(&memory_disk::Failing) -> &AtomicBool;
    let faults: [Fault; 4] = [|failing| &failing.syncs, |failing| &failing.writes, |failing| &failing.room, |failing| &failing.renames];
    for (index, fault) in faults.into_iter().enumerate() {
        let disk = MemoryDisk::default();
        let mut stepped = open(&disk, small());
        stepped.put(1, b"log", &[b"x"]);
        stepped.settle();
        let outcomes = Arc::new(Mutex::new(Vec::new()));
        let (for_waiter, for_subscriber) = (Arc::clone(&outcomes), Arc::clone(&outcomes));
        stepped.store.subscribe_durable(Arc::new(move |outcome| for_subscriber.lock().unwrap().push(outcome)));
        fault(disk.failing()).store(true, Ordering::Relaxed);
        // Enough for the log to need more room and to roll over.
        let mut lsn = 1;
        while stepped.store.failure().is_none() {
            lsn += 1;
            stepped.put(lsn, b"log", &[&[2; 900]]);
            stepped.settle();
        }
        let durable = stepped.store.durable_lsn();
        stepped.store.await_durable(durable + 1, Box::new(move |outcome| for_waiter.lock().unwrap().push(outcome)));
        fault(disk.failing()).store(false, Ordering::Relaxed);
        stepped.settle();
        assert_eq!((stepped.flusher.step(), stepped.keeper.step()), (Progress::Failed, Progress::Failed), "fault {index}");
        assert_eq!(stepped.store.durable_lsn(), durable);
        let outcomes = outcomes.lock().unwrap();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 2, "waiter and subscriber: {outcomes:?}");
        assert!(outcomes.iter().all(|outcome| outcome.is_err() || outcome.is_ok_and(|announced| announced <= durable)));
        let log = stepped.store.find(b"log").unwrap();
        assert!(matches!(log.lease(), Err(LogError::Failed(_))));
        assert!(matches!(stepped.store.commit(lsn + 1), Err(CommitError::Refused(AppendError::Failed(_)))));
        // Reads go on.
        assert_eq!(stepped.all(b"log", Level::Visible).len() as u64, lsn);
        assert!(open(&disk.power_loss(), small()).report.lsn >= durable);
    }
}

#[test]
fn a11_a_snapshot_holds_all_or_none_of_each_transaction() {
    const LAST: Lsn = rounds(1000);
    let disk = MemoryDisk::default();
    let Stepped { store, mut flusher, mut keeper, .. } = open(&disk, small());
    let logs: Vec<_> = (0..4_u8).map(|key| store.log(&[key]).unwrap()).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                flusher.step();
                keeper.step();
            }
        });
        let snapshots = scope.spawn(|| {
            let mut taken = 0;
            while !done.load(Ordering::Acquire) {
                let level = if taken % 2 == 0 { Level::Visible } else { Level::Durable };
                let snapshot = store.snapshot(&logs.iter().collect::<Vec<_>>(), level).unwrap();
                let lsn = snapshot.lsn();
                for reader in snapshot.readers() {
                    let range = ReadRange { after: at(lsn.saturating_sub(3), u64::MAX), ..everything() };
                    let page = reader.read(&range).unwrap();
                    let found: Vec<_> = page.records.iter().map(|(offset, _)| offset.tx).collect();
                    assert_eq!(found, (lsn.saturating_sub(3) + 1..=lsn).filter(|lsn| *lsn > 0).collect::<Vec<_>>());
                    assert_eq!(reader.meta().map(|(lsn, meta)| (lsn, meta.to_vec())), (lsn > 0).then(|| (lsn, lsn.to_le_bytes().to_vec())));
                }
                taken += 1;
            }
            taken
        });
        for lsn in 1..=LAST {
            let meta = lsn.to_le_bytes();
            let records = [Record { op: None, payload: &[1; 50] }];
            let writes: Vec<_> = logs.iter().map(|log| Write { log, lease: None, records: &records, meta: Some(&meta) }).collect();
            while store.transact(lsn, &writes) == Err(AppendError::Busy) {
                std::thread::yield_now();
            }
        }
        store.wait_durable(LAST, Duration::from_secs(60)).unwrap();
        done.store(true, Ordering::Release);
        assert!(snapshots.join().unwrap() > 0);
    });
}

#[test]
fn a12_a_key_created_again_never_shows_its_former_records() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    let mut lsn = 0;
    for life in 0..6_u8 {
        for _ in 0..30 {
            lsn += 1;
            stepped.put(lsn, b"key", &[&[life; 120]]);
        }
        if life % 2 == 0 {
            stepped.settle();
        }
        let log = stepped.store.find(b"key").unwrap();
        let found = stepped.all(b"key", Level::Visible);
        assert_eq!((found.len(), found.iter().all(|(_, payload)| *payload == [life; 120])), (30, true));
        let (removal, _) = log.begin_remove().unwrap();
        assert!(matches!(stepped.store.find(b"key"), Err(LogError::Removed)));
        assert!(matches!(stepped.store.log(b"key"), Err(LogError::Removed)));
        // A removal half done stays half done, and can be ended by the next process.
        stepped.settle();
        let again = open(&disk.power_loss(), small());
        assert_eq!(again.report.pending_removals, [Box::from(&b"key"[..])]);
        again.store.removal(b"key").unwrap().finish().unwrap();
        assert!(again.all_of_new(b"key").is_empty());
        removal.finish().unwrap();
        assert!(matches!(stepped.store.find(b"key"), Err(LogError::NotFound)));
        assert!(matches!(stepped.store.removal(b"key"), Err(LogError::NotFound)));
        assert!(stepped.all_of_new(b"key").is_empty());
    }
    stepped.settle();
    assert!(open(&disk.power_loss(), small()).all(b"key", Level::Visible).is_empty());
}

#[test]
fn a13_memory_that_readers_hold_is_accounted() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    for lsn in 1..=20 {
        stepped.put(lsn, b"log", &[&[0; 200]]);
    }
    let reader = stepped.store.find(b"log").unwrap().reader(Level::Visible).unwrap();
    let page = reader.read(&everything()).unwrap();
    for lsn in 21..=80 {
        stepped.put(lsn, b"log", &[&[0; 200]]);
        stepped.settle();
    }
    let held = stepped.store.info();
    assert!(held.pinned_bytes >= 20 * 200, "{held:?}");
    drop(reader);
    assert!(stepped.store.info().pinned_bytes >= 20 * 200, "the page alone holds the blocks");
    drop(page);
    assert_eq!(stepped.store.info().pinned_bytes, 0);
    assert!(stepped.store.info().memory_bytes < 16 * 1024, "packed records leave memory: {:?}", stepped.store.info());
}

#[test]
fn a13_pages_read_out_of_files_are_accounted() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    for lsn in 1..=120 {
        stepped.put(lsn, b"log", &[&[0; 200]]);
        stepped.settle();
    }
    assert!(stepped.store.info().pack_files > 0);
    let page = stepped.store.find(b"log").unwrap().read(&ReadRange { upto: at(20, 0), ..everything() }, Level::Visible).unwrap();
    assert_eq!(page.records.len(), 20);
    let shared = page.clone();
    let held = stepped.store.info().pinned_bytes;
    assert!((20 * 200..200 * 1024).contains(&held), "{held}");
    drop(page);
    assert_eq!(stepped.store.info().pinned_bytes, held, "a clone holds the same memory");
    drop(shared);
    assert_eq!(stepped.store.info().pinned_bytes, 0);
}

#[test]
fn a14_handles_of_another_opening_or_store_are_refused() {
    let disk = MemoryDisk::default();
    let records = [Record { op: None, payload: b"x" }];
    let mut former = open(&disk, small());
    former.put(1, b"log", &[b"first"]);
    former.settle();
    let stale = former.store.find(b"log").unwrap();
    let stale_lease = stale.lease().unwrap();
    drop((former.flusher, former.keeper));
    // Both number their logs the same way.
    let mut stepped = open(&disk, small());
    let other = open(&MemoryDisk::default(), small());
    let others = other.store.log(b"log").unwrap();
    let own = stepped.store.find(b"log").unwrap();
    let own_lease = own.lease().unwrap();
    for (log, lease) in
        [(&stale, None), (&stale, Some(&stale_lease)), (&own, Some(&stale_lease)), (&others, None), (&stale, Some(&own_lease))]
    {
        let mixed = [
            Write { log: &own, lease: Some(&own_lease), records: &records, meta: None },
            Write { log, lease, records: &records, meta: None },
        ];
        assert_eq!(stepped.store.transact(2, &mixed), Err(AppendError::Foreign));
    }
    assert!(matches!(stepped.store.snapshot(&[&own, &stale], Level::Visible), Err(ReadError::Foreign)));
    assert!(matches!(stepped.store.snapshot(&[&others], Level::Visible), Err(ReadError::Foreign)));
    assert_eq!(stepped.store.visible_lsn(), 1, "nothing was done");
    stepped.settle();
    assert_eq!(open(&disk.process_end(), small()).all(b"log", Level::Visible), [(at(1, 0), b"first".to_vec())]);
}

#[test]
fn a14_a_stale_writer_is_fenced() {
    let disk = MemoryDisk::default();
    let stepped = open(&disk, small());
    let log = stepped.store.log(b"log").unwrap();
    let records = [Record { op: None, payload: b"x" }];
    let stale = log.lease().unwrap();
    stale.append(1, &records, None).unwrap();
    let current = log.lease().unwrap();
    assert_eq!(stale.append(1, &records, None), Err(AppendError::Fenced));
    assert_eq!(current.append(1, &records, None), Ok(Appended::Staged { last: Some(at(1, 1)) }));
    stepped.store.commit(1).unwrap();
    let unleased = [Write { log: &log, lease: None, records: &records, meta: None }];
    assert_eq!(stepped.store.transact(2, &unleased), Err(AppendError::Fenced));
    // The end of a stale lease does not end the current one.
    drop(stale);
    assert_eq!(stepped.store.transact(2, &unleased), Err(AppendError::Fenced));
    drop(current);
    assert!(stepped.store.transact(2, &unleased).is_ok());
    let other = stepped.store.log(b"other").unwrap().lease().unwrap();
    let _held = log.lease().unwrap();
    let wrong = [Write { log: &log, lease: Some(&other), records: &records, meta: None }];
    assert_eq!(stepped.store.transact(3, &wrong), Err(AppendError::Fenced));
}

#[test]
fn a_removal_that_was_begun_survives_once_its_sequence_is_durable() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    stepped.put(1, b"log", &[b"x"]);
    stepped.settle();
    let (_removal, sequence) = stepped.store.find(b"log").unwrap().begin_remove().unwrap();
    assert!(stepped.store.wait_sequence(sequence, Duration::ZERO).is_err());
    stepped.settle();
    stepped.store.wait_sequence(sequence, Duration::ZERO).unwrap();
    assert_eq!(open(&disk.power_loss(), small()).report.pending_removals, [Box::from(&b"log"[..])]);
}

#[test]
fn what_waits_to_be_written_is_bounded_for_every_call() {
    let disk = MemoryDisk::default();
    let options = Options { stage_bytes_max: 16 * 1024, ..small() };
    let limit = options.stage_bytes_max;
    let mut stepped = open(&disk, options);
    let store = stepped.store.clone();
    let kept = store.log(b"kept").unwrap();
    let lease = kept.lease().unwrap();
    let fill: [(&str, &dyn Fn(u32) -> bool); 3] = [
        ("creations", &|number| matches!(store.log(&number.to_le_bytes()), Err(LogError::Busy))),
        ("commits of nothing", &|_| store.commit(store.visible_lsn() + 1) == Err(CommitError::Refused(AppendError::Busy))),
        ("trims", &|_| kept.trim(at(1, 0)) == Err(LogError::Busy)),
    ];
    for (what, is_refused) in fill {
        let refused = (0..10_000).position(is_refused);
        assert!(refused.is_some(), "{what} have no bound");
        let pending = store.info().pending_bytes;
        // The last one is let in whole, with what an entry weighs.
        assert!(pending <= limit + 128, "{what}: {pending}");
        assert!(matches!(kept.begin_remove(), Err(LogError::Busy)));
        stepped.settle();
        assert_eq!(store.info().pending_bytes, 0);
    }
    // What found room can be committed, however full it is by then.
    let lsn = store.visible_lsn() + 1;
    let record = [0; 1000];
    while lease.append(lsn, &[Record { op: None, payload: &record }], None).is_ok() {}
    while store.log(&store.info().logs.to_le_bytes()).is_ok() {}
    assert!(matches!(store.commit(lsn), Ok(Committed::Now { .. })));
}

#[test]
fn a_short_page_out_of_a_file_costs_one_short_read() {
    const RECORD_BYTES: usize = 4096;
    let disk = MemoryDisk::default();
    let options = Options { wal_bytes_max: 512 * 1024, block_bytes_max: 64 * 1024, memory_bytes_max: 4 << 20, ..small() };
    let mut stepped = open(&disk, options);
    for lsn in 1..=20 {
        stepped.put(lsn, b"log", &[&[lsn as u8; RECORD_BYTES][..]; 15]);
        stepped.settle();
    }
    let log = stepped.store.find(b"log").unwrap();
    let reads = disk.failing();
    for (tx, op) in (1..=8).flat_map(|tx| (0..14).map(move |op| (tx, op))) {
        reads.bytes_read.store(0, Ordering::Relaxed);
        reads.calls_to_read.store(0, Ordering::Relaxed);
        let limit = ReadLimit { records: 1, bytes: usize::MAX };
        let page = log.read(&ReadRange { after: at(tx, op), limit, source: Source::Cached, ..everything() }, Level::Visible).unwrap();
        let found: Vec<_> = page.records.iter().map(|(offset, payload)| (offset, payload[0])).collect();
        assert_eq!((found, page.next), (vec![(at(tx, op + 1), tx as u8)], Next::More(at(tx, op + 1))));
        assert_eq!(reads.calls_to_read.load(Ordering::Relaxed), 1, "after {tx}.{op}");
        // A mark stands every four of these records, so at most four are skipped.
        let read = reads.bytes_read.load(Ordering::Relaxed);
        assert!(read <= 6 * RECORD_BYTES, "{read} bytes after {tx}.{op}");
    }
}

#[test]
fn opens_read_only_beside_a_writer_that_moves_everything() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, Options { merge_fan_in: 2, ..small() });
    for lsn in 1..=200 {
        stepped.put(lsn, b"log", &[&[1; 200]]);
        stepped.settle();
    }
    let store = stepped.store.clone();
    let moving = Arc::new(Mutex::new(stepped));
    let (writer, mut left) = (Arc::clone(&moving), 12);
    // Before each file is opened, all files get other names; in the end the writer rests.
    disk.meanwhile(move |_| {
        if left > 0 {
            left -= 1;
            let mut stepped = writer.lock().unwrap();
            for _ in 0..60 {
                let lsn = stepped.store.visible_lsn() + 1;
                stepped.put(lsn, b"log", &[&[1; 200]]);
                stepped.settle();
            }
        }
    });
    let (read_only, report) = Store::open_read_only(disk.clone(), dir(), small()).unwrap();
    assert!(report.lsn > 200 && report.lsn <= store.visible_lsn(), "{report:?}");
    assert_eq!(read_all(&read_only.find(b"log").unwrap().reader(Level::Visible).unwrap()).len() as Lsn, report.lsn);
    // What is missing although nobody writes is missing.
    let pack = disk.last(".pack");
    disk.delete(&pack);
    assert_eq!(Store::open_read_only(disk.clone(), dir(), small()).err(), Some(OpenError::Missing { file: pack }));
}

#[test]
fn memory_full_of_what_waits_to_be_written_is_written() {
    let disk = MemoryDisk::default();
    let options = Options {
        transaction_bytes_max: 1024,
        record_bytes_max: 1024,
        wal_bytes_max: 4096,
        memory_bytes_max: 3 * (1024 + 4096),
        batch_bytes_max: 512,
        ..small()
    };
    let half = options.memory_bytes_max / 2;
    let mut stepped = open(&disk, options);
    stepped.put(1, b"first", &[b"x"]);
    stepped.settle();
    let mut lsn = 1;
    while stepped.store.info().memory_bytes <= half + 1024 {
        lsn += 1;
        stepped.put(lsn, &lsn.to_le_bytes(), &[&[1; 600]]);
    }
    for _ in 0..100 {
        stepped.flusher.step();
        stepped.keeper.step();
    }
    assert_eq!(stepped.store.durable_lsn(), lsn);
    assert_eq!(stepped.flusher.step(), Progress::Idle);
}
