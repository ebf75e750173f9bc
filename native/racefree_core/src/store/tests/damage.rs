//! Damaged, torn, missing and foreign files: what recovery accepts, and what it refuses by name.

use super::*;
use crate::store::directory::HEADER_BYTES;

/// A store with packs, a manifest and a write-ahead log, stopped without a drain; the last transaction.
fn sample() -> (MemoryDisk, Lsn) {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    for lsn in 1..=90 {
        stepped.put(lsn, b"log", &[&[lsn as u8; 100]]);
        stepped.settle();
    }
    let left = disk.process_end();
    assert!(left.names().iter().any(|name| name.ends_with(".pack")));
    (left, 90)
}

fn expected(lsn: Lsn) -> Vec<(Offset, Vec<u8>)> {
    (1..=lsn).map(|lsn| (at(lsn, 0), vec![lsn as u8; 100])).collect()
}

fn refusal(disk: &MemoryDisk) -> OpenError {
    try_open(disk, small()).map(|stepped| stepped.report).unwrap_err()
}

#[test]
fn a_flipped_bit_anywhere_is_refused_or_costs_the_unclaimed_tail_alone() {
    let (disk, last) = sample();
    let (mut refused, mut read_refused, mut shortened, mut same) = (0, 0, 0, 0);
    for name in disk.names() {
        let length = disk.bytes(&name).len();
        for position in (0..length).step_by(if cfg!(miri) { 1997 } else { 7 }) {
            let damaged = disk.process_end();
            damaged.edit(&name, |bytes| bytes[position] ^= 1 << (position % 8));
            let Ok(stepped) = try_open(&damaged, small()) else {
                refused += 1;
                continue;
            };
            let reader = stepped.store.find(b"log").unwrap().reader(Level::Visible).unwrap();
            let pages: Result<Vec<Records>, ReadError> = reader.pages(everything()).collect();
            let Ok(pages) = pages else {
                assert!(name.ends_with(".pack"));
                assert!(!stepped.store.verify().unwrap().problems.is_empty());
                read_refused += 1;
                continue;
            };
            let found: Vec<_> = pages.iter().flat_map(|page| page.iter().map(|(offset, payload)| (offset, payload.to_vec()))).collect();
            // One batch at most is not claimed by a later one: the last.
            assert!(stepped.report.lsn >= last - 1, "{name} at {position}: {:?}", stepped.report);
            assert_eq!(found, expected(stepped.report.lsn), "{name} at {position}");
            if stepped.report.lsn < last { shortened += 1 } else { same += 1 }
        }
    }
    // Each of the four happens: the test is not vacuous.
    assert!(refused > 0 && read_refused > 0 && shortened > 0 && same > 0, "{refused} {read_refused} {shortened} {same}");
}

#[test]
fn a_write_ahead_log_cut_anywhere_is_a_torn_tail_or_refused_by_file_and_offset() {
    let (disk, last) = sample();
    let name = disk.last(".wal");
    let written = disk.bytes(&name).iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut torn = 0;
    for length in (HEADER_BYTES..written).step_by(if cfg!(miri) { 499 } else { 1 }) {
        let cut = disk.process_end();
        cut.edit(&name, |bytes| bytes.truncate(length));
        match try_open(&cut, small()) {
            // All batches that are there say that those before them were durable, so each cut looks like a crash during the next batch.
            Ok(stepped) => {
                assert!(stepped.report.lsn < last);
                assert_eq!(stepped.all(b"log", Level::Durable), expected(stepped.report.lsn));
                torn += u64::from(stepped.report.torn.is_some());
            }
            Err(error) => assert!(matches!(error, OpenError::Corrupt { ref file, .. } if *file == name), "{error:?}"),
        }
    }
    assert!(torn > 0);
}

#[test]
fn a_hole_below_a_later_claim_is_corruption() {
    let (disk, _) = sample();
    let name = disk.last(".wal");
    // The first entry of the first batch; several batches follow and say that it was durable.
    disk.edit(&name, |bytes| bytes[HEADER_BYTES + 40..HEADER_BYTES + 60].fill(0));
    let offset = (HEADER_BYTES + 40) as u64;
    assert_eq!(refusal(&disk), OpenError::Corrupt { file: name, offset, defect: Defect::Checksum });
}

#[test]
fn a_file_of_a_later_format_is_refused_by_name() {
    let (disk, _) = sample();
    for name in ["MANIFEST".to_owned(), disk.last(".wal"), disk.last(".pack")] {
        let later = disk.process_end();
        later.edit(&name, |bytes| bytes[8] = 9);
        assert_eq!(refusal(&later), OpenError::UnknownVersion { file: name, version: 9 });
    }
}

