//! Leases and transactions.

use super::{Client, Handle, OpenTransaction, Verdict};
use crate::disk::Process;
use crate::oracle::{Event, Key, LogWrites, Payload};
use racefree_core::store::{AppendError, Appended, CommitError, Committed, Lease, LogError, Lsn, Offset, Record, Write};
use std::collections::BTreeMap;

/// What one append asks for.
struct Batch {
    /// With an explicit op or the next one.
    records: Vec<(Option<u64>, Payload)>,
    meta: Option<Payload>,
    /// What the log must hold afterwards.
    expected: LogWrites,
}

impl Batch {
    fn records(&self) -> Vec<Record<'_>> {
        self.records.iter().map(|(op, payload)| Record { op: *op, payload }).collect()
    }

    fn last(&self) -> Option<Offset> {
        self.expected.records.last().map(|(offset, _)| *offset)
    }
}

impl Client {
    pub(super) fn append(&mut self) -> Verdict {
        let key = self.random_key();
        let Some(lsn) = self.lsn_to_write() else { return Ok(()) };
        let Some(lease) = self.take_lease(&key)? else { return Ok(()) };
        let batch = self.batch(&key, lsn);
        let outcome = lease.append(lsn, &batch.records(), batch.meta.as_deref());
        self.note(|| format!("append {} at {lsn}: {} records: {outcome:?}", String::from_utf8_lossy(&key), batch.records.len()));
        let verdict = match outcome {
            Ok(Appended::Staged { last }) if last == batch.last() => {
                self.stage(lsn, &key, batch.expected);
                Ok(())
            }
            Err(AppendError::Busy | AppendError::TransactionTooLarge) => Ok(()),
            _ if self.is_excused() && outcome.is_err() => Ok(()),
            outcome => Err(format!("an append at {lsn} gave {outcome:?}")),
        };
        self.give_back(&key, lease);
        verdict
    }

    /// Appends that must be refused, or are repeats: nothing may change.
    pub(super) fn append_out_of_turn(&mut self) -> Verdict {
        let key = self.random_key();
        let committed = self.oracle.newest().lsn;
        let open = self.open.as_ref().map(|open| open.lsn);
        let (lsn, is_right): (Lsn, fn(&Result<Appended, AppendError>) -> bool) = match (self.rng.u8(0..4), open) {
            (0, _) => (0, |outcome| matches!(outcome, Err(AppendError::LsnZero))),
            (1, Some(open)) if open > committed + 1 => {
                (self.rng.u64(committed + 1..open), |outcome| matches!(outcome, Err(AppendError::LsnBehind { .. })))
            }
            (2, Some(open)) if open < u64::MAX => (open + 1, |outcome| matches!(outcome, Err(AppendError::TransactionOpen { .. }))),
            _ if committed > 0 => (self.rng.u64(1..=committed), |outcome| matches!(outcome, Ok(Appended::Already))),
            _ => return Ok(()),
        };
        let Some(lease) = self.take_lease(&key)? else { return Ok(()) };
        let outcome = lease.append(lsn, &[Record { op: None, payload: b"out of turn" }], None);
        self.note(|| format!("append out of turn at {lsn}: {outcome:?}"));
        self.give_back(&key, lease);
        if is_right(&outcome) || (self.is_excused() && outcome.is_err()) || matches!(outcome, Err(AppendError::Busy)) {
            return Ok(());
        }
        Err(format!("at {lsn}, with {committed} committed and {open:?} open: {outcome:?}"))
    }

    pub(super) fn commit(&mut self) -> Verdict {
        match self.open.take() {
            Some(open) => self.commit_open(open),
            None => self.commit_again(),
        }
    }

    fn commit_open(&mut self, open: OpenTransaction) -> Verdict {
        let outcome = self.store.commit(open.lsn);
        self.note(|| format!("commit {}: {outcome:?}", open.lsn));
        match outcome {
            Ok(Committed::Now { sequence }) => {
                let position = self.oracle.push(Event::Commit { lsn: open.lsn, writes: open.writes });
                self.sequences.push((sequence, position));
                Ok(())
            }
            Err(_) if self.is_excused() => Ok(()),
            outcome => Err(format!("a commit of the open transaction {} gave {outcome:?}", open.lsn)),
        }
    }

    /// Without an open transaction: a repeat, or a transaction that writes nothing and only moves the cut.
    fn commit_again(&mut self) -> Verdict {
        let committed = self.oracle.newest().lsn;
        if (committed == 0 || self.rng.bool())
            && let Some(lsn) = self.lsn_next()
        {
            return self.commit_nothing(lsn);
        }
        if committed == 0 {
            return Ok(());
        }
        let lsn = self.rng.u64(1..=committed);
        let outcome = self.store.commit(lsn);
        match outcome {
            Ok(Committed::Already) => Ok(()),
            Err(_) if self.is_excused() => Ok(()),
            outcome => Err(format!("a commit of {lsn} after {committed} gave {outcome:?}")),
        }
    }

