//! The registries of this machine: a slot per name, in it the incarnation that serves now.
//!
//! A slot is made when a name is first used and stays for good, so a call finds it without a lock. What it holds changes: an owner process that crashed
//! leaves its incarnation to the next owner, one that stopped or whose incarnation was poisoned leaves nothing.
//! The slots are a table of this library and not terms in `:persistent_term`: finding one costs a fraction of that (2 against 22 ns), and nothing in the
//! machine's own tables has to be put, erased or collected.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwapOption;
use racefree_core::registry::{Ended, Events, Inbox, Janitor, Options, Owner, Registry};
use rustler::sys::ErlNifTerm;
use rustler::{Atom, Encoder, Env, LocalPid, Monitor, OwnedEnv, Resource, ResourceArc};

use crate::atoms;
use crate::beam::{Audience, Beam};
use crate::words::{self, Pid};

/// By the number of the name's atom.
static SLOTS: [Chain; SLOT_CHAINS] = [const { Chain::new() }; SLOT_CHAINS];
const SLOT_CHAINS: usize = 256;
static INCARNATIONS: AtomicU64 = AtomicU64::new(1);

struct Slot {
    name: ErlNifTerm,
    current: ArcSwapOption<Incarnation>,
    /// Taken by an owner that opens, never by calls.
    opening: Mutex<()>,
    next: Chain,
}

/// Grows at its end and never shrinks, so that readers need nothing but the order in which `OnceLock` publishes.
type Chain = OnceLock<Box<Slot>>;

/// One life of a registry's entries, over any number of crashes of its owner process.
pub(crate) struct Incarnation {
    pub(crate) registry: Arc<Registry<Beam>>,
    pub(crate) alarm: Arc<Alarm>,
    owner: Mutex<Option<ResourceArc<OwnerWatch>>>,
    janitor: Mutex<Option<JoinHandle<()>>>,
}

pub(crate) enum Opened {
    Fresh,
    Adopted,
    /// The operating system gave no thread.
    NoThread,
}

pub(crate) struct Settings {
    pub(crate) shards: usize,
    pub(crate) audience: Audience,
}

/// Runs `call` with the incarnation that serves under `name` now, if there is one.
#[inline]
pub(crate) fn with_current<R>(name: ErlNifTerm, call: impl FnOnce(&Incarnation) -> R) -> Option<R> {
    let current = find(name)?.current.load();
    current.as_ref().map(|incarnation| call(incarnation))
}

/// Makes the calling process the owner of the registry `name`: of the entries that a crashed owner left, else of none.
pub(crate) fn open(env: Env<'_>, name: Atom, settings: Settings) -> Opened {
    let slot = slot(name.as_c_arg());
    let _opening = slot.opening.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(left) = slot.current.load_full() {
        if let Ok(owner) = left.registry.adopt() {
            left.serve(env, owner, settings.audience);
            return Opened::Adopted;
        }
        // Order: the former janitor has told all waiters and silenced all subscribers before calls find another incarnation. So who holds an id of
        // the former one, which the other does not know, has got what it will ever get.
        left.await_end();
    }
    let Some((incarnation, owner)) = Incarnation::start(slot, name, settings.shards) else { return Opened::NoThread };
    incarnation.serve(env, owner, settings.audience);
    slot.current.store(Some(incarnation));
    Opened::Fresh
}

/// Ends the incarnation that serves under `name`. It stays in its slot until its janitor is done, for those who wait or are subscribed.
pub(crate) fn close(name: Atom) {
    if let Some(ended) = find(name.as_c_arg()).and_then(|slot| slot.current.load_full()) {
        ended.registry.close();
    }
}

fn find(name: ErlNifTerm) -> Option<&'static Slot> {
    let mut chain = chain(name);
    loop {
        let slot = chain.get()?;
        if slot.name == name {
            return Some(slot);
        }
        chain = &slot.next;
    }
}

/// The slot of `name`, made if there is none.
fn slot(name: ErlNifTerm) -> &'static Slot {
    let mut chain = chain(name);
    loop {
        let slot = chain.get_or_init(|| Box::new(Slot::new(name)));
        if slot.name == name {
            return slot;
        }
        chain = &slot.next;
    }
}

fn chain(name: ErlNifTerm) -> &'static Chain {
    // The lowest six bits are those of every atom.
    SLOTS.get((words::of_term(name) >> 6) % SLOT_CHAINS).unwrap_or(&SLOTS[0])
}

