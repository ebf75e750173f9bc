//! Property: whatever is called in whatever order, with background steps and restarts between, the store answers as a map of vectors would.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Call {
    Append { log: u8, sizes: Vec<u16>, gap: Option<u8>, meta: bool },
    Commit,
    Abort,
    Transact { logs: Vec<(u8, u16)> },
    Trim { log: u8, back: u8 },
    BeginRemove { log: u8 },
    FinishRemove { log: u8 },
    Flush(u8),
    Keep(u8),
    Restart { drained: bool },
    Read { log: u8, after: (u8, u8), upto: (u8, u8), records: u8, bytes: u16 },
}

fn call() -> impl Strategy<Value = Call> {
    let log = 0_u8..4;
    let size = prop_oneof![3 => 0_u16..60, 1 => 200_u16..2500];
    prop_oneof![
        6 => (log.clone(), prop::collection::vec(size.clone(), 0..4), prop::option::of(0_u8..3), any::<bool>())
            .prop_map(|(log, sizes, gap, meta)| Call::Append { log, sizes, gap, meta }),
        4 => Just(Call::Commit),
        1 => Just(Call::Abort),
        4 => prop::collection::vec((log.clone(), size), 0..4).prop_map(|logs| Call::Transact { logs }),
        1 => (log.clone(), 0_u8..20).prop_map(|(log, back)| Call::Trim { log, back }),
        1 => log.clone().prop_map(|log| Call::BeginRemove { log }),
        1 => log.clone().prop_map(|log| Call::FinishRemove { log }),
        4 => (1_u8..4).prop_map(Call::Flush),
        3 => (1_u8..4).prop_map(Call::Keep),
        1 => any::<bool>().prop_map(|drained| Call::Restart { drained }),
        6 => (log, any::<(u8, u8)>(), any::<(u8, u8)>(), 0_u8..6, 0_u16..500)
            .prop_map(|(log, after, upto, records, bytes)| Call::Read { log, after, upto, records, bytes }),
    ]
}

#[derive(Clone, Default, Debug)]
struct ModelLog {
    records: Vec<(Offset, Vec<u8>)>,
    meta: Option<(Lsn, Vec<u8>)>,
    trimmed: Offset,
    removing: bool,
}

#[derive(Default)]
struct Model {
    logs: BTreeMap<u8, ModelLog>,
    lsn: Lsn,
    /// Records and metas of the open transaction.
    open: Option<Vec<(u8, Vec<(Offset, Vec<u8>)>, Option<Vec<u8>>)>>,
    /// Payloads differ, so that no record passes for another.
    serial: u64,
}

impl Model {
    fn payload(&mut self, size: u16) -> Vec<u8> {
        self.serial += 1;
        let mut payload = self.serial.to_le_bytes().to_vec();
        payload.resize(usize::from(size) + 8, 0xAB);
        payload
    }

    fn commit(&mut self) {
        self.lsn += 1;
        for (key, records, meta) in self.open.take().unwrap_or_default() {
            let Some(log) = self.logs.get_mut(&key) else { continue };
            log.records.extend(records);
            if let Some(meta) = meta {
                log.meta = Some((self.lsn, meta));
            }
        }
    }

    fn staged_last(&self, key: u8) -> Option<Offset> {
        let open = self.open.as_ref()?;
        open.iter().filter(|(log, ..)| *log == key).flat_map(|(_, records, _)| records).last().map(|(offset, _)| *offset)
    }

    /// What a read must answer.
    fn read(&self, key: u8, range: &ReadRange) -> Result<(Vec<(Offset, Vec<u8>)>, Next), ReadError> {
        let log = &self.logs[&key];
        if range.upto <= range.after {
            return Ok((Vec::new(), Next::Done));
        }
        if range.after < log.trimmed {
            return Err(ReadError::Trimmed { after: log.trimmed });
        }
        let mut page: Vec<(Offset, Vec<u8>)> = Vec::new();
        for (offset, payload) in &log.records {
            if *offset <= range.after || *offset > range.upto {
                continue;
            }
            let bytes: usize = page.iter().map(|(_, payload)| payload.len()).sum();
            let full = page.len() >= range.limit.records || bytes + payload.len() > range.limit.bytes;
            if full && let Some((last, _)) = page.last() {
                let next = Next::More(*last);
                return Ok((page, next));
            }
            page.push((*offset, payload.clone()));
        }
        Ok((page, Next::Done))
    }
}

