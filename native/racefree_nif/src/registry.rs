//! The calls of `Racefree.Registry`: decode, ask the core, encode.
//!
//! A call that takes terms exists twice, for normal and for dirty schedulers. On a normal one it answers `:oversized` to a key, value or message whose handling could
//! take a millisecond, having done nothing, and Elixir calls the other.
//! Left out on purpose: whether a process lives. The machine's own answer that respects signal order is `Process.alive?/1`, in Elixir.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use racefree_core::registry::{
    BeginRemoveError, BroadcastError, Cancelled, Enter, EnterError, Live, LookupError, Progress, PublishError, PutValueError,
    RegisterError, Registry, SelectCursor, SubscribeError, Unavailable,
};
use rustler::{Atom, Encoder, Env, LocalPid, Resource, ResourceArc, Term};

use crate::atoms;
use crate::beam::{Audience, Beam, key_term};
use crate::broadcast;
use crate::fault;
use crate::ids;
use crate::incarnation::{self, Opened, Settings};
use crate::kept_terms::KeptValue;
use crate::term_key::{self, Effort, KeyBytes, TooLarge};
use crate::words::Pid;

/// What one call of a listing looks at.
const VISITS_MAX: usize = 512;

type Answer<'a> = Result<Term<'a>, TooLarge>;

#[derive(Clone, Copy)]
struct Call<'a, 'r> {
    env: Env<'a>,
    registry: &'r Registry<Beam>,
    effort: Effort,
}

impl<'a> Call<'a, '_> {
    fn key(&self, key: Term<'a>) -> Result<KeyBytes, TooLarge> {
        fault::arm_by(key);
        term_key::encode(key, self.effort)
    }

    fn caller(&self) -> Pid {
        self.env.pid().into()
    }

    fn kept(&self, term: Term<'a>) -> Result<KeptValue, TooLarge> {
        KeptValue::new(term, self.effort)
    }

    fn term(&self, kept: &KeptValue) -> Answer<'a> {
        kept.to_term(self.env, self.effort)
    }

    fn ok(&self) -> Answer<'a> {
        Ok(atoms::ok().to_term(self.env))
    }

    fn atom(&self, atom: Atom) -> Answer<'a> {
        Ok(atom.to_term(self.env))
    }

    fn tuple(&self, tuple: impl Encoder) -> Answer<'a> {
        Ok(tuple.encode(self.env))
    }

    fn error(&self, reason: impl Encoder) -> Answer<'a> {
        Ok((atoms::error(), reason).encode(self.env))
    }

    fn down(&self) -> Answer<'a> {
        self.error(atoms::registry_down())
    }

    fn removed(&self, reason: &KeptValue) -> Answer<'a> {
        let reason = self.term(reason)?;
        self.error((atoms::removed(), reason))
    }
}

/// Runs `body` on the incarnation that serves under `name`; a panic ends that incarnation and is reported to its owner.
fn answer<'a>(env: Env<'a>, name: Term<'a>, effort: Effort, body: impl FnOnce(Call<'a, '_>) -> Answer<'a>) -> Term<'a> {
    let down = || (atoms::error(), atoms::registry_down()).encode(env);
    incarnation::with_current(name.as_c_arg(), |current| {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            fault::point(fault::Place::Call);
            body(Call { env, registry: &current.registry, effort })
        }));
        match (outcome, effort) {
            (Ok(Ok(term)), _) => term,
            (Ok(Err(TooLarge)), Effort::Normal) => atoms::oversized().to_term(env),
            (Ok(Err(TooLarge)), Effort::Dirty) => (atoms::error(), atoms::key_too_large()).encode(env),
            (Err(_), _) => {
                current.alarm.raise(Some(env), atoms::call());
                down()
            }
        }
    })
    .unwrap_or_else(down)
}

macro_rules! calls_of_any_size {
    ($($normal:ident, $dirty:ident = $body:ident($($argument:ident),*);)*) => {$(
        #[rustler::nif]
        fn $normal<'a>(env: Env<'a>, name: Term<'a>, $($argument: Term<'a>),*) -> Term<'a> {
            answer(env, name, Effort::Normal, |call| $body(call, $($argument),*))
        }

        #[rustler::nif(schedule = "DirtyCpu")]
        fn $dirty<'a>(env: Env<'a>, name: Term<'a>, $($argument: Term<'a>),*) -> Term<'a> {
            answer(env, name, Effort::Dirty, |call| $body(call, $($argument),*))
        }
    )*};
}

