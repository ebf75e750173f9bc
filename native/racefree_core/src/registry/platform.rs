//! The seam between the registry and the virtual machine: who is alive, who is told what.
//!
//! Left out on purpose: terms, environments, schedulers. The registry sees processes as small comparable values and everything else as cargo.

use std::fmt::Debug;
use std::hash::Hash;

use super::{Generation, LeadId};

/// What the registry needs of the world. Production gives it the BEAM; tests give it a simulation.
pub trait Platform: Send + Sync + Sized + 'static {
    type Pid: Copy + Eq + Hash + Debug + Send + Sync + 'static;
    /// Values of keys, reasons of removals and of failed starts. Cloned under a lock: a clone must be cheap.
    type Value: Clone + Send + Sync + 'static;
    /// By what a recipient tells its subscription or wait from all others.
    type Tag: Send + Sync + 'static;
    type Monitor: Copy + Eq + Send + Sync + 'static;
    /// What a call of [`Platform::monitor`] needs to know of the thread it runs on.
    type Caller<'a>: Copy;

    /// Watches a process: after `Some`, one [`super::Inbox::down`] with the pid and the monitor follows its death, perhaps before this returns. `None`: it is dead already.
    ///
    /// Runs on the thread of the calling operation, under the lock of one pid shard: it must not call the registry.
    fn monitor(&self, caller: Self::Caller<'_>, shard: usize, pid: Self::Pid) -> Option<Self::Monitor>;

    /// Ends a watch when the incarnation ends. Runs on the janitor's thread, under no lock.
    fn demonitor(&self, shard: usize, monitor: Self::Monitor);

    /// Tells a waiter its answer. Runs on the janitor's thread, under the lock of that waiter's own flag.
    fn send(&self, to: Self::Pid, tag: &Self::Tag, notice: Notice<Self::Pid, Self::Value>);

    /// Reports what happened; per key in the order in which it happened. Runs on the janitor's thread, under no lock.
    fn event(&self, event: Event<Self::Pid, Self::Value>);
}

/// The one answer that a waiter of a start gets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice<Pid, Value> {
    /// Somebody registered the key.
    Started {
        pid: Pid,
        value: Value,
        generation: Generation,
    },
    /// The leader's starter failed for this reason.
    Failed(Value),
    /// The leader is gone and the waiter leads now.
    Lead(LeadId),
    Removed(Value),
    /// The incarnation ended.
    Closed,
}

/// Something that happened to a key, for listeners.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event<Pid, Value> {
    Registered {
        key: Box<[u8]>,
        pid: Pid,
        value: Value,
    },
    Unregistered {
        key: Box<[u8]>,
        pid: Pid,
    },
    /// The owner died; the key is free.
    Down {
        key: Box<[u8]>,
        pid: Pid,
    },
    RemovalStarted {
        key: Box<[u8]>,
        remover: Pid,
        owner: Option<Pid>,
    },
    RemovalFinished {
        key: Box<[u8]>,
    },
    /// The remover died; the tombstone stays until another remover takes it over.
    RemoverDown {
        key: Box<[u8]>,
        remover: Pid,
    },
    /// The leader of a start died.
    LeaderDown {
        key: Box<[u8]>,
        leader: Pid,
    },
    /// A panic left the incarnation half-changed; it answers nothing any more.
    Poisoned,
}
