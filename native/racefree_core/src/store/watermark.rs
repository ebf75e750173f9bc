//! A number that only grows, and who waits for it.
//!
//! Waiters are called without any lock held, by whoever moves the number. What has failed stays failed: the number is frozen then.

use super::failure::Failure;
use super::planted::{self, Planted};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, PoisonError};
use std::collections::BTreeMap;

/// Called exactly once: with the watermark when it has reached what was awaited, or with what makes that impossible.
pub type Waiter = Box<dyn FnOnce(Result<u64, Failure>) + Send>;

/// Names a registered waiter, to cancel it. A cancelled waiter is dropped and not called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WaiterId {
    pub(super) target: u64,
    pub(super) serial: u64,
    pub(super) of: Awaited,
}

/// What a waiter waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Awaited {
    Lsn,
    Sequence,
    Room,
}

pub(super) struct Watermark {
    /// Invariant: never decreases; moved under the lock, read without.
    value: AtomicU64,
    of: Awaited,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    waiters: BTreeMap<(u64, u64), Waiter>,
    serial: u64,
    failure: Option<Failure>,
}

impl Watermark {
    pub(super) fn new(of: Awaited, value: u64) -> Self {
        Self { value: AtomicU64::new(value), of, waiting: Mutex::new(Waiting { waiters: BTreeMap::new(), serial: 0, failure: None }) }
    }

    pub(super) fn load(&self) -> u64 {
        // Order: pairs with the release in `advance`; who sees a position also sees what was done before it was announced.
        self.value.load(Ordering::Acquire)
    }

    /// Calls `waiter` once the number is at least `target`: at once if it is.
    pub(super) fn wait(&self, target: u64, waiter: Waiter) -> WaiterId {
        let mut waiting = self.lock();
        waiting.serial += 1;
        let id = WaiterId { target, serial: waiting.serial, of: self.of };
        // Order: the number moves under this lock only, so it cannot pass `target` between this look and the insertion.
        let value = self.load();
        let outcome = if value >= target { Some(Ok(value)) } else { waiting.failure.map(Err) };
        match outcome {
            Some(outcome) => {
                drop(waiting);
                waiter(outcome);
            }
            None => {
                waiting.waiters.insert((target, id.serial), waiter);
            }
        }
        id
    }

    /// Whether the waiter was still waiting. It is not called any more once this returned true.
    pub(super) fn cancel(&self, id: WaiterId) -> bool {
        self.lock().waiters.remove(&(id.target, id.serial)).is_some()
    }

    /// Moves the number up to `value` and calls who waited for it, lowest first. A failed watermark stays where it is.
    pub(super) fn advance(&self, value: u64) {
        let mut waiting = self.lock();
        if waiting.failure.is_some() || value <= self.value.load(Ordering::Relaxed) {
            return;
        }
        let late = planted::has(Planted::WakeBeforeMove);
        if !late {
            // Order: release, pairs with `load`.
            self.value.store(value, Ordering::Release);
        }
        let later = match value.checked_add(1) {
            Some(next) => waiting.waiters.split_off(&(next, 0)),
            None => BTreeMap::new(),
        };
        let reached = std::mem::replace(&mut waiting.waiters, later);
        drop(waiting);
        if late {
            self.value.store(value, Ordering::Release);
        }
        for waiter in reached.into_values() {
            waiter(Ok(value));
        }
    }

    /// Freezes the number and gives `failure` to all who wait, now and later.
    pub(super) fn fail(&self, failure: Failure) {
        let mut waiting = self.lock();
        let failure = *waiting.failure.get_or_insert(failure);
        let waiters = std::mem::take(&mut waiting.waiters);
        drop(waiting);
        for waiter in waiters.into_values() {
            waiter(Err(failure));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code of others runs under this lock, and each change to the map is one call: a poisoned map is still a whole one.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