calls_of_any_size! {
    registry_lookup, registry_lookup_dirty = lookup(key);
    registry_reach, registry_reach_dirty = reach(key);
    registry_locate, registry_locate_dirty = locate(key);
    registry_register, registry_register_dirty = register(key, value);
    registry_unregister, registry_unregister_dirty = unregister(key);
    registry_put_value, registry_put_value_dirty = put_value(key, value);
    registry_evict, registry_evict_dirty = evict(key, generation);
    registry_subscribe, registry_subscribe_dirty = subscribe(key, generation, reference);
    registry_broadcast, registry_broadcast_dirty = broadcast(key, message, cursor);
    registry_enter, registry_enter_dirty = enter(key, reference);
    registry_publish, registry_publish_dirty = publish(key, lead, pid, value);
    registry_abandon, registry_abandon_dirty = abandon(lead, reason);
    registry_begin_remove, registry_begin_remove_dirty = begin_remove(key, reason);
}

macro_rules! small_calls {
    ($($name:ident = $body:ident($($argument:ident),*);)*) => {$(
        #[rustler::nif]
        fn $name<'a>(env: Env<'a>, name: Term<'a>, $($argument: Term<'a>),*) -> Term<'a> {
            answer(env, name, Effort::Normal, |call| $body(call, $($argument),*))
        }
    )*};
}

small_calls! {
    registry_unsubscribe = unsubscribe(subscription);
    registry_resign = resign(lead);
    registry_cancel_wait = cancel_wait(wait);
    registry_finish_remove = finish_remove(removal);
    registry_count = count();
}

macro_rules! dirty_calls {
    ($($name:ident = $body:ident($($argument:ident),*);)*) => {$(
        #[rustler::nif(schedule = "DirtyCpu")]
        fn $name<'a>(env: Env<'a>, name: Term<'a>, $($argument: Term<'a>),*) -> Term<'a> {
            answer(env, name, Effort::Dirty, |call| $body(call, $($argument),*))
        }
    )*};
}

// A listing copies what it finds, whatever its size.
dirty_calls! {
    registry_keys = keys(pid, cursor);
    registry_info = info();
    registry_select = select(listing);
    registry_removals = removals(listing);
}

/// `{:ok, :fresh | :adopted}`, or that the operating system gives no thread. Waits for the thread of a former incarnation to end.
#[rustler::nif(schedule = "DirtyIo")]
fn registry_open<'a>(env: Env<'a>, name: Atom, shards: usize, listeners: Vec<Atom>, report: bool) -> Term<'a> {
    let reporter = report.then(|| env.pid().into());
    let settings = Settings { shards, audience: Audience { listeners, reporter } };
    match catch_unwind(AssertUnwindSafe(|| incarnation::open(env, name, settings))) {
        Ok(Opened::Fresh) => (atoms::ok(), atoms::fresh()).encode(env),
        Ok(Opened::Adopted) => (atoms::ok(), atoms::adopted()).encode(env),
        Ok(Opened::NoThread) => (atoms::error(), atoms::no_thread()).encode(env),
        Err(_) => (atoms::error(), atoms::poisoned()).encode(env),
    }
}

#[rustler::nif]
fn registry_close(name: Atom) -> Atom {
    match catch_unwind(AssertUnwindSafe(|| incarnation::close(name))) {
        Ok(()) => atoms::ok(),
        Err(_) => atoms::poisoned(),
    }
}

fn lookup<'a>(call: Call<'a, '_>, key: Term<'a>) -> Answer<'a> {
    match call.registry.lookup(&call.key(key)?) {
        Ok(Live { pid, value, generation: _ }) => call.tuple((atoms::ok(), pid.local(), call.term(&value)?)),
        Err(refused) => lookup_refused(call, refused),
    }
}

