//! What is compared: four ways to keep many append-only logs, behind one set of questions.
//!
//! Each gets what it is best at: one transaction for all logs where there are transactions, one key space with the log's number in front where keys are sorted.

use racefree_core::store::disk::{Disk, MonotonicClock};
use racefree_core::store::{Flusher, Keeper, Level, Log, Offset, Opened, Options, ReadLimit, ReadRange, Record, Source, Store, Write};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);

/// When a transaction is durable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// When the call returns.
    Now,
    Later,
}

/// A way to keep logs. Transactions come in their order, from 1; a log's records within one are numbered from 0.
pub trait Contender {
    /// The transaction `tx`: so many records of `payload` for each of the logs.
    fn write(&mut self, tx: u64, logs: &[u64], records: u64, payload: &[u8], durable: Durable);
    /// Reads up to `limit` records of `log` behind record `op` of transaction `tx`, touches each, and gives their number.
    fn read(&mut self, log: u64, after: (u64, u64), limit: usize) -> usize;
    /// Moves what is in memory to files, as far as there is a way to ask for it.
    fn settle(&mut self);
}

/// How a contender opens a folder; what is in it is recovered by then.
pub type Open = fn(&Path) -> Box<dyn Contender>;

pub const CONTENDERS: [(&str, Open); 4] =
    [("racefree", Racefree::open), ("fjall", Fjall::open), ("redb", Redb::open), ("plain files", Files::open)];

/// What is looked at in each payload, so that nobody gets away with not reading it.
fn touch(payload: &[u8]) -> usize {
    usize::from(std::hint::black_box(payload[payload.len() - 1]) > 0)
}

fn key(log: u64, tx: u64, op: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&log.to_be_bytes());
    key[8..16].copy_from_slice(&tx.to_be_bytes());
    key[16..].copy_from_slice(&op.to_be_bytes());
    key
}

/// The keys from behind a record to the end of its log.
fn keys_after(log: u64, (tx, op): (u64, u64)) -> std::ops::Range<[u8; 24]> {
    key(log, tx, op + 1)..key(log + 1, 0, 0)
}

struct Racefree {
    store: Store<Disk>,
    logs: HashMap<u64, Log<Disk>>,
    workers: Vec<JoinHandle<()>>,
}

impl Racefree {
    fn open(dir: &Path) -> Box<dyn Contender> {
        let Opened { store, flusher, keeper, .. } =
            Store::open(Disk, dir, Options::default(), Box::new(MonotonicClock::default())).unwrap();
        let workers = vec![std::thread::spawn(move || Flusher::run(flusher)), std::thread::spawn(move || Keeper::run(keeper))];
        Box::new(Self { store, logs: HashMap::new(), workers })
    }

    fn log(&mut self, log: u64) -> Log<Disk> {
        self.logs.entry(log).or_insert_with(|| self.store.log(&log.to_le_bytes()).unwrap()).clone()
    }
}

impl Contender for Racefree {
    fn write(&mut self, tx: u64, logs: &[u64], records: u64, payload: &[u8], durable: Durable) {
        let logs: Vec<_> = logs.iter().map(|log| self.log(*log)).collect();
        let records = vec![Record { op: None, payload }; records as usize];
        let writes: Vec<_> = logs.iter().map(|log| Write { log, lease: None, records: &records, meta: None }).collect();
        while self.store.transact(tx, &writes).is_err() {
            self.store.wait_ready(LONG).unwrap();
        }
        if durable == Durable::Now {
            self.store.wait_durable(tx, LONG).unwrap();
        }
    }

    fn read(&mut self, log: u64, (tx, op): (u64, u64), limit: usize) -> usize {
        let limit = ReadLimit { records: limit, bytes: usize::MAX };
        let range = ReadRange { after: Offset { tx, op }, upto: Offset::END, limit, source: Source::Any };
        let page = self.log(log).read(&range, Level::Visible).unwrap();
        page.records.iter().map(|(_, payload)| touch(payload)).sum()
    }

    fn settle(&mut self) {
        // Two write-ahead logs' worth behind it, which is what rolls the last of it over.
        let mut tx = self.store.visible_lsn();
        let payload = vec![7; 1 << 20];
        for _ in 0..(2 * Options::default().wal_bytes_max) >> 20 {
            tx += 1;
            self.write(tx, &[u64::MAX - 1], 1, &payload, Durable::Now);
        }
    }
}

impl Drop for Racefree {
    fn drop(&mut self) {
        self.store.shut_down();
        self.workers.drain(..).for_each(|worker| worker.join().unwrap());
    }
}

