//! Offsets, records, pages and errors as terms.

use std::io::ErrorKind;

use racefree_core::store::{
    AppendError, CommitError, Defect, Failure, Info, Level, LogError, Next, Offset, OpenError, Operation, Page, ReadError, ReadLimit,
    Record, Records, RecoveryReport, SalvageReport, VerifyReport,
};
use rustler::types::list::ListIterator;
use rustler::{Atom, Binary, Encoder, Env, NewBinary, Resource, ResourceArc, Term};
use smallvec::SmallVec;

use super::waiting::Outcome;
use crate::atoms;
use crate::term_key::Effort;

/// Pages of more payload than this are handed out as parts of the store's own memory; smaller ones are copied, once for the page.
const COPIED_BYTES_MAX: usize = 64 * 1024;
/// What a normal scheduler copies in one call; memory moves at about 10 GB/s.
const NORMAL_BYTES_MAX: usize = 1024 * 1024;
/// What a normal scheduler takes apart or builds in one call, at some 30 ns each.
const NORMAL_RECORDS_MAX: usize = 4096;

/// Memory of the store that binaries point into.
pub(crate) struct Pinned(Records);

#[rustler::resource_impl]
impl Resource for Pinned {}

/// Why a call's terms cannot be used.
pub(crate) enum Refusal {
    /// For a dirty scheduler.
    Oversized,
    /// The element of this list is no record.
    Record(usize),
    Argument,
}

/// Payloads with their operations. One needs no memory of its own.
pub(crate) struct Decoded<'a> {
    payloads: SmallVec<[(Option<u64>, Binary<'a>); 1]>,
}

impl<'a> Decoded<'a> {
    /// A list of iodata and `{op, iodata}`.
    pub(crate) fn new(list: Term<'a>, effort: Effort) -> Result<Self, Refusal> {
        // rustler's iterator panics at the end of an improper list.
        list.list_length().map_err(|_| Refusal::Argument)?;
        let elements: ListIterator = list.decode().map_err(|_| Refusal::Argument)?;
        let mut payloads = SmallVec::new();
        let mut bytes = 0;
        for (index, element) in elements.enumerate() {
            let (op, payload) = match Binary::from_term(element) {
                Ok(payload) => (None, payload),
                Err(_) => match element.decode::<(u64, Term<'a>)>() {
                    Ok((op, iodata)) => (Some(op), flat(iodata).map_err(|_| Refusal::Record(index))?),
                    Err(_) => (None, flat(element).map_err(|_| Refusal::Record(index))?),
                },
            };
            bytes += payload.len();
            if effort == Effort::Normal && (bytes > NORMAL_BYTES_MAX || index >= NORMAL_RECORDS_MAX) {
                return Err(Refusal::Oversized);
            }
            payloads.push((op, payload));
        }
        Ok(Self { payloads })
    }

    pub(crate) fn records(&self) -> SmallVec<[Record<'_>; 1]> {
        self.payloads.iter().map(|(op, payload)| Record { op: *op, payload: payload.as_slice() }).collect()
    }
}

/// The bytes of iodata.
fn flat(iodata: Term<'_>) -> Result<Binary<'_>, rustler::Error> {
    Binary::from_term(iodata).or_else(|_| Binary::from_iolist(iodata))
}

/// `nil` or iodata.
pub(crate) fn meta<'a>(term: Term<'a>) -> Result<Option<Binary<'a>>, Refusal> {
    if term.decode::<Atom>().is_ok_and(|atom| atom == atoms::nil()) {
        return Ok(None);
    }
    flat(term).map(Some).map_err(|_| Refusal::Argument)
}

pub(crate) fn offset(term: Term<'_>) -> Result<Offset, Refusal> {
    term.decode::<(u64, u64)>().map(|(tx, op)| Offset { tx, op }).map_err(|_| Refusal::Argument)
}

pub(crate) fn level(term: Term<'_>) -> Result<Level, Refusal> {
    match term.decode::<Atom>() {
        Ok(atom) if atom == atoms::visible() => Ok(Level::Visible),
        Ok(atom) if atom == atoms::durable() => Ok(Level::Durable),
        _ => Err(Refusal::Argument),
    }
}

