//! Tests of the store as a whole, and what they share: a disk in memory without faults, and a store stepped by hand.

#![cfg_attr(loom, allow(dead_code, reason = "loom's tests need a part of what the others share"))]

#[cfg(not(loom))]
mod damage;
#[cfg(not(loom))]
mod guarantees;
#[cfg(loom)]
mod loom;
mod memory_disk;
#[cfg(not(loom))]
mod pieces;
#[cfg(not(loom))]
mod sequential;

use super::*;
use memory_disk::MemoryDisk;
use std::path::Path;
use std::time::Duration;

/// A store whose background work is done when the test says so.
pub(crate) struct Stepped {
    pub(crate) store: Store<MemoryDisk>,
    pub(crate) flusher: Flusher<MemoryDisk>,
    pub(crate) keeper: Keeper<MemoryDisk>,
    pub(crate) report: RecoveryReport,
}

/// Time stands still: no test depends on it.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

pub(crate) fn dir() -> &'static Path {
    Path::new("/store")
}

/// How often to do something: less under Miri, which is some hundred times slower.
pub(crate) const fn rounds(full: Lsn) -> Lsn {
    if cfg!(miri) { full / 4 } else { full }
}

/// Limits so small that a few records roll the log over.
pub(crate) fn small() -> Options {
    Options {
        identity: 7,
        stage_bytes_max: 64 * 1024,
        batch_bytes_max: 1024,
        transaction_bytes_max: 64 * 1024,
        memory_bytes_max: 1024 * 1024,
        wal_bytes_max: 8 * 1024,
        block_bytes_max: 1024,
        record_bytes_max: 64 * 1024,
        merge_fan_in: 3,
        ..Options::default()
    }
}

pub(crate) fn open(disk: &MemoryDisk, options: Options) -> Stepped {
    try_open(disk, options).unwrap()
}

pub(crate) fn try_open(disk: &MemoryDisk, options: Options) -> Result<Stepped, OpenError> {
    let Opened { store, flusher, keeper, report } = Store::open(disk.clone(), dir(), options, Box::new(Stopped))?;
    Ok(Stepped { store, flusher, keeper, report })
}

impl Stepped {
    /// Steps both workers until neither has anything to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            let flushed = self.flusher.step();
            let kept = self.keeper.step();
            if flushed != Progress::Worked && kept != Progress::Worked {
                return;
            }
        }
        panic!("the background work does not end");
    }

    /// Commits one record per payload to the log under `key`.
    pub(crate) fn put(&self, lsn: Lsn, key: &[u8], payloads: &[&[u8]]) {
        let log = self.store.log(key).unwrap();
        let records: Vec<_> = payloads.iter().map(|payload| Record { op: None, payload }).collect();
        let done = self.store.transact(lsn, &[Write { log: &log, lease: None, records: &records, meta: None }]).unwrap();
        assert!(matches!(done, Committed::Now { .. }));
    }

    /// What a log that is created by this call holds.
    pub(crate) fn all_of_new(&self, key: &[u8]) -> Vec<(Offset, Vec<u8>)> {
        read_all(&self.store.log(key).unwrap().reader(Level::Visible).unwrap())
    }

    /// All that can be read of the log under `key`.
    pub(crate) fn all(&self, key: &[u8], level: Level) -> Vec<(Offset, Vec<u8>)> {
        read_all(&self.store.find(key).unwrap().reader(level).unwrap())
    }
}

pub(crate) fn everything() -> ReadRange {
    ReadRange { after: Offset::START, upto: Offset::END, limit: ReadLimit::NONE, source: Source::Any }
}

pub(crate) fn read_all(reader: &Reader<MemoryDisk>) -> Vec<(Offset, Vec<u8>)> {
    let range = ReadRange { after: reader.log().trimmed(), limit: ReadLimit { records: 7, bytes: usize::MAX }, ..everything() };
    let pages: Vec<Records> = reader.pages(range).collect::<Result<_, _>>().unwrap();
    pages.iter().flat_map(|page| page.iter().map(|(offset, payload)| (offset, payload.to_vec()))).collect()
}

pub(crate) fn at(tx: Lsn, op: u64) -> Offset {
    Offset { tx, op }
}