struct Fjall {
    database: fjall::Database,
    records: fjall::Keyspace,
}

impl Fjall {
    fn open(dir: &Path) -> Box<dyn Contender> {
        let database = fjall::Database::builder(dir.join("fjall")).open().unwrap();
        let records = database.keyspace("records", fjall::KeyspaceCreateOptions::default).unwrap();
        Box::new(Self { database, records })
    }
}

impl Contender for Fjall {
    fn write(&mut self, tx: u64, logs: &[u64], records: u64, payload: &[u8], durable: Durable) {
        let mode = (durable == Durable::Now).then_some(fjall::PersistMode::SyncData);
        let mut batch = self.database.batch().durability(mode);
        for log in logs {
            for op in 0..records {
                batch.insert(&self.records, key(*log, tx, op), payload);
            }
        }
        batch.commit().unwrap();
    }

    fn read(&mut self, log: u64, after: (u64, u64), limit: usize) -> usize {
        self.records.range(keys_after(log, after)).take(limit).map(|found| touch(&found.into_inner().unwrap().1)).sum()
    }

    fn settle(&mut self) {
        self.records.rotate_memtable_and_wait().unwrap();
    }
}

struct Redb {
    database: redb::Database,
}

const RECORDS: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("records");

impl Redb {
    fn open(dir: &Path) -> Box<dyn Contender> {
        Box::new(Self { database: redb::Database::create(dir.join("redb")).unwrap() })
    }
}

impl Contender for Redb {
    fn write(&mut self, tx: u64, logs: &[u64], records: u64, payload: &[u8], durable: Durable) {
        let mut transaction = self.database.begin_write().unwrap();
        let durability = if durable == Durable::Now { redb::Durability::Immediate } else { redb::Durability::None };
        transaction.set_durability(durability).unwrap();
        {
            let mut table = transaction.open_table(RECORDS).unwrap();
            for log in logs {
                for op in 0..records {
                    table.insert(key(*log, tx, op).as_slice(), payload).unwrap();
                }
            }
        }
        transaction.commit().unwrap();
    }

    fn read(&mut self, log: u64, after: (u64, u64), limit: usize) -> usize {
        use redb::ReadableDatabase;
        let table = self.database.begin_read().unwrap().open_table(RECORDS).unwrap();
        let keys = keys_after(log, after);
        let found = table.range::<&[u8]>(keys.start.as_slice()..keys.end.as_slice()).unwrap();
        found.take(limit).map(|found| touch(found.unwrap().1.value())).sum()
    }

    fn settle(&mut self) {}
}

/// A file for each log, opened for each access, as there may be more than a process may hold: no transactions, no index, records of one size.
struct Files {
    dir: PathBuf,
    ends: HashMap<u64, u64>,
    record_bytes: u64,
    records_each: u64,
}

impl Files {
    fn open(dir: &Path) -> Box<dyn Contender> {
        let dir = dir.join("files");
        std::fs::create_dir_all(&dir).unwrap();
        // What a recovery would have to do at least.
        let mut buffer = vec![0; 1 << 20];
        for entry in std::fs::read_dir(&dir).unwrap() {
            let mut file = File::open(entry.unwrap().path()).unwrap();
            while file.read(&mut buffer).unwrap() > 0 {}
        }
        Box::new(Self { dir, ends: HashMap::new(), record_bytes: 0, records_each: 0 })
    }

    fn path(&self, log: u64) -> PathBuf {
        self.dir.join(log.to_string())
    }
}

impl Contender for Files {
    fn write(&mut self, _tx: u64, logs: &[u64], records: u64, payload: &[u8], durable: Durable) {
        (self.record_bytes, self.records_each) = (payload.len() as u64, records);
        let bytes = payload.repeat(records as usize);
        for log in logs {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.path(*log)).unwrap();
            let end = self.ends.entry(*log).or_default();
            file.write_all_at(&bytes, *end).unwrap();
            *end += bytes.len() as u64;
            if durable == Durable::Now {
                file.sync_data().unwrap();
            }
        }
    }

    fn read(&mut self, log: u64, (tx, op): (u64, u64), limit: usize) -> usize {
        let file = File::open(self.path(log)).unwrap();
        let mut buffer = vec![0; limit * self.record_bytes as usize];
        file.read_exact_at(&mut buffer, ((tx - 1) * self.records_each + op + 1) * self.record_bytes).unwrap();
        buffer.chunks(self.record_bytes as usize).map(touch).sum()
    }

    fn settle(&mut self) {}
}
