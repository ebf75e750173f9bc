//! What the registry promises of one key, as a plain sequential state: every operation with its result is a step that the state allows or does not.
//!
//! Keys do not influence each other, so one key's state is enough, and histories may be checked key by key. Numbers (generations, stamps) are taken over from what the registry gave,
//! if they are new. A few steps have more than one outcome: whether a process that just died is still made leader is not promised.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Cancelled, Event, Generation, Notice};
use super::world::{Pid, Value};

/// What an operation on a key did and gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Lookup {
        seen: Result<(Pid, Value, Generation), Miss>,
    },
    Register {
        pid: Pid,
        value: Value,
        seen: Result<Generation, Miss>,
    },
    Unregister {
        pid: Pid,
    },
    PutValue {
        pid: Pid,
        value: Value,
        seen: Result<(), Miss>,
    },
    Subscribe {
        pid: Pid,
        generation: Generation,
        seen: Result<u64, Miss>,
    },
    Unsubscribe {
        stamp: u64,
    },
    /// Stamps of who was reached, ascending. A step of sequential histories only: a broadcast is no atomic operation.
    Broadcast {
        seen: Result<Vec<u64>, Miss>,
    },
    Enter {
        pid: Pid,
        seen: Result<Entered, Miss>,
    },
    Publish {
        lead: u64,
        pid: Pid,
        value: Value,
        seen: Result<Generation, Miss>,
    },
    Abandon {
        lead: u64,
        reason: Value,
        seen: Result<(), Miss>,
    },
    Resign {
        lead: u64,
        seen: Result<(), Miss>,
    },
    Cancel {
        stamp: u64,
        seen: Cancelled,
    },
    Receive {
        stamp: u64,
        seen: Told,
    },
    BeginRemove {
        pid: Pid,
        reason: Value,
        seen: Result<(Generation, Option<Pid>), Miss>,
    },
    FinishRemove {
        generation: Generation,
        seen: Result<(), Miss>,
    },
    /// The holder or remover of this life was seen dead.
    Evict {
        generation: Generation,
    },
    Die {
        pid: Pid,
    },
    /// The registry follows a death: one role at a time.
    Bury {
        pid: Pid,
        role: Role,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    Holder,
    Leader,
    Waiter,
    Remover,
    Subscriber,
}

pub(super) const ROLES: [Role; 5] = [Role::Holder, Role::Leader, Role::Waiter, Role::Remover, Role::Subscriber];

/// Why an operation gave nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Miss {
    NotFound,
    Starting,
    Removed(Value),
    RemovedBy(Value, Pid, Generation),
    HeldBy(Pid, Generation),
    Changed,
    AlreadyLeading,
    NoProcess,
    Stale,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Entered {
    Lead(u64),
    Live(Pid, Value, Generation),
    Waiting(u64),
}

/// A notice, as far as it is promised.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Told {
    Started(Pid, Value),
    Failed(Value),
    Lead(u64),
    Removed(Value),
}

impl Told {
    pub(super) fn of(notice: &Notice<Pid, Value>) -> Self {
        match notice {
            Notice::Started { pid, value, .. } => Self::Started(*pid, *value),
            Notice::Failed(reason) => Self::Failed(*reason),
            Notice::Lead(lead) => Self::Lead(lead.lead),
            Notice::Removed(reason) => Self::Removed(*reason),
            Notice::Closed => panic!("the registry is not closed here"),
        }
    }
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct KeyModel {
    pub(super) state: KeyState,
    /// Who died, whether the registry has followed or not.
    dead: BTreeSet<Pid>,
    /// Answers that waiters have got or will get.
    told: BTreeMap<u64, (Pid, Told)>,
    generation_max: Generation,
    /// What happened, unless nobody wants to hear of it.
    events: Option<Vec<EventSeen>>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum KeyState {
    Absent,
    Starting { leader: Pid, lead: u64, waiters: BTreeMap<u64, Pid> },
    Live { pid: Pid, value: Value, generation: Generation, subscribers: BTreeMap<u64, Pid> },
    Tombstone { reason: Value, remover: Option<Pid>, generation: Generation },
}

/// An event without its key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum EventSeen {
    Registered(Pid, Value),
    Unregistered(Pid),
    Down(Pid),
    RemovalStarted(Pid, Option<Pid>),
    RemovalFinished,
    RemoverDown(Pid),
    LeaderDown(Pid),
}

impl EventSeen {
    pub(super) fn of(event: Event<Pid, Value>) -> (Box<[u8]>, Self) {
        match event {
            Event::Registered { key, pid, value } => (key, Self::Registered(pid, value)),
            Event::Unregistered { key, pid } => (key, Self::Unregistered(pid)),
            Event::Down { key, pid } => (key, Self::Down(pid)),
            Event::RemovalStarted { key, remover, owner } => (key, Self::RemovalStarted(remover, owner)),
            Event::RemovalFinished { key } => (key, Self::RemovalFinished),
            Event::RemoverDown { key, remover } => (key, Self::RemoverDown(remover)),
            Event::LeaderDown { key, leader } => (key, Self::LeaderDown(leader)),
            Event::Poisoned => panic!("nothing is poisoned here"),
        }
    }
}

impl KeyModel {
    pub(super) fn new() -> Self {
        Self {
            state: KeyState::Absent,
            dead: BTreeSet::new(),
            told: BTreeMap::new(),
            generation_max: Generation(0),
            events: Some(Vec::new()),
        }
    }

