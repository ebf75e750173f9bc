//! Whether two requests go to the same process, and whether they can disagree about which one that is.

use racefree_analysis::Program;
use racefree_analysis::term::{Term, TermKind};
use racefree_analysis::value::{Deps, OriginKind, Value};
use racefree_analysis::walk::Event;
use racefree_models::EffectKind;

/// How two targets are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// One value serves both.
    OneValue,
    /// The same question was asked twice: the answers may differ.
    LookedUpTwice,
}

/// How the targets of two events of one walk are the same process, if they are.
pub(crate) fn same_process(program: &Program<'_>, a: &Event<'_>, b: &Event<'_>) -> Option<Identity> {
    let (left, right) = (a.target()?, b.target()?);
    if left.term == right.term && is_identity(&left.term) {
        let twice = is_name(left) || (is_resolved_anew(left) && is_resolved_anew(right) && looked_up_apart(program, a, left, b, right));
        return Some(if twice { Identity::LookedUpTwice } else { Identity::OneValue });
    }
    if same_name(program, left, right) {
        return Some(Identity::LookedUpTwice);
    }
    None
}

/// A name on one side and a lookup of the same name on the other.
fn same_name(program: &Program<'_>, left: &Value, right: &Value) -> bool {
    let name = |value: &Value| looked_up_name(&value.term).unwrap_or_else(|| value.term.clone());
    let (left_name, right_name) = (name(left), name(right));
    left_name == right_name
        && is_identity(&left_name)
        && (is_resolved_anew(left) || is_name(left) || program.server_named(left).is_some())
        && (is_resolved_anew(right) || is_name(right) || program.server_named(right).is_some())
}

/// A registered name, or a `:via` or `:global` tuple: whoever bears it when it is used.
fn is_name(value: &Value) -> bool {
    match value.term.kind() {
        TermKind::Atom(name) => !racefree_analysis::value::is_absent(*name),
        TermKind::Tuple(parts) => parts.len() > 1,
        _ => false,
    }
}

/// The key of a lookup, when the term is one.
fn looked_up_name(term: &Term) -> Option<Term> {
    match term.kind() {
        TermKind::Apply { args, .. } if args.len() == 1 => args.first().cloned(),
        _ => None,
    }
}

/// Whether equal terms mean the same process: not for what differs from one moment to the next without a question asked.
fn is_identity(term: &Term) -> bool {
    term.is_stable() && !matches!(term.kind(), TermKind::SelfPid | TermKind::Atom(_) if term_is_nil(term))
}

fn term_is_nil(term: &Term) -> bool {
    matches!(term.kind(), TermKind::Atom(name) if racefree_analysis::value::is_absent(*name))
}

/// Whether the value came from a look at shared state.
pub(crate) fn is_resolved_anew(value: &Value) -> bool {
    value
        .origin()
        .is_some_and(|origin| matches!(origin.root().kind, OriginKind::Observed { effect: EffectKind::Lookup | EffectKind::TableRead, .. }))
}

/// Whether the targets come from two lookups: got in the walk's root from different observations, or under different items of it.
pub(crate) fn looked_up_apart(program: &Program<'_>, a: &Event<'_>, left: &Value, b: &Event<'_>, right: &Value) -> bool {
    match (a.target_from, b.target_from) {
        (0, 0) => !left.all_deps().has(right.all_deps()),
        (0, _) => !left.all_deps().has(observation(program, b)),
        (_, 0) => !right.all_deps().has(observation(program, a)),
        _ => a.first_item() != b.first_item(),
    }
}

/// The bit of the root's item that leads to the event: what that item returned carries it.
fn observation(program: &Program<'_>, event: &Event<'_>) -> Deps {
    let root = event.functions.first().copied().unwrap_or_else(|| event.function());
    program.summary(root).items.get(event.first_item()).map_or(Deps::default(), |item| item.observation)
}
