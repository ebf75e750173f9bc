//! The store's rows of the table of bars, measured on the real disk: medians over rounds, contenders interleaved in one run.
//!
//! Plain loops: most rows are ratios to what the operating system gives in the same minute, which a benchmark library does not interleave.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use racefree_core::store::disk::{Disk, MonotonicClock};
use racefree_core::store::{
    Flusher, Keeper, Level, Log, Next, Offset, Opened, Options, Progress, ReadLimit, ReadRange, Record, Source, Store, Write,
};
use rustix::fs::{Advice, fadvise};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{File, OpenOptions, create_dir_all, remove_dir_all};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(120);

/// One row alone: `cargo bench -p racefree_core --bench store -- recovery`.
fn main() {
    let rows: [(&str, fn()); 6] = [
        ("append", append),
        ("memory", read_from_memory),
        ("cold", cold_read),
        ("commit", commit_acknowledged),
        ("dirty", thousand_dirty_logs),
        ("recovery", recovery),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for (_, row) in rows.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)) {
        row();
    }
}

fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("store-bench").join(name);
    let _ = remove_dir_all(&dir);
    create_dir_all(&dir).unwrap();
    dir
}

fn open(dir: &Path, options: Options) -> Opened<Disk> {
    Store::open(Disk, dir, options, Box::new(MonotonicClock::default())).unwrap()
}

/// A store whose workers run, as in production.
struct Running {
    store: Store<Disk>,
    workers: Vec<JoinHandle<()>>,
}

impl Running {
    fn new(dir: &Path, options: Options) -> Self {
        let Opened { store, flusher, keeper, .. } = open(dir, options);
        let workers = vec![std::thread::spawn(move || Flusher::run(flusher)), std::thread::spawn(move || Keeper::run(keeper))];
        Self { store, workers }
    }

    fn stop(self) {
        self.store.shut_down();
        self.workers.into_iter().for_each(|worker| worker.join().unwrap());
    }
}

/// The processor time of this thread: what a row that says "on one core" costs, however busy the machine is.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn append_retrying(store: &Store<Disk>, log: &Log<Disk>, lsn: u64, records: &[Record<'_>]) {
    while store.transact(lsn, &[Write { log, lease: None, records, meta: None }]).is_err() {
        store.wait_ready(LONG).unwrap();
    }
}

/// One record of 200 bytes per call, a commit every 100: what a writer's core does, without and with the workers on other cores.
fn append() {
    const RECORDS: u64 = 200_000;
    let payload = [7_u8; 200];
    let record = [Record { op: None, payload: &payload }];
    let options = Options { stage_bytes_max: 1 << 30, memory_bytes_max: 1 << 31, ..Options::default() };
    for running in [false, true] {
        let times = (0..7)
            .map(|_| {
                let dir = folder("append");
                let (store, workers) = if running {
                    let running = Running::new(&dir, options.clone());
                    (running.store.clone(), Some(running))
                } else {
                    (open(&dir, options.clone()).store, None)
                };
                let lease = store.log(b"log").unwrap().lease().unwrap();
                let start = processor_time();
                for index in 0..RECORDS {
                    let lsn = index / 100 + 1;
                    lease.append(lsn, &record, None).unwrap();
                    if index % 100 == 99 {
                        store.commit(lsn).unwrap();
                    }
                }
                let took = processor_time() - start;
                drop(lease);
                if let Some(workers) = workers {
                    workers.stop();
                }
                took
            })
            .collect();
        let each = median(times).as_nanos() as f64 / RECORDS as f64;
        println!("append 200 B, workers running: {running}: {each:.0} ns, {:.2} M records/s", 1000.0 / each);
    }
}

fn range(after: Offset, records: usize) -> ReadRange {
    ReadRange { after, upto: Offset::END, limit: ReadLimit { records, bytes: usize::MAX }, source: Source::Any }
}

