//! The calls of `Racefree.Store` and `Racefree.Log`: decode, ask the core, encode.
//!
//! What takes or gives much at a time exists twice, for normal and for dirty schedulers. On a normal one it answers `:oversized` to what could take a millisecond, and
//! reading answers `:cold` where it might wait for the disk, having done nothing; Elixir calls the other. The core's calls lock for the time of a copy and do no I/O
//! but where the name says `dirty`.

mod service;
mod terms;
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use racefree_core::store::disk::Disk;
use racefree_core::store::{
    Appended, Committed, DrainError, Lease, Log, LogError, Options, ReadError, ReadRange, Reader, Removal, Sequence, Source, SyncPolicy,
    Write,
};
use rustler::{Atom, Binary, Encoder, Env, LocalPid, Monitor, Resource, ResourceArc, Term};

use crate::atoms;
use crate::term_key::Effort;
use service::Service;
use terms::{Decoded, Refusal, error};
use waiting::{Follower, Wait};

/// A log of an open store.
pub(crate) struct LogHandle {
    log: Log<Disk>,
    service: ResourceArc<Service>,
}

/// The right to append to a log; `None` once it was given back or its process died.
pub(crate) struct LeaseHandle {
    lease: Mutex<Option<Lease<Disk>>>,
    service: ResourceArc<Service>,
}

/// One state of a log.
pub(crate) struct ReaderHandle {
    reader: Reader<Disk>,
    service: ResourceArc<Service>,
}

/// A removal that was begun; `None` once it is finished.
pub(crate) struct RemovalHandle {
    removal: Mutex<Option<Removal<Disk>>>,
    service: ResourceArc<Service>,
}

/// A process that follows the durable position.
pub(crate) struct Following {
    id: u64,
    follower: Arc<Follower>,
    service: ResourceArc<Service>,
}

#[rustler::resource_impl]
impl Resource for LogHandle {}
#[rustler::resource_impl]
impl Resource for ReaderHandle {}
#[rustler::resource_impl]
impl Resource for RemovalHandle {}

#[rustler::resource_impl]
impl Resource for Following {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.end();
    }
}

#[rustler::resource_impl]
impl Resource for LeaseHandle {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        if catch_unwind(AssertUnwindSafe(|| self.release())).is_err() {
            self.service.poison();
        }
    }
}

impl LeaseHandle {
    fn release(&self) {
        // Dropped outside of the lock.
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(lease);
    }
}

impl Following {
    fn end(&self) {
        self.follower.is_gone.store(true, std::sync::atomic::Ordering::Relaxed);
        if catch_unwind(AssertUnwindSafe(|| self.service.store.unsubscribe_durable(self.id))).is_err() {
            self.service.poison();
        }
    }
}

type Answer<'a> = Result<Term<'a>, Refusal>;

/// Runs a call on a store that has not ended; a panic in it ends the store and is told to its owner. A handle of a store that has ended would show what was, and
/// nothing of what its successor has committed.
fn guarded<'a>(env: Env<'a>, service: &Service, call: impl FnOnce() -> Answer<'a>) -> Term<'a> {
    if service.has_ended() { error(env, atoms::store_down()) } else { guarded_to_the_end(env, service, call) }
}

/// Like [`guarded`], for what may still be done when the store has ended: to read on in one state, to give something back.
fn guarded_to_the_end<'a>(env: Env<'a>, service: &Service, call: impl FnOnce() -> Answer<'a>) -> Term<'a> {
    match catch_unwind(AssertUnwindSafe(|| {
        crate::fault::point(crate::fault::Place::Call);
        call()
    })) {
        Ok(Ok(answer)) => answer,
        Ok(Err(Refusal::Oversized)) => atoms::oversized().to_term(env),
        Ok(Err(Refusal::Record(index))) => error(env, (atoms::invalid_record(), index)),
        Ok(Err(Refusal::Argument)) => error(env, atoms::invalid_argument()),
        Err(_) => {
            service.poison();
            error(env, atoms::store_down())
        }
    }
}

