//! A disk that refuses every change: from the start, and from some moment on. Unlike `file_systems.rs` this takes no root.

use racefree_core::store::{
    AppendError, Failure, Level, Lsn, Next, Offset, OpenError, Opened, Progress, ReadLimit, ReadRange, Record, Source, Store, WaitError,
    Write,
};
use racefree_simulation::disk::{Machine, Process, ReadOnly};
use racefree_simulation::process::options;
use racefree_simulation::simulation::{DIR, open};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

const ANNOUNCED: Lsn = 120;

fn payload(lsn: Lsn) -> Vec<u8> {
    vec![lsn as u8; 3000]
}

/// A store of several packs and a log, all of which is durable.
fn store(machine: &Machine) -> (Process, Opened<Process>) {
    let process = machine.process();
    let mut opened = open(&process, machine, &options()).unwrap();
    for lsn in 1..=ANNOUNCED {
        put(&opened.store, lsn).unwrap();
        while opened.flusher.step() == Progress::Worked || opened.keeper.step() == Progress::Worked {}
    }
    assert_eq!(opened.store.durable_lsn(), ANNOUNCED);
    assert!(opened.store.info().pack_files > 0);
    (process, opened)
}

fn put(store: &Store<Process>, lsn: Lsn) -> Result<(), AppendError> {
    let (log, payload) = (store.log(b"log").unwrap(), payload(lsn));
    let records = [Record { op: None, payload: &payload }];
    store.transact(lsn, &[Write { log: &log, lease: None, records: &records, meta: None }]).map(|_| ())
}

/// The log must hold the records of every transaction up to `lsn`.
fn check(store: &Store<Process>, lsn: Lsn) {
    let range = ReadRange { after: Offset::START, upto: Offset::END, limit: ReadLimit::NONE, source: Source::Any };
    let page = store.find(b"log").unwrap().read(&range, Level::Visible).unwrap();
    assert_eq!(page.next, Next::Done);
    let found: Vec<_> = page.records.iter().map(|(offset, payload)| (offset, payload.to_vec())).collect();
    let expected: Vec<_> = (1..=lsn).map(|tx| (Offset { tx, op: 0 }, payload(tx))).collect();
    assert!(found == expected, "{} records, and {} are expected", found.len(), expected.len());
}

fn is_refusal(failure: Failure) -> bool {
    failure.kind == ErrorKind::ReadOnlyFilesystem
}

#[test]
fn refuses_to_open_for_writing_and_changes_nothing() {
    let machine = Machine::new(1);
    let (process, opened) = store(&machine);
    drop(opened);
    machine.kill(&process);
    let before = machine.image();
    machine.set_read_only(ReadOnly::Yes);
    let refused = open(&machine.process(), &machine, &options()).map(|opened| opened.report);
    assert!(matches!(refused, Err(OpenError::Io(failure)) if is_refusal(failure)), "{refused:?}");
    assert_eq!(machine.image(), before);
    let (reading, report) = Store::open_read_only(machine.process(), Path::new(DIR), options()).unwrap();
    assert_eq!(report.lsn, ANNOUNCED);
    check(&reading, ANNOUNCED);
    assert_eq!(put(&reading, ANNOUNCED + 1), Err(AppendError::ReadOnly));
    machine.set_read_only(ReadOnly::No);
    check(&open(&machine.process(), &machine, &options()).unwrap().store, ANNOUNCED);
}

#[test]
fn refuses_to_make_a_store_and_leaves_no_trace_of_it() {
    let machine = Machine::new(2);
    machine.set_read_only(ReadOnly::Yes);
    let refused = open(&machine.process(), &machine, &options()).map(|opened| opened.report);
    assert!(matches!(refused, Err(OpenError::Io(failure)) if is_refusal(failure)), "{refused:?}");
    assert!(machine.image().is_empty());
    machine.set_read_only(ReadOnly::No);
    assert_eq!(open(&machine.process(), &machine, &options()).unwrap().report.lsn, 0);
}

#[test]
fn keeps_what_was_announced_when_the_disk_turns_read_only() {
    let machine = Machine::new(3);
    let (process, mut opened) = store(&machine);
    machine.set_read_only(ReadOnly::Yes);
    put(&opened.store, ANNOUNCED + 1).unwrap();
    while opened.flusher.step() == Progress::Worked {}
    let failure = opened.store.failure().expect("the batch was refused");
    assert!(is_refusal(failure), "{failure}");
    // Nothing is announced any more, whatever the disk says later; what was committed can be read.
    machine.set_read_only(ReadOnly::No);
    assert_eq!(opened.flusher.step(), Progress::Failed);
    assert_eq!(put(&opened.store, ANNOUNCED + 2), Err(AppendError::Failed(failure)));
    assert!(matches!(opened.store.wait_durable(ANNOUNCED + 1, Duration::ZERO), Err(WaitError::Failed(found)) if found == failure));
    assert_eq!(opened.store.durable_lsn(), ANNOUNCED);
    check(&opened.store, ANNOUNCED + 1);
    drop(opened);
    machine.kill(&process);
    let found = open(&machine.process(), &machine, &options()).unwrap();
    assert!((ANNOUNCED..=ANNOUNCED + 1).contains(&found.report.lsn));
    check(&found.store, found.report.lsn);
    assert_eq!(machine.breaches(), Vec::<String>::new());
}
