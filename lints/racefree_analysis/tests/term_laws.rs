//! Laws of terms: what substitution keeps, and what bounds it.

use proptest::prelude::*;
use racefree_analysis::term::{DEPTH_MAX, Term, TermKind};
use racefree_syntax::{FileId, Span, symbol};

/// Parameters that the terms speak of.
const PARAMS: u32 = 3;

fn closed_leaf() -> impl Strategy<Value = Term> {
    prop_oneof![
        prop_oneof![Just("nil"), Just("a"), Just("Mod")].prop_map(|name| Term::atom(symbol(name))),
        (0..3_i64).prop_map(|number| Term::new(TermKind::Integer(number))),
        Just(Term::new(TermKind::Text(symbol("text")))),
        Just(Term::new(TermKind::SelfPid)),
        (0..3_usize).prop_map(|at| Term::site(FileId(0), Span::new(at, at + 1))),
    ]
}

/// Terms over `leaf`, nested up to `depth`.
fn terms(leaf: impl Strategy<Value = Term> + 'static, depth: u32) -> impl Strategy<Value = Term> {
    leaf.prop_recursive(depth, 64, 3, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            (inner.clone(), 0..3_u32).prop_map(|(base, index)| base.item(index)),
            (inner.clone(), prop_oneof![Just("x"), Just("y")]).prop_map(|(base, name)| base.field(symbol(name))),
            inner.clone().prop_map(|base| base.element()),
            inner.prop_map(|base| Term::new(TermKind::Result(base))),
            list.clone().prop_map(|parts| Term::new(TermKind::Tuple(parts))),
            list.clone().prop_map(|args| Term::new(TermKind::Apply { module: symbol("M"), name: symbol("f"), args })),
            list.prop_map(|parts| Term::new(TermKind::Join(symbol("{}"), parts))),
        ]
    })
}

fn closed() -> impl Strategy<Value = Term> {
    terms(closed_leaf(), 20)
}

fn open(depth: u32) -> impl Strategy<Value = Term> {
    terms(prop_oneof![closed_leaf(), (0..PARAMS).prop_map(Term::param)], depth)
}

fn arguments(depth: u32) -> impl Strategy<Value = Vec<Term>> {
    proptest::collection::vec(open(depth), PARAMS as usize)
}

fn put(term: &Term, arguments: &[Term]) -> Term {
    term.substitute(&|index| arguments.get(index as usize).cloned())
}

fn is_cut(term: &Term) -> bool {
    term.any(&|kind| matches!(kind, TermKind::Cut(_)))
}

proptest! {
    #[test]
    fn accepts_closed_terms_unchanged(term in closed(), arguments in arguments(3)) {
        prop_assert!(!term.is_open());
        prop_assert_eq!(put(&term, &arguments), term);
    }

    #[test]
    fn accepts_parameters_for_themselves(term in open(20)) {
        prop_assert_eq!(term.substitute(&|_| None), term.clone());
        prop_assert_eq!(term.substitute(&|index| Some(Term::param(index))), term);
    }

    /// Two calls at once or one after the other: the same, as long as nothing was cut off.
    #[test]
    fn accepts_substitution_in_steps(term in open(5), inner in arguments(4), outer in arguments(3)) {
        let stepwise = put(&put(&term, &inner), &outer);
        let composed: Vec<Term> = inner.iter().map(|argument| put(argument, &outer)).collect();
        let at_once = put(&term, &composed);
        if !is_cut(&stepwise) && !is_cut(&at_once) && !is_cut(&put(&term, &inner)) {
            prop_assert_eq!(stepwise, at_once);
        }
    }

    #[test]
    fn accepts_terms_of_bounded_depth(term in open(20), arguments in arguments(20)) {
        prop_assert!(term.depth() <= DEPTH_MAX);
        prop_assert!(put(&term, &arguments).depth() <= DEPTH_MAX);
    }

    #[test]
    fn accepts_closed_arguments_that_close_a_term(term in open(12), arguments in proptest::collection::vec(closed(), PARAMS as usize)) {
        prop_assert!(!put(&term, &arguments).is_open());
    }

    /// Two parts of one thing are never taken for each other, however deep.
    #[test]
    fn reports_different_parts_as_different(term in open(20)) {
        if !matches!(term.kind(), TermKind::Tuple(_)) {
            prop_assert_ne!(term.item(0), term.item(1));
            prop_assert_ne!(term.item(0), term.clone());
        }
        prop_assert_ne!(term.field(symbol("x")), term.field(symbol("y")));
        prop_assert_ne!(term.element(), term);
    }

    #[test]
    fn reports_what_occurs_in_a_term(term in open(6), part in open(3)) {
        prop_assume!(!is_cut(&term));
        let holder = Term::new(TermKind::Tuple(vec![term.clone(), part.clone()]));
        prop_assert!(holder.mentions(&part) && holder.mentions(&term) && holder.mentions(&holder));
    }
}

#[test]
fn reports_the_parameter_at_the_root_of_a_chain() {
    let term = Term::param(2).field(symbol("x")).item(1).element();
    assert_eq!(term.root_param(), Some(2));
    assert_eq!(Term::new(TermKind::Tuple(vec![term])).root_param(), None);
}

#[test]
fn reports_what_is_new_at_its_place_as_unstable() {
    let site = Term::site(FileId(0), Span::new(0, 1));
    assert!(!site.is_stable() && !site.field(symbol("x")).is_stable());
    assert!(Term::param(0).is_stable() && !Term::param(0).element().is_stable());
    let deep = (0..40).fold(Term::param(0), |term, _| term.field(symbol("x")));
    assert!(!deep.is_stable());
}
