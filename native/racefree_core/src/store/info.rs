//! Figures of a store, for people and telemetry. Each is right at some moment of the call, not all at the same one.

use super::failure::Failure;
use super::handle::Store;
use super::position::Lsn;
use super::vfs::Vfs;
use crate::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Info {
    pub logs: usize,
    pub visible: Lsn,
    pub durable: Lsn,
    pub open_transaction: Option<Lsn>,
    /// Staged and not yet written.
    pub pending_bytes: usize,
    /// Of blocks that logs refer to.
    pub memory_bytes: usize,
    /// Held by readers alone: blocks that no log refers to any more, and what was read out of files.
    pub pinned_bytes: usize,
    pub wal_bytes: u64,
    pub pack_files: u64,
    pub pack_bytes: u64,
    /// Part of `pack_bytes` that is trimmed or purged, and given back by a later merge.
    pub dead_bytes: u64,
    pub batches: u64,
    pub syncs: u64,
    pub sync_last: Duration,
    pub sync_max: Duration,
    pub sync_total: Duration,
    /// Whether a damaged pack has put an end to merging.
    pub merging_stopped: bool,
    pub failure: Option<Failure>,
}

impl<V: Vfs> Store<V> {
    pub fn info(&self) -> Info {
        let shared = &self.shared;
        let figures = &shared.figures;
        let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let time = |figure: &AtomicU64| Duration::from_nanos(load(figure));
        let (open_transaction, pending_bytes, failure) = {
            let stage = shared.stage();
            (stage.open.as_ref().map(|open| open.lsn), stage.pending_bytes, stage.failure)
        };
        let memory_bytes = shared.memory.in_views();
        Info {
            logs: shared.catalog().len(),
            visible: shared.visible(),
            durable: shared.durable.load(),
            open_transaction,
            pending_bytes,
            memory_bytes,
            pinned_bytes: shared.memory.alive.bytes().saturating_sub(memory_bytes) + shared.memory.buffers.bytes(),
            wal_bytes: load(&figures.wal_bytes),
            pack_files: load(&figures.pack_files),
            pack_bytes: load(&figures.pack_bytes),
            dead_bytes: load(&figures.dead_bytes),
            batches: load(&figures.batches),
            syncs: load(&figures.syncs),
            sync_last: time(&figures.sync_nanos_last),
            sync_max: time(&figures.sync_nanos_max),
            sync_total: time(&figures.sync_nanos_total),
            merging_stopped: load(&figures.merging_stopped) > 0,
            failure,
        }
    }
}
