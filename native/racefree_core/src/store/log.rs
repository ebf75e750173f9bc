//! One log: its identity and its current view.
//!
//! A log holds no way back to the store; an idle one is a few hundred bytes. What its writer needs stands in the staging buffer, under the staging lock.

use super::position::LogId;
use super::view::View;
use crate::sync::{Arc, PlainArc, PoisonError, RwLock};

pub(super) struct LogState<F> {
    pub(super) id: LogId,
    pub(super) key: PlainArc<[u8]>,
    /// Where its appender stands in the staging buffer.
    pub(super) slot: usize,
    view: RwLock<Arc<View<F>>>,
}

impl<F> LogState<F> {
    pub(super) fn new(id: LogId, key: PlainArc<[u8]>, slot: usize, view: View<F>) -> Self {
        Self { id, key, slot, view: RwLock::new(Arc::new(view)) }
    }

    /// The current view. Order: load the position first, see [`View`].
    pub(super) fn view(&self) -> Arc<View<F>> {
        // A view is replaced by one assignment: a poisoned lock still holds a whole one.
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the view by a changed copy. Readers of the former keep it.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut View<F>) -> T) -> T {
        let mut current = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = View::clone(&current);
        let result = change(&mut next);
        let former = std::mem::replace(&mut *current, Arc::new(next));
        drop(current);
        // The last holder frees blocks and closes files: not under the lock.
        drop(former);
        result
    }
}
