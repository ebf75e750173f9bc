//! Holding keys: register, unregister, look up, values, deaths of holders.

use super::super::{Event, Events, Janitor, Live, LookupError, PutValueError, RegisterError, Registry, Step, Unavailable};
use super::world::{Pid, Value, World, settle};
use crate::sync::Arc;

const ADA: Pid = Pid(1);
const BOB: Pid = Pid(2);

fn holder(registry: &Registry<World>, key: &[u8]) -> Result<(Pid, Value), LookupError<Value>> {
    registry.lookup(key).map(|Live { pid, value, .. }| (pid, value))
}

#[test]
fn finds_who_registered() {
    let registry = World::registry(4, Events::Silent);
    assert_eq!(holder(&registry, b"k"), Err(LookupError::NotFound));
    registry.register((), b"k", ADA, 10).unwrap();
    assert_eq!(holder(&registry, b"k"), Ok((ADA, 10)));
    assert_eq!(registry.count(), Ok(1));
}

#[test]
fn refuses_a_second_holder() {
    let registry = World::registry(4, Events::Silent);
    let generation = registry.register((), b"k", ADA, 10).unwrap();
    assert_eq!(registry.register((), b"k", BOB, 11), Err(RegisterError::AlreadyRegistered { pid: ADA, generation }));
    assert_eq!(registry.register((), b"k", ADA, 12), Err(RegisterError::AlreadyRegistered { pid: ADA, generation }));
    assert_eq!(holder(&registry, b"k"), Ok((ADA, 10)));
}

#[test]
fn refuses_a_dead_process() {
    let registry = World::registry(4, Events::Silent);
    registry.platform().kill(ADA);
    assert_eq!(registry.register((), b"k", ADA, 10), Err(RegisterError::NoProcess));
    assert_eq!(holder(&registry, b"k"), Err(LookupError::NotFound));
}

#[test]
fn frees_only_what_the_process_holds() {
    let registry = World::registry(4, Events::Silent);
    registry.register((), b"k", ADA, 10).unwrap();
    registry.unregister(b"k", BOB).unwrap();
    assert_eq!(holder(&registry, b"k"), Ok((ADA, 10)));
    registry.unregister(b"k", ADA).unwrap();
    registry.unregister(b"k", ADA).unwrap();
    assert_eq!(holder(&registry, b"k"), Err(LookupError::NotFound));
}

#[test]
fn changes_values_for_the_holder_only() {
    let registry = World::registry(4, Events::Silent);
    assert_eq!(registry.put_value(b"k", ADA, 1), Err(PutValueError::NotFound));
    registry.register((), b"k", ADA, 10).unwrap();
    assert_eq!(registry.put_value(b"k", BOB, 1), Err(PutValueError::NotFound));
    registry.put_value(b"k", ADA, 2).unwrap();
    assert_eq!(holder(&registry, b"k"), Ok((ADA, 2)));
}

#[test]
fn frees_the_keys_of_the_dead() {
    let registry = World::registry(4, Events::Silent);
    let mut janitor = Janitor::new(Arc::clone(&registry));
    registry.register((), b"k", ADA, 10).unwrap();
    registry.register((), b"l", ADA, 10).unwrap();
    registry.register((), b"m", BOB, 10).unwrap();
    registry.platform().kill(ADA);
    assert_eq!(settle(&mut janitor), Step::Idle);
    assert_eq!(holder(&registry, b"k"), Err(LookupError::NotFound));
    assert_eq!(holder(&registry, b"l"), Err(LookupError::NotFound));
    assert_eq!(holder(&registry, b"m"), Ok((BOB, 10)));
}

#[test]
fn keeps_the_next_holder_when_the_former_ones_death_is_heard_of_late() {
    let registry = World::registry(1, Events::Silent);
    let mut janitor = Janitor::new(Arc::clone(&registry));
    let generation = registry.register((), b"k", ADA, 10).unwrap();
    let monitors = registry.platform().mark_dead(ADA);
    registry.evict(b"k", generation).unwrap();
    registry.register((), b"k", BOB, 11).unwrap();
    registry.evict(b"k", generation).unwrap();
    registry.platform().hear_of_death(monitors);
    settle(&mut janitor);
    assert_eq!(holder(&registry, b"k"), Ok((BOB, 11)));
}

#[test]
fn monitors_each_process_once() {
    let registry = World::registry(4, Events::Silent);
    for key in 0..10_u8 {
        registry.register((), &[key], ADA, 10).unwrap();
        registry.unregister(&[key], ADA).unwrap();
    }
    assert_eq!(registry.platform().monitors_made(), 1);
}

#[test]
fn reports_events_in_order() {
    let registry = World::registry(4, Events::Reported);
    let mut janitor = Janitor::new(Arc::clone(&registry));
    registry.register((), b"k", ADA, 10).unwrap();
    registry.unregister(b"k", ADA).unwrap();
    registry.register((), b"k", BOB, 11).unwrap();
    registry.platform().kill(BOB);
    settle(&mut janitor);
    let key = || b"k".as_slice().into();
    let expected = [
        Event::Registered { key: key(), pid: ADA, value: 10 },
        Event::Unregistered { key: key(), pid: ADA },
        Event::Registered { key: key(), pid: BOB, value: 11 },
        Event::Down { key: key(), pid: BOB },
    ];
    assert_eq!(registry.platform().take_events(), expected);
}

#[test]
fn refuses_calls_after_the_end() {
    let registry = World::registry(4, Events::Silent);
    let mut janitor = Janitor::new(Arc::clone(&registry));
    registry.register((), b"k", ADA, 10).unwrap();
    registry.close();
    assert_eq!(holder(&registry, b"k"), Err(LookupError::Unavailable(Unavailable::Closed)));
    assert!(matches!(settle(&mut janitor), Step::Ended(_)));
    assert_eq!(registry.platform().monitors(), 0);
    assert_eq!(registry.register((), b"k", ADA, 10), Err(RegisterError::Unavailable(Unavailable::Closed)));
}