#[test]
fn a_missing_or_empty_file_is_refused_by_name() {
    let (disk, _) = sample();
    for name in ["MANIFEST".to_owned(), disk.last(".wal"), disk.last(".pack")] {
        let missing = disk.process_end();
        missing.delete(&name);
        assert_eq!(refusal(&missing), OpenError::Missing { file: name.clone() });
        let empty = disk.process_end();
        empty.edit(&name, Vec::clear);
        assert!(matches!(refusal(&empty), OpenError::Corrupt { file, .. } if file == name));
    }
}

#[test]
fn a_file_of_another_store_is_refused_by_name() {
    let (disk, _) = sample();
    let other = MemoryDisk::default();
    let mut stepped = open(&other, Options { identity: 8, ..small() });
    for lsn in 1..=90 {
        stepped.put(lsn, b"log", &[&[lsn as u8; 100]]);
        stepped.settle();
    }
    for name in [disk.last(".wal"), disk.last(".pack")] {
        let mixed = disk.process_end();
        mixed.put(&name, other.bytes(&name));
        assert_eq!(refusal(&mixed), OpenError::Foreign { file: name });
    }
}

#[test]
fn stale_bytes_of_an_earlier_file_are_never_taken_for_new_ones() {
    let (disk, last) = sample();
    let name = disk.last(".wal");
    let stale = disk.bytes(&name);
    let mut stepped = open(&disk, small());
    stepped.put(last + 1, b"log", &[&[(last + 1) as u8; 100]]);
    stepped.settle();
    drop(stepped);
    // What a recycled file may hold behind its end: batches of another file, at their old places.
    let newer = disk.last(".wal");
    let end = disk.bytes(&newer).iter().rposition(|byte| *byte != 0).unwrap() + 1;
    disk.edit(&newer, |bytes| bytes[end.next_multiple_of(8)..].copy_from_slice(&stale[end.next_multiple_of(8)..]));
    let again = open(&disk, small());
    assert_eq!(again.report.lsn, last + 1);
    assert_eq!(again.all(b"log", Level::Visible), expected(last + 1));
}

#[test]
fn names_of_others_are_left_alone_and_leftovers_are_removed() {
    let (disk, last) = sample();
    for name in ["notes.txt", "00.wal", "0000000000000001.wal.new", "ffffffffffffffff.pack", "MANIFEST.new"] {
        disk.put(name, b"something".to_vec());
    }
    let stepped = open(&disk, small());
    assert_eq!((stepped.report.lsn, stepped.report.orphans), (last, 3));
    let names = disk.names();
    assert!(["notes.txt", "00.wal"].iter().all(|name| names.contains(&(*name).to_owned())));
    assert!(!names.iter().any(|name| name.ends_with(".new") || name.starts_with('f')));
}

#[test]
fn two_stores_in_one_folder_are_refused() {
    let disk = MemoryDisk::default();
    let stepped = open(&disk, small());
    assert_eq!(refusal(&disk), OpenError::Locked);
    drop(stepped);
    assert!(try_open(&disk, small()).is_ok());
}

#[test]
fn a_store_that_was_shut_down_does_not_hold_its_folder_for_those_who_still_read() {
    let disk = MemoryDisk::default();
    let stepped = open(&disk, small());
    stepped.put(1, b"log", &[&[1; 100]]);
    let reader = stepped.store.find(b"log").unwrap().reader(Level::Visible).unwrap();
    let store = stepped.store.clone();
    store.shut_down();
    drop(stepped);
    assert!(try_open(&disk, small()).is_ok());
    assert_eq!(reader.pages(ReadRange { after: Offset::START, upto: Offset::END, limit: ReadLimit::NONE, source: Source::Any }).count(), 1);
}

#[test]
fn a_drain_is_marked_and_the_mark_is_void_after_the_next_start() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    stepped.put(1, b"log", &[&[1; 100]]);
    let lease = stepped.store.find(b"log").unwrap().lease().unwrap();
    lease.append(2, &[Record { op: None, payload: b"open" }], None).unwrap();
    stepped.store.begin_drain();
    assert_eq!(lease.append(2, &[Record { op: None, payload: b"late" }], None), Err(AppendError::Closed));
    stepped.settle();
    assert_eq!((stepped.flusher.step(), stepped.keeper.step()), (Progress::Closed, Progress::Closed));
    let left = disk.power_loss();
    assert!(left.names().contains(&"CLEAN".to_owned()));
    let again = open(&left, small());
    assert!(again.report.clean && again.report.lsn == 1 && again.report.torn.is_none(), "{:?}", again.report);
    assert!(!left.power_loss().names().contains(&"CLEAN".to_owned()));
    // With the mark, a damaged last batch is corruption: without it, it is a torn tail.
    let damaged = disk.power_loss();
    let name = damaged.last(".wal");
    let end = damaged.bytes(&name).iter().rposition(|byte| *byte != 0).unwrap();
    damaged.edit(&name, |bytes| bytes[end] ^= 1);
    assert!(matches!(refusal(&damaged), OpenError::Corrupt { .. }));
    damaged.delete("CLEAN");
    assert!(open(&damaged, small()).report.torn.is_some());
}

