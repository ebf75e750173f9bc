//! The handles: a store, its logs, the lease of a writer, the reader that holds one view, the snapshot over many logs, the token of a removal.
//!
//! Nothing here does I/O but reading records that are in files, and [`Store::verify`]. Each call holds the staging lock for one copy of its records at most.
//! Only one transaction is open at a time, so commits have one order. Several writers may add to it, each to the log it leases.

use super::engine::{Engine, Subscriber};
use super::failure::{Failure, Operation};
use super::log::LogState;
use super::planted::{self, Planted};
use super::position::{LogId, Lsn, Offset, Sequence};
use super::read::{Level, Next, Page, ReadError, ReadRange, Records, read_page};
use super::stage::{AppendError, Appender, Entry, Mode, Record, Stage, check_records};
use super::vfs::Vfs;
use super::view::{Life, View};
use super::watermark::{Awaited, Waiter, WaiterId};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, MutexGuard, PlainArc, PoisonError};

/// A store that is open. Cloning gives another handle to the same store; the directory is free again once all handles and both workers are gone.
pub struct Store<V: Vfs> {
    pub(super) shared: Arc<Engine<V>>,
}

/// One log of a store.
pub struct Log<V: Vfs> {
    shared: Arc<Engine<V>>,
    state: Arc<LogState<V::File>>,
}

/// The right to append to a log. Taking another fences this one; dropping it ends it. What it has appended stays part of the open transaction, for the owner of the
/// transaction to commit or abort.
pub struct Lease<V: Vfs> {
    log: Log<V>,
    epoch: u64,
}

/// One log at one moment: every read through it sees the same state, whatever happens to the log.
pub struct Reader<V: Vfs> {
    log: Log<V>,
    view: Arc<View<V::File>>,
    position: Lsn,
}

/// Several logs at one transaction: all of it or none of it in each.
pub struct Snapshot<V: Vfs> {
    readers: Vec<Reader<V>>,
    position: Lsn,
}

/// A removal that was begun.
pub struct Removal<V: Vfs> {
    log: Log<V>,
}

/// What one log gets in [`Store::transact`].
pub struct Write<'a, V: Vfs> {
    pub log: &'a Log<V>,
    /// Needed if somebody leases the log.
    pub lease: Option<&'a Lease<V>>,
    pub records: &'a [Record<'a>],
    pub meta: Option<&'a [u8]>,
}

/// What an append did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Appended {
    /// The records are part of the open transaction; `last` is the offset of the last one.
    Staged { last: Option<Offset> },
    /// The transaction was committed before: nothing was changed.
    Already,
}

/// What a commit did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Committed {
    /// Visible now; durable once the sequence is.
    Now { sequence: Sequence },
    /// It was committed before: nothing was changed.
    Already,
}

/// Why a transaction was not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    #[error("no such transaction is open")]
    NotOpen,
    #[error(transparent)]
    Refused(#[from] AppendError),
}

/// Why a log could not be had or changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    #[error("there is no such log")]
    NotFound,
    #[error("the log is removed or being removed")]
    Removed,
    #[error("the log is not being removed")]
    NotRemoving,
    #[error("too much waits to be written: wait for room")]
    Busy,
    #[error("the key exceeds the limit")]
    KeyTooLong,
    #[error("the store is open for reading only")]
    ReadOnly,
    #[error("the store is draining or shut down")]
    Closed,
    #[error(transparent)]
    Failed(Failure),
}

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 4096;
/// The longest meta, in bytes.
pub const META_BYTES_MAX: usize = 1024 * 1024;

impl<V: Vfs> Clone for Store<V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<V: Vfs> Clone for Log<V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), state: Arc::clone(&self.state) }
    }
}

