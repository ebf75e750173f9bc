//! The staging buffer: where writers put records, and the order that all entries of the write-ahead log get.
//!
//! Invariant: position assigned, bytes copied and published, entry queued: all under the one staging lock, before any later COMMIT can be queued. A reader that sees a
//! position therefore finds every record at or below it.
//! Left out on purpose: any I/O. What is queued here is written by the flusher, which takes the queue as a whole.

use super::block::{Block, BlockWriter, Gauge};
use super::failure::Failure;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::log::LogState;
use super::options::Options;
use super::planted::{self, Planted};
use super::position::{LogId, Lsn, Offset};
use super::view::{BlockRef, Extent, Meta};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, PlainArc};

/// A record to append.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its index in the transaction; `None` for the one after the last record of this log.
    pub op: Option<u64>,
    pub payload: &'a [u8],
}

/// Why nothing was appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    #[error("too much waits to be written: wait for room")]
    Busy,
    #[error("the transaction would exceed its limit")]
    TransactionTooLarge,
    #[error("record {index} exceeds the limit")]
    RecordTooLarge { index: usize },
    #[error("the meta exceeds the limit")]
    MetaTooLarge,
    #[error("record {index} does not come after the one before it")]
    OpNotIncreasing { index: usize },
    #[error("another writer holds this log")]
    Fenced,
    #[error("the log is removed or being removed")]
    Removed,
    #[error("a log or lease is of another store, or of an earlier opening of this one")]
    Foreign,
    #[error("transaction {current} is open and later")]
    LsnBehind { current: Lsn },
    #[error("transaction {current} is open")]
    TransactionOpen { current: Lsn },
    #[error("transaction 0 stands for none")]
    LsnZero,
    #[error("the store is open for reading only")]
    ReadOnly,
    #[error("the store is draining or shut down")]
    Closed,
    #[error(transparent)]
    Failed(Failure),
}

/// An entry on its way to the write-ahead log.
pub(super) enum Entry<F> {
    /// Consecutive frames of one log in one block.
    Run {
        log: LogId,
        block: Arc<Block>,
        start: usize,
        end: usize,
    },
    Meta {
        log: LogId,
        meta: Meta,
    },
    Commit {
        lsn: Lsn,
    },
    Abort {
        lsn: Lsn,
    },
    Create {
        log: LogId,
        key: PlainArc<[u8]>,
    },
    Tombstone {
        log: LogId,
    },
    /// With the extents that nobody needs once this is durable.
    Purge {
        log: LogId,
        freed: Vec<Extent<F>>,
    },
    Trim {
        log: LogId,
        upto: Offset,
        freed: Vec<Extent<F>>,
    },
}

/// The writing end of one log.
pub(super) struct Appender {
    /// `None`: a free slot.
    pub(super) log: Option<LogId>,
    /// Moves with every lease; a writer of an older one is fenced.
    pub(super) epoch: u64,
    pub(super) leased: bool,
    /// The highest offset given out.
    pub(super) last: Offset,
    /// `last` before the open transaction touched this log.
    before: Offset,
    touched_by: Lsn,
    pub(super) writer: Option<BlockWriter>,
}

pub(super) struct OpenTransaction<F> {
    pub(super) lsn: Lsn,
    pub(super) touched: Vec<Arc<LogState<F>>>,
    pub(super) bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Open,
    ReadOnly,
    Draining,
    Closed,
}

/// Bytes of blocks: alive at all, and named by the current view of some log. The difference is held by readers alone.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) alive: Arc<Gauge>,
    /// What was read out of files and is held by somebody.
    pub(super) buffers: Arc<Gauge>,
    in_views: AtomicUsize,
}

impl Memory {
    pub(super) fn in_views(&self) -> usize {
        self.in_views.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self, bytes: usize) {
        self.in_views.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn leave(&self, bytes: usize) {
        self.in_views.fetch_sub(bytes, Ordering::Relaxed);
    }
}

pub(super) struct Stage<F> {
    pub(super) mode: Mode,
    pub(super) failure: Option<Failure>,
    pub(super) appenders: Vec<Appender>,
    pub(super) free_slots: Vec<usize>,
    pub(super) open: Option<OpenTransaction<F>>,
    pub(super) committed: Lsn,
    pub(super) queue: Vec<Entry<F>>,
    /// Entries queued since the start.
    pub(super) sequence: u64,
    /// The place of the newest trim or purge.
    pub(super) cut_sequence: u64,
    /// Bytes queued or taken and not yet written.
    pub(super) pending_bytes: usize,
    /// Whether the queue holds what somebody may wait for.
    pub(super) urgent: bool,
    pub(super) next_log: u64,
}

/// What a queued entry weighs besides its bytes.
pub(super) const ENTRY_BYTES: usize = 64;
const FIRST_BLOCK_BYTES: usize = 256;

impl Appender {
    pub(super) fn new(log: LogId, last: Offset) -> Self {
        Self { log: Some(log), epoch: 0, leased: false, last, before: last, touched_by: 0, writer: None }
    }
}

impl<F> Stage<F> {
    pub(super) fn new(mode: Mode, committed: Lsn, next_log: u64) -> Self {
        Self {
            mode,
            failure: None,
            appenders: Vec::new(),
            free_slots: Vec::new(),
            open: None,
            committed,
            queue: Vec::new(),
            sequence: 0,
            cut_sequence: 0,
            pending_bytes: 0,
            urgent: false,
            next_log,
        }
    }

