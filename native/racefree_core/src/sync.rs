//! The synchronization primitives of this crate: the standard library's, or loom's when `--cfg loom` asks for model checking.
//!
//! Nothing else in the crate names `std::sync` or `std::thread`: what loom cannot see, it cannot check.

#[cfg(loom)]
pub(crate) use loom::{
    sync::{Arc, Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic},
    thread,
};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic};

/// For what never changes and has no size known to the compiler (bytes, functions): loom's count cannot hold it, and there is nothing to check.
pub(crate) use std::sync::Arc as PlainArc;
pub(crate) use std::sync::PoisonError;