impl<V: Vfs> Store<V> {
    /// The log under `key`; it is created if there is none. A creation is durable with the next batch.
    pub fn log(&self, key: &[u8]) -> Result<Log<V>, LogError> {
        if key.len() > KEY_BYTES_MAX {
            return Err(LogError::KeyTooLong);
        }
        if let Some(state) = self.lookup(key) {
            return self.live(state);
        }
        let mut stage = self.shared.stage();
        stage.writable().map_err(refused)?;
        let mut catalog = self.shared.catalog_mut();
        if let Some(state) = catalog.find(key).map(Arc::clone) {
            drop((catalog, stage));
            return self.live(state);
        }
        self.check_queue(&mut stage, key.len())?;
        let id = LogId(stage.next_log);
        stage.next_log += 1;
        let slot = stage.add_appender(Appender::new(id, Offset::START));
        let key: PlainArc<[u8]> = PlainArc::from(key);
        let state = Arc::new(LogState::new(id, PlainArc::clone(&key), slot, View::empty()));
        catalog.insert(Arc::clone(&state));
        drop(catalog);
        let bytes = key.len();
        stage.push(Entry::Create { log: id, key }, bytes);
        self.hurry(stage);
        Ok(self.handle(state))
    }

    /// The log under `key`, if there is one.
    pub fn find(&self, key: &[u8]) -> Result<Log<V>, LogError> {
        self.lookup(key).map_or(Err(LogError::NotFound), |state| self.live(state))
    }

    /// All keys, sorted; those being removed are left out.
    pub fn keys(&self) -> Vec<Box<[u8]>> {
        let logs: Vec<_> = self.shared.catalog().logs().map(Arc::clone).collect();
        let mut keys: Vec<Box<[u8]>> = logs.iter().filter(|log| log.view().life == Life::Live).map(|log| Box::from(&*log.key)).collect();
        keys.sort_unstable();
        keys
    }

    /// Ends the open transaction: visible to all when this returns. Waits neither for the disk nor for readers.
    pub fn commit(&self, lsn: Lsn) -> Result<Committed, CommitError> {
        let mut stage = self.shared.stage();
        stage.writable()?;
        if !stage.admits(lsn)? {
            return Ok(Committed::Already);
        }
        // What was appended found room for itself; it can always be committed.
        if stage.open.is_none() {
            self.check_room(&mut stage, 0)?;
        }
        let sequence = self.close_transaction(&mut stage, lsn);
        self.hurry(stage);
        Ok(Committed::Now { sequence })
    }

    /// Drops all that the open transaction put into its logs.
    pub fn abort(&self, lsn: Lsn) -> Result<(), CommitError> {
        let mut stage = self.shared.stage();
        stage.writable()?;
        if stage.open.as_ref().is_none_or(|open| open.lsn != lsn) {
            return Err(CommitError::NotOpen);
        }
        stage.undo(&self.shared.memory);
        stage.push(Entry::Abort { lsn }, 0);
        self.hurry(stage);
        Ok(())
    }

