//! Histories of real threads: is there an order of the operations, each between its call and its return, that the sequential model allows?
//!
//! The search is that of J. Wing and C. Gong, "Testing and verifying concurrent objects" (1993), with G. Lowe's memory of what was tried ("Testing for linearizability", 2017):
//! a set of operations done together with the state they led to is never explored twice. Keys are checked one by one, which is sound because linearizability is local.
//! A death is an operation too, and so is what the registry does about each role of who died: at some moment between the death and the end of the clean-up.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::super::{Events, Generation, Janitor, Registry};
use super::driver::{self, Held};
use super::links::roles_match_links;
use super::model::{Entered, KeyModel, Miss, Role, Step, Told};
use super::world::{Pid, World, settle};
use crate::sync::Arc;

const KEYS: [&[u8]; 2] = [b"a", b"b"];
const THREADS: u32 = 3;

/// A step with the moments between which it happened.
#[derive(Clone, Debug)]
struct Record {
    called: u64,
    returned: u64,
    step: Step,
}

/// Whether some order of a history is allowed from `start` and ends in a state that is `complete`.
fn is_linearizable(start: &KeyModel, history: &[Record], complete: impl Fn(&KeyModel) -> bool) -> bool {
    let words = history.len().div_ceil(64);
    let mut tried: HashSet<(Vec<u64>, KeyModel)> = HashSet::new();
    let mut open = vec![(vec![0_u64; words], start.clone())];
    while let Some((done, state)) = open.pop() {
        let pending = || history.iter().enumerate().filter(|(index, _)| done[index / 64] & (1 << (index % 64)) == 0);
        // Nothing may come after what was called when it had returned.
        let Some(first_return) = pending().map(|(_, record)| record.returned).min() else {
            if complete(&state) {
                return true;
            }
            continue;
        };
        for (index, record) in pending().filter(|(_, record)| record.called <= first_return) {
            for after in state.after(&record.step) {
                let mut done = done.clone();
                done[index / 64] |= 1 << (index % 64);
                if tried.insert((done.clone(), after.clone())) {
                    open.push((done, after));
                }
            }
        }
    }
    false
}

/// A small generator with a printed seed: the schedule is the machine's, the operations are repeatable.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u32) -> u32 {
        // SplitMix64 of G. Steele, D. Lea and C. Flood, 2014.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % u64::from(bound)) as u32
    }
}

/// One thread's part: a process that does something; when it is dead, another takes its place.
struct Actor<'a> {
    registry: &'a Registry<World>,
    clock: &'a AtomicU64,
    /// The process of each thread, for those who kill.
    pids: &'a [AtomicU32],
    dice: Dice,
    thread: u32,
    held: [Vec<Held>; KEYS.len()],
    history: [Vec<Record>; KEYS.len()],
    tags: u32,
    /// Waits: tag, key and stamp.
    waits: Vec<(u32, usize, u64)>,
    killed: Vec<(Pid, u64)>,
}