#[test]
fn a_read_only_store_changes_nothing_and_knows_what_is_durable() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    for lsn in 1..=50 {
        stepped.put(lsn, b"log", &[&[lsn as u8; 100]]);
        stepped.settle();
    }
    let before: Vec<_> = disk.names().iter().map(|name| disk.bytes(name)).collect();
    let (reader, report) = Store::open_read_only(disk.clone(), dir(), small()).unwrap();
    assert_eq!((report.lsn, reader.visible_lsn()), (50, 50));
    // The last batch is claimed by no later one.
    assert_eq!(reader.durable_lsn(), 49);
    assert_eq!(read_all(&reader.find(b"log").unwrap().reader(Level::Visible).unwrap()), expected(50));
    assert_eq!(read_all(&reader.find(b"log").unwrap().reader(Level::Durable).unwrap()), expected(49));
    assert!(matches!(reader.log(b"new"), Err(LogError::ReadOnly)));
    assert!(matches!(reader.commit(51), Err(CommitError::Refused(AppendError::ReadOnly))));
    assert_eq!(before, disk.names().iter().map(|name| disk.bytes(name)).collect::<Vec<_>>());
}

#[test]
fn a_read_that_fails_is_an_error_and_not_a_short_page() {
    let (disk, last) = sample();
    let stepped = open(&disk, small());
    let log = stepped.store.find(b"log").unwrap();
    disk.failing().reads.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(log.read(&everything(), Level::Visible), Err(ReadError::Io(_))));
    disk.failing().reads.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(log.read(&everything(), Level::Visible).unwrap().records.len() as u64, last);
}

#[test]
fn salvage_copies_what_is_good_and_says_what_is_lost() {
    let to = Path::new("/salvaged");
    let (disk, last) = sample();
    let everything_good = salvage(&disk, dir(), to, &small()).unwrap();
    assert_eq!((everything_good.lsn, everything_good.records, everything_good.lost.len()), (last, last, 0));

    // One record in a pack, and the write-ahead log from its second batch on.
    let (disk, _) = sample();
    let pack = disk.names().into_iter().find(|name| name.ends_with(".pack")).unwrap();
    disk.edit(&pack, |bytes| bytes[HEADER_BYTES + 5 * 124 + 50] ^= 1);
    let wal = disk.last(".wal");
    disk.edit(&wal, |bytes| bytes[HEADER_BYTES + 40..HEADER_BYTES + 60].fill(0));
    assert!(matches!(refusal(&disk), OpenError::Corrupt { .. }));
    let before: Vec<_> = disk.names().iter().map(|name| disk.bytes(name)).collect();
    let report = salvage(&disk, dir(), to, &small()).unwrap();
    assert_eq!(before, disk.names().iter().map(|name| disk.bytes(name)).collect::<Vec<_>>(), "the damaged store is left as it is");
    assert_eq!(report.damage, [OpenError::Corrupt { file: wal, offset: HEADER_BYTES as u64 + 40, defect: Defect::Checksum }]);
    let [loss] = &*report.lost else { panic!("{:?}", report.lost) };
    assert_eq!((&*loss.key, loss.after), (&b"log"[..], at(5, 0)));
    let Opened { store, .. } = Store::open(disk.clone(), to, small(), Box::new(Stopped)).unwrap();
    let found = read_all(&store.find(b"log").unwrap().reader(Level::Durable).unwrap());
    assert_eq!(store.durable_lsn(), report.lsn);
    let kept = |lsn: &Lsn| at(*lsn, 0) <= loss.after || at(*lsn, 0) >= loss.before;
    assert_eq!(found, (1..=report.lsn).filter(kept).map(|lsn| (at(lsn, 0), vec![lsn as u8; 100])).collect::<Vec<_>>());
    assert!(found.len() >= 5 && store.verify().unwrap().problems.is_empty());
    assert!(matches!(salvage(&disk, dir(), to, &small()), Err(OpenError::Foreign { .. })));
}

#[test]
fn a_clean_mark_that_comes_back_claims_nothing_of_a_log_that_was_continued() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, small());
    for lsn in 1..=3 {
        stepped.put(lsn, b"log", &[&[lsn as u8; 100]]);
        stepped.settle();
    }
    stepped.store.begin_drain();
    stepped.settle();
    let drained = disk.process_end();
    assert!(open(&drained.process_end(), small()).report.clean);
    let mark = drained.bytes("CLEAN");
    // The mark cannot be read: the last batch, of which nothing else says that it is durable, is copied, and the mark is removed.
    drained.edit("CLEAN", |bytes| bytes.fill(0));
    drop(open(&drained, small()));
    assert!(!drained.names().contains(&"CLEAN".to_owned()));
    // The folder was not synced before the power went.
    let returned = drained.process_end();
    returned.put("CLEAN", mark);
    let again = open(&returned, small());
    assert_eq!((again.report.lsn, again.report.clean), (3, false));
    assert_eq!(again.all(b"log", Level::Visible), expected(3));
}
