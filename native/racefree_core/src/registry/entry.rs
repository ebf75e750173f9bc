//! What the registry knows of one key, and the tables of keys.
//!
//! A shard's table finds an entry by key, for callers, and by hash and generation, for what was linked to it: the second needs no bytes of the key and never finds a later life.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::Generation;
use super::error::Unavailable;
use super::inbox::RecipientOf;
use super::platform::Platform;
use super::slots::Slots;
use crate::sync::{Arc, Mutex, MutexGuard};

/// Keys up to this length lie in the entry itself.
const KEY_INLINE_BYTES: usize = 24;

/// A table below this capacity is not worth shrinking.
const SHRINK_CAPACITY_MIN: usize = 16;

pub(super) struct Entry<P: Platform> {
    pub(super) key: SmallVec<[u8; KEY_INLINE_BYTES]>,
    pub(super) state: State<P>,
}

/// `link` is always the place in the named process's record where this role stands.
pub(super) enum State<P: Platform> {
    Starting(Starting<P>),
    Live { pid: P::Pid, link: u32, value: P::Value, subscribers: Slots<Subscriber<P>, 0> },
    Tombstone { reason: P::Value, remover: Option<Remover<P::Pid>> },
}

pub(super) struct Starting<P: Platform> {
    pub(super) leader: P::Pid,
    pub(super) link: u32,
    /// Told to the leader; a waiter that becomes leader keeps its number.
    pub(super) lead: u64,
    pub(super) waiters: Waiters<P>,
}

/// By stamp, that is, in the order of arrival.
pub(super) type Waiters<P> = BTreeMap<u64, Waiter<P>>;

pub(super) struct Waiter<P: Platform> {
    pub(super) recipient: Arc<RecipientOf<P>>,
    pub(super) link: u32,
}

pub(super) struct Subscriber<P: Platform> {
    pub(super) recipient: Arc<RecipientOf<P>>,
    pub(super) link: u32,
}

#[derive(Clone, Copy)]
pub(super) struct Remover<Pid> {
    pub(super) pid: Pid,
    pub(super) link: u32,
}

/// Aligned so that two shards never share a cache line, nor a pair of lines that is fetched together.
#[repr(align(128))]
pub(super) struct Shard<P: Platform> {
    table: Mutex<Table<P>>,
}

pub(super) struct Table<P: Platform> {
    slots: HashTable<Slot<P>>,
    next_generation: u64,
    live: usize,
}

/// Hash and generation lie in the table itself: probing, growing and listing touch no entry.
pub(super) struct Slot<P: Platform> {
    pub(super) hash: u64,
    pub(super) generation: Generation,
    pub(super) entry: Box<Entry<P>>,
}

impl<P: Platform> Shard<P> {
    pub(super) fn new() -> Self {
        Self { table: Mutex::new(Table { slots: HashTable::new(), next_generation: 1, live: 0 }) }
    }

    pub(super) fn lock(&self) -> Result<MutexGuard<'_, Table<P>>, Unavailable> {
        self.table.lock().map_err(|_poisoned| Unavailable::Poisoned)
    }

    /// Takes all entries, even half-changed ones: for telling their waiters that the incarnation ended.
    pub(super) fn dismantle(&self) -> HashTable<Slot<P>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.live = 0;
        std::mem::take(&mut table.slots)
    }
}

impl<P: Platform> Table<P> {
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Entries, and room for entries.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.slots.len(), self.slots.capacity())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot<P>> {
        self.slots.iter()
    }

    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<&Slot<P>> {
        self.slots.find(hash, |slot| slot.hash == hash && slot.entry.key.as_slice() == key)
    }

    pub(super) fn find_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut Slot<P>> {
        self.slots.find_mut(hash, |slot| slot.hash == hash && slot.entry.key.as_slice() == key)
    }

    pub(super) fn life(&self, hash: u64, generation: Generation) -> Option<&Entry<P>> {
        self.slots.find(hash, |slot| slot.hash == hash && slot.generation == generation).map(|slot| &*slot.entry)
    }

    pub(super) fn life_mut(&mut self, hash: u64, generation: Generation) -> Option<&mut Entry<P>> {
        self.slots.find_mut(hash, |slot| slot.hash == hash && slot.generation == generation).map(|slot| &mut *slot.entry)
    }

    /// The generation that the next [`Table::insert`] or [`Table::replace`] gives: links are made before the entry they point to.
    pub(super) fn coming_generation(&self) -> Generation {
        Generation(self.next_generation)
    }

    pub(super) fn insert(&mut self, hash: u64, key: &[u8], state: State<P>) -> Generation {
        let generation = self.draw_generation();
        self.live += usize::from(state.is_live());
        let entry = Box::new(Entry { key: SmallVec::from_slice(key), state });
        self.slots.insert_unique(hash, Slot { hash, generation, entry }, |slot| slot.hash);
        generation
    }

    /// Gives a key another state and a new generation. The former state is returned for what must be told to whom; nothing if that life is over.
    pub(super) fn replace(&mut self, hash: u64, generation: Generation, state: State<P>) -> Option<(Generation, State<P>)> {
        let fresh = self.coming_generation();
        let is_live = state.is_live();
        let slot = self.slots.find_mut(hash, |slot| slot.hash == hash && slot.generation == generation)?;
        slot.generation = fresh;
        let former = std::mem::replace(&mut slot.entry.state, state);
        self.live += usize::from(is_live);
        self.live -= usize::from(former.is_live());
        self.next_generation += 1;
        Some((fresh, former))
    }

    /// The entry is returned so that it is dropped, with its value, outside the lock.
    pub(super) fn remove(&mut self, hash: u64, generation: Generation) -> Option<Box<Entry<P>>> {
        let found = self.slots.find_entry(hash, |slot| slot.hash == hash && slot.generation == generation).ok()?;
        let (slot, _vacant) = found.remove();
        self.live -= usize::from(slot.entry.state.is_live());
        let (length, capacity) = (self.slots.len(), self.slots.capacity());
        if capacity >= SHRINK_CAPACITY_MIN && length < capacity / 8 {
            // Half of what was left stays free: the next shrinking or growing is that many changes away, so moving the rest costs each change a constant.
            self.slots.shrink_to(length * 2, |slot| slot.hash);
        }
        Some(slot.entry)
    }

    fn draw_generation(&mut self) -> Generation {
        let generation = self.coming_generation();
        self.next_generation += 1;
        generation
    }
}

impl<P: Platform> State<P> {
    fn is_live(&self) -> bool {
        matches!(self, Self::Live { .. })
    }
}
