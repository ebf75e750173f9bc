//! The store: many append-only logs over one write-ahead log.
//!
//! Where to start reading: [`handle`] has what users call, [`stage`] how records get in, [`view`] how readers find them, [`flush`] and [`keep`] what happens in the
//! background, [`recovery`] and [`open`] how a store comes back.

mod block;
mod directory;
pub mod disk;
mod engine;
mod failure;
mod flush;
mod frame;
mod handle;
mod info;
mod keep;
mod log;
mod manifest;
mod merge;
mod open;
mod options;
mod pack;
pub mod planted;
mod position;
mod posix;
mod read;
mod recovery;
mod salvage;
mod stage;
mod verify;
pub mod vfs;
mod view;
#[cfg(not(loom))]
mod wait;
mod wal;
mod watermark;
mod window;

pub use engine::Subscriber;
pub use failure::{Defect, Failure, OpenError, Operation};
pub use flush::{Flusher, Progress};
pub use handle::{
    Appended, CommitError, Committed, KEY_BYTES_MAX, Lease, Log, LogError, META_BYTES_MAX, Reader, Removal, Snapshot, Store, Write,
};
pub use info::Info;
pub use keep::Keeper;
pub use open::Opened;
pub use options::{Bound, Clock, Options, OutOfBounds, SyncPolicy};
pub use position::{LogId, Lsn, Offset, Sequence};
pub use read::{Level, Next, Page, ReadError, ReadLimit, ReadRange, Records, Run, Source};
pub use recovery::{RecoveryReport, TornTail};
pub use salvage::{Loss, SalvageReport, salvage};
pub use stage::{AppendError, Record};
pub use verify::{Problem, VerifyReport};
#[cfg(not(loom))]
pub use wait::{DrainError, WaitError};
pub use watermark::{Waiter, WaiterId};

#[cfg(test)]
mod tests;