    /// Without events, which would keep states apart that are otherwise the same.
    pub(super) fn silent() -> Self {
        Self { events: None, ..Self::new() }
    }

    /// The events since the last call.
    pub(super) fn take_events(&mut self) -> Vec<EventSeen> {
        self.events.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn report(&mut self, event: EventSeen) {
        self.events.iter_mut().for_each(|events| events.push(event));
    }

    /// Answers that waiters have not received.
    pub(super) fn told(&self) -> impl Iterator<Item = (u64, Pid, Told)> {
        self.told.iter().map(|(stamp, (pid, told))| (*stamp, *pid, *told))
    }

    /// The states after a step; none if the step cannot happen here.
    pub(super) fn after(&self, step: &Step) -> Vec<Self> {
        let mut next = self.clone();
        let allowed = match step {
            Step::Bury { role: Role::Leader, pid } => return self.bury_leader(*pid),
            Step::Cancel { stamp, seen: Cancelled::Silent } => return self.cancel(*stamp),
            Step::Resign { lead, seen: Ok(()) } => return if next.leads(*lead) { next.hand_over() } else { Vec::new() },
            Step::Bury { role: Role::Waiter, pid } => return self.bury_waiter(*pid),
            Step::Publish { lead, pid, seen: Err(Miss::NoProcess), .. } => {
                // The lead was handed on, if nobody had taken it.
                return match (self.dead.contains(pid), self.leads(*lead)) {
                    (true, true) => next.hand_over(),
                    (true, false) => vec![next],
                    (false, _) => Vec::new(),
                };
            }
            Step::Lookup { seen } => *seen == self.lookup(),
            Step::Register { pid, value, seen } => next.register(*pid, *value, *seen),
            Step::Unregister { pid } => next.unregister(*pid),
            Step::PutValue { pid, value, seen } => next.put_value(*pid, *value, *seen),
            Step::Subscribe { pid, generation, seen } => next.subscribe(*pid, *generation, *seen),
            Step::Unsubscribe { stamp } => next.unsubscribe(*stamp),
            Step::Broadcast { seen } => *seen == self.reached(),
            Step::Enter { pid, seen } => next.enter(*pid, *seen),
            Step::Publish { lead, pid, value, seen } => next.publish(*lead, *pid, *value, *seen),
            Step::Abandon { lead, reason, seen } => next.abandon(*lead, *reason, *seen),
            Step::Resign { lead, seen } => *seen == Err(Miss::Stale) && !self.leads(*lead),
            Step::Cancel { stamp, seen: Cancelled::Delivered } => self.told.contains_key(stamp),
            Step::Receive { stamp, seen } => next.told.remove(stamp).is_some_and(|(_, told)| told == *seen),
            Step::BeginRemove { pid, reason, seen } => next.begin_remove(*pid, *reason, *seen),
            Step::FinishRemove { generation, seen } => next.finish_remove(*generation, *seen),
            Step::Evict { generation } => next.evict(*generation),
            Step::Die { pid } => {
                next.dead.insert(*pid);
                true
            }
            Step::Bury { pid, role } => next.bury(*pid, *role),
        };
        if allowed { vec![next] } else { Vec::new() }
    }

    fn lookup(&self) -> Result<(Pid, Value, Generation), Miss> {
        match &self.state {
            KeyState::Absent => Err(Miss::NotFound),
            KeyState::Starting { .. } => Err(Miss::Starting),
            KeyState::Live { pid, value, generation, .. } => Ok((*pid, *value, *generation)),
            KeyState::Tombstone { reason, .. } => Err(Miss::Removed(*reason)),
        }
    }

    /// Takes over a generation that the registry gave, if it is new.
    fn draw(&mut self, generation: Generation) -> bool {
        let is_new = generation > self.generation_max;
        self.generation_max = self.generation_max.max(generation);
        is_new
    }

    /// A dead process may be told that it is dead, whatever the state of the key: its death is noticed after the key was looked at.
    fn is_told_dead<T>(&self, pid: Pid, seen: Result<T, Miss>) -> bool {
        matches!(seen, Err(Miss::NoProcess)) && self.dead.contains(&pid)
    }

    fn register(&mut self, pid: Pid, value: Value, seen: Result<Generation, Miss>) -> bool {
        if self.is_told_dead(pid, seen) {
            return true;
        }
        match (&self.state, seen) {
            (KeyState::Absent | KeyState::Starting { .. }, Ok(generation)) => {
                self.draw(generation) && self.put_live(pid, value, generation)
            }
            (KeyState::Live { pid, generation, .. }, seen) => seen == Err(Miss::HeldBy(*pid, *generation)),
            (KeyState::Tombstone { reason, .. }, seen) => seen == Err(Miss::Removed(*reason)),
            _ => false,
        }
    }

    fn put_live(&mut self, pid: Pid, value: Value, generation: Generation) -> bool {
        self.report(EventSeen::Registered(pid, value));
        let live = KeyState::Live { pid, value, generation, subscribers: BTreeMap::new() };
        self.end_start(live, Told::Started(pid, value));
        true
    }

    /// Replaces the state; those who waited for a start are told.
    fn end_start(&mut self, state: KeyState, told: Told) {
        if let KeyState::Starting { waiters, .. } = std::mem::replace(&mut self.state, state) {
            self.told.extend(waiters.into_iter().map(|(stamp, pid)| (stamp, (pid, told))));
        }
    }

    fn unregister(&mut self, pid: Pid) -> bool {
        if matches!(self.state, KeyState::Live { pid: holder, .. } if holder == pid) {
            self.state = KeyState::Absent;
            self.report(EventSeen::Unregistered(pid));
        }
        true
    }

    fn put_value(&mut self, pid: Pid, new: Value, seen: Result<(), Miss>) -> bool {
        match &mut self.state {
            KeyState::Live { pid: holder, value, .. } if *holder == pid => {
                *value = new;
                seen == Ok(())
            }
            _ => seen == Err(Miss::NotFound),
        }
    }

    fn subscribe(&mut self, pid: Pid, wanted: Generation, seen: Result<u64, Miss>) -> bool {
        if self.is_told_dead(pid, seen) {
            return true;
        }
        match &mut self.state {
            KeyState::Live { generation, subscribers, .. } if *generation == wanted => match seen {
                Ok(stamp) => subscribers.insert(stamp, pid).is_none(),
                Err(_) => false,
            },
            _ => seen == Err(Miss::Changed),
        }
    }

    fn unsubscribe(&mut self, stamp: u64) -> bool {
        if let KeyState::Live { subscribers, .. } = &mut self.state {
            subscribers.remove(&stamp);
        }
        true
    }

    fn reached(&self) -> Result<Vec<u64>, Miss> {
        match &self.state {
            KeyState::Live { subscribers, .. } => Ok(subscribers.keys().copied().collect()),
            _ => Err(self.lookup().expect_err("no holder")),
        }
    }

    fn enter(&mut self, pid: Pid, seen: Result<Entered, Miss>) -> bool {
        if self.is_told_dead(pid, seen) {
            return true;
        }
        match (&mut self.state, seen) {
            (KeyState::Live { pid, value, generation, .. }, seen) => seen == Ok(Entered::Live(*pid, *value, *generation)),
            (KeyState::Tombstone { reason, .. }, seen) => seen == Err(Miss::Removed(*reason)),
            (KeyState::Starting { leader, .. }, seen) if *leader == pid => seen == Err(Miss::AlreadyLeading),
            (KeyState::Absent, Ok(Entered::Lead(lead))) => {
                self.state = KeyState::Starting { leader: pid, lead, waiters: BTreeMap::new() };
                true
            }
            (KeyState::Starting { waiters, .. }, Ok(Entered::Waiting(stamp))) => waiters.insert(stamp, pid).is_none(),
            _ => false,
        }
    }

    fn leads(&self, wanted: u64) -> bool {
        matches!(self.state, KeyState::Starting { lead, .. } if lead == wanted)
    }

    fn publish(&mut self, lead: u64, pid: Pid, value: Value, seen: Result<Generation, Miss>) -> bool {
        match (&self.state, seen) {
            (KeyState::Live { pid: holder, generation, .. }, seen) if *holder == pid => seen == Ok(*generation),
            (KeyState::Live { pid, generation, .. }, seen) => seen == Err(Miss::HeldBy(*pid, *generation)),
            (KeyState::Tombstone { reason, .. }, seen) => seen == Err(Miss::Removed(*reason)),
            (_, Ok(generation)) => self.leads(lead) && self.draw(generation) && self.put_live(pid, value, generation),
            (_, seen) => seen == Err(Miss::Stale) && !self.leads(lead),
        }
    }

    fn abandon(&mut self, lead: u64, reason: Value, seen: Result<(), Miss>) -> bool {
        let leads = self.leads(lead);
        if leads {
            self.end_start(KeyState::Absent, Told::Failed(reason));
        }
        seen == if leads { Ok(()) } else { Err(Miss::Stale) }
    }

    /// The lead passes on: to the first waiter that is not dead, or to a dead one before it that the registry has not followed yet.
    fn hand_over(self) -> Vec<Self> {
        let KeyState::Starting { waiters, .. } = &self.state else { return Vec::new() };
        let mut next = Vec::new();
        let mut rest = waiters.clone();
        while let Some((stamp, pid)) = rest.pop_first() {
            let mut led = self.clone();
            led.state = KeyState::Starting { leader: pid, lead: stamp, waiters: rest.clone() };
            led.told.insert(stamp, (pid, Told::Lead(stamp)));
            next.push(led);
            if !self.dead.contains(&pid) {
                return next;
            }
        }
        next.push(Self { state: KeyState::Absent, ..self });
        next
    }

    fn bury_leader(&self, pid: Pid) -> Vec<Self> {
        let mut next = self.clone();
        match self.state {
            KeyState::Starting { leader, .. } if leader == pid => {
                next.report(EventSeen::LeaderDown(pid));
                next.hand_over()
            }
            _ => vec![next],
        }
    }

    /// One wait of a dead process after the other; one that was made leader hands on.
    fn bury_waiter(&self, pid: Pid) -> Vec<Self> {
        let mut next = self.clone();
        next.told.retain(|_, (waiter, _)| *waiter != pid);
        if let KeyState::Starting { waiters, .. } = &mut next.state {
            waiters.retain(|_, waiter| *waiter != pid);
        }
        next.bury_leader(pid)
    }

    /// A waiter gives up and had not been told.
    fn cancel(&self, stamp: u64) -> Vec<Self> {
        let mut next = self.clone();
        let told = next.told.remove(&stamp);
        match &mut next.state {
            KeyState::Starting { lead, .. } if *lead == stamp => next.hand_over(),
            KeyState::Starting { waiters, .. } => {
                let waited = waiters.remove(&stamp);
                if waited.is_some() || told.is_some() { vec![next] } else { Vec::new() }
            }
            _ if told.is_some() => vec![next],
            _ => Vec::new(),
        }
    }

    fn begin_remove(&mut self, pid: Pid, reason: Value, seen: Result<(Generation, Option<Pid>), Miss>) -> bool {
        if self.is_told_dead(pid, seen) {
            return true;
        }
        if let KeyState::Tombstone { reason, remover: Some(remover), generation } = &self.state {
            return seen == Err(Miss::RemovedBy(*reason, *remover, *generation));
        }
        let Ok((generation, owner)) = seen else { return false };
        let holder = match &self.state {
            KeyState::Live { pid, .. } => Some(*pid),
            _ => None,
        };
        holder.into_iter().for_each(|pid| self.report(EventSeen::Unregistered(pid)));
        self.report(EventSeen::RemovalStarted(pid, holder));
        self.end_start(KeyState::Tombstone { reason, remover: Some(pid), generation }, Told::Removed(reason));
        owner == holder && self.draw(generation)
    }

    fn finish_remove(&mut self, wanted: Generation, seen: Result<(), Miss>) -> bool {
        match self.state {
            KeyState::Tombstone { generation, .. } if generation == wanted => {
                self.state = KeyState::Absent;
                self.report(EventSeen::RemovalFinished);
                seen == Ok(())
            }
            _ => seen == Err(Miss::Stale),
        }
    }

    fn evict(&mut self, wanted: Generation) -> bool {
        match &self.state {
            KeyState::Live { pid, generation, .. } if *generation == wanted => self.bury(*pid, Role::Holder),
            KeyState::Tombstone { remover: Some(pid), generation, .. } if *generation == wanted => self.bury(*pid, Role::Remover),
            _ => true,
        }
    }

    fn bury(&mut self, dead: Pid, role: Role) -> bool {
        match (&mut self.state, role) {
            (KeyState::Live { pid, .. }, Role::Holder) if *pid == dead => {
                self.state = KeyState::Absent;
                self.report(EventSeen::Down(dead));
            }
            (KeyState::Live { subscribers, .. }, Role::Subscriber) => subscribers.retain(|_, pid| *pid != dead),
            (KeyState::Tombstone { remover, .. }, Role::Remover) if *remover == Some(dead) => {
                *remover = None;
                self.report(EventSeen::RemoverDown(dead));
            }
            _ => {}
        }
        true
    }
}
