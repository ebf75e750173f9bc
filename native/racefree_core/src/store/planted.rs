//! Deliberate bugs: each takes one mechanism of the store away, and the simulation, or for what goes wrong between threads loom, has to notice.
//!
//! Without the feature `planted`, which only the tests of `racefree_simulation` and loom's run turn on, every question here is the constant `false` and the bugs are not
//! compiled. One thread has at most one of them, so tests run side by side. That is enough for loom: the threads of a model take turns on the one that runs it.

/// What is taken away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Planted {
    /// Transactions are announced durable before the sync.
    AnnounceBeforeSync,
    /// A failed sync is tried again, and believed.
    RetryFailedSync,
    /// A background error does not stop the store.
    ForgetFailure,
    /// A short write counts as a whole one.
    BelieveShortWrite,
    /// A short read counts as the end of the file.
    BelieveShortRead,
    SkipHeaderChecksum,
    SkipBatchChecksum,
    SkipEntryChecksum,
    SkipEditChecksum,
    SkipIndexChecksum,
    SkipFrameChecksum,
    /// Checksums say nothing of the place in the file.
    ChecksumWithoutPlace,
    /// Checksums say nothing of the file's number and the store's incarnation.
    ChecksumWithoutFile,
    /// Every open has the same incarnation.
    SameIncarnation,
    /// What ends in the middle of a write is refused as corrupt.
    TornIsCorrupt,
    /// Damage below what is known durable ends the log like a crash.
    CorruptIsTorn,
    /// Recovery applies what no COMMIT followed.
    KeepUncommitted,
    /// Aborts do not reach the write-ahead log.
    ForgetAbort,
    /// Metas count in recovery without their COMMIT.
    MetaWithoutCommit,
    /// Recovery does not copy what only the page cache may hold.
    SkipTailCopy,
    /// Write-ahead logs go before the manifest names the pack.
    RemoveLogEarly,
    /// The manifest says that a write-ahead log is packed which is not.
    LowerMarkEarly,
    /// The manifest speaks of trims and purges that are not durable.
    CutAhead,
    /// Tombstones do not reach the write-ahead log.
    ForgetTombstone,
    /// Purges do not reach the write-ahead log.
    ForgetPurge,
    /// The newest transaction can be repeated.
    RepeatNewest,
    /// Anybody may write to any log.
    SkipFence,
    /// A new log gets the number of one that was purged.
    ReuseLogNumber,
    /// What a file holds by now is read from memory once more.
    ReadTwice,
    /// Durable reads see what is only visible.
    VisibleIsDurable,
    /// A read below the first record gives what there is.
    ReadBelowTrim,
    /// Who opens read-only takes what a writer moved meanwhile for missing.
    LookOnce,
    /// A reader takes the view first and the position after.
    ViewBeforePosition,
    /// A transaction is visible before its records are in the views.
    ShowBeforeRecords,
    /// What is looked at before an append, and the append, are two sections of the staging lock.
    UnlockBeforeAppend,
    /// A block says that bytes are there before they are.
    PublishBeforeBytes,
    /// A block says that bytes are there, and nothing makes them seen.
    PublishRelaxed,
    /// Blocks go from a view before the pack's records come in.
    SwapInTwoSteps,
    /// Merged packs go from a view before what they were merged into comes in.
    MergeInTwoSteps,
    /// Waiters are taken out of a watermark's list before it moves.
    WakeBeforeMove,
    /// A worker is woken without the lock under which it looked whether there is work.
    WakeWithoutLock,
}

/// Those that show in what one thread does: for the simulation.
pub const IN_ONE_THREAD: [Planted; 32] = [
    Planted::AnnounceBeforeSync,
    Planted::RetryFailedSync,
    Planted::ForgetFailure,
    Planted::BelieveShortWrite,
    Planted::BelieveShortRead,
    Planted::SkipHeaderChecksum,
    Planted::SkipBatchChecksum,
    Planted::SkipEntryChecksum,
    Planted::SkipEditChecksum,
    Planted::SkipIndexChecksum,
    Planted::SkipFrameChecksum,
    Planted::ChecksumWithoutPlace,
    Planted::ChecksumWithoutFile,
    Planted::SameIncarnation,
    Planted::TornIsCorrupt,
    Planted::CorruptIsTorn,
    Planted::KeepUncommitted,
    Planted::ForgetAbort,
    Planted::MetaWithoutCommit,
    Planted::SkipTailCopy,
    Planted::RemoveLogEarly,
    Planted::LowerMarkEarly,
    Planted::CutAhead,
    Planted::ForgetTombstone,
    Planted::ForgetPurge,
    Planted::RepeatNewest,
    Planted::SkipFence,
    Planted::ReuseLogNumber,
    Planted::ReadTwice,
    Planted::VisibleIsDurable,
    Planted::ReadBelowTrim,
    Planted::LookOnce,
];

/// Those that show in how threads interleave: for loom.
pub const BETWEEN_THREADS: [Planted; 9] = [
    Planted::ViewBeforePosition,
    Planted::ShowBeforeRecords,
    Planted::UnlockBeforeAppend,
    Planted::PublishBeforeBytes,
    Planted::PublishRelaxed,
    Planted::SwapInTwoSteps,
    Planted::MergeInTwoSteps,
    Planted::WakeBeforeMove,
    Planted::WakeWithoutLock,
];

/// Whether this build can have planted bugs at all.
pub const IS_POSSIBLE: bool = cfg!(feature = "planted");

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Planted>> = const { std::cell::Cell::new(None) };
}

/// Gives this thread that bug instead of the one it had.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Planted>) {
    PLANTED.set(bug);
}

/// Nothing can be planted in this build.
#[cfg(not(feature = "planted"))]
pub fn plant(_: Option<Planted>) {}

#[cfg(feature = "planted")]
pub(super) fn has(bug: Planted) -> bool {
    PLANTED.get() == Some(bug)
}

#[cfg(not(feature = "planted"))]
#[inline(always)]
pub(super) const fn has(_: Planted) -> bool {
    false
}
