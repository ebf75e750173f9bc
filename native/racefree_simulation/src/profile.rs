//! What one seed is like: sizes, limits, and how often each thing is done. Each seed leaves most kinds of fault out, so that the others get far.

use crate::disk::FaultRates;
use fastrand::Rng;
use racefree_core::store::{Options, SyncPolicy};
use std::time::Duration;

/// A few payloads are so much larger than the others.
pub const LARGE_PAYLOAD_FACTOR: usize = 8;

/// What a client can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Append,
    AppendOutOfTurn,
    Commit,
    Abort,
    Transact,
    Fence,
    KillWriter,
    Trim,
    BeginRemove,
    FinishRemove,
    Read,
    HoldReader,
    UseReader,
    Snapshot,
    Wait,
    Ghost,
}

/// With the weight of each in an even mix.
const ACTIONS: [(Action, u32); 16] = [
    (Action::Append, 16),
    (Action::AppendOutOfTurn, 2),
    (Action::Commit, 8),
    (Action::Abort, 1),
    (Action::Transact, 12),
    (Action::Fence, 1),
    (Action::KillWriter, 1),
    (Action::Trim, 3),
    (Action::BeginRemove, 1),
    (Action::FinishRemove, 2),
    (Action::Read, 8),
    (Action::HoldReader, 2),
    (Action::UseReader, 4),
    (Action::Snapshot, 2),
    (Action::Wait, 6),
    (Action::Ghost, 1),
];

#[derive(Debug, Clone)]
pub struct Profile {
    weights: Vec<(Action, u32)>,
    pub keys: u8,
    pub payload_bytes_max: usize,
    pub options: Options,
    pub rates: FaultRates,
    /// Processes in a row on one directory.
    pub lifetimes: u8,
    /// Of one lifetime.
    pub steps: u16,
    /// In thousandths of the disk's operations: something else happens in the middle of a step.
    pub interrupt_rate: u16,
}

impl Profile {
    pub fn new(rng: &mut Rng) -> Self {
        let weights = ACTIONS.map(|(action, weight)| {
            // Every third action is out of fashion, and some are the rage.
            let factor = [0, 1, 1, 1, 2, 6][rng.usize(0..6)];
            let is_needed = matches!(action, Action::Commit | Action::Transact);
            (action, weight * if is_needed { factor.max(1) } else { factor })
        });
        let payload_bytes_max = [8, 40, 200, 700][rng.usize(0..4)];
        Self {
            weights: weights.to_vec(),
            keys: rng.u8(1..=8),
            payload_bytes_max,
            options: options(rng, payload_bytes_max),
            rates: rates(rng),
            lifetimes: rng.u8(1..=6),
            steps: [30, 100, 300, 600][rng.usize(0..4)],
            interrupt_rate: [0, 0, 100, 400][rng.usize(0..4)],
        }
    }

    pub fn action(&self, rng: &mut Rng) -> Action {
        let sum = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut drawn = rng.u32(0..sum);
        for (action, weight) in &self.weights {
            if drawn < *weight {
                return *action;
            }
            drawn -= weight;
        }
        Action::Commit
    }
}

/// Limits so small that a seed reaches all of them.
fn options(rng: &mut Rng, payload_bytes_max: usize) -> Options {
    let record_bytes_max = payload_bytes_max * LARGE_PAYLOAD_FACTOR;
    let transaction_bytes_max = record_bytes_max * rng.usize(1..=4) + rng.usize(0..4096);
    let wal_bytes_max = rng.usize(4096..24_000);
    let memory_least = 3 * (transaction_bytes_max + wal_bytes_max);
    Options {
        identity: rng.u128(..),
        stage_bytes_max: rng.usize(256..8192),
        batch_bytes_max: rng.usize(256..6000),
        transaction_bytes_max,
        memory_bytes_max: memory_least + rng.usize(0..memory_least),
        wal_bytes_max: wal_bytes_max as u64,
        block_bytes_max: rng.usize(256..3000),
        record_bytes_max,
        sync: if rng.u8(0..5) == 0 { SyncPolicy::Interval(Duration::from_micros(rng.u64(1..2000))) } else { SyncPolicy::EveryBatch },
        merge_fan_in: rng.usize(2..=4),
    }
}

fn rates(rng: &mut Rng) -> FaultRates {
    let mut rates = FaultRates::default();
    if rng.bool() {
        rates.short_read = rng.u16(0..300);
        rates.short_write = rng.u16(0..300);
        rates.interrupted = rng.u16(0..200);
    }
    // Most seeds have no error or one kind of it, for an error ends the process.
    match rng.u8(0..16) {
        0 => rates.sync_error = rng.u16(1..100),
        1 => rates.write_error = rng.u16(1..60),
        2 => rates.no_space = rng.u16(1..60),
        3 => rates.quota = rng.u16(1..60),
        4 => rates.name_error = rng.u16(1..100),
        5 => rates.read_error = rng.u16(1..200),
        6 => rates.stall = rng.u16(1..100),
        _ => {}
    }
    rates
}
