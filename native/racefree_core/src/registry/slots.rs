//! A list whose elements never move: a place stays valid until its element is taken, and is then given to a later element.
//!
//! Iteration by place is therefore safe across changes: what stays throughout is met exactly once. Left out on purpose: fences against reuse of a place, which its users
//! have already (a generation, a stamp, the identity of a recipient), and shrinking before the list is empty.

use smallvec::SmallVec;

/// The end of the list of vacant places.
const NONE: u32 = u32::MAX;

pub(super) struct Slots<T, const INLINE: usize> {
    slots: SmallVec<[Slot<T>; INLINE]>,
    vacant: u32,
    occupied: u32,
}

enum Slot<T> {
    Occupied(T),
    Vacant { next: u32 },
}

impl<T, const INLINE: usize> Slots<T, INLINE> {
    pub(super) fn new() -> Self {
        Self { slots: SmallVec::new(), vacant: NONE, occupied: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// One more than the highest place in use; `u32`, since 4 billion elements would not fit in memory.
    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Where the next element will be.
    pub(super) fn next_place(&self) -> u32 {
        if self.vacant == NONE { self.end() } else { self.vacant }
    }

    pub(super) fn insert(&mut self, element: T) -> u32 {
        self.occupied += 1;
        let place = self.vacant;
        if let Some(slot) = self.slots.get_mut(place as usize)
            && let Slot::Vacant { next } = *slot
        {
            self.vacant = next;
            *slot = Slot::Occupied(element);
            return place;
        }
        let place = self.end();
        if self.slots.len() == self.slots.capacity() {
            // A list of one element is by far the most frequent: the usual first capacity of four would waste most of it.
            self.slots.reserve_exact(self.slots.len().max(1));
        }
        self.slots.push(Slot::Occupied(element));
        place
    }

    pub(super) fn get(&self, place: u32) -> Option<&T> {
        match self.slots.get(place as usize) {
            Some(Slot::Occupied(element)) => Some(element),
            _ => None,
        }
    }

    /// Takes the element at `place` if `wanted` says that it is the one meant and not a later one.
    pub(super) fn take_if(&mut self, place: u32, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        let slot = self.slots.get_mut(place as usize)?;
        if !matches!(slot, Slot::Occupied(element) if wanted(element)) {
            return None;
        }
        let Slot::Occupied(element) = std::mem::replace(slot, Slot::Vacant { next: self.vacant }) else { return None };
        self.vacant = place;
        self.occupied -= 1;
        if self.occupied == 0 {
            *self = Self::new();
        }
        Some(element)
    }

    /// Takes an element, or says that none is left. Places are not reused meanwhile: for lists that are being dissolved.
    pub(super) fn pop(&mut self) -> Option<T> {
        while let Some(slot) = self.slots.pop() {
            if let Slot::Occupied(element) = slot {
                self.occupied -= 1;
                return Some(element);
            }
        }
        None
    }
}
