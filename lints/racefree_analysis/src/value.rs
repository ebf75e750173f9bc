//! Abstract values: what an expression may evaluate to.
//!
//! A [`Value`] is a set of alternatives, each with the observation it came from (see [`Origin`]), a symbolic [`Term`] for identity, and the
//! set of observations of its own function that it depends on. The set is capped, so every join ends.

use crate::Place;
use crate::term::{Term, TermKind};
use racefree_models::EffectKind;
use racefree_syntax::{Symbol, symbol};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// More alternatives than this that are no atoms become [`Shape::Any`].
pub const ALTERNATIVES_MAX: usize = 10;
/// More atoms than this do too, except an observed nil: none is ever lost.
pub const ATOMS_MAX: usize = 20;
/// Structure below this depth is forgotten.
pub const DEPTH_MAX: usize = 6;
/// A value in a summary has no more parts than this.
pub const PARTS_MAX: usize = 96;
/// A value of more parts than this is settled even while its function is evaluated.
const NESTED_MAX: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub alts: SmallVec<[Alt; 1]>,
    pub term: Term,
    pub deps: Deps,
}

/// Which observations of the function at hand a value depends on: one bit each, by number modulo 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deps(pub u64);

impl Deps {
    pub fn join(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alt {
    pub shape: Shape,
    pub origin: Option<Arc<Origin>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Anything, and nothing speaks for nil.
    Any,
    Atom(Symbol),
    Pid,
    Ref,
    Number,
    Text,
    Tuple(Arc<[Value]>),
    /// A list, perhaps empty; the value stands for each element.
    List(Arc<Value>),
    Map(Arc<MapShape>),
    /// An anonymous function of the clause under evaluation, by number. It never leaves its function's summary.
    Closure(u32),
    Function {
        module: Symbol,
        name: Symbol,
        arity: u32,
    },
    /// What the caller gave: resolved when the summary is used.
    Symbolic {
        term: Term,
        not_nil: bool,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapShape {
    pub struct_name: Option<Symbol>,
    pub fields: Vec<(Symbol, Value)>,
    /// What the other fields come from.
    pub base: Option<Term>,
}

/// The observation of shared state that a value came from, and the way it took.
#[derive(Debug, PartialEq, Eq)]
pub struct Origin {
    pub kind: OriginKind,
    pub place: Place,
    /// The step before; `None` for the observation itself.
    pub earlier: Option<Arc<Origin>>,
    pub length: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginKind {
    /// A library function looked at shared state.
    Observed { effect: EffectKind, module: Symbol, name: Symbol },
    /// A clause chosen by an observation gave this value.
    Chosen,
    /// A handler of an exception gave this value.
    Rescued,
    /// Returned by a function of the program.
    Returned { module: Symbol, name: Symbol },
    /// Replied by a server's callback.
    Replied { module: Symbol },
}

/// Ways longer than this are not drawn further.
const ORIGIN_STEPS_MAX: u8 = 16;

impl Origin {
    pub fn observed(effect: EffectKind, module: Symbol, name: Symbol, place: Place) -> Arc<Self> {
        Arc::new(Self { kind: OriginKind::Observed { effect, module, name }, place, earlier: None, length: 1 })
    }

    /// This origin, one step further.
    pub fn then(self: &Arc<Self>, kind: OriginKind, place: Place) -> Arc<Self> {
        if self.length >= ORIGIN_STEPS_MAX {
            return Arc::clone(self);
        }
        Arc::new(Self { kind, place, earlier: Some(Arc::clone(self)), length: self.length + 1 })
    }

    /// The observation at the start of the way.
    pub fn root(&self) -> &Self {
        let mut origin = self;
        while let Some(earlier) = &origin.earlier {
            origin = earlier;
        }
        origin
    }

    /// The way of `later`, which was gone because this one's answer was nil.
    pub fn continued_by(self: &Arc<Self>, later: &Arc<Self>) -> Arc<Self> {
        later.steps().into_iter().fold(Arc::clone(self), |origin, step| origin.then(step.kind.clone(), step.place))
    }

    /// From the observation to the last step.
    pub fn steps(&self) -> Vec<&Self> {
        let mut steps = vec![self];
        let mut origin = self;
        while let Some(earlier) = &origin.earlier {
            steps.push(earlier);
            origin = earlier;
        }
        steps.reverse();
        steps
    }
}

/// Whether a value may pass for `nil`-like: `nil`, or `:undefined` where Erlang says so.
pub fn is_absent(atom: Symbol) -> bool {
    atom == symbol("nil") || atom == symbol("undefined")
}

/// `nil` and `false`.
pub fn is_falsy(atom: Symbol) -> bool {
    atom == symbol("nil") || atom == symbol("false")
}

impl Alt {
    pub fn new(shape: Shape) -> Self {
        Self { shape, origin: None }
    }

    fn is_observed_nil(&self) -> bool {
        self.origin.is_some() && matches!(self.shape, Shape::Atom(atom) if is_absent(atom))
    }

    fn settled_within(&self, depth: usize, parts_left: &mut usize) -> Self {
        let affordable = if depth == 0 { 0 } else { *parts_left };
        let shape = match &self.shape {
            Shape::Tuple(parts) if parts.len() <= affordable => {
                *parts_left -= parts.len();
                Shape::Tuple(parts.iter().map(|part| part.settled_within(depth - 1, parts_left)).collect())
            }
            Shape::List(element) if affordable > 0 => {
                *parts_left -= 1;
                Shape::List(Arc::new(element.settled_within(depth - 1, parts_left)))
            }
            Shape::Map(map) if depth > 0 => {
                // A map that lacks a field gives anything for it: of a wide one the first fields stay.
                let paid = map.fields.len().min(*parts_left);
                *parts_left -= paid;
                let field = |(name, value): &(Symbol, Value)| (*name, value.settled_within(depth - 1, parts_left));
                let fields = map.fields.iter().take(paid).map(field).collect();
                Shape::Map(Arc::new(MapShape { struct_name: map.struct_name, base: map.base.clone(), fields }))
            }
            Shape::Closure(_) | Shape::Tuple(_) | Shape::List(_) | Shape::Map(_) => Shape::Any,
            other => other.clone(),
        };
        Self { shape, origin: self.origin.clone() }
    }

    /// The same kind of thing from the same observation: not worth keeping twice.
    fn covers(&self, other: &Self) -> bool {
        if let (Some(mine), Some(theirs)) = (&self.origin, &other.origin)
            && theirs.length > mine.length
            && theirs.root().place == mine.root().place
        {
            // The same observation, with more of its way known.
            return false;
        }
        let same = match (&self.shape, &other.shape) {
            (Shape::Atom(a), Shape::Atom(b)) => a == b,
            (Shape::Any, Shape::Any) | (Shape::Pid, Shape::Pid) | (Shape::Ref, Shape::Ref) => true,
            (Shape::Number, Shape::Number) | (Shape::Text, Shape::Text) => true,
            (Shape::Closure(a), Shape::Closure(b)) => a == b,
            (Shape::Symbolic { term: a, not_nil: x }, Shape::Symbolic { term: b, not_nil: y }) => a == b && (x == y || *y),
            (Shape::Function { module: a, name: b, arity: c }, Shape::Function { module: x, name: y, arity: z }) => (a, b, c) == (x, y, z),
            _ => false,
        };
        same && (self.origin.is_some() || other.origin.is_none())
    }
}

impl Value {
    pub fn of(shape: Shape, term: Term) -> Self {
        Self { alts: smallvec![Alt::new(shape)], term, deps: Deps::default() }
    }

    pub fn any(term: Term) -> Self {
        Self::of(Shape::Any, term)
    }

    pub fn atom(name: Symbol) -> Self {
        Self::of(Shape::Atom(name), Term::atom(name))
    }

    /// No value at all: the code before it does not return.
    pub fn never(term: Term) -> Self {
        Self { alts: SmallVec::new(), term, deps: Deps::default() }
    }

    pub fn symbolic(term: Term) -> Self {
        Self::of(Shape::Symbolic { term: term.clone(), not_nil: false }, term)
    }

    /// A tuple written out: each part keeps its own dependencies, so that taking it apart again loses nothing.
    pub fn tuple(parts: Vec<Self>) -> Self {
        let term = tuple_term(&parts);
        Self::of(Shape::Tuple(parts.into()), term).bounded()
    }

    /// What the value or any part of it depends on.
    pub fn all_deps(&self) -> Deps {
        self.alts.iter().fold(self.deps, |deps, alt| match &alt.shape {
            Shape::Tuple(parts) => parts.iter().fold(deps, |deps, part| deps.join(part.all_deps())),
            Shape::List(element) => deps.join(element.all_deps()),
            Shape::Map(map) => map.fields.iter().fold(deps, |deps, (_, value)| deps.join(value.all_deps())),
            _ => deps,
        })
    }

    pub fn list(element: Self, term: Term) -> Self {
        let deps = element.deps;
        Self { deps, ..Self::of(Shape::List(Arc::new(element)), term) }.bounded()
    }

    pub fn map(map: MapShape, term: Term) -> Self {
        let deps = map.fields.iter().fold(Deps::default(), |deps, (_, value)| deps.join(value.deps));
        Self { deps, ..Self::of(Shape::Map(Arc::new(map)), term) }.bounded()
    }

    pub fn is_never(&self) -> bool {
        self.alts.is_empty()
    }

    pub fn with_deps(mut self, deps: Deps) -> Self {
        self.deps = self.deps.join(deps);
        self
    }

    /// One value that stands for both. The term stays only when both agree.
    ///
    /// Laws, for the kinds of things that a value may be (of a tuple its size): idempotent; commutative and associative as long as the caps
    /// admit all that comes together, and where they do not, every order gives [`Shape::Any`] in place of some. No observed nil is lost.
    pub fn join(mut self, other: Self, site: &Term) -> Self {
        if self.is_never() {
            return Self { deps: self.deps.join(other.deps), ..other };
        }
        self.deps = self.deps.join(other.deps);
        if other.is_never() {
            return self;
        }
        if self.term != other.term {
            self.term = site.clone();
        }
        for alt in other.alts {
            self.add(alt, 0);
        }
        self
    }

    fn add(&mut self, alt: Alt, depth: usize) {
        if self.alts.iter().any(|known| known.covers(&alt)) {
            return;
        }
        if let Some(known) = self.alts.iter_mut().find(|known| alt.covers(known)) {
            *known = alt;
            return;
        }
        match &alt.shape {
            Shape::List(element) => {
                if let Some(Alt { shape: Shape::List(known), .. }) =
                    self.alts.iter_mut().find(|known| matches!(known.shape, Shape::List(_)))
                {
                    *known = Arc::new(join_parts(known, element, depth));
                    return;
                }
            }
            Shape::Tuple(parts) => {
                for known in &mut self.alts {
                    if known.origin.is_some() == alt.origin.is_some()
                        && let Shape::Tuple(old) = &mut known.shape
                        && same_tag(old, parts)
                    {
                        *old = old.iter().zip(parts.iter()).map(|(a, b)| join_parts(a, b, depth)).collect();
                        return;
                    }
                }
            }
            Shape::Map(new) => {
                if let Some(Alt { shape: Shape::Map(known), .. }) = self.alts.iter_mut().find(|known| matches!(known.shape, Shape::Map(_)))
                {
                    *known = Arc::new(join_maps(known, new, depth));
                    return;
                }
            }
            _ => {}
        }
        if self.has_room_for(&alt) {
            self.alts.push(alt);
        } else if !self.alts.iter().any(|known| matches!(known.shape, Shape::Any)) {
            self.alts.push(Alt::new(Shape::Any));
        }
    }

    /// Atoms and others are counted apart, so that the order in which they come does not decide what is kept.
    fn has_room_for(&self, alt: &Alt) -> bool {
        let is_atom = |alt: &Alt| matches!(alt.shape, Shape::Atom(_));
        let max = if is_atom(alt) { ATOMS_MAX } else { ALTERNATIVES_MAX };
        self.alts.len() < max || alt.is_observed_nil() || self.alts.iter().filter(|known| is_atom(known) == is_atom(alt)).count() < max
    }

    /// The alternatives for which `keep` holds.
    pub fn filter(mut self, keep: impl Fn(&Alt) -> bool) -> Self {
        self.alts.retain(|alt| keep(alt));
        self
    }

    /// The value, given that it is neither nil nor false.
    pub fn truthy(mut self) -> Self {
        self.alts.retain(|alt| !matches!(alt.shape, Shape::Atom(atom) if is_falsy(atom)));
        self.mark_not_nil();
        self
    }

    /// The value, given that it is nil or false.
    pub fn falsy(mut self) -> Self {
        let unknown = self.alts.iter().any(|alt| matches!(alt.shape, Shape::Any | Shape::Symbolic { not_nil: false, .. }));
        self.alts.retain(|alt| matches!(alt.shape, Shape::Atom(atom) if is_falsy(atom)));
        if unknown && self.alts.is_empty() {
            self.alts.push(Alt::new(Shape::Atom(symbol("nil"))));
        }
        self
    }

    pub fn not_atom(mut self, atom: Symbol) -> Self {
        self.alts.retain(|alt| !matches!(alt.shape, Shape::Atom(known) if known == atom));
        if is_absent(atom) {
            self.mark_not_nil();
        }
        self
    }

    fn mark_not_nil(&mut self) {
        for alt in &mut self.alts {
            if let Shape::Symbolic { not_nil, .. } = &mut alt.shape {
                *not_nil = true;
            }
        }
    }

    /// The value, given that it is no atom at all (a pid, say).
    pub fn not_any_atom(mut self) -> Self {
        self.alts.retain(|alt| !matches!(alt.shape, Shape::Atom(_)));
        self.mark_not_nil();
        self
    }

    /// The first alternative that is nil (or `:undefined`) and came from an observation.
    pub fn observed_nil(&self) -> Option<&Arc<Origin>> {
        self.alts.iter().find_map(|alt| match alt.shape {
            Shape::Atom(atom) if is_absent(atom) => alt.origin.as_ref(),
            _ => None,
        })
    }

    /// The first observation any alternative came from.
    pub fn origin(&self) -> Option<&Arc<Origin>> {
        self.alts.iter().find_map(|alt| alt.origin.as_ref())
    }

    /// Gives every alternative that has no origin yet this one.
    pub fn marked_with(mut self, origin: &Arc<Origin>) -> Self {
        for alt in &mut self.alts {
            alt.origin.get_or_insert_with(|| Arc::clone(origin));
        }
        self
    }

    /// One step further for each alternative that has an origin.
    pub fn travelled(mut self, kind: &OriginKind, place: Place) -> Self {
        for alt in &mut self.alts {
            if let Some(origin) = &alt.origin {
                alt.origin = Some(origin.then(kind.clone(), place));
            }
        }
        self
    }

    /// Element `index` of the tuple.
    pub fn item(&self, index: u32) -> Self {
        let term = self.term.item(index);
        self.project(&term, |alt| match &alt.shape {
            Shape::Tuple(parts) => Some(parts.get(index as usize).cloned().unwrap_or_else(|| Self::never(term.clone()))),
            Shape::Symbolic { term, .. } => Some(Self::symbolic(term.item(index))),
            _ => None,
        })
    }

    /// An element of the collection.
    pub fn element(&self) -> Self {
        let term = self.term.element();
        self.project(&term, |alt| match &alt.shape {
            Shape::List(element) => Some((**element).clone()),
            Shape::Symbolic { term, .. } => Some(Self::symbolic(term.element())),
            _ => None,
        })
    }

    /// A field of the map, struct, record or keyword list.
    pub fn field(&self, name: Symbol) -> Self {
        let term = self.term.field(name);
        self.project(&term, |alt| match &alt.shape {
            Shape::Map(map) => map.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.clone()).or_else(|| {
                let base = map.base.as_ref()?;
                base.is_open().then(|| Self::symbolic(base.field(name)))
            }),
            Shape::Symbolic { term, .. } => Some(Self::symbolic(term.field(name))),
            _ => None,
        })
    }

    /// `part` of each alternative; what has no such part gives anything, from the same observation.
    fn project(&self, term: &Term, part: impl Fn(&Alt) -> Option<Self>) -> Self {
        let mut result = Self::never(term.clone());
        for alt in &self.alts {
            let found = match part(alt) {
                Some(found) => found,
                None if matches!(alt.shape, Shape::Any) => Self::any(term.clone()),
                None => continue,
            };
            let found = match &alt.origin {
                Some(origin) => found.marked_unless_atom(origin),
                None => found,
            };
            result = result.join(found, term);
        }
        if result.is_never() {
            result = Self::any(term.clone());
        }
        if result.alts.len() == 1 && matches!(result.alts.first(), Some(Alt { shape: Shape::Any, .. })) {
            result.term = term.clone();
        }
        result.with_deps(self.deps)
    }

    /// Parts of an observed thing are observed too; an atom in it is what the owner put there, so it stays as it is.
    fn marked_unless_atom(mut self, origin: &Arc<Origin>) -> Self {
        for alt in &mut self.alts {
            if !matches!(alt.shape, Shape::Atom(_)) {
                alt.origin.get_or_insert_with(|| Arc::clone(origin));
            }
        }
        self
    }

    /// Forgets what a summary cannot carry: closures, structure below `depth`, and what goes beyond [`PARTS_MAX`] parts.
    pub fn settled(&self, depth: usize) -> Self {
        self.settled_within(depth, &mut { PARTS_MAX })
    }

    /// Invariant: whoever opens a structure pays for one alternative of each part. A part that cannot pay for its others becomes "anything",
    /// besides an observed nil: so there are at most two alternatives for each part paid for.
    fn settled_within(&self, depth: usize, parts_left: &mut usize) -> Self {
        let others = self.alts.len().saturating_sub(1);
        let alts = if others > *parts_left {
            let nil = self.alts.iter().find(|alt| alt.is_observed_nil()).cloned();
            nil.into_iter().chain([Alt::new(Shape::Any)]).collect()
        } else {
            *parts_left -= others;
            self.alts.iter().map(|alt| alt.settled_within(depth, parts_left)).collect()
        };
        Self { alts, term: self.term.clone(), deps: self.deps }
    }

    /// The value itself unless its parts, counted as often as they are reached, are too many to walk.
    pub(crate) fn bounded(self) -> Self {
        if self.fits(&mut { NESTED_MAX }) {
            return self;
        }
        let deps = self.all_deps();
        self.settled(DEPTH_MAX).with_deps(deps)
    }

    /// Whether it speaks of no parameter: then it is the same for every caller.
    pub fn is_closed(&self) -> bool {
        !self.term.is_open()
            && self.alts.iter().all(|alt| match &alt.shape {
                Shape::Symbolic { .. } => false,
                Shape::Tuple(parts) => parts.iter().all(Self::is_closed),
                Shape::List(element) => element.is_closed(),
                Shape::Map(map) => {
                    map.base.as_ref().is_none_or(|base| !base.is_open()) && map.fields.iter().all(|(_, value)| value.is_closed())
                }
                _ => true,
            })
    }

    fn fits(&self, parts_left: &mut usize) -> bool {
        self.alts.iter().all(|alt| {
            let Some(left) = parts_left.checked_sub(1) else { return false };
            *parts_left = left;
            match &alt.shape {
                Shape::Tuple(parts) => parts.iter().all(|part| part.fits(parts_left)),
                Shape::List(element) => element.fits(parts_left),
                Shape::Map(map) => map.fields.iter().all(|(_, value)| value.fits(parts_left)),
                _ => true,
            }
        })
    }

    /// The atoms it may be.
    pub fn atoms(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.alts.iter().filter_map(|alt| match alt.shape {
            Shape::Atom(atom) => Some(atom),
            _ => None,
        })
    }

    pub fn is_self(&self) -> bool {
        matches!(self.term.kind(), TermKind::SelfPid)
    }

    /// Adds the parameters of which a part is in it.
    pub fn gather_params(&self, into: &mut Vec<u32>) {
        self.term.gather_params(into);
        for alt in &self.alts {
            match &alt.shape {
                Shape::Tuple(parts) => parts.iter().for_each(|part| part.gather_params(into)),
                Shape::List(element) => element.gather_params(into),
                Shape::Map(map) => {
                    map.base.iter().for_each(|base| base.gather_params(into));
                    map.fields.iter().for_each(|(_, value)| value.gather_params(into));
                }
                Shape::Symbolic { term, .. } => term.gather_params(into),
                _ => {}
            }
        }
    }

    /// Whether the pid of the process at hand is in it.
    pub fn holds_self(&self) -> bool {
        self.is_self()
            || self.alts.iter().any(|alt| match &alt.shape {
                Shape::Tuple(parts) => parts.iter().any(Self::holds_self),
                Shape::List(element) => element.holds_self(),
                Shape::Map(map) => map.fields.iter().any(|(_, value)| value.holds_self()),
                _ => false,
            })
    }

    /// The first tag of a message: the atom itself, or a tuple's first element.
    pub fn tag(&self) -> Option<Symbol> {
        self.alts.iter().find_map(|alt| match &alt.shape {
            Shape::Atom(atom) => Some(*atom),
            Shape::Tuple(parts) => parts.first().and_then(|first| first.atoms().next()),
            _ => None,
        })
    }
}

/// Whether two tuples are so alike that one can stand for both: `{:error, :a}` and `{:error, :b}` stay apart.
fn same_tag(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b, 3))
}

fn alike(a: &Value, b: &Value, depth: usize) -> bool {
    match (a.alts.first().map(|alt| &alt.shape), b.alts.first().map(|alt| &alt.shape)) {
        (Some(Shape::Atom(a)), Some(Shape::Atom(b))) => a == b,
        (Some(Shape::Tuple(a)), Some(Shape::Tuple(b))) => {
            a.len() == b.len() && (depth == 0 || a.iter().zip(b.iter()).all(|(a, b)| alike(a, b, depth - 1)))
        }
        (Some(Shape::Atom(_) | Shape::Tuple(_)), _) | (_, Some(Shape::Atom(_) | Shape::Tuple(_))) => false,
        _ => true,
    }
}

fn join_parts(a: &Value, b: &Value, depth: usize) -> Value {
    if depth >= DEPTH_MAX {
        return Value::any(a.term.clone());
    }
    let mut joined = a.clone();
    if joined.is_never() {
        return b.clone();
    }
    joined.deps = joined.deps.join(b.deps);
    if joined.term != b.term && !b.is_never() {
        joined.term = joined.term.element();
    }
    for alt in &b.alts {
        joined.add(alt.clone(), depth + 1);
    }
    joined
}

/// What both have; what one of them lacks is unknown.
fn join_maps(a: &MapShape, b: &MapShape, depth: usize) -> MapShape {
    let common = a.fields.iter().filter_map(|(name, value)| {
        let (_, other) = b.fields.iter().find(|(known, _)| known == name)?;
        Some((*name, join_parts(value, other, depth)))
    });
    MapShape {
        struct_name: a.struct_name.filter(|name| b.struct_name == Some(*name)),
        fields: common.collect(),
        base: a.base.clone().filter(|base| b.base.as_ref() == Some(base)),
    }
}

pub fn tuple_term(parts: &[Value]) -> Term {
    Term::new(TermKind::Tuple(parts.iter().map(|part| part.term.clone()).collect()))
}
