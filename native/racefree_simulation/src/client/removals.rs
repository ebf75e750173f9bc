//! Trims, removals, and the ghosts of what was removed.

use super::{Client, Verdict, offsets};
use crate::oracle::Event;
use racefree_core::store::{Level, LogError, Offset, ReadError, ReadLimit, ReadRange, Source};

impl Client {
    pub(super) fn trim(&mut self) -> Verdict {
        let Some(key) = self.live_key() else { return Ok(()) };
        if !self.ensure_handle(&key)? {
            return Ok(());
        }
        let records = self.oracle.newest().live(&key).map(offsets).unwrap_or_default();
        let upto = self.offset_near(&records);
        let Some(handle) = self.handles.get(&key) else { return Ok(()) };
        let before = handle.log.trimmed();
        let outcome = handle.log.trim(upto);
        let after = handle.log.trimmed();
        self.note(|| format!("trim {} upto {upto:?}: {after:?} {outcome:?}", String::from_utf8_lossy(&key)));
        match outcome {
            Ok(sequence) => {
                let visible_end = Offset { tx: self.oracle.newest().lsn, op: u64::MAX };
                let Some(log) = self.oracle.newest().live(&key) else { return Ok(()) };
                let lowest = upto.min(visible_end).max(before);
                if after < before || (after > upto && after > before) || !log.range(after, lowest, u64::MAX).is_empty() {
                    return Err(format!("a trim upto {upto:?} moved {before:?} to {after:?}"));
                }
                let position = self.oracle.push(Event::Trim { key, after });
                self.sequences.push((sequence, position));
                Ok(())
            }
            Err(LogError::Busy) => Ok(()),
            Err(_) if self.is_excused() => Ok(()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    pub(super) fn begin_remove(&mut self) -> Verdict {
        let Some(key) = self.live_key() else { return Ok(()) };
        if !self.ensure_handle(&key)? {
            return Ok(());
        }
        let Some(mut handle) = self.handles.remove(&key) else { return Ok(()) };
        let outcome = handle.log.begin_remove();
        self.note(|| format!("begin remove {}: {:?}", String::from_utf8_lossy(&key), outcome.as_ref().map(|_| ())));
        match outcome {
            Ok((removal, sequence)) => {
                if let Some(open) = &mut self.open {
                    open.writes.remove(&key);
                }
                let position = self.oracle.push(Event::BeginRemove(key.clone()));
                self.sequences.push((sequence, position));
                self.ghosts.push(handle.log.clone());
                handle.removal = Some(removal);
                self.handles.insert(key, handle);
                Ok(())
            }
            Err(LogError::Busy) => {
                self.handles.insert(key, handle);
                Ok(())
            }
            Err(_) if self.is_excused() => Ok(()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    /// Ends a removal, one begun by a former process too.
    pub(super) fn finish_remove(&mut self) -> Verdict {
        let newest = self.oracle.newest();
        let removing: Vec<_> = newest.logs.keys().filter(|key| newest.live(key).is_none()).cloned().collect();
        let Some(key) = self.rng.choice(removing) else { return Ok(()) };
        let held = self.handles.remove(&key).and_then(|handle| handle.removal);
        let removal = match held.map_or_else(|| self.store.removal(&key), Ok) {
            Ok(removal) => removal,
            Err(_) if self.is_excused() => return Ok(()),
            Err(error) => return Err(format!("the removal of {}: {error:?}", String::from_utf8_lossy(&key))),
        };
        let outcome = removal.finish();
        self.note(|| format!("finish remove {}: {outcome:?}", String::from_utf8_lossy(&key)));
        match outcome {
            Ok(sequence) => {
                let position = self.oracle.push(Event::FinishRemove(key));
                self.sequences.push((sequence, position));
                Ok(())
            }
            Err(_) if self.is_excused() => Ok(()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    /// A handle of a removed log never sees anything again, whoever has the key now.
    pub(super) fn ask_ghosts(&mut self) -> Verdict {
        let Some(ghost) = self.rng.choice(&self.ghosts) else { return Ok(()) };
        let limit = ReadLimit { records: 10, bytes: 1000 };
        let range = ReadRange { after: Offset::START, upto: Offset::END, limit, source: Source::Any };
        match ghost.read(&range, Level::Visible) {
            Err(ReadError::Removed | ReadError::Trimmed { .. }) => {}
            Err(_) if self.is_excused() => {}
            outcome => return Err(format!("a read of a removed log gave {:?}", outcome.map(|page| page.records.len()))),
        }
        match ghost.lease() {
            Err(LogError::Removed) => Ok(()),
            Err(_) if self.is_excused() => Ok(()),
            outcome => Err(format!("a lease of a removed log gave {:?}", outcome.map(|_| ()))),
        }
    }
}
