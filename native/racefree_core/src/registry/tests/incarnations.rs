//! The life of an incarnation: owners that come and go, the end, panics in foreign code, and that nothing is left behind.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::{
    Ended, Enter, Event, Events, Janitor, KeysCursor, LookupError, Notice, Progress, RegisterError, Registry, SelectCursor, Status, Step,
    Unavailable,
};
use super::world::{Fault, Pid, World, settle};
use crate::sync::Arc;

const ADA: Pid = Pid(1);
const BOB: Pid = Pid(2);
const CAT: Pid = Pid(3);

const POISONED: Unavailable = Unavailable::Poisoned;

fn panics<R>(part: impl FnOnce() -> R) {
    assert!(catch_unwind(AssertUnwindSafe(part)).is_err());
}

fn entries(registry: &Registry<World>) -> (usize, usize) {
    registry.shards.iter().fold((0, 0), |(length, capacity), shard| {
        let (more, room) = shard.lock().unwrap().size();
        (length + more, capacity + room)
    })
}

#[test]
fn keeps_entries_from_one_owner_to_the_next() {
    let registry = World::registry(2, Events::Silent);
    let mut janitor = Janitor::new(Arc::clone(&registry));
    registry.register((), b"k", ADA, 10).unwrap();
    registry.register((), b"l", BOB, 10).unwrap();
    let first = registry.owner();
    registry.suspend(first);
    assert_eq!(registry.status(), Status::Suspended);
    assert_eq!(registry.lookup(b"k"), Err(LookupError::Unavailable(Unavailable::Suspended)));
    // Deaths are cleaned up meanwhile.
    registry.platform().kill(BOB);
    assert_eq!(settle(&mut janitor), Step::Idle);
    let second = registry.adopt().unwrap();
    assert_ne!(first, second);
    // The first owner's death is heard of once more, too late.
    registry.suspend(first);
    assert_eq!(registry.lookup(b"k").map(|live| live.pid), Ok(ADA));
    assert_eq!(registry.lookup(b"l"), Err(LookupError::NotFound));
}

#[test]
fn refuses_to_adopt_what_has_ended() {
    let registry = World::registry(2, Events::Silent);
    registry.close();
    assert_eq!(registry.adopt(), Err(Unavailable::Closed));
    let registry = World::registry(2, Events::Silent);
    registry.platform().set_fault(Fault::MonitorPanics);
    panics(|| registry.register((), b"k", ADA, 10));
    assert_eq!(registry.adopt(), Err(POISONED));
    registry.close();
    assert_eq!(registry.status(), Status::Poisoned);
}

#[test]
fn poisons_the_incarnation_when_a_monitor_panics() {
    let registry = World::registry(2, Events::Silent);
    let janitor = Janitor::new(Arc::clone(&registry));
    registry.register((), b"k", ADA, 10).unwrap();
    registry.platform().set_fault(Fault::MonitorPanics);
    panics(|| registry.register((), b"l", BOB, 10));
    registry.platform().set_fault(Fault::None);
    assert_eq!(registry.lookup(b"k"), Err(LookupError::Unavailable(POISONED)));
    assert_eq!(registry.register((), b"m", CAT, 10), Err(RegisterError::Unavailable(POISONED)));
    assert_eq!(registry.count(), Err(POISONED));
    assert_eq!(janitor.run(), Ended::Poisoned);
    assert_eq!(registry.platform().take_events(), [Event::Poisoned]);
    assert_eq!(registry.platform().monitors(), 0);
}

#[test]
fn poisons_the_incarnation_when_a_send_panics_and_tells_the_other_waiters() {
    let registry = World::registry(2, Events::Silent);
    let mut janitor = Janitor::new(Arc::clone(&registry));
    for (key, worker) in [(b"k", Pid(8)), (b"l", Pid(9))] {
        let Ok(Enter::Lead(lead)) = registry.enter((), key, ADA, 1) else { panic!() };
        for pid in [BOB, CAT] {
            assert!(matches!(registry.enter((), key, pid, 2), Ok(Enter::Waiting(_))));
        }
        if key == b"k" {
            registry.publish((), key, lead, worker, 5).unwrap();
        }
    }
    registry.platform().set_fault(Fault::SendPanics);
    panics(|| janitor.step());
    registry.platform().set_fault(Fault::None);
    assert_eq!(registry.lookup(b"k"), Err(LookupError::Unavailable(POISONED)));
    assert_eq!(janitor.run(), Ended::Poisoned);
    // Bob's message of the first key was lost with the panic; nobody else's was.
    assert_eq!(registry.platform().receive(BOB), [(2, Notice::Closed)]);
    assert!(matches!(registry.platform().receive(CAT).as_slice(), [(2, Notice::Started { .. }), (2, Notice::Closed)]));
    assert_eq!(registry.platform().monitors(), 0);
}

