//! The sequential model that judges the store: what was asked for, in order, and how much of it was announced durable.
//!
//! The store promises that a crash leaves a prefix of what was asked for. So the model is a list of events and a floor; a recovered store is right
//! if and only if it equals the fold of a prefix that is no shorter than the floor. Left out: bytes, files, and time.

use racefree_core::store::{Lsn, Offset};
use std::collections::BTreeMap;
use std::sync::Arc;

pub type Key = Vec<u8>;
pub type Payload = Arc<[u8]>;

/// What one transaction writes to one log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogWrites {
    pub records: Vec<(Offset, Payload)>,
    pub meta: Option<Payload>,
}

#[derive(Debug, Clone)]
pub enum Event {
    Create(Key),
    Commit { lsn: Lsn, writes: BTreeMap<Key, LogWrites> },
    Trim { key: Key, after: Offset },
    BeginRemove(Key),
    FinishRemove(Key),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogState {
    Live(LiveLog),
    /// Its tombstone is there, its records are nobody's business.
    Removing,
}

impl LogState {
    /// Whether this is `other` with its beginning trimmed away, or its tombstone.
    fn is_rest_of(&self, other: Option<&Self>) -> bool {
        match (self, other) {
            (Self::Removing, _) => true,
            (Self::Live(rest), Some(Self::Live(whole))) => {
                let kept = whole.records.iter().filter(|(offset, _)| *offset > rest.trimmed);
                rest.trimmed >= whole.trimmed && rest.meta == whole.meta && kept.eq(&rest.records)
            }
            (Self::Live(_), _) => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveLog {
    /// Records at or below it are gone.
    pub trimmed: Offset,
    pub records: Vec<(Offset, Payload)>,
    pub meta: Option<(Lsn, Payload)>,
}

impl LiveLog {
    pub fn new() -> Self {
        Self { trimmed: Offset::START, records: Vec::new(), meta: None }
    }

    /// The records above `after`, up to `upto`, of transactions up to `lsn`.
    pub fn range(&self, after: Offset, upto: Offset, lsn: Lsn) -> &[(Offset, Payload)] {
        let from = self.records.partition_point(|(offset, _)| *offset <= after);
        let to = self.records.partition_point(|(offset, _)| *offset <= upto && offset.tx <= lsn);
        self.records.get(from..to).unwrap_or_default()
    }
}

impl Default for LiveLog {
    fn default() -> Self {
        Self::new()
    }
}

/// All that a store shows at one position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreState {
    pub lsn: Lsn,
    pub logs: BTreeMap<Key, LogState>,
}

impl StoreState {
    pub fn live(&self, key: &[u8]) -> Option<&LiveLog> {
        match self.logs.get(key)? {
            LogState::Live(log) => Some(log),
            LogState::Removing => None,
        }
    }

    fn live_mut(&mut self, key: &[u8]) -> Option<&mut LiveLog> {
        match self.logs.get_mut(key)? {
            LogState::Live(log) => Some(log),
            LogState::Removing => None,
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Create(key) => {
                self.logs.insert(key.clone(), LogState::Live(LiveLog::new()));
            }
            Event::Commit { lsn, writes } => {
                self.lsn = *lsn;
                for (key, written) in writes {
                    // A log removed since it was written to takes its records along.
                    let Some(log) = self.live_mut(key) else { continue };
                    log.records.extend(written.records.iter().cloned());
                    if let Some(meta) = &written.meta {
                        log.meta = Some((*lsn, meta.clone()));
                    }
                }
            }
            Event::Trim { key, after } => {
                if let Some(log) = self.live_mut(key) {
                    log.trimmed = log.trimmed.max(*after);
                    let trimmed = log.trimmed;
                    log.records.retain(|(offset, _)| *offset > trimmed);
                }
            }
            Event::BeginRemove(key) => {
                self.logs.insert(key.clone(), LogState::Removing);
            }
            Event::FinishRemove(key) => {
                self.logs.remove(key);
            }
        }
    }
}

/// The events since the store was opened, on top of what it was opened with.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    base: StoreState,
    events: Vec<Event>,
    /// The fold of all events.
    newest: StoreState,
    /// So many events were announced durable.
    floor: usize,
    /// What `floor` was when the newest batch began that moved it, and after that: a flipped bit may take the last batch with it.
    floor_marks: (usize, usize),
}

impl Oracle {
    pub fn newest(&self) -> &StoreState {
        &self.newest
    }

