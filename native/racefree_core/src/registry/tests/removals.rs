//! Removals in two phases, and removers that die in between.

use super::super::{
    BeginRemoveError, Enter, EnterError, Event, Events, FinishRemoveError, Janitor, LookupError, Notice, Progress, PublishError,
    RegisterError, Registry, RemovalId, SelectCursor, SubscribeError,
};
use super::world::{Pid, World, settle};
use crate::sync::Arc;

const ADA: Pid = Pid(1);
const BOB: Pid = Pid(2);
const CAT: Pid = Pid(3);

fn registry() -> (Arc<Registry<World>>, Janitor<World>) {
    let registry = World::registry(2, Events::Reported);
    (Arc::clone(&registry), Janitor::new(registry))
}

fn removals(registry: &Registry<World>) -> Vec<(Box<[u8]>, u32, Option<Pid>, RemovalId)> {
    let mut found = Vec::new();
    let mut cursor = SelectCursor::default();
    while registry.removals(&mut cursor, 1, |key, reason, remover, id| found.push((key.into(), *reason, remover, id))).unwrap()
        == Progress::More
    {}
    found
}

#[test]
fn refuses_everything_until_finished() {
    let (registry, mut janitor) = registry();
    let generation = registry.register((), b"k", ADA, 10).unwrap();
    let removal = registry.begin_remove((), b"k", BOB, 5).unwrap();
    assert_eq!(removal.owner, Some(ADA));
    assert_eq!(registry.lookup(b"k"), Err(LookupError::Removed(5)));
    assert_eq!(registry.register((), b"k", CAT, 1), Err(RegisterError::Removed(5)));
    assert_eq!(registry.subscribe((), b"k", generation, CAT, 1), Err(SubscribeError::Changed));
    assert_eq!(registry.enter((), b"k", CAT, 1), Err(EnterError::Removed(5)));
    assert!(matches!(registry.begin_remove((), b"k", CAT, 6), Err(BeginRemoveError::Removed { reason: 5, remover: BOB, .. })));
    // The former owner's death and second thoughts change nothing.
    registry.unregister(b"k", ADA).unwrap();
    registry.platform().kill(ADA);
    settle(&mut janitor);
    assert_eq!(registry.lookup(b"k"), Err(LookupError::Removed(5)));
    assert_eq!(registry.count(), Ok(0));
    registry.finish_remove(removal.id).unwrap();
    assert_eq!(registry.finish_remove(removal.id), Err(FinishRemoveError::Stale));
    assert_eq!(registry.lookup(b"k"), Err(LookupError::NotFound));
    registry.register((), b"k", CAT, 1).unwrap();
}

#[test]
fn removes_what_is_absent() {
    let (registry, _) = registry();
    let removal = registry.begin_remove((), b"k", BOB, 5).unwrap();
    assert_eq!(removal.owner, None);
    assert_eq!(registry.lookup(b"k"), Err(LookupError::Removed(5)));
    assert_eq!(removals(&registry), [(b"k".as_slice().into(), 5, Some(BOB), removal.id)]);
}

#[test]
fn ends_a_start_under_way() {
    let (registry, mut janitor) = registry();
    let Ok(Enter::Lead(lead)) = registry.enter((), b"k", ADA, 1) else { panic!() };
    assert!(matches!(registry.enter((), b"k", BOB, 2), Ok(Enter::Waiting(_))));
    let removal = registry.begin_remove((), b"k", CAT, 5).unwrap();
    assert_eq!(removal.owner, None);
    settle(&mut janitor);
    assert_eq!(registry.platform().receive(BOB), [(2, Notice::Removed(5))]);
    assert_eq!(registry.publish((), b"k", lead, Pid(9), 1), Err(PublishError::Removed(5)));
    registry.finish_remove(removal.id).unwrap();
    assert_eq!(registry.publish((), b"k", lead, Pid(9), 1), Err(PublishError::Stale));
}

#[test]
fn keeps_the_tombstone_of_a_dead_remover_until_another_takes_over() {
    let (registry, mut janitor) = registry();
    let first = registry.begin_remove((), b"k", BOB, 5).unwrap();
    registry.platform().kill(BOB);
    settle(&mut janitor);
    assert_eq!(registry.lookup(b"k"), Err(LookupError::Removed(5)));
    assert_eq!(removals(&registry), [(b"k".as_slice().into(), 5, None, first.id)]);
    let second = registry.begin_remove((), b"k", CAT, 6).unwrap();
    assert_eq!(registry.finish_remove(first.id), Err(FinishRemoveError::Stale));
    assert_eq!(registry.lookup(b"k"), Err(LookupError::Removed(6)));
    registry.finish_remove(second.id).unwrap();
    settle(&mut janitor);
    let key = || b"k".as_slice().into();
    let expected = [
        Event::RemovalStarted { key: key(), remover: BOB, owner: None },
        Event::RemoverDown { key: key(), remover: BOB },
        Event::RemovalStarted { key: key(), remover: CAT, owner: None },
        Event::RemovalFinished { key: key() },
    ];
    assert_eq!(registry.platform().take_events(), expected);
}

#[test]
fn takes_over_at_once_from_a_remover_that_was_seen_dead() {
    let (registry, mut janitor) = registry();
    registry.begin_remove((), b"k", BOB, 5).unwrap();
    let monitors = registry.platform().mark_dead(BOB);
    let Err(BeginRemoveError::Removed { generation, .. }) = registry.begin_remove((), b"k", CAT, 6) else { panic!() };
    registry.evict(b"k", generation).unwrap();
    let second = registry.begin_remove((), b"k", CAT, 6).unwrap();
    registry.platform().hear_of_death(monitors);
    settle(&mut janitor);
    assert_eq!(removals(&registry), [(b"k".as_slice().into(), 6, Some(CAT), second.id)]);
}

#[test]
fn finishes_without_an_owner_but_not_for_another_incarnation() {
    let (registry, _) = registry();
    let removal = registry.begin_remove((), b"k", BOB, 5).unwrap();
    registry.suspend(registry.owner());
    assert_eq!(registry.finish_remove(RemovalId { incarnation: 8, ..removal.id }), Err(FinishRemoveError::Stale));
    registry.finish_remove(removal.id).unwrap();
}

#[test]
fn refuses_a_dead_remover() {
    let (registry, _) = registry();
    registry.platform().kill(BOB);
    assert_eq!(registry.begin_remove((), b"k", BOB, 5), Err(BeginRemoveError::NoProcess));
    assert_eq!(registry.lookup(b"k"), Err(LookupError::NotFound));
}
