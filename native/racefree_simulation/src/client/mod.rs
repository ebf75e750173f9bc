//! The user of a store: does random things to it and judges each answer by the oracle.
//!
//! One client lives as long as one opening of the store. It is driven between the store's background steps, and also in their middle, whenever
//! they touch the disk; so it never assumes that a step is whole. Left out: threads (loom and the real processes have those).

mod reads;
mod removals;
mod writes;

use crate::disk::{Machine, Process};
use crate::oracle::{Key, LiveLog, LogWrites, Oracle, Payload};
use crate::profile::{Action, LARGE_PAYLOAD_FACTOR, Profile};
use fastrand::Rng;
use racefree_core::store::{Failure, Lease, Log, Lsn, Offset, Removal, Sequence, Store, Waiter};
use reads::HeldReader;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use reads::observe;

/// `Err` says what the store did that it must not.
pub type Verdict<T = ()> = Result<T, String>;

/// What was told to waiters, by whom nobody knows when.
type Inbox = Arc<Mutex<Vec<Notice>>>;

struct Notice {
    awaited: Awaited,
    outcome: Result<Lsn, Failure>,
    /// The store's watermark when it told.
    durable_lsn: Lsn,
}

#[derive(Debug, Clone, Copy)]
enum Awaited {
    Lsn(Lsn),
    /// The place of an event in the write-ahead log; with it, so many events are durable.
    Sequence(usize),
}

/// A log as the client uses it.
struct Handle {
    log: Log<Process>,
    lease: Option<Lease<Process>>,
    removal: Option<Removal<Process>>,
}

/// The transaction that is open.
struct OpenTransaction {
    lsn: Lsn,
    writes: BTreeMap<Key, LogWrites>,
}

pub struct Client {
    rng: Rng,
    profile: Profile,
    oracle: Oracle,
    machine: Machine,
    store: Store<Process>,
    handles: BTreeMap<Key, Handle>,
    /// Of logs that were removed: they must stay so, whatever takes the key.
    ghosts: Vec<Log<Process>>,
    /// Fenced by a later lease of the same log.
    fenced: Vec<Lease<Process>>,
    open: Option<OpenTransaction>,
    readers: Vec<HeldReader>,
    /// What can be waited for besides commits, and the position that it stands for.
    sequences: Vec<(Sequence, usize)>,
    /// Waiters that were not called yet.
    waiting: usize,
    inbox: Inbox,
    durable_lsn: Lsn,
    is_draining: bool,
    is_shut_down: bool,
}

impl Client {
    /// Takes over a store that `oracle` agreed with.
    pub fn new(machine: Machine, store: Store<Process>, oracle: Oracle, profile: Profile, rng: Rng) -> Self {
        let inbox = Inbox::default();
        let durable_lsn = store.durable_lsn();
        Self {
            rng,
            profile,
            oracle,
            machine,
            store,
            handles: BTreeMap::new(),
            ghosts: Vec::new(),
            fenced: Vec::new(),
            open: None,
            readers: Vec::new(),
            sequences: Vec::new(),
            waiting: 0,
            inbox,
            durable_lsn,
            is_draining: false,
            is_shut_down: false,
        }
    }

    fn note(&self, text: impl FnOnce() -> String) {
        self.machine.tell(text);
    }