fn ok(env: Env<'_>) -> Term<'_> {
    atoms::ok().to_term(env)
}

/// `{stage, transaction, memory, wal, block, record}` in bytes, and the milliseconds between syncs, 0 for a sync in each batch.
fn options(term: Term<'_>) -> Result<Options, Refusal> {
    let ((stage, transaction, memory), (wal, block, record), interval): ((usize, usize, usize), (u64, usize, usize), u64) =
        term.decode().map_err(|_| Refusal::Argument)?;
    let sync = if interval == 0 { SyncPolicy::EveryBatch } else { SyncPolicy::Interval(Duration::from_millis(interval)) };
    Ok(Options {
        stage_bytes_max: stage,
        batch_bytes_max: Options::default().batch_bytes_max.min(stage),
        transaction_bytes_max: transaction,
        memory_bytes_max: memory,
        wal_bytes_max: wal,
        block_bytes_max: block,
        record_bytes_max: record,
        sync,
        ..Options::default()
    })
}

#[rustler::nif(schedule = "DirtyIo")]
fn store_open<'a>(env: Env<'a>, dir: &str, settings: Term<'a>) -> Term<'a> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let options = options(settings)?;
        Ok(match Service::open(env, Path::new(dir), options) {
            Ok((service, report)) => (atoms::ok(), service, terms::recovery(env, &report)).encode(env),
            Err(reason) => terms::open_error(env, &reason),
        })
    }));
    first_answer(env, opened)
}

#[rustler::nif(schedule = "DirtyIo")]
fn store_open_read_only<'a>(env: Env<'a>, dir: &str, settings: Term<'a>) -> Term<'a> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let options = options(settings)?;
        Ok(match Service::open_read_only(Path::new(dir), options) {
            Ok((service, report)) => (atoms::ok(), service, terms::recovery(env, &report)).encode(env),
            Err(reason) => terms::open_error(env, &reason),
        })
    }));
    first_answer(env, opened)
}

/// Copies what is provably good in one directory to a new store in another.
#[rustler::nif(schedule = "DirtyIo")]
fn store_salvage<'a>(env: Env<'a>, from: &str, to: &str, settings: Term<'a>) -> Term<'a> {
    let salvaged = catch_unwind(AssertUnwindSafe(|| {
        let options = Options { identity: service::identity(), ..options(settings)? };
        Ok(match racefree_core::store::salvage(&Disk, Path::new(from), Path::new(to), &options) {
            Ok(report) => (atoms::ok(), terms::salvage(env, &report)).encode(env),
            Err(reason) => terms::open_error(env, &reason),
        })
    }));
    first_answer(env, salvaged)
}

/// The answer of a call that has no store yet.
fn first_answer<'a>(env: Env<'a>, opened: std::thread::Result<Answer<'a>>) -> Term<'a> {
    match opened {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => error(env, atoms::invalid_argument()),
        Err(_) => error(env, atoms::poisoned()),
    }
}

/// Drains for at most so many milliseconds, then ends the store; 0 ends it at once. `:ok` means that all of it is on disk.
#[rustler::nif(schedule = "DirtyIo")]
fn store_close(env: Env<'_>, service: ResourceArc<Service>, drain_ms: u64) -> Term<'_> {
    guarded_to_the_end(env, &service, || {
        if service.is_read_only() {
            return Ok(ok(env));
        }
        let drained = if drain_ms == 0 { Err(DrainError::Timeout) } else { service.store.drain(Duration::from_millis(drain_ms)) };
        service.end();
        service.await_end();
        Ok(match drained {
            Ok(()) => ok(env),
            Err(DrainError::Timeout) => error(env, atoms::timeout()),
            Err(DrainError::Failed(reason)) => error(env, terms::failure(env, &reason)),
            Err(_) => error(env, atoms::unknown()),
        })
    })
}

#[rustler::nif]
fn store_log<'a>(env: Env<'a>, service: ResourceArc<Service>, key: Binary<'a>) -> Term<'a> {
    guarded(env, &service, || Ok(log_answer(env, &service, service.store.log(key.as_slice()))))
}

#[rustler::nif]
fn store_find<'a>(env: Env<'a>, service: ResourceArc<Service>, key: Binary<'a>) -> Term<'a> {
    guarded(env, &service, || Ok(log_answer(env, &service, service.store.find(key.as_slice()))))
}

fn log_answer<'a>(env: Env<'a>, service: &ResourceArc<Service>, found: Result<Log<Disk>, LogError>) -> Term<'a> {
    match found {
        Ok(log) => (atoms::ok(), ResourceArc::new(LogHandle { log, service: service.clone() })).encode(env),
        Err(reason) => terms::log_error(env, &reason),
    }
}

