//! Subscriptions: joining one life of a key, leaving it, broadcasts in parts.

use super::super::{BroadcastError, Cursor, Events, Generation, Janitor, Registry, SubscribeError, Unavailable};
use super::world::{Pid, Tag, World, settle};
use crate::sync::Arc;

const ADA: Pid = Pid(1);
const BOB: Pid = Pid(2);
const CAT: Pid = Pid(3);

/// Gives a message to all subscribers, in parts of at most `sends_max`.
fn broadcast(registry: &Registry<World>, key: &[u8], sends_max: usize) -> Vec<(Pid, Tag)> {
    let mut sent = Vec::new();
    let mut cursor = None;
    loop {
        let part = registry.broadcast(key, cursor, sends_max, |pid, tag| sent.push((pid, *tag))).unwrap();
        cursor = part.next;
        if cursor.is_none() {
            return sent;
        }
    }
}

fn held(key: &[u8]) -> (Arc<Registry<World>>, Janitor<World>, Generation) {
    let registry = World::registry(4, Events::Silent);
    let generation = registry.register((), key, ADA, 10).unwrap();
    (Arc::clone(&registry), Janitor::new(registry), generation)
}

#[test]
fn reaches_each_subscriber_once() {
    let (registry, _, generation) = held(b"k");
    let subscribers = if cfg!(miri) { 70 } else { 500 };
    for tag in 0..subscribers {
        registry.subscribe((), b"k", generation, Pid(100 + tag), tag).unwrap();
    }
    for sends_max in [1, 7, 32, 33, 1000] {
        assert_eq!(broadcast(&registry, b"k", sends_max), (0..subscribers).map(|tag| (Pid(100 + tag), tag)).collect::<Vec<_>>());
    }
}

#[test]
fn keeps_subscriptions_of_one_process_apart() {
    let (registry, _, generation) = held(b"k");
    let first = registry.subscribe((), b"k", generation, BOB, 1).unwrap();
    registry.subscribe((), b"k", generation, BOB, 2).unwrap();
    registry.subscribe((), b"k", generation, ADA, 3).unwrap();
    registry.unsubscribe(BOB, first);
    registry.unsubscribe(BOB, first);
    assert_eq!(broadcast(&registry, b"k", 100), [(BOB, 2), (ADA, 3)]);
}

#[test]
fn refuses_another_life_than_the_one_looked_up() {
    let (registry, _, generation) = held(b"k");
    registry.unregister(b"k", ADA).unwrap();
    assert_eq!(registry.subscribe((), b"k", generation, BOB, 1), Err(SubscribeError::Changed));
    let next = registry.register((), b"k", ADA, 10).unwrap();
    assert_ne!(next, generation);
    assert_eq!(registry.subscribe((), b"k", generation, BOB, 1), Err(SubscribeError::Changed));
    assert_eq!(broadcast(&registry, b"k", 100), []);
}

#[test]
fn refuses_a_dead_subscriber() {
    let (registry, _, generation) = held(b"k");
    registry.platform().kill(BOB);
    assert_eq!(registry.subscribe((), b"k", generation, BOB, 1), Err(SubscribeError::NoProcess));
    assert_eq!(broadcast(&registry, b"k", 100), []);
}

#[test]
fn forgets_dead_subscribers() {
    let (registry, mut janitor, generation) = held(b"k");
    registry.subscribe((), b"k", generation, BOB, 1).unwrap();
    registry.subscribe((), b"k", generation, CAT, 2).unwrap();
    registry.platform().kill(BOB);
    settle(&mut janitor);
    assert_eq!(broadcast(&registry, b"k", 100), [(CAT, 2)]);
}

#[test]
fn refuses_the_id_of_a_place_that_was_reused() {
    let (registry, _, generation) = held(b"k");
    let former = registry.subscribe((), b"k", generation, BOB, 1).unwrap();
    registry.unsubscribe(BOB, former);
    let next = registry.subscribe((), b"k", generation, BOB, 2).unwrap();
    assert_eq!(former.link, next.link);
    registry.unsubscribe(BOB, former);
    registry.unsubscribe(CAT, next);
    registry.unsubscribe(BOB, super::super::SubscriptionId { incarnation: 8, ..next });
    assert_eq!(broadcast(&registry, b"k", 100), [(BOB, 2)]);
}

#[test]
fn skips_who_leaves_between_two_parts_and_keeps_the_rest() {
    let (registry, _, generation) = held(b"k");
    let ids = (0..4).map(|tag| registry.subscribe((), b"k", generation, Pid(100 + tag), tag).unwrap()).collect::<Vec<_>>();
    let mut sent = Vec::new();
    let part = registry.broadcast(b"k", None, 1, |_, tag| sent.push(*tag)).unwrap();
    registry.unsubscribe(Pid(102), ids[2]);
    registry.unsubscribe(Pid(100), ids[0]);
    // Takes the vacant place behind the cursor, and a new one past the end: neither is visited by the broadcast under way.
    registry.subscribe((), b"k", generation, Pid(200), 50).unwrap();
    registry.subscribe((), b"k", generation, Pid(201), 51).unwrap();
    registry.subscribe((), b"k", generation, Pid(202), 52).unwrap();
    let mut cursor = part.next;
    while let Some(next) = cursor {
        cursor = registry.broadcast(b"k", Some(next), 1, |_, tag| sent.push(*tag)).unwrap().next;
    }
    // Places are given back last first: 50 stands where 0 stood, behind the cursor; 51 where 2 stood, before it; 52 past the end that the broadcast began with.
    assert_eq!(sent, [0, 1, 51, 3]);
}