fn read_from_memory() {
    let store = open(&folder("memory"), Options::default()).store;
    let log = store.log(b"log").unwrap();
    let payload = [7_u8; 200];
    let records = [Record { op: None, payload: &payload }; 100];
    for lsn in 1..=300 {
        store.transact(lsn, &[Write { log: &log, lease: None, records: &records, meta: None }]).unwrap();
    }
    let mut sum = 0;
    let times = (0..2000_u64)
        .map(|round| {
            let after = Offset { tx: round * 7919 % 280 + 1, op: round % 100 };
            let start = processor_time();
            let page = log.read(&range(after, 1000), Level::Visible).unwrap();
            for (offset, payload) in page.records.iter() {
                sum += offset.op + u64::from(payload[0]);
            }
            assert_eq!(page.records.len(), 1000);
            processor_time() - start
        })
        .collect();
    println!("read 1000 records of 200 B from memory: {:.1} us ({sum})", median(times).as_nanos() as f64 / 1000.0);
}

/// A store of one log with `bytes` of records, all in pack files.
fn packed(name: &str, bytes: u64, record_bytes: usize) -> (PathBuf, Opened<Disk>, u64) {
    let dir = folder(name);
    let mut opened = open(&dir, Options { wal_bytes_max: 4 << 20, ..Options::default() });
    let log = opened.store.log(b"log").unwrap();
    let payload = vec![7_u8; record_bytes];
    let records = vec![Record { op: None, payload: &payload }; 64];
    let last = bytes / (64 * record_bytes as u64);
    for lsn in 1..=last {
        opened.store.transact(lsn, &[Write { log: &log, lease: None, records: &records, meta: None }]).unwrap();
        while opened.flusher.step() == Progress::Worked || opened.keeper.step() == Progress::Worked {}
    }
    (dir, opened, last)
}

fn cold_read() {
    let (dir, opened, last) = packed("cold", 64 << 20, 4096);
    let log = opened.store.find(b"log").unwrap();
    let pack =
        std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|end| end == "pack"));
    let pack = pack.unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..4000_u64 {
        let after = Offset { tx: round * 7919 % (last - 10) + 1, op: round % 60 };
        let start = processor_time();
        let page = log.read(&range(after, 1), Level::Visible).unwrap();
        ours.push(processor_time() - start);
        assert!(page.records.len() == 1 && page.next == Next::More(Offset { op: after.op + 1, ..after }));
        let start = processor_time();
        let file = File::open(&pack).unwrap();
        let mut buffer = vec![0; 4096];
        file.read_exact_at(&mut buffer, round * 7919 % 500 * 4096).unwrap();
        drop(file);
        theirs.push(processor_time() - start);
    }
    println!(
        "cold read 4 KiB: {:.1} us (open+pread+close: {:.1} us)",
        median(ours).as_nanos() as f64 / 1000.0,
        median(theirs).as_nanos() as f64 / 1000.0
    );
}

fn commit_acknowledged() {
    let dir = folder("commit");
    let running = Running::new(&dir, Options::default());
    let log = running.store.log(b"log").unwrap();
    let payload = [7_u8; 200];
    let record = [Record { op: None, payload: &payload }];
    let plain = OpenOptions::new().write(true).create(true).truncate(true).open(dir.join("plain")).unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for lsn in 1..=2000 {
        let start = Instant::now();
        append_retrying(&running.store, &log, lsn, &record);
        running.store.wait_durable(lsn, LONG).unwrap();
        ours.push(start.elapsed());
        let start = Instant::now();
        plain.write_all_at(&payload, lsn * 200).unwrap();
        plain.sync_data().unwrap();
        theirs.push(start.elapsed());
    }
    running.stop();
    let (ours, theirs) = (median(ours), median(theirs));
    println!("commit acknowledged, p50: {ours:.1?} (write+fdatasync {theirs:.1?}): {:.2}x", ours.as_secs_f64() / theirs.as_secs_f64());
}

