//! Walking what a function does, callees included, with their values in the terms of the function walked from.

use crate::Place;
use crate::eval::Frame;
use crate::program::Program;
use crate::summary::{Effect, ExitHandling, FunctionId, Item, ItemKind, ScopeKind, Summary};
use crate::value::{Shape, Value};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Effects visited in one walk at most.
const EVENTS_MAX: usize = 256;
/// Items looked at in one walk at most: the bound on its cost.
const STEPS_MAX: usize = 2_000;
/// Times one callee is entered in one walk: what it does is seen, and that it is done again.
const VISITS_MAX: u8 = 3;

/// One effect, seen from the function walked from.
#[derive(Clone)]
pub struct Event<'s> {
    /// The functions entered, the one walked from first; the effect stands in the last.
    pub functions: SmallVec<[FunctionId; 6]>,
    /// For each of them, the index of the item followed; the last one is the effect's.
    pub path: SmallVec<[u32; 6]>,
    pub effect: &'s Effect,
    pub item: &'s Item,
    /// The effect's arguments, in the terms of the function walked from.
    pub args: SmallVec<[Value; 2]>,
    /// The function, by its index in `functions`, in which the target was got; deeper ones were given it.
    pub target_from: usize,
}

impl Event<'_> {
    pub fn target(&self) -> Option<&Value> {
        self.args.get(self.effect.model.target?)
    }

    pub fn key(&self) -> Option<&Value> {
        self.args.get(self.effect.model.key?)
    }

    pub fn message(&self) -> Option<&Value> {
        self.args.get(self.effect.model.message?)
    }

    /// The function that holds the effect.
    pub fn function(&self) -> FunctionId {
        self.functions.last().copied().unwrap_or(FunctionId(0))
    }

    /// The index, in the function walked from, of the item that leads here.
    pub fn first_item(&self) -> usize {
        self.path.first().map_or(0, |index| *index as usize)
    }

    pub fn place(&self, program: &Program<'_>) -> Place {
        program.place(self.function(), self.item.name_span)
    }

    /// The call sites on the way, outermost first, then the effect's own place.
    pub fn way(&self, program: &Program<'_>) -> Vec<Place> {
        let site = |(function, index): (&FunctionId, &u32)| {
            let item = program.summary(*function).items.get(*index as usize)?;
            Some(program.place(*function, item.name_span))
        };
        self.functions.iter().zip(&self.path).filter_map(site).collect()
    }

    /// How an exit from the effect is handled on its way out.
    pub fn exit_handling(&self, program: &Program<'_>) -> (ExitHandling, FunctionId) {
        let mut listed = None;
        for (function, index) in self.functions.iter().zip(&self.path).rev() {
            let summary = program.summary(*function);
            let Some(item) = summary.items.get(*index as usize) else { continue };
            match summary.exit_handling(item.scope) {
                ExitHandling::Caught => return (ExitHandling::Caught, *function),
                ExitHandling::Listed(index) => listed = listed.or(Some((ExitHandling::Listed(index), *function))),
                ExitHandling::Uncaught => {}
            }
        }
        listed.unwrap_or((ExitHandling::Uncaught, self.function()))
    }

    /// Whether some scope on the way is of the kind wanted.
    pub fn within(&self, program: &Program<'_>, wanted: impl Fn(ScopeKind) -> bool) -> bool {
        self.functions.iter().zip(&self.path).any(|(function, index)| {
            let summary = program.summary(*function);
            summary.items.get(*index as usize).is_some_and(|item| summary.in_scope(item.scope, &wanted))
        })
    }

    /// Whether it runs in the process that runs the function walked from.
    pub fn here(&self, program: &Program<'_>) -> bool {
        !self.within(program, |kind| matches!(kind, ScopeKind::Elsewhere | ScopeKind::AtTarget | ScopeKind::Stored))
    }

    /// Whether both can happen in one run.
    pub fn compatible(&self, other: &Self, program: &Program<'_>) -> bool {
        let differing = self.path.iter().zip(&other.path).position(|(a, b)| a != b);
        let Some(level) = differing else { return false };
        let (Some(function), Some(a), Some(b)) = (self.functions.get(level), self.path.get(level), other.path.get(level)) else {
            return false;
        };
        let summary = program.summary(*function);
        match (summary.items.get(*a as usize), summary.items.get(*b as usize)) {
            (Some(a), Some(b)) => a.clause == b.clause && summary.compatible(a.arm, b.arm),
            _ => false,
        }
    }
}

