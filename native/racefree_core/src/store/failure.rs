//! What made the store stop, and what opening one can answer.
//!
//! The first background error is sticky: it is kept, everything that would have to promise durability afterwards gets it, and reads go on.

use super::options::OutOfBounds;
use std::io;

/// Which step failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Operation {
    Open,
    Read,
    Write,
    Sync,
    Preallocate,
    Create,
    Rename,
    Remove,
    List,
    SyncDir,
    Lock,
    /// No disk error: the store was shut down or drained before what was awaited came.
    ShutDown,
    /// No disk error: a panic left the staging buffer half written.
    Poisoned,
}

/// The error that stopped a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{operation:?} failed: {kind}")]
pub struct Failure {
    pub operation: Operation,
    pub kind: io::ErrorKind,
    pub os_code: Option<i32>,
}

impl Failure {
    pub(super) fn new(operation: Operation, error: &io::Error) -> Self {
        Self { operation, kind: error.kind(), os_code: error.raw_os_error() }
    }

    pub(super) const fn without_disk(operation: Operation) -> Self {
        Self { operation, kind: io::ErrorKind::Other, os_code: None }
    }
}

/// Names the step of an I/O result.
pub(super) trait During<T> {
    fn during(self, operation: Operation) -> Result<T, Failure>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, operation: Operation) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(operation, &error))
    }
}

/// What is wrong with bytes that should be good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Defect {
    /// The checksum does not fit the bytes and their place.
    Checksum,
    /// The file ends before what its index or a later file says.
    Truncated,
    /// The bytes carry a good checksum and make no sense.
    Meaning,
    /// The file does not begin as a file of ours.
    Header,
}

/// Why a store did not open.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error("another store holds this directory")]
    Locked,
    #[error(transparent)]
    Io(#[from] Failure),
    #[error("{file} is damaged at byte {offset}: {defect:?}")]
    Corrupt { file: String, offset: u64, defect: Defect },
    #[error("{file} has format version {version}, which this build does not know")]
    UnknownVersion { file: String, version: u32 },
    #[error("{file} is missing")]
    Missing { file: String },
    #[error("{file} belongs to another store")]
    Foreign { file: String },
    #[error(transparent)]
    Option(OutOfBounds),
}