#[test]
fn ends_even_if_every_send_and_report_panics() {
    let registry = World::registry(2, Events::Reported);
    let janitor = Janitor::new(Arc::clone(&registry));
    assert!(matches!(registry.enter((), b"k", ADA, 1), Ok(Enter::Lead(_))));
    for pid in 10..if cfg!(miri) { 20 } else { 300 } {
        assert!(matches!(registry.enter((), b"k", Pid(pid), 2), Ok(Enter::Waiting(_))));
    }
    registry.register((), b"k", BOB, 1).unwrap();
    registry.platform().set_fault(Fault::SendPanics);
    assert_eq!(janitor.run(), Ended::Poisoned);
    let registry = World::registry(2, Events::Reported);
    let janitor = Janitor::new(Arc::clone(&registry));
    registry.register((), b"k", BOB, 1).unwrap();
    registry.platform().set_fault(Fault::EventPanics);
    assert_eq!(janitor.run(), Ended::Poisoned);
}

#[test]
fn poisons_the_incarnation_when_a_delivery_of_a_broadcast_panics() {
    let registry = World::registry(2, Events::Silent);
    let janitor = Janitor::new(Arc::clone(&registry));
    let generation = registry.register((), b"k", ADA, 10).unwrap();
    let id = registry.subscribe((), b"k", generation, BOB, 1).unwrap();
    panics(|| registry.broadcast(b"k", None, 10, |_, _| panic!("injected")));
    assert_eq!(registry.lookup(b"k"), Err(LookupError::Unavailable(POISONED)));
    registry.unsubscribe(BOB, id);
    assert_eq!(janitor.run(), Ended::Poisoned);
    registry.unsubscribe(BOB, id);
}

#[test]
fn ends_a_running_janitor_by_close_and_by_poison() {
    let registry = World::registry(2, Events::Silent);
    let janitor = Janitor::new(Arc::clone(&registry));
    let thread = std::thread::spawn(move || janitor.run());
    registry.register((), b"k", ADA, 10).unwrap();
    registry.close();
    assert_eq!(thread.join().unwrap(), Ended::Closed);

    let registry = World::registry(2, Events::Silent);
    let janitor = Janitor::new(Arc::clone(&registry));
    let thread = std::thread::spawn(move || janitor.run());
    registry.platform().set_fault(Fault::MonitorPanics);
    panics(|| registry.register((), b"k", ADA, 10));
    assert_eq!(thread.join().unwrap(), Ended::Poisoned);
}

#[test]
fn ignores_deaths_after_the_end() {
    let registry = World::registry(2, Events::Silent);
    let janitor = Janitor::new(Arc::clone(&registry));
    registry.register((), b"k", ADA, 10).unwrap();
    let monitors = registry.platform().mark_dead(ADA);
    registry.close();
    assert_eq!(janitor.run(), Ended::Closed);
    registry.platform().hear_of_death(monitors);
    assert!(registry.inbox.take_downs().is_empty());
}

