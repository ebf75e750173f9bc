//! Removing a key in two phases: from the first on nobody gets it, at the second it is free again.
//!
//! A tombstone outlives its remover: what was half removed must not be started again because somebody crashed. Another remover takes it over, under a new generation.

use super::entry::{Remover, State};
use super::pids::Link;
use super::{Attempt, BeginRemoveError, Event, FinishRemoveError, Generation, Notice, Platform, Registry, RemovalId};

/// A removal that has begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Removal<Pid> {
    pub id: RemovalId,
    /// Who held the key. It lives on, without the key.
    pub owner: Option<Pid>,
}

/// What a removal found in the key's place.
enum Found {
    Nothing,
    Life(Generation),
}

impl<P: Platform> Registry<P> {
    /// From the return until [`Registry::finish_remove`] no lookup, registration, start or subscription of the key succeeds.
    pub fn begin_remove(
        &self,
        caller: P::Caller<'_>,
        key: &[u8],
        remover: P::Pid,
        reason: P::Value,
    ) -> Result<Removal<P::Pid>, BeginRemoveError<P::Pid, P::Value>> {
        let hash = self.hash(key);
        let begun = self.guarded(|| self.watched(caller, remover, reason, |reason| self.try_begin_remove(hash, key, remover, reason)))?;
        let (removal, former) = begun.ok_or(BeginRemoveError::NoProcess)?;
        drop(former);
        Ok(removal)
    }

    fn try_begin_remove(
        &self,
        hash: u64,
        key: &[u8],
        pid: P::Pid,
        reason: P::Value,
    ) -> Result<Attempt<P::Value, (Removal<P::Pid>, Option<State<P>>)>, BeginRemoveError<P::Pid, P::Value>> {
        let mut table = self.serve(hash)?;
        let found = match table.find(hash, key) {
            None => Found::Nothing,
            Some(slot) => match &slot.entry.state {
                State::Tombstone { reason, remover: Some(remover) } => {
                    return Err(BeginRemoveError::Removed { reason: reason.clone(), remover: remover.pid, generation: slot.generation });
                }
                _ => Found::Life(slot.generation),
            },
        };
        let generation = table.coming_generation();
        let Some(link) = self.pids.link(pid, Link::Removal { hash, generation })? else { return Ok(Attempt::Unwatched(reason)) };
        let tombstone = State::Tombstone { reason: reason.clone(), remover: Some(Remover { pid, link }) };
        let mut removal = Removal { id: RemovalId { incarnation: self.incarnation, hash, generation }, owner: None };
        let mut left = None;
        match found {
            Found::Nothing => {
                table.insert(hash, key, tombstone);
            }
            Found::Life(former) => match table.replace(hash, former, tombstone) {
                Some((_, State::Starting(starting))) => self.end_start(hash, former, starting, Notice::Removed(reason)),
                Some((_, mut state)) => {
                    self.end_live(hash, former, &mut state);
                    if let State::Live { pid, .. } = &state {
                        let pid = *pid;
                        removal.owner = Some(pid);
                        self.report(|| Event::Unregistered { key: key.into(), pid });
                    }
                    left = Some(state);
                }
                None => {}
            },
        }
        self.report(|| Event::RemovalStarted { key: key.into(), remover: pid, owner: removal.owner });
        Ok(Attempt::Done((removal, left)))
    }

    /// The key is free again.
    pub fn finish_remove(&self, id: RemovalId) -> Result<(), FinishRemoveError> {
        if id.incarnation != self.incarnation {
            return Err(FinishRemoveError::Stale);
        }
        let gone = self.guarded(|| {
            let mut table = self.settle(id.hash)?;
            let Some(State::Tombstone { remover, .. }) = table.life(id.hash, id.generation).map(|entry| &entry.state) else {
                return Err(FinishRemoveError::Stale);
            };
            if let Some(remover) = remover {
                let own =
                    |link: &Link<P>| matches!(link, Link::Removal { hash, generation } if (*hash, *generation) == (id.hash, id.generation));
                self.pids.unlink(remover.pid, remover.link, own);
            }
            let gone = table.remove(id.hash, id.generation);
            if let Some(gone) = &gone {
                self.report(|| Event::RemovalFinished { key: gone.key.as_slice().into() });
            }
            Ok(gone)
        })?;
        drop(gone);
        Ok(())
    }
}