/// `{records, bytes}`.
pub(crate) fn limit(term: Term<'_>, effort: Effort) -> Result<ReadLimit, Refusal> {
    let (records, bytes): (usize, usize) = term.decode().map_err(|_| Refusal::Argument)?;
    if effort == Effort::Normal && records > NORMAL_RECORDS_MAX {
        return Err(Refusal::Oversized);
    }
    Ok(ReadLimit { records, bytes })
}

/// `{:ok, [{{tx, op}, payload}], :done | {:more, offset}, lsn}`.
pub(crate) fn page<'a>(env: Env<'a>, page: Page) -> Term<'a> {
    let next = match page.next {
        Next::Done => atoms::done().to_term(env),
        Next::More(after) => (atoms::more(), (after.tx, after.op)).encode(env),
    };
    (atoms::ok(), records(env, page.records), next, page.lsn).encode(env)
}

fn records(env: Env<'_>, records: Records) -> Term<'_> {
    let mut terms = Vec::with_capacity(records.len());
    if records.payload_bytes() > COPIED_BYTES_MAX {
        let pinned = ResourceArc::new(Pinned(records.clone()));
        for index in 0..records.runs().len() {
            let whole = pinned.make_binary(env, |pinned| pinned.0.runs().nth(index).map_or(&[], |run| run.bytes));
            run(env, &records, index, &whole, &mut terms);
        }
    } else {
        for (index, piece) in records.runs().enumerate() {
            let whole: Binary = {
                let mut copy = NewBinary::new(env, piece.bytes.len());
                copy.as_mut_slice().copy_from_slice(piece.bytes);
                copy.into()
            };
            run(env, &records, index, &whole, &mut terms);
        }
    }
    terms.encode(env)
}

/// The records of one run, as parts of `whole`, which holds its bytes.
fn run<'a>(env: Env<'a>, records: &Records, index: usize, whole: &Binary<'a>, terms: &mut Vec<Term<'a>>) {
    let Some(run) = records.runs().nth(index) else { return };
    // Neighbours are often of one transaction, whose number is made once.
    let mut tx = (0, 0_u64.encode(env));
    for (offset, payload) in run.payloads() {
        if tx.0 != offset.tx {
            tx = (offset.tx, offset.tx.encode(env));
        }
        // The range lies in the run's bytes.
        let Ok(payload) = whole.make_subbinary(payload.start, payload.len()) else { continue };
        terms.push(((tx.1, offset.op), payload.to_term(env)).encode(env));
    }
}

pub(crate) fn binary<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    let mut copy = NewBinary::new(env, bytes.len());
    copy.as_mut_slice().copy_from_slice(bytes);
    Binary::from(copy).to_term(env)
}

/// `{:ok, number}` or `{:error, reason}`.
pub(crate) fn outcome<'a>(env: Env<'a>, outcome: &Outcome) -> Term<'a> {
    match outcome {
        Ok(number) => (atoms::ok(), number).encode(env),
        Err(failure) => (atoms::error(), self::failure(env, failure)).encode(env),
    }
}

pub(crate) fn error<'a>(env: Env<'a>, reason: impl Encoder) -> Term<'a> {
    (atoms::error(), reason).encode(env)
}

/// `:store_down`, or `{:storage_failed, {operation, reason}}`.
pub(crate) fn failure<'a>(env: Env<'a>, failure: &Failure) -> Term<'a> {
    let operation = match failure.operation {
        Operation::ShutDown => return atoms::store_down().to_term(env),
        Operation::Poisoned => return atoms::poisoned().to_term(env),
        Operation::Open => atoms::open(),
        Operation::Read => atoms::read(),
        Operation::Write => atoms::write(),
        Operation::Sync => atoms::sync(),
        Operation::Preallocate => atoms::preallocate(),
        Operation::Create => atoms::create(),
        Operation::Rename => atoms::rename(),
        Operation::Remove => atoms::remove(),
        Operation::List => atoms::list(),
        Operation::SyncDir => atoms::sync_dir(),
        Operation::Lock => atoms::lock(),
        _ => atoms::unknown(),
    };
    (atoms::storage_failed(), (operation, posix(env, failure))).encode(env)
}

