//! Somebody to whom a message may go, until told to stop.
//!
//! Invariant: after [`Recipient::silence`] returned, no message goes out any more. The flag is held while a message goes out, so that whoever silences waits for one that is under way
//! and knows whether it went. It is the innermost lock: nobody takes another one while holding it.

use std::sync::PoisonError;

use crate::sync::{Mutex, MutexGuard};

pub(super) struct Recipient<Pid, Tag> {
    pub(super) pid: Pid,
    /// Never given twice within an incarnation.
    pub(super) stamp: u64,
    tag: Tag,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    Open,
    /// The one answer of a waiter went out.
    Answered,
    Silent,
}

/// What a recipient that is silent now has got before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Silenced {
    Unanswered,
    Answered,
}

impl<Pid: Copy, Tag> Recipient<Pid, Tag> {
    pub(super) fn new(pid: Pid, tag: Tag, stamp: u64) -> Self {
        Self { pid, stamp, tag, state: Mutex::new(State::Open) }
    }

    /// Sends one of many messages, if the recipient still wants any.
    pub(super) fn send(&self, deliver: impl FnOnce(Pid, &Tag)) -> bool {
        let state = self.state();
        let open = *state == State::Open;
        if open {
            deliver(self.pid, &self.tag);
        }
        open
    }

    /// Sends the only message, if the recipient still wants it.
    pub(super) fn answer(&self, deliver: impl FnOnce(Pid, &Tag)) {
        let mut state = self.state();
        if *state == State::Open {
            // Order: answered before delivered, so that a delivery that panics half-way is not tried again.
            *state = State::Answered;
            deliver(self.pid, &self.tag);
        }
    }

    pub(super) fn silence(&self) -> Silenced {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Silent) {
            State::Answered => Silenced::Answered,
            State::Open | State::Silent => Silenced::Unanswered,
        }
    }

    /// A delivery that panicked leaves the flag as whole as any other: it is one word, written before.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