#[rustler::nif(schedule = "DirtyCpu")]
fn store_keys(env: Env<'_>, service: ResourceArc<Service>) -> Term<'_> {
    guarded(env, &service, || Ok(service.store.keys().iter().map(|key| terms::binary(env, key)).collect::<Vec<_>>().encode(env)))
}

#[rustler::nif]
fn store_commit(env: Env<'_>, service: ResourceArc<Service>, lsn: u64) -> Term<'_> {
    guarded(env, &service, || {
        Ok(match service.store.commit(lsn) {
            Ok(Committed::Now { .. }) => ok(env),
            Ok(Committed::Already) => atoms::already().to_term(env),
            Err(reason) => terms::commit_error(env, &reason),
        })
    })
}

#[rustler::nif]
fn store_abort(env: Env<'_>, service: ResourceArc<Service>, lsn: u64) -> Term<'_> {
    guarded(env, &service, || {
        Ok(match service.store.abort(lsn) {
            Ok(()) => ok(env),
            Err(reason) => terms::commit_error(env, &reason),
        })
    })
}

#[rustler::nif]
fn store_append<'a>(env: Env<'a>, lease: ResourceArc<LeaseHandle>, lsn: u64, records: Term<'a>, meta: Term<'a>) -> Term<'a> {
    append(env, &lease, lsn, (records, meta), Effort::Normal)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn store_append_dirty<'a>(env: Env<'a>, lease: ResourceArc<LeaseHandle>, lsn: u64, records: Term<'a>, meta: Term<'a>) -> Term<'a> {
    append(env, &lease, lsn, (records, meta), Effort::Dirty)
}

fn append<'a>(env: Env<'a>, handle: &LeaseHandle, lsn: u64, (records, meta): (Term<'a>, Term<'a>), effort: Effort) -> Term<'a> {
    guarded(env, &handle.service, || {
        // Elixir does not look at the owner's table first, as it does elsewhere: that costs as much as the rest of the call.
        if handle.service.is_orphan(env) {
            return Ok(error(env, atoms::store_down()));
        }
        let decoded = Decoded::new(records, effort)?;
        let meta = terms::meta(meta)?;
        let lease = handle.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lease) = lease.as_ref() else { return Ok(error(env, atoms::fenced())) };
        Ok(match lease.append(lsn, &decoded.records(), meta.as_ref().map(Binary::as_slice)) {
            Ok(Appended::Staged { last: Some(last) }) => (atoms::ok(), (last.tx, last.op)).encode(env),
            Ok(Appended::Staged { last: None }) => (atoms::ok(), atoms::nil()).encode(env),
            Ok(Appended::Already) => atoms::already().to_term(env),
            Err(reason) => terms::append_error(env, &reason),
        })
    })
}