    pub fn drop_readers(&mut self) {
        self.readers.clear();
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// A background step begins, and perhaps a batch with it: see [`Oracle::begin_batch`]. What former batches made durable is heard before, all of
    /// it: who asks later would take it for the work of this one.
    pub fn begin_batch(&mut self) -> Verdict {
        self.hear_sequences();
        self.listen()?;
        self.oracle.begin_batch();
        Ok(())
    }

    /// Asks for all that is durable by now and that nobody waited for.
    fn hear_sequences(&mut self) {
        let floor = self.oracle.floor();
        let unheard: Vec<_> = self.sequences.iter().copied().filter(|(_, position)| *position > floor).collect();
        for (sequence, position) in unheard {
            let waiter = self.waiter(Awaited::Sequence(position));
            let id = self.store.await_sequence(sequence, waiter);
            if self.store.cancel(id) {
                self.waiting -= 1;
                return;
            }
        }
    }

    pub fn store(&self) -> &Store<Process> {
        &self.store
    }

    /// Refuses appends from now on, like the store.
    pub fn begin_drain(&mut self) {
        self.is_draining = true;
        self.open = None;
        self.store.begin_drain();
    }

    /// Does one random thing.
    pub fn act(&mut self) -> Verdict {
        let action = self.profile.action(&mut self.rng);
        let result = match action {
            Action::Append => self.append(),
            Action::AppendOutOfTurn => self.append_out_of_turn(),
            Action::Commit => self.commit(),
            Action::Abort => self.abort(),
            Action::Transact => self.transact(),
            Action::Fence => self.fence(),
            Action::KillWriter => self.kill_writer(),
            Action::Trim => self.trim(),
            Action::BeginRemove => self.begin_remove(),
            Action::FinishRemove => self.finish_remove(),
            Action::Read => self.read(),
            Action::HoldReader => self.hold_reader(),
            Action::UseReader => self.use_reader(),
            Action::Snapshot => self.snapshot(),
            Action::Wait => self.wait(),
            Action::Ghost => self.ask_ghosts(),
        };
        result.map_err(|problem| format!("{action:?}: {problem}"))?;
        self.listen()
    }

    /// Takes note of what was announced, and checks that the watermarks keep their order.
    pub fn listen(&mut self) -> Verdict {
        let notices = std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner));
        self.waiting = self.waiting.saturating_sub(notices.len());
        for notice in notices {
            if let (Ok(_), Awaited::Sequence(position)) = (&notice.outcome, notice.awaited) {
                self.oracle.announce(position);
            } else if let (Ok(lsn), Awaited::Lsn(awaited)) = (notice.outcome, notice.awaited) {
                if lsn < awaited {
                    return Err(format!("who waited for lsn {awaited} was told of {lsn}"));
                }
                if lsn > notice.durable_lsn {
                    return Err(format!("who waited was told of lsn {lsn}, and the store said {}", notice.durable_lsn));
                }
                self.oracle.announce_lsn(lsn)?;
            } else if !self.is_excused() {
                return Err(format!("who waited for {:?} got a failure, and the store has none", notice.awaited));
            }
        }
        let durable = self.store.durable_lsn();
        let visible = self.store.visible_lsn();
        if durable < self.durable_lsn {
            return Err(format!("the durable lsn went back from {} to {durable}", self.durable_lsn));
        }
        if durable > visible {
            return Err(format!("lsn {durable} is durable, and only {visible} visible"));
        }
        if visible != self.oracle.newest().lsn {
            return Err(format!("lsn {visible} is visible, and {} was committed last", self.oracle.newest().lsn));
        }
        self.durable_lsn = durable;
        self.oracle.announce_lsn(durable)
    }

    /// Lets go of the store; what is left is what was announced. Nobody waits any longer then: a waiter holds the store, and the store its waiters.
    pub fn end(mut self) -> (Oracle, Verdict) {
        let verdict = self.listen().and_then(|()| self.shut_down());
        (self.oracle, verdict)
    }

    fn shut_down(&mut self) -> Verdict {
        self.store.shut_down();
        self.is_shut_down = true;
        self.listen()?;
        match self.waiting {
            0 => Ok(()),
            left => Err(format!("the store was shut down, and {left} waiters were not called")),
        }
    }

    /// The store may refuse what it otherwise must do: it failed, it is draining or shut down, or its process is dead and nobody hears it.
    fn is_excused(&self) -> bool {
        self.is_draining || self.is_shut_down || self.store.failure().is_some() || self.machine.has_crashed()
    }

    /// Checks, when all background work is done, that nobody waits any longer.
    pub fn check_quiet(&mut self) -> Verdict {
        self.listen()?;
        if self.waiting > 0 && !self.is_excused() {
            return Err(format!("all work is done, and {} waiters were not called", self.waiting));
        }
        let durable = self.store.durable_lsn();
        if durable != self.oracle.newest().lsn && !self.is_excused() {
            return Err(format!("all work is done, and durable is {durable}, not {}", self.oracle.newest().lsn));
        }
        Ok(())
    }

    fn waiter(&mut self, awaited: Awaited) -> Waiter {
        let inbox = self.inbox.clone();
        let store = self.store.clone();
        self.waiting += 1;
        Box::new(move |outcome| {
            // A waiter may call the store: it runs under no lock.
            let durable_lsn = store.durable_lsn();
            inbox.lock().unwrap_or_else(PoisonError::into_inner).push(Notice { awaited, outcome, durable_lsn });
        })
    }

    fn random_key(&mut self) -> Key {
        format!("log-{}", self.rng.u8(0..self.profile.keys)).into_bytes()
    }

    /// A key whose log lives.
    fn live_key(&mut self) -> Option<Key> {
        let live = self.oracle.newest().logs.keys().filter(|key| self.oracle.newest().live(key).is_some());
        let keys: Vec<Key> = live.cloned().collect();
        self.rng.choice(keys)
    }

    fn payload(&mut self) -> Payload {
        let length = match self.rng.u8(0..20) {
            0 => 0,
            1 => self.rng.usize(0..self.profile.payload_bytes_max * LARGE_PAYLOAD_FACTOR),
            _ => self.rng.usize(0..self.profile.payload_bytes_max),
        };
        let first = self.rng.u8(..);
        (0..length).map(|index| first.wrapping_add((index % 251) as u8)).collect()
    }

    /// An offset at, near or far from the given ones.
    fn offset_near(&mut self, offsets: &[Offset]) -> Offset {
        let near = self.rng.choice(offsets).copied().unwrap_or(Offset::START);
        match self.rng.u8(0..10) {
            0 => Offset::START,
            1 => Offset::END,
            2 => Offset { tx: near.tx, op: u64::MAX },
            3 => Offset { tx: near.tx, op: near.op.saturating_sub(1) },
            4 => Offset { tx: near.tx.saturating_add(1), op: 0 },
            5 => Offset { tx: self.rng.u64(..), op: self.rng.u64(..) },
            _ => near,
        }
    }
}

fn offsets(log: &LiveLog) -> Vec<Offset> {
    log.records.iter().map(|(offset, _)| *offset).collect()
}
