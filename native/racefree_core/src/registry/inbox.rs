//! What the janitor has to do: deaths, and what operations left behind.
//!
//! The inbox is apart from the registry so that the resources whose `down` fills it need not own the registry. Deaths and jobs have a queue each: half a million deaths
//! must not delay the answer to a waiter. Jobs keep their order, which is the order of the sections that pushed them.

use std::sync::PoisonError;

use super::backlog::Backlog;
use super::entry::{Subscriber, Waiters};
use super::platform::{Event, Notice, Platform};
use super::recipient::Recipient;
use super::slots::Slots;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Where deaths arrive. The lock is held for a few instructions and no other lock is taken inside.
pub struct Inbox<P: Platform> {
    state: Mutex<State<P>>,
    arrived: Condvar,
}

struct State<P: Platform> {
    downs: Downs<P>,
    jobs: Jobs<P>,
    janitor: JanitorIs,
    /// Something outside the queues changed (the status): the janitor must look before it waits again.
    stirred: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum JanitorIs {
    Working,
    Waiting,
    Gone,
}

pub(super) type Downs<P> = Backlog<(<P as Platform>::Pid, <P as Platform>::Monitor)>;
pub(super) type Jobs<P> = Backlog<Job<P>>;

/// Work that is too long, or must not happen, under a shard's lock.
pub(super) enum Job<P: Platform> {
    Event(Box<Event<P::Pid, P::Value>>),
    Answer(Box<Answer<P>>),
    /// The subscribers of an entry that is no more.
    Dissolve(Slots<Subscriber<P>, 0>),
}

/// One notice to all these waiters.
pub(super) struct Answer<P: Platform> {
    pub(super) waiters: Waiters<P>,
    pub(super) notice: Notice<P::Pid, P::Value>,
}

pub(super) type RecipientOf<P> = Recipient<<P as Platform>::Pid, <P as Platform>::Tag>;

impl<P: Platform> Inbox<P> {
    pub fn new() -> Arc<Self> {
        let state = State { downs: Backlog::new(), jobs: Backlog::new(), janitor: JanitorIs::Working, stirred: false };
        Arc::new(Self { state: Mutex::new(state), arrived: Condvar::new() })
    }

    /// Says that a monitored process died. Constant time; deaths after the end of the incarnation are ignored.
    pub fn down(&self, pid: P::Pid, monitor: P::Monitor) {
        self.add(|state| state.downs.push((pid, monitor)));
    }

    pub(super) fn push(&self, job: Job<P>) {
        self.add(|state| state.jobs.push(job));
    }

    /// Makes the janitor look at the incarnation's status.
    pub(super) fn stir(&self) {
        self.add(|state| state.stirred = true);
    }

    fn add(&self, change: impl FnOnce(&mut State<P>)) {
        let mut state = self.state();
        if state.janitor == JanitorIs::Gone {
            return;
        }
        change(&mut state);
        if state.janitor == JanitorIs::Waiting {
            // Order: the flag falls in the section that notifies, so that of many deaths only the first pays for waking the janitor.
            state.janitor = JanitorIs::Working;
            self.arrived.notify_one();
        }
    }

    pub(super) fn take_downs(&self) -> Downs<P> {
        std::mem::replace(&mut self.state().downs, Backlog::new())
    }

    pub(super) fn take_jobs(&self) -> Jobs<P> {
        std::mem::replace(&mut self.state().jobs, Backlog::new())
    }

    /// What is left to do: one for the work that the janitor has taken out and not finished.
    pub(super) fn pending(&self) -> usize {
        let state = self.state();
        state.downs.len() + state.jobs.len() + usize::from(state.janitor == JanitorIs::Working)
    }

    /// Blocks until something arrived since the last look.
    pub(super) fn wait(&self) {
        let mut state = self.state();
        while state.downs.is_empty() && state.jobs.is_empty() && !state.stirred {
            state.janitor = JanitorIs::Waiting;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.janitor = JanitorIs::Working;
        state.stirred = false;
    }

    /// Nobody looks any more.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.janitor = JanitorIs::Gone;
        let left = (std::mem::replace(&mut state.downs, Backlog::new()), std::mem::replace(&mut state.jobs, Backlog::new()));
        drop(state);
        drop(left);
    }

    /// No section of this lock runs foreign code, and each leaves the queues whole.
    fn state(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
