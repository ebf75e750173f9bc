//! The flusher: group commit, the switch to a new write-ahead log, and the end of a drain. The only one to write and sync the write-ahead log.
//!
//! Work comes as [`Flusher::step`]: production runs it on a thread of its own, a simulation calls it. A batch is what was queued while the last one was synced.
//! Order: a batch is written, then synced, then announced. What was announced is never taken back: after any error nothing is announced any more.

use super::directory::{CLEAN, FileHeader, Unfinished, write_all};
use super::engine::Engine;
use super::failure::{Failure, Operation};
use super::frame::FileKind;
use super::manifest::Change;
use super::options::SyncPolicy;
use super::planted::{self, Planted};
use super::position::{LogId, Lsn};
use super::stage::{ENTRY_BYTES, Entry, Mode};
use super::vfs::Vfs;
use super::view::{Extent, Meta};
use super::wal::{Batch, Kind, Previous, WalWriter, wal_header};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    Worked,
    /// Nothing to do until somebody writes.
    Idle,
    /// Nothing to do before this much time has passed, unless somebody writes.
    DueIn(Duration),
    /// The store failed; no step does anything any more.
    Failed,
    /// The store was drained or shut down; no step does anything any more.
    Closed,
}

/// What one or more write-ahead logs changed, gathered while they were written: all that the manifest has to say before they may go.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) changes: Vec<Change>,
    pub(super) metas: BTreeMap<LogId, Meta>,
    /// Logs with committed records.
    pub(super) touched: BTreeSet<LogId>,
    pub(super) lsn: Lsn,
    pub(super) open_metas: BTreeMap<LogId, Meta>,
    pub(super) open_touched: BTreeSet<LogId>,
}

impl Summary {
    pub(super) fn run(&mut self, log: LogId) {
        self.open_touched.insert(log);
    }

    pub(super) fn meta(&mut self, log: LogId, meta: Meta) {
        self.open_metas.insert(log, meta);
    }

    pub(super) fn commit(&mut self, lsn: Lsn) {
        // One by one: `append` would rebuild the whole of what many transactions have gathered, for every single one.
        self.metas.extend(std::mem::take(&mut self.open_metas));
        self.touched.extend(std::mem::take(&mut self.open_touched));
        self.lsn = lsn;
    }

    /// Whether there is nothing to say but how far the logs got.
    pub(super) fn is_void(&self) -> bool {
        self.changes.is_empty() && self.touched.is_empty() && self.metas.is_empty()
    }

    pub(super) fn abort(&mut self) {
        self.open_metas.clear();
        self.open_touched.clear();
    }
}

/// Write-ahead logs that are complete: all before `wal_first`.
pub(super) struct Sealed {
    pub(super) summary: Summary,
    pub(super) wal_first: u64,
    pub(super) next_log: u64,
}

pub struct Flusher<V: Vfs> {
    pub(super) shared: Arc<Engine<V>>,
    _lock: Arc<V::Lock>,
    wal: WalWriter<V::File>,
    /// Taken from the staging buffer, not written yet.
    backlog: VecDeque<Entry<V::File>>,
    summary: Summary,
    /// Bytes of the write-ahead logs that `summary` speaks of, but for the current one.
    older_bytes: u64,
    older_files: usize,
    in_transaction: bool,
    memory: Vec<u8>,
    next_log: u64,
    written: Mark,
    durable: Mark,
    /// The last entry that somebody may wait for.
    wanted: u64,
    freed: Vec<Extent<V::File>>,
    synced_at: Duration,
    closed: bool,
}

/// What recovery leaves to the first seal.
pub(super) struct Start {
    pub(super) summary: Summary,
    pub(super) older_bytes: u64,
    pub(super) older_files: usize,
    pub(super) next_log: u64,
}

/// Restarts leave a write-ahead log each; so many are turned into a pack however small they are.
const OLDER_FILES_MAX: usize = 4;

