//! What the handles, the flusher and the keeper of one store share.
//!
//! Lock order: staging, then catalog, then a log's view; the watermarks' and the inbox's locks are innermost. No lock is held across I/O or a call to others' code.

use super::failure::{Failure, Operation};
use super::log::LogState;
use super::options::{Clock, Options};
use super::planted::{self, Planted};
use super::position::{LogId, Lsn};
use super::stage::{Memory, Stage};
use super::vfs::Vfs;
use super::view::Extent;
use super::watermark::{Waiter, Watermark};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PlainArc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use hashbrown::{HashMap, HashTable};
use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;
use std::path::PathBuf;

/// Called with each new durable transaction, and once with the failure that ends it.
pub type Subscriber = PlainArc<dyn Fn(Result<Lsn, Failure>) + Send + Sync>;

pub(super) struct Engine<V: Vfs> {
    pub(super) vfs: V,
    pub(super) dir: PathBuf,
    pub(super) options: Options,
    pub(super) clock: Box<dyn Clock>,
    pub(super) identity: u128,
    pub(super) incarnation: u64,
    stage: Mutex<Stage<V::File>>,
    pub(super) flusher_work: Condvar,
    catalog: RwLock<Catalog<V::File>>,
    /// Invariant: moves under the staging lock, after all records at or below it were published.
    visible: AtomicU64,
    pub(super) durable: Watermark,
    pub(super) durable_sequence: Watermark,
    /// Bytes written so far, for those who wait for room.
    pub(super) room: Watermark,
    pub(super) memory: Memory,
    inbox: Mutex<Inbox<V::File>>,
    pub(super) keeper_work: Condvar,
    pub(super) subscribers: Mutex<BTreeMap<u64, Subscriber>>,
    pub(super) stop: AtomicBool,
    failed: AtomicBool,
    pub(super) figures: Figures,
}

/// Counters, each on its own; nothing is decided by them.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) batches: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) sync_nanos_last: AtomicU64,
    pub(super) sync_nanos_max: AtomicU64,
    pub(super) sync_nanos_total: AtomicU64,
    pub(super) wal_bytes: AtomicU64,
    pub(super) pack_files: AtomicU64,
    pub(super) pack_bytes: AtomicU64,
    pub(super) dead_bytes: AtomicU64,
    pub(super) merging_stopped: AtomicU64,
}

/// What the flusher hands to the keeper.
pub(super) struct Inbox<F> {
    pub(super) sealed: VecDeque<super::flush::Sealed>,
    /// Extents that a durable trim or purge made useless.
    pub(super) freed: Vec<Extent<F>>,
    /// Whether the keeper is at work on what it took from `sealed`.
    pub(super) sealing: bool,
    pub(super) drained: bool,
}

impl<F> Inbox<F> {
    pub(super) fn is_sealing(&self) -> bool {
        self.sealing || !self.sealed.is_empty()
    }
}

/// Which logs there are.
pub(super) struct Catalog<F> {
    by_key: HashTable<Arc<LogState<F>>>,
    by_id: HashMap<LogId, Arc<LogState<F>>, foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
}

