//! What may go wrong, and how often.

use std::path::Path;

/// Chances of each fault, in thousandths of the operations that it can hit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultRates {
    pub short_read: u16,
    pub short_write: u16,
    /// `EINTR`, before anything was done.
    pub interrupted: u16,
    pub read_error: u16,
    pub write_error: u16,
    /// The sync fails once; what it should have made durable is dropped, and the next sync says ok.
    pub sync_error: u16,
    /// Creations, renames, removals and syncs of folders.
    pub name_error: u16,
    /// `ENOSPC`, from writes and preallocations, after part of a write.
    pub no_space: u16,
    /// `EDQUOT`, likewise.
    pub quota: u16,
    /// Ten seconds of virtual time.
    pub stall: u16,
}

/// Where in an operation the crash comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashSide {
    Before,
    /// A write is done in part; any other operation is done, and nobody hears of it.
    Within,
    /// It is done, and nobody hears of it.
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashKind {
    /// The process dies; the cache of the system survives it.
    Process,
    /// Everything dies; what was not synced survives in part or not at all.
    Power,
}

/// A crash at the operation of that number (see [`super::Machine::operations`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedCrash {
    pub operation: u64,
    pub side: CrashSide,
    pub kind: CrashKind,
}

/// A disk that says ok and does nothing: to a correct store a broken disk, so what it plants is what a store would do that forgot the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lie {
    /// Syncs of files whose name contains this.
    SyncData(String),
    SyncDir,
    /// A full disk takes writes and reservations, and keeps nothing of them.
    FullDisk,
    /// Any number of processes get the same lock.
    Lock,
}

impl Lie {
    pub(super) fn covers_data(&self, path: &Path) -> bool {
        matches!(self, Self::SyncData(part) if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains(part.as_str())))
    }
}
