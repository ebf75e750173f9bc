//! A13, the figure: what an idle log costs. A test of its own, because it counts every allocation of its process.

#![allow(unsafe_code)]

use racefree_core::store::disk::{Disk, MonotonicClock};
use racefree_core::store::{Opened, Options, Progress, Record, Store, Write};
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counter is not part of any promise.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LOGS: usize = 20_000;

fn open(dir: &Path) -> Opened<Disk> {
    Store::open(Disk, dir, Options { wal_bytes_max: 1 << 20, ..Options::default() }, Box::new(MonotonicClock::default())).unwrap()
}

fn settle(opened: &mut Opened<Disk>) {
    while opened.flusher.step() == Progress::Worked || opened.keeper.step() == Progress::Worked {}
}

#[test]
fn a13_an_idle_log_costs_less_than_a_kibibyte() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("idle-logs");
    let _ = std::fs::remove_dir_all(&dir);
    let before = BYTES.load(Ordering::Relaxed);
    let mut opened = open(&dir);
    let payload = [7; 100];
    let records = [Record { op: None, payload: &payload }];
    for index in 0..LOGS {
        let log = opened.store.log(format!("shapes/{index:032}").as_bytes()).unwrap();
        let write = [Write { log: &log, lease: None, records: &records, meta: Some(&[1; 16]) }];
        opened.store.transact(index as u64 + 1, &write).unwrap();
        if index % 1000 == 0 {
            settle(&mut opened);
        }
    }
    settle(&mut opened);
    let each = (BYTES.load(Ordering::Relaxed) - before) / LOGS;
    assert!(each < 1024, "{each} bytes a log after writing");
    drop(opened);
    let before = BYTES.load(Ordering::Relaxed);
    let mut opened = open(&dir);
    settle(&mut opened);
    assert_eq!(opened.store.info().logs, LOGS);
    let reopened = (BYTES.load(Ordering::Relaxed) - before) / LOGS;
    assert!(reopened < 1024, "{reopened} bytes a log after opening");
    drop(opened);
    std::fs::remove_dir_all(&dir).unwrap();
}