    fn commit_nothing(&mut self, lsn: Lsn) -> Verdict {
        let outcome = self.store.commit(lsn);
        self.note(|| format!("commit of nothing {lsn}: {outcome:?}"));
        match outcome {
            Ok(Committed::Now { sequence }) => {
                let position = self.oracle.push(Event::Commit { lsn, writes: BTreeMap::new() });
                self.sequences.push((sequence, position));
                Ok(())
            }
            Err(CommitError::Refused(AppendError::Busy)) => Ok(()),
            Err(_) if self.is_excused() => Ok(()),
            outcome => Err(format!("a commit of nothing as {lsn} gave {outcome:?}")),
        }
    }

    pub(super) fn abort(&mut self) -> Verdict {
        let lsn = self.open.as_ref().map_or_else(|| self.rng.u64(1..100), |open| open.lsn);
        let outcome = self.store.abort(lsn);
        self.note(|| format!("abort {lsn}: {outcome:?}"));
        let verdict = match (&self.open, outcome) {
            (Some(_), Ok(())) | (None, Err(CommitError::NotOpen)) => Ok(()),
            (_, Err(_)) if self.is_excused() => Ok(()),
            (open, outcome) => Err(format!("with {:?} open: {outcome:?}", open.as_ref().map(|open| open.lsn))),
        };
        self.open = None;
        verdict
    }

    pub(super) fn transact(&mut self) -> Verdict {
        let Some(lsn) = self.lsn_next() else { return Ok(()) };
        let mut parts: Vec<(Key, Handle, Batch)> = Vec::new();
        for _ in 0..self.rng.usize(1..=3) {
            let key = self.random_key();
            if parts.iter().all(|(taken, ..)| *taken != key)
                && self.ensure_handle(&key)?
                && let Some(handle) = self.handles.remove(&key)
            {
                let batch = self.batch_of(lsn, None);
                parts.push((key, handle, batch));
            }
        }
        let forgets_lease = self.rng.u8(0..12) == 0;
        let outcome = self.transact_parts(lsn, &parts, forgets_lease);
        let is_fenced = forgets_lease && parts.iter().any(|(_, handle, _)| handle.lease.is_some());
        let mut writes = BTreeMap::new();
        for (key, handle, batch) in parts {
            self.handles.insert(key.clone(), handle);
            writes.insert(key, batch.expected);
        }
        self.note(|| format!("transact {lsn} over {} logs: {outcome:?}", writes.len()));
        let open = self.open.as_ref().map(|open| open.lsn);
        match outcome {
            Ok(Committed::Now { sequence }) if open.is_none() && !is_fenced => {
                let position = self.oracle.push(Event::Commit { lsn, writes });
                self.sequences.push((sequence, position));
                Ok(())
            }
            Err(AppendError::TransactionOpen { .. } | AppendError::LsnBehind { .. }) if open.is_some() => Ok(()),
            Err(AppendError::Fenced) if is_fenced => Ok(()),
            Err(AppendError::Busy | AppendError::TransactionTooLarge) => Ok(()),
            Err(_) if self.is_excused() => Ok(()),
            outcome => Err(format!("transaction {lsn} with {open:?} open gave {outcome:?}")),
        }
    }

    fn transact_parts(&self, lsn: Lsn, parts: &[(Key, Handle, Batch)], forgets_lease: bool) -> Result<Committed, AppendError> {
        let records: Vec<Vec<Record<'_>>> = parts.iter().map(|(_, _, batch)| batch.records()).collect();
        let writes: Vec<Write<'_, Process>> = parts
            .iter()
            .zip(&records)
            .map(|((_, handle, batch), records)| Write {
                log: &handle.log,
                lease: if forgets_lease { None } else { handle.lease.as_ref() },
                records,
                meta: batch.meta.as_deref(),
            })
            .collect();
        self.store.transact(lsn, &writes)
    }

    /// A second writer takes the log over; the first must notice.
    pub(super) fn fence(&mut self) -> Verdict {
        if let Some(stale) = self.fenced.pop() {
            let Some(lsn) = self.lsn_to_write() else { return Ok(()) };
            let outcome = stale.append(lsn, &[Record { op: None, payload: b"stale" }], None);
            return match outcome {
                Err(AppendError::Fenced | AppendError::Removed) => Ok(()),
                Err(_) if self.is_excused() => Ok(()),
                outcome => Err(format!("a fenced writer got {outcome:?}")),
            };
        }
        let key = self.random_key();
        let Some(lease) = self.take_lease(&key)? else { return Ok(()) };
        let successor = lease.log().lease();
        match successor {
            Ok(successor) => {
                self.fenced.push(lease);
                self.give_back(&key, successor);
                Ok(())
            }
            Err(_) if self.is_excused() => Ok(()),
            Err(error) => Err(format!("a second lease: {error:?}")),
        }
    }

