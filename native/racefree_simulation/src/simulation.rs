//! One seed: several processes in a row on one directory, each ended in some way, each judged by what the next one finds.
//!
//! Background work, time and crashes are steps that the seed picks; everything runs on the calling thread. With the same seed and the same code
//! every byte on the disk is the same.

use crate::client::{Client, Verdict, observe};
use crate::damage;
use crate::disk::{CrashKind, CrashSide, FaultRates, Interrupt, Lie, Machine, PlannedCrash, Process};
use crate::oracle::{Oracle, StoreState, difference};
use crate::profile::Profile;
use fastrand::Rng;
use racefree_core::store::planted::{self, Planted};
use racefree_core::store::{Flusher, Keeper, OpenError, Opened, Options, Progress, RecoveryReport, Store};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub const DIR: &str = "/data/store";

/// More steps than any background work of one seed needs: beyond it, it never ends.
const BACKGROUND_STEPS_MAX: u32 = 5_000;
/// A visitor opens some ten files and reads each in parts.
const VISIT_INTERRUPTIONS_MAX: u32 = 300;

/// What is done differently than the seed says.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What the disk only pretends to do.
    pub lies: Vec<Lie>,
    /// What the store does wrong, in builds that can have it.
    pub planted: Option<Planted>,
    pub trace: Trace,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trace {
    #[default]
    No,
    Yes,
}

/// How much happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    pub disk_operations: u64,
    pub client_actions: u64,
    pub commits: u64,
    pub crashes: u64,
    pub crashes_in_recovery: u64,
    pub failures: u64,
    pub damages: u64,
    pub drains: u64,
    pub packs: u64,
}

impl std::ops::AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.disk_operations += other.disk_operations;
        self.client_actions += other.client_actions;
        self.commits += other.commits;
        self.crashes += other.crashes;
        self.crashes_in_recovery += other.crashes_in_recovery;
        self.failures += other.failures;
        self.damages += other.damages;
        self.drains += other.drains;
        self.packs += other.packs;
    }
}

/// A seed for which the store broke a promise.
#[derive(Debug, Clone)]
pub struct Violation {
    pub seed: u64,
    pub problem: String,
    pub trace: Vec<String>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "seed {}: {}\nreplay it with: bin/soak store --seed {}", self.seed, self.problem, self.seed)
    }
}

/// Runs one seed.
pub fn run(seed: u64, settings: &Settings) -> Result<Summary, Violation> {
    let machine = Machine::new(seed);
    if settings.trace == Trace::Yes {
        machine.start_trace();
    }
    machine.set_lies(settings.lies.clone());
    planted::plant(settings.planted);
    let mut simulation = Simulation::new(seed, machine.clone());
    let verdict =
        catch_unwind(AssertUnwindSafe(|| simulation.run())).unwrap_or_else(|panic| Err(format!("a panic: {}", panic_text(&*panic))));
    // An interrupt holds the client, and the client the machine.
    machine.set_interrupt(None);
    planted::plant(None);
    match verdict {
        Ok(()) => Ok(simulation.summary),
        Err(problem) => Err(Violation { seed, problem, trace: machine.take_trace() }),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}

/// How the last process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// No process was there yet, or the power went: what is on the disk is durable.
    Settled,
    /// All was flushed, and the store said so.
    Drained,
    /// The cache of the system may hold what was never synced.
    Unsettled,
}

struct Simulation {
    rng: Rng,
    /// What the others do during a visit is drawn from here.
    visits: Rng,
    machine: Machine,
    profile: Profile,
    oracle: Oracle,
    end: End,
    summary: Summary,
}

impl Simulation {
    fn new(seed: u64, machine: Machine) -> Self {
        let mut rng = Rng::with_seed(seed);
        let profile = Profile::new(&mut rng);
        let visits = Rng::with_seed(!seed);
        Self { rng, visits, machine, profile, oracle: Oracle::default(), end: End::Settled, summary: Summary::default() }
    }