struct Run {
    disk: MemoryDisk,
    stepped: Option<Stepped>,
    model: Model,
}

impl Run {
    fn stepped(&mut self) -> &mut Stepped {
        self.stepped.as_mut().unwrap()
    }

    fn log(&mut self, key: u8) -> Option<Log<MemoryDisk>> {
        let removing = self.model.logs.get(&key).is_some_and(|log| log.removing);
        let found = self.stepped().store.log(&[key]);
        if removing {
            assert!(matches!(found, Err(LogError::Removed)));
            return None;
        }
        self.model.logs.entry(key).or_default();
        Some(found.unwrap())
    }

    fn apply(&mut self, call: Call) {
        match call {
            Call::Append { log, sizes, gap, meta } => self.append(log, &sizes, gap, meta),
            Call::Commit => {
                let lsn = self.model.lsn + 1;
                assert!(matches!(self.stepped().store.commit(lsn), Ok(Committed::Now { .. })));
                self.model.commit();
            }
            Call::Abort => {
                let lsn = self.model.lsn + 1;
                let done = self.stepped().store.abort(lsn);
                assert_eq!(done.is_ok(), self.model.open.take().is_some());
            }
            Call::Transact { logs } => self.transact(&logs),
            Call::Trim { log, back } => self.trim(log, back),
            Call::BeginRemove { log } => {
                if let Some(handle) = self.log(log) {
                    handle.begin_remove().unwrap();
                    self.model.logs.get_mut(&log).unwrap().removing = true;
                }
            }
            Call::FinishRemove { log } => {
                let removal = self.stepped().store.removal(&[log]);
                assert_eq!(removal.is_ok(), self.model.logs.get(&log).is_some_and(|log| log.removing));
                if let Ok(removal) = removal {
                    removal.finish().unwrap();
                    self.model.logs.remove(&log);
                    if let Some(open) = &mut self.model.open {
                        open.retain(|(key, ..)| *key != log);
                    }
                }
            }
            Call::Flush(steps) => (0..steps).for_each(|_| _ = self.stepped().flusher.step()),
            Call::Keep(steps) => (0..steps).for_each(|_| _ = self.stepped().keeper.step()),
            Call::Restart { drained } => self.restart(drained),
            Call::Read { log, after, upto, records, bytes } => {
                let offset = |(tx, op): (u8, u8)| Offset { tx: u64::from(tx) % (self.model.lsn + 3), op: u64::from(op) % 6 };
                let limit = ReadLimit { records: usize::from(records), bytes: usize::from(bytes) };
                let range = ReadRange { after: offset(after), upto: offset(upto), limit, source: Source::Any };
                self.compare(log, &range);
            }
        }
    }

    fn append(&mut self, key: u8, sizes: &[u16], gap: Option<u8>, meta: bool) {
        let Some(log) = self.log(key) else { return };
        let lsn = self.model.lsn + 1;
        let mut op = self.model.staged_last(key).map_or(0, |last| last.op + 1);
        let mut records = Vec::new();
        for size in sizes {
            op += u64::from(gap.unwrap_or(0));
            records.push((Offset { tx: lsn, op }, self.model.payload(*size)));
            op += 1;
        }
        let given: Vec<_> = records.iter().map(|(offset, payload)| Record { op: gap.map(|_| offset.op), payload }).collect();
        let meta = meta.then(|| self.model.payload(3));
        let last = records.last().map(|(offset, _)| *offset);
        assert_eq!(log.lease().unwrap().append(lsn, &given, meta.as_deref()), Ok(Appended::Staged { last }));
        self.model.open.get_or_insert_with(Vec::new).push((key, records, meta));
    }