/// For who is about to monitor and ask: so the `:noproc` of its monitor, which says also of one that ended with that reason, need not mean that nobody was there.
fn reach<'a>(call: Call<'a, '_>, key: Term<'a>) -> Answer<'a> {
    match call.registry.lookup(&call.key(key)?) {
        Ok(live) if is_gone(call, &live) => call.error(atoms::not_found()),
        Ok(live) => call.tuple((atoms::ok(), live.pid.local())),
        Err(refused) => lookup_refused(call, refused),
    }
}

fn locate<'a>(call: Call<'a, '_>, key: Term<'a>) -> Answer<'a> {
    match call.registry.lookup(&call.key(key)?) {
        Ok(live) if is_gone(call, &live) => call.error(atoms::not_found()),
        Ok(live) => found(call, atoms::ok(), &live),
        Err(refused) => lookup_refused(call, refused),
    }
}

/// True is the truth: the process is ending or has ended. False may be old, since the machine does not look at signals under way.
fn is_gone(call: Call<'_, '_>, live: &Live<Pid, KeptValue>) -> bool {
    !live.pid.local().is_alive(call.env)
}

fn found<'a>(call: Call<'a, '_>, mark: Atom, live: &Live<Pid, KeptValue>) -> Answer<'a> {
    call.tuple((mark, live.pid.local(), call.term(&live.value)?, ids::generation(call.env, live.generation)))
}

fn lookup_refused<'a>(call: Call<'a, '_>, refused: LookupError<KeptValue>) -> Answer<'a> {
    match refused {
        LookupError::NotFound => call.error(atoms::not_found()),
        LookupError::Starting => call.error(atoms::starting()),
        LookupError::Removed(reason) => call.removed(&reason),
        LookupError::Unavailable(_) => call.down(),
        _ => call.down(),
    }
}

fn register<'a>(call: Call<'a, '_>, key: Term<'a>, value: Term<'a>) -> Answer<'a> {
    let (key, value) = (call.key(key)?, call.kept(value)?);
    match call.registry.register(call.env, &key, call.caller(), value) {
        Ok(_) => call.ok(),
        Err(RegisterError::AlreadyRegistered { pid, generation }) => {
            call.tuple((atoms::held(), pid.local(), ids::generation(call.env, generation)))
        }
        Err(RegisterError::Removed(reason)) => call.removed(&reason),
        Err(_) => call.down(),
    }
}

fn unregister<'a>(call: Call<'a, '_>, key: Term<'a>) -> Answer<'a> {
    // A registry that is gone holds no keys.
    let _ = call.registry.unregister(&call.key(key)?, call.caller());
    call.ok()
}

fn put_value<'a>(call: Call<'a, '_>, key: Term<'a>, value: Term<'a>) -> Answer<'a> {
    let (key, value) = (call.key(key)?, call.kept(value)?);
    match call.registry.put_value(&key, call.caller(), value) {
        Ok(()) => call.ok(),
        Err(PutValueError::NotFound) => call.error(atoms::not_found()),
        Err(_) => call.down(),
    }
}

fn evict<'a>(call: Call<'a, '_>, key: Term<'a>, generation: Term<'a>) -> Answer<'a> {
    let key = call.key(key)?;
    if let Some(generation) = ids::to_generation(generation) {
        // If it is unavailable, the call that follows says so.
        let _ = call.registry.evict(&key, generation);
    }
    call.ok()
}

fn subscribe<'a>(call: Call<'a, '_>, key: Term<'a>, generation: Term<'a>, reference: Term<'a>) -> Answer<'a> {
    let key = call.key(key)?;
    let Some(generation) = ids::to_generation(generation) else { return call.atom(atoms::changed()) };
    let caller = call.caller();
    let kept = call.registry.platform().references.keep(reference, caller.spread());
    match call.registry.subscribe(call.env, &key, generation, caller, kept) {
        Ok(id) => call.tuple((atoms::ok(), ids::subscription(call.env, id))),
        Err(SubscribeError::Changed) => call.atom(atoms::changed()),
        Err(_) => call.down(),
    }
}

fn unsubscribe<'a>(call: Call<'a, '_>, subscription: Term<'a>) -> Answer<'a> {
    if let Some(id) = ids::to_subscription(subscription) {
        call.registry.unsubscribe(call.caller(), id);
    }
    call.ok()
}

