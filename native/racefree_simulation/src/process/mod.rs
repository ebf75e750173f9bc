//! Real processes on a real disk, killed at random moments.
//!
//! What each transaction writes follows from its lsn alone ([`script`]), so the judge needs to remember one number: the newest lsn that the dead
//! process announced. Kills leave the cache of the system alone; loss of power is the business of the simulated disk.

pub mod kills;
mod script;
pub mod worker;

use racefree_core::store::{Options, SyncPolicy};

/// Small limits, so that a few milliseconds reach packs and merges.
pub fn options() -> Options {
    Options {
        identity: 0x5eed,
        stage_bytes_max: 1 << 20,
        batch_bytes_max: 256 << 10,
        transaction_bytes_max: 1 << 20,
        memory_bytes_max: 16 << 20,
        wal_bytes_max: 128 << 10,
        block_bytes_max: 4096,
        record_bytes_max: 64 << 10,
        sync: SyncPolicy::EveryBatch,
        merge_fan_in: 3,
    }
}
