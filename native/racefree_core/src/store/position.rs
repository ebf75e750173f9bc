//! Positions: where a record stands in its log, a transaction in the store, an entry in the write-ahead log.
//!
//! A record's offset names its transaction, so one number per store, the last committed transaction, says for every log what may be read.

/// The number of a transaction, given by the writer, strictly increasing over commits. 0 stands before the first.
pub type Lsn = u64;

/// A record's place in its log: the transaction that wrote it, and its index among that transaction's records of this log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Offset {
    pub tx: Lsn,
    pub op: u64,
}

impl Offset {
    /// Below every record.
    pub const START: Self = Self { tx: 0, op: 0 };
    /// At or above every record.
    pub const END: Self = Self { tx: u64::MAX, op: u64::MAX };

    /// The highest offset that a record of transaction `tx` can have.
    pub(super) const fn end_of(tx: Lsn) -> Self {
        Self { tx, op: u64::MAX }
    }
}

/// The identity of one life of a log. A key that is removed and created again gets a new one, and no number is ever reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogId(pub u64);

/// How many entries precede and include one in the write-ahead log since the store was opened: what to wait for when a trim, a removal or a creation is to be durable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sequence(pub u64);