fn broadcast<'a>(call: Call<'a, '_>, key: Term<'a>, message: Term<'a>, cursor: Term<'a>) -> Answer<'a> {
    let key = call.key(key)?;
    let from = ids::to_cursor(cursor);
    match broadcast::chunk(call.env, call.registry, &key, message, from, call.effort)? {
        Ok(chunk) => match chunk.next {
            None => call.tuple((atoms::done(), chunk.sent)),
            Some(next) => call.tuple((atoms::more(), chunk.sent, ids::cursor(call.env, next))),
        },
        Err(BroadcastError::NotFound) => call.error(atoms::not_found()),
        Err(BroadcastError::Starting) => call.error(atoms::starting()),
        Err(BroadcastError::Removed(reason)) => call.removed(&reason),
        Err(_) => call.down(),
    }
}

fn enter<'a>(call: Call<'a, '_>, key: Term<'a>, reference: Term<'a>) -> Answer<'a> {
    let key = call.key(key)?;
    let caller = call.caller();
    let kept = call.registry.platform().references.keep(reference, caller.spread());
    match call.registry.enter(call.env, &key, caller, kept) {
        Ok(Enter::Lead(lead)) => call.tuple((atoms::lead(), ids::lead(call.env, lead))),
        Ok(Enter::Live(live)) => found(call, atoms::live(), &live),
        Ok(Enter::Waiting(wait)) => call.tuple((atoms::waiting(), ids::wait(call.env, wait))),
        Err(EnterError::Removed(reason)) => call.removed(&reason),
        Err(EnterError::AlreadyLeading) => call.error(atoms::already_leading()),
        Err(_) => call.down(),
    }
}

fn publish<'a>(call: Call<'a, '_>, key: Term<'a>, lead: Term<'a>, pid: Term<'a>, value: Term<'a>) -> Answer<'a> {
    let (key, value) = (call.key(key)?, call.kept(value)?);
    let Some(lead) = ids::to_lead(lead) else { return call.error(atoms::stale()) };
    let Ok(pid) = pid.decode::<LocalPid>() else { return call.error(atoms::remote_pid()) };
    match call.registry.publish(call.env, &key, lead, pid.into(), value) {
        Ok(_) => call.ok(),
        Err(PublishError::RegisteredByOther { pid, generation }) => {
            call.error((atoms::registered_by_other(), pid.local(), ids::generation(call.env, generation)))
        }
        Err(PublishError::Removed(reason)) => call.removed(&reason),
        Err(PublishError::NoProcess) => call.error(atoms::noproc()),
        Err(PublishError::Stale) => call.error(atoms::stale()),
        Err(_) => call.down(),
    }
}

fn abandon<'a>(call: Call<'a, '_>, lead: Term<'a>, reason: Term<'a>) -> Answer<'a> {
    let reason = call.kept(reason)?;
    if let Some(lead) = ids::to_lead(lead) {
        // A lead that is lost has nobody waiting for it.
        let _ = call.registry.abandon(lead, reason);
    }
    call.ok()
}

fn resign<'a>(call: Call<'a, '_>, lead: Term<'a>) -> Answer<'a> {
    if let Some(lead) = ids::to_lead(lead) {
        // As above.
        let _ = call.registry.resign(lead);
    }
    call.ok()
}

fn cancel_wait<'a>(call: Call<'a, '_>, wait: Term<'a>) -> Answer<'a> {
    match ids::to_wait(wait).map(|id| call.registry.cancel_wait(call.caller(), id)) {
        Some(Cancelled::Delivered) => call.atom(atoms::delivered()),
        Some(Cancelled::Silent) | None => call.atom(atoms::silent()),
    }
}

fn begin_remove<'a>(call: Call<'a, '_>, key: Term<'a>, reason: Term<'a>) -> Answer<'a> {
    let (key, reason) = (call.key(key)?, call.kept(reason)?);
    match call.registry.begin_remove(call.env, &key, call.caller(), reason) {
        Ok(removal) => call.tuple((atoms::ok(), ids::removal(call.env, removal.id), removal.owner.map(Pid::local))),
        Err(BeginRemoveError::Removed { reason, remover, generation }) => {
            let reason = call.term(&reason)?;
            call.tuple((atoms::held(), reason, remover.local(), ids::generation(call.env, generation)))
        }
        Err(_) => call.down(),
    }
}