#[rustler::nif]
fn store_transact<'a>(env: Env<'a>, service: ResourceArc<Service>, lsn: u64, writes: Term<'a>) -> Term<'a> {
    transact(env, &service, lsn, writes, Effort::Normal)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn store_transact_dirty<'a>(env: Env<'a>, service: ResourceArc<Service>, lsn: u64, writes: Term<'a>) -> Term<'a> {
    transact(env, &service, lsn, writes, Effort::Dirty)
}

/// What one log gets in a transaction: log, lease or nil, records, meta or nil.
type WriteTerm<'a> = (ResourceArc<LogHandle>, Option<ResourceArc<LeaseHandle>>, Term<'a>, Term<'a>);

/// Whether two parts are for one log: they have no order that anybody stated.
fn has_twice(writes: &[WriteTerm<'_>]) -> bool {
    let mut ids: Vec<_> = writes.iter().map(|(log, ..)| log.log.id()).collect();
    ids.sort_unstable();
    ids.windows(2).any(|pair| pair.first() == pair.last())
}

fn transact<'a>(env: Env<'a>, service: &Service, lsn: u64, writes: Term<'a>, effort: Effort) -> Term<'a> {
    guarded(env, service, || {
        let writes: Vec<WriteTerm> = writes.decode().map_err(|_| Refusal::Argument)?;
        let services = writes.iter().flat_map(|(log, lease, ..)| [Some(&log.service), lease.as_ref().map(|lease| &lease.service)]);
        if services.flatten().any(|service| service.has_ended()) {
            return Ok(error(env, atoms::store_down()));
        }
        if has_twice(&writes) {
            return Ok(error(env, atoms::twice()));
        }
        let mut decoded = Vec::with_capacity(writes.len());
        for (_, _, records, meta) in &writes {
            decoded.push((Decoded::new(*records, effort)?, terms::meta(*meta)?));
        }
        let leases: Vec<_> = writes
            .iter()
            .map(|(_, lease, ..)| lease.as_ref().map(|lease| lease.lease.lock().unwrap_or_else(PoisonError::into_inner)))
            .collect();
        if leases.iter().flatten().any(|lease| lease.is_none()) {
            return Ok(error(env, atoms::fenced()));
        }
        let records: Vec<_> = decoded.iter().map(|(decoded, _)| decoded.records()).collect();
        let parts = writes.iter().zip(&leases).zip(&decoded).zip(&records);
        let core: Vec<Write<'_, Disk>> = parts
            .map(|((((handle, ..), lease), (_, meta)), records)| Write {
                log: &handle.log,
                lease: lease.as_ref().and_then(|lease| lease.as_ref()),
                records,
                meta: meta.as_ref().map(Binary::as_slice),
            })
            .collect();
        Ok(match service.store.transact(lsn, &core) {
            Ok(Committed::Now { .. }) => ok(env),
            Ok(Committed::Already) => atoms::already().to_term(env),
            Err(reason) => terms::append_error(env, &reason),
        })
    })
}

#[rustler::nif]
fn store_lease<'a>(env: Env<'a>, handle: ResourceArc<LogHandle>) -> Term<'a> {
    guarded(env, &handle.service, || {
        Ok(match handle.log.lease() {
            Ok(lease) => {
                let lease = ResourceArc::new(LeaseHandle { lease: Mutex::new(Some(lease)), service: handle.service.clone() });
                // The holder is the calling process, so it lives and the monitor succeeds.
                env.monitor(&lease, &env.pid());
                (atoms::ok(), lease).encode(env)
            }
            Err(reason) => terms::log_error(env, &reason),
        })
    })
}

#[rustler::nif]
fn store_release<'a>(env: Env<'a>, handle: ResourceArc<LeaseHandle>) -> Term<'a> {
    guarded_to_the_end(env, &handle.service, || {
        handle.release();
        Ok(ok(env))
    })
}

/// What to read: after, up to, level, `{records, bytes}`.
type RangeTerm<'a> = (Term<'a>, Term<'a>, Term<'a>, Term<'a>);

fn range((after, upto, _, limit): &RangeTerm<'_>, effort: Effort) -> Result<ReadRange, Refusal> {
    let source = if effort == Effort::Normal { Source::Cached } else { Source::Any };
    Ok(ReadRange { after: terms::offset(*after)?, upto: terms::offset(*upto)?, limit: terms::limit(*limit, effort)?, source })
}

fn page<'a>(env: Env<'a>, page: Result<racefree_core::store::Page, ReadError>) -> Term<'a> {
    match page {
        Ok(page) => terms::page(env, page),
        Err(reason) => terms::read_error(env, &reason),
    }
}

#[rustler::nif]
fn store_read<'a>(env: Env<'a>, handle: ResourceArc<LogHandle>, wanted: RangeTerm<'a>) -> Term<'a> {
    guarded(env, &handle.service, || Ok(page(env, handle.log.read(&range(&wanted, Effort::Normal)?, terms::level(wanted.2)?))))
}

#[rustler::nif(schedule = "DirtyIo")]
fn store_read_dirty<'a>(env: Env<'a>, handle: ResourceArc<LogHandle>, wanted: RangeTerm<'a>) -> Term<'a> {
    guarded(env, &handle.service, || Ok(page(env, handle.log.read(&range(&wanted, Effort::Dirty)?, terms::level(wanted.2)?))))
}

#[rustler::nif]
fn store_reader<'a>(env: Env<'a>, handle: ResourceArc<LogHandle>, level: Term<'a>) -> Term<'a> {
    guarded(env, &handle.service, || {
        Ok(match handle.log.reader(terms::level(level)?) {
            Ok(reader) => {
                let lsn = reader.lsn();
                (atoms::ok(), ResourceArc::new(ReaderHandle { reader, service: handle.service.clone() }), lsn).encode(env)
            }
            Err(reason) => terms::read_error(env, &reason),
        })
    })
}

