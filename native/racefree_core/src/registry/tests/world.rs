//! A small virtual machine: processes that live and die, monitors, mailboxes.
//!
//! Its own lock is the standard library's even under loom, and is never held across anything of the registry: to loom each of its steps is atomic.
//! Loom tries two steps in the other order only if it sees that they touch the same thing; for messages, whose order matters most, a counter shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::super::{Event, Events, Inbox, Janitor, Notice, Options, Platform, Registry, Step};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering};

pub(super) type Value = u32;
pub(super) type Tag = u32;

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Pid(pub(super) u32);

/// Whom it watches, and which of all monitors it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Monitor(pub(super) Pid, pub(super) u64);

/// What the platform does instead of its duty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    None,
    MonitorPanics,
    SendPanics,
    EventPanics,
}

pub(super) struct World {
    inbox: Arc<Inbox<World>>,
    state: Mutex<State>,
    /// Of messages sent.
    posts: AtomicUsize,
}

struct State {
    dead: BTreeSet<Pid>,
    monitors: BTreeMap<Monitor, usize>,
    monitors_made: u64,
    mail: Vec<(Pid, Tag, Notice<Pid, Value>)>,
    events: Vec<Event<Pid, Value>>,
    fault: Fault,
}

impl World {
    pub(super) fn registry(shards: usize, events: Events) -> Arc<Registry<World>> {
        let inbox = Inbox::new();
        let state = State {
            dead: BTreeSet::new(),
            monitors: BTreeMap::new(),
            monitors_made: 0,
            mail: Vec::new(),
            events: Vec::new(),
            fault: Fault::None,
        };
        let world = World { inbox: Arc::clone(&inbox), state: Mutex::new(state), posts: AtomicUsize::new(0) };
        Arc::new(Registry::new(world, inbox, Options { shards, incarnation: 7, events }))
    }

    /// The process is dead at once; the registry hears of it by the same call.
    pub(super) fn kill(&self, pid: Pid) {
        self.hear_of_death(self.mark_dead(pid));
    }

    /// The process is dead; who monitored it has not heard of it yet.
    pub(super) fn mark_dead(&self, pid: Pid) -> Vec<Monitor> {
        let mut state = self.state();
        state.dead.insert(pid);
        let monitors = state.monitors.range(Monitor(pid, 0)..=Monitor(pid, u64::MAX)).map(|(monitor, _)| *monitor).collect::<Vec<_>>();
        monitors.iter().for_each(|monitor| {
            state.monitors.remove(monitor);
        });
        monitors
    }

    pub(super) fn hear_of_death(&self, monitors: Vec<Monitor>) {
        monitors.into_iter().for_each(|monitor| self.inbox.down(monitor.0, monitor));
    }

    /// The number of a dead process becomes that of a new one.
    pub(super) fn give_again(&self, pid: Pid) {
        assert!(self.state().dead.remove(&pid));
    }

    pub(super) fn is_alive(&self, pid: Pid) -> bool {
        !self.state().dead.contains(&pid)
    }

    pub(super) fn monitors(&self) -> usize {
        self.state().monitors.len()
    }

    pub(super) fn monitors_made(&self) -> u64 {
        self.state().monitors_made
    }

    /// Takes what was sent to a process.
    pub(super) fn receive(&self, pid: Pid) -> Vec<(Tag, Notice<Pid, Value>)> {
        self.posts.load(Ordering::SeqCst);
        let mut state = self.state();
        let (own, others) = std::mem::take(&mut state.mail).into_iter().partition(|(to, _, _)| *to == pid);
        state.mail = others;
        own.into_iter().map(|(_, tag, notice)| (tag, notice)).collect()
    }

    /// What was sent with a tag, left where it is.
    pub(super) fn peek(&self, tag: Tag) -> Vec<(Pid, Notice<Pid, Value>)> {
        self.state().mail.iter().filter(|(_, own, _)| *own == tag).map(|(to, _, notice)| (*to, notice.clone())).collect()
    }

    pub(super) fn take_events(&self) -> Vec<Event<Pid, Value>> {
        std::mem::take(&mut self.state().events)
    }

    pub(super) fn set_fault(&self, fault: Fault) {
        self.state().fault = fault;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platform for World {
    type Pid = Pid;
    type Value = Value;
    type Tag = Tag;
    type Monitor = Monitor;
    type Caller<'a> = ();

    fn monitor(&self, (): (), shard: usize, pid: Pid) -> Option<Monitor> {
        let mut state = self.state();
        assert!(state.fault != Fault::MonitorPanics, "injected");
        if state.dead.contains(&pid) {
            return None;
        }
        state.monitors_made += 1;
        let monitor = Monitor(pid, state.monitors_made);
        state.monitors.insert(monitor, shard);
        Some(monitor)
    }

    fn demonitor(&self, shard: usize, monitor: Monitor) {
        let removed = self.state().monitors.remove(&monitor);
        // A process may die while the incarnation ends.
        assert!(removed.is_none_or(|made_for| made_for == shard));
    }

    fn send(&self, to: Pid, tag: &Tag, notice: Notice<Pid, Value>) {
        self.posts.fetch_add(1, Ordering::SeqCst);
        let mut state = self.state();
        assert!(state.fault != Fault::SendPanics, "injected");
        state.mail.push((to, *tag, notice));
    }

    fn event(&self, event: Event<Pid, Value>) {
        let mut state = self.state();
        assert!(state.fault != Fault::EventPanics, "injected");
        state.events.push(event);
    }
}

/// Lets the janitor work until there is nothing to do.
pub(super) fn settle(janitor: &mut Janitor<World>) -> Step {
    loop {
        match janitor.step() {
            Step::Worked => {}
            rest => return rest,
        }
    }
}
