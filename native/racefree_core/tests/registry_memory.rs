//! What the registry allocates, counted: in a test of its own, since the counting allocator counts for the whole process.

#![allow(unsafe_code, reason = "an allocator is unsafe by its nature")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use racefree_core::registry::{Event, Events, Inbox, Janitor, LookupError, Notice, Options, Platform, Registry, Step};

struct Counting;

static BYTES: AtomicIsize = AtomicIsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory that is handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A platform without memory of its own. Its monitors are as large as the virtual machine's.
struct Plain;

impl Platform for Plain {
    type Pid = u64;
    type Value = Option<Arc<u64>>;
    type Tag = [u64; 3];
    type Monitor = [u64; 4];
    type Caller<'a> = ();

    fn monitor(&self, (): (), _shard: usize, pid: u64) -> Option<[u64; 4]> {
        Some([pid; 4])
    }

    fn demonitor(&self, _shard: usize, _monitor: [u64; 4]) {}

    fn send(&self, _to: u64, _tag: &[u64; 3], _notice: Notice<u64, Option<Arc<u64>>>) {}

    fn event(&self, _event: Event<u64, Option<Arc<u64>>>) {}
}

fn bytes() -> isize {
    BYTES.load(Ordering::Relaxed)
}

/// How often `part` allocates, and what it gives.
fn allocations<R>(part: impl FnOnce() -> R) -> (usize, R) {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let result = part();
    (ALLOCATIONS.load(Ordering::Relaxed) - before, result)
}

const KEYS: u64 = 200_000;

/// One test, so that no other thread allocates meanwhile.
#[test]
fn keeps_few_bytes_per_key_and_none_after_all_died() {
    let inbox = Inbox::new();
    let registry = Arc::new(Registry::new(Plain, Arc::clone(&inbox), Options { shards: 64, incarnation: 1, events: Events::Silent }));
    let mut janitor = Janitor::new(Arc::clone(&registry));
    let key = |number: u64| format!("user:{number:012}");

    // Idle keys, one process each.
    let start = bytes();
    for number in 0..KEYS {
        registry.register((), key(number).as_bytes(), number, None).unwrap();
    }
    let per_key = (bytes() - start) / KEYS.cast_signed() as isize;
    assert!(per_key <= 400, "{per_key} bytes per idle key");

    // Lookups allocate nothing, hit or miss.
    let (hit, miss) = (key(7), key(KEYS));
    assert_eq!(allocations(|| assert_eq!(registry.lookup(hit.as_bytes()).map(|live| live.pid), Ok(7))).0, 0);
    assert_eq!(allocations(|| assert_eq!(registry.lookup(miss.as_bytes()), Err(LookupError::NotFound))).0, 0);

    // Of a process that is known, a registration allocates the entry; a key longer than the entry has room for, and a list of links that grows, once more each.
    for number in 0..100 {
        let (count, _) = allocations(|| registry.register((), miss.as_bytes(), number, None).unwrap());
        assert!(count <= 2, "{count} allocations");
        registry.unregister(miss.as_bytes(), number).unwrap();
    }

    // Everything goes with the processes.
    for number in 0..KEYS {
        inbox.down(number, [number; 4]);
    }
    while janitor.step() == Step::Worked {}
    assert_eq!(registry.count(), Ok(0));
    let left = bytes() - start;
    assert!(left <= 64 * 1024, "{left} bytes are left");
}
