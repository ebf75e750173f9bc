//! The process that is killed: opens the store, writes transactions with several threads, says what is durable, and lets readers check it.
//!
//! On standard output: `ready LSN` once it is open, `durable LSN` whenever the store says so, and `wrong TEXT` before it ends by itself.

use super::options;
use super::script::{self, LOGS, Part};
use racefree_core::store::disk::{Disk, MonotonicClock};
use racefree_core::store::{
    AppendError, Lease, Level, Log, LogError, Lsn, Next, Offset, ReadError, ReadLimit, ReadRange, Record, Source, Store,
};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const WRITERS: usize = 4;

type Problem = String;

/// Works until it is killed. Returns only with what is wrong.
pub fn work(dir: &Path, seed: u64) -> Problem {
    match try_work(dir, seed) {
        Ok(never) => match never {},
        Err(problem) => {
            announce(format_args!("wrong {problem}"));
            problem
        }
    }
}

fn announce(line: std::fmt::Arguments<'_>) {
    // If nobody reads any longer the parent is gone, and the next write of a record will not matter either.
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

fn try_work(dir: &Path, seed: u64) -> Result<std::convert::Infallible, Problem> {
    let opened = Store::open(Disk, dir, options(), Box::new(MonotonicClock::default())).map_err(|error| format!("open: {error}"))?;
    let (store, flusher, keeper) = (opened.store, opened.flusher, opened.keeper);
    std::thread::spawn(move || flusher.run());
    std::thread::spawn(move || keeper.run());
    store.subscribe_durable(std::sync::Arc::new(|told| match told {
        Ok(lsn) => announce(format_args!("durable {lsn}")),
        Err(failure) => announce(format_args!("wrong {failure}")),
    }));
    let logs: Vec<Log<Disk>> =
        (0..LOGS).map(|log| store.log(&script::key(log)).map_err(|error| format!("log {log}: {error}"))).collect::<Result<_, _>>()?;
    announce(format_args!("ready {}", opened.report.lsn));
    std::thread::scope(|scope| {
        let (done, results) = channel();
        let writers: Vec<Sender<(Lsn, Part)>> = (0..WRITERS)
            .map(|writer| {
                let (orders, inbox) = channel();
                let own = (0..LOGS).filter(|log| log % WRITERS == writer).map(|log| (log, logs[log].lease())).collect::<Vec<_>>();
                let (store, done) = (store.clone(), done.clone());
                scope.spawn(move || write(&store, own, &inbox, &done));
                orders
            })
            .collect();
        for reader in 0..2 {
            let (store, logs) = (&store, &logs);
            scope.spawn(move || {
                let problem = read(store, logs, seed, reader);
                announce(format_args!("wrong {problem}"));
                std::process::exit(1);
            });
        }
        let problem = commit_all(&store, &logs, seed, &writers, &results);
        announce(format_args!("wrong {problem}"));
        std::process::exit(1)
    })
}

/// One transaction after another, each spread over the writers.
fn commit_all(
    store: &Store<Disk>,
    logs: &[Log<Disk>],
    seed: u64,
    writers: &[Sender<(Lsn, Part)>],
    results: &Receiver<Result<(), Problem>>,
) -> Problem {
    let mut lsn = store.visible_lsn();
    loop {
        lsn += 1;
        if let Err(problem) = commit_one(store, logs, seed, lsn, writers, results) {
            return format!("transaction {lsn}: {problem}");
        }
    }
}

fn commit_one(
    store: &Store<Disk>,
    logs: &[Log<Disk>],
    seed: u64,
    lsn: Lsn,
    writers: &[Sender<(Lsn, Part)>],
    results: &Receiver<Result<(), Problem>>,
) -> Result<(), Problem> {
    let stage = |parts: Vec<Part>| -> Result<(), Problem> {
        let count = parts.len();
        for part in parts {
            writers[part.log % WRITERS].send((lsn, part)).map_err(|_| "a writer is gone")?;
        }
        (0..count).try_for_each(|_| results.recv().map_err(|_| "the writers are gone".to_owned())?)
    };
    if script::is_aborted_first(lsn) {
        let mut parts = script::transaction(seed, lsn + 1_000_000);
        parts.iter_mut().for_each(|part| part.payloads.push(b"aborted".to_vec()));
        stage(parts)?;
        store.abort(lsn).map_err(|error| format!("abort: {error}"))?;
    }
    stage(script::transaction(seed, lsn))?;
    store.commit(lsn).map_err(|error| format!("commit: {error}"))?;
    if let Some((log, upto)) = script::trim(lsn) {
        while let Err(error) = logs[log].trim(upto) {
            if error != LogError::Busy {
                return Err(format!("trim: {error}"));
            }
            await_room(store)?;
        }
    }
    Ok(())
}

fn await_room(store: &Store<Disk>) -> Result<(), Problem> {
    let (ready, wake) = channel();
    store.await_ready(Box::new(move |_| ready.send(()).unwrap_or(())));
    wake.recv_timeout(Duration::from_secs(60)).map_err(|_| "busy for a minute".to_owned())
}

/// Appends what it is told to, and waits whenever the store is busy.
fn write<E>(
    store: &Store<Disk>,
    own: Vec<(usize, Result<Lease<Disk>, E>)>,
    orders: &Receiver<(Lsn, Part)>,
    done: &Sender<Result<(), Problem>>,
) {
    while let Ok((lsn, part)) = orders.recv() {
        let lease = own.iter().find(|(log, _)| *log == part.log).and_then(|(_, lease)| lease.as_ref().ok());
        let records: Vec<Record<'_>> = part.payloads.iter().map(|payload| Record { op: None, payload }).collect();
        let outcome = loop {
            let Some(lease) = lease else { break Err("no lease".to_owned()) };
            match lease.append(lsn, &records, part.meta.as_deref()) {
                Ok(_) => break Ok(()),
                Err(AppendError::Busy) => {
                    if let Err(problem) = await_room(store) {
                        break Err(problem);
                    }
                }
                Err(error) => break Err(format!("append: {error}")),
            }
        };
        if done.send(outcome).is_err() {
            return;
        }
    }
}

/// Reads logs at random and compares each page with what must be there: nothing less, nothing more, at whatever moment.
fn read(store: &Store<Disk>, logs: &[Log<Disk>], seed: u64, reader: u64) -> Problem {
    static READS: AtomicU64 = AtomicU64::new(0);
    let mut rng = fastrand::Rng::with_seed(seed ^ reader);
    loop {
        READS.fetch_add(1, Ordering::Relaxed);
        let index = rng.usize(0..LOGS);
        let level = if rng.bool() { Level::Visible } else { Level::Durable };
        // The newest transactions, where memory borders on files.
        let first = store.visible_lsn().saturating_sub(rng.u64(0..40));
        let after = Offset { tx: first, op: u64::MAX }.max(logs[index].trimmed());
        if let Err(problem) = check_page(&logs[index], index, after, level, seed) {
            return problem;
        }
    }
}

fn check_page(log: &Log<Disk>, index: usize, after: Offset, level: Level, seed: u64) -> Result<(), Problem> {
    let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    let page = match log.read(&ReadRange { after, upto: Offset::END, limit, source: Source::Any }, level) {
        Ok(page) => page,
        Err(ReadError::Trimmed { .. }) => return Ok(()),
        Err(error) => return Err(format!("read: {error}")),
    };
    let wanted = script::expected(seed, after.tx.saturating_add(1), page.lsn);
    let is_right = page.records.iter().eq(wanted.records[index].iter().map(|(offset, payload)| (*offset, payload.as_slice())));
    if !is_right || !matches!(page.next, Next::Done) {
        let (found, wanted) = (page.records.len(), wanted.records[index].len());
        return Err(format!("a read of log {index} after {after:?} at {}: {found} records for {wanted}", page.lsn));
    }
    Ok(())
}