/// How far something got.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Mark {
    lsn: Lsn,
    sequence: u64,
}

impl<V: Vfs> Flusher<V> {
    pub(super) fn new(shared: Arc<Engine<V>>, lock: Arc<V::Lock>, wal: WalWriter<V::File>, start: Start) -> Self {
        let Start { summary, older_bytes, older_files, next_log } = start;
        let mark = Mark { lsn: shared.durable.load(), sequence: 0 };
        Self {
            shared,
            _lock: lock,
            wal,
            backlog: VecDeque::new(),
            summary,
            older_bytes,
            older_files,
            in_transaction: false,
            memory: Vec::new(),
            next_log,
            written: mark,
            durable: mark,
            wanted: 0,
            freed: Vec::new(),
            synced_at: Duration::ZERO,
            closed: false,
        }
    }

    /// Does one batch, one switch of the write-ahead log, or the end of a drain.
    pub fn step(&mut self) -> Progress {
        if self.closed || self.shared.stopped() {
            return self.close(Operation::ShutDown);
        }
        let draining = {
            let mut stage = self.shared.stage();
            if stage.failure.is_some() {
                return Progress::Failed;
            }
            self.backlog.extend(stage.queue.drain(..));
            stage.urgent = false;
            stage.mode == Mode::Draining
        };
        match self.advance(draining) {
            Ok(progress) => progress,
            Err(failure) => {
                self.shared.fail(failure);
                Progress::Failed
            }
        }
    }

    /// Steps on a thread of its own until the store is closed or failed.
    pub fn run(mut self) {
        loop {
            match self.step() {
                Progress::Worked => {}
                Progress::Idle => {
                    let mut stage = self.shared.stage();
                    while !stage.urgent && stage.failure.is_none() && stage.mode == Mode::Open && !self.shared.stopped() {
                        stage = self.shared.wait_flusher(stage);
                    }
                }
                Progress::DueIn(time) => self.rest(time),
                Progress::Failed | Progress::Closed => return,
            }
        }
    }

    #[cfg(not(loom))]
    fn rest(&self, time: Duration) {
        let stage = self.shared.stage();
        if !stage.urgent && stage.failure.is_none() && stage.mode == Mode::Open && !self.shared.stopped() {
            drop(self.shared.flusher_work.wait_timeout(stage, time));
        }
    }

    #[cfg(loom)]
    fn rest(&self, _: Duration) {
        crate::sync::thread::yield_now();
    }

    fn advance(&mut self, draining: bool) -> Result<Progress, Failure> {
        if self.switch_is_due() {
            self.switch()?;
            return Ok(Progress::Worked);
        }
        if !self.backlog.is_empty() {
            self.write_batch()?;
            if self.durable.sequence < self.wanted && !self.sync_waits() {
                self.sync()?;
            }
            return Ok(Progress::Worked);
        }
        if self.durable.sequence < self.wanted {
            let now = self.shared.clock.now();
            if let SyncPolicy::Interval(interval) = self.shared.options.sync
                && !draining
                && let Some(left) = (self.synced_at + interval).checked_sub(now).filter(|left| !left.is_zero())
            {
                return Ok(Progress::DueIn(left));
            }
            self.sync()?;
            return Ok(Progress::Worked);
        }
        if draining {
            self.mark_clean()?;
            return Ok(self.close(Operation::ShutDown));
        }
        Ok(Progress::Idle)
    }

    /// Whether a sync is to wait for its interval.
    fn sync_waits(&self) -> bool {
        match self.shared.options.sync {
            SyncPolicy::EveryBatch => false,
            SyncPolicy::Interval(interval) => self.shared.clock.now() < self.synced_at + interval,
        }
    }