impl<F> Catalog<F> {
    pub(super) fn new() -> Self {
        Self { by_key: HashTable::new(), by_id: HashMap::default(), hasher: foldhash::fast::RandomState::default() }
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<&Arc<LogState<F>>> {
        self.by_key.find(self.hasher.hash_one(key), |log| *log.key == *key)
    }

    pub(super) fn by_id(&self, id: LogId) -> Option<&Arc<LogState<F>>> {
        self.by_id.get(&id)
    }

    pub(super) fn insert(&mut self, log: Arc<LogState<F>>) {
        let Self { by_key, by_id, hasher } = self;
        by_id.insert(log.id, Arc::clone(&log));
        by_key.insert_unique(hasher.hash_one(&*log.key), log, |log| hasher.hash_one(&*log.key));
    }

    pub(super) fn remove(&mut self, log: &LogState<F>) {
        self.by_id.remove(&log.id);
        if let Ok(found) = self.by_key.find_entry(self.hasher.hash_one(&*log.key), |found| found.id == log.id) {
            found.remove();
        }
    }

    pub(super) fn logs(&self) -> impl Iterator<Item = &Arc<LogState<F>>> {
        self.by_id.values()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}

/// What a store starts from.
pub(super) struct Beginning<V: Vfs> {
    pub(super) vfs: V,
    pub(super) dir: PathBuf,
    pub(super) options: Options,
    pub(super) clock: Box<dyn Clock>,
    pub(super) identity: u128,
    pub(super) incarnation: u64,
    pub(super) stage: Stage<V::File>,
    pub(super) catalog: Catalog<V::File>,
    pub(super) memory: Memory,
    pub(super) lsn: Lsn,
    pub(super) durable: Lsn,
}

impl<V: Vfs> Engine<V> {
    pub(super) fn new(beginning: Beginning<V>) -> Self {
        use super::watermark::Awaited;
        let Beginning { vfs, dir, options, clock, identity, incarnation, stage, catalog, memory, lsn, durable } = beginning;
        Self {
            vfs,
            dir,
            options,
            clock,
            identity,
            incarnation,
            stage: Mutex::new(stage),
            flusher_work: Condvar::new(),
            catalog: RwLock::new(catalog),
            visible: AtomicU64::new(lsn),
            durable: Watermark::new(Awaited::Lsn, durable),
            durable_sequence: Watermark::new(Awaited::Sequence, 0),
            room: Watermark::new(Awaited::Room, 0),
            memory,
            inbox: Mutex::new(Inbox { sealed: VecDeque::new(), freed: Vec::new(), sealing: false, drained: false }),
            keeper_work: Condvar::new(),
            subscribers: Mutex::new(BTreeMap::new()),
            stop: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            figures: Figures::default(),
        }
    }

    /// The staging buffer. A panic under its lock may have left it half changed: then the store has failed.
    pub(super) fn stage(&self) -> MutexGuard<'_, Stage<V::File>> {
        self.stage.lock().unwrap_or_else(|poisoned| {
            let mut stage = poisoned.into_inner();
            stage.failure.get_or_insert(Failure::without_disk(Operation::Poisoned));
            stage
        })
    }

    pub(super) fn wait_flusher<'a>(&self, stage: MutexGuard<'a, Stage<V::File>>) -> MutexGuard<'a, Stage<V::File>> {
        self.flusher_work.wait(stage).unwrap_or_else(PoisonError::into_inner)
    }

    // The catalog changes by single calls and the inbox by single assignments: a poisoned one is still whole.
    pub(super) fn catalog(&self) -> RwLockReadGuard<'_, Catalog<V::File>> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn catalog_mut(&self) -> RwLockWriteGuard<'_, Catalog<V::File>> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox<V::File>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn visible(&self) -> Lsn {
        // Order: pairs with the release in `show`. Who loads this before a view finds in the view all that is at or below it.
        self.visible.load(Ordering::Acquire)
    }

    /// Makes transaction `lsn` visible. To be called under the staging lock only.
    pub(super) fn show(&self, lsn: Lsn) {
        debug_assert!(self.visible.load(Ordering::Relaxed) < lsn);
        // Order: all records of the transaction were published, and all views swapped, before; pairs with `visible`.
        self.visible.store(lsn, Ordering::Release);
    }

    /// Announces a durable transaction to all who want to know.
    pub(super) fn announce(&self, outcome: Result<Lsn, Failure>) {
        let subscribers: Vec<Subscriber> =
            self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).values().map(PlainArc::clone).collect();
        for subscriber in subscribers {
            subscriber(outcome);
        }
    }

    /// Stops the store for good: no later call reports success for what is not durable.
    pub(super) fn fail(&self, failure: Failure) {
        if planted::has(Planted::ForgetFailure) {
            return;
        }
        let first = {
            let mut stage = self.stage();
            let first = stage.failure.is_none();
            stage.failure.get_or_insert(failure);
            first
        };
        self.failed.store(true, Ordering::Release);
        self.give_up(failure);
        if first {
            self.announce(Err(failure));
        }
        self.wake();
    }

    /// Tells all waiters that what they wait for will not come.
    pub(super) fn give_up(&self, failure: Failure) {
        self.durable.fail(failure);
        self.durable_sequence.fail(failure);
        self.room.fail(failure);
    }

    /// Calls `waiter` once something that was pending has been written.
    pub(super) fn wait_room(&self, waiter: Waiter) -> super::watermark::WaiterId {
        // Order: what is pending is read under the staging lock, and the flusher counts it down under the same lock before it moves the watermark.
        let target = {
            let stage = self.stage();
            let full = stage.pending_bytes > 0 || self.memory.in_views() > self.options.memory_bytes_max / 2;
            self.room.load() + u64::from(full)
        };
        self.room.wait(target, waiter)
    }

    /// Whether all trims and purges up to that place survive a crash.
    pub(super) fn has_durable(&self, cut_sequence: u64) -> bool {
        self.durable_sequence.load() >= cut_sequence || planted::has(Planted::CutAhead)
    }

    pub(super) fn wake_keeper(&self) {
        // Order: under the lock that the keeper holds between looking and sleeping, so that the call is not lost.
        drop(self.inbox());
        self.keeper_work.notify_all();
    }

    /// Wakes both background threads.
    pub(super) fn wake(&self) {
        if planted::has(Planted::WakeWithoutLock) {
            self.flusher_work.notify_all();
            self.keeper_work.notify_all();
            return;
        }
        // Order: under the locks that the threads hold between looking and sleeping, so that the call is not lost.
        drop(self.stage());
        self.flusher_work.notify_all();
        drop(self.inbox());
        self.keeper_work.notify_all();
    }

    /// For the keeper's sleep; what decides is the failure in the staging buffer.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
