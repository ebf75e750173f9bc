//! Waiting on the calling thread, for callers that have one to spare. Everything here stands on the waiters that are called back.

use super::failure::{Failure, Operation};
use super::handle::Store;
use super::position::{Lsn, Sequence};
use super::vfs::Vfs;
use super::watermark::{Waiter, WaiterId};
use crate::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    #[error("the time is over")]
    Timeout,
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Why a store was not drained.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrainError {
    #[error("the time is over; the store goes on draining")]
    Timeout,
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl<V: Vfs> Store<V> {
    /// Blocks until transaction `lsn` is durable.
    pub fn wait_durable(&self, lsn: Lsn, timeout: Duration) -> Result<Lsn, WaitError> {
        self.wait(timeout, |waiter| self.await_durable(lsn, waiter))
    }

    /// Blocks until a creation, trim, removal or commit is durable.
    pub fn wait_sequence(&self, sequence: Sequence, timeout: Duration) -> Result<u64, WaitError> {
        self.wait(timeout, |waiter| self.await_sequence(sequence, waiter))
    }

    /// Blocks until an append that was `Busy` is worth another try.
    pub fn wait_ready(&self, timeout: Duration) -> Result<(), WaitError> {
        self.wait(timeout, |waiter| self.await_ready(waiter)).map(|_| ())
    }

    /// Refuses further writes and blocks until all that was committed is durable and marked as a clean stop. The flusher has to run on another thread.
    pub fn drain(&self, timeout: Duration) -> Result<(), DrainError> {
        self.begin_drain();
        match self.wait(timeout, |waiter| self.await_drained(waiter)) {
            Ok(_) => Ok(()),
            Err(WaitError::Failed(failure)) => Err(DrainError::Failed(failure)),
            Err(WaitError::Timeout) => Err(DrainError::Timeout),
        }
    }

    /// Calls `waiter` with the last transaction once a drain is over, or with what keeps it from its end. Begins none.
    pub fn await_drained(&self, waiter: Waiter) -> WaiterId {
        let store = self.clone();
        // No sequence gets there: the wait ends when the flusher closes, with the reason.
        self.await_sequence(
            Sequence(u64::MAX),
            Box::new(move |outcome| match outcome {
                Err(failure) if failure.operation == Operation::ShutDown && !store.shared.stopped() => waiter(Ok(store.durable_lsn())),
                other => waiter(other),
            }),
        )
    }

    fn wait(&self, timeout: Duration, register: impl FnOnce(Waiter) -> WaiterId) -> Result<u64, WaitError> {
        let outcome = Arc::new((Mutex::new(None), Condvar::new()));
        let other = Arc::clone(&outcome);
        let id = register(Box::new(move |result| {
            let (slot, called) = &*other;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            called.notify_one();
        }));
        let (slot, called) = &*outcome;
        let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let (slot, _) = called.wait_timeout_while(slot, timeout, |slot| slot.is_none()).unwrap_or_else(PoisonError::into_inner);
        match *slot {
            Some(result) => Ok(result?),
            None => {
                drop(slot);
                self.cancel(id);
                Err(WaitError::Timeout)
            }
        }
    }
}
