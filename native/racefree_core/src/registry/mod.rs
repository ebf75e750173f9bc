//! The registry: who owns a key, who listens to it, and what happens when either dies.
//!
//! An incarnation is one [`Registry`] with one [`Janitor`]. Operations run on any thread and hold one key shard's lock, inside it perhaps one pid shard's, inside it perhaps the
//! inbox's: in that order, and never two of a kind. What takes long, sends messages or follows a death is the janitor's.
//!
//! Left out on purpose: terms (keys are bytes, values are cargo), liveness at lookup (the caller asks the virtual machine last, see [`Registry::evict`]), other nodes.

#![allow(clippy::type_complexity, reason = "two associated types in a result are complex to the lint only")]

mod backlog;
mod entry;
mod error;
mod id;
mod inbox;
mod janitor;
mod listing;
mod names;
mod pids;
mod platform;
mod recipient;
mod removal;
mod slots;
mod start;
mod status;
mod subscription;
#[cfg(test)]
mod tests;

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

pub use error::{
    BeginRemoveError, EnterError, FinishRemoveError, LeadError, LookupError, PublishError, PutValueError, RegisterError, SubscribeError,
    Unavailable,
};
pub use id::{Generation, LeadId, RemovalId, SubscriptionId, WaitId};
pub use inbox::Inbox;
pub use janitor::{Ended, Janitor, Step};
pub use listing::{Holdings, KeysCursor, Progress, SelectCursor};
pub use names::Live;
pub use platform::{Event, Notice, Platform};
pub use removal::Removal;
pub use start::{Cancelled, Enter};
pub use status::{Owner, Status};
pub use subscription::{Broadcast, BroadcastError, Cursor};

use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, MutexGuard};
use entry::{Shard, Table};
use inbox::Job;
use pids::{Pids, Watched};
use status::StatusWord;

/// One incarnation of a registry.
pub struct Registry<P: Platform> {
    platform: P,
    inbox: Arc<Inbox<P>>,
    shards: Box<[Shard<P>]>,
    pids: Pids<P>,
    hasher: RandomState,
    status: StatusWord,
    /// Numbers subscriptions, waits and leads; none is given twice.
    stamps: AtomicU64,
    reports: AtomicBool,
    incarnation: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Rounded up to a power of two; at least 1. There are as many shards of keys as of pids.
    pub shards: usize,
    /// A number no other incarnation of this virtual machine has: ids of another one are refused by it.
    pub incarnation: u64,
    pub events: Events,
}

/// Whether anybody wants to hear of what happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Events {
    Silent,
    Reported,
}

impl<P: Platform> Registry<P> {
    pub fn new(platform: P, inbox: Arc<Inbox<P>>, options: Options) -> Self {
        let shards = options.shards.clamp(1, 1 << 16).next_power_of_two();
        Self {
            platform,
            inbox,
            shards: (0..shards).map(|_| Shard::new()).collect(),
            pids: Pids::new(shards),
            hasher: RandomState::default(),
            status: StatusWord::new(),
            stamps: AtomicU64::new(1),
            reports: AtomicBool::new(options.events == Events::Reported),
            incarnation: options.incarnation,
        }
    }

    pub fn platform(&self) -> &P {
        &self.platform
    }

    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    pub fn status(&self) -> Status {
        self.status.get()
    }

    pub fn owner(&self) -> Owner {
        self.status.owner()
    }

    /// The owner died without closing. Does nothing if another owner has adopted the incarnation since.
    pub fn suspend(&self, owner: Owner) {
        self.status.suspend(owner);
    }

    /// Another owner takes over the entries of the former one, whose processes live on.
    pub fn adopt(&self) -> Result<Owner, Unavailable> {
        self.status.adopt()
    }

    /// Ends the incarnation: calls are refused from now on, the janitor tells all waiters, gives up all monitors and returns.
    pub fn close(&self) {
        self.status.close();
        self.inbox.stir();
    }

    pub fn set_events(&self, events: Events) {
        self.reports.store(events == Events::Reported, Ordering::Relaxed);
    }

    /// Runs a part that may panic in foreign code. If it does, everything it held is suspect: the incarnation is poisoned before the panic goes on.
    fn guarded<R>(&self, part: impl FnOnce() -> R) -> R {
        let fuse = Fuse(self);
        let result = part();
        std::mem::forget(fuse);
        result
    }

    fn poison(&self) {
        self.status.poison();
        self.inbox.stir();
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    fn stamp(&self) -> u64 {
        // Relaxed: only that no number comes twice matters.
        self.stamps.fetch_add(1, Ordering::Relaxed)
    }

    /// A shard for operations that take something.
    fn serve(&self, hash: u64) -> Result<MutexGuard<'_, Table<P>>, Unavailable> {
        let table = self.shard(hash)?.lock()?;
        self.serving()?;
        Ok(table)
    }

    /// A shard for operations that give something back: they work without an owner, or it would never be given back.
    fn settle(&self, hash: u64) -> Result<MutexGuard<'_, Table<P>>, Unavailable> {
        let table = self.shard(hash)?.lock()?;
        match self.serving() {
            Ok(()) | Err(Unavailable::Suspended) => Ok(table),
            Err(ended) => Err(ended),
        }
    }

    fn serving(&self) -> Result<(), Unavailable> {
        match self.status.get() {
            Status::Serving => Ok(()),
            Status::Suspended => Err(Unavailable::Suspended),
            Status::Closed => Err(Unavailable::Closed),
            Status::Poisoned => Err(Unavailable::Poisoned),
        }
    }

    fn shard(&self, hash: u64) -> Result<&Shard<P>, Unavailable> {
        // An index is always below the length; a shard that is not there answers like one that cannot be trusted.
        self.shards.get(shard_index(hash, self.shards.len())).ok_or(Unavailable::Poisoned)
    }

    /// Runs `attempt` until it finds its process watched, with what it gave back. `None`: the process is dead.
    ///
    /// Nearly always the first attempt does, so that the usual call takes each lock once. The second fails only if the process died in between.
    fn watched<Cargo, R, E: From<Unavailable>>(
        &self,
        caller: P::Caller<'_>,
        pid: P::Pid,
        mut cargo: Cargo,
        mut attempt: impl FnMut(Cargo) -> Result<Attempt<Cargo, R>, E>,
    ) -> Result<Option<R>, E> {
        loop {
            match attempt(cargo)? {
                Attempt::Done(result) => return Ok(Some(result)),
                Attempt::Unwatched(returned) => cargo = returned,
            }
            match self.pids.watch(&self.platform, &self.status, caller, pid)? {
                Watched::Yes => {}
                Watched::Dead => return Ok(None),
            }
        }
    }

    /// Reports an event, in the order of the sections that report. The caller holds the lock of the key's shard.
    fn report(&self, event: impl FnOnce() -> Event<P::Pid, P::Value>) {
        if self.reports.load(Ordering::Relaxed) {
            self.inbox.push(Job::Event(Box::new(event())));
        }
    }
}

enum Attempt<Cargo, R> {
    Done(R),
    Unwatched(Cargo),
}

/// Poisons the incarnation when dropped: only an unwinding panic does that.
struct Fuse<'a, P: Platform>(&'a Registry<P>);

impl<P: Platform> Drop for Fuse<'_, P> {
    fn drop(&mut self) {
        self.0.poison();
    }
}

/// Bits that the tables do not use: they take the lowest and the seven highest.
fn shard_index(hash: u64, shards: usize) -> usize {
    usize::try_from(hash >> 32).unwrap_or_default() & (shards - 1)
}
