//! Reads of all kinds, and the whole of what a store shows.

use super::{Awaited, Client, Verdict, offsets};
use crate::disk::Process;
use crate::oracle::{LiveLog, LogState, Payload, StoreState};
use racefree_core::store::vfs::Vfs;
use racefree_core::store::{Level, Log, LogError, Lsn, Next, Offset, Page, ReadError, ReadLimit, ReadRange, Reader, Source, Store};

/// A reader that is kept while the store moves on, and what it must show until it is dropped.
pub(super) struct HeldReader {
    reader: Reader<Process>,
    lsn: Lsn,
    expected: LiveLog,
}

/// What one read asks for.
#[derive(Debug, Clone, Copy)]
struct Question {
    after: Offset,
    upto: Offset,
    limit: ReadLimit,
    source: Source,
}

impl Question {
    fn range(&self) -> ReadRange {
        let Self { after, upto, limit, source } = *self;
        ReadRange { after, upto, limit, source }
    }
}

impl Client {
    pub(super) fn read(&mut self) -> Verdict {
        let key = self.random_key();
        let level = if self.rng.bool() { Level::Visible } else { Level::Durable };
        let question = self.question(&self.oracle.newest().live(&key).cloned().unwrap_or_default());
        let log = match self.store.find(&key) {
            Ok(log) => log,
            Err(LogError::NotFound) if !self.oracle.newest().logs.contains_key(&key) => return Ok(()),
            Err(LogError::Removed) if self.oracle.newest().logs.get(&key) == Some(&LogState::Removing) => return Ok(()),
            Err(error) => return Err(format!("finding {}: {error:?}", String::from_utf8_lossy(&key))),
        };
        let lsn = match level {
            Level::Visible => self.store.visible_lsn(),
            Level::Durable => self.store.durable_lsn(),
        };
        let Question { after, upto, limit, source } = question;
        let outcome = log.read(&ReadRange { after, upto, limit, source }, level);
        if let Ok(page) = &outcome
            && page.lsn != lsn
        {
            return Err(format!("a read at {lsn} says it is at {}", page.lsn));
        }
        let Some(expected) = self.oracle.newest().live(&key) else {
            return Err(format!("{} is found and should not be", String::from_utf8_lossy(&key)));
        };
        let answer = outcome.map(contents);
        self.judge(&question, answer, expected, lsn).map_err(|problem| format!("{}: {problem}", String::from_utf8_lossy(&key)))?;
        if level == Level::Visible {
            self.check_meta(&log, expected)?;
        }
        Ok(())
    }

    fn check_meta(&self, log: &Log<Process>, expected: &LiveLog) -> Verdict {
        match log.meta(Level::Visible) {
            Ok(meta) if meta == expected.meta => Ok(()),
            Err(_) if self.is_excused() => Ok(()),
            outcome => Err(format!("meta: expected {:?}, found {outcome:?}", expected.meta)),
        }
    }

    /// Keeps a view for later: what it shows is settled now.
    pub(super) fn hold_reader(&mut self) -> Verdict {
        let Some(key) = self.live_key() else { return Ok(()) };
        if self.readers.len() >= 6 {
            let index = self.rng.usize(0..self.readers.len());
            self.readers.swap_remove(index);
        }
        let level = if self.rng.bool() { Level::Visible } else { Level::Durable };
        let log = self.store.find(&key).map_err(|error| format!("finding {}: {error:?}", String::from_utf8_lossy(&key)))?;
        let reader = log.reader(level).map_err(|error| format!("{error:?}"))?;
        let lsn = reader.lsn();
        let now = if level == Level::Visible { self.store.visible_lsn() } else { self.store.durable_lsn() };
        if lsn != now {
            return Err(format!("a reader at {now} says it is at {lsn}"));
        }
        let expected = self.oracle.newest().live(&key).cloned().unwrap_or_default();
        self.readers.push(HeldReader { reader, lsn, expected });
        Ok(())
    }

    pub(super) fn use_reader(&mut self) -> Verdict {
        if self.readers.is_empty() {
            return Ok(());
        }
        let index = self.rng.usize(0..self.readers.len());
        let held = self.readers.swap_remove(index);
        let question = self.question(&held.expected);
        let answer = held.reader.read(&question.range());
        let verdict = self.judge(&question, answer.map(contents), &held.expected, held.lsn);
        self.readers.push(held);
        verdict.map_err(|problem| format!("a held view: {problem}"))
    }

    /// Many logs at one position.
    pub(super) fn snapshot(&mut self) -> Verdict {
        let keys: Vec<_> = self.oracle.newest().logs.keys().filter(|key| self.oracle.newest().live(key).is_some()).cloned().collect();
        let logs: Vec<Log<Process>> = keys.iter().filter_map(|key| self.store.find(key).ok()).collect();
        if logs.len() != keys.len() {
            return Err(format!("found {} of {} logs", logs.len(), keys.len()));
        }
        let level = if self.rng.bool() { Level::Visible } else { Level::Durable };
        let references: Vec<&Log<Process>> = logs.iter().collect();
        let snapshot = self.store.snapshot(&references, level).map_err(|error| format!("{error:?}"))?;
        let lsn = snapshot.lsn();
        for (key, reader) in keys.iter().zip(snapshot.readers()) {
            if reader.lsn() != lsn {
                return Err(format!("a snapshot at {lsn} has a reader at {}", reader.lsn()));
            }
            let Some(expected) = self.oracle.newest().live(key) else { continue };
            let question = Question {
                after: expected.trimmed,
                upto: Offset::END,
                limit: ReadLimit { records: usize::MAX, bytes: usize::MAX },
                source: Source::Any,
            };
            let answer = reader.read(&question.range());
            self.judge(&question, answer.map(contents), expected, lsn)
                .map_err(|problem| format!("{}: {problem}", String::from_utf8_lossy(key)))?;
        }
        Ok(())
    }

