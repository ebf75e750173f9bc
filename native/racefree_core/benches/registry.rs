//! The registry without the virtual machine: what an operation costs before any term is decoded.
//!
//! `cargo bench -p racefree_core --bench registry`. The bars are stated for the Elixir API; these figures say how much of them the core takes.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use racefree_core::registry::{Event, Events, Inbox, Janitor, Notice, Options, Platform, Registry, Step};

/// A platform whose own cost is nothing.
struct Free;

impl Platform for Free {
    type Pid = u64;
    type Value = u64;
    type Tag = [u64; 3];
    type Monitor = [u64; 4];
    type Caller<'a> = ();

    fn monitor(&self, (): (), _shard: usize, pid: u64) -> Option<[u64; 4]> {
        Some([pid; 4])
    }

    fn demonitor(&self, _shard: usize, _monitor: [u64; 4]) {}

    fn send(&self, _to: u64, _tag: &[u64; 3], notice: Notice<u64, u64>) {
        black_box(notice);
    }

    fn event(&self, event: Event<u64, u64>) {
        black_box(event);
    }
}

fn registry() -> (Arc<Registry<Free>>, Arc<Inbox<Free>>) {
    let inbox = Inbox::new();
    (Arc::new(Registry::new(Free, Arc::clone(&inbox), Options { shards: 64, incarnation: 1, events: Events::Silent })), inbox)
}

fn keys(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("user:{number:012}").into_bytes()).collect()
}

/// The time of `rounds` runs of `part` on each of `threads` threads at once, per run.
fn on_threads(threads: u32, rounds: u64, part: impl Fn(u32, u64) + Sync) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let part = &part;
            scope.spawn(move || (0..rounds).for_each(|round| part(thread, round)));
        }
    });
    start.elapsed()
}

fn lookup(criterion: &mut Criterion) {
    let (registry, _) = registry();
    let keys = keys(10_000);
    for (key, pid) in keys.iter().zip(0..) {
        registry.register((), key, pid, pid).unwrap();
    }
    let mut next = 0;
    criterion.bench_function("lookup of 10,000 keys", |bencher| {
        bencher.iter(|| {
            next = (next + 7919) % keys.len();
            registry.lookup(black_box(&keys[next])).unwrap().pid
        });
    });
    for threads in [1, 2] {
        criterion.bench_function(&format!("lookup of 10,000 keys, {threads} threads"), |bencher| {
            bencher.iter_custom(|rounds| {
                on_threads(threads, rounds, |thread, round| {
                    let key = &keys[(round as usize * 7919 + thread as usize * 5003) % keys.len()];
                    black_box(registry.lookup(key).unwrap().pid);
                })
            });
        });
        criterion.bench_function(&format!("lookup of one key, {threads} threads"), |bencher| {
            bencher.iter_custom(|rounds| {
                on_threads(threads, rounds, |_, _| {
                    black_box(registry.lookup(&keys[0]).unwrap().pid);
                })
            });
        });
    }
}

fn register(criterion: &mut Criterion) {
    let (registry, _) = registry();
    let keys = keys(10_000);
    let mut next = 0;
    criterion.bench_function("register and unregister", |bencher| {
        bencher.iter(|| {
            next = (next + 7919) % keys.len();
            registry.register((), &keys[next], 1, 1).unwrap();
            registry.unregister(&keys[next], 1).unwrap();
        });
    });
}

fn subscribe(criterion: &mut Criterion) {
    let (registry, _) = registry();
    let generation = registry.register((), b"key", 1, 1).unwrap();
    criterion.bench_function("subscribe and unsubscribe", |bencher| {
        bencher.iter(|| {
            let id = registry.subscribe((), b"key", generation, 2, [1; 3]).unwrap();
            registry.unsubscribe(2, id);
        });
    });
    for subscriber in 0..10_000 {
        registry.subscribe((), b"key", generation, 10 + subscriber, [1; 3]).unwrap();
    }
    criterion.bench_function("broadcast to 10,000", |bencher| {
        bencher.iter(|| {
            let mut cursor = None;
            loop {
                let part = registry.broadcast(b"key", cursor, 1000, |pid, _| {
                    black_box(pid);
                });
                cursor = part.unwrap().next;
                if cursor.is_none() {
                    break;
                }
            }
        });
    });
}

/// Deaths as they come from the schedulers, and the janitor until nothing is left.
fn deaths(criterion: &mut Criterion) {
    let keys = keys(50_000);
    let mut group = criterion.benchmark_group("deaths");
    group.sample_size(10);
    for (name, of_one) in [("50,000 processes with a key each", false), ("one process with 50,000 keys", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    let (registry, inbox) = registry();
                    let mut janitor = Janitor::new(Arc::clone(&registry));
                    for (key, pid) in keys.iter().zip(0..) {
                        registry.register((), key, if of_one { 0 } else { pid }, 1).unwrap();
                    }
                    let start = Instant::now();
                    (0..if of_one { 1 } else { 50_000 }).for_each(|pid| inbox.down(pid, [pid; 4]));
                    while janitor.step() == Step::Worked {}
                    total += start.elapsed();
                    assert_eq!(registry.count(), Ok(0));
                }
                total
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500)).without_plots();
    targets = lookup, register, subscribe, deaths
}
criterion_main!(benches);