#[test]
fn ends_a_broadcast_whose_holder_went() {
    let (registry, _, generation) = held(b"k");
    for tag in 0..4 {
        registry.subscribe((), b"k", generation, BOB, tag).unwrap();
    }
    let part = registry.broadcast(b"k", None, 1, |_, _| {}).unwrap();
    registry.unregister(b"k", ADA).unwrap();
    let rest = registry.broadcast(b"k", part.next, 100, |_, _| panic!("nobody is subscribed to this life")).unwrap();
    assert_eq!((rest.sent, rest.next), (0, None));
    let next = registry.register((), b"k", ADA, 11).unwrap();
    // More than the part has passed: a cursor that went on here would find some.
    for tag in 9..12 {
        registry.subscribe((), b"k", next, BOB, tag).unwrap();
    }
    let rest = registry.broadcast(b"k", part.next, 100, |_, _| panic!("nobody is subscribed to this life")).unwrap();
    assert_eq!((rest.sent, rest.next), (0, None));
}

#[test]
fn says_why_there_is_nobody_to_reach() {
    let registry = World::registry(1, Events::Silent);
    let reach = |key: &[u8]| registry.broadcast(key, None, 10, |_, _| {}).map(|done| done.sent);
    assert_eq!(reach(b"k"), Err(BroadcastError::NotFound));
    registry.enter((), b"k", ADA, 1).unwrap();
    assert_eq!(reach(b"k"), Err(BroadcastError::Starting));
    registry.begin_remove((), b"k", ADA, 5).unwrap();
    assert_eq!(reach(b"k"), Err(BroadcastError::Removed(5)));
    registry.suspend(registry.owner());
    assert_eq!(reach(b"k"), Err(BroadcastError::Unavailable(Unavailable::Suspended)));
}

#[test]
fn bounds_the_work_of_a_part_over_vacant_places() {
    let (registry, _, generation) = held(b"k");
    let subscribers: u32 = if cfg!(miri) { 3_000 } else { 10_000 };
    let ids = (0..subscribers).map(|tag| registry.subscribe((), b"k", generation, BOB, tag).unwrap()).collect::<Vec<_>>();
    for id in &ids[..ids.len() - 1] {
        registry.unsubscribe(BOB, *id);
    }
    let part = registry.broadcast(b"k", None, 64, |_, _| {}).unwrap();
    assert!(part.next.is_some_and(|Cursor { next, .. }| next < 2_000), "{part:?}");
    assert_eq!(broadcast(&registry, b"k", 64), [(BOB, subscribers - 1)]);
}

#[test]
fn silences_subscribers_of_a_life_that_ended() {
    let (registry, mut janitor, generation) = held(b"k");
    let id = registry.subscribe((), b"k", generation, BOB, 1).unwrap();
    registry.platform().kill(ADA);
    settle(&mut janitor);
    // The place in the process's record is free again: the next subscription takes it.
    let next = registry.register((), b"k", CAT, 10).unwrap();
    assert_eq!(registry.subscribe((), b"k", next, BOB, 2).unwrap().link, id.link);
    registry.unsubscribe(BOB, id);
    assert_eq!(broadcast(&registry, b"k", 10), [(BOB, 2)]);
}

#[test]
fn silences_inside_a_broadcast_under_way() {
    let (registry, _, generation) = held(b"k");
    let first = registry.subscribe((), b"k", generation, BOB, 1).unwrap();
    let second = registry.subscribe((), b"k", generation, CAT, 2).unwrap();
    let mut sent = Vec::new();
    // Both are collected when the first is sent to; no lock but the first one's own flag is held then.
    registry
        .broadcast(b"k", None, 10, |_, tag| {
            registry.unsubscribe(CAT, second);
            sent.push(*tag);
        })
        .unwrap();
    registry.unsubscribe(BOB, first);
    assert_eq!(sent, [1]);
    assert!(registry.platform().is_alive(BOB));
}

#[test]
fn silences_inside_a_broadcast_under_way_while_the_incarnation_closes() {
    let (registry, _, generation) = held(b"k");
    registry.subscribe((), b"k", generation, BOB, 1).unwrap();
    let second = registry.subscribe((), b"k", generation, CAT, 2).unwrap();
    let mut sent = Vec::new();
    // The entry cannot be reached any more, and the janitor has not come to it.
    registry
        .broadcast(b"k", None, 10, |_, tag| {
            registry.close();
            registry.unsubscribe(CAT, second);
            sent.push(*tag);
        })
        .unwrap();
    assert_eq!(sent, [1]);
}

#[test]
fn unsubscribes_without_an_owner_and_after_the_end() {
    let (registry, mut janitor, generation) = held(b"k");
    let first = registry.subscribe((), b"k", generation, BOB, 1).unwrap();
    let second = registry.subscribe((), b"k", generation, CAT, 2).unwrap();
    let owner = registry.owner();
    registry.suspend(owner);
    assert_eq!(registry.subscribe((), b"k", generation, BOB, 1), Err(SubscribeError::Unavailable(Unavailable::Suspended)));
    registry.unsubscribe(BOB, first);
    registry.adopt().unwrap();
    assert_eq!(broadcast(&registry, b"k", 10), [(CAT, 2)]);
    registry.close();
    settle(&mut janitor);
    registry.unsubscribe(CAT, second);
}

#[test]
fn makes_no_monitor_for_a_refused_subscription() {
    let (registry, _, generation) = held(b"k");
    registry.unregister(b"k", ADA).unwrap();
    let before = registry.platform().monitors_made();
    assert_eq!(registry.subscribe((), b"k", generation, BOB, 1), Err(SubscribeError::Changed));
    assert_eq!(registry.platform().monitors_made(), before);
}
