//! Single-flight starts: of all who want a key's process at once, one starts it and the others wait for the outcome.
//!
//! A lead has a number. It passes on, with a new number, when its holder resigns or dies; it ends when anybody registers the key, the leader publishes or abandons, or a removal begins.
//! Invariant: at any moment at most one number of a key is good, and a waiter is told exactly one notice unless it cancels first.

use super::entry::{Entry, Starting, State, Table, Waiter, Waiters};
use super::inbox::{Answer, Job};
use super::names::Live;
use super::pids::Link;
use super::recipient::{Recipient, Silenced};
use super::{Attempt, EnterError, Event, Generation, LeadError, LeadId, Notice, Platform, PublishError, Registry, WaitId};
use crate::sync::Arc;

/// What a process that wants a key's process has to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Enter<Pid, Value> {
    /// Run the starter; then publish, abandon or resign.
    Lead(LeadId),
    /// Nothing, if that process lives.
    Live(Live<Pid, Value>),
    /// Wait for the notice, or cancel.
    Waiting(WaitId),
}

/// What a waiter that gave up finds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cancelled {
    /// Nothing was sent and nothing will be.
    Silent,
    /// The notice was sent before: it is there to be received.
    Delivered,
}

/// Why a lead passes on.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum HandOver {
    Resigned,
    Died,
}

impl<P: Platform> Registry<P> {
    /// Wants the process of a key: leads its start, finds it, or waits for the one who leads.
    pub fn enter(
        &self,
        caller: P::Caller<'_>,
        key: &[u8],
        pid: P::Pid,
        tag: P::Tag,
    ) -> Result<Enter<P::Pid, P::Value>, EnterError<P::Value>> {
        let hash = self.hash(key);
        self.guarded(|| self.watched(caller, pid, tag, |tag| self.try_enter(hash, key, pid, tag)))?.ok_or(EnterError::NoProcess)
    }

    fn try_enter(
        &self,
        hash: u64,
        key: &[u8],
        pid: P::Pid,
        tag: P::Tag,
    ) -> Result<Attempt<P::Tag, Enter<P::Pid, P::Value>>, EnterError<P::Value>> {
        let mut table = self.serve(hash)?;
        let coming = table.coming_generation();
        let Some(slot) = table.find_mut(hash, key) else {
            let lead = self.stamp();
            let Some(link) = self.pids.link(pid, Link::Lead { hash, generation: coming, lead })? else {
                return Ok(Attempt::Unwatched(tag));
            };
            let generation = table.insert(hash, key, State::Starting(Starting { leader: pid, link, lead, waiters: Waiters::new() }));
            return Ok(Attempt::Done(Enter::Lead(LeadId { incarnation: self.incarnation, hash, generation, lead })));
        };
        let generation = slot.generation;
        match &mut slot.entry.state {
            State::Live { pid, value, .. } => Ok(Attempt::Done(Enter::Live(Live { pid: *pid, value: value.clone(), generation }))),
            State::Tombstone { reason, .. } => Err(EnterError::Removed(reason.clone())),
            State::Starting(Starting { leader, .. }) if *leader == pid => Err(EnterError::AlreadyLeading),
            State::Starting(Starting { waiters, .. }) => {
                let mut tag = Some(tag);
                let linked = self.pids.with(pid, |record| {
                    let stamp = self.stamp();
                    let recipient = Arc::new(Recipient::new(pid, tag.take()?, stamp));
                    let link = record.links.insert(Link::Wait { hash, generation, recipient: Arc::clone(&recipient) });
                    waiters.insert(stamp, Waiter { recipient, link });
                    Some(WaitId { incarnation: self.incarnation, link, stamp })
                })?;
                match (linked.flatten(), tag) {
                    (Some(wait), _) => Ok(Attempt::Done(Enter::Waiting(wait))),
                    (None, Some(tag)) => Ok(Attempt::Unwatched(tag)),
                    (None, None) => Err(EnterError::NoProcess),
                }
            }
        }
    }

    /// The leader's starter gave `pid`: it holds the key now, unless it registered itself meanwhile.
    pub fn publish(
        &self,
        caller: P::Caller<'_>,
        key: &[u8],
        lead: LeadId,
        pid: P::Pid,
        value: P::Value,
    ) -> Result<Generation, PublishError<P::Pid, P::Value>> {
        let hash = self.hash(key);
        let published = self.guarded(|| self.watched(caller, pid, value, |value| self.try_publish(hash, key, lead, pid, value)))?;
        published.ok_or_else(|| {
            // A lead that was lost in between is nobody's loss.
            let _stale = self.resign(lead);
            PublishError::NoProcess
        })
    }

    fn try_publish(
        &self,
        hash: u64,
        key: &[u8],
        lead: LeadId,
        pid: P::Pid,
        value: P::Value,
    ) -> Result<Attempt<P::Value, Generation>, PublishError<P::Pid, P::Value>> {
        if lead.incarnation != self.incarnation {
            return Err(PublishError::Stale);
        }
        let mut table = self.serve(hash)?;
        let slot = table.find(hash, key).ok_or(PublishError::Stale)?;
        let generation = slot.generation;
        match &slot.entry.state {
            State::Live { pid: holder, .. } if *holder == pid => Ok(Attempt::Done(generation)),
            State::Live { pid, .. } => Err(PublishError::RegisteredByOther { pid: *pid, generation }),
            State::Tombstone { reason, .. } => Err(PublishError::Removed(reason.clone())),
            State::Starting(starting) if (generation, starting.lead) == (lead.generation, lead.lead) => {
                self.put_live(&mut table, hash, key, Some(generation), pid, value).map_err(PublishError::from)
            }
            State::Starting(_) => Err(PublishError::Stale),
        }
    }