    /// Refuses all writes once the store failed, drains, or was opened for reading.
    pub(super) fn writable(&self) -> Result<(), AppendError> {
        if let Some(failure) = self.failure {
            return Err(AppendError::Failed(failure));
        }
        match self.mode {
            Mode::Open => Ok(()),
            Mode::ReadOnly => Err(AppendError::ReadOnly),
            Mode::Draining | Mode::Closed => Err(AppendError::Closed),
        }
    }

    /// The appender of `log`, unless its slot has passed to another log.
    pub(super) fn appender(&mut self, log: &LogState<F>) -> Option<&mut Appender> {
        self.appenders.get_mut(log.slot).filter(|appender| appender.log == Some(log.id))
    }

    /// Gives a new log its place.
    pub(super) fn add_appender(&mut self, appender: Appender) -> usize {
        match self.free_slots.pop() {
            Some(slot) => {
                if let Some(free) = self.appenders.get_mut(slot) {
                    *free = appender;
                }
                slot
            }
            None => {
                self.appenders.push(appender);
                self.appenders.len() - 1
            }
        }
    }

    pub(super) fn free_appender(&mut self, log: &LogState<F>) {
        if let Some(appender) = self.appender(log) {
            *appender =
                Appender { log: None, epoch: 0, leased: false, last: Offset::START, before: Offset::START, touched_by: 0, writer: None };
            self.free_slots.push(log.slot);
        }
    }

    pub(super) fn push(&mut self, entry: Entry<F>, bytes: usize) {
        self.queue.push(entry);
        self.sequence += 1;
        self.pending_bytes += ENTRY_BYTES + bytes;
    }

    /// Whether `lsn` can take records now: `false` if it is committed already.
    pub(super) fn admits(&self, lsn: Lsn) -> Result<bool, AppendError> {
        if lsn == 0 {
            return Err(AppendError::LsnZero);
        }
        let is_newest = planted::has(Planted::RepeatNewest) && lsn == self.committed;
        if lsn <= self.committed && !is_newest {
            return Ok(false);
        }
        match &self.open {
            Some(open) if lsn < open.lsn => Err(AppendError::LsnBehind { current: open.lsn }),
            Some(open) if lsn > open.lsn => Err(AppendError::TransactionOpen { current: open.lsn }),
            _ => Ok(true),
        }
    }

    /// Whether `bytes` more would make what waits to be written longer than is allowed. With nothing pending anything is taken.
    pub(super) fn is_full(&self, bytes: usize, options: &Options) -> bool {
        self.pending_bytes > 0 && self.pending_bytes.saturating_add(bytes) > options.stage_bytes_max
    }

    /// Refuses what would exceed a limit. With nothing pending anything is taken, so that a large record does not wait for ever.
    pub(super) fn check_room(&self, bytes: usize, options: &Options, memory: &Memory) -> Result<(), AppendError> {
        let open = self.open.as_ref().map_or(0, |open| open.bytes);
        if open.saturating_add(bytes) > options.transaction_bytes_max.saturating_add(FRAME_HEADER_BYTES) {
            return Err(AppendError::TransactionTooLarge);
        }
        if self.is_full(bytes, options) || memory.in_views().saturating_add(bytes) > options.memory_bytes_max {
            return Err(AppendError::Busy);
        }
        Ok(())
    }

