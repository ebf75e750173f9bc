//! The store: many append-only logs over one write-ahead log.

pub mod vfs;
