//! Random operations and deaths, one after the other, against the model; and that links and roles belong together whenever the janitor is done.

use proptest::prelude::*;

use super::super::{Events, Generation, Janitor, Registry, Step as JanitorStep};
use super::driver::{self, Held};
use super::links::roles_match_links;
use super::model::{EventSeen, KeyModel, ROLES, Step, Told};
use super::world::{Pid, World, settle};
use crate::sync::Arc;

const KEYS: [&[u8]; 3] = [b"a", b"b", b"a key that is longer than what an entry keeps inside"];
const PIDS: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Command {
    Lookup,
    Register,
    Unregister,
    PutValue,
    Subscribe,
    Broadcast,
    Enter,
    Publish,
    GiveBack,
    BeginRemove,
    Evict,
    Kill,
    Settle,
}

use Command::{BeginRemove, Broadcast, Enter, Evict, GiveBack, Kill, Lookup, Publish, PutValue, Register, Settle, Subscribe, Unregister};

/// What to do, to which key, as which process, and a number to choose among what that needs.
type Choice = (Command, usize, usize, u32);

fn choices() -> impl Strategy<Value = Vec<Choice>> {
    // Kinds that begin something come more often than those that end it.
    let commands = prop::sample::select(vec![
        Lookup,
        Register,
        Register,
        Register,
        Unregister,
        PutValue,
        Subscribe,
        Subscribe,
        Subscribe,
        Broadcast,
        Enter,
        Enter,
        Enter,
        Enter,
        Publish,
        Publish,
        GiveBack,
        GiveBack,
        GiveBack,
        BeginRemove,
        Evict,
        Kill,
        Kill,
        Settle,
        Settle,
    ]);
    prop::collection::vec((commands, 0..KEYS.len(), 0..PIDS, 0..1000_u32), 0..if cfg!(miri) { 30 } else { 120 })
}

/// A registry and its model side by side.
struct Twin {
    registry: Arc<Registry<World>>,
    janitor: Janitor<World>,
    /// Per key, all states it may be in.
    models: [Vec<KeyModel>; 3],
    held: [Vec<Held>; 3],
    /// Waits and subscriptions by tag: key and stamp.
    tags: Vec<(usize, u64)>,
    pids: [Pid; PIDS],
    unburied: Vec<Pid>,
    pids_made: u32,
}

impl Twin {
    fn new(shards: usize) -> Self {
        let registry = World::registry(shards, Events::Reported);
        Self {
            janitor: Janitor::new(Arc::clone(&registry)),
            registry,
            models: std::array::from_fn(|_| vec![KeyModel::new()]),
            held: Default::default(),
            tags: Vec::new(),
            pids: std::array::from_fn(|index| Pid(index as u32)),
            unburied: Vec::new(),
            pids_made: PIDS as u32,
        }
    }

    fn step(&mut self, key: usize, step: &Step) {
        let after = self.models[key].iter().flat_map(|model| model.after(step)).collect::<Vec<_>>();
        assert!(!after.is_empty(), "{step:?} is not allowed in any of {:?}", self.models[key]);
        self.models[key] = after;
    }

    fn step_all(&mut self, step: &Step) {
        (0..KEYS.len()).for_each(|key| self.step(key, step));
    }

    fn done(&mut self, key: usize, (step, held): (Step, Option<Held>)) {
        self.step(key, &step);
        self.held[key].extend(held);
    }

    /// One of the things given by this key, the recent ones more often.
    fn pick(&self, key: usize, number: u32, wanted: impl Fn(&Held) -> bool) -> Option<Held> {
        let found = self.held[key].iter().rev().filter(|held| wanted(held)).collect::<Vec<_>>();
        let number = number as usize;
        found.get((number % 7).min(number % found.len().max(1))).copied().copied()
    }

    fn run(&mut self, (command, key, pid, number): Choice) {
        let registry = Arc::clone(&self.registry);
        let (name, pid) = (KEYS[key], self.pids[pid]);
        match command {
            Lookup => self.done(key, driver::lookup(&registry, name)),
            Register => self.done(key, driver::register(&registry, name, pid, number)),
            Unregister => self.done(key, driver::unregister(&registry, name, pid)),
            PutValue => self.done(key, driver::put_value(&registry, name, pid, number)),
            BeginRemove => self.done(key, driver::begin_remove(&registry, name, pid, number)),
            Subscribe => self.subscribe(key, pid, number),
            Broadcast => self.broadcast(key, number),
            Enter => self.enter(key, pid),
            Publish => {
                let Some(Held::Lead(lead)) = self.pick(key, number, |held| matches!(held, Held::Lead(_))) else { return };
                // Now and then a process that is dead.
                let started = self.unburied.last().copied().filter(|_| number.is_multiple_of(4)).unwrap_or(pid);
                self.done(key, driver::publish(&registry, name, lead, started, number));
            }
            GiveBack => {
                let living = |held: &Held| match held {
                    Held::Wait(owner, _) | Held::Subscription(owner, _) => self.pids.contains(owner),
                    _ => true,
                };
                let Some(held) = self.pick(key, number, |held| !matches!(held, Held::Generation(_)) && living(held)) else { return };
                // A wait is given up once: a second time the process knows already that it is over.
                if let Held::Wait(_, id) = held {
                    self.held[key].retain(|other| !matches!(other, Held::Wait(_, other) if other.stamp == id.stamp));
                }
                let step = driver::give_back(&registry, name, held, number);
                step.iter().for_each(|step| self.step(key, step));
            }
            Evict => {
                let Ok(live) = registry.lookup(name) else { return };
                if !registry.platform().is_alive(live.pid) {
                    registry.evict(name, live.generation).unwrap();
                    self.step(key, &Step::Evict { generation: live.generation });
                }
            }
            Kill => {
                registry.platform().kill(pid);
                self.step_all(&Step::Die { pid });
                self.unburied.push(pid);
                self.pids_made += 1;
                let fresh = Pid(self.pids_made);
                self.pids.iter_mut().filter(|own| **own == pid).for_each(|own| *own = fresh);
            }
            Settle => self.settle(),
        }
    }