    /// The leader's starter failed: all waiters are told why, the key is free.
    pub fn abandon(&self, lead: LeadId, reason: P::Value) -> Result<(), LeadError> {
        let gone = self.guarded(|| {
            let mut table = self.lead(&lead)?;
            let Some(gone) = table.remove(lead.hash, lead.generation) else { return Err(LeadError::Stale) };
            if let State::Starting(former) = gone.state {
                self.end_start(lead.hash, lead.generation, former, Notice::Failed(reason));
            }
            Ok(gone.key)
        })?;
        drop(gone);
        Ok(())
    }

    /// The leader gives up: the next waiter leads; without one the key is free.
    pub fn resign(&self, lead: LeadId) -> Result<(), LeadError> {
        let gone = self.guarded(|| {
            let mut table = self.lead(&lead)?;
            Ok::<_, LeadError>(self.hand_over(&mut table, lead.hash, lead.generation, HandOver::Resigned))
        })?;
        drop(gone);
        Ok(())
    }

    /// The shard of a lead that is still good.
    fn lead(&self, lead: &LeadId) -> Result<crate::sync::MutexGuard<'_, Table<P>>, LeadError> {
        if lead.incarnation != self.incarnation {
            return Err(LeadError::Stale);
        }
        let table = self.settle(lead.hash)?;
        if leads(&table, lead.hash, lead.generation, lead.lead) { Ok(table) } else { Err(LeadError::Stale) }
    }

    /// A waiter gives up. Works whatever the status.
    pub fn cancel_wait(&self, pid: P::Pid, id: WaitId) -> Cancelled {
        let own = |link: &Link<P>| matches!(link, Link::Wait { recipient, .. } if (id.incarnation, id.stamp) == (self.incarnation, recipient.stamp));
        // Without the link the janitor has told the waiter: it takes the link away only after that.
        let Some(Link::Wait { hash, generation, recipient }) = self.pids.unlink(pid, id.link, own) else { return Cancelled::Delivered };
        match recipient.silence() {
            Silenced::Answered => Cancelled::Delivered,
            Silenced::Unanswered => {
                self.guarded(|| self.forget_waiter(hash, generation, id.stamp, HandOver::Resigned));
                Cancelled::Silent
            }
        }
    }

    /// A waiter, silent already, is no candidate any more; if it was made leader and has not heard of it, the next one leads.
    pub(super) fn forget_waiter(&self, hash: u64, generation: Generation, stamp: u64, why: HandOver) {
        let Ok(mut table) = self.settle(hash) else { return };
        if leads(&table, hash, generation, stamp) {
            let gone = self.hand_over(&mut table, hash, generation, why);
            drop(table);
            drop(gone);
        } else if let Some(State::Starting(starting)) = table.life_mut(hash, generation).map(|entry| &mut entry.state) {
            let gone = starting.waiters.remove(&stamp);
            drop(table);
            drop(gone);
        }
    }

    /// Ends the lead of a start and gives it to the next waiter that lives. Without one the entry goes.
    pub(super) fn hand_over(&self, table: &mut Table<P>, hash: u64, generation: Generation, why: HandOver) -> Option<Box<Entry<P>>> {
        let entry = table.life_mut(hash, generation)?;
        let State::Starting(starting) = &mut entry.state else { return None };
        self.unlink_lead(hash, generation, starting);
        if why == HandOver::Died {
            self.report(|| Event::LeaderDown { key: entry.key.as_slice().into(), leader: starting.leader });
        }
        while let Some((lead, waiter)) = starting.waiters.pop_first() {
            // A waiter without a record is dead; the janitor has its link and needs nothing from here.
            let Ok(Some(link)) = self.pids.link(waiter.recipient.pid, Link::Lead { hash, generation, lead }) else { continue };
            starting.leader = waiter.recipient.pid;
            starting.lead = lead;
            starting.link = link;
            let notice = Notice::Lead(LeadId { incarnation: self.incarnation, hash, generation, lead });
            self.inbox.push(Job::Answer(Box::new(Answer { waiters: Waiters::from([(lead, waiter)]), notice })));
            return None;
        }
        table.remove(hash, generation)
    }

    pub(super) fn unlink_lead(&self, hash: u64, generation: Generation, starting: &Starting<P>) {
        let own = |link: &Link<P>| matches!(link, Link::Lead { hash: h, generation: g, lead } if (*h, *g, *lead) == (hash, generation, starting.lead));
        self.pids.unlink(starting.leader, starting.link, own);
    }
}

/// Whether this number is the good one.
pub(super) fn leads<P: Platform>(table: &Table<P>, hash: u64, generation: Generation, lead: u64) -> bool {
    table.life(hash, generation).is_some_and(|entry| matches!(&entry.state, State::Starting(starting) if starting.lead == lead))
}
