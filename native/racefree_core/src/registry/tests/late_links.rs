//! Links that are followed late: the janitor has a dead process's record in hand and comes to the last of its links when the keys have other lives, or the pid another process.
//!
//! Loom meets these schedules too. Here they are forced by the bound of a step: who dies with more links than that is half followed after one.

use super::super::{BeginRemoveError, Enter, Events, Generation, Janitor, LookupError, Progress, Registry, Removal, SelectCursor, Step};
use super::links::roles_match_links;
use super::world::{Pid, World, settle};
use crate::sync::Arc;

const ADA: Pid = Pid(1);
const BOB: Pid = Pid(2);
const CAT: Pid = Pid(3);

fn registry() -> (Arc<Registry<World>>, Janitor<World>) {
    let registry = World::registry(2, Events::Silent);
    (Arc::clone(&registry), Janitor::new(registry))
}

/// Ada dies, and the janitor comes as far as the roles that she was given here, not to those that she had before.
fn half_follow_adas_death(registry: &Registry<World>, janitor: &mut Janitor<World>) {
    let more: u32 = 100;
    for number in 0..more {
        registry.register((), &number.to_le_bytes(), ADA, 1).unwrap();
    }
    let before = registry.count().unwrap();
    registry.platform().kill(ADA);
    assert_eq!(janitor.step(), Step::Worked);
    let followed = before - registry.count().unwrap();
    assert!((1..more as usize).contains(&followed), "{followed} of {more} links were followed in one step");
}

/// As above, and her pid is another process's by now: the machine gives numbers again when it has used them all.
fn half_follow_and_give_the_pid_again(registry: &Registry<World>, janitor: &mut Janitor<World>) {
    half_follow_adas_death(registry, janitor);
    registry.platform().give_again(ADA);
}

/// The process that has Ada's pid now dies as well, and everything is followed.
fn bury_the_other(registry: &Registry<World>, janitor: &mut Janitor<World>) {
    registry.platform().kill(ADA);
    assert_eq!(settle(janitor), Step::Idle);
    roles_match_links(registry);
}

fn removers(registry: &Registry<World>) -> Vec<(Generation, Option<Pid>)> {
    let mut found = Vec::new();
    let mut cursor = SelectCursor::default();
    while registry.removals(&mut cursor, 10, |_, _, remover, id| found.push((id.generation, remover))).unwrap() == Progress::More {}
    found
}

#[test]
fn spare_the_next_holder() {
    let (registry, mut janitor) = registry();
    let generation = registry.register((), b"k", ADA, 1).unwrap();
    half_follow_adas_death(&registry, &mut janitor);
    registry.evict(b"k", generation).unwrap();
    registry.register((), b"k", BOB, 2).unwrap();
    settle(&mut janitor);
    assert_eq!(registry.lookup(b"k").map(|live| live.pid), Ok(BOB));
    roles_match_links(&registry);
}

#[test]
fn spare_the_next_remover() {
    let (registry, mut janitor) = registry();
    registry.begin_remove((), b"k", ADA, 5).unwrap();
    half_follow_adas_death(&registry, &mut janitor);
    let Err(BeginRemoveError::Removed { generation, .. }) = registry.begin_remove((), b"k", CAT, 6) else { panic!() };
    registry.evict(b"k", generation).unwrap();
    let Removal { id, .. } = registry.begin_remove((), b"k", CAT, 6).unwrap();
    settle(&mut janitor);
    assert_eq!(removers(&registry), [(id.generation, Some(CAT))]);
    roles_match_links(&registry);
}

#[test]
fn spare_the_holder_after_a_removal() {
    let (registry, mut janitor) = registry();
    let Removal { id, .. } = registry.begin_remove((), b"k", ADA, 5).unwrap();
    half_follow_adas_death(&registry, &mut janitor);
    registry.finish_remove(id).unwrap();
    registry.register((), b"k", BOB, 2).unwrap();
    settle(&mut janitor);
    assert_eq!(registry.lookup(b"k").map(|live| live.pid), Ok(BOB));
    roles_match_links(&registry);
}

#[test]
fn leave_a_key_to_a_holder_with_the_pid_of_the_dead() {
    let (registry, mut janitor) = registry();
    let generation = registry.register((), b"k", ADA, 1).unwrap();
    half_follow_and_give_the_pid_again(&registry, &mut janitor);
    // The same place in another record.
    registry.register((), b"l", ADA, 2).unwrap();
    registry.evict(b"k", generation).unwrap();
    bury_the_other(&registry, &mut janitor);
    assert_eq!(registry.lookup(b"l"), Err(LookupError::NotFound));
}

#[test]
fn leave_a_start_to_a_leader_with_the_pid_of_the_dead() {
    let (registry, mut janitor) = registry();
    assert!(matches!(registry.enter((), b"k", ADA, 1), Ok(Enter::Lead(_))));
    half_follow_and_give_the_pid_again(&registry, &mut janitor);
    assert!(matches!(registry.enter((), b"l", ADA, 2), Ok(Enter::Lead(_))));
    registry.register((), b"k", BOB, 1).unwrap();
    bury_the_other(&registry, &mut janitor);
    assert_eq!(registry.lookup(b"l"), Err(LookupError::NotFound));
}

#[test]
fn leave_a_removal_to_a_remover_with_the_pid_of_the_dead() {
    let (registry, mut janitor) = registry();
    let seen_dead = registry.begin_remove((), b"k", ADA, 5).unwrap().id;
    let finished = registry.begin_remove((), b"l", ADA, 5).unwrap().id;
    half_follow_and_give_the_pid_again(&registry, &mut janitor);
    for key in [b"m", b"n"] {
        registry.begin_remove((), key, ADA, 6).unwrap();
    }
    registry.evict(b"k", seen_dead.generation).unwrap();
    registry.finish_remove(finished).unwrap();
    bury_the_other(&registry, &mut janitor);
    assert_eq!(removers(&registry).into_iter().map(|(_, remover)| remover).collect::<Vec<_>>(), [None; 3]);
}

#[test]
fn leave_a_record_to_a_process_with_the_pid_of_the_dead() {
    let (registry, mut janitor) = registry();
    registry.register((), b"k", ADA, 1).unwrap();
    let monitors = registry.platform().mark_dead(ADA);
    registry.platform().hear_of_death(monitors.clone());
    settle(&mut janitor);
    registry.platform().give_again(ADA);
    registry.register((), b"l", ADA, 2).unwrap();
    registry.platform().hear_of_death(monitors);
    settle(&mut janitor);
    assert_eq!(registry.lookup(b"l").map(|live| live.pid), Ok(ADA));
}