    fn tag(&mut self, key: usize, step: &Step) {
        let stamp = match step {
            Step::Subscribe { seen: Ok(stamp), .. } => *stamp,
            Step::Enter { seen: Ok(super::model::Entered::Waiting(stamp)), .. } => *stamp,
            _ => 0,
        };
        self.tags.push((key, stamp));
    }

    fn subscribe(&mut self, key: usize, pid: Pid, number: u32) {
        let current =
            self.registry.lookup(KEYS[key]).ok().map(|live| Held::Generation(live.generation)).filter(|_| !number.is_multiple_of(5));
        let known = current.or_else(|| self.pick(key, number, |held| matches!(held, Held::Generation(_))));
        let generation = if let Some(Held::Generation(generation)) = known { generation } else { Generation(1) };
        let tag = self.tags.len() as u32;
        let done = driver::subscribe(&self.registry, KEYS[key], generation, pid, tag);
        self.tag(key, &done.0);
        self.done(key, done);
    }

    fn enter(&mut self, key: usize, pid: Pid) {
        let tag = self.tags.len() as u32;
        let done = driver::enter(&self.registry, KEYS[key], pid, tag);
        self.tag(key, &done.0);
        self.done(key, done);
    }

    fn broadcast(&mut self, key: usize, number: u32) {
        let seen = driver::broadcast(&self.registry, KEYS[key], number as usize % 5 + 1).map(|tags| {
            let mut stamps = tags.iter().map(|tag| self.tags[*tag as usize].1).collect::<Vec<_>>();
            stamps.sort_unstable();
            stamps
        });
        self.step(key, &Step::Broadcast { seen });
    }

    /// The janitor finishes; then everything is compared.
    fn settle(&mut self) {
        assert_eq!(settle(&mut self.janitor), JanitorStep::Idle);
        for pid in std::mem::take(&mut self.unburied) {
            ROLES.into_iter().for_each(|role| self.step_all(&Step::Bury { pid, role }));
        }
        for pid in self.pids {
            for (tag, notice) in self.registry.platform().receive(pid) {
                let (key, stamp) = self.tags[tag as usize];
                if let super::super::Notice::Lead(lead) = notice {
                    self.held[key].push(Held::Lead(lead));
                }
                self.step(key, &Step::Receive { stamp, seen: Told::of(&notice) });
                self.held[key].retain(|held| !matches!(held, Held::Wait(_, id) if id.stamp == stamp));
            }
        }
        self.compare_events();
        for (key, name) in KEYS.iter().enumerate() {
            self.models[key].retain(|model| model.told().next().is_none());
            assert!(!self.models[key].is_empty(), "somebody was not told");
            self.models[key].dedup();
            let seen = driver::lookup(&self.registry, name).0;
            self.step(key, &seen);
        }
        roles_match_links(&self.registry);
    }

    fn compare_events(&mut self) {
        let mut seen: [Vec<EventSeen>; 3] = Default::default();
        for (name, event) in self.registry.platform().take_events().into_iter().map(EventSeen::of) {
            let key = KEYS.iter().position(|key| **key == *name).unwrap();
            seen[key].push(event);
        }
        for (models, seen) in self.models.iter_mut().zip(seen) {
            let expected = models.clone();
            models.retain_mut(|model| model.take_events() == seen);
            assert!(!models.is_empty(), "{seen:?} are not the events of any of {expected:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 1500 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_the_model_says(choices in choices(), shards in 1..5_usize) {
        let mut twin = Twin::new(shards);
        choices.into_iter().for_each(|choice| twin.run(choice));
        twin.settle();
        for pid in twin.pids {
            twin.registry.platform().kill(pid);
        }
        prop_assert_eq!(settle(&mut twin.janitor), JanitorStep::Idle);
        prop_assert_eq!(twin.registry.pids.size().0, 0);
        prop_assert_eq!(twin.registry.platform().monitors(), 0);
    }
}
