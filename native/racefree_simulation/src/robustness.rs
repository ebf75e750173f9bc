//! Bytes that no store wrote: arbitrary ones, and those of a sound store after many small changes.
//!
//! Opening them ends, with an error or a store; neither panics, and nothing is read that a check refuses. What the store then holds is not judged
//! here: see [`crate::damage`] for that.

use crate::client::observe;
use crate::disk::{Machine, Process};
use crate::simulation::{DIR, open};
use fastrand::Rng;
use racefree_core::store::{Options, RecoveryReport, Store, SyncPolicy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The names that recovery looks at.
pub const NAMES: [&str; 6] =
    ["MANIFEST", "0000000000000001.wal", "0000000000000002.wal", "0000000000000001.pack", "CLEAN", "0000000000000002.wal.new"];

/// One small change of one file. Numbers wrap around to what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Set { file: u8, offset: u32, byte: u8 },
    Cut { file: u8, length: u32 },
    Copy { file: u8, from: u32, to: u32, length: u16 },
    Swap { file: u8, other: u8 },
    Remove { file: u8 },
}

/// Opens a folder that holds these files. Whether it could be opened.
pub fn open_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> bool {
    let machine = Machine::new(0);
    for (name, bytes) in files {
        machine.put(&Path::new(DIR).join(name), bytes);
    }
    probe(&machine)
}

/// Opens a sound store, made from `seed`, after `changes`. Whether it could be opened.
pub fn open_changed(seed: u64, changes: &[Change]) -> bool {
    let machine = sound_store(seed);
    for change in changes {
        apply(&machine, *change);
    }
    probe(&machine)
}

fn probe(machine: &Machine) -> bool {
    let visitor = machine.process();
    if let Ok((store, report)) = Store::open_read_only(visitor.clone(), Path::new(DIR), options()) {
        use_store(&store, &report);
    }
    machine.kill(&visitor);
    match open(&machine.process(), machine, &options()) {
        Ok(opened) => {
            use_store(&opened.store, &opened.report);
            true
        }
        Err(_) => false,
    }
}

fn use_store(store: &Store<Process>, report: &RecoveryReport) {
    // Either may find damage that opening does not look for.
    observe(store, &report.pending_removals).ok();
    store.verify().ok();
}

fn options() -> Options {
    Options {
        identity: 7,
        stage_bytes_max: 4096,
        batch_bytes_max: 1024,
        transaction_bytes_max: 4096,
        memory_bytes_max: 64 << 10,
        wal_bytes_max: 4096,
        block_bytes_max: 512,
        record_bytes_max: 2048,
        sync: SyncPolicy::EveryBatch,
        merge_fan_in: 3,
    }
}

/// A store with packs, a manifest of several edits, and a log that is not empty.
pub fn sound_store(seed: u64) -> Machine {
    let mut rng = Rng::with_seed(seed);
    let machine = Machine::new(seed);
    let process = machine.process();
    let Ok(mut opened) = open(&process, &machine, &options()) else { return machine };
    for lsn in 1..rng.u64(5..60) {
        write(&opened.store, lsn, &mut rng);
        opened.flusher.step();
        if rng.bool() {
            opened.keeper.step();
        }
    }
    if rng.bool() {
        opened.store.begin_drain();
        for _ in 0..100 {
            opened.flusher.step();
            opened.keeper.step();
        }
    }
    drop(opened);
    machine.kill(&process);
    machine
}

/// One transaction; refusals are as good as any other history.
fn write(store: &Store<Process>, lsn: u64, rng: &mut Rng) {
    use racefree_core::store::{Offset, Record, Write};
    let Ok(log) = store.log(format!("log-{}", rng.u8(0..4)).as_bytes()) else { return };
    let mut payload = vec![0; rng.usize(0..300)];
    rng.fill(&mut payload);
    let records = [Record { op: None, payload: &payload }];
    let meta = rng.bool().then_some(payload.as_slice());
    store.transact(lsn, &[Write { log: &log, lease: None, records: &records, meta }]).ok();
    match rng.u8(0..16) {
        0 => drop(log.trim(Offset { tx: lsn.saturating_sub(3), op: 0 })),
        1 => drop(log.begin_remove().map(|(removal, _)| if rng.bool() { removal.finish().ok() } else { None })),
        _ => {}
    }
}

fn apply(machine: &Machine, change: Change) {
    let files: BTreeMap<PathBuf, Vec<u8>> = machine.image();
    let files: Vec<(PathBuf, Vec<u8>)> = files.into_iter().collect();
    let pick = |file: u8| files.get(usize::from(file) % files.len().max(1));
    match change {
        Change::Set { file, offset, byte } => {
            let Some((path, mut bytes)) = pick(file).cloned() else { return };
            let length = bytes.len().max(1);
            if let Some(place) = bytes.get_mut(offset as usize % length) {
                *place = byte;
            }
            machine.put(&path, &bytes);
        }
        Change::Cut { file, length } => {
            let Some((path, bytes)) = pick(file) else { return };
            machine.put(path, &bytes[..length as usize % (bytes.len() + 1)]);
        }
        Change::Copy { file, from, to, length } => {
            let Some((path, mut bytes)) = pick(file).cloned() else { return };
            if bytes.is_empty() {
                return;
            }
            let (from, to) = (from as usize % bytes.len(), to as usize % bytes.len());
            let length = usize::from(length).min(bytes.len() - from.max(to));
            bytes.copy_within(from..from + length, to);
            machine.put(&path, &bytes);
        }
        Change::Swap { file, other } => {
            let (Some((path, bytes)), Some((other_path, other_bytes))) = (pick(file), pick(other)) else { return };
            machine.put(path, other_bytes);
            machine.put(other_path, bytes);
        }
        Change::Remove { file } => {
            let Some((path, _)) = pick(file) else { return };
            machine.erase(path);
        }
    }
}
