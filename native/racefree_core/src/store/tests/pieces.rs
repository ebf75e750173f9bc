//! The parts by themselves: blocks, frames, names, headers, batches, limits.

use super::*;
use crate::store::block::{BlockWriter, Gauge};
use crate::store::directory::{FileHeader, Named, pack_name, wal_name};
use crate::store::frame::{FileKind, Frame, FrameHeader, Seed};
use crate::store::wal::{BATCH_HEADER_BYTES, Batch, BatchHeader, EntryRef, Kind, entry_lengths};
use crate::sync::Arc;
use std::sync::Barrier;

#[test]
fn a_block_takes_what_fits_and_counts_until_it_is_dropped() {
    let gauge = Arc::new(Gauge::default());
    let mut writer = BlockWriter::new(10, &gauge);
    let block = Arc::clone(writer.block());
    assert!(writer.push(b"abc", b"de"));
    let early = block.published();
    assert!(!writer.push(b"123", b"456"));
    assert!(writer.push(b"", b"12345"));
    assert_eq!((early, block.published(), writer.room()), (&b"abcde"[..], &b"abcde12345"[..], 0));
    assert!(!writer.push(b"x", b"") && writer.push(b"", b""));
    drop(writer);
    assert_eq!(gauge.bytes(), 10);
    drop(block);
    assert_eq!(gauge.bytes(), 0);
}

#[test]
fn a_block_is_read_while_it_is_written() {
    let mut writer = BlockWriter::new(256, &Arc::new(Gauge::default()));
    let block = Arc::clone(writer.block());
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            let mut seen = 0;
            while seen < 256 {
                let bytes = block.published();
                assert!(bytes.len() >= seen && bytes.len().is_multiple_of(4));
                assert!(bytes.iter().enumerate().all(|(index, byte)| usize::from(*byte) == index / 4));
                seen = bytes.len();
            }
        });
        start.wait();
        for value in 0..64_u8 {
            assert!(writer.push(&[value; 3], &[value]));
        }
    });
}

#[test]
fn a_frame_is_whole_or_none() {
    let header = FrameHeader { offset: at(u64::MAX, 3), length: 2, crc: 9 };
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(b"xy");
    assert_eq!(FrameHeader::decode(&bytes, 0), Some(header));
    let frame = Frame::at(&bytes, 0).unwrap();
    assert_eq!((frame.offset, frame.payload, frame.end), (at(u64::MAX, 3), &b"xy"[..], 26));
    for length in 0..26 {
        assert!(Frame::at(&bytes[..length], 0).is_none());
    }
    assert!(Frame::at(&bytes, usize::MAX).is_none());
}

#[test]
fn a_checksum_depends_on_store_kind_number_incarnation_and_place() {
    let sum = |identity, kind, number, incarnation, place| Seed::new(identity, kind, number, incarnation).checksum(place, &[b"bytes"]);
    let all = [
        sum(1, FileKind::Wal, 1, 1, 1),
        sum(2, FileKind::Wal, 1, 1, 1),
        sum(1, FileKind::Pack, 1, 1, 1),
        sum(1, FileKind::Wal, 2, 1, 1),
        sum(1, FileKind::Wal, 1, 2, 1),
        sum(1, FileKind::Wal, 1, 1, 2),
    ];
    assert_eq!(std::collections::BTreeSet::from(all).len(), all.len());
    assert_eq!(Seed::new(1, FileKind::Wal, 1, 1).checksum(1, &[b"by", b"tes"]), all[0]);
}

#[test]
fn a_name_is_ours_only_in_the_form_we_write() {
    assert_eq!(Named::of(&wal_name(255)), Named::Wal(255));
    assert_eq!(Named::of(&pack_name(u64::MAX)), Named::Pack(u64::MAX));
    assert_eq!(Named::of("MANIFEST.new"), Named::Unfinished);
    assert_eq!(Named::of("0000000000000001.wal.new"), Named::Unfinished);
    for other in ["1.wal", "000000000000000A.wal", "+000000000000001.wal", "0000000000000001.log", "", ".new", "x.new", "LOCK"] {
        assert_eq!(Named::of(other), Named::Other, "{other}");
    }
}

#[test]
fn a_header_comes_back_and_every_changed_byte_is_found() {
    let header = FileHeader { kind: FileKind::Pack, identity: 5, number: 6, incarnation: 7, fields: [1, 2, 3, 4, 5, 6, 7, 8, 9] };
    let bytes = header.encode();
    assert_eq!(FileHeader::decode(&bytes, "name", FileKind::Pack, Some(6)), Ok(header));
    assert!(FileHeader::decode(&bytes, "name", FileKind::Pack, Some(7)).is_err());
    assert!(FileHeader::decode(&bytes, "name", FileKind::Wal, Some(6)).is_err());
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 0x10;
        assert!(FileHeader::decode(&changed, "name", FileKind::Pack, None).is_err(), "byte {position}");
    }
}