    pub(super) fn wait(&mut self) -> Verdict {
        let committed = self.oracle.newest().lsn;
        if self.rng.bool() && committed > 0 {
            let lsn = if self.rng.bool() { committed } else { self.rng.u64(1..=committed) };
            let waiter = self.waiter(Awaited::Lsn(lsn));
            let id = self.store.await_durable(lsn, waiter);
            if self.rng.u8(0..8) == 0 && self.store.cancel(id) {
                self.waiting -= 1;
            }
        } else if let Some((sequence, position)) = self.rng.choice(self.sequences.clone()) {
            let waiter = self.waiter(Awaited::Sequence(position));
            self.store.await_sequence(sequence, waiter);
        }
        Ok(())
    }

    fn question(&mut self, expected: &LiveLog) -> Question {
        let offsets = offsets(expected);
        let (after, upto) = match self.rng.u8(0..4) {
            0 => (self.offset_near(&offsets), self.offset_near(&offsets)),
            1 => (self.offset_near(&offsets), Offset::END),
            _ => (expected.trimmed, Offset::END),
        };
        let limit = match self.rng.u8(0..3) {
            0 => ReadLimit { records: self.rng.usize(0..6), bytes: usize::MAX },
            1 => ReadLimit { records: usize::MAX, bytes: self.rng.usize(0..500) },
            _ => ReadLimit { records: usize::MAX, bytes: usize::MAX },
        };
        let source = match self.rng.u8(0..4) {
            0 => Source::Memory,
            1 => Source::Cached,
            _ => Source::Any,
        };
        Question { after, upto, limit, source }
    }

    /// Whether an answer is the exact one: never less than there is, save for the limits.
    fn judge(&self, question: &Question, answer: Result<Contents, ReadError>, expected: &LiveLog, lsn: Lsn) -> Verdict {
        let Question { after, upto, limit, .. } = *question;
        let (found, next) = match answer {
            Ok(_) if after < expected.trimmed && after < upto => {
                return Err(format!("{question:?}: a read below {:?} was answered", expected.trimmed));
            }
            Ok(contents) => contents,
            Err(ReadError::Trimmed { after: first }) if after < expected.trimmed && first == expected.trimmed => return Ok(()),
            Err(ReadError::Cold) if question.source != Source::Any => return Ok(()),
            Err(ReadError::Io { .. }) if self.profile.rates.read_error > 0 || self.machine.has_crashed() => return Ok(()),
            Err(error) => return Err(format!("{question:?}: {error:?}")),
        };
        let wanted = if after < upto { expected.range(after, upto, lsn) } else { &[] };
        let is_prefix = wanted.starts_with(&found);
        let offsets = |records: &[(Offset, Payload)]| {
            records.iter().map(|(offset, _)| format!("{}.{}", offset.tx, offset.op)).collect::<Vec<_>>().join(" ")
        };
        let tell = || Err(format!("{question:?} at lsn {lsn}: wanted [{}], found [{}] and {next:?}", offsets(wanted), offsets(&found)));
        if !is_prefix {
            return tell();
        }
        match next {
            Next::Done if found.len() == wanted.len() => Ok(()),
            Next::More(offset) if found.len() < wanted.len() && found.last().map(|(last, _)| *last) == Some(offset) => {
                let bytes: usize = found.iter().map(|(_, payload)| payload.len()).sum();
                let has_stopped_early = found.len() < limit.records.max(1) && bytes < limit.bytes / 2 && limit.bytes == usize::MAX;
                if has_stopped_early { tell() } else { Ok(()) }
            }
            _ => tell(),
        }
    }
}

type Contents = (Vec<(Offset, Payload)>, Next);

fn contents(page: Page) -> Contents {
    (page.records.iter().map(|(offset, payload)| (offset, Payload::from(payload))).collect(), page.next)
}

/// Reads all that a store shows. `removing`: the keys with a tombstone. `Err` names the log and what went wrong.
pub fn observe<V: Vfs>(store: &Store<V>, removing: &[Box<[u8]>]) -> Result<StoreState, (String, ReadError)> {
    let mut state = StoreState { lsn: store.visible_lsn(), ..StoreState::default() };
    state.logs.extend(removing.iter().map(|key| (key.to_vec(), LogState::Removing)));
    for key in store.keys() {
        let name = |error: ReadError| (String::from_utf8_lossy(&key).into_owned(), error);
        let log = store.find(&key).map_err(|_| name(ReadError::Removed))?;
        let mut live = LiveLog { trimmed: log.trimmed(), ..LiveLog::new() };
        live.meta = log.meta(Level::Visible).map_err(name)?;
        let mut range = ReadRange { after: live.trimmed, upto: Offset::END, limit: ReadLimit::NONE, source: Source::Any };
        loop {
            let (records, next) = log.read(&range, Level::Visible).map(contents).map_err(name)?;
            live.records.extend(records);
            match next {
                Next::Done => break,
                Next::More(offset) => range.after = offset,
            }
        }
        state.logs.insert(key.to_vec(), LogState::Live(live));
    }
    Ok(state)
}
