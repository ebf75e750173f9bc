//! Forks and arms: what holds in a branch holds until it ends, and after the fork what holds in every branch that goes on.

use super::Evaluator;
use crate::summary::{Arm, ArmId};
use crate::value::{Alt, Deps, Origin, OriginKind, Shape, Value};
use racefree_syntax::Span;
use racefree_syntax::core::VarId;
use std::sync::Arc;

/// A branching under evaluation.
pub(super) struct Fork {
    number: u32,
    outer_arm: ArmId,
    outer_control: Deps,
    mark: usize,
    site: crate::term::Term,
    outcomes: Vec<Outcome>,
}

struct Outcome {
    changes: Vec<(VarId, Value)>,
    value: Value,
    diverged: bool,
}

impl Evaluator<'_, '_> {
    /// Opens a fork whose arms are chosen by a value with these dependencies.
    pub(super) fn open_fork(&mut self, decided_by: Deps, span: Span) -> Fork {
        let fork = Fork {
            number: self.next_fork(),
            outer_arm: self.arm,
            outer_control: self.control,
            mark: self.undo.len(),
            site: self.site(span),
            outcomes: Vec::new(),
        };
        self.control = self.control.join(decided_by);
        fork
    }

    pub(super) fn open_arm(&mut self, fork: &Fork) {
        self.arms.push(Arm { fork: fork.number, parent: Some(fork.outer_arm) });
        self.arm = ArmId(self.arms.len() as u32 - 1);
        self.diverged = false;
    }

    pub(super) fn close_arm(&mut self, fork: &mut Fork, value: Value) {
        let mut changes: Vec<(VarId, Value)> = Vec::new();
        while self.undo.len() > fork.mark {
            let Some((id, old)) = self.undo.pop() else { break };
            if let Some(slot) = self.env.get_mut(id.0 as usize) {
                let new = std::mem::replace(slot, old);
                if !changes.iter().any(|(known, _)| *known == id) {
                    changes.push((id, new));
                }
            }
        }
        fork.outcomes.push(Outcome { changes, value, diverged: self.diverged });
    }

    /// Ends the fork: the join of what its arms gave, and of what they learned.
    pub(super) fn close_fork(&mut self, fork: Fork) -> Value {
        self.arm = fork.outer_arm;
        self.control = fork.outer_control;
        self.diverged = !fork.outcomes.is_empty() && fork.outcomes.iter().all(|outcome| outcome.diverged);
        let mut value = Value::never(fork.site.clone());
        let mut going_on = Vec::with_capacity(fork.outcomes.len());
        for outcome in fork.outcomes {
            if outcome.diverged {
                continue;
            }
            value = value.join(outcome.value, &fork.site);
            going_on.push(outcome.changes);
        }
        self.keep_common(going_on, &fork.site);
        value
    }

    fn keep_common(&mut self, arms: Vec<Vec<(VarId, Value)>>, site: &crate::term::Term) {
        let mut arms = arms.into_iter();
        let Some(mut common) = arms.next() else { return };
        for changes in arms {
            common.retain_mut(|(id, value)| match changes.iter().find(|(other, _)| other == id) {
                Some((_, other)) => {
                    let term = value.term.clone();
                    *value = std::mem::replace(value, Value::never(site.clone())).join(other.clone(), &term);
                    true
                }
                None => false,
            });
        }
        for (id, value) in common {
            self.refine(id, value);
        }
    }

    /// Marks the atoms of `value` as chosen by what `origin` observed: a literal `nil` in a branch taken after a look at shared state
    /// says the same as a `nil` from there.
    pub(super) fn chosen_by(&self, mut value: Value, origin: Option<&Arc<Origin>>, kind: OriginKind, span: Span) -> Value {
        let Some(origin) = origin else { return value };
        let place = self.place(span);
        for alt in &mut value.alts {
            mark_chosen(alt, origin, &kind, place);
        }
        value
    }
}

fn mark_chosen(alt: &mut Alt, origin: &Arc<Origin>, kind: &OriginKind, place: crate::Place) {
    if alt.origin.is_none() && matches!(alt.shape, Shape::Atom(_) | Shape::Tuple(_)) {
        alt.origin = Some(origin.then(kind.clone(), place));
    }
}