impl Slot {
    fn new(name: ErlNifTerm) -> Self {
        Self { name, current: ArcSwapOption::empty(), opening: Mutex::default(), next: Chain::new() }
    }

    /// Drops the incarnation of this alarm, unless another has taken its place.
    fn vacate(&self, alarm: &Arc<Alarm>) {
        let current = self.current.load();
        if current.as_ref().is_some_and(|incarnation| Arc::ptr_eq(&incarnation.alarm, alarm)) {
            self.current.compare_and_swap(&current, None);
        }
    }
}

impl Incarnation {
    fn start(slot: &'static Slot, name: Atom, shards: usize) -> Option<(Arc<Self>, Owner)> {
        let options = Options { shards, incarnation: INCARNATIONS.fetch_add(1, Ordering::Relaxed), events: Events::Silent };
        let inbox = Inbox::new();
        let alarm = Arc::new(Alarm::default());
        let beam = Beam::new(name, &inbox, &alarm, shards.next_power_of_two());
        let registry = Arc::new(Registry::new(beam, inbox, options));
        let _ = alarm.registry.set(Arc::downgrade(&registry));
        let janitor = Janitor::new(Arc::clone(&registry));
        let own_alarm = Arc::clone(&alarm);
        let run = move || {
            if matches!(janitor.run(), Ended::Poisoned) {
                own_alarm.raise(None, atoms::janitor());
            }
            slot.vacate(&own_alarm);
        };
        let thread = thread::Builder::new().name("racefree_janitor".into()).spawn(run).ok()?;
        let owner = registry.owner();
        Some((Arc::new(Self { registry, alarm, owner: Mutex::default(), janitor: Mutex::new(Some(thread)) }), owner))
    }

    fn await_end(&self) {
        if let Some(thread) = self.janitor.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic in the thread was reported by the thread.
            let _ = thread.join();
        }
    }

    fn serve(&self, env: Env<'_>, owner: Owner, audience: Audience) {
        let events = if audience.listeners.is_empty() && audience.reporter.is_none() { Events::Silent } else { Events::Reported };
        self.registry.platform().set_audience(audience);
        self.registry.set_events(events);
        let process = env.pid();
        self.alarm.set_owner(process);
        let watch = ResourceArc::new(OwnerWatch { registry: Arc::downgrade(&self.registry), owner, alarm: Arc::clone(&self.alarm) });
        if env.monitor(&watch, &process).is_none() {
            // Killed during this call, which a dirty scheduler finishes all the same.
            self.registry.suspend(owner);
        }
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
    }
}

/// Sees the owner process die without closing.
pub(crate) struct OwnerWatch {
    registry: Weak<Registry<Beam>>,
    owner: Owner,
    alarm: Arc<Alarm>,
}

#[rustler::resource_impl]
impl Resource for OwnerWatch {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        let suspend = || self.registry.upgrade().map(|registry| registry.suspend(self.owner));
        if catch_unwind(AssertUnwindSafe(suspend)).is_err() {
            self.alarm.raise(Some(env), atoms::down());
        }
    }
}

/// How a caught panic reaches the owner process, which stops and is started anew with no entries.
#[derive(Default)]
pub(crate) struct Alarm {
    registry: OnceLock<Weak<Registry<Beam>>>,
    owner: Mutex<Option<Pid>>,
}

impl Alarm {
    fn set_owner(&self, pid: LocalPid) {
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid.into());
    }

    /// Ends the incarnation and says where the panic was. `env` is that of the call; none on a thread of our own.
    pub(crate) fn raise(&self, env: Option<Env<'_>>, place: Atom) {
        // Closing is for a panic outside of the core's sections; one inside has poisoned the incarnation already, and closing changes nothing.
        let close = || self.registry.get().and_then(Weak::upgrade).map(|registry| registry.close());
        let _ = catch_unwind(AssertUnwindSafe(close));
        let Some(owner) = *self.owner.lock().unwrap_or_else(PoisonError::into_inner) else { return };
        let message = (atoms::module(), atoms::poisoned(), place);
        // An owner that is dead has a successor, and that one finds the incarnation closed.
        let _ = match env {
            Some(env) => env.send(&owner.local(), message),
            None => OwnedEnv::new().send_and_clear(&owner.local(), |env| message.encode(env)),
        };
    }
}
