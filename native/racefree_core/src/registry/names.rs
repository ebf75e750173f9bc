//! Who holds a key: register, unregister, look up.

use super::entry::{Entry, Starting, State, Table};
use super::inbox::{Answer, Job};
use super::pids::Link;
use super::{Attempt, Event, Generation, LookupError, Notice, Platform, PutValueError, RegisterError, Registry, Unavailable};

/// The holder of a key, at the moment of the lookup.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Live<Pid, Value> {
    pub pid: Pid,
    pub value: Value,
    pub generation: Generation,
}

impl<P: Platform> Registry<P> {
    /// Who holds the key.
    ///
    /// Invariant: an entry may outlive its process until the janitor comes; the caller asks the virtual machine whether it lives before it trusts the answer.
    pub fn lookup(&self, key: &[u8]) -> Result<Live<P::Pid, P::Value>, LookupError<P::Value>> {
        let hash = self.hash(key);
        self.guarded(|| {
            let table = self.serve(hash)?;
            let slot = table.find(hash, key).ok_or(LookupError::NotFound)?;
            match &slot.entry.state {
                State::Live { pid, value, .. } => Ok(Live { pid: *pid, value: value.clone(), generation: slot.generation }),
                State::Starting(_) => Err(LookupError::Starting),
                State::Tombstone { reason, .. } => Err(LookupError::Removed(reason.clone())),
            }
        })
    }

    /// Makes `pid` the holder of a key that nobody holds; a start under way is fulfilled by it.
    pub fn register(
        &self,
        caller: P::Caller<'_>,
        key: &[u8],
        pid: P::Pid,
        value: P::Value,
    ) -> Result<Generation, RegisterError<P::Pid, P::Value>> {
        let hash = self.hash(key);
        self.guarded(|| self.watched(caller, pid, value, |value| self.try_register(hash, key, pid, value)))?.ok_or(RegisterError::NoProcess)
    }

    fn try_register(
        &self,
        hash: u64,
        key: &[u8],
        pid: P::Pid,
        value: P::Value,
    ) -> Result<Attempt<P::Value, Generation>, RegisterError<P::Pid, P::Value>> {
        let mut table = self.serve(hash)?;
        let starting = match table.find(hash, key) {
            None => None,
            Some(slot) => match &slot.entry.state {
                State::Starting(_) => Some(slot.generation),
                State::Live { pid, .. } => return Err(RegisterError::AlreadyRegistered { pid: *pid, generation: slot.generation }),
                State::Tombstone { reason, .. } => return Err(RegisterError::Removed(reason.clone())),
            },
        };
        self.put_live(&mut table, hash, key, starting, pid, value).map_err(RegisterError::from)
    }

    /// Makes `pid` the holder of a key that is absent, or being started in the generation `starting`.
    pub(super) fn put_live(
        &self,
        table: &mut Table<P>,
        hash: u64,
        key: &[u8],
        starting: Option<Generation>,
        pid: P::Pid,
        value: P::Value,
    ) -> Result<Attempt<P::Value, Generation>, Unavailable> {
        let generation = table.coming_generation();
        let Some(link) = self.pids.link(pid, Link::Key { hash, generation })? else { return Ok(Attempt::Unwatched(value)) };
        self.report(|| Event::Registered { key: key.into(), pid, value: value.clone() });
        match starting {
            None => {
                table.insert(hash, key, State::Live { pid, link, value, subscribers: super::slots::Slots::new() });
            }
            Some(starting) => {
                let live = State::Live { pid, link, value: value.clone(), subscribers: super::slots::Slots::new() };
                if let Some((generation, State::Starting(former))) = table.replace(hash, starting, live) {
                    self.end_start(hash, starting, former, Notice::Started { pid, value, generation });
                }
            }
        }
        Ok(Attempt::Done(generation))
    }

    /// A start is over: the leader loses its role, the waiters get their answer.
    pub(super) fn end_start(&self, hash: u64, generation: Generation, former: Starting<P>, notice: Notice<P::Pid, P::Value>) {
        self.unlink_lead(hash, generation, &former);
        if !former.waiters.is_empty() {
            self.inbox.push(Job::Answer(Box::new(Answer { waiters: former.waiters, notice })));
        }
    }