    /// How many transactions were committed since the store was opened.
    pub fn commits(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Commit { .. })).count()
    }

    /// Returns the position after the event, to be given to [`Oracle::announce`] once it is durable.
    pub fn push(&mut self, event: Event) -> usize {
        self.newest.apply(&event);
        self.events.push(event);
        self.events.len()
    }

    /// So many events were announced durable.
    pub fn floor(&self) -> usize {
        self.floor
    }

    /// Somebody was told that the first `position` events are durable.
    pub fn announce(&mut self, position: usize) {
        self.floor = self.floor.max(position);
    }

    /// What is announced from now on belongs to a new batch; all that former ones made durable must have been announced. If no batch follows, or
    /// one that is never announced, nothing changes.
    pub fn begin_batch(&mut self) {
        if self.floor > self.floor_marks.1 {
            self.floor_marks = (self.floor_marks.1, self.floor);
        }
    }

    /// Somebody was told that `lsn` is durable. `Err` if it was never committed.
    pub fn announce_lsn(&mut self, lsn: Lsn) -> Result<(), String> {
        let is_commit = |event: &Event| matches!(event, Event::Commit { lsn: committed, .. } if *committed == lsn);
        if let Some(index) = self.events.iter().rposition(is_commit) {
            self.announce(index + 1);
        } else if lsn != self.base.lsn {
            return Err(format!("lsn {lsn} was announced durable and never committed"));
        }
        Ok(())
    }

    /// The newest lsn announced durable.
    pub fn durable_lsn(&self) -> Lsn {
        let announced = self.events.get(..self.floor).unwrap_or_default();
        let lsns = announced.iter().rev().find_map(|event| match event {
            Event::Commit { lsn, .. } => Some(*lsn),
            _ => None,
        });
        lsns.unwrap_or(self.base.lsn)
    }

    /// Finds the prefix that `observed` equals and forgets all after it: what the next process starts with. From here on all of it counts as
    /// announced, for the store was opened with it.
    pub fn recover(&mut self, observed: &StoreState) -> Result<(), String> {
        self.prefix(observed, self.floor)?;
        *self = Self { base: observed.clone(), newest: observed.clone(), ..Self::default() };
        Ok(())
    }

    /// Whether `observed` is a prefix of at least `floor` events.
    pub fn accept_from(&self, observed: &StoreState, floor: usize) -> Result<(), String> {
        self.prefix(observed, floor).map(|_| ())
    }

    /// Whether `observed` is a prefix that holds all that was announced but by the last batch. What that batch trimmed and removed may be gone all the same: a merge
    /// of packs leaves it out as soon as it is durable, and the manifest says so.
    pub fn accept_without_last_batch(&self, observed: &StoreState) -> Result<(), String> {
        let (before, latest) = self.floor_marks;
        let floor = if self.floor > latest { latest } else { before };
        self.prefix(observed, floor).map(|_| ()).or_else(|problem| {
            let mut state = self.base.clone();
            for position in 0..=self.events.len() {
                let lost = self.events.get(position..self.floor).unwrap_or_default();
                if position >= floor && state.lsn == observed.lsn && is_cut(observed, &state, lost) {
                    return Ok(());
                }
                if let Some(event) = self.events.get(position) {
                    state.apply(event);
                }
            }
            Err(problem)
        })
    }