impl Actor<'_> {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn record(&mut self, key: usize, operation: impl FnOnce(&Registry<World>) -> Option<(Step, Option<Held>)>) {
        let called = self.now();
        let Some((step, held)) = operation(self.registry) else { return };
        let returned = self.now();
        if let Step::Enter { seen: Ok(Entered::Waiting(stamp)), .. } = step {
            self.waits.push((self.tags, key, stamp));
        }
        self.history[key].push(Record { called, returned, step });
        self.held[key].extend(held);
    }

    /// The process of this thread, alive a moment ago.
    fn pid(&mut self) -> Pid {
        let own = &self.pids[self.thread as usize];
        let pid = Pid(own.load(Ordering::SeqCst));
        if self.registry.platform().is_alive(pid) {
            return pid;
        }
        self.held.iter_mut().for_each(|held| held.retain(|held| !matches!(held, Held::Wait(..))));
        own.store(pid.0 + THREADS, Ordering::SeqCst);
        Pid(pid.0 + THREADS)
    }

    fn act(&mut self) {
        self.tags += THREADS;
        let (key, pid, tag) = (self.dice.below(KEYS.len() as u32) as usize, self.pid(), self.tags);
        let (name, number) = (KEYS[key], self.dice.below(100));
        match self.dice.below(12) {
            0 | 1 => self.record(key, |registry| Some(driver::lookup(registry, name))),
            2 | 3 => self.record(key, |registry| Some(driver::register(registry, name, pid, number))),
            4 => self.record(key, |registry| Some(driver::unregister(registry, name, pid))),
            5 => self.record(key, |registry| Some(driver::put_value(registry, name, pid, number))),
            6 | 7 => self.record(key, |registry| Some(driver::enter(registry, name, pid, tag))),
            8 => self.record(key, |registry| Some(driver::begin_remove(registry, name, pid, number))),
            9 => {
                let Some(Held::Lead(lead)) = self.held[key].iter().rfind(|held| matches!(held, Held::Lead(_))).copied() else { return };
                let started = self.killed.last().map(|(pid, _)| *pid).filter(|_| number.is_multiple_of(4)).unwrap_or(pid);
                self.record(key, |registry| Some(driver::publish(registry, name, lead, started, number)));
            }
            10 => {
                let Some(held) = self.held[key].pop() else { return };
                self.record(key, |registry| driver::give_back(registry, name, held, number).map(|step| (step, None)));
            }
            _ => {
                let victim = Pid(self.pids[self.dice.below(THREADS) as usize].load(Ordering::SeqCst));
                let called = self.now();
                self.registry.platform().kill(victim);
                let returned = self.now();
                self.history.iter_mut().for_each(|history| history.push(Record { called, returned, step: Step::Die { pid: victim } }));
                self.killed.push((victim, called));
            }
        }
    }
}

/// Which role on a key a step gave to which process.
fn role_of(step: &Step) -> Option<(Pid, Role)> {
    match step {
        Step::Register { pid, seen: Ok(_), .. } | Step::Publish { pid, seen: Ok(_), .. } => Some((*pid, Role::Holder)),
        Step::Enter { pid, seen: Ok(Entered::Lead(_)) } => Some((*pid, Role::Leader)),
        Step::Enter { pid, seen: Ok(Entered::Waiting(_)) } => Some((*pid, Role::Waiter)),
        Step::BeginRemove { pid, seen: Ok(_), .. } => Some((*pid, Role::Remover)),
        _ => None,
    }
}

/// What one thread leaves: the history of each key, its waits, whom it killed when.
type Traces = ([Vec<Record>; KEYS.len()], Vec<(u32, usize, u64)>, Vec<(Pid, u64)>);

/// Runs threads, and a janitor, against one registry.
fn run(seed: u64, actions: usize, registry: &Arc<Registry<World>>, clock: &AtomicU64) -> [Traces; THREADS as usize] {
    let pids = [const { AtomicU32::new(0) }; THREADS as usize];
    pids.iter().zip(0..).for_each(|(own, pid)| own.store(pid, Ordering::SeqCst));
    let barrier = Barrier::new(THREADS as usize + 1);
    let is_over = AtomicBool::new(false);
    let (traces, mut janitor) = std::thread::scope(|scope| {
        let cleaner = scope.spawn(|| {
            let mut janitor = Janitor::new(Arc::clone(registry));
            barrier.wait();
            while !is_over.load(Ordering::SeqCst) {
                janitor.step();
                std::thread::yield_now();
            }
            janitor
        });
        let threads = [0, 1, 2].map(|thread: u32| {
            let (barrier, pids) = (&barrier, &pids);
            scope.spawn(move || {
                let (held, history) = Default::default();
                let dice = Dice(seed ^ (u64::from(thread) << 56));
                let mut actor =
                    Actor { registry, clock, pids, dice, thread, held, history, tags: thread, waits: Vec::new(), killed: Vec::new() };
                barrier.wait();
                (0..actions).for_each(|_| actor.act());
                (actor.history, actor.waits, actor.killed)
            })
        });
        let traces = threads.map(|thread| thread.join().unwrap());
        is_over.store(true, Ordering::SeqCst);
        (traces, cleaner.join().unwrap())
    });
    settle(&mut janitor);
    traces
}

