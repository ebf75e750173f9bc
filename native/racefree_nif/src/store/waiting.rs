//! Messages from the store's threads to processes: each carries the reference of who waits.
//!
//! The core calls a waiter once, on whichever thread brings what it waits for, and that may be the very call that registers it. Such an outcome is the call's answer and
//! no message; later ones are messages.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

use racefree_core::store::disk::Disk;
use racefree_core::store::{Failure, Store, Waiter, WaiterId};
use rustler::{Encoder, Env, OwnedEnv, Resource, Term};

use super::terms;
use crate::atoms;
use crate::kept_terms::{KeptReference, ReferencePool};
use crate::words::Pid;

static REFERENCES: LazyLock<ReferencePool> = LazyLock::new(ReferencePool::default);

pub(crate) type Outcome = Result<u64, Failure>;

enum State {
    /// The call that registers the waiter has not returned.
    Registering,
    Answered(Outcome),
    Waiting,
}

/// A registered waiter, to be cancelled.
pub(crate) struct Wait {
    pub(crate) store: Store<Disk>,
    pub(crate) id: WaiterId,
}

#[rustler::resource_impl]
impl Resource for Wait {}

/// Keeps `reference` for as long as the result is held.
pub(crate) fn keep(env: Env<'_>, reference: Term<'_>) -> KeptReference {
    REFERENCES.keep(reference, Pid::from(env.pid()).spread())
}

/// Registers a waiter for the calling process: the outcome if it is known at once, else the wait, and later a message `{reference, outcome}`.
pub(crate) fn register(
    env: Env<'_>,
    store: &Store<Disk>,
    reference: Term<'_>,
    with: impl FnOnce(Waiter) -> WaiterId,
) -> Result<Outcome, Wait> {
    let state = Arc::new(Mutex::new(State::Registering));
    let (shared, process, reference) = (Arc::clone(&state), Pid::from(env.pid()), keep(env, reference));
    let waiter = Box::new(move |outcome: Outcome| {
        let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Registering => *state = State::Answered(outcome),
            State::Waiting | State::Answered(_) => {
                send_from_anywhere(process, move |env| (reference.to_term(env), terms::outcome(env, &outcome)).encode(env))
            }
        }
    });
    let id = with(waiter);
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    match std::mem::replace(&mut *state, State::Waiting) {
        State::Answered(outcome) => Ok(outcome),
        State::Registering | State::Waiting => Err(Wait { store: store.clone(), id }),
    }
}

/// What a process that follows the durable position is told by: `{Racefree.Store, reference, {:durable, lsn} | {:failed, reason}}`. Gives up for good when the
/// process is dead.
pub(crate) struct Follower {
    process: Pid,
    reference: KeptReference,
    pub(crate) is_gone: AtomicBool,
}

impl Follower {
    pub(crate) fn new(env: Env<'_>, reference: Term<'_>) -> Self {
        Self { process: env.pid().into(), reference: keep(env, reference), is_gone: AtomicBool::new(false) }
    }

    pub(crate) fn tell(&self, outcome: &Outcome) {
        if self.is_gone.load(Ordering::Relaxed) {
            return;
        }
        let (reference, outcome) = (self.reference.clone(), *outcome);
        if is_scheduler() {
            send_from_anywhere(self.process, move |env| news(env, &reference, &outcome));
        } else if OwnedEnv::new().send_and_clear(&self.process.local(), |env| news(env, &reference, &outcome)).is_err() {
            self.is_gone.store(true, Ordering::Relaxed);
        }
    }
}

fn news<'a>(env: Env<'a>, reference: &KeptReference, outcome: &Outcome) -> Term<'a> {
    let news = match outcome {
        Ok(lsn) => (atoms::durable(), lsn).encode(env),
        Err(failure) => (atoms::failed(), terms::failure(env, failure)).encode(env),
    };
    (atoms::store_module(), reference.to_term(env), news).encode(env)
}

/// Sends from whatever thread this is. The machine lets only threads of our own send without an environment, so a scheduler leaves it to one: this is for
/// the rare message that a shutdown on a scheduler brings.
pub(crate) fn send_from_anywhere(to: Pid, message: impl for<'e> FnOnce(Env<'e>) -> Term<'e> + Send + 'static) {
    let send = move || {
        // A receiver that is dead needs no message.
        let _ = OwnedEnv::new().send_and_clear(&to.local(), message);
    };
    if is_scheduler() {
        // Without a thread the message is lost with the store that could not be served either.
        let _ = thread::Builder::new().name("racefree_tell".into()).spawn(send);
    } else {
        send();
    }
}

#[allow(unsafe_code, reason = "see SAFETY")]
fn is_scheduler() -> bool {
    // SAFETY: takes nothing and may be called from any thread.
    unsafe { rustler::sys::enif_thread_type() > 0 }
}
