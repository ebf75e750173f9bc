//! Runs operations on a registry and says, in the model's words, what they gave.

use super::super::{
    BeginRemoveError, BroadcastError, Enter, EnterError, FinishRemoveError, Generation, LeadError, LeadId, LookupError, PublishError,
    PutValueError, RegisterError, Registry, RemovalId, SubscribeError, SubscriptionId, WaitId,
};
use super::model::{Entered, Miss, Step};
use super::world::{Pid, Tag, Value, World};

/// What a process was given and may give back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    Generation(Generation),
    Subscription(Pid, SubscriptionId),
    Lead(LeadId),
    Wait(Pid, WaitId),
    Removal(RemovalId),
}

pub(super) fn lookup(registry: &Registry<World>, key: &[u8]) -> (Step, Option<Held>) {
    let seen = registry.lookup(key).map(|live| (live.pid, live.value, live.generation)).map_err(|error| match error {
        LookupError::NotFound => Miss::NotFound,
        LookupError::Starting => Miss::Starting,
        LookupError::Removed(reason) => Miss::Removed(reason),
        LookupError::Unavailable(unavailable) => panic!("{unavailable}"),
    });
    (Step::Lookup { seen }, seen.ok().map(|(_, _, generation)| Held::Generation(generation)))
}

pub(super) fn register(registry: &Registry<World>, key: &[u8], pid: Pid, value: Value) -> (Step, Option<Held>) {
    let seen = registry.register((), key, pid, value).map_err(|error| match error {
        RegisterError::AlreadyRegistered { pid, generation } => Miss::HeldBy(pid, generation),
        RegisterError::Removed(reason) => Miss::Removed(reason),
        RegisterError::NoProcess => Miss::NoProcess,
        RegisterError::Unavailable(unavailable) => panic!("{unavailable}"),
    });
    (Step::Register { pid, value, seen }, seen.ok().map(Held::Generation))
}

pub(super) fn unregister(registry: &Registry<World>, key: &[u8], pid: Pid) -> (Step, Option<Held>) {
    registry.unregister(key, pid).unwrap();
    (Step::Unregister { pid }, None)
}

pub(super) fn put_value(registry: &Registry<World>, key: &[u8], pid: Pid, value: Value) -> (Step, Option<Held>) {
    let seen = registry.put_value(key, pid, value).map_err(|error| match error {
        PutValueError::NotFound => Miss::NotFound,
        PutValueError::Unavailable(unavailable) => panic!("{unavailable}"),
    });
    (Step::PutValue { pid, value, seen }, None)
}

pub(super) fn subscribe(registry: &Registry<World>, key: &[u8], generation: Generation, pid: Pid, tag: Tag) -> (Step, Option<Held>) {
    let subscribed = registry.subscribe((), key, generation, pid, tag).map_err(|error| match error {
        SubscribeError::Changed => Miss::Changed,
        SubscribeError::NoProcess => Miss::NoProcess,
        SubscribeError::Unavailable(unavailable) => panic!("{unavailable}"),
    });
    (Step::Subscribe { pid, generation, seen: subscribed.map(|id| id.stamp) }, subscribed.ok().map(|id| Held::Subscription(pid, id)))
}

/// Who was reached is told by tag: the caller knows which stamp has which tag.
pub(super) fn broadcast(registry: &Registry<World>, key: &[u8], sends_max: usize) -> Result<Vec<Tag>, Miss> {
    let mut reached = Vec::new();
    let mut cursor = None;
    loop {
        let part = registry.broadcast(key, cursor, sends_max, |_, tag| reached.push(*tag)).map_err(|error| match error {
            BroadcastError::NotFound => Miss::NotFound,
            BroadcastError::Starting => Miss::Starting,
            BroadcastError::Removed(reason) => Miss::Removed(reason),
            BroadcastError::Unavailable(unavailable) => panic!("{unavailable}"),
        })?;
        cursor = part.next;
        if cursor.is_none() {
            return Ok(reached);
        }
    }
}