/// The name that `:file` gives the error, where it has one; else the system's number.
fn posix<'a>(env: Env<'a>, failure: &Failure) -> Term<'a> {
    let name = match failure.kind {
        ErrorKind::NotFound => atoms::enoent(),
        ErrorKind::PermissionDenied => atoms::eacces(),
        ErrorKind::StorageFull => atoms::enospc(),
        ErrorKind::QuotaExceeded => atoms::edquot(),
        ErrorKind::ReadOnlyFilesystem => atoms::erofs(),
        ErrorKind::NotADirectory => atoms::enotdir(),
        ErrorKind::FileTooLarge => atoms::efbig(),
        _ => return failure.os_code.map_or_else(|| atoms::eio().to_term(env), |code| code.encode(env)),
    };
    name.to_term(env)
}

fn defect(defect: Defect) -> Atom {
    match defect {
        Defect::Checksum => atoms::checksum(),
        Defect::Truncated => atoms::truncated(),
        Defect::Header => atoms::header(),
        _ => atoms::meaning(),
    }
}

pub(crate) fn open_error<'a>(env: Env<'a>, reason: &OpenError) -> Term<'a> {
    match reason {
        OpenError::Locked => error(env, atoms::locked()),
        OpenError::Io(reason) => error(env, failure(env, reason)),
        OpenError::Corrupt { file, offset, defect: found } => error(env, (atoms::corrupt(), file, offset, defect(*found))),
        OpenError::UnknownVersion { file, version } => error(env, (atoms::unknown_version(), file, version)),
        OpenError::Missing { file } => error(env, (atoms::missing(), file)),
        OpenError::Foreign { file } => error(env, (atoms::foreign(), file)),
        OpenError::Option(name) => error(env, (atoms::option_out_of_bounds(), name)),
        _ => error(env, atoms::unknown()),
    }
}

pub(crate) fn log_error<'a>(env: Env<'a>, reason: &LogError) -> Term<'a> {
    match reason {
        LogError::NotFound => error(env, atoms::not_found()),
        LogError::Removed => error(env, atoms::removed()),
        LogError::NotRemoving => error(env, atoms::stale()),
        LogError::Busy => error(env, atoms::busy()),
        LogError::KeyTooLong => error(env, atoms::key_too_large()),
        LogError::ReadOnly => error(env, atoms::read_only()),
        LogError::Failed(reason) => error(env, failure(env, reason)),
        _ => error(env, atoms::store_down()),
    }
}

pub(crate) fn append_error<'a>(env: Env<'a>, reason: &AppendError) -> Term<'a> {
    match reason {
        AppendError::Busy => error(env, atoms::busy()),
        AppendError::TransactionTooLarge => error(env, atoms::transaction_too_large()),
        AppendError::RecordTooLarge { index } => error(env, (atoms::record_too_large(), index)),
        AppendError::MetaTooLarge => error(env, atoms::meta_too_large()),
        AppendError::OpNotIncreasing { index } => error(env, (atoms::op_not_increasing(), index)),
        AppendError::Fenced => error(env, atoms::fenced()),
        AppendError::Removed => error(env, atoms::removed()),
        AppendError::Foreign => error(env, atoms::other_store()),
        AppendError::LsnBehind { current } => error(env, (atoms::lsn_behind(), current)),
        AppendError::TransactionOpen { current } => error(env, (atoms::transaction_open(), current)),
        AppendError::LsnZero => error(env, atoms::lsn_zero()),
        AppendError::ReadOnly => error(env, atoms::read_only()),
        AppendError::Failed(reason) => error(env, failure(env, reason)),
        _ => error(env, atoms::store_down()),
    }
}

pub(crate) fn commit_error<'a>(env: Env<'a>, reason: &CommitError) -> Term<'a> {
    match reason {
        CommitError::Refused(reason) => append_error(env, reason),
        _ => error(env, atoms::not_open()),
    }
}

pub(crate) fn read_error<'a>(env: Env<'a>, reason: &ReadError) -> Term<'a> {
    match reason {
        ReadError::Trimmed { after } => error(env, (atoms::trimmed(), (after.tx, after.op))),
        ReadError::Removed => error(env, atoms::removed()),
        ReadError::Foreign => error(env, atoms::other_store()),
        ReadError::Cold => atoms::cold().to_term(env),
        ReadError::Io(reason) => error(env, failure(env, reason)),
        ReadError::Corrupt { file, offset, defect: found } => error(env, (atoms::corrupt(), file, offset, defect(*found))),
        _ => error(env, atoms::unknown()),
    }
}