    /// Puts the records, checked by [`check_records`] and [`Self::check_room`], into the transaction `lsn`, opening it if need be. Returns the last offset.
    pub(super) fn put(
        &mut self,
        log: &Arc<LogState<F>>,
        lsn: Lsn,
        records: &[Record<'_>],
        options: &Options,
        memory: &Memory,
    ) -> Result<Option<Offset>, AppendError> {
        self.touch(log, lsn)?;
        let Self { appenders, queue, sequence, pending_bytes, open, .. } = self;
        let appender = appenders.get_mut(log.slot).ok_or(AppendError::Removed)?;
        let mut last = None;
        let mut staged = 0;
        for (index, record) in records.iter().enumerate() {
            let op = next_op(appender.last, lsn, record, index)?;
            let offset = Offset { tx: lsn, op };
            let length = u32::try_from(record.payload.len()).map_err(|_| AppendError::RecordTooLarge { index })?;
            let header = FrameHeader { offset, length, crc: 0 };
            let bytes = header.frame_bytes();
            let writer = match &mut appender.writer {
                Some(writer) if writer.room() >= bytes => writer,
                former => {
                    let double = former.as_ref().map_or(FIRST_BLOCK_BYTES, |writer| writer.block().capacity() * 2);
                    let writer = BlockWriter::new(double.clamp(FIRST_BLOCK_BYTES, options.block_bytes_max).max(bytes), &memory.alive);
                    memory.enter(writer.block().capacity());
                    let added = BlockRef { block: Arc::clone(writer.block()), first: offset, limit: usize::MAX };
                    log.update(|view| view.blocks.push(added));
                    former.insert(writer)
                }
            };
            let start = writer.written();
            let fits = writer.push(&header.encode(), record.payload);
            debug_assert!(fits);
            let block = writer.block();
            let end = writer.written();
            match queue.last_mut() {
                Some(Entry::Run { block: same, end: joined, .. }) if Arc::ptr_eq(same, block) && *joined == start => *joined = end,
                _ => {
                    queue.push(Entry::Run { log: log.id, block: Arc::clone(block), start, end });
                    *sequence += 1;
                    staged += ENTRY_BYTES;
                }
            }
            staged += bytes;
            appender.last = offset;
            last = Some(offset);
        }
        *pending_bytes += staged;
        if let Some(open) = open {
            open.bytes += staged;
        }
        Ok(last)
    }

    /// Sets the log's meta in transaction `lsn`. `floor` is the oldest position a reader may still come with.
    pub(super) fn put_meta(&mut self, log: &Arc<LogState<F>>, lsn: Lsn, bytes: &[u8], floor: Lsn) -> Result<(), AppendError> {
        self.touch(log, lsn)?;
        let meta = Meta { lsn, bytes: PlainArc::from(bytes) };
        log.update(|view| view.put_meta(meta.clone(), floor));
        self.push(Entry::Meta { log: log.id, meta }, bytes.len());
        if let Some(open) = &mut self.open {
            open.bytes += bytes.len() + ENTRY_BYTES;
        }
        Ok(())
    }

    /// Makes `log` part of the transaction, so that an abort finds it.
    fn touch(&mut self, log: &Arc<LogState<F>>, lsn: Lsn) -> Result<(), AppendError> {
        let open = self.open.get_or_insert_with(|| OpenTransaction { lsn, touched: Vec::new(), bytes: 0 });
        debug_assert_eq!(open.lsn, lsn);
        let appender = self.appenders.get_mut(log.slot).filter(|appender| appender.log == Some(log.id)).ok_or(AppendError::Removed)?;
        if appender.touched_by != lsn {
            appender.touched_by = lsn;
            appender.before = appender.last;
            open.touched.push(Arc::clone(log));
        }
        Ok(())
    }

    /// Takes back what the open transaction put into the logs. What it queued is the caller's to deal with.
    pub(super) fn undo(&mut self, memory: &Memory) -> Option<Lsn> {
        let open = self.open.take()?;
        for log in &open.touched {
            let Some(appender) = self.appender(log) else { continue };
            appender.last = appender.before;
            appender.touched_by = 0;
            // The block ends where the transaction began; later records go to another.
            appender.writer = None;
            let freed = log.update(|view| view.undo(open.lsn));
            memory.leave(freed);
        }
        Some(open.lsn)
    }
}

/// The bytes that the records take, or which of them is refused. `last` is the log's highest offset.
pub(super) fn check_records(last: Offset, lsn: Lsn, records: &[Record<'_>], options: &Options) -> Result<usize, AppendError> {
    let mut last = last;
    let mut bytes: usize = 0;
    for (index, record) in records.iter().enumerate() {
        if record.payload.len() > options.record_bytes_max {
            return Err(AppendError::RecordTooLarge { index });
        }
        bytes = bytes.saturating_add(record.payload.len() + FRAME_HEADER_BYTES);
        last = Offset { tx: lsn, op: next_op(last, lsn, record, index)? };
    }
    Ok(bytes)
}

fn next_op(last: Offset, lsn: Lsn, record: &Record<'_>, index: usize) -> Result<u64, AppendError> {
    let least = if last.tx == lsn { last.op.checked_add(1).ok_or(AppendError::OpNotIncreasing { index })? } else { 0 };
    match record.op {
        Some(op) if op < least => Err(AppendError::OpNotIncreasing { index }),
        Some(op) => Ok(op),
        None => Ok(least),
    }
}
