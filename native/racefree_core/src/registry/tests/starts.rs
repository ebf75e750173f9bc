//! Single-flight starts: who leads, who waits, what each is told, whoever dies.

use super::super::{
    Cancelled, Enter, EnterError, Event, Events, Janitor, LeadError, LeadId, LookupError, Notice, PublishError, Registry, Step,
    Unavailable, WaitId,
};
use super::world::{Pid, World, settle};
use crate::sync::Arc;

const ADA: Pid = Pid(1);
const BOB: Pid = Pid(2);
const CAT: Pid = Pid(3);
const WORKER: Pid = Pid(9);

struct Start {
    registry: Arc<Registry<World>>,
    janitor: Janitor<World>,
    lead: LeadId,
    bob: WaitId,
    cat: WaitId,
}

fn lead(registry: &Registry<World>, pid: Pid) -> LeadId {
    match registry.enter((), b"k", pid, pid.0) {
        Ok(Enter::Lead(lead)) => lead,
        other => panic!("{other:?}"),
    }
}

fn wait(registry: &Registry<World>, pid: Pid) -> WaitId {
    match registry.enter((), b"k", pid, pid.0) {
        Ok(Enter::Waiting(wait)) => wait,
        other => panic!("{other:?}"),
    }
}

/// Ada leads, Bob and Cat wait, in this order.
fn start() -> Start {
    let registry = World::registry(2, Events::Reported);
    let lead = lead(&registry, ADA);
    let (bob, cat) = (wait(&registry, BOB), wait(&registry, CAT));
    Start { janitor: Janitor::new(Arc::clone(&registry)), registry, lead, bob, cat }
}

/// The lead that a waiter was told of, its only message.
fn told_lead(registry: &Registry<World>, pid: Pid) -> LeadId {
    match registry.platform().receive(pid).as_slice() {
        [(tag, Notice::Lead(lead))] if *tag == pid.0 => *lead,
        other => panic!("{other:?}"),
    }
}

/// After everybody died nothing is left.
fn ends_empty(registry: &Registry<World>, janitor: &mut Janitor<World>) {
    for pid in [ADA, BOB, CAT, WORKER] {
        registry.platform().kill(pid);
    }
    assert_eq!(settle(janitor), Step::Idle);
    assert_eq!(registry.platform().monitors(), 0);
    assert_eq!(registry.pids.size().0, 0);
    assert!(registry.shards.iter().all(|shard| shard.lock().unwrap().size().0 == 0));
}

#[test]
fn tells_all_waiters_of_the_published_process() {
    let Start { registry, mut janitor, lead, .. } = start();
    assert_eq!(registry.lookup(b"k"), Err(LookupError::Starting));
    let generation = registry.publish((), b"k", lead, WORKER, 5).unwrap();
    settle(&mut janitor);
    for pid in [BOB, CAT] {
        assert_eq!(registry.platform().receive(pid), [(pid.0, Notice::Started { pid: WORKER, value: 5, generation })]);
    }
    assert_eq!(registry.lookup(b"k").map(|live| live.pid), Ok(WORKER));
    ends_empty(&registry, &mut janitor);
}

#[test]
fn accepts_a_process_that_registers_itself() {
    let Start { registry, mut janitor, lead, .. } = start();
    let generation = registry.register((), b"k", WORKER, 6).unwrap();
    assert_eq!(registry.publish((), b"k", lead, WORKER, 5), Ok(generation));
    assert_eq!(registry.lookup(b"k").map(|live| live.value), Ok(6));
    settle(&mut janitor);
    assert_eq!(registry.platform().receive(BOB), [(BOB.0, Notice::Started { pid: WORKER, value: 6, generation })]);
    ends_empty(&registry, &mut janitor);
}

#[test]
fn refuses_to_publish_another_than_the_holder() {
    let Start { registry, mut janitor, lead, .. } = start();
    let generation = registry.register((), b"k", BOB, 6).unwrap();
    assert_eq!(registry.publish((), b"k", lead, WORKER, 5), Err(PublishError::RegisteredByOther { pid: BOB, generation }));
    ends_empty(&registry, &mut janitor);
}