impl<'p> Program<'p> {
    /// The effects of the kinds in `mask` that `root` has, in order, those of its callees included.
    pub fn events(&self, root: FunctionId, mask: u64) -> Vec<Event<'_>> {
        self.events_of_clauses(root, mask, u64::MAX)
    }

    /// The same, for some of its clauses alone (one bit each).
    pub fn events_of_clauses(&self, root: FunctionId, mask: u64, clauses: u64) -> Vec<Event<'_>> {
        let mut walk = Walk {
            program: self,
            mask,
            steps: 0,
            events: Vec::new(),
            functions: SmallVec::new(),
            path: SmallVec::new(),
            calls: SmallVec::new(),
            visits: FxHashMap::default(),
        };
        walk.function(root, clauses);
        walk.events
    }

    /// The kinds of effects that an item has or leads to.
    pub fn item_reach(&self, item: &Item) -> u64 {
        match &item.kind {
            ItemKind::Effect(effect) => effect.kind.bit(),
            ItemKind::Call { callee, .. } => self.summary(*callee).reach,
            ItemKind::Foreign { .. } => 0,
        }
    }

    /// Whether two different items of `summary` have the kinds of `first` and `second`, in this order and in one run.
    pub fn has_pair(&self, summary: &Summary, first: u64, second: u64) -> bool {
        let earlier = summary.items.iter().position(|item| self.item_reach(item) & first != 0);
        let later = summary.items.iter().rposition(|item| self.item_reach(item) & second != 0);
        matches!((earlier, later), (Some(a), Some(b)) if a < b)
    }
}

struct Walk<'s, 'p> {
    program: &'s Program<'p>,
    mask: u64,
    steps: usize,
    events: Vec<Event<'s>>,
    functions: SmallVec<[FunctionId; 6]>,
    path: SmallVec<[u32; 6]>,
    /// The arguments of the calls followed, each in the terms of the function that makes it.
    calls: SmallVec<[&'s [Value]; 6]>,
    visits: FxHashMap<FunctionId, u8>,
}

impl<'s> Walk<'s, '_> {
    fn function(&mut self, id: FunctionId, clauses: u64) {
        let visits = self.visits.entry(id).or_default();
        if *visits >= VISITS_MAX || self.functions.contains(&id) {
            return;
        }
        *visits += 1;
        let program = self.program;
        let summary = program.summary(id);
        if summary.reach & self.mask == 0 {
            return;
        }
        self.functions.push(id);
        for (index, item) in summary.items.iter().enumerate() {
            if item.clause < 64 && clauses & (1 << item.clause) == 0 {
                continue;
            }
            self.steps += 1;
            if self.steps > STEPS_MAX || self.events.len() >= EVENTS_MAX {
                break;
            }
            self.path.push(index as u32);
            self.item(item);
            self.path.pop();
        }
        self.functions.pop();
    }

    fn item(&mut self, item: &'s Item) {
        match &item.kind {
            ItemKind::Effect(effect) if self.mask & effect.kind.bit() != 0 => {
                let args = effect.args.iter().map(|value| self.seen_from_root(value)).collect();
                let (functions, path) = (self.functions.clone(), self.path.clone());
                let target_from = effect.target().map_or(0, |target| self.got_in(target));
                self.events.push(Event { functions, path, effect, item, args, target_from });
            }
            ItemKind::Call { callee, args, clauses } if self.program.summary(*callee).reach & self.mask != 0 => {
                self.calls.push(args);
                self.function(*callee, *clauses);
                self.calls.pop();
            }
            _ => {}
        }
    }

    /// How far up the value was given as an argument: the index of the function in which it was got.
    fn got_in(&self, value: &Value) -> usize {
        let given = |value: &Value| value.alts.iter().any(|alt| matches!(alt.shape, Shape::Symbolic { .. }));
        let mut level = self.calls.len();
        let mut value = value.clone();
        for args in self.calls.iter().rev() {
            if !given(&value) {
                break;
            }
            value = Frame::new(args, &[]).value(&value);
            level -= 1;
        }
        level
    }

    /// A value of the function at hand, in the terms of the one walked from.
    fn seen_from_root(&self, value: &Value) -> Value {
        self.calls.iter().rev().fold(value.clone(), |value, args| Frame::new(args, &[]).value(&value))
    }
}
