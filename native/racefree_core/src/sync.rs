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