    /// Whether `observed` shows nothing that is not of some prefix: its logs may lack their beginning, or be missing.
    pub fn accept_rest(&self, observed: &StoreState) -> Result<(), String> {
        let mut state = self.base.clone();
        for position in 0..=self.events.len() {
            if state.lsn == observed.lsn && observed.logs.iter().all(|(key, log)| log.is_rest_of(state.logs.get(key))) {
                return Ok(());
            }
            if let Some(event) = self.events.get(position) {
                state.apply(event);
            }
        }
        Err(format!("at lsn {} are records that never were", observed.lsn))
    }

    /// Whether `observed` is everything.
    pub fn accept_whole(&self, observed: &StoreState) -> Result<(), String> {
        self.prefix(observed, self.events.len()).map(|_| ())
    }

    fn prefix(&self, observed: &StoreState, floor: usize) -> Result<usize, String> {
        let mut state = self.base.clone();
        let mut nearest = None;
        for position in 0..=self.events.len() {
            if position >= floor && state.lsn == observed.lsn {
                if state == *observed {
                    return Ok(position);
                }
                nearest = Some(state.clone());
            }
            if let Some(event) = self.events.get(position) {
                state.apply(event);
            }
        }
        let durable = self.durable_lsn();
        match nearest {
            None => {
                Err(format!("the store is at lsn {}, and {durable} was announced durable, {} committed", observed.lsn, self.newest.lsn))
            }
            Some(nearest) => Err(format!("at lsn {} (announced {durable}): {}", observed.lsn, difference(&nearest, observed))),
        }
    }
}

/// Whether `observed` is `state` without some of what `events` trim and remove.
fn is_cut(observed: &StoreState, state: &StoreState, events: &[Event]) -> bool {
    let trims = |key: &Key, rest: &LogState| {
        let LogState::Live(rest) = rest else { return false };
        events.iter().any(|event| matches!(event, Event::Trim { key: trimmed, after } if trimmed == key && *after == rest.trimmed))
    };
    let removes = |key: &Key| events.iter().any(|event| matches!(event, Event::FinishRemove(removed) if removed == key));
    let keys = state.logs.keys().chain(observed.logs.keys());
    keys.into_iter().all(|key| match (state.logs.get(key), observed.logs.get(key)) {
        (before, after) if before == after => true,
        (before, Some(rest)) => trims(key, rest) && rest.is_rest_of(before),
        (_, None) => removes(key),
    })
}

/// The first thing in which two states differ, in words.
pub fn difference(expected: &StoreState, observed: &StoreState) -> String {
    if expected.lsn != observed.lsn {
        return format!("expected lsn {}, found {}", expected.lsn, observed.lsn);
    }
    let keys = expected.logs.keys().chain(observed.logs.keys());
    for key in keys {
        let name = String::from_utf8_lossy(key);
        match (expected.logs.get(key), observed.logs.get(key)) {
            (Some(LogState::Live(expected)), Some(LogState::Live(observed))) if expected != observed => {
                return format!("log {name}: expected {}, found {}", summary(expected), summary(observed));
            }
            (expected, observed) if expected != observed => {
                return format!("log {name}: expected {}, found {}", kind(expected), kind(observed));
            }
            _ => {}
        }
    }
    "no difference".to_owned()
}

fn kind(log: Option<&LogState>) -> String {
    match log {
        None => "none".to_owned(),
        Some(LogState::Removing) => "a tombstone".to_owned(),
        Some(LogState::Live(log)) => summary(log),
    }
}

fn summary(log: &LiveLog) -> String {
    let offsets: Vec<String> =
        log.records.iter().map(|(offset, payload)| format!("{}.{}({})", offset.tx, offset.op, payload.len())).collect();
    let meta = log.meta.as_ref().map(|(lsn, meta)| format!("{lsn}({})", meta.len()));
    format!("trimmed {}.{} meta {meta:?} records [{}]", log.trimmed.tx, log.trimmed.op, offsets.join(" "))
}
