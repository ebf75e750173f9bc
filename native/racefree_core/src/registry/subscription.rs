//! Who listens to the holder of a key.
//!
//! A subscription belongs to one life of a key. Each subscriber has a flag of its own (see [`super::recipient`]): a broadcast collects a few subscribers under the shard's
//! lock and sends outside it, and unsubscribing still ends the messages before it returns.

use smallvec::SmallVec;
use thiserror::Error;

use super::entry::{State, Subscriber};
use super::inbox::RecipientOf;
use super::pids::Link;
use super::recipient::Recipient;
use super::{Attempt, Generation, Platform, Registry, SubscribeError, SubscriptionId, Unavailable};
use crate::sync::Arc;

/// How many subscribers are collected under the lock at once.
const COLLECT_MAX: usize = 32;
/// How many places are looked at under the lock at once; more than [`COLLECT_MAX`], since places may be vacant.
const VISIT_MAX: u32 = 128;

/// Where a broadcast goes on. It never returns to a place, and places that are added after its first part are not visited.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cursor {
    pub generation: Generation,
    pub next: u32,
    pub end: u32,
}

/// One part of a broadcast.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Broadcast {
    pub sent: usize,
    pub next: Option<Cursor>,
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum BroadcastError<Value> {
    #[error("nobody holds the key")]
    NotFound,
    #[error("the holder of the key is being started")]
    Starting,
    #[error("the key is removed")]
    Removed(Value),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl<P: Platform> Registry<P> {
    /// Adds `pid` to the subscribers of a key, if the key is still of the `generation` whose process the caller monitors: the moment at which it is subscribed.
    pub fn subscribe(
        &self,
        caller: P::Caller<'_>,
        key: &[u8],
        generation: Generation,
        pid: P::Pid,
        tag: P::Tag,
    ) -> Result<SubscriptionId, SubscribeError> {
        let hash = self.hash(key);
        let stamp = self.stamp();
        let recipient = Arc::new(Recipient::new(pid, tag, stamp));
        self.guarded(|| {
            self.watched(caller, pid, (), |()| {
                let mut table = self.serve(hash)?;
                let Some(State::Live { subscribers, .. }) =
                    table.find_mut(hash, key).filter(|slot| slot.generation == generation).map(|slot| &mut slot.entry.state)
                else {
                    return Err(SubscribeError::Changed);
                };
                let link = self.pids.with(pid, |record| {
                    let link = record.links.next_place();
                    let slot = subscribers.insert(Subscriber { recipient: Arc::clone(&recipient), link });
                    record.links.insert(Link::Subscription { hash, generation, slot, recipient: Arc::clone(&recipient) })
                })?;
                Ok(link.map_or(Attempt::Unwatched(()), Attempt::Done))
            })
        })?
        .map(|link| SubscriptionId { incarnation: self.incarnation, link, stamp })
        .ok_or(SubscribeError::NoProcess)
    }

    /// Ends a subscription of `pid`: after the return nothing more is sent for it. Works whatever the status, and does nothing if the subscription is over.
    pub fn unsubscribe(&self, pid: P::Pid, id: SubscriptionId) {
        let own = |link: &Link<P>| matches!(link, Link::Subscription { recipient, .. } if (id.incarnation, id.stamp) == (self.incarnation, recipient.stamp));
        // Without the link the subscriber was silenced before: whoever takes the link away does that first.
        if let Some(Link::Subscription { hash, generation, slot, recipient }) = self.pids.unlink(pid, id.link, own) {
            self.leave(hash, generation, slot, &recipient);
        }
    }

    /// Silences a subscriber and takes it out of its entry.
    pub(super) fn leave(&self, hash: u64, generation: Generation, slot: u32, recipient: &Arc<RecipientOf<P>>) {
        // Order: silent first. A broadcast may have collected the subscriber already, and only the flag reaches it there.
        recipient.silence();
        let Ok(mut table) = self.settle(hash) else { return };
        if let Some(State::Live { subscribers, .. }) = table.life_mut(hash, generation).map(|entry| &mut entry.state) {
            let gone = subscribers.take_if(slot, |subscriber| Arc::ptr_eq(&subscriber.recipient, recipient));
            drop(table);
            drop(gone);
        }
    }

    /// Gives a message to about `sends_max` subscribers of a key, through `deliver`, which runs on this thread under the subscriber's own flag.
    ///
    /// Who is subscribed from the first part to the last gets it exactly once.
    pub fn broadcast(
        &self,
        key: &[u8],
        cursor: Option<Cursor>,
        sends_max: usize,
        mut deliver: impl FnMut(P::Pid, &P::Tag),
    ) -> Result<Broadcast, BroadcastError<P::Value>> {
        let hash = self.hash(key);
        self.guarded(|| {
            let mut done = Broadcast { sent: 0, next: cursor };
            let mut budget = sends_max;
            loop {
                let mut collected = SmallVec::<[Arc<RecipientOf<P>>; COLLECT_MAX]>::new();
                done.next = match self.collect(hash, key, done.next, budget, &mut collected) {
                    Ok(next) => next,
                    // The broadcast has begun; that the key went meanwhile ends it like an empty rest.
                    Err(BroadcastError::NotFound | BroadcastError::Starting | BroadcastError::Removed(_)) if done.next.is_some() => None,
                    Err(error) => return Err(error),
                };
                budget = budget.saturating_sub(collected.len().max(COLLECT_MAX / 4));
                done.sent += collected.iter().map(|recipient| usize::from(recipient.send(&mut deliver))).sum::<usize>();
                if done.next.is_none() || budget == 0 {
                    return Ok(done);
                }
            }
        })
    }

    /// Collects the next few subscribers and says where to go on.
    fn collect(
        &self,
        hash: u64,
        key: &[u8],
        cursor: Option<Cursor>,
        collect_max: usize,
        collected: &mut SmallVec<[Arc<RecipientOf<P>>; COLLECT_MAX]>,
    ) -> Result<Option<Cursor>, BroadcastError<P::Value>> {
        let table = self.serve(hash)?;
        let slot = table.find(hash, key).ok_or(BroadcastError::NotFound)?;
        let subscribers = match &slot.entry.state {
            State::Live { subscribers, .. } => subscribers,
            State::Starting(_) => return Err(BroadcastError::Starting),
            State::Tombstone { reason, .. } => return Err(BroadcastError::Removed(reason.clone())),
        };
        let mut cursor = cursor.unwrap_or(Cursor { generation: slot.generation, next: 0, end: subscribers.end() });
        if cursor.generation != slot.generation {
            return Ok(None);
        }
        let end = cursor.end.min(subscribers.end());
        let visited_end = end.min(cursor.next.saturating_add(VISIT_MAX));
        while cursor.next < visited_end && collected.len() < collect_max.clamp(1, COLLECT_MAX) {
            if let Some(subscriber) = subscribers.get(cursor.next) {
                collected.push(Arc::clone(&subscriber.recipient));
            }
            cursor.next += 1;
        }
        Ok((cursor.next < end).then_some(cursor))
    }
}
