//! What there is: counts and lists, in parts, so that no call holds a lock or a scheduler for long.
//!
//! No list is a snapshot. An entry that is there from the first part to the last is listed exactly once; one that comes or goes meanwhile, perhaps.

use super::entry::{Slot, State};
use super::pids::Link;
use super::{Generation, Platform, Registry, RemovalId, Unavailable};

/// Where the list of a process's keys goes on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KeysCursor(pub u32);

/// Where a list of entries goes on: the lives of one shard that are still to be visited, and the next shard.
///
/// The numbers of a whole shard are copied under its lock (16 bytes per entry, a few nanoseconds each): only so is a table that grows meanwhile listed without gaps or repeats.
#[derive(Clone, Debug, Default)]
pub struct SelectCursor {
    lives: Vec<(u64, Generation)>,
    next_shard: usize,
}

/// How much there is of everything. The numbers are read one after the other, not at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Holdings {
    /// Keys that a process holds.
    pub keys: usize,
    /// Those, and the ones being started or removed.
    pub entries: usize,
    /// Processes with a role, each watched by one monitor.
    pub processes: usize,
    /// For how many entries and processes there is room without growing.
    pub capacity: usize,
    /// Deaths and deliveries that the janitor has before it, and one if it is at work.
    pub pending: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    More,
    Done,
}

impl<P: Platform> Registry<P> {
    /// How many keys are held, by processes that live or whose death has not been cleaned up yet.
    pub fn count(&self) -> Result<usize, Unavailable> {
        self.serving()?;
        self.shards.iter().try_fold(0, |count, shard| Ok(count + shard.lock()?.live()))
    }

    pub fn holdings(&self) -> Result<Holdings, Unavailable> {
        self.serving()?;
        let (processes, process_capacity) = self.pids.size();
        let mut holdings = Holdings { keys: 0, entries: 0, processes, capacity: process_capacity, pending: self.inbox.pending() };
        for shard in &self.shards {
            let table = shard.lock()?;
            let (entries, capacity) = table.size();
            holdings.keys += table.live();
            holdings.entries += entries;
            holdings.capacity += capacity;
        }
        Ok(holdings)
    }

    /// Adds keys that `pid` holds to `found`, looking at no more than `visits_max` of its roles.
    pub fn keys(
        &self,
        pid: P::Pid,
        cursor: KeysCursor,
        visits_max: usize,
        found: &mut Vec<Box<[u8]>>,
    ) -> Result<Option<KeysCursor>, Unavailable> {
        self.serving()?;
        let mut lives = Vec::new();
        let visits_max = u32::try_from(visits_max.max(1)).unwrap_or(u32::MAX);
        let next = self.pids.with(pid, |record| {
            let end = record.links.end();
            let visited_end = end.min(cursor.0.saturating_add(visits_max));
            lives.extend((cursor.0..visited_end).filter_map(|place| match record.links.get(place) {
                Some(Link::Key { hash, generation }) => Some((*hash, *generation)),
                _ => None,
            }));
            (visited_end < end).then_some(KeysCursor(visited_end))
        })?;
        for (hash, generation) in lives {
            // Order: the pid shard's lock is released before, since it is taken inside a key shard's elsewhere.
            if let Some(entry) = self.serve(hash)?.life(hash, generation) {
                found.push(entry.key.as_slice().into());
            }
        }
        Ok(next.flatten())
    }

    /// Shows up to `visits_max` held keys. `each` runs under the shard's lock.
    pub fn select(
        &self,
        cursor: &mut SelectCursor,
        visits_max: usize,
        mut each: impl FnMut(&[u8], P::Pid, &P::Value),
    ) -> Result<Progress, Unavailable> {
        self.visit(cursor, visits_max, |slot| {
            if let State::Live { pid, value, .. } = &slot.state {
                each(slot.key, *pid, value);
            }
        })
    }

    /// Shows up to `visits_max` removals under way, with the remover if it lives. `each` runs under the shard's lock.
    pub fn removals(
        &self,
        cursor: &mut SelectCursor,
        visits_max: usize,
        mut each: impl FnMut(&[u8], &P::Value, Option<P::Pid>, RemovalId),
    ) -> Result<Progress, Unavailable> {
        self.visit(cursor, visits_max, |seen| {
            if let State::Tombstone { reason, remover } = &seen.state {
                let id = RemovalId { incarnation: self.incarnation, hash: seen.hash, generation: seen.generation };
                each(seen.key, reason, remover.map(|remover| remover.pid), id);
            }
        })
    }

    fn visit(&self, cursor: &mut SelectCursor, visits_max: usize, mut each: impl FnMut(Seen<'_, P>)) -> Result<Progress, Unavailable> {
        self.serving()?;
        self.guarded(|| {
            let mut visits = 0;
            while visits < visits_max.max(1) {
                visits += 1;
                if let Some((hash, generation)) = cursor.lives.pop() {
                    if let Some(entry) = self.serve(hash)?.life(hash, generation) {
                        each(Seen { hash, generation, key: &entry.key, state: &entry.state });
                    }
                } else if let Some(shard) = self.shards.get(cursor.next_shard) {
                    cursor.next_shard += 1;
                    cursor.lives.extend(shard.lock()?.iter().map(|Slot { hash, generation, .. }| (*hash, *generation)));
                } else {
                    return Ok(Progress::Done);
                }
            }
            Ok(Progress::More)
        })
    }
}

/// An entry as a list shows it.
struct Seen<'a, P: Platform> {
    hash: u64,
    generation: Generation,
    key: &'a [u8],
    state: &'a State<P>,
}
