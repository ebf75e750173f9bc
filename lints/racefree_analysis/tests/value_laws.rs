//! Laws of values: what a join keeps, whichever way it is made, and what bounds it.

use crate::sizes::parts;
use proptest::prelude::*;
use racefree_analysis::Place;
use racefree_analysis::term::Term;
use racefree_analysis::value::{ALTERNATIVES_MAX, ATOMS_MAX, Alt, DEPTH_MAX, MapShape, Origin, OriginKind, PARTS_MAX, Shape, Value};
use racefree_models::EffectKind;
use racefree_syntax::{FileId, Span, symbol};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A value in a summary: parts that were paid for, each with what stands for all that was cut off, and the value's own alternatives.
pub(crate) const SETTLED_PARTS_MAX: usize = 2 * PARTS_MAX + JOINED_MAX;
/// A join's own alternatives: the capped ones, one that stands for the others, and the observed nils, which no cap takes.
const JOINED_MAX: usize = ALTERNATIVES_MAX + ATOMS_MAX + 3;

fn site() -> Term {
    Term::site(FileId(0), Span::new(0, 1))
}

fn origin() -> impl Strategy<Value = Option<Arc<Origin>>> {
    let place = |at: usize| Place { file: FileId(1), span: Span::new(at, at + 1) };
    proptest::option::of((0..4_usize, 0..4_usize).prop_map(move |(at, steps)| {
        let first = Origin::observed(EffectKind::Lookup, symbol("M"), symbol("f"), place(at));
        (0..steps).fold(first, |origin, step| origin.then(OriginKind::Chosen, place(10 + step)))
    }))
}

fn plain_shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        3 => prop_oneof![Just("nil"), Just("undefined"), Just("ok"), Just("error"), Just("true")].prop_map(|name| Shape::Atom(symbol(name))),
        1 => (0..30_usize).prop_map(|number| Shape::Atom(symbol(&format!("a{number}")))),
        1 => prop_oneof![Just(Shape::Any), Just(Shape::Pid), Just(Shape::Ref), Just(Shape::Number), Just(Shape::Text)],
        1 => (0..6_u32).prop_map(|arity| Shape::Function { module: symbol("M"), name: symbol("f"), arity }),
        1 => (0..6_u32).prop_map(Shape::Closure),
        1 => (0..6_u32, any::<bool>()).prop_map(|(index, not_nil)| Shape::Symbolic { term: Term::param(index), not_nil }),
    ]
}

/// One value after the other, joined: the way the analysis makes them.
fn joined(values: Vec<Value>) -> Value {
    values.into_iter().fold(Value::never(site()), |all, value| all.join(value, &site()))
}

fn of_alt(shape: Shape, origin: Option<Arc<Origin>>) -> Value {
    let mut value = Value::never(site());
    value.alts.push(Alt { shape, origin });
    value
}

