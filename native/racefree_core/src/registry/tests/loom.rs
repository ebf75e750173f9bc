//! The registry's kernels under loom: every interleaving of two or three threads, over the code that production runs.
//!
//! Run by `cargo xtask loom`. One shard, so that the random seed of the hash changes no schedule. A lost wake-up shows as a deadlock, which loom reports.

use loom::model::Builder;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use super::super::{
    Cancelled, Ended, Enter, Events, Inbox, Janitor, LeadError, LookupError, Notice, PublishError, RegisterError, Registry, Removal, Step,
    SubscribeError,
};
use super::links::roles_match_links;
use super::world::{Pid, World, settle};
use crate::sync::Arc;

const ADA: Pid = Pid(1);
const BOB: Pid = Pid(2);
const CAT: Pid = Pid(3);
const WORKER: Pid = Pid(9);

/// Explores all schedules, or those with at most `preemptions_max` switches away from a thread that could go on: three threads have too many for all.
fn explore(preemptions_max: Option<usize>, schedule: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions_max;
    builder.check(schedule);
}

fn registry() -> (Arc<Registry<World>>, Janitor<World>) {
    let registry = World::registry(1, Events::Silent);
    (Arc::clone(&registry), Janitor::new(registry))
}

fn done(registry: &Registry<World>, janitor: &mut Janitor<World>) {
    assert_eq!(settle(janitor), Step::Idle);
    roles_match_links(registry);
}

/// The incarnation ended: no operation that was under way left anything behind the janitor's back.
fn nothing_is_left(registry: &Registry<World>) {
    assert_eq!(registry.platform().monitors(), 0);
    assert_eq!(registry.pids.size().0, 0);
    assert!(registry.shards.iter().all(|shard| shard.lock().unwrap().size().0 == 0));
}

#[test]
fn keeps_the_next_holder_whenever_the_formers_death_is_followed() {
    explore(None, || {
        let (registry, mut janitor) = registry();
        registry.register((), b"k", ADA, 1).unwrap();
        let killer = thread::spawn({
            let registry = Arc::clone(&registry);
            move || {
                registry.platform().kill(ADA);
                settle(&mut janitor);
                janitor
            }
        });
        let registered = match registry.register((), b"k", BOB, 2) {
            Ok(_) => true,
            Err(RegisterError::AlreadyRegistered { pid, generation }) => {
                assert_eq!(pid, ADA);
                if registry.platform().is_alive(ADA) {
                    false
                } else {
                    // As the caller does that saw it dead.
                    registry.evict(b"k", generation).unwrap();
                    registry.register((), b"k", BOB, 2).unwrap();
                    true
                }
            }
            Err(other) => panic!("{other}"),
        };
        let mut janitor = killer.join().unwrap();
        done(&registry, &mut janitor);
        match registry.lookup(b"k") {
            Ok(live) => assert!(registered && live.pid == BOB),
            Err(error) => assert!(!registered && error == LookupError::NotFound),
        }
    });
}

#[test]
fn gives_a_key_to_one_of_two() {
    explore(None, || {
        let (registry, mut janitor) = registry();
        let rival = thread::spawn({
            let registry = Arc::clone(&registry);
            move || registry.register((), b"k", ADA, 1).is_ok()
        });
        let own = registry.register((), b"k", BOB, 2).is_ok();
        assert_ne!(own, rival.join().unwrap());
        assert_eq!(registry.lookup(b"k").unwrap().pid, if own { BOB } else { ADA });
        done(&registry, &mut janitor);
    });
}

#[test]
fn leaves_nothing_of_who_dies_while_it_registers() {
    explore(None, || {
        let (registry, mut janitor) = registry();
        let killer = thread::spawn({
            let registry = Arc::clone(&registry);
            move || {
                registry.platform().kill(ADA);
                settle(&mut janitor);
                janitor
            }
        });
        let registered = registry.register((), b"k", ADA, 1);
        assert!(matches!(registered, Ok(_) | Err(RegisterError::NoProcess)));
        let mut janitor = killer.join().unwrap();
        done(&registry, &mut janitor);
        assert_eq!(registry.lookup(b"k"), Err(LookupError::NotFound));
        assert_eq!(registry.pids.size().0, 0);
    });
}

#[test]
fn leaves_nothing_of_who_dies_while_it_subscribes() {
    explore(None, || {
        let (registry, mut janitor) = registry();
        let generation = registry.register((), b"k", ADA, 1).unwrap();
        let killer = thread::spawn({
            let registry = Arc::clone(&registry);
            move || {
                registry.platform().kill(BOB);
                settle(&mut janitor);
                janitor
            }
        });
        let subscribed = registry.subscribe((), b"k", generation, BOB, 1);
        assert!(matches!(subscribed, Ok(_) | Err(SubscribeError::NoProcess)));
        let mut janitor = killer.join().unwrap();
        done(&registry, &mut janitor);
        assert_eq!(registry.broadcast(b"k", None, 10, |pid, _| panic!("{pid:?} is dead")).unwrap().sent, 0);
    });
}

