//! What transaction `lsn` writes: a pure function of the seed and the lsn.

use fastrand::Rng;
use racefree_core::store::{Lsn, Offset};

pub(super) const LOGS: usize = 100;

/// A log keeps the records of at least so many transactions.
const KEPT_TRANSACTIONS: u64 = 300;

/// What one transaction writes to one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) log: usize,
    pub(super) payloads: Vec<Vec<u8>>,
    pub(super) meta: Option<Vec<u8>>,
}

pub(super) fn key(log: usize) -> Vec<u8> {
    format!("log-{log}").into_bytes()
}

/// The parts of transaction `lsn`, each of another log.
pub(super) fn transaction(seed: u64, lsn: Lsn) -> Vec<Part> {
    let mut rng = Rng::with_seed(seed ^ lsn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let count = rng.usize(1..=6);
    let logs = rng.choose_multiple(0..LOGS, count);
    logs.into_iter()
        .map(|log| {
            let payloads = (0..rng.usize(1..=4)).map(|index| payload(&mut rng, lsn, log, index)).collect();
            let meta = rng.bool().then(|| format!("meta {lsn} {log}").into_bytes());
            Part { log, payloads, meta }
        })
        .collect()
}

fn payload(rng: &mut Rng, lsn: Lsn, log: usize, index: usize) -> Vec<u8> {
    let mut payload = format!("{lsn} {log} {index} ").into_bytes();
    let length = if rng.u8(0..50) == 0 { rng.usize(0..20_000) } else { rng.usize(0..300) };
    payload.extend(std::iter::repeat_with(|| rng.u8(..)).take(length));
    payload
}

/// Before it is committed, every so often, a transaction is staged with other content and aborted.
pub(super) fn is_aborted_first(lsn: Lsn) -> bool {
    lsn.is_multiple_of(7)
}

/// What is trimmed once transaction `lsn` is committed.
pub(super) fn trim(lsn: Lsn) -> Option<(usize, Offset)> {
    let upto = lsn.checked_sub(KEPT_TRANSACTIONS)?;
    let log = usize::try_from(lsn).ok()? % LOGS;
    Some((log, Offset { tx: upto, op: u64::MAX }))
}

/// All logs as they are at `lsn`, from transaction `first` on.
pub(super) struct Expected {
    pub(super) records: Vec<Vec<(Offset, Vec<u8>)>>,
    pub(super) metas: Vec<Option<(Lsn, Vec<u8>)>>,
}

pub(super) fn expected(seed: u64, first: Lsn, lsn: Lsn) -> Expected {
    let mut expected = Expected { records: vec![Vec::new(); LOGS], metas: vec![None; LOGS] };
    for tx in first.max(1)..=lsn {
        for part in transaction(seed, tx) {
            let records = part.payloads.into_iter().zip(0..).map(|(payload, op)| (Offset { tx, op }, payload));
            expected.records[part.log].extend(records);
            if let Some(meta) = part.meta {
                expected.metas[part.log] = Some((tx, meta));
            }
        }
    }
    expected
}