#[test]
fn leaves_nothing_behind_when_all_have_died() {
    let registry = World::registry(4, Events::Silent);
    let mut janitor = Janitor::new(Arc::clone(&registry));
    let processes = if cfg!(miri) { 30 } else { 20_000 };
    for number in 0..processes {
        let key = number.to_string().into_bytes();
        let generation = registry.register((), &key, Pid(number), number).unwrap();
        registry.subscribe((), &key, generation, Pid(number / 2), number).unwrap();
        registry.enter((), &[&key[..], b"s"].concat(), Pid(number), number).unwrap();
        registry.enter((), &[&key[..], b"s"].concat(), Pid(number / 3), number).unwrap_or(Enter::Live(registry.lookup(&key).unwrap()));
    }
    let (most, room) = entries(&registry);
    assert_eq!(most, 2 * processes as usize);
    for number in 0..processes {
        registry.platform().kill(Pid(number));
    }
    settle(&mut janitor);
    let (left, room_left) = entries(&registry);
    assert_eq!((left, registry.pids.size().0, registry.platform().monitors()), (0, 0, 0));
    assert!(room_left <= 4 * 64 && room_left <= room, "{room} -> {room_left}");
    assert!(registry.pids.size().1 <= 4 * 64);
    assert_eq!(registry.count(), Ok(0));
}

#[test]
fn cleans_up_after_a_process_with_many_keys_in_small_steps() {
    let registry = World::registry(4, Events::Silent);
    let mut janitor = Janitor::new(Arc::clone(&registry));
    let keys: u32 = if cfg!(miri) { 100 } else { 100_000 };
    for number in 0..keys {
        registry.register((), &number.to_le_bytes(), ADA, 1).unwrap();
    }
    registry.register((), b"other", BOB, 1).unwrap();
    registry.platform().kill(ADA);
    registry.platform().kill(BOB);
    let mut before = registry.count().unwrap();
    while janitor.step() == Step::Worked {
        let after = registry.count().unwrap();
        assert!(before - after <= 64, "a step of {} keys", before - after);
        before = after;
    }
    assert_eq!(before, 0);
    assert_eq!(registry.pids.size().0, 0);
}

#[test]
fn answers_waiters_while_many_deaths_are_followed() {
    let registry = World::registry(4, Events::Silent);
    let mut janitor = Janitor::new(Arc::clone(&registry));
    let deaths = if cfg!(miri) { 150 } else { 5_000 };
    for number in 0..deaths {
        registry.register((), &number.to_string().into_bytes(), Pid(100 + number), 1).unwrap();
    }
    for number in 0..deaths {
        registry.platform().kill(Pid(100 + number));
    }
    assert_eq!(janitor.step(), Step::Worked);
    assert!(matches!(registry.enter((), b"k", ADA, 1), Ok(Enter::Lead(_))));
    assert!(matches!(registry.enter((), b"k", BOB, 2), Ok(Enter::Waiting(_))));
    registry.register((), b"k", CAT, 1).unwrap();
    assert_eq!(janitor.step(), Step::Worked);
    assert_eq!(registry.platform().receive(BOB).len(), 1);
    assert!(registry.count().unwrap() > 1);
}

#[test]
fn lists_what_is_there_in_parts() {
    let registry = World::registry(4, Events::Silent);
    let listed: u32 = if cfg!(miri) { 50 } else { 1000 };
    let expected = (0..listed).map(|number| (number.to_le_bytes().to_vec(), Pid(number % 7), number)).collect::<Vec<_>>();
    for (key, pid, value) in &expected {
        registry.register((), key, *pid, *value).unwrap();
    }
    let mut found = Vec::new();
    let mut cursor = SelectCursor::default();
    let mut newcomer = 1_000_000_u32;
    while registry.select(&mut cursor, 10, |key, pid, value| found.push((key.to_vec(), pid, *value))).unwrap() == Progress::More {
        // Makes the tables grow while they are listed.
        for _ in 0..if cfg!(miri) { 2 } else { 50 } {
            newcomer += 1;
            registry.register((), &newcomer.to_le_bytes(), ADA, newcomer).unwrap();
        }
    }
    found.retain(|(_, _, value)| *value < listed);
    found.sort_by_key(|(_, _, value)| *value);
    assert_eq!(found, expected);

    let mut keys = Vec::new();
    let mut cursor = Some(KeysCursor::default());
    while let Some(at) = cursor {
        cursor = registry.keys(Pid(3), at, 10, &mut keys).unwrap();
    }
    let mut keys = keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>();
    keys.sort_unstable();
    let mut own = expected.into_iter().filter(|(_, pid, _)| *pid == Pid(3)).map(|(key, _, _)| key).collect::<Vec<_>>();
    own.sort_unstable();
    assert_eq!(keys, own);
}