/// Lets threads run and checks what they saw.
fn play(seed: u64, actions: usize) {
    let registry = World::registry(2, Events::Silent);
    let clock = AtomicU64::new(1);
    let traces = run(seed, actions, &registry, &clock);
    roles_match_links(&registry);

    let mut histories: [Vec<Record>; KEYS.len()] = Default::default();
    let (mut waits, mut killed) = (Vec::new(), BTreeMap::new());
    for (history, own_waits, own_killed) in traces {
        histories.iter_mut().zip(history).for_each(|(all, own)| all.extend(own));
        waits.extend(own_waits);
        for (pid, called) in own_killed {
            let first = killed.entry(pid).or_insert(called);
            *first = called.min(*first);
        }
    }
    let end = clock.load(Ordering::SeqCst);
    for (key, mut history) in histories.into_iter().enumerate() {
        let mut roles = Vec::new();
        for role in history.iter().filter_map(|record| role_of(&record.step)) {
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        for (pid, role) in roles {
            let buried = killed.get(&pid).map(|called| Record { called: *called, returned: end, step: Step::Bury { pid, role } });
            history.extend(buried);
        }
        for (tag, own_key, stamp) in &waits {
            for (_, notice) in registry.platform().peek(*tag).into_iter().filter(|(pid, _)| *own_key == key && !killed.contains_key(pid)) {
                history.push(Record { called: end + 1, returned: end + 2, step: Step::Receive { stamp: *stamp, seen: Told::of(&notice) } });
            }
        }
        let seen = driver::lookup(&registry, KEYS[key]).0;
        let holder = if let Step::Lookup { seen: Ok((pid, ..)) } = seen { Some(pid) } else { None };
        assert!(holder.is_none_or(|pid| !killed.contains_key(&pid)), "seed {seed:#x}: a dead process holds a key after the clean-up");
        history.push(Record { called: end + 3, returned: end + 4, step: seen });
        let complete = |state: &KeyModel| state.told().all(|(_, pid, _)| killed.contains_key(&pid));
        assert!(is_linearizable(&KeyModel::silent(), &history, complete), "seed {seed:#x}: no order explains {history:?}");
    }
}

#[test]
fn explains_every_history_of_real_threads() {
    let (rounds, actions) = if cfg!(miri) { (2, 5) } else { (2_000, 10) };
    // Different histories each time, since the schedule is the machine's; a failure names its seed.
    let first = RandomState::new().hash_one(0);
    (0..rounds).for_each(|round| play(first.wrapping_add(round), actions));
}

fn history(steps: &[(u64, u64, Step)]) -> Vec<Record> {
    steps.iter().map(|(called, returned, step)| Record { called: *called, returned: *returned, step: step.clone() }).collect()
}

#[test]
fn accepts_overlapping_operations_in_either_order() {
    let register = Step::Register { pid: Pid(1), value: 5, seen: Ok(Generation(1)) };
    let found = Step::Lookup { seen: Ok((Pid(1), 5, Generation(1))) };
    let missed = Step::Lookup { seen: Err(Miss::NotFound) };
    for lookup in [found, missed] {
        assert!(is_linearizable(&KeyModel::silent(), &history(&[(1, 4, register.clone()), (2, 3, lookup)]), |_| true));
    }
}

#[test]
fn refuses_what_no_order_explains() {
    let register = |pid, generation| Step::Register { pid: Pid(pid), value: 5, seen: Ok(Generation(generation)) };
    let missed = Step::Lookup { seen: Err(Miss::NotFound) };
    let twice = history(&[(1, 4, register(1, 1)), (2, 3, register(2, 2))]);
    let stale = history(&[(1, 2, register(1, 1)), (3, 4, missed)]);
    let enter = Step::Enter { pid: Pid(1), seen: Ok(Entered::Lead(1)) };
    let both_lead = history(&[(1, 4, enter), (2, 3, Step::Enter { pid: Pid(2), seen: Ok(Entered::Lead(2)) })]);
    for wrong in [twice, stale, both_lead] {
        assert!(!is_linearizable(&KeyModel::silent(), &wrong, |_| true), "{wrong:?}");
    }
}
