//! A queue that grows without moving what it holds, so that adding to it takes constant time even under a lock that a scheduler of the virtual machine waits for.

use std::collections::VecDeque;

/// How many elements a block holds.
const BLOCK_LENGTH: usize = 256;

pub(super) struct Backlog<T> {
    full: VecDeque<VecDeque<T>>,
    open: VecDeque<T>,
}

impl<T> Backlog<T> {
    pub(super) const fn new() -> Self {
        Self { full: VecDeque::new(), open: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        // Invariant: a full block is dropped as soon as it is empty.
        self.open.is_empty() && self.full.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.full.iter().map(VecDeque::len).sum::<usize>() + self.open.len()
    }

    pub(super) fn push(&mut self, element: T) {
        if self.open.len() == BLOCK_LENGTH {
            self.full.push_back(std::mem::replace(&mut self.open, VecDeque::with_capacity(BLOCK_LENGTH)));
        }
        self.open.push_back(element);
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let Some(block) = self.full.front_mut() else { return self.open.pop_front() };
        let element = block.pop_front();
        if block.is_empty() {
            self.full.pop_front();
        }
        element
    }
}