    fn switch_is_due(&self) -> bool {
        let limit = self.shared.options.wal_bytes_max;
        let full = self.older_bytes + self.wal.position >= limit;
        // Many small logs fill memory with half-empty blocks long before they fill the log. What leaves memory is what was written: without any of that, a switch
        // would keep from writing the very records that fill it.
        let crowded = !self.summary.touched.is_empty()
            && self.shared.memory.in_views() > self.shared.options.memory_bytes_max / 2
            && !self.shared.inbox().is_sealing();
        !self.in_transaction && (full || crowded || self.older_files >= OLDER_FILES_MAX) && !self.summary_is_empty()
    }

    fn summary_is_empty(&self) -> bool {
        self.summary.is_void() && self.written.sequence == 0
    }

    fn write_batch(&mut self) -> Result<(), Failure> {
        let batch_bytes_max = self.shared.options.batch_bytes_max;
        let mut batch = Batch::new(std::mem::take(&mut self.memory), self.wal.position, self.wal.seed);
        let mut pending = 0;
        while let Some(entry) = self.backlog.pop_front() {
            pending += ENTRY_BYTES + payload_bytes(&entry);
            self.written.sequence += 1;
            if !matches!(entry, Entry::Run { .. } | Entry::Meta { .. }) {
                self.wanted = self.written.sequence;
            }
            let boundary = self.encode(entry, &mut batch);
            let past = self.older_bytes + self.wal.position + batch.len() as u64 >= self.shared.options.wal_bytes_max;
            if batch.len() >= batch_bytes_max || (boundary && past) {
                break;
            }
        }
        let bytes = batch.finish(self.wal.durable, self.durable.lsn);
        self.wal.write(&bytes)?;
        self.memory = bytes;
        self.shared.figures.batches.fetch_add(1, Ordering::Relaxed);
        self.shared.figures.wal_bytes.store(self.older_bytes + self.wal.position, Ordering::Relaxed);
        {
            let mut stage = self.shared.stage();
            debug_assert!(stage.pending_bytes >= pending);
            stage.pending_bytes = stage.pending_bytes.saturating_sub(pending);
        }
        self.shared.room.advance(self.shared.room.load() + 1);
        Ok(())
    }

    /// Adds the entry to the batch and to the summary. Returns whether no transaction is open after it.
    fn encode(&mut self, entry: Entry<V::File>, batch: &mut Batch) -> bool {
        match entry {
            Entry::Run { log, block, start, end } => {
                batch.push(Kind::Run, log.0, &[block.published().get(start..end).unwrap_or_default()]);
                self.summary.run(log);
                self.in_transaction = true;
            }
            Entry::Meta { log, meta } => {
                batch.push(Kind::Meta, log.0, &[&meta.lsn.to_le_bytes(), &meta.bytes]);
                self.summary.meta(log, meta);
                self.in_transaction = true;
            }
            Entry::Commit { lsn } => {
                batch.push(Kind::Commit, lsn, &[]);
                self.summary.commit(lsn);
                self.written.lsn = lsn;
                self.in_transaction = false;
            }
            Entry::Abort { lsn } => {
                if !planted::has(Planted::ForgetAbort) {
                    batch.push(Kind::Abort, lsn, &[]);
                }
                self.summary.abort();
                self.in_transaction = false;
            }
            Entry::Create { log, key } => {
                batch.push(Kind::Create, log.0, &[&key]);
                self.next_log = self.next_log.max(log.0 + 1);
                self.summary.changes.push(Change::Create { log, key });
            }
            Entry::Tombstone { log } => {
                if !planted::has(Planted::ForgetTombstone) {
                    batch.push(Kind::Tombstone, log.0, &[]);
                }
                self.summary.changes.push(Change::Tombstone { log });
            }
            Entry::Purge { log, freed } => {
                if !planted::has(Planted::ForgetPurge) {
                    batch.push(Kind::Purge, log.0, &[]);
                }
                self.summary.changes.push(Change::Purge { log });
                self.freed.extend(freed);
            }
            Entry::Trim { log, upto, freed } => {
                batch.push(Kind::Trim, log.0, &[&upto.tx.to_le_bytes(), &upto.op.to_le_bytes()]);
                self.summary.changes.push(Change::Trim { log, upto });
                self.freed.extend(freed);
            }
        }
        !self.in_transaction
    }

