//! The limits of a store, with their defaults and bounds, and the clock it measures latencies with.

use std::ops::RangeInclusive;
use std::time::Duration;

/// When the write-ahead log is synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncPolicy {
    /// After every batch that holds a commit. A batch is what arrived during the last sync.
    EveryBatch,
    /// At most once per interval: fewer syncs, later announcements.
    Interval(Duration),
}

/// Monotonic time, for latency figures and [`SyncPolicy::Interval`]. No promise about data depends on it.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Duration;
}

/// The limits of a store. All sizes are bytes.
#[derive(Clone, Debug)]
pub struct Options {
    /// The identity of a store that is created by this open; ignored for one that exists. To be drawn at random.
    pub identity: u128,
    /// Appends answer `Busy` while more than this waits to be written.
    pub stage_bytes_max: usize,
    /// One write to the write-ahead log.
    pub batch_bytes_max: usize,
    /// A transaction above this is refused: it has to fit into memory until it is committed.
    pub transaction_bytes_max: usize,
    /// Appends answer `Busy` while the records held in memory exceed this.
    pub memory_bytes_max: usize,
    /// The write-ahead log is turned into a pack file above this.
    pub wal_bytes_max: u64,
    /// Blocks of a busy log grow up to this; an idle one keeps a small block.
    pub block_bytes_max: usize,
    pub record_bytes_max: usize,
    pub sync: SyncPolicy,
    /// How many neighbouring pack files of about one size become one.
    pub merge_fan_in: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            identity: 0,
            stage_bytes_max: 16 * MIB,
            batch_bytes_max: 8 * MIB,
            transaction_bytes_max: 96 * MIB,
            memory_bytes_max: 512 * MIB,
            wal_bytes_max: 64 * MIB as u64,
            block_bytes_max: 128 * KIB,
            record_bytes_max: 64 * MIB,
            sync: SyncPolicy::EveryBatch,
            merge_fan_in: 4,
        }
    }
}

/// An option that is out of its bounds, and the bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("option {name} is {value}, and its bound is {bound:?}")]
pub struct OutOfBounds {
    pub name: &'static str,
    pub value: u64,
    pub bound: Bound,
    /// The options that the bound follows from; none for one that is fixed.
    pub from: &'static [&'static str],
}

/// A bound, itself allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    AtLeast(u64),
    AtMost(u64),
}

impl Options {
    /// The first option that is out of bounds.
    pub(super) fn check(&self) -> Result<(), OutOfBounds> {
        let fixed = [
            ("record_bytes_max", self.record_bytes_max as u64, 1..=RECORD_BYTES_LIMIT as u64),
            ("block_bytes_max", self.block_bytes_max as u64, 256..=16 * MIB as u64),
            ("stage_bytes_max", self.stage_bytes_max as u64, 256..=u64::MAX),
            ("batch_bytes_max", self.batch_bytes_max as u64, 256..=1024 * MIB as u64),
            ("wal_bytes_max", self.wal_bytes_max, 4096..=1 << 40),
            ("merge_fan_in", self.merge_fan_in as u64, 2..=64),
        ];
        for (name, value, range) in fixed {
            within(name, value, range, &[])?;
        }
        let record = self.record_bytes_max as u64;
        within("transaction_bytes_max", self.transaction_bytes_max as u64, record..=u64::MAX, &["record_bytes_max"])?;
        let from = &["transaction_bytes_max", "wal_bytes_max"];
        within("memory_bytes_max", self.memory_bytes_max as u64, self.memory_least()..=u64::MAX, from)
    }

    /// Memory must hold an open transaction and a full write-ahead log, each in blocks that may be partly empty; else `Busy` could last for ever.
    fn memory_least(&self) -> u64 {
        (self.transaction_bytes_max as u64).saturating_add(self.wal_bytes_max).saturating_mul(3)
    }
}

fn within(name: &'static str, value: u64, range: RangeInclusive<u64>, from: &'static [&'static str]) -> Result<(), OutOfBounds> {
    let (least, most) = range.into_inner();
    let bound = if value < least {
        Bound::AtLeast(least)
    } else if value > most {
        Bound::AtMost(most)
    } else {
        return Ok(());
    };
    Err(OutOfBounds { name, value, bound, from })
}

/// No record is longer, whatever the options.
pub(super) const RECORD_BYTES_LIMIT: usize = 64 * MIB;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
