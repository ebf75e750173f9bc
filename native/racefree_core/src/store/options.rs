//! The limits of a store, with their defaults and bounds, and the clock it measures latencies with.

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

impl Options {
    /// The name of the first option out of bounds.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let within = [
            ("record_bytes_max", self.record_bytes_max >= 1 && self.record_bytes_max <= RECORD_BYTES_LIMIT),
            ("block_bytes_max", self.block_bytes_max >= 256 && self.block_bytes_max <= 16 * MIB),
            ("batch_bytes_max", self.batch_bytes_max >= 256 && self.batch_bytes_max <= 1024 * MIB),
            ("stage_bytes_max", self.stage_bytes_max >= 256),
            ("transaction_bytes_max", self.transaction_bytes_max >= self.record_bytes_max),
            ("wal_bytes_max", self.wal_bytes_max >= 4096 && self.wal_bytes_max <= 1 << 40),
            ("memory_bytes_max", self.memory_reaches()),
            ("merge_fan_in", (2..=64).contains(&self.merge_fan_in)),
        ];
        within.iter().find(|(_, fits)| !fits).map_or(Ok(()), |(name, _)| Err(*name))
    }

    /// Memory must hold an open transaction and a full write-ahead log, each in blocks that may be partly empty; else `Busy` could last for ever.
    fn memory_reaches(&self) -> bool {
        let log = usize::try_from(self.wal_bytes_max).unwrap_or(usize::MAX);
        self.transaction_bytes_max.saturating_add(log).saturating_mul(3) <= self.memory_bytes_max
    }
}

/// No record is longer, whatever the options.
pub(super) const RECORD_BYTES_LIMIT: usize = 64 * MIB;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