    /// A whole transaction in one call: all of it, or, on an error, nothing.
    pub fn transact(&self, lsn: Lsn, writes: &[Write<'_, V>]) -> Result<Committed, AppendError> {
        let mut stage = self.shared.stage();
        stage.writable()?;
        if !stage.admits(lsn)? {
            return Ok(Committed::Already);
        }
        if let Some(open) = &stage.open {
            return Err(AppendError::TransactionOpen { current: open.lsn });
        }
        let mut bytes: usize = 0;
        for write in writes {
            let last = self.check_holder(&mut stage, write)?;
            bytes = bytes.saturating_add(self.check_write(last, write, lsn)?);
        }
        self.check_room(&mut stage, bytes)?;
        let (queued, sequence, pending) = (stage.queue.len(), stage.sequence, stage.pending_bytes);
        if planted::has(Planted::ShowBeforeRecords) {
            self.shared.show(lsn);
        }
        for write in writes {
            if let Err(error) = self.put(&mut stage, write.log, lsn, write.records, write.meta) {
                // The same log twice, with offsets that do not fit each other: nobody has seen any of it.
                stage.undo(&self.shared.memory);
                stage.queue.truncate(queued);
                (stage.sequence, stage.pending_bytes) = (sequence, pending);
                return Err(error);
            }
        }
        let sequence = self.close_transaction(&mut stage, lsn);
        self.hurry(stage);
        Ok(Committed::Now { sequence })
    }

    /// The last committed transaction.
    pub fn visible_lsn(&self) -> Lsn {
        self.shared.visible()
    }

    /// The last transaction that a crash now would preserve: what upstream may forget.
    pub fn durable_lsn(&self) -> Lsn {
        self.shared.durable.load()
    }

    /// Calls `waiter` once transaction `lsn` is durable: at once, on this thread, if it is; else on the flusher's thread.
    pub fn await_durable(&self, lsn: Lsn, waiter: Waiter) -> WaiterId {
        self.shared.durable.wait(lsn, waiter)
    }

    /// Calls `waiter` once a creation, trim, removal or commit is durable.
    pub fn await_sequence(&self, sequence: Sequence, waiter: Waiter) -> WaiterId {
        self.shared.durable_sequence.wait(sequence.0, waiter)
    }

    /// Calls `waiter` when an append that was `Busy` is worth another try.
    pub fn await_ready(&self, waiter: Waiter) -> WaiterId {
        self.shared.wait_room(waiter)
    }

    /// Whether the waiter was still waiting; then it is never called.
    pub fn cancel(&self, id: WaiterId) -> bool {
        match id.of {
            Awaited::Lsn => self.shared.durable.cancel(id),
            Awaited::Sequence => self.shared.durable_sequence.cancel(id),
            Awaited::Room => self.shared.room.cancel(id),
        }
    }

    /// Has `subscriber` called with every durable transaction announced from now on, and with the failure that ends them. One call may stand for many transactions.
    pub fn subscribe_durable(&self, subscriber: Subscriber) -> u64 {
        let mut subscribers = self.shared.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        let id = subscribers.last_key_value().map_or(0, |(id, _)| id + 1);
        subscribers.insert(id, subscriber);
        id
    }

    /// A call under way may still end after this.
    pub fn unsubscribe_durable(&self, id: u64) {
        let mut subscribers = self.shared.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.remove(&id);
    }

    /// Several logs at one transaction.
    pub fn snapshot(&self, logs: &[&Log<V>], level: Level) -> Result<Snapshot<V>, ReadError> {
        if !logs.iter().all(|log| self.owns(log)) {
            return Err(ReadError::Foreign);
        }
        let early: Option<Vec<_>> = planted::has(Planted::ViewBeforePosition).then(|| logs.iter().map(|log| log.state.view()).collect());
        // Order: the position before any view.
        let position = self.position(level);
        let views = early.unwrap_or_else(|| logs.iter().map(|log| log.state.view()).collect());
        let current = views.iter().all(|view| view.meta_at(position).is_ok());
        let (position, views) = if current { (position, views) } else { self.settled(logs, level) };
        let readers = logs.iter().zip(views).map(|(log, view)| Reader::new((*log).clone(), view, position)).collect::<Result<_, _>>()?;
        Ok(Snapshot { readers, position })
    }

    /// Refuses all further writes and drops the open transaction. The flusher writes what was committed, then the clean mark, then is `Closed`.
    pub fn begin_drain(&self) {
        let mut stage = self.shared.stage();
        if stage.mode != Mode::Open {
            return;
        }
        if let Some(lsn) = stage.undo(&self.shared.memory) {
            stage.push(Entry::Abort { lsn }, 0);
        }
        stage.mode = Mode::Draining;
        self.hurry(stage);
    }

    /// Makes both workers stop after the step they are in, without a drain: to the files this is a crash.
    pub fn shut_down(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake();
        self.shared.give_up(Failure::without_disk(Operation::ShutDown));
    }

    /// What stopped the store, if anything did.
    pub fn failure(&self) -> Option<Failure> {
        self.shared.stage().failure
    }

    /// Goes on with a removal that was begun before, perhaps by an earlier process.
    pub fn removal(&self, key: &[u8]) -> Result<Removal<V>, LogError> {
        let state = self.lookup(key).ok_or(LogError::NotFound)?;
        match state.view().life {
            Life::Removing => Ok(Removal { log: self.handle(state) }),
            Life::Live => Err(LogError::NotRemoving),
            Life::Purged => Err(LogError::NotFound),
        }
    }

    pub(super) fn position(&self, level: Level) -> Lsn {
        match level {
            Level::Visible => self.shared.visible(),
            Level::Durable if planted::has(Planted::VisibleIsDurable) => self.shared.visible(),
            Level::Durable => self.shared.durable.load(),
        }
    }

    /// Position and views under the staging lock, where no commit can come between: for the reader that was overtaken by two versions of a meta.
    fn settled(&self, logs: &[&Log<V>], level: Level) -> (Lsn, Vec<Arc<View<V::File>>>) {
        let stage = self.shared.stage();
        let position = self.position(level);
        let views = logs.iter().map(|log| log.state.view()).collect();
        drop(stage);
        (position, views)
    }

    fn lookup(&self, key: &[u8]) -> Option<Arc<LogState<V::File>>> {
        self.shared.catalog().find(key).map(Arc::clone)
    }

    fn live(&self, state: Arc<LogState<V::File>>) -> Result<Log<V>, LogError> {
        if state.view().life == Life::Live { Ok(self.handle(state)) } else { Err(LogError::Removed) }
    }

    fn handle(&self, state: Arc<LogState<V::File>>) -> Log<V> {
        Log { shared: Arc::clone(&self.shared), state }
    }

    /// Whether the log is of this opening of this store: another numbers its logs the same way, and would take what is written here for its own.
    fn owns(&self, log: &Log<V>) -> bool {
        Arc::ptr_eq(&self.shared, &log.shared)
    }

    /// The log's highest offset, if the writer may append to it.
    fn check_holder(&self, stage: &mut Stage<V::File>, write: &Write<'_, V>) -> Result<Offset, AppendError> {
        if !self.owns(write.log) || write.lease.is_some_and(|lease| !self.owns(&lease.log)) {
            return Err(AppendError::Foreign);
        }
        let appender = stage.appender(&write.log.state).ok_or(AppendError::Removed)?;
        let holds = match write.lease {
            Some(lease) => lease.log.state.id == write.log.state.id && appender.leased && appender.epoch == lease.epoch,
            None => !appender.leased,
        };
        if write.log.state.view().life != Life::Live {
            return Err(AppendError::Removed);
        }
        if holds || planted::has(Planted::SkipFence) { Ok(appender.last) } else { Err(AppendError::Fenced) }
    }

    /// What the write would take, or which part of it is refused.
    fn check_write(&self, last: Offset, write: &Write<'_, V>, lsn: Lsn) -> Result<usize, AppendError> {
        let meta = write.meta.map_or(0, <[u8]>::len);
        if meta > META_BYTES_MAX {
            return Err(AppendError::MetaTooLarge);
        }
        check_records(last, lsn, write.records, &self.shared.options).map(|bytes| bytes.saturating_add(meta))
    }

    fn check_room(&self, stage: &mut Stage<V::File>, bytes: usize) -> Result<(), AppendError> {
        let checked = stage.check_room(bytes, &self.shared.options, &self.shared.memory);
        if checked == Err(AppendError::Busy) {
            self.press(stage);
        }
        checked
    }

    /// Like [`Self::check_room`], for what takes no memory but its place in the queue, and may give back some.
    fn check_queue(&self, stage: &mut Stage<V::File>, bytes: usize) -> Result<(), LogError> {
        if !stage.is_full(bytes, &self.shared.options) {
            return Ok(());
        }
        self.press(stage);
        Err(LogError::Busy)
    }

    /// Who is refused waits for the flusher, so it must not wait for more.
    fn press(&self, stage: &mut Stage<V::File>) {
        stage.urgent = true;
        self.shared.flusher_work.notify_all();
    }

    fn put(
        &self,
        stage: &mut Stage<V::File>,
        log: &Log<V>,
        lsn: Lsn,
        records: &[Record<'_>],
        meta: Option<&[u8]>,
    ) -> Result<Option<Offset>, AppendError> {
        let last = stage.put(&log.state, lsn, records, &self.shared.options, &self.shared.memory)?;
        if let Some(meta) = meta {
            // No position below what is durable now can be asked for any more, but by who loaded it before: it comes again under the staging lock.
            stage.put_meta(&log.state, lsn, meta, self.shared.durable.load())?;
        }
        Ok(last)
    }

    fn close_transaction(&self, stage: &mut Stage<V::File>, lsn: Lsn) -> Sequence {
        stage.open = None;
        stage.committed = lsn;
        stage.push(Entry::Commit { lsn }, 0);
        let sequence = Sequence(stage.sequence);
        if !planted::has(Planted::ShowBeforeRecords) {
            self.shared.show(lsn);
        }
        sequence
    }

    /// Lets the flusher know that somebody may wait for what was queued.
    fn hurry(&self, mut stage: MutexGuard<'_, Stage<V::File>>) {
        stage.urgent = true;
        drop(stage);
        self.shared.flusher_work.notify_all();
    }
}

impl<V: Vfs> Log<V> {
    pub fn key(&self) -> &[u8] {
        &self.state.key
    }

    pub fn id(&self) -> LogId {
        self.state.id
    }

    /// Makes the caller the log's writer and fences the one before.
    pub fn lease(&self) -> Result<Lease<V>, LogError> {
        let mut stage = self.shared.stage();
        stage.writable().map_err(refused)?;
        self.check_live()?;
        let appender = stage.appender(&self.state).ok_or(LogError::Removed)?;
        appender.epoch += 1;
        appender.leased = true;
        Ok(Lease { log: self.clone(), epoch: appender.epoch })
    }

    /// The records of the range. Reads files if the range needs any and `source` lets it.
    pub fn read(&self, range: &ReadRange, level: Level) -> Result<Page, ReadError> {
        let early = planted::has(Planted::ViewBeforePosition).then(|| self.state.view());
        // Order: the position before the view, see `View`.
        let position = self.store().position(level);
        let view = early.unwrap_or_else(|| self.state.view());
        if view.life != Life::Live {
            return Err(ReadError::Removed);
        }
        read_page(&view, position, range, &self.shared.memory.buffers)
    }

    /// Holds the log as it is now.
    pub fn reader(&self, level: Level) -> Result<Reader<V>, ReadError> {
        let mut snapshot = self.store().snapshot(&[self], level)?;
        snapshot.readers.pop().ok_or(ReadError::Removed)
    }

    /// The last committed meta and its transaction.
    pub fn meta(&self, level: Level) -> Result<Option<(Lsn, PlainArc<[u8]>)>, ReadError> {
        self.reader(level).map(|reader| reader.meta())
    }

    /// Everything at or below is forgotten.
    pub fn trimmed(&self) -> Offset {
        self.state.view().trimmed
    }

    /// Forgets the records up to and with `upto`, as far as they are committed. Readers of before keep them.
    pub fn trim(&self, upto: Offset) -> Result<Sequence, LogError> {
        let mut stage = self.shared.stage();
        stage.writable().map_err(refused)?;
        self.check_live()?;
        self.store().check_queue(&mut stage, 0)?;
        let upto = upto.min(Offset::end_of(stage.committed));
        let appender = stage.appender(&self.state).ok_or(LogError::Removed)?;
        let last = appender.last;
        if last <= upto {
            appender.writer = None;
        }
        let (freed_bytes, freed) = self.state.update(|view| {
            view.trimmed = view.trimmed.max(upto);
            (view.drop_blocks(view.trimmed, last), view.drop_extents(view.trimmed))
        });
        self.shared.memory.leave(freed_bytes);
        stage.push(Entry::Trim { log: self.state.id, upto, freed }, 0);
        stage.cut_sequence = stage.sequence;
        let sequence = Sequence(stage.sequence);
        self.store().hurry(stage);
        Ok(sequence)
    }

    /// First half of a removal: no append and no new read succeeds from here on, and the key stays taken until [`Removal::finish`]; over restarts as well, once the
    /// sequence is durable.
    pub fn begin_remove(&self) -> Result<(Removal<V>, Sequence), LogError> {
        let mut stage = self.shared.stage();
        stage.writable().map_err(refused)?;
        self.check_live()?;
        self.store().check_queue(&mut stage, 0)?;
        let appender = stage.appender(&self.state).ok_or(LogError::Removed)?;
        appender.epoch += 1;
        appender.leased = false;
        self.state.update(|view| view.life = Life::Removing);
        stage.push(Entry::Tombstone { log: self.state.id }, 0);
        let sequence = Sequence(stage.sequence);
        self.store().hurry(stage);
        Ok((Removal { log: self.clone() }, sequence))
    }

    fn check_live(&self) -> Result<(), LogError> {
        if self.state.view().life == Life::Live { Ok(()) } else { Err(LogError::Removed) }
    }

    fn store(&self) -> Store<V> {
        Store { shared: Arc::clone(&self.shared) }
    }
}

impl<V: Vfs> Lease<V> {
    pub fn log(&self) -> &Log<V> {
        &self.log
    }

    /// Adds records, and the log's new meta if given, to transaction `lsn`, which this opens if none is open. Nobody sees them before the commit.
    pub fn append(&self, lsn: Lsn, records: &[Record<'_>], meta: Option<&[u8]>) -> Result<Appended, AppendError> {
        let store = self.log.store();
        let mut stage = self.log.shared.stage();
        stage.writable()?;
        let write = Write { log: &self.log, lease: Some(self), records, meta };
        let last = store.check_holder(&mut stage, &write)?;
        if !stage.admits(lsn)? {
            return Ok(Appended::Already);
        }
        let bytes = store.check_write(last, &write, lsn)?;
        store.check_room(&mut stage, bytes)?;
        if planted::has(Planted::UnlockBeforeAppend) {
            drop(stage);
            stage = self.log.shared.stage();
        }
        let last = store.put(&mut stage, &self.log, lsn, records, meta)?;
        Ok(Appended::Staged { last })
    }
}

impl<V: Vfs> Drop for Lease<V> {
    fn drop(&mut self) {
        let mut stage = self.log.shared.stage();
        if let Some(appender) = stage.appender(&self.log.state).filter(|appender| appender.epoch == self.epoch) {
            appender.leased = false;
        }
    }
}

impl<V: Vfs> Reader<V> {
    fn new(log: Log<V>, view: Arc<View<V::File>>, position: Lsn) -> Result<Self, ReadError> {
        if view.life == Life::Live { Ok(Self { log, view, position }) } else { Err(ReadError::Removed) }
    }

    pub fn log(&self) -> &Log<V> {
        &self.log
    }

    /// The transaction at which it stands.
    pub fn lsn(&self) -> Lsn {
        self.position
    }

    pub fn read(&self, range: &ReadRange) -> Result<Page, ReadError> {
        read_page(&self.view, self.position, range, &self.log.shared.memory.buffers)
    }

    /// The meta in force at its transaction.
    pub fn meta(&self) -> Option<(Lsn, PlainArc<[u8]>)> {
        // Whoever made this reader looked that the version is there.
        self.view.meta_at(self.position).ok().flatten().map(|meta| (meta.lsn, PlainArc::clone(&meta.bytes)))
    }

    /// All records of the range, page by page.
    pub fn pages(&self, range: ReadRange) -> impl Iterator<Item = Result<Records, ReadError>> + '_ {
        let mut next = Some(range);
        std::iter::from_fn(move || {
            let range = next.take()?;
            match self.read(&range) {
                Ok(page) => {
                    if let Next::More(after) = page.next {
                        next = Some(ReadRange { after, ..range });
                    }
                    Some(Ok(page.records))
                }
                Err(error) => Some(Err(error)),
            }
        })
    }
}

impl<V: Vfs> Snapshot<V> {
    pub fn lsn(&self) -> Lsn {
        self.position
    }

    /// In the order in which the logs were given.
    pub fn readers(&self) -> &[Reader<V>] {
        &self.readers
    }

    pub fn into_readers(self) -> Vec<Reader<V>> {
        self.readers
    }
}

impl<V: Vfs> Removal<V> {
    pub fn log(&self) -> &Log<V> {
        &self.log
    }

    /// Second half: the log is gone, its key is free, its space is given back. Readers of before keep what they hold.
    pub fn finish(self) -> Result<Sequence, LogError> {
        let Log { shared, state } = &self.log;
        let mut stage = shared.stage();
        stage.writable().map_err(refused)?;
        if state.view().life != Life::Removing {
            return Err(LogError::NotFound);
        }
        let (freed_bytes, freed) = state.update(|view| {
            view.life = Life::Purged;
            view.metas.clear();
            let bytes = view.block_bytes();
            view.blocks.clear();
            (bytes, std::mem::take(&mut view.extents))
        });
        shared.memory.leave(freed_bytes);
        shared.catalog_mut().remove(state);
        if planted::has(Planted::ReuseLogNumber) {
            stage.next_log = stage.next_log.min(state.id.0);
        }
        stage.free_appender(state);
        stage.push(Entry::Purge { log: state.id, freed }, 0);
        stage.cut_sequence = stage.sequence;
        let sequence = Sequence(stage.sequence);
        self.log.store().hurry(stage);
        Ok(sequence)
    }
}

fn refused(error: AppendError) -> LogError {
    match error {
        AppendError::ReadOnly => LogError::ReadOnly,
        AppendError::Failed(failure) => LogError::Failed(failure),
        _ => LogError::Closed,
    }
}