/// Values nested up to `depth`, each level of up to `width` parts or alternatives.
fn values_of(depth: u32, width: usize) -> impl Strategy<Value = Value> {
    let leaf = (plain_shape(), origin()).prop_map(|(shape, origin)| of_alt(shape, origin));
    leaf.prop_recursive(depth, 64, width as u32, move |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..=width);
        let fields = proptest::collection::vec((prop_oneof![Just("x"), Just("y"), Just("z")], inner.clone()), 0..3);
        prop_oneof![
            2 => list.clone().prop_map(joined),
            1 => (list, origin()).prop_map(|(parts, origin)| of_alt(Shape::Tuple(parts.into()), origin)),
            1 => (inner, origin()).prop_map(|(element, origin)| of_alt(Shape::List(Arc::new(element)), origin)),
            1 => (fields, origin()).prop_map(|(fields, origin)| {
                let mut named: Vec<_> = Vec::new();
                for (name, value) in fields {
                    if named.iter().all(|(known, _)| *known != symbol(name)) {
                        named.push((symbol(name), value));
                    }
                }
                of_alt(Shape::Map(Arc::new(MapShape { fields: named, ..MapShape::default() })), origin)
            }),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    values_of(5, 4)
}

/// Many alternatives, beyond the caps.
fn crowd() -> impl Strategy<Value = Value> {
    proptest::collection::vec(values_of(2, 2), 0..30).prop_map(joined)
}

/// What kinds of things a value may be: of structure only the outermost layer.
fn kinds(value: &Value) -> BTreeSet<String> {
    let kind = |alt: &Alt| match &alt.shape {
        Shape::Any => "any".to_owned(),
        Shape::Atom(name) => format!(":{name}"),
        Shape::Tuple(parts) => format!("tuple of {}", parts.len()),
        Shape::List(_) => "list".to_owned(),
        Shape::Map(_) => "map".to_owned(),
        Shape::Symbolic { term, .. } => format!("{:?}", term.kind()),
        other => format!("{other:?}"),
    };
    value.alts.iter().map(kind).collect()
}

/// The same kinds; or more than the caps admit, which both admit by "anything".
fn agree(a: &Value, b: &Value) -> bool {
    let (a, b) = (kinds(a), kinds(b));
    a == b || (a.contains("any") && b.contains("any"))
}

fn join(a: &Value, b: &Value) -> Value {
    a.clone().join(b.clone(), &site())
}

fn depth(value: &Value) -> usize {
    let below = |alt: &Alt| match &alt.shape {
        Shape::Tuple(parts) => parts.iter().map(|part| 1 + depth(part)).max().unwrap_or(0),
        Shape::List(element) => 1 + depth(element),
        Shape::Map(map) => map.fields.iter().map(|(_, field)| 1 + depth(field)).max().unwrap_or(0),
        _ => 0,
    };
    value.alts.iter().map(below).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn accepts_a_value_joined_with_itself(value in value()) {
        let twice = join(&value, &value);
        prop_assert_eq!(kinds(&twice), kinds(&value));
        prop_assert_eq!(twice.alts.len(), value.alts.len());
    }

    #[test]
    fn accepts_a_crowd_joined_with_itself(value in crowd()) {
        prop_assert_eq!(kinds(&join(&value, &value)), kinds(&value));
    }

    #[test]
    fn accepts_joins_in_either_order(a in value(), b in value()) {
        prop_assert!(agree(&join(&a, &b), &join(&b, &a)));
    }

    #[test]
    fn accepts_joins_of_crowds_in_either_order(a in crowd(), b in crowd()) {
        prop_assert!(agree(&join(&a, &b), &join(&b, &a)));
    }

    #[test]
    fn accepts_joins_however_grouped(a in crowd(), b in value(), c in value()) {
        prop_assert!(agree(&join(&join(&a, &b), &c), &join(&a, &join(&b, &c))));
    }

    /// No alternative is lost: it is there, or "anything" is.
    #[test]
    fn accepts_every_kind_of_both(a in crowd(), b in crowd()) {
        let all = kinds(&join(&a, &b));
        prop_assert!(all.contains("any") || kinds(&a).union(&kinds(&b)).all(|kind| all.contains(kind)));
    }

    #[test]
    fn reports_an_observed_nil_of_either_side(a in crowd(), b in crowd()) {
        let observed = a.observed_nil().is_some() || b.observed_nil().is_some();
        prop_assert_eq!(join(&a, &b).observed_nil().is_some(), observed);
        prop_assert_eq!(join(&b, &a).observed_nil().is_some(), observed);
    }

    #[test]
    fn reports_an_observed_nil_that_is_settled(value in crowd(), depth in 0..=DEPTH_MAX) {
        prop_assert_eq!(value.settled(depth).observed_nil().is_some(), value.observed_nil().is_some());
    }

    #[test]
    fn accepts_the_dependencies_of_both(a in value(), b in value(), mine in any::<u64>(), theirs in any::<u64>()) {
        use racefree_analysis::value::Deps;
        let (a, b) = (a.with_deps(Deps(mine)), b.with_deps(Deps(theirs)));
        prop_assert_eq!(join(&a, &b).deps, Deps(mine | theirs));
    }

    #[test]
    fn accepts_joins_of_few_alternatives(a in crowd(), b in crowd(), c in crowd()) {
        let all = join(&join(&a, &b), &c);
        prop_assert!(all.alts.len() <= JOINED_MAX, "{}", all.alts.len());
    }

    #[test]
    fn accepts_settled_values_of_few_parts(value in values_of(6, 12), depth_max in 0..=DEPTH_MAX) {
        let settled = value.settled(depth_max);
        prop_assert!(parts(&settled) <= SETTLED_PARTS_MAX, "{}", parts(&settled));
        prop_assert!(depth(&settled) <= depth_max);
        prop_assert_eq!(kinds(&value.settled(DEPTH_MAX)).is_empty(), value.is_never());
    }

    #[test]
    fn accepts_settling_again(value in value()) {
        let once = value.settled(DEPTH_MAX);
        prop_assert_eq!(kinds(&once.settled(DEPTH_MAX)), kinds(&once));
    }

    #[test]
    fn accepts_narrowed_values_without_what_was_excluded(value in crowd()) {
        let nil = symbol("nil");
        prop_assert!(value.clone().not_atom(nil).atoms().all(|atom| atom != nil));
        prop_assert!(value.clone().truthy().observed_nil().is_none_or(|_| value.atoms().any(|atom| atom == symbol("undefined"))));
        prop_assert!(value.clone().not_any_atom().atoms().next().is_none());
        prop_assert!(value.falsy().atoms().all(racefree_analysis::value::is_falsy));
    }
}

/// A tuple of `width` parts, each with as many alternatives, `levels` deep: as wide as code can write it.
fn wide(width: usize, levels: usize) -> Value {
    let mut value = joined((0..width).map(|index| Value::atom(symbol(&format!("a{index}")))).collect());
    for _ in 0..levels {
        value = of_alt(Shape::Tuple(vec![value; width].into()), None);
    }
    value
}

#[test]
fn accepts_wide_values_settled_to_few_parts() {
    for (width, levels) in [(3_000, 1), (50, 2), (20, 3), (5, 5)] {
        let parts = parts(&wide(width, levels).settled(DEPTH_MAX));
        assert!(parts <= SETTLED_PARTS_MAX, "{width} wide, {levels} deep: {parts}");
    }
}

#[test]
fn reports_nil_behind_more_atoms_than_are_kept() {
    let crowd = joined((0..40).map(|index| Value::atom(symbol(&format!("a{index}")))).collect());
    let place = Place { file: FileId(0), span: Span::new(0, 1) };
    let nil = Value::atom(symbol("nil")).marked_with(&Origin::observed(EffectKind::Lookup, symbol("M"), symbol("f"), place));
    assert!(join(&crowd, &nil).observed_nil().is_some());
    assert!(join(&nil, &crowd).observed_nil().is_some());
}

#[test]
fn accepts_tuples_with_different_tags_apart() {
    let tagged = |tag: &str, part: Value| Value::tuple(vec![Value::atom(symbol(tag)), part]);
    let (ok, error) = (tagged("ok", Value::any(site())), tagged("error", Value::any(site())));
    assert_eq!(join(&ok, &error).alts.len(), 2);
    let other = tagged("ok", Value::of(Shape::Pid, site()));
    assert_eq!(join(&ok, &other).alts.len(), 1);
}