fn thousand_dirty_logs() {
    let dir = folder("dirty");
    let running = Running::new(&dir, Options::default());
    let logs: Vec<_> = (0..1000_u32).map(|key| running.store.log(&key.to_le_bytes()).unwrap()).collect();
    let payload = [7_u8; 200];
    let record = [Record { op: None, payload: &payload }];
    let plain = OpenOptions::new().write(true).create(true).truncate(true).open(dir.join("plain")).unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for lsn in 1..=100 {
        let writes: Vec<_> = logs.iter().map(|log| Write { log, lease: None, records: &record, meta: None }).collect();
        let start = Instant::now();
        running.store.transact(lsn, &writes).unwrap();
        running.store.wait_durable(lsn, LONG).unwrap();
        ours.push(start.elapsed());
        let start = Instant::now();
        plain.write_all_at(&vec![7; 200_000], lsn * 200_000).unwrap();
        plain.sync_data().unwrap();
        theirs.push(start.elapsed());
    }
    running.stop();
    let (ours, theirs) = (median(ours), median(theirs));
    println!(
        "1000 dirty logs durable, p50: {ours:.1?} (one sync of as much {theirs:.1?}): {:.2}x",
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
}

/// A gigabyte of write-ahead logs replayed, as a machine that died under load leaves them: 1000 logs, of which every tenth has records of 4 KiB and the others of 200 B. Against
/// reading the same files once, through a buffer of the same size.
fn recovery() {
    const BYTES: u64 = 1 << 30;
    const WINDOW_BYTES: usize = 512 * 1024;
    let dir = folder("recovery");
    let options = Options { memory_bytes_max: 8 << 30, stage_bytes_max: 64 << 20, ..Options::default() };
    let mut opened = open(&dir, options.clone());
    let logs: Vec<_> = (0..1000_u32).map(|key| opened.store.log(&key.to_le_bytes()).unwrap()).collect();
    let (small, large) = ([7_u8; 200], [7_u8; 4096]);
    let small = [Record { op: None, payload: &small }; 10];
    let large = [Record { op: None, payload: &large }; 5];
    let of = |index: usize| if index.is_multiple_of(10) { large.as_slice() } else { small.as_slice() };
    let each: u64 = (0..1000).flat_map(of).map(|record| record.payload.len() as u64 + 24).sum();
    for lsn in 1..=BYTES / each {
        let writes: Vec<_> =
            logs.iter().enumerate().map(|(index, log)| Write { log, lease: None, records: of(index), meta: None }).collect();
        opened.store.transact(lsn, &writes).unwrap();
        while opened.flusher.step() == Progress::Worked {}
    }
    drop((logs, opened));
    let files: Vec<File> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "wal"))
        .map(|path| File::open(path).unwrap())
        .collect();
    let mut buffer = vec![0; WINDOW_BYTES];
    for cached in [true, false] {
        let (mut ours, mut theirs, mut replayed, mut read) = (Vec::new(), Vec::new(), 0, 0);
        for _ in 0..9 {
            let forget = || files.iter().filter(|_| !cached).for_each(|file| fadvise(file, 0, None, Advice::DontNeed).unwrap());
            forget();
            let start = Instant::now();
            read = 0;
            for file in &files {
                let mut at = 0;
                loop {
                    match file.read_at(&mut buffer, at).unwrap() {
                        0 => break,
                        more => at += more as u64,
                    }
                }
                read += at;
            }
            theirs.push(start.elapsed());
            forget();
            let start = Instant::now();
            let (store, report) = Store::open_read_only(Disk, &dir, options.clone()).unwrap();
            ours.push(start.elapsed());
            drop(store);
            replayed = report.records;
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!(
            "recovery of {replayed} records, files in the page cache: {cached}: {ours:.1?}, {:.0} MB/s; reading the files {theirs:.1?}: {:.0} % of its speed",
            read as f64 / ours.as_secs_f64() / 1e6,
            100.0 * theirs.as_secs_f64() / ours.as_secs_f64()
        );
    }
}
