//! Whether an incarnation answers: serving, without an owner, closed, or poisoned by a panic.

use super::error::Unavailable;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Who may suspend the incarnation: its owner of the moment. A former owner's death, noticed late, changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Owner(pub u64);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    Serving,
    /// The owner died without closing. Calls are refused until another owner adopts the entries, whose processes live on; deaths are cleaned up meanwhile.
    Suspended,
    Closed,
    Poisoned,
}

/// One word: the owner's number above, the status in the lowest two bits.
///
/// Order: read under a shard's lock by operations; whoever ends the incarnation writes it first and takes every shard's lock after. So an operation either reads the end, or
/// is complete before the janitor dismantles its shard.
pub(super) struct StatusWord(AtomicU64);

const SERVING: u64 = 0;
const SUSPENDED: u64 = 1;
const CLOSED: u64 = 2;
const POISONED: u64 = 3;
const STATUS: u64 = 0b11;
const OWNER_SHIFT: u32 = 2;

impl StatusWord {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(SERVING))
    }

    pub(super) fn get(&self) -> Status {
        status_of(self.0.load(Ordering::Acquire))
    }

    pub(super) fn owner(&self) -> Owner {
        Owner(self.0.load(Ordering::Acquire) >> OWNER_SHIFT)
    }

    pub(super) fn suspend(&self, owner: Owner) {
        let serving = (owner.0 << OWNER_SHIFT) | SERVING;
        // Fails when another owner adopted, or the incarnation ended: then there is nothing to suspend.
        let _unchanged = self.0.compare_exchange(serving, (owner.0 << OWNER_SHIFT) | SUSPENDED, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(super) fn adopt(&self) -> Result<Owner, Unavailable> {
        let adopted = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| match status_of(word) {
            Status::Serving | Status::Suspended => Some((((word >> OWNER_SHIFT) + 1) << OWNER_SHIFT) | SERVING),
            Status::Closed | Status::Poisoned => None,
        });
        match adopted {
            Ok(former) => Ok(Owner((former >> OWNER_SHIFT) + 1)),
            Err(word) if status_of(word) == Status::Poisoned => Err(Unavailable::Poisoned),
            Err(_) => Err(Unavailable::Closed),
        }
    }

    /// Closing a poisoned incarnation leaves it poisoned.
    pub(super) fn close(&self) {
        self.end(CLOSED);
    }

    /// A panic after the close does not matter: nothing is answered any more.
    pub(super) fn poison(&self) {
        self.end(POISONED);
    }

    fn end(&self, status: u64) {
        let _former = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| match status_of(word) {
            Status::Serving | Status::Suspended => Some((word & !STATUS) | status),
            Status::Closed | Status::Poisoned => None,
        });
    }
}

fn status_of(word: u64) -> Status {
    match word & STATUS {
        SERVING => Status::Serving,
        SUSPENDED => Status::Suspended,
        CLOSED => Status::Closed,
        _ => Status::Poisoned,
    }
}
