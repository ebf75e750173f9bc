//! The numbers by which callers refer to what they were given.
//!
//! All of them are plain integers, because they travel through processes as terms. A forged or stale one is refused: each names the incarnation, the place and a number
//! that the place never gives twice. Left out on purpose: resources per subscription or wait, which would cost an allocation and a destructor each.

/// Which life of a key: every change of who holds it gives a new one. Unique together with the key's hash, within one incarnation.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Generation(pub u64);

/// A subscription of one process, found through that process.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SubscriptionId {
    pub incarnation: u64,
    pub link: u32,
    pub stamp: u64,
}

/// A wait of one process for a start, found through that process.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct WaitId {
    pub incarnation: u64,
    pub link: u32,
    pub stamp: u64,
}

/// The right to run the starter of a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct LeadId {
    pub incarnation: u64,
    pub hash: u64,
    pub generation: Generation,
    pub lead: u64,
}

/// The right to finish a removal.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RemovalId {
    pub incarnation: u64,
    pub hash: u64,
    pub generation: Generation,
}
