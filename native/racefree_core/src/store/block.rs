//! The append-only block: bytes that one writer extends while any number of readers read what is published.
//!
//! The only unsafe code of the store. Nothing here knows what the bytes mean; positions are bytes from the block's start.
//! Left out on purpose: growing, reuse and removal. A block is dropped as a whole when its last holder lets go.

#![allow(unsafe_code)]

use super::planted::{self, Planted};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

/// Fixed room whose first `published` bytes are written and never change again.
pub(super) struct Block {
    bytes: Box<[MaybeUninit<UnsafeCell<u8>>]>,
    /// Invariant: never decreases, never exceeds `bytes.len()`; only the block's one writer moves it.
    published: AtomicUsize,
    gauge: Arc<Gauge>,
    #[cfg(loom)]
    tracked: Vec<loom::cell::UnsafeCell<()>>,
}

// SAFETY: bytes below `published` are never written again and are read only after an acquiring load of it; bytes at or above it are touched by the
// one `BlockWriter` alone, which is not `Clone` and writes through `&mut self`.
unsafe impl Sync for Block {}
// SAFETY: the bytes are plain memory owned by the block.
unsafe impl Send for Block {}

/// The right to extend one block. There is one per block.
pub(super) struct BlockWriter {
    block: Arc<Block>,
    /// The writer's own copy of `published`.
    written: usize,
}

/// How many bytes of memory of one kind are alive, whoever holds them.
#[derive(Debug)]
pub(super) struct Gauge(AtomicUsize);

impl Default for Gauge {
    fn default() -> Self {
        Self(AtomicUsize::new(0))
    }
}

impl Gauge {
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Block {
    /// The bytes published so far. They stay what they are.
    pub(super) fn published(&self) -> &[u8] {
        // Order: acquires what `BlockWriter::push` released, so the bytes below are seen as written.
        let length = self.published.load(Ordering::Acquire);
        debug_assert!(length <= self.bytes.len());
        #[cfg(loom)]
        for cell in self.tracked.iter().take(length) {
            cell.with(|_| ());
        }
        // SAFETY: the first `length` bytes are initialized and will not be written again, by the invariant on `published` and the acquiring load above; the
        // slice lives as long as the borrow of the block that owns the memory.
        unsafe { std::slice::from_raw_parts(self.start(), length) }
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    fn start(&self) -> *mut u8 {
        UnsafeCell::raw_get(self.bytes.as_ptr().cast::<UnsafeCell<u8>>())
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.gauge.subtract(self.bytes.len());
    }
}

impl BlockWriter {
    /// A new, empty block of `capacity` bytes, counted in `gauge` until it is dropped.
    pub(super) fn new(capacity: usize, gauge: &Arc<Gauge>) -> Self {
        gauge.add(capacity);
        let block = Block {
            #[cfg(not(loom))]
            bytes: Box::new_uninit_slice(capacity),
            // A planted bug may let a reader come before the writer: loom is to find that, not the reader.
            #[cfg(loom)]
            bytes: (0..capacity).map(|_| MaybeUninit::new(UnsafeCell::new(0))).collect(),
            published: AtomicUsize::new(0),
            gauge: Arc::clone(gauge),
            #[cfg(loom)]
            tracked: (0..capacity).map(|_| loom::cell::UnsafeCell::new(())).collect(),
        };
        Self { block: Arc::new(block), written: 0 }
    }

    pub(super) fn block(&self) -> &Arc<Block> {
        &self.block
    }

    pub(super) fn written(&self) -> usize {
        self.written
    }

    pub(super) fn room(&self) -> usize {
        self.block.bytes.len() - self.written
    }

    /// Appends `head` and `body` as one and publishes them; `false`, and nothing is written, if they do not fit.
    #[must_use]
    pub(super) fn push(&mut self, head: &[u8], body: &[u8]) -> bool {
        let start = self.written;
        let Some(end) = head.len().checked_add(body.len()).and_then(|length| start.checked_add(length)) else { return false };
        if end > self.block.bytes.len() {
            return false;
        }
        if planted::has(Planted::PublishBeforeBytes) {
            self.block.published.store(end, Ordering::Release);
        }
        #[cfg(loom)]
        for cell in self.block.tracked.iter().take(end).skip(start) {
            cell.with_mut(|_| ());
        }
        // SAFETY: `start..end` lies inside the allocation and above `published`, where only this writer, borrowed mutably, reads or writes; `head` and `body` are
        // shared slices and cannot overlap memory that nobody has published.
        unsafe {
            let target = self.block.start().add(start);
            std::ptr::copy_nonoverlapping(head.as_ptr(), target, head.len());
            std::ptr::copy_nonoverlapping(body.as_ptr(), target.add(head.len()), body.len());
        }
        self.written = end;
        // Order: the bytes above come first; pairs with the acquiring load in `Block::published`.
        let order = if planted::has(Planted::PublishRelaxed) { Ordering::Relaxed } else { Ordering::Release };
        self.block.published.store(end, order);
        true
    }
}
