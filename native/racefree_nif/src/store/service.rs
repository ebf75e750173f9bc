//! An open store on this machine: its two threads, its owner process, and how it ends.
//!
//! The owner process is a `Racefree.Store`. When it dies, by whatever hand, the store is shut down: handles that other processes still hold go on reading what they
//! have and write nothing. The next owner of the same directory waits until the former threads are done, so it never meets its own lock.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use racefree_core::store::disk::{Disk, MonotonicClock, fresh_identity};
use racefree_core::store::{Failure, OpenError, Opened, Operation, Options, RecoveryReport, Store};
use rustler::{Atom, Encoder, Env, LocalPid, Monitor, Resource, ResourceArc};

use super::terms;
use super::waiting::send_from_anywhere;
use crate::atoms;
use crate::words::Pid;

/// The stores of this machine that have not ended yet, by their directory.
static LIVES: LazyLock<Mutex<HashMap<PathBuf, Arc<Life>>>> = LazyLock::new(Mutex::default);

/// An open store; what `Racefree.Store` and all handles below it hold.
pub(crate) struct Service {
    pub(crate) store: Store<Disk>,
    life: Arc<Life>,
    is_read_only: bool,
}

/// What must end before the directory can be opened again.
struct Life {
    store: Mutex<Option<Store<Disk>>>,
    owner: Pid,
    is_ending: AtomicBool,
    /// Those that write; a store that is only read has none.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[rustler::resource_impl]
impl Resource for Service {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        // Nobody is left to tell of a panic in here: the owner is dead, and the store stops with its threads at the latest.
        let _ = catch_unwind(AssertUnwindSafe(|| self.end()));
    }
}

/// A name for a new store; chance decides it.
pub(crate) fn identity() -> u128 {
    fresh_identity().unwrap_or_default()
}

impl Service {
    /// Opens the store in `dir` for the calling process. Reads and writes files: for a dirty scheduler.
    pub(crate) fn open(env: Env<'_>, dir: &Path, mut options: Options) -> Result<(ResourceArc<Self>, RecoveryReport), OpenError> {
        let failed =
            |operation, error: &std::io::Error| OpenError::Io(Failure { operation, kind: error.kind(), os_code: error.raw_os_error() });
        options.identity = fresh_identity().map_err(|error| failed(Operation::Create, &error))?;
        if let Ok(place) = dir.canonicalize() {
            await_former(env, &place);
        }
        let Opened { store, flusher, keeper, report } = Store::open(Disk, dir, options, Box::new(MonotonicClock::default()))?;
        let place = dir.canonicalize().map_err(|error| failed(Operation::Open, &error))?;
        let owner = Pid::from(env.pid());
        let life = Life::begin(&store, owner);
        let flushing = {
            let (store, life) = (store.clone(), Arc::clone(&life));
            thread::Builder::new().name("racefree_flush".into()).spawn(move || tell_the_end(&store, &life, || flusher.run()))
        };
        let keeping = {
            let (store, life) = (store.clone(), Arc::clone(&life));
            thread::Builder::new().name("racefree_keep".into()).spawn(move || tell_the_end(&store, &life, || keeper.run()))
        };
        let mut threads = life.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for spawned in [flushing, keeping] {
            match spawned {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    store.shut_down();
                    return Err(failed(Operation::Open, &error));
                }
            }
        }
        drop(threads);
        LIVES.lock().unwrap_or_else(PoisonError::into_inner).insert(place, Arc::clone(&life));
        Ok((Self { store, life, is_read_only: false }.watch(env), report))
    }

    /// Opens what is on disk, for reading alone, for the calling process.
    pub(crate) fn open_read_only(env: Env<'_>, dir: &Path, options: Options) -> Result<(ResourceArc<Self>, RecoveryReport), OpenError> {
        let (store, report) = Store::open_read_only(Disk, dir, options)?;
        let life = Life::begin(&store, Pid::from(env.pid()));
        Ok((Self { store, life, is_read_only: true }.watch(env), report))
    }

    /// Has the store end with the calling process, its owner.
    fn watch(self, env: Env<'_>) -> ResourceArc<Self> {
        let service = ResourceArc::new(self);
        // The owner is the calling process, so it lives and the monitor succeeds.
        env.monitor(&service, &env.pid());
        service
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.life.is_ending.load(Ordering::Acquire)
    }

    /// Whether the owner process is dead, of which the machine may not have told yet.
    pub(crate) fn is_orphan(&self, env: Env<'_>) -> bool {
        !self.life.owner.local().is_alive(env)
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// Stops the store without a drain. Does not wait.
    pub(crate) fn end(&self) {
        self.life.end();
    }

    /// Waits for the threads of a store that was drained or ended: they finish the step they are in.
    pub(crate) fn await_end(&self) {
        self.life.await_end();
    }
}

impl Life {
    fn begin(store: &Store<Disk>, owner: Pid) -> Arc<Self> {
        let store = Mutex::new(Some(store.clone()));
        Arc::new(Self { store, owner, is_ending: AtomicBool::new(false), threads: Mutex::default() })
    }

    fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        if let Some(store) = self.store.lock().unwrap_or_else(PoisonError::into_inner).take() {
            store.shut_down();
        }
    }

    fn await_end(&self) {
        // Held until they are done: an owner that was killed while it waits here has a successor, which must wait as long.
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // A panic in the thread was told by the thread.
            let _ = thread.join();
        }
    }
}

/// Waits for a store of this directory whose owner is gone. One whose owner lives is left alone: opening answers that it is locked.
fn await_former(env: Env<'_>, place: &Path) {
    let former = LIVES.lock().unwrap_or_else(PoisonError::into_inner).get(place).cloned();
    if let Some(former) = former
        // The supervisor may be faster than the machine's word of the owner's death.
        && (former.is_ending.load(Ordering::Acquire) || !former.owner.local().is_alive(env))
    {
        former.end();
        former.await_end();
        let mut lives = LIVES.lock().unwrap_or_else(PoisonError::into_inner);
        if lives.get(place).is_some_and(|known| Arc::ptr_eq(known, &former)) {
            lives.remove(place);
        }
    }
}

/// Runs a thread's work. What stops it other than an orderly end is told to the owner process, which stops as well.
fn tell_the_end(store: &Store<Disk>, life: &Life, work: impl FnOnce()) {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let owner = life.owner;
    if outcome.is_err() {
        life.end();
        tell(owner, atoms::poisoned(), |env| atoms::thread().encode(env));
    } else if let Some(failure) = store.failure().filter(|failure| failure.operation != Operation::ShutDown) {
        tell(owner, atoms::storage_failed(), move |env| terms::failure(env, &failure));
    }
}

/// Tells the owner of a store what ended it: `{Racefree.Store, what, reason}`.
pub(crate) fn tell(owner: Pid, what: Atom, reason: impl for<'e> FnOnce(Env<'e>) -> rustler::Term<'e> + Send + 'static) {
    send_from_anywhere(owner, move |env| (atoms::store_module(), what, reason(env)).encode(env));
}

impl Service {
    /// A call panicked: the store ends, and its owner is told.
    pub(crate) fn poison(&self) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.end()));
        tell(self.life.owner, atoms::poisoned(), |env| atoms::call().encode(env));
    }
}