fn finish_remove<'a>(call: Call<'a, '_>, removal: Term<'a>) -> Answer<'a> {
    match ids::to_removal(removal).map(|id| call.registry.finish_remove(id)) {
        Some(Ok(())) => call.ok(),
        _ => call.error(atoms::stale()),
    }
}

fn count<'a>(call: Call<'a, '_>) -> Answer<'a> {
    match call.registry.count() {
        Ok(count) => call.tuple((atoms::ok(), count)),
        Err(_) => call.down(),
    }
}

fn info<'a>(call: Call<'a, '_>) -> Answer<'a> {
    match call.registry.holdings() {
        Ok(has) => call.tuple((atoms::ok(), has.keys, has.entries, has.processes, has.capacity, has.pending)),
        Err(_) => call.down(),
    }
}

fn keys<'a>(call: Call<'a, '_>, pid: Term<'a>, cursor: Term<'a>) -> Answer<'a> {
    let Ok(pid) = pid.decode::<LocalPid>() else { return call.error(atoms::remote_pid()) };
    let mut found = Vec::new();
    match call.registry.keys(pid.into(), ids::to_keys_cursor(cursor), VISITS_MAX, &mut found) {
        Ok(next) => {
            let keys: Vec<Term<'a>> = found.iter().map(|key| key_term(call.env, key)).collect();
            match next {
                None => call.tuple((atoms::done(), keys)),
                Some(next) => call.tuple((atoms::more(), keys, ids::keys_cursor(call.env, next))),
            }
        }
        Err(_) => call.down(),
    }
}

/// Where a listing of a registry's entries goes on: too much for a term.
struct Listing(Mutex<SelectCursor>);

#[rustler::resource_impl]
impl Resource for Listing {}

#[rustler::nif]
fn registry_listing() -> ResourceArc<Listing> {
    ResourceArc::new(Listing(Mutex::default()))
}

fn select<'a>(call: Call<'a, '_>, listing: Term<'a>) -> Answer<'a> {
    let mut found: Vec<(Box<[u8]>, Pid, KeptValue)> = Vec::new();
    let progress =
        listed(listing, |cursor| call.registry.select(cursor, VISITS_MAX, |key, pid, value| found.push((key.into(), pid, value.clone()))));
    let term = |(key, pid, value): &(Box<[u8]>, Pid, KeptValue)| {
        (key_term(call.env, key), pid.local(), value.to_term_at_once(call.env)).encode(call.env)
    };
    part(call, progress, found.iter().map(term).collect())
}

fn removals<'a>(call: Call<'a, '_>, listing: Term<'a>) -> Answer<'a> {
    let mut found: Vec<(Box<[u8]>, KeptValue, Option<Pid>)> = Vec::new();
    let progress = listed(listing, |cursor| {
        call.registry.removals(cursor, VISITS_MAX, |key, reason, remover, _id| found.push((key.into(), reason.clone(), remover)))
    });
    let term = |(key, reason, remover): &(Box<[u8]>, KeptValue, Option<Pid>)| {
        (key_term(call.env, key), reason.to_term_at_once(call.env), remover.map(Pid::local)).encode(call.env)
    };
    part(call, progress, found.iter().map(term).collect())
}

fn listed(listing: Term<'_>, visit: impl FnOnce(&mut SelectCursor) -> Result<Progress, Unavailable>) -> Result<Progress, Unavailable> {
    match listing.decode::<ResourceArc<Listing>>() {
        // A cursor that a panic left behind belongs to an incarnation that is over.
        Ok(listing) => visit(&mut listing.0.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(_) => Ok(Progress::Done),
    }
}

fn part<'a>(call: Call<'a, '_>, progress: Result<Progress, Unavailable>, found: Vec<Term<'a>>) -> Answer<'a> {
    match progress {
        Ok(Progress::Done) => call.tuple((atoms::done(), found)),
        Ok(Progress::More) => call.tuple((atoms::more(), found)),
        Err(_) => call.down(),
    }
}