#[rustler::nif]
fn store_reader_read<'a>(env: Env<'a>, handle: ResourceArc<ReaderHandle>, wanted: RangeTerm<'a>) -> Term<'a> {
    guarded_to_the_end(env, &handle.service, || Ok(page(env, handle.reader.read(&range(&wanted, Effort::Normal)?))))
}

#[rustler::nif(schedule = "DirtyIo")]
fn store_reader_read_dirty<'a>(env: Env<'a>, handle: ResourceArc<ReaderHandle>, wanted: RangeTerm<'a>) -> Term<'a> {
    guarded_to_the_end(env, &handle.service, || Ok(page(env, handle.reader.read(&range(&wanted, Effort::Dirty)?))))
}

/// `{:ok, nil}` or `{:ok, {lsn, meta}}`.
fn meta_answer(env: Env<'_>, meta: Option<(u64, Arc<[u8]>)>) -> Term<'_> {
    match meta {
        Some((lsn, bytes)) => (atoms::ok(), (lsn, terms::binary(env, &bytes))).encode(env),
        None => (atoms::ok(), atoms::nil()).encode(env),
    }
}

#[rustler::nif]
fn store_reader_meta(env: Env<'_>, handle: ResourceArc<ReaderHandle>) -> Term<'_> {
    guarded_to_the_end(env, &handle.service, || Ok(meta_answer(env, handle.reader.meta())))
}

#[rustler::nif]
fn store_meta<'a>(env: Env<'a>, handle: ResourceArc<LogHandle>, level: Term<'a>) -> Term<'a> {
    guarded(env, &handle.service, || {
        Ok(match handle.log.meta(terms::level(level)?) {
            Ok(meta) => meta_answer(env, meta),
            Err(reason) => terms::read_error(env, &reason),
        })
    })
}

#[rustler::nif]
fn store_snapshot<'a>(env: Env<'a>, service: ResourceArc<Service>, logs: Vec<ResourceArc<LogHandle>>, level: Term<'a>) -> Term<'a> {
    guarded(env, &service, || {
        if logs.iter().any(|handle| handle.service.has_ended()) {
            return Ok(error(env, atoms::store_down()));
        }
        let core: Vec<&Log<Disk>> = logs.iter().map(|handle| &handle.log).collect();
        Ok(match service.store.snapshot(&core, terms::level(level)?) {
            Ok(snapshot) => {
                let lsn = snapshot.lsn();
                let handle = |reader| ResourceArc::new(ReaderHandle { reader, service: service.clone() });
                let readers: Vec<_> = snapshot.into_readers().into_iter().map(handle).collect();
                (atoms::ok(), lsn, readers).encode(env)
            }
            Err(reason) => terms::read_error(env, &reason),
        })
    })
}

/// `{visible, durable}`.
#[rustler::nif]
fn store_lsns(env: Env<'_>, service: ResourceArc<Service>) -> Term<'_> {
    guarded(env, &service, || Ok((service.store.visible_lsn(), service.store.durable_lsn()).encode(env)))
}

/// What to wait for: `{:durable, lsn}`, `{:sequence, number}` or `:ready`. `{:ok, number}`, `{:error, reason}`, or `{:waiting, wait}` and later a message
/// `{reference, outcome}`.
#[rustler::nif]
fn store_await<'a>(env: Env<'a>, service: ResourceArc<Service>, what: Term<'a>, reference: Term<'a>) -> Term<'a> {
    guarded(env, &service, || {
        let store = &service.store;
        let registered = match (what.decode::<(Atom, u64)>(), what.decode::<Atom>()) {
            (Ok((kind, lsn)), _) if kind == atoms::durable() => {
                waiting::register(env, store, reference, |waiter| store.await_durable(lsn, waiter))
            }
            (Ok((kind, number)), _) if kind == atoms::sequence() => {
                waiting::register(env, store, reference, |waiter| store.await_sequence(Sequence(number), waiter))
            }
            (_, Ok(kind)) if kind == atoms::ready() => waiting::register(env, store, reference, |waiter| store.await_ready(waiter)),
            _ => return Err(Refusal::Argument),
        };
        Ok(match registered {
            Ok(outcome) => terms::outcome(env, &outcome),
            Err(wait) => (atoms::waiting(), ResourceArc::new(wait)).encode(env),
        })
    })
}

/// `true`: there was no message and there will be none. `false`: it was sent, or is being sent.
#[rustler::nif]
fn store_cancel(wait: ResourceArc<Wait>) -> bool {
    catch_unwind(AssertUnwindSafe(|| wait.store.cancel(wait.id))).unwrap_or(true)
}

#[rustler::nif]
fn store_follow<'a>(env: Env<'a>, service: ResourceArc<Service>, reference: Term<'a>) -> Term<'a> {
    guarded(env, &service, || {
        let follower = Arc::new(Follower::new(env, reference));
        let told = Arc::clone(&follower);
        let id = service.store.subscribe_durable(Arc::new(move |outcome| told.tell(&outcome)));
        let following = ResourceArc::new(Following { id, follower, service: service.clone() });
        // The follower is the calling process, so it lives and the monitor succeeds.
        env.monitor(&following, &env.pid());
        Ok(following.encode(env))
    })
}

#[rustler::nif]
fn store_unfollow<'a>(env: Env<'a>, following: ResourceArc<Following>) -> Term<'a> {
    following.end();
    ok(env)
}