    fn run(&mut self) -> Verdict {
        for _ in 0..self.profile.lifetimes {
            let (process, opened) = self.open()?;
            self.live(&process, opened)?;
            if self.rng.u8(0..3) == 0 {
                self.summary.damages += 1;
                let fork = self.machine.fork(self.rng.u64(..));
                damage::check(&fork, &self.oracle, &self.profile.options, &mut self.rng)?;
            }
        }
        self.open()?;
        self.summary.disk_operations = self.machine.operations();
        match self.machine.breaches().first() {
            Some(breach) => Err(breach.clone()),
            None => Ok(()),
        }
    }

    /// Opens the store, perhaps after crashes and errors on the way, and compares what it holds with the oracle.
    fn open(&mut self) -> Verdict<(Process, Opened<Process>)> {
        let twin = if self.end == End::Settled && self.rng.bool() { Some(self.recover_twin()?) } else { None };
        for _ in 0..self.rng.u8(0..3) {
            if let Some((process, opened)) = self.try_open()? {
                // It got through before the crash: the process goes away and the next one starts.
                self.machine.plan_crash(None);
                drop(opened);
                self.machine.kill(&process);
            }
        }
        self.machine.set_rates(FaultRates::default());
        let process = self.machine.process();
        let opened = open(&process, &self.machine, &self.profile.options)
            .map_err(|error| format!("no fault, and the store does not open: {error:?}"))?;
        let state = checked_state(&opened.store, &opened.report, Access::ReadWrite)?;
        self.machine.tell(|| format!("opened at lsn {}: {:?}", state.lsn, opened.report));
        if self.end == End::Drained {
            self.oracle.accept_whole(&state).map_err(|problem| format!("after a drain: {problem}"))?;
        }
        if let Some(twin) = twin
            && twin != state
        {
            return Err(format!("recovery that crashed on its way ends elsewhere: {}", difference(&twin, &state)));
        }
        self.oracle.recover(&state).map_err(|problem| format!("after recovery: {problem}"))?;
        Ok((process, opened))
    }

    /// What recovery makes of a copy of this disk, done twice.
    fn recover_twin(&mut self) -> Verdict<StoreState> {
        let fork = self.machine.fork(self.rng.u64(..));
        fork.set_rates(FaultRates::default());
        let mut states = Vec::new();
        for _ in 0..2 {
            let process = fork.process();
            let opened = open(&process, &fork, &self.profile.options).map_err(|error| format!("recovery of a copy: {error:?}"))?;
            states.push(checked_state(&opened.store, &opened.report, Access::ReadWrite)?);
            if self.rng.bool() {
                fork.lose_power();
            }
        }
        match (states.pop(), states.pop()) {
            (Some(second), Some(first)) if first == second => Ok(first),
            (Some(second), Some(first)) => Err(format!("recovered again, the store differs: {}", difference(&first, &second))),
            _ => Err("no recovery".to_owned()),
        }
    }

    /// One opening with faults and a crash somewhere near. `None` if it did not survive.
    fn try_open(&mut self) -> Verdict<Option<(Process, Opened<Process>)>> {
        self.plan_crash(60);
        self.machine.set_rates(self.profile.rates);
        let process = self.machine.process();
        let outcome = open(&process, &self.machine, &self.profile.options);
        self.machine.set_rates(FaultRates::default());
        let crash = self.machine.take_crash();
        if let Some(kind) = crash {
            self.summary.crashes_in_recovery += 1;
            self.machine.tell(|| format!("crash in recovery: {kind:?}"));
        }
        match outcome {
            Ok(opened) if crash.is_none() => return Ok(Some((process, opened))),
            Err(OpenError::Io(_)) if crash.is_some() || self.profile.rates != FaultRates::default() => {}
            Ok(_) => return Err("the store opened although its process is dead".to_owned()),
            Err(error) => return Err(format!("opening with faults: {error:?}")),
        }
        self.machine.plan_crash(None);
        self.machine.kill(&process);
        if crash == Some(CrashKind::Process) || crash.is_none() {
            self.end = if self.end == End::Drained { End::Drained } else { End::Unsettled };
        }
        Ok(None)
    }

    fn plan_crash(&mut self, operations_max: u64) {
        let operation = self.machine.operations() + 1 + self.rng.u64(0..operations_max);
        let side = [CrashSide::Before, CrashSide::Within, CrashSide::After][self.rng.usize(0..3)];
        let kind = if self.rng.bool() { CrashKind::Process } else { CrashKind::Power };
        self.machine.plan_crash(Some(PlannedCrash { operation, side, kind }));
    }