#[test]
fn subscribes_to_no_other_life_than_the_one_asked_for() {
    explore(None, || {
        let (registry, mut janitor) = registry();
        let first = registry.register((), b"k", ADA, 1).unwrap();
        let other = thread::spawn({
            let registry = Arc::clone(&registry);
            move || {
                registry.unregister(b"k", ADA).unwrap();
                registry.register((), b"k", CAT, 1).unwrap();
            }
        });
        let subscribed = registry.subscribe((), b"k", first, BOB, 1);
        assert!(matches!(subscribed, Ok(_) | Err(SubscribeError::Changed)));
        other.join().unwrap();
        done(&registry, &mut janitor);
        assert_eq!(registry.broadcast(b"k", None, 10, |_, _| panic!("subscribed to another life")).unwrap().sent, 0);
    });
}

#[test]
fn refuses_to_register_after_a_removal_began() {
    explore(None, || {
        let (registry, mut janitor) = registry();
        let remover = thread::spawn({
            let registry = Arc::clone(&registry);
            move || {
                let Removal { owner, .. } = registry.begin_remove((), b"k", BOB, 5).unwrap();
                assert_eq!(registry.lookup(b"k"), Err(LookupError::Removed(5)));
                owner
            }
        });
        let registered = registry.register((), b"k", ADA, 1);
        let owner = remover.join().unwrap();
        match registered {
            Ok(_) => assert_eq!(owner, Some(ADA)),
            Err(error) => assert!(owner.is_none() && error == RegisterError::Removed(5)),
        }
        assert_eq!(registry.lookup(b"k"), Err(LookupError::Removed(5)));
        done(&registry, &mut janitor);
    });
}

#[test]
fn ends_a_start_either_by_publishing_or_by_removing() {
    explore(None, || {
        let (registry, mut janitor) = registry();
        let Ok(Enter::Lead(lead)) = registry.enter((), b"k", ADA, 1) else { panic!() };
        assert!(matches!(registry.enter((), b"k", CAT, 2), Ok(Enter::Waiting(_))));
        let remover = thread::spawn({
            let registry = Arc::clone(&registry);
            move || registry.begin_remove((), b"k", BOB, 5).unwrap().owner
        });
        let published = registry.publish((), b"k", lead, WORKER, 1);
        let owner = remover.join().unwrap();
        done(&registry, &mut janitor);
        let told = registry.platform().receive(CAT);
        match published {
            Ok(_) => assert!(owner == Some(WORKER) && matches!(told.as_slice(), [(2, Notice::Started { pid: WORKER, .. })])),
            Err(error) => assert!(owner.is_none() && error == PublishError::Removed(5) && told == [(2, Notice::Removed(5))]),
        }
    });
}

#[test]
fn loses_no_wake_up() {
    explore(None, || {
        let inbox = Inbox::<World>::new();
        let producers = [ADA, BOB].map(|pid| {
            let inbox = Arc::clone(&inbox);
            let monitor = super::world::Monitor(pid, 1);
            thread::spawn(move || inbox.down(pid, monitor))
        });
        let mut seen = 0;
        while seen < 2 {
            inbox.wait();
            let mut downs = inbox.take_downs();
            while downs.pop().is_some() {
                seen += 1;
            }
        }
        for producer in producers {
            producer.join().unwrap();
        }
    });
}

#[test]
fn ends_the_janitor_whenever_the_incarnation_closes() {
    explore(Some(5), || {
        let (registry, janitor) = registry();
        registry.register((), b"k", ADA, 1).unwrap();
        let runner = thread::spawn(move || janitor.run());
        let killer = thread::spawn({
            let registry = Arc::clone(&registry);
            move || registry.platform().kill(ADA)
        });
        registry.close();
        assert_eq!(runner.join().unwrap(), Ended::Closed);
        killer.join().unwrap();
        nothing_is_left(&registry);
        assert!(registry.inbox.take_downs().is_empty());
    });
}

#[test]
fn tells_every_waiter_whenever_the_incarnation_closes() {
    explore(Some(5), || {
        let (registry, janitor) = registry();
        let Ok(Enter::Lead(_)) = registry.enter((), b"k", ADA, 1) else { panic!() };
        let waiter = thread::spawn({
            let registry = Arc::clone(&registry);
            move || matches!(registry.enter((), b"k", BOB, 2), Ok(Enter::Waiting(_)))
        });
        let runner = thread::spawn(move || janitor.run());
        registry.close();
        let waited = waiter.join().unwrap();
        assert_eq!(runner.join().unwrap(), Ended::Closed);
        assert_eq!(registry.platform().receive(BOB).len(), usize::from(waited));
        nothing_is_left(&registry);
    });
}

