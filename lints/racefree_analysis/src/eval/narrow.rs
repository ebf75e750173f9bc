//! Conditions and guards: what is known of variables once one holds, or does not.

use super::Evaluator;
use super::pattern::{atom_of, with_field};
use crate::resolve::Local;
use crate::summary::FunctionId;
use crate::value::{Shape, Value};
use crate::view::Known;
use racefree_models::Test;
use racefree_syntax::Symbol;
use racefree_syntax::core::{Call, Callee, CaseClause, Expr, ExprKind, Pattern, PatternKind, VarId};

impl<'p> Evaluator<'_, 'p> {
    /// Takes it that `condition` is true (or false). It was evaluated before.
    pub(super) fn assume(&mut self, condition: &'p Expr, truth: bool) {
        match &condition.kind {
            ExprKind::Var(id) => self.assume_variable(*id, condition, truth),
            ExprKind::Not(inner) => self.assume(inner, !truth),
            ExprKind::And(left, right) if truth => {
                self.assume(left, true);
                self.assume(right, true);
            }
            ExprKind::Or(left, right) if !truth => {
                self.assume(left, false);
                self.assume(right, false);
            }
            ExprKind::Match { pattern, .. } => {
                if let PatternKind::Bind(id) = pattern.kind {
                    self.assume_variable(id, condition, truth);
                }
            }
            ExprKind::Block(parts) => {
                if let Some(last) = parts.last() {
                    self.assume(last, truth);
                }
            }
            ExprKind::Call(call) => self.assume_call(call, truth),
            ExprKind::Field { base, name } => {
                if let ExprKind::Var(id) = base.kind {
                    let value = self.variable(id, base.span);
                    let field = value.field(*name);
                    self.refine(id, with_field(&value, *name, &if truth { field.truthy() } else { field.falsy() }));
                }
            }
            ExprKind::Case { subject, clauses } => self.assume_case(subject, clauses, truth),
            _ => {}
        }
    }

    /// `match?(pattern, x)` and the like: clauses that answer the opposite take their values away.
    fn assume_case(&mut self, subject: &'p Expr, clauses: &'p [CaseClause], truth: bool) {
        let ExprKind::Var(id) = subject.kind else { return };
        let mut left = self.variable(id, subject.span);
        for clause in clauses {
            let ExprKind::Atom(answer) = clause.body.kind else { return };
            if clause.guard.is_none() && crate::value::is_falsy(answer) == truth {
                left = self.exclude(&left, &clause.pattern);
            } else if clause.guard.is_none() {
                break;
            }
        }
        if !left.is_never() {
            self.refine(id, left);
        }
    }

    fn assume_variable(&mut self, id: VarId, at: &Expr, truth: bool) {
        let value = self.variable(id, at.span);
        self.refine(id, if truth { value.truthy() } else { value.falsy() });
        if let Some(test) = self.tests.remove(&id) {
            self.assume(test, truth);
            self.tests.insert(id, test);
        }
    }

    fn assume_call(&mut self, call: &'p Call, truth: bool) {
        if truth {
            self.assume_operands(call);
        }
        let module = match call.callee {
            Callee::Local(name) => match self.view.local(self.module_id, name, call.args.len() as u32) {
                Local::Unknown => self.view.prelude(),
                Local::Library(module) => module,
                Local::Program(id) => return self.assume_clauses(id, call, &|returns| answers(returns, truth)),
                Local::Record(..) => return,
            },
            Callee::Remote { module, name } => match self.view.remote(module, name, call.args.len() as u32) {
                Some(id) => return self.assume_clauses(id, call, &|returns| answers(returns, truth)),
                None => module,
            },
            Callee::Dynamic { .. } | Callee::Value(_) => return,
        };
        let (Callee::Local(name) | Callee::Remote { name, .. }) = call.callee else { return };
        let Some(test) = self.view.models().function(module, name, call.args.len() as u32).and_then(|model| model.tests) else { return };
        match (test, call.args.as_slice()) {
            (Test::Nil, [subject]) => self.assume_atom(subject, self.view.nil(), truth),
            (Test::NoAtom, [subject]) if truth => {
                if let ExprKind::Var(id) = subject.kind {
                    let value = self.variable(id, subject.span).not_any_atom();
                    self.refine(id, value);
                }
            }
            (Test::Equal, [left, right]) => self.assume_equal(left, right, truth),
            (Test::Different, [left, right]) => self.assume_equal(left, right, !truth),
            (Test::Member, [subject, list]) if !truth => {
                if let ExprKind::List { items, .. } = &list.kind {
                    for atom in items.iter().filter_map(|item| atom_of(&item.kind)) {
                        self.assume_atom(subject, atom, false);
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes it that a function of the program answered by a clause of which `wanted` holds: its variables are what those clauses take.
    pub(super) fn assume_clauses(&mut self, id: FunctionId, call: &'p Call, wanted: &dyn Fn(&Value) -> bool) {
        let Some(Known { function, interface: Some(interface), .. }) = self.view.callee(id) else { return };
        if function.clauses.len() < 2 || function.clauses.len() > CLAUSES_MAX {
            return;
        }
        for (index, arg) in call.args.iter().enumerate() {
            let ExprKind::Var(variable) = arg.kind else { continue };
            let mut left = self.variable(variable, arg.span);
            let mut taken = Value::never(left.term.clone()).with_deps(left.deps);
            for (clause, known) in function.clauses.iter().zip(interface.clauses) {
                let Some(pattern) = clause.params.get(index) else { return };
                if !known.diverges && wanted(&known.returns) {
                    let term = left.term.clone();
                    taken = taken.join(self.narrow(&left, pattern), &term);
                }
                let others =
                    clause.params.iter().enumerate().all(|(other, pattern)| other == index || super::pattern::is_irrefutable(pattern));
                if others && clause.guard.is_none() {
                    left = self.exclude(&left, pattern);
                }
            }
            if !taken.is_never() {
                self.refine(variable, taken);
            }
        }
    }

    /// An operand that would have failed on nil and did not: `node(pid) == node()` holds for no nil.
    fn assume_operands(&mut self, call: &'p Call) {
        for arg in &call.args {
            let ExprKind::Call(inner) = &arg.kind else { continue };
            let (module, name) = match inner.callee {
                Callee::Local(name) => (self.view.prelude(), name),
                Callee::Remote { module, name } => (module, name),
                Callee::Dynamic { .. } | Callee::Value(_) => continue,
            };
            self.after_call(module, name, inner);
        }
    }

    fn assume_equal(&mut self, left: &'p Expr, right: &'p Expr, truth: bool) {
        if let Some(atom) = atom_of(&right.kind) {
            self.assume_atom(left, atom, truth);
        } else if let Some(atom) = atom_of(&left.kind) {
            self.assume_atom(right, atom, truth);
        }
    }

    fn assume_atom(&mut self, subject: &'p Expr, atom: racefree_syntax::Symbol, truth: bool) {
        let id = match &subject.kind {
            ExprKind::Var(id) => *id,
            ExprKind::Match { pattern, .. } => match pattern.kind {
                PatternKind::Bind(id) => id,
                _ => return,
            },
            _ => return,
        };
        let value = self.variable(id, subject.span);
        let narrowed = if truth {
            let origin = value.origin().cloned();
            let mut narrowed = Value::atom(atom).with_deps(value.deps);
            narrowed.term = value.term;
            match origin {
                Some(origin) => narrowed.marked_with(&origin),
                None => narrowed,
            }
        } else {
            value.not_atom(atom)
        };
        self.refine(id, narrowed);
    }

    pub(super) fn program_callee(&self, call: &Call) -> Option<FunctionId> {
        let arity = call.args.len() as u32;
        match &call.callee {
            Callee::Local(name) => match self.view.local(self.module_id, *name, arity) {
                Local::Program(id) => Some(id),
                _ => None,
            },
            Callee::Remote { module, name } => self.view.remote(*module, *name, arity),
            Callee::Dynamic { .. } | Callee::Value(_) => None,
        }
    }

    /// The value that was matched came from these variables: they are narrowed too.
    pub(super) fn narrow_source(&mut self, source: &'p Expr, pattern: &'p Pattern, narrowed: &Value) {
        match (&source.kind, &pattern.kind) {
            (ExprKind::Var(id), _) => self.refine(*id, narrowed.clone()),
            (ExprKind::Call(call), PatternKind::Atom(answer)) if self.program_callee(call).is_some() => {
                if let Some(id) = self.program_callee(call) {
                    let answer = *answer;
                    self.assume_clauses(id, call, &|returns| may_be(returns, answer));
                }
            }
            (ExprKind::Call(_) | ExprKind::Not(_) | ExprKind::And(..) | ExprKind::Or(..), PatternKind::Atom(answer)) => {
                match answer.as_str() {
                    "true" => self.assume(source, true),
                    "false" => self.assume(source, false),
                    _ => {}
                }
            }
            (ExprKind::Tuple(sources), PatternKind::Tuple(patterns)) if sources.len() == patterns.len() => {
                for (index, (source, pattern)) in sources.iter().zip(patterns).enumerate() {
                    self.narrow_source(source, pattern, &narrowed.item(index as u32));
                }
            }
            (ExprKind::Match { pattern: inner, .. }, _) => {
                if let PatternKind::Bind(id) = inner.kind {
                    self.refine(id, narrowed.clone());
                }
            }
            _ => {}
        }
    }

    /// What is left of `value` after a clause with a guard: a guard that tests the very variable the pattern binds takes away what it accepts.
    pub(super) fn exclude_guarded(&mut self, value: &Value, pattern: &'p Pattern, guard: &'p Expr) -> Value {
        let PatternKind::Bind(id) = pattern.kind else { return value.clone() };
        let mark = self.undo.len();
        self.refine(id, value.clone());
        self.assume(guard, false);
        let left = self.variable(id, pattern.span);
        while self.undo.len() > mark {
            let Some((id, old)) = self.undo.pop() else { break };
            self.set(id, old);
        }
        left
    }
}

/// Functions with more clauses than this are not looked into for what an answer says of the arguments.
const CLAUSES_MAX: usize = 12;

/// Whether the value may be true, or may be nil or false.
fn answers(value: &Value, truth: bool) -> bool {
    value.alts.iter().any(|alt| match alt.shape {
        Shape::Atom(atom) => crate::value::is_falsy(atom) != truth,
        Shape::Any | Shape::Symbolic { .. } => true,
        _ => truth,
    })
}

fn may_be(value: &Value, atom: Symbol) -> bool {
    value.alts.iter().any(|alt| match alt.shape {
        Shape::Atom(known) => known == atom,
        Shape::Any | Shape::Symbolic { .. } => true,
        _ => false,
    })
}