    /// Makes what was written durable and announces it.
    fn sync(&mut self) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        let from = shared.clock.now();
        if planted::has(Planted::AnnounceBeforeSync) && self.written.lsn > self.durable.lsn {
            shared.durable.advance(self.written.lsn);
        }
        self.wal.sync()?;
        let now = shared.clock.now();
        self.synced_at = now;
        shared.figures.synced(now.saturating_sub(from));
        let announced = self.durable.lsn;
        self.durable = self.written;
        if !self.freed.is_empty() {
            let mut inbox = shared.inbox();
            inbox.freed.append(&mut self.freed);
            drop(inbox);
            shared.keeper_work.notify_all();
        }
        // Order: the sync returned ok before either number moves.
        shared.durable_sequence.advance(self.durable.sequence);
        shared.wake_keeper();
        if self.durable.lsn > announced {
            shared.durable.advance(self.durable.lsn);
            shared.announce(Ok(self.durable.lsn));
        }
        Ok(())
    }

    /// Goes on in a new file and hands the former ones to the keeper. Only between transactions, so that what is sealed is whole.
    fn switch(&mut self) -> Result<(), Failure> {
        if self.wal.durable < self.wal.position {
            self.sync()?;
        }
        let shared = &self.shared;
        let number = self.wal.number + 1;
        let previous = Previous { number: self.wal.number, end: self.wal.position };
        let header = wal_header(shared.identity, number, shared.incarnation, Some(previous));
        let wal = WalWriter::create(&shared.vfs, &shared.dir, header, shared.options.wal_bytes_max, |_| Vec::new())?;
        self.wal = wal;
        self.older_bytes = 0;
        self.older_files = 0;
        let mut summary = std::mem::take(&mut self.summary);
        summary.lsn = self.durable.lsn;
        self.summary.lsn = summary.lsn;
        let sealed = Sealed { summary, wal_first: number, next_log: self.next_log };
        shared.inbox().sealed.push_back(sealed);
        shared.keeper_work.notify_all();
        Ok(())
    }

    /// Says that the write-ahead log ends where it ends. Saves the next open a search; nothing depends on it.
    fn mark_clean(&mut self) -> Result<(), Failure> {
        let shared = &self.shared;
        let fields = [self.wal.number, self.wal.position, self.durable.lsn, 0, 0, 0, 0, 0, 0];
        let header = FileHeader { kind: FileKind::Clean, identity: shared.identity, number: 0, incarnation: shared.incarnation, fields };
        let unfinished = Unfinished::create(&shared.vfs, &shared.dir, CLEAN)?;
        write_all(&unfinished.file, &header.encode(), 0)?;
        unfinished.publish(&shared.vfs, &shared.dir)?;
        Ok(())
    }

    fn close(&mut self, operation: Operation) -> Progress {
        if !self.closed {
            self.closed = true;
            {
                let mut stage = self.shared.stage();
                stage.mode = Mode::Closed;
            }
            self.shared.inbox().drained = true;
            self.shared.give_up(Failure::without_disk(operation));
            self.shared.keeper_work.notify_all();
        }
        Progress::Closed
    }
}

impl super::engine::Figures {
    fn synced(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_nanos_last.store(nanos, Ordering::Relaxed);
        self.sync_nanos_max.fetch_max(nanos, Ordering::Relaxed);
        self.sync_nanos_total.fetch_add(nanos, Ordering::Relaxed);
    }
}

fn payload_bytes<F>(entry: &Entry<F>) -> usize {
    match entry {
        Entry::Run { start, end, .. } => end - start,
        Entry::Meta { meta, .. } => meta.bytes.len(),
        Entry::Create { key, .. } => key.len(),
        _ => 0,
    }
}