    fn transact(&mut self, writes: &[(u8, u16)]) {
        let lsn = self.model.lsn + 1;
        let mut staged = Vec::new();
        let mut handles = Vec::new();
        for (key, size) in writes {
            let Some(log) = self.log(*key) else { return };
            let op = staged.iter().filter(|(other, ..): &&(u8, Vec<(Offset, Vec<u8>)>, _)| other == key).count() as u64;
            staged.push((*key, vec![(Offset { tx: lsn, op }, self.model.payload(*size))], None));
            handles.push(log);
        }
        let records: Vec<_> = staged.iter().map(|(_, records, _)| [Record { op: None, payload: &records[0].1 }]).collect();
        let writes: Vec<_> = handles.iter().zip(&records).map(|(log, records)| Write { log, lease: None, records, meta: None }).collect();
        let done = self.stepped.as_ref().unwrap().store.transact(lsn, &writes);
        if self.model.open.is_some() {
            assert_eq!(done, Err(AppendError::TransactionOpen { current: lsn }));
        } else {
            assert!(matches!(done, Ok(Committed::Now { .. })));
            self.model.open = Some(staged);
            self.model.commit();
        }
    }

    fn trim(&mut self, key: u8, back: u8) {
        let Some(log) = self.log(key) else { return };
        let upto = Offset { tx: (self.model.lsn + 2).saturating_sub(u64::from(back)), op: 1 };
        log.trim(upto).unwrap();
        let upto = upto.min(Offset { tx: self.model.lsn, op: u64::MAX });
        let model = self.model.logs.get_mut(&key).unwrap();
        model.trimmed = model.trimmed.max(upto);
        let trimmed = model.trimmed;
        model.records.retain(|(offset, _)| *offset > trimmed);
    }

    fn restart(&mut self, drained: bool) {
        let mut stepped = self.stepped.take().unwrap();
        if drained {
            stepped.store.begin_drain();
        }
        stepped.settle();
        drop(stepped);
        self.model.open = None;
        self.disk = if drained { self.disk.power_loss() } else { self.disk.process_end() };
        let stepped = open(&self.disk, small());
        assert_eq!((stepped.report.lsn, stepped.report.clean), (self.model.lsn, drained));
        let removing: Vec<_> = self.model.logs.iter().filter(|(_, log)| log.removing).map(|(key, _)| Box::from([*key])).collect();
        assert_eq!(stepped.report.pending_removals, removing);
        self.stepped = Some(stepped);
    }

    fn compare(&mut self, key: u8, range: &ReadRange) {
        let found = self.stepped().store.find(&[key]);
        let Some(model) = self.model.logs.get(&key) else {
            assert!(matches!(found, Err(LogError::NotFound)));
            return;
        };
        if model.removing {
            assert!(matches!(found, Err(LogError::Removed)));
            return;
        }
        let log = found.unwrap();
        let page = log.read(range, Level::Visible);
        let found =
            page.map(|page| (page.records.iter().map(|(offset, payload)| (offset, payload.to_vec())).collect::<Vec<_>>(), page.next));
        assert_eq!(found, self.model.read(key, range), "{range:?}");
        let meta = log.meta(Level::Visible).unwrap().map(|(lsn, meta)| (lsn, meta.to_vec()));
        assert_eq!(meta, model.meta);
    }

    fn compare_all(&mut self) {
        for key in 0..4 {
            let after = self.model.logs.get(&key).map_or(Offset::START, |log| log.trimmed);
            self.compare(key, &ReadRange { after, ..everything() });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 3 } else { 300 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_as_a_map_of_vectors_would(calls in prop::collection::vec(call(), 1..160)) {
        let disk = MemoryDisk::default();
        let stepped = Some(open(&disk, small()));
        let mut run = Run { disk, stepped, model: Model::default() };
        for call in calls {
            run.apply(call);
        }
        run.compare_all();
        run.restart(false);
        run.compare_all();
        prop_assert_eq!(run.stepped().store.verify().unwrap().problems, vec![]);
    }
}