#[test]
fn tells_waiters_why_a_start_failed() {
    let Start { registry, mut janitor, lead, .. } = start();
    registry.abandon(lead, 13).unwrap();
    assert_eq!(registry.abandon(lead, 13), Err(LeadError::Stale));
    assert_eq!(registry.publish((), b"k", lead, WORKER, 5), Err(PublishError::Stale));
    settle(&mut janitor);
    assert_eq!(registry.platform().receive(BOB), [(BOB.0, Notice::Failed(13))]);
    assert_eq!(registry.platform().receive(CAT), [(CAT.0, Notice::Failed(13))]);
    assert_eq!(registry.lookup(b"k"), Err(LookupError::NotFound));
    ends_empty(&registry, &mut janitor);
}

#[test]
fn hands_over_in_order_of_arrival_when_leaders_resign_or_die() {
    let Start { registry, mut janitor, lead, .. } = start();
    registry.resign(lead).unwrap();
    assert_eq!(registry.resign(lead), Err(LeadError::Stale));
    settle(&mut janitor);
    let bobs = told_lead(&registry, BOB);
    assert_eq!(registry.platform().receive(CAT), []);
    assert_eq!(registry.publish((), b"k", lead, WORKER, 5), Err(PublishError::Stale));
    registry.platform().kill(BOB);
    settle(&mut janitor);
    let cats = told_lead(&registry, CAT);
    assert_eq!(registry.publish((), b"k", bobs, WORKER, 5), Err(PublishError::Stale));
    registry.publish((), b"k", cats, WORKER, 5).unwrap();
    settle(&mut janitor);
    let events = registry.platform().take_events();
    let key = || b"k".as_slice().into();
    assert_eq!(events, [Event::LeaderDown { key: key(), leader: BOB }, Event::Registered { key: key(), pid: WORKER, value: 5 }]);
    ends_empty(&registry, &mut janitor);
}

#[test]
fn frees_the_key_when_nobody_is_left_to_lead() {
    let registry = World::registry(2, Events::Silent);
    let mut janitor = Janitor::new(Arc::clone(&registry));
    let first = lead(&registry, ADA);
    registry.platform().kill(ADA);
    settle(&mut janitor);
    assert_eq!(registry.lookup(b"k"), Err(LookupError::NotFound));
    let second = lead(&registry, BOB);
    assert_ne!(first, second);
    registry.resign(second).unwrap();
    assert_eq!(registry.lookup(b"k"), Err(LookupError::NotFound));
    ends_empty(&registry, &mut janitor);
}

#[test]
fn skips_waiters_that_died_before_the_leader() {
    let Start { registry, mut janitor, .. } = start();
    registry.platform().kill(BOB);
    registry.platform().kill(ADA);
    settle(&mut janitor);
    assert_eq!(registry.platform().receive(BOB), []);
    told_lead(&registry, CAT);
    ends_empty(&registry, &mut janitor);
}

#[test]
fn hands_on_from_a_dead_process_that_was_made_leader() {
    let Start { registry, mut janitor, .. } = start();
    registry.platform().kill(ADA);
    registry.platform().kill(BOB);
    settle(&mut janitor);
    told_lead(&registry, CAT);
    ends_empty(&registry, &mut janitor);
}

#[test]
fn sends_nothing_to_who_cancelled() {
    let Start { registry, mut janitor, lead, bob, cat } = start();
    assert_eq!(registry.cancel_wait(BOB, bob), Cancelled::Silent);
    registry.publish((), b"k", lead, WORKER, 5).unwrap();
    // Cat's answer is on its way, and is stopped.
    assert_eq!(registry.cancel_wait(CAT, cat), Cancelled::Silent);
    settle(&mut janitor);
    assert_eq!(registry.platform().receive(BOB), []);
    assert_eq!(registry.platform().receive(CAT), []);
    ends_empty(&registry, &mut janitor);
}

