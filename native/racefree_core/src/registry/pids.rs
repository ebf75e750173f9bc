//! What each process has to do with the registry, so that its death can be cleaned up: one monitor, and a link to every entry in which it plays a role.
//!
//! A record is made at the process's first role and stays until its death: monitoring anew for each role would cost more than the roles.
//! Links are hints. Each names a hash and a generation, and whoever follows one checks under the shard's lock what it finds; a link to a life that is over is harmless.

use std::hash::BuildHasher;
use std::sync::PoisonError;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;

use super::Generation;
use super::error::Unavailable;
use super::inbox::RecipientOf;
use super::platform::Platform;
use super::slots::Slots;
use super::status::{Status, StatusWord};
use crate::sync::{Arc, Mutex, MutexGuard};

/// A table below this capacity is not worth shrinking.
const SHRINK_CAPACITY_MIN: usize = 16;

pub(super) struct Pids<P: Platform> {
    shards: Box<[PidShard<P>]>,
    hasher: RandomState,
}

#[repr(align(128))]
struct PidShard<P: Platform> {
    records: Mutex<HashTable<Slot<P>>>,
}

struct Slot<P: Platform> {
    pid: P::Pid,
    record: Box<Record<P>>,
}

pub(super) struct Record<P: Platform> {
    pub(super) monitor: P::Monitor,
    pub(super) links: Slots<Link<P>, 1>,
}

/// One role of a process in one life of a key.
pub(super) enum Link<P: Platform> {
    Key { hash: u64, generation: Generation },
    Lead { hash: u64, generation: Generation, lead: u64 },
    Removal { hash: u64, generation: Generation },
    Subscription { hash: u64, generation: Generation, slot: u32, recipient: Arc<RecipientOf<P>> },
    Wait { hash: u64, generation: Generation, recipient: Arc<RecipientOf<P>> },
}

/// Whether a process is watched now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Watched {
    Yes,
    Dead,
}

impl<P: Platform> Pids<P> {
    pub(super) fn new(shards: usize) -> Self {
        let shards = (0..shards).map(|_| PidShard { records: Mutex::new(HashTable::new()) }).collect();
        Self { shards, hasher: RandomState::default() }
    }

    /// Makes sure that the death of `pid` will be heard of.
    ///
    /// Order: the monitor is armed under the lock that the clean-up of its `down` takes first. So a death right after cannot be cleaned up before the record stands.
    pub(super) fn watch(&self, platform: &P, status: &StatusWord, caller: P::Caller<'_>, pid: P::Pid) -> Result<Watched, Unavailable> {
        let (hash, index) = self.place(pid);
        let mut records = self.lock(index)?;
        // Order: under this lock, which the janitor takes after the end of the incarnation was written: no record appears behind its back.
        match status.get() {
            Status::Serving | Status::Suspended => {}
            Status::Closed => return Err(Unavailable::Closed),
            Status::Poisoned => return Err(Unavailable::Poisoned),
        }
        match records.entry(hash, |slot| slot.pid == pid, |slot| self.hasher.hash_one(slot.pid)) {
            TableEntry::Occupied(_) => Ok(Watched::Yes),
            TableEntry::Vacant(vacant) => {
                let Some(monitor) = platform.monitor(caller, index, pid) else { return Ok(Watched::Dead) };
                vacant.insert(Slot { pid, record: Box::new(Record { monitor, links: Slots::new() }) });
                Ok(Watched::Yes)
            }
        }
    }

    /// Adds a link; nothing if the process is not watched.
    pub(super) fn link(&self, pid: P::Pid, link: Link<P>) -> Result<Option<u32>, Unavailable> {
        self.with(pid, |record| record.links.insert(link))
    }

    /// Runs `change` on the record of a process, if it has one.
    pub(super) fn with<R>(&self, pid: P::Pid, change: impl FnOnce(&mut Record<P>) -> R) -> Result<Option<R>, Unavailable> {
        let (hash, index) = self.place(pid);
        let mut records = self.lock(index)?;
        Ok(records.find_mut(hash, |slot| slot.pid == pid).map(|slot| change(&mut slot.record)))
    }

    /// Takes the link at a place, if it is the one meant. Even of a poisoned shard: through its links subscribers and waiters are silenced.
    pub(super) fn unlink(&self, pid: P::Pid, place: u32, wanted: impl FnOnce(&Link<P>) -> bool) -> Option<Link<P>> {
        let (hash, index) = self.place(pid);
        let mut records = self.shards.get(index)?.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.find_mut(hash, |slot| slot.pid == pid)?.record.links.take_if(place, wanted)
    }

    /// Takes the whole record of a process that died; nothing if another monitor watches that pid.
    pub(super) fn take(&self, pid: P::Pid, monitor: P::Monitor) -> Result<Option<Box<Record<P>>>, Unavailable> {
        let (hash, index) = self.place(pid);
        let mut records = self.lock(index)?;
        let Ok(found) = records.find_entry(hash, |slot| slot.pid == pid && slot.record.monitor == monitor) else { return Ok(None) };
        let (slot, _vacant) = found.remove();
        let (length, capacity) = (records.len(), records.capacity());
        if capacity >= SHRINK_CAPACITY_MIN && length < capacity / 8 {
            records.shrink_to(length * 2, |slot| self.hasher.hash_one(slot.pid));
        }
        Ok(Some(slot.record))
    }

    /// Takes all records of a shard, for the end of the incarnation.
    pub(super) fn dismantle(&self, index: usize) -> Vec<(P::Pid, Box<Record<P>>)> {
        let records =
            self.shards.get(index).map(|shard| std::mem::take(&mut *shard.records.lock().unwrap_or_else(PoisonError::into_inner)));
        records.into_iter().flatten().map(|slot| (slot.pid, slot.record)).collect()
    }

    /// Processes, and room for processes.
    pub(super) fn size(&self) -> (usize, usize) {
        self.shards.iter().fold((0, 0), |(length, capacity), shard| {
            let records = shard.records.lock().unwrap_or_else(PoisonError::into_inner);
            (length + records.len(), capacity + records.capacity())
        })
    }

    #[cfg(test)]
    pub(super) fn links(&self) -> usize {
        let count = |record: &Record<P>| (0..record.links.end()).filter(|place| record.links.get(*place).is_some()).count();
        self.shards.iter().map(|shard| shard.records.lock().unwrap().iter().map(|slot| count(&slot.record)).sum::<usize>()).sum()
    }

    fn place(&self, pid: P::Pid) -> (u64, usize) {
        let hash = self.hasher.hash_one(pid);
        (hash, super::shard_index(hash, self.shards.len()))
    }

    fn lock(&self, index: usize) -> Result<MutexGuard<'_, HashTable<Slot<P>>>, Unavailable> {
        // An index is always below the length; a shard that is not there answers like one that cannot be trusted.
        let shard = self.shards.get(index).ok_or(Unavailable::Poisoned)?;
        shard.records.lock().map_err(|_poisoned| Unavailable::Poisoned)
    }
}
