//! The BEAM as the registry's [`Platform`]: monitors through resources, messages to waiters, events to listeners.
//!
//! Left out on purpose: messages of broadcasts. Those are sent by the calling process itself, see `broadcast.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use racefree_core::registry::{Event, Inbox, Notice, Platform};
use rustler::{Atom, Encoder, Env, LocalPid, Monitor, OwnedEnv, Resource, ResourceArc, Term};

use crate::atoms;
use crate::ids;
use crate::incarnation::Alarm;
use crate::kept_terms::{KeptReference, KeptValue, ReferencePool};
use crate::term_key;
use crate::words::{self, Pid};

pub(crate) struct Beam {
    registry: Atom,
    watches: Box<[ResourceArc<Watch>]>,
    audience: Mutex<Audience>,
    /// Where the janitor builds its messages.
    letter: Mutex<OwnedEnv>,
    pub(crate) references: ReferencePool,
}

/// Who hears of events.
#[derive(Default, Clone)]
pub(crate) struct Audience {
    /// Names of processes.
    pub(crate) listeners: Vec<Atom>,
    /// The registry's owner process, if it passes events on.
    pub(crate) reporter: Option<Pid>,
}

/// One shard of the monitors: the machine keeps those of a resource in one tree under one lock.
pub(crate) struct Watch {
    inbox: Arc<Inbox<Beam>>,
    alarm: Arc<Alarm>,
}

#[rustler::resource_impl]
impl Resource for Watch {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, env: Env<'a>, pid: LocalPid, monitor: Monitor) {
        // rustler drops a panic here without a word, and a death that got lost would keep a key for ever.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            crate::fault::point(crate::fault::Place::Down);
            self.inbox.down(pid.into(), Watched(monitor));
        }));
        if outcome.is_err() {
            self.alarm.raise(Some(env), atoms::down());
        }
    }
}

/// A monitor that compares as the machine compares it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Watched(Monitor);

// The machine's comparison of monitors is that of their bytes.
impl Eq for Watched {}

impl Beam {
    pub(crate) fn new(registry: Atom, inbox: &Arc<Inbox<Self>>, alarm: &Arc<Alarm>, shards: usize) -> Self {
        let watch = |_| ResourceArc::new(Watch { inbox: Arc::clone(inbox), alarm: Arc::clone(alarm) });
        Self {
            registry,
            watches: (0..shards).map(watch).collect(),
            audience: Mutex::default(),
            letter: Mutex::default(),
            references: ReferencePool::default(),
        }
    }

    pub(crate) fn set_audience(&self, audience: Audience) {
        *self.audience.lock().unwrap_or_else(PoisonError::into_inner) = audience;
    }

    fn post<'a>(&self, to: LocalPid, message: impl FnOnce(Env<'a>) -> Term<'a>) {
        let mut letter = self.letter.lock().unwrap_or_else(PoisonError::into_inner);
        // A recipient that is dead needs no message.
        let _ = letter.send_and_clear(&to, message);
    }
}

impl Platform for Beam {
    type Pid = Pid;
    type Value = KeptValue;
    type Tag = KeptReference;
    type Monitor = Watched;
    type Caller<'a> = Env<'a>;

    fn monitor(&self, caller: Env<'_>, shard: usize, pid: Pid) -> Option<Watched> {
        caller.monitor(self.watches.get(shard)?, &pid.local()).map(Watched)
    }

    fn demonitor(&self, shard: usize, monitor: Watched) {
        if let Some(watch) = self.watches.get(shard) {
            watch.demonitor(None, &monitor.0);
        }
    }

    fn send(&self, to: Pid, tag: &KeptReference, notice: Notice<Pid, KeptValue>) {
        self.post(to.local(), |env| {
            let outcome = match notice {
                Notice::Started { pid, value: _, generation: _ } => (atoms::started(), pid.local()).encode(env),
                Notice::Failed(reason) => (atoms::failed(), reason.to_term_at_once(env)).encode(env),
                Notice::Lead(lead) => (atoms::lead(), ids::lead(env, lead)).encode(env),
                Notice::Removed(reason) => (atoms::removed(), reason.to_term_at_once(env)).encode(env),
                Notice::Closed => atoms::closed().to_term(env),
            };
            (atoms::module(), tag.to_term(env), outcome).encode(env)
        });
    }

    fn event(&self, event: Event<Pid, KeptValue>) {
        crate::fault::point(crate::fault::Place::Janitor);
        let audience = self.audience.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in audience.listeners {
            if let Some(pid) = words::named(listener) {
                self.tell_listener(pid, &event);
            }
        }
        if let Some(reporter) = audience.reporter {
            self.post(reporter.local(), |env| (atoms::module(), atoms::event(), report(env, &event)).encode(env));
        }
    }
}

impl Beam {
    fn tell_listener(&self, to: LocalPid, event: &Event<Pid, KeptValue>) {
        let registry = self.registry;
        match event {
            Event::Registered { key, pid, value } => {
                self.post(to, |env| (atoms::register(), registry, key_term(env, key), pid.local(), value.to_term_at_once(env)).encode(env))
            }
            Event::Unregistered { key, pid } | Event::Down { key, pid } => {
                self.post(to, |env| (atoms::unregister(), registry, key_term(env, key), pid.local()).encode(env));
            }
            Event::RemovalStarted { .. } | Event::RemovalFinished { .. } | Event::RemoverDown { .. } | Event::LeaderDown { .. } => {}
            Event::Poisoned => {}
        }
    }
}

/// `{name, key, process, value or former owner}`.
fn report<'a>(env: Env<'a>, event: &Event<Pid, KeptValue>) -> Term<'a> {
    let nil = atoms::nil().to_term(env);
    let tuple = |name: Atom, key: &[u8], pid: Term<'a>, more: Term<'a>| (name, key_term(env, key), pid, more).encode(env);
    match event {
        Event::Registered { key, pid, value } => tuple(atoms::registered(), key, pid.local().encode(env), value.to_term_at_once(env)),
        Event::Unregistered { key, pid } => tuple(atoms::unregistered(), key, pid.local().encode(env), nil),
        Event::Down { key, pid } => tuple(atoms::down(), key, pid.local().encode(env), nil),
        Event::RemovalStarted { key, remover, owner } => {
            let owner = owner.map_or(nil, |owner| owner.local().encode(env));
            tuple(atoms::removal_started(), key, remover.local().encode(env), owner)
        }
        Event::RemovalFinished { key } => tuple(atoms::removal_finished(), key, nil, nil),
        Event::RemoverDown { key, remover } => tuple(atoms::remover_down(), key, remover.local().encode(env), nil),
        Event::LeaderDown { key, leader } => tuple(atoms::leader_down(), key, leader.local().encode(env), nil),
        // The owner process learns of it by the alarm, and reports it as it stops.
        Event::Poisoned => nil,
    }
}

/// The term of a key that the core gives back.
#[expect(unsafe_code, reason = "bytes do not say where they come from")]
pub(crate) fn key_term<'a>(env: Env<'a>, key: &[u8]) -> Term<'a> {
    // SAFETY: the core gives back the bytes that it was given, and it is given those of `term_key::encode` alone.
    unsafe { term_key::decode(env, key) }
}