fn map<'a, const N: usize>(env: Env<'a>, pairs: [(Atom, Term<'a>); N]) -> Term<'a> {
    // The keys are different atoms, so the map can be made.
    Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env))
}

pub(crate) fn recovery<'a>(env: Env<'a>, report: &RecoveryReport) -> Term<'a> {
    let torn = report.torn.as_ref().map_or_else(|| atoms::nil().to_term(env), |torn| (&torn.file, torn.offset).encode(env));
    let pending: Vec<Term> = report.pending_removals.iter().map(|key| binary(env, key)).collect();
    map(
        env,
        [
            (atoms::fresh(), report.new.encode(env)),
            (atoms::clean(), report.clean.encode(env)),
            (atoms::lsn(), report.lsn.encode(env)),
            (atoms::records(), report.records.encode(env)),
            (atoms::bytes(), report.bytes.encode(env)),
            (atoms::dropped_records(), report.dropped_records.encode(env)),
            (atoms::dropped_bytes(), report.dropped_bytes.encode(env)),
            (atoms::torn(), torn),
            (atoms::pending_removals(), pending.encode(env)),
        ],
    )
}

pub(crate) fn info<'a>(env: Env<'a>, info: &Info) -> Term<'a> {
    let none = || atoms::nil().to_term(env);
    let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).encode(env);
    map(
        env,
        [
            (atoms::logs(), info.logs.encode(env)),
            (atoms::visible_lsn(), info.visible.encode(env)),
            (atoms::durable_lsn(), info.durable.encode(env)),
            (atoms::open_transaction(), info.open_transaction.map_or_else(none, |lsn| lsn.encode(env))),
            (atoms::pending_bytes(), info.pending_bytes.encode(env)),
            (atoms::memory_bytes(), info.memory_bytes.encode(env)),
            (atoms::pinned_bytes(), info.pinned_bytes.encode(env)),
            (atoms::wal_bytes(), info.wal_bytes.encode(env)),
            (atoms::pack_files(), info.pack_files.encode(env)),
            (atoms::pack_bytes(), info.pack_bytes.encode(env)),
            (atoms::dead_bytes(), info.dead_bytes.encode(env)),
            (atoms::batches(), info.batches.encode(env)),
            (atoms::syncs(), info.syncs.encode(env)),
            (atoms::sync_last_us(), micros(info.sync_last)),
            (atoms::sync_max_us(), micros(info.sync_max)),
            (atoms::sync_total_us(), micros(info.sync_total)),
            (atoms::failure(), info.failure.as_ref().map_or_else(none, |reason| failure(env, reason))),
        ],
    )
}

pub(crate) fn salvage<'a>(env: Env<'a>, report: &SalvageReport) -> Term<'a> {
    let lost: Vec<Term> = report
        .lost
        .iter()
        .map(|loss| (binary(env, &loss.key), (loss.after.tx, loss.after.op), (loss.before.tx, loss.before.op)).encode(env))
        .collect();
    let damage: Vec<Term> = report.damage.iter().map(|reason| open_error(env, reason)).collect();
    map(
        env,
        [
            (atoms::lsn(), report.lsn.encode(env)),
            (atoms::logs(), report.logs.encode(env)),
            (atoms::records(), report.records.encode(env)),
            (atoms::lost(), lost.encode(env)),
            (atoms::lost_packs(), report.lost_packs.encode(env)),
            (atoms::damage(), damage.encode(env)),
        ],
    )
}

pub(crate) fn verification<'a>(env: Env<'a>, report: &VerifyReport) -> Term<'a> {
    let problems: Vec<Term> =
        report.problems.iter().map(|problem| (&problem.file, problem.offset, defect(problem.defect)).encode(env)).collect();
    map(
        env,
        [
            (atoms::files(), report.files.encode(env)),
            (atoms::records(), report.records.encode(env)),
            (atoms::bytes(), report.bytes.encode(env)),
            (atoms::problems(), problems.encode(env)),
        ],
    )
}