#[rustler::nif]
fn store_trim<'a>(env: Env<'a>, handle: ResourceArc<LogHandle>, upto: Term<'a>) -> Term<'a> {
    guarded(env, &handle.service, || Ok(change_answer(env, &handle.service, handle.log.trim(terms::offset(upto)?), ok(env))))
}

#[rustler::nif]
fn store_trimmed(env: Env<'_>, handle: ResourceArc<LogHandle>) -> Term<'_> {
    guarded(env, &handle.service, || {
        let trimmed = handle.log.trimmed();
        Ok((trimmed.tx, trimmed.op).encode(env))
    })
}

/// `{:ok, service, sequence, result}` or `{:busy, service}`: the store that the handle belongs to, to wait at. Another may be open under the same name by now.
fn change_answer<'a>(env: Env<'a>, service: &ResourceArc<Service>, changed: Result<Sequence, LogError>, result: Term<'a>) -> Term<'a> {
    match changed {
        Ok(Sequence(number)) => (atoms::ok(), service, number, result).encode(env),
        Err(LogError::Busy) => (atoms::busy(), service).encode(env),
        Err(reason) => terms::log_error(env, &reason),
    }
}

fn removal_handle(removal: Removal<Disk>, service: &ResourceArc<Service>) -> ResourceArc<RemovalHandle> {
    ResourceArc::new(RemovalHandle { removal: Mutex::new(Some(removal)), service: service.clone() })
}

/// Its result is the removal.
#[rustler::nif]
fn store_begin_remove(env: Env<'_>, handle: ResourceArc<LogHandle>) -> Term<'_> {
    let service = &handle.service;
    guarded(env, service, || {
        Ok(match handle.log.begin_remove() {
            Ok((removal, sequence)) => change_answer(env, service, Ok(sequence), removal_handle(removal, service).encode(env)),
            Err(reason) => change_answer(env, service, Err(reason), ok(env)),
        })
    })
}

#[rustler::nif]
fn store_removal<'a>(env: Env<'a>, service: ResourceArc<Service>, key: Binary<'a>) -> Term<'a> {
    guarded(env, &service, || {
        Ok(match service.store.removal(key.as_slice()) {
            Ok(removal) => (atoms::ok(), removal_handle(removal, &service)).encode(env),
            Err(reason) => terms::log_error(env, &reason),
        })
    })
}

#[rustler::nif]
fn store_finish_remove(env: Env<'_>, handle: ResourceArc<RemovalHandle>) -> Term<'_> {
    guarded(env, &handle.service, || {
        let removal = handle.removal.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(match removal {
            Some(removal) => change_answer(env, &handle.service, removal.finish(), ok(env)),
            None => error(env, atoms::stale()),
        })
    })
}

#[rustler::nif]
fn store_info(env: Env<'_>, service: ResourceArc<Service>) -> Term<'_> {
    guarded(env, &service, || Ok(terms::info(env, &service.store.info())))
}

#[rustler::nif(schedule = "DirtyIo")]
fn store_verify(env: Env<'_>, service: ResourceArc<Service>) -> Term<'_> {
    guarded(env, &service, || {
        Ok(match service.store.verify() {
            Ok(report) => (atoms::ok(), terms::verification(env, &report)).encode(env),
            Err(reason) => error(env, terms::failure(env, &reason)),
        })
    })
}