    /// Frees a key that `pid` holds. A key that it does not hold stays as it is.
    pub fn unregister(&self, key: &[u8], pid: P::Pid) -> Result<(), Unavailable> {
        let hash = self.hash(key);
        let gone = self.guarded(|| {
            let mut table = self.settle(hash)?;
            let generation = match table.find(hash, key) {
                Some(slot) if matches!(&slot.entry.state, State::Live { pid: holder, .. } if *holder == pid) => slot.generation,
                _ => return Ok(None),
            };
            let gone = self.remove_live(&mut table, hash, generation);
            self.report(|| Event::Unregistered { key: key.into(), pid });
            Ok(gone)
        })?;
        drop(gone);
        Ok(())
    }

    /// The value of a key that `pid` holds becomes another.
    pub fn put_value(&self, key: &[u8], pid: P::Pid, value: P::Value) -> Result<(), PutValueError> {
        let hash = self.hash(key);
        let former = self.guarded(|| {
            let mut table = self.serve(hash)?;
            match table.find_mut(hash, key).map(|slot| &mut slot.entry.state) {
                Some(State::Live { pid: holder, value: place, .. }) if *holder == pid => Ok(std::mem::replace(place, value)),
                _ => Err(PutValueError::NotFound),
            }
        })?;
        drop(former);
        Ok(())
    }

    /// The caller saw dead the holder, or the remover, of this generation: what its `down` will do is done now. Does nothing if the generation is over.
    pub fn evict(&self, key: &[u8], generation: Generation) -> Result<(), Unavailable> {
        let hash = self.hash(key);
        let gone = self.guarded(|| {
            let mut table = self.settle(hash)?;
            match table.find(hash, key) {
                Some(slot) if slot.generation == generation => Ok(self.bury_holder(&mut table, hash, generation)),
                _ => Ok(None),
            }
        })?;
        drop(gone);
        Ok(())
    }

    /// The holder or remover of this life is dead.
    pub(super) fn bury_holder(&self, table: &mut Table<P>, hash: u64, generation: Generation) -> Option<Box<Entry<P>>> {
        let entry = table.life_mut(hash, generation)?;
        match &mut entry.state {
            State::Live { pid, .. } => {
                let pid = *pid;
                let gone = self.remove_live(table, hash, generation)?;
                self.report(|| Event::Down { key: gone.key.as_slice().into(), pid });
                Some(gone)
            }
            State::Tombstone { remover, .. } => {
                if let Some(remover) = remover.take() {
                    self.pids.unlink(
                        remover.pid,
                        remover.link,
                        |link| matches!(link, Link::Removal { hash: h, generation: g } if (*h, *g) == (hash, generation)),
                    );
                    self.report(|| Event::RemoverDown { key: entry.key.as_slice().into(), remover: remover.pid });
                }
                None
            }
            // A leader's death is heard of in any case, and nobody acts on a leader's pid in the meantime.
            State::Starting(_) => None,
        }
    }

    /// Takes a live entry out. Its subscribers get no broadcasts any more; that may take long and is the janitor's.
    fn remove_live(&self, table: &mut Table<P>, hash: u64, generation: Generation) -> Option<Box<Entry<P>>> {
        let mut gone = table.remove(hash, generation)?;
        self.end_live(hash, generation, &mut gone.state);
        Some(gone)
    }

    /// A live state is over: the holder loses its role, the subscribers are given to the janitor.
    pub(super) fn end_live(&self, hash: u64, generation: Generation, former: &mut State<P>) {
        if let State::Live { pid, link, subscribers, .. } = former {
            self.pids.unlink(*pid, *link, |link| matches!(link, Link::Key { hash: h, generation: g } if (*h, *g) == (hash, generation)));
            if !subscribers.is_empty() {
                self.inbox.push(Job::Dissolve(std::mem::replace(subscribers, super::slots::Slots::new())));
            }
        }
    }
}