#[test]
fn says_that_the_notice_was_delivered() {
    let Start { registry, mut janitor, lead, bob, .. } = start();
    registry.publish((), b"k", lead, WORKER, 5).unwrap();
    settle(&mut janitor);
    assert_eq!(registry.cancel_wait(BOB, bob), Cancelled::Delivered);
    assert_eq!(registry.platform().receive(BOB).len(), 1);
    ends_empty(&registry, &mut janitor);
}

#[test]
fn hands_on_a_lead_whose_notice_was_cancelled() {
    let Start { registry, mut janitor, lead, bob, .. } = start();
    registry.resign(lead).unwrap();
    assert_eq!(registry.cancel_wait(BOB, bob), Cancelled::Silent);
    settle(&mut janitor);
    assert_eq!(registry.platform().receive(BOB), []);
    told_lead(&registry, CAT);
    ends_empty(&registry, &mut janitor);
}

#[test]
fn refuses_the_wait_of_another_process_or_incarnation() {
    let Start { registry, mut janitor, lead, bob, .. } = start();
    registry.cancel_wait(CAT, bob);
    registry.cancel_wait(BOB, WaitId { incarnation: 8, ..bob });
    registry.publish((), b"k", lead, WORKER, 5).unwrap();
    settle(&mut janitor);
    assert_eq!(registry.platform().receive(BOB).len(), 1);
    assert_eq!(registry.platform().receive(CAT).len(), 1);
}

#[test]
fn refuses_a_nested_start() {
    let Start { registry, .. } = start();
    assert_eq!(registry.enter((), b"k", ADA, 1), Err(EnterError::AlreadyLeading));
}

#[test]
fn passes_the_lead_on_when_the_published_process_is_dead() {
    let Start { registry, mut janitor, lead, .. } = start();
    registry.platform().kill(WORKER);
    assert_eq!(registry.publish((), b"k", lead, WORKER, 5), Err(PublishError::NoProcess));
    settle(&mut janitor);
    told_lead(&registry, BOB);
    assert_eq!(registry.resign(lead), Err(LeadError::Stale));
    ends_empty(&registry, &mut janitor);
}

#[test]
fn resigns_and_cancels_without_an_owner() {
    let Start { registry, mut janitor, lead, cat, .. } = start();
    registry.suspend(registry.owner());
    assert_eq!(registry.publish((), b"k", lead, WORKER, 5), Err(PublishError::Unavailable(Unavailable::Suspended)));
    registry.resign(lead).unwrap();
    assert_eq!(registry.cancel_wait(CAT, cat), Cancelled::Silent);
    settle(&mut janitor);
    let bobs = told_lead(&registry, BOB);
    registry.adopt().unwrap();
    registry.publish((), b"k", bobs, WORKER, 5).unwrap();
    ends_empty(&registry, &mut janitor);
}

#[test]
fn tells_waiters_of_the_end() {
    let Start { registry, mut janitor, lead, bob, .. } = start();
    assert_eq!(registry.cancel_wait(BOB, bob), Cancelled::Silent);
    registry.close();
    settle(&mut janitor);
    assert_eq!(registry.platform().receive(BOB), []);
    assert_eq!(registry.platform().receive(CAT), [(CAT.0, Notice::Closed)]);
    assert_eq!(registry.resign(lead), Err(LeadError::Unavailable(Unavailable::Closed)));
    assert_eq!(registry.platform().monitors(), 0);
}

#[test]
fn finds_the_live_process_and_then_its_successor() {
    let registry = World::registry(2, Events::Silent);
    let generation = registry.register((), b"k", WORKER, 5).unwrap();
    assert!(matches!(registry.enter((), b"k", ADA, 1), Ok(Enter::Live(live)) if live.pid == WORKER));
    registry.platform().mark_dead(WORKER);
    registry.evict(b"k", generation).unwrap();
    lead(&registry, ADA);
}