    /// The life of one process, up to its end.
    fn live(&mut self, process: &Process, opened: Opened<Process>) -> Verdict {
        let client =
            Client::new(self.machine.clone(), opened.store, std::mem::take(&mut self.oracle), self.profile.clone(), self.rng.fork());
        let client = Arc::new(Mutex::new(client));
        let workers = Arc::new(Mutex::new(Workers { flusher: opened.flusher, keeper: opened.keeper }));
        let life = Life { client, workers, problem: Arc::default() };
        self.machine.set_rates(self.profile.rates);
        if self.rng.u8(0..3) > 0 {
            self.plan_crash(1 + u64::from(self.profile.steps));
        }
        life.interrupt(&self.machine, self.profile.interrupt_rate, self.rng.fork());
        let (actions, flushes, keeps) = (self.rng.u8(1..20), self.rng.u8(0..8), self.rng.u8(0..8));
        let steps = self.rng.u16(1..=self.profile.steps);
        let mut steps_left = steps;
        while steps_left > 0 && !self.machine.has_crashed() {
            let drawn = self.rng.u8(0..actions + flushes + keeps);
            if drawn < actions {
                self.summary.client_actions += 1;
                life.lock().act()?;
            } else if drawn < actions + flushes {
                life.flush(&self.machine)?;
            } else {
                life.keep()?;
            }
            if self.rng.u8(0..50) == 0 {
                self.visit(&life)?;
            }
            steps_left -= 1;
            if life.lock().store().failure().is_some() {
                // It takes a few more refusals to see that the error sticks.
                steps_left = steps_left.min(5);
            }
        }
        let verdict = self.end_life(&life);
        self.machine.set_interrupt(None);
        self.machine.plan_crash(None);
        verdict?;
        self.bury(process, life)
    }

