//! The runtime's logic, without the BEAM: the registry and the store.
//!
//! Time, process liveness, message delivery and disks come in through small traits, so that model checkers, Miri and simulators drive the code that
//! production runs. What belongs to the virtual machine (terms, pids, resources) stays in `racefree_nif`.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used))]

pub mod registry;
pub mod store;
mod sync;