#[test]
fn a_batch_comes_back_at_its_place_and_nowhere_else() {
    let seed = Seed::new(1, FileKind::Wal, 1, 1);
    let mut batch = Batch::new(vec![1, 2, 3], 128, seed);
    batch.push(Kind::Run, 4, &[b"one", b"two"]);
    batch.push(Kind::Commit, 9, &[]);
    let bytes = batch.finish(77, 5);
    let header = BatchHeader::decode(&bytes, seed, 128).unwrap();
    assert_eq!((header.durable, header.end), (77, 128 + bytes.len() as u64));
    assert_eq!(BatchHeader::decode(&bytes, seed, 136), None);
    let first = EntryRef::decode(&bytes[BATCH_HEADER_BYTES..], seed, 128 + BATCH_HEADER_BYTES as u64).unwrap();
    assert_eq!((first.kind, first.subject, first.body), (Kind::Run, 4, &b"onetwo"[..]));
    let (_, whole) = entry_lengths(&bytes[BATCH_HEADER_BYTES..]).unwrap();
    let at = BATCH_HEADER_BYTES + whole as usize;
    let second = EntryRef::decode(&bytes[at..], seed, 128 + at as u64).unwrap();
    assert_eq!((second.kind, second.subject, second.body.len()), (Kind::Commit, 9, 0));
    assert!(EntryRef::decode(&bytes[at..], seed, 136 + at as u64).is_none());
}

#[test]
fn options_out_of_bounds_are_refused_by_name_value_and_bound() {
    let fixed = |name, value, bound| Err(OutOfBounds { name, value, bound, from: &[] });
    assert_eq!(Options::default().check(), Ok(()));
    assert_eq!(Options { merge_fan_in: 1, ..small() }.check(), fixed("merge_fan_in", 1, Bound::AtLeast(2)));
    let large = Options { record_bytes_max: 65 << 20, ..Options::default() };
    assert_eq!(large.check(), fixed("record_bytes_max", 65 << 20, Bound::AtMost(64 << 20)));
    let narrow = Options { transaction_bytes_max: 1_000_000, ..Options::default() };
    let bound = Bound::AtLeast(64 << 20);
    assert_eq!(narrow.check(), Err(OutOfBounds { name: "transaction_bytes_max", value: 1_000_000, bound, from: &["record_bytes_max"] }));
    // A transaction and a full log that do not fit into memory could be refused as busy for ever.
    let long = Options { wal_bytes_max: 256 << 20, ..Options::default() };
    let (bound, from) = (Bound::AtLeast((3 * (96 + 256)) << 20), &["transaction_bytes_max", "wal_bytes_max"]);
    assert_eq!(long.check(), Err(OutOfBounds { name: "memory_bytes_max", value: 512 << 20, bound, from }));
    let least = usize::try_from((3 * (96 + 256)) << 20).unwrap();
    assert_eq!(Options { memory_bytes_max: least, ..long }.check(), Ok(()));
}

#[test]
fn a_busy_store_takes_the_append_once_the_waiter_was_called() {
    let disk = MemoryDisk::default();
    let mut stepped = open(&disk, Options { stage_bytes_max: 1024, ..small() });
    let log = stepped.store.log(b"log").unwrap();
    let lease = log.lease().unwrap();
    let record = [Record { op: None, payload: &[0; 400] }];
    let called = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut refused = 0;
    for lsn in 1..=40 {
        while lease.append(lsn, &record, None) == Err(AppendError::Busy) {
            refused += 1;
            let counted = std::sync::Arc::clone(&called);
            stepped.store.await_ready(Box::new(move |_| _ = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
            while called.load(std::sync::atomic::Ordering::Relaxed) < refused {
                assert_eq!(stepped.flusher.step(), Progress::Worked);
            }
        }
        stepped.store.commit(lsn).unwrap();
    }
    assert!(refused > 5);
    let large = [Record { op: None, payload: &[0; 60 * 1024] }];
    stepped.settle();
    assert!(lease.append(41, &large, None).is_ok(), "with nothing pending, one record above the limit is taken");
    assert_eq!(lease.append(41, &large, None), Err(AppendError::TransactionTooLarge));
    let huge = vec![0; 64 * 1024 + 1];
    assert_eq!(lease.append(41, &[Record { op: None, payload: &huge }], None), Err(AppendError::RecordTooLarge { index: 0 }));
}