    /// Brings a life to its end in one of several ways.
    fn end_life(&mut self, life: &Life) -> Verdict {
        self.end = End::Unsettled;
        let is_over = self.machine.has_crashed() || life.lock().store().failure().is_some();
        if is_over {
            self.summary.failures += u64::from(life.lock().store().failure().is_some());
            return Ok(());
        }
        match self.rng.u8(0..5) {
            0 => {
                life.lock().begin_drain();
                if life.run_until(&self.machine, Progress::Closed)? && !self.machine.has_crashed() {
                    self.summary.drains += 1;
                    self.end = End::Drained;
                }
            }
            1 | 2 => {
                life.run_until(&self.machine, Progress::Idle)?;
                if life.is_quiet(&self.machine) {
                    life.lock().check_quiet()?;
                    self.check_whole(life)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// With all work done: what the store shows is everything, and every byte of it passes.
    fn check_whole(&mut self, life: &Life) -> Verdict {
        self.machine.set_rates(FaultRates::default());
        self.machine.plan_crash(None);
        let mut client = life.lock();
        client.drop_readers();
        let newest = client.oracle().newest();
        let removing: Vec<Box<[u8]>> =
            newest.logs.keys().filter(|key| newest.live(key).is_none()).map(|key| key.as_slice().into()).collect();
        let state = observe(client.store(), &removing).map_err(|(log, error)| format!("reading {log}: {error:?}"))?;
        client.oracle().accept_whole(&state)?;
        let verified = client.store().verify().map_err(|failure| format!("verification: {failure}"))?;
        if let Some(problem) = verified.problems.first() {
            return Err(format!("a sound store does not verify: {problem:?}"));
        }
        let info = client.store().info();
        if info.logs != state.logs.len() {
            return Err(format!("{} logs are counted, and {} are there", info.logs, state.logs.len()));
        }
        if info.pinned_bytes > 0 {
            return Err(format!("{} bytes are held by readers, and there are none", info.pinned_bytes));
        }
        self.summary.packs += info.pack_files;
        Ok(())
    }

    /// Ends the process, and perhaps the machine, and keeps what was announced.
    fn bury(&mut self, process: &Process, life: Life) -> Verdict {
        let crash = self.machine.take_crash();
        self.summary.crashes += u64::from(crash.is_some());
        let Life { client, workers, problem } = life;
        let client = Arc::into_inner(client).ok_or("somebody holds the client")?.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (oracle, verdict) = client.end();
        self.summary.commits += oracle.commits() as u64;
        self.oracle = oracle;
        drop(workers);
        if let Some(problem) = lock(&problem).take() {
            return Err(format!("in the middle of a step: {problem}"));
        }
        verdict?;
        let loses_power = match crash {
            Some(kind) => kind == CrashKind::Power,
            None => self.rng.bool(),
        };
        if crash.is_none() {
            if loses_power {
                self.machine.lose_power();
            } else {
                self.machine.kill(process);
            }
        }
        if loses_power && self.end == End::Unsettled {
            self.end = End::Settled;
        }
        self.machine.tell(|| format!("end of process: {crash:?}, power lost: {loses_power}"));
        Ok(())
    }

    /// Somebody else looks at the directory while it is in use: the others rest, or work between any two accesses of the visitor.
    fn visit(&mut self, life: &Life) -> Verdict {
        let planned = self.machine.take_plan();
        self.machine.set_rates(FaultRates::default());
        let before = self.machine.image();
        let visitor = self.machine.process();
        let second = open(&visitor, &self.machine, &self.profile.options);
        if !self.machine.has_crashed() {
            match second {
                Err(OpenError::Locked) => {}
                outcome => return Err(format!("a second store on the directory: {:?}", outcome.map(|opened| opened.report))),
            }
            if self.visits.bool() {
                let former = self.machine.set_interrupt(Some(life.at_work(&self.machine, self.visits.fork())));
                let verdict = self.look_around(&visitor, life);
                self.machine.set_interrupt(former);
                verdict?;
                life.check_problem()?;
            } else {
                self.look_around(&visitor, life)?;
                if self.machine.image() != before {
                    return Err("a visitor changed the directory".to_owned());
                }
            }
        }
        self.machine.kill(&visitor);
        self.machine.set_rates(self.profile.rates);
        self.machine.plan_crash(planned);
        Ok(())
    }

    /// What a visitor sees is a state of the store between the beginning of its visit and the end.
    fn look_around(&self, visitor: &Process, life: &Life) -> Verdict {
        let announced = life.lock().oracle().floor();
        let outcome = Store::open_read_only(visitor.clone(), Path::new(DIR), self.profile.options.clone());
        let (store, report) = outcome.map_err(|error| format!("opening read-only: {error:?}"))?;
        let state = checked_state(&store, &report, Access::ReadOnly)?;
        let client = life.lock();
        client.oracle().accept_from(&state, announced).map_err(|problem| format!("read-only: {problem}"))?;
        let (seen, durable) = (store.durable_lsn(), client.store().durable_lsn());
        if seen > durable { Err(format!("read-only, lsn {seen} is called durable, and {durable} is")) } else { Ok(()) }
    }
}

/// One process at work.
#[derive(Clone)]
struct Life {
    client: Arc<Mutex<Client>>,
    workers: Arc<Mutex<Workers>>,
    /// Found while a background step was under way.
    problem: Arc<Mutex<Option<String>>>,
}

/// What works in the background of a store.
struct Workers {
    flusher: Flusher<Process>,
    keeper: Keeper<Process>,
}

impl Life {
    fn lock(&self) -> MutexGuard<'_, Client> {
        lock(&self.client)
    }

    /// Lets the client act between the disk operations of background steps.
    fn interrupt(&self, machine: &Machine, rate: u16, rng: Rng) {
        if rate == 0 {
            return;
        }
        let client = Arc::downgrade(&self.client);
        let problem = self.problem.clone();
        let rng = Mutex::new(rng);
        let observer = machine.clone();
        machine.set_interrupt(Some(Arc::new(move || {
            let strikes = lock(&rng).u16(0..1000) < rate;
            if !strikes || observer.has_crashed() {
                return;
            }
            // The client itself may be at the disk: it is not interrupted by itself.
            let Some(client) = client.upgrade() else { return };
            let Ok(mut client) = client.try_lock() else { return };
            observer.tell(|| "interrupt".to_owned());
            if let Err(found) = client.act() {
                lock(&problem).get_or_insert(found);
            }
        })));
    }

    /// Lets all of it work between the disk operations of somebody else, for a while: who never rests may keep a visitor out for ever.
    fn at_work(&self, machine: &Machine, rng: Rng) -> Interrupt {
        let (life, observer, rng, left) = (self.clone(), machine.clone(), Mutex::new(rng), AtomicU32::new(VISIT_INTERRUPTIONS_MAX));
        Arc::new(move || {
            if left.load(Ordering::Relaxed) == 0 {
                return;
            }
            left.fetch_sub(1, Ordering::Relaxed);
            let drawn = lock(&rng).u8(0..12);
            // Its own accesses come here as well.
            let found = match drawn {
                0 | 1 if life.client.try_lock().is_ok() => life.lock().act(),
                2 if life.workers.try_lock().is_ok() && life.client.try_lock().is_ok() => life.flush(&observer).map(drop),
                3 if life.workers.try_lock().is_ok() && life.client.try_lock().is_ok() => life.keep().map(drop),
                _ => Ok(()),
            };
            if let Err(found) = found {
                lock(&life.problem).get_or_insert(found);
            }
        })
    }

    fn flush(&self, machine: &Machine) -> Verdict<Progress> {
        self.lock().begin_batch()?;
        let progress = lock(&self.workers).flusher.step();
        machine.tell(|| format!("flush: {progress:?}"));
        if let Progress::DueIn(duration) = progress {
            machine.advance(duration);
        }
        self.after_step(machine, progress)
    }

    fn keep(&self) -> Verdict<Progress> {
        let machine = self.lock().machine().clone();
        let progress = lock(&self.workers).keeper.step();
        machine.tell(|| format!("keep: {progress:?}"));
        self.after_step(&machine, progress)
    }

    fn check_problem(&self) -> Verdict {
        match lock(&self.problem).take() {
            Some(problem) => Err(format!("in the middle of a step: {problem}")),
            None => Ok(()),
        }
    }

    fn after_step(&self, machine: &Machine, progress: Progress) -> Verdict<Progress> {
        self.check_problem()?;
        let mut client = self.lock();
        client.listen()?;
        if progress == Progress::Failed && client.store().failure().is_none() && !machine.has_crashed() {
            return Err("a step failed, and the store has no failure".to_owned());
        }
        Ok(progress)
    }

    /// Steps both until they have nothing more to do; whether the flusher got to `goal`.
    fn run_until(&self, machine: &Machine, goal: Progress) -> Verdict<bool> {
        for _ in 0..BACKGROUND_STEPS_MAX {
            // The client may act in the middle of either, but not of a flush that is idle: that touches no disk.
            let kept = self.keep()?;
            let flushed = self.flush(machine)?;
            let is_done = |progress| matches!(progress, Progress::Idle | Progress::Closed | Progress::Failed);
            if machine.has_crashed() || (is_done(flushed) && is_done(kept)) {
                return Ok(flushed == goal);
            }
        }
        Err("background work does not end".to_owned())
    }

    fn is_quiet(&self, machine: &Machine) -> bool {
        !machine.has_crashed() && self.lock().store().failure().is_none()
    }
}

/// Opens the store of that process.
pub fn open(process: &Process, machine: &Machine, options: &Options) -> Result<Opened<Process>, OpenError> {
    Store::open(process.clone(), Path::new(DIR), options.clone(), Box::new(machine.clone()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    ReadWrite,
    ReadOnly,
}

/// All that a store shows, which must agree with what it reported.
fn checked_state(store: &Store<Process>, report: &RecoveryReport, access: Access) -> Verdict<StoreState> {
    let state = observe(store, &report.pending_removals).map_err(|(log, error)| format!("reading {log} after recovery: {error:?}"))?;
    // Who may only read cannot make durable what it found in the cache.
    let is_durable = store.durable_lsn() == state.lsn || (access == Access::ReadOnly && store.durable_lsn() < state.lsn);
    if report.lsn != state.lsn || !is_durable {
        return Err(format!("recovered to {}, durable {}, visible {}", report.lsn, store.durable_lsn(), state.lsn));
    }
    Ok(state)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