pub(super) fn enter(registry: &Registry<World>, key: &[u8], pid: Pid, tag: Tag) -> (Step, Option<Held>) {
    let entered = registry.enter((), key, pid, tag).map_err(|error| match error {
        EnterError::Removed(reason) => Miss::Removed(reason),
        EnterError::AlreadyLeading => Miss::AlreadyLeading,
        EnterError::NoProcess => Miss::NoProcess,
        EnterError::Unavailable(unavailable) => panic!("{unavailable}"),
    });
    let (seen, held) = match entered {
        Ok(Enter::Lead(lead)) => (Ok(Entered::Lead(lead.lead)), Some(Held::Lead(lead))),
        Ok(Enter::Live(live)) => (Ok(Entered::Live(live.pid, live.value, live.generation)), None),
        Ok(Enter::Waiting(wait)) => (Ok(Entered::Waiting(wait.stamp)), Some(Held::Wait(pid, wait))),
        Err(miss) => (Err(miss), None),
    };
    (Step::Enter { pid, seen }, held)
}

pub(super) fn publish(registry: &Registry<World>, key: &[u8], lead: LeadId, pid: Pid, value: Value) -> (Step, Option<Held>) {
    let seen = registry.publish((), key, lead, pid, value).map_err(|error| match error {
        PublishError::RegisteredByOther { pid, generation } => Miss::HeldBy(pid, generation),
        PublishError::Removed(reason) => Miss::Removed(reason),
        PublishError::NoProcess => Miss::NoProcess,
        PublishError::Stale => Miss::Stale,
        PublishError::Unavailable(unavailable) => panic!("{unavailable}"),
    });
    (Step::Publish { lead: lead.lead, pid, value, seen }, seen.ok().map(Held::Generation))
}

fn lead_seen(seen: Result<(), LeadError>) -> Result<(), Miss> {
    seen.map_err(|error| match error {
        LeadError::Stale => Miss::Stale,
        LeadError::Unavailable(unavailable) => panic!("{unavailable}"),
    })
}

/// Gives back what a process was given; `value` is the reason where one is needed.
pub(super) fn give_back(registry: &Registry<World>, key: &[u8], held: Held, value: Value) -> Option<Step> {
    match held {
        Held::Generation(_) => None,
        Held::Subscription(pid, id) => {
            registry.unsubscribe(pid, id);
            Some(Step::Unsubscribe { stamp: id.stamp })
        }
        Held::Lead(lead) if value.is_multiple_of(2) => Some(Step::Resign { lead: lead.lead, seen: lead_seen(registry.resign(lead)) }),
        Held::Lead(lead) => Some(Step::Abandon { lead: lead.lead, reason: value, seen: lead_seen(registry.abandon(lead, value)) }),
        Held::Wait(pid, id) => Some(Step::Cancel { stamp: id.stamp, seen: registry.cancel_wait(pid, id) }),
        Held::Removal(id) => {
            assert!(!key.is_empty());
            let seen = registry.finish_remove(id).map_err(|error| match error {
                FinishRemoveError::Stale => Miss::Stale,
                FinishRemoveError::Unavailable(unavailable) => panic!("{unavailable}"),
            });
            Some(Step::FinishRemove { generation: id.generation, seen })
        }
    }
}

pub(super) fn begin_remove(registry: &Registry<World>, key: &[u8], pid: Pid, reason: Value) -> (Step, Option<Held>) {
    let begun = registry.begin_remove((), key, pid, reason).map_err(|error| match error {
        BeginRemoveError::Removed { reason, remover, generation } => Miss::RemovedBy(reason, remover, generation),
        BeginRemoveError::NoProcess => Miss::NoProcess,
        BeginRemoveError::Unavailable(unavailable) => panic!("{unavailable}"),
    });
    let held = begun.ok().map(|removal| Held::Removal(removal.id));
    (Step::BeginRemove { pid, reason, seen: begun.map(|removal| (removal.id.generation, removal.owner)) }, held)
}