    /// A writer dies, in a transaction or out of it: its lease ends, and what it staged waits for the owner's word.
    pub(super) fn kill_writer(&mut self) -> Verdict {
        let key = self.random_key();
        if let Some(handle) = self.handles.get_mut(&key) {
            handle.lease = None;
        }
        Ok(())
    }

    /// Makes sure of a handle for a log that takes appends; false if it cannot have one now.
    pub(super) fn ensure_handle(&mut self, key: &Key) -> Verdict<bool> {
        if self.handles.get(key).is_some_and(|handle| handle.removal.is_none()) {
            return Ok(true);
        }
        let is_known = self.oracle.newest().logs.contains_key(key);
        let is_live = self.oracle.newest().live(key).is_some();
        match self.store.log(key) {
            Ok(log) if is_live || !is_known => {
                if !is_known {
                    self.note(|| format!("create {}", String::from_utf8_lossy(key)));
                    self.oracle.push(Event::Create(key.clone()));
                }
                self.handles.insert(key.clone(), Handle { log, lease: None, removal: None });
                Ok(true)
            }
            Err(LogError::Removed) if is_known && !is_live => Ok(false),
            Err(LogError::Busy) if !is_known => Ok(false),
            Err(_) if self.is_excused() => Ok(false),
            outcome => Err(format!("log {}: {:?}", String::from_utf8_lossy(key), outcome.map(|log| log.id()))),
        }
    }

    fn take_lease(&mut self, key: &Key) -> Verdict<Option<Lease<Process>>> {
        if !self.ensure_handle(key)? {
            return Ok(None);
        }
        let Some(handle) = self.handles.get_mut(key) else { return Ok(None) };
        if let Some(lease) = handle.lease.take() {
            return Ok(Some(lease));
        }
        match handle.log.lease() {
            Ok(lease) => Ok(Some(lease)),
            Err(_) if self.is_excused() => Ok(None),
            Err(error) => Err(format!("a lease of {}: {error:?}", String::from_utf8_lossy(key))),
        }
    }

    fn give_back(&mut self, key: &Key, lease: Lease<Process>) {
        if let Some(handle) = self.handles.get_mut(key) {
            handle.lease = Some(lease);
        }
    }

    fn stage(&mut self, lsn: Lsn, key: &Key, expected: LogWrites) {
        let open = self.open.get_or_insert_with(|| OpenTransaction { lsn, writes: BTreeMap::new() });
        let writes = open.writes.entry(key.clone()).or_default();
        writes.records.extend(expected.records);
        if expected.meta.is_some() {
            writes.meta = expected.meta;
        }
    }

    /// A lsn above all that was committed.
    fn lsn_next(&mut self) -> Option<Lsn> {
        let step = if self.rng.u16(0..2000) == 0 { u64::MAX } else { self.rng.u64(1..=3) };
        let committed = self.oracle.newest().lsn;
        if committed == u64::MAX { None } else { Some(committed.saturating_add(step)) }
    }

    fn lsn_to_write(&mut self) -> Option<Lsn> {
        match &self.open {
            Some(open) => Some(open.lsn),
            None => self.lsn_next(),
        }
    }

    fn batch(&mut self, key: &Key, lsn: Lsn) -> Batch {
        let staged = self.open.as_ref().and_then(|open| open.writes.get(key));
        let previous = staged.and_then(|writes| writes.records.last()).map(|(offset, _)| offset.op);
        self.batch_of(lsn, previous)
    }

    fn batch_of(&mut self, lsn: Lsn, mut previous: Option<u64>) -> Batch {
        let mut batch = Batch { records: Vec::new(), meta: None, expected: LogWrites::default() };
        if self.rng.u8(0..4) == 0 {
            batch.meta = Some(self.payload());
        }
        let count = if batch.meta.is_some() { self.rng.usize(0..4) } else { self.rng.usize(1..4) };
        for _ in 0..count {
            let next = previous.map_or(0, |op| op + 1);
            let explicit = (self.rng.u8(0..5) == 0).then(|| next + self.rng.u64(0..5));
            let op = explicit.unwrap_or(next);
            let payload = self.payload();
            batch.records.push((explicit, payload.clone()));
            batch.expected.records.push((Offset { tx: lsn, op }, payload));
            previous = Some(op);
        }
        batch.expected.meta.clone_from(&batch.meta);
        batch
    }
}