#[test]
fn hands_the_lead_to_one_that_still_waits() {
    explore(None, || {
        let (registry, mut janitor) = registry();
        assert!(matches!(registry.enter((), b"k", ADA, 1), Ok(Enter::Lead(_))));
        let Ok(Enter::Waiting(wait)) = registry.enter((), b"k", BOB, 2) else { panic!() };
        assert!(matches!(registry.enter((), b"k", CAT, 3), Ok(Enter::Waiting(_))));
        let killer = thread::spawn({
            let registry = Arc::clone(&registry);
            move || {
                registry.platform().kill(ADA);
                settle(&mut janitor);
                janitor
            }
        });
        let cancelled = registry.cancel_wait(BOB, wait);
        let bobs = registry.platform().receive(BOB);
        let mut janitor = killer.join().unwrap();
        done(&registry, &mut janitor);
        assert_eq!(registry.platform().receive(BOB), [], "a message after the wait was given up");
        match (cancelled, bobs.as_slice()) {
            (Cancelled::Silent, []) => {}
            (Cancelled::Delivered, [(2, Notice::Lead(lead))]) => registry.resign(*lead).unwrap(),
            other => panic!("{other:?}"),
        }
        settle(&mut janitor);
        assert!(matches!(registry.platform().receive(CAT).as_slice(), [(3, Notice::Lead(_))]));
    });
}

#[test]
fn answers_a_waiter_once_while_the_leader_dies_and_publishes() {
    explore(Some(5), || {
        let (registry, mut janitor) = registry();
        let Ok(Enter::Lead(lead)) = registry.enter((), b"k", ADA, 1) else { panic!() };
        let Ok(Enter::Waiting(wait)) = registry.enter((), b"k", BOB, 2) else { panic!() };
        let killer = thread::spawn({
            let registry = Arc::clone(&registry);
            move || {
                registry.platform().kill(ADA);
                settle(&mut janitor);
                janitor
            }
        });
        let publisher = thread::spawn({
            let registry = Arc::clone(&registry);
            move || registry.publish((), b"k", lead, WORKER, 1)
        });
        let cancelled = registry.cancel_wait(BOB, wait);
        let bobs = registry.platform().receive(BOB);
        let published = publisher.join().unwrap();
        let mut janitor = killer.join().unwrap();
        done(&registry, &mut janitor);
        assert_eq!(registry.platform().receive(BOB), []);
        assert_eq!(bobs.len(), usize::from(cancelled == Cancelled::Delivered));
        let lead_told = bobs.iter().find_map(|(_, notice)| if let Notice::Lead(lead) = notice { Some(*lead) } else { None });
        match published {
            Ok(_) => {
                assert_eq!(registry.lookup(b"k").unwrap().pid, WORKER);
                assert_eq!(lead_told, None);
            }
            Err(error) => {
                assert_eq!(error, PublishError::Stale);
                match lead_told {
                    Some(lead) => registry.resign(lead).unwrap(),
                    None => assert_eq!(cancelled, Cancelled::Silent),
                }
                assert_eq!(registry.lookup(b"k"), Err(LookupError::NotFound));
                assert_eq!(registry.resign(lead), Err(LeadError::Stale));
            }
        }
    });
}

#[test]
fn sends_nothing_after_unsubscribe_returned() {
    explore(None, || {
        let (registry, mut janitor) = registry();
        let generation = registry.register((), b"k", ADA, 1).unwrap();
        let id = registry.subscribe((), b"k", generation, BOB, 1).unwrap();
        registry.subscribe((), b"k", generation, CAT, 2).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let stayed = Arc::new(AtomicUsize::new(0));
        let sender = thread::spawn({
            let (registry, over, stayed) = (Arc::clone(&registry), Arc::clone(&over), Arc::clone(&stayed));
            move || {
                registry
                    .broadcast(b"k", None, 10, |pid, _| match pid {
                        BOB => assert!(!over.load(Ordering::SeqCst), "sent after unsubscribe returned"),
                        _ => {
                            stayed.fetch_add(1, Ordering::SeqCst);
                        }
                    })
                    .unwrap();
            }
        });
        registry.unsubscribe(BOB, id);
        over.store(true, Ordering::SeqCst);
        sender.join().unwrap();
        assert_eq!(stayed.load(Ordering::SeqCst), 1);
        done(&registry, &mut janitor);
    });
}

#[test]
fn sends_nothing_after_unsubscribe_from_a_life_that_ends() {
    explore(None, || {
        let (registry, mut janitor) = registry();
        let generation = registry.register((), b"k", ADA, 1).unwrap();
        let id = registry.subscribe((), b"k", generation, BOB, 1).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let sender = thread::spawn({
            let (registry, over) = (Arc::clone(&registry), Arc::clone(&over));
            move || {
                // The key may be gone already.
                let _ = registry.broadcast(b"k", None, 10, |_, _| assert!(!over.load(Ordering::SeqCst), "sent after unsubscribe returned"));
            }
        });
        let cleaner = thread::spawn({
            let registry = Arc::clone(&registry);
            move || {
                registry.unregister(b"k", ADA).unwrap();
                settle(&mut janitor);
                janitor
            }
        });
        registry.unsubscribe(BOB, id);
        over.store(true, Ordering::SeqCst);
        sender.join().unwrap();
        let mut janitor = cleaner.join().unwrap();
        done(&registry, &mut janitor);
    });
}
