//! Anonymous functions: evaluated where they run, in the scope they run in.

use super::{CLOSURE_DEPTH_MAX, Evaluator};
use crate::summary::{ItemKind, ParamClosure, ScopeKind, Shield, Try, Usage};
use crate::term::{Term, TermKind};
use crate::value::{Deps, Shape, Value};
use racefree_models::Runs;
use racefree_syntax::core::Clause;
use racefree_syntax::{Span, Symbol};

impl<'p> Evaluator<'_, 'p> {
    /// Calls whatever `function` may be with `args`.
    pub(super) fn apply(&mut self, function: &Value, args: &[Value], span: Span, usage: Usage) -> Value {
        let site = self.site(span);
        let mut result = Value::never(site.clone());
        for alt in &function.alts {
            let value = match &alt.shape {
                Shape::Closure(id) => self.run_closure(*id, args, span, usage),
                Shape::Function { module, name, .. } => self.apply_named(*module, *name, args, span, usage),
                Shape::Symbolic { term, .. } => {
                    let unknown = ItemKind::Foreign {
                        module: self.view.nil(),
                        name: self.view.nil(),
                        args: args.iter().map(|arg| arg.settled(2)).collect(),
                    };
                    self.push_item(unknown, span, span, usage, Deps::default());
                    self.note_param_closure(term, Runs::Once, args, Shield::default());
                    Value::symbolic(Term::new(TermKind::Result(term.clone())))
                }
                _ => Value::any(site.clone()),
            };
            result = result.join(value, &site);
        }
        if result.is_never() && !self.diverged { Value::any(site) } else { result }
    }

    /// A named function called through a value: it may be given itself, so the depth is bounded as for closures.
    fn apply_named(&mut self, module: Symbol, name: Symbol, args: &[Value], span: Span, usage: Usage) -> Value {
        if self.closure_depth >= CLOSURE_DEPTH_MAX {
            return Value::any(self.site(span));
        }
        self.closure_depth += 1;
        let result = self.call_named(module, name, args.to_vec(), span, span, usage);
        self.closure_depth -= 1;
        result
    }

    /// Remembers that a closure given as a parameter is run, and how.
    pub(super) fn note_param_closure(&mut self, term: &Term, runs: Runs, args: &[Value], inner: Shield) {
        let TermKind::Param(param) = term.kind() else { return };
        let runs = if runs == Runs::Once { self.surrounding_runs() } else { runs };
        if self.silent || self.param_closures.iter().any(|known| known.param == *param) {
            return;
        }
        let args = args.iter().map(|arg| arg.settled(2)).collect();
        let shield = self.surrounding_shield().join(inner);
        self.param_closures.push(ParamClosure { param: *param, runs, args, shield });
    }

    /// What the handlers around the code at hand take.
    fn surrounding_shield(&self) -> Shield {
        let mut shield = Shield::default();
        let mut next = Some(self.scope);
        while let Some(scope) = next.and_then(|id| self.scopes.get(id.0 as usize)) {
            match scope.kind {
                ScopeKind::Elsewhere | ScopeKind::AtTarget => break,
                ScopeKind::Try(index) => shield = shield.join(self.tries.get(index as usize).map_or_else(Shield::default, Try::shield)),
                ScopeKind::Shielded(outer) => shield = shield.join(outer),
                _ => {}
            }
            next = scope.parent;
        }
        shield
    }

    fn surrounding_runs(&self) -> Runs {
        let mut next = Some(self.scope);
        while let Some(scope) = next.and_then(|id| self.scopes.get(id.0 as usize)) {
            match scope.kind {
                ScopeKind::Elsewhere => return Runs::Elsewhere,
                ScopeKind::AtTarget => return Runs::AtTarget,
                ScopeKind::Locked => return Runs::Locked,
                ScopeKind::Loop(_) => return Runs::Each,
                _ => next = scope.parent,
            }
        }
        Runs::Once
    }

    /// Runs a closure argument the way its receiver does.
    pub(super) fn run_argument(&mut self, function: &Value, runs: Runs, args: &[Value], span: Span) -> Value {
        let outer = self.scope;
        match runs {
            Runs::Once => {}
            Runs::Each => {
                self.open_scope(ScopeKind::Loop(span));
            }
            Runs::Elsewhere => {
                self.open_scope(ScopeKind::Elsewhere);
            }
            Runs::Locked => {
                self.open_scope(ScopeKind::Locked);
            }
            Runs::AtTarget => {
                self.open_scope(ScopeKind::AtTarget);
            }
        }
        let mut fork = self.open_fork(Deps::default(), span);
        self.open_arm(&fork);
        let result = self.apply(function, args, span, Usage::Used);
        let diverged = self.diverged;
        self.close_arm(&mut fork, result.clone());
        self.close_fork(fork);
        // A closure that raises ends its caller only when it surely runs, here.
        self.diverged = diverged && matches!(runs, Runs::Once | Runs::Locked) && result.is_never();
        self.scope = outer;
        result
    }

    fn run_closure(&mut self, id: u32, args: &[Value], span: Span, usage: Usage) -> Value {
        let site = self.site(span);
        if self.closure_depth >= CLOSURE_DEPTH_MAX {
            return Value::any(site);
        }
        let Some(code) = self.closures.get_mut(id as usize) else { return Value::any(site) };
        code.evaluated = true;
        let clauses = code.clauses;
        self.closure_depth += 1;
        let result = self.closure_clauses(clauses, args, span, usage);
        self.closure_depth -= 1;
        result
    }

    fn closure_clauses(&mut self, clauses: &'p [Clause], args: &[Value], span: Span, usage: Usage) -> Value {
        let deps = args.iter().fold(Deps::default(), |deps, arg| deps.join(arg.all_deps()));
        let several = clauses.len() > 1;
        let mut fork = self.open_fork(if several { deps } else { Deps::default() }, span);
        let mut remaining = args.first().cloned();
        for clause in clauses {
            if several && remaining.as_ref().is_some_and(|value| !value.alts.is_empty() && self.cannot_match(clause, value)) {
                continue;
            }
            self.open_arm(&fork);
            self.bind_closure_params(clause, args, remaining.as_ref());
            if let Some(guard) = &clause.guard {
                self.assume(guard, true);
            }
            let result = self.expression(&clause.body, usage);
            self.close_arm(&mut fork, result);
            if let (Some(value), [pattern]) = (remaining.as_ref(), clause.params.as_slice())
                && clause.guard.is_none()
            {
                let left = self.exclude(value, pattern);
                if left.is_never() {
                    break;
                }
                remaining = Some(left);
            }
        }
        self.close_fork(fork)
    }

    fn cannot_match(&self, clause: &'p Clause, first: &Value) -> bool {
        clause.params.first().is_some_and(|pattern| self.narrow(first, pattern).is_never())
    }

    fn bind_closure_params(&mut self, clause: &'p Clause, args: &[Value], first: Option<&Value>) {
        for (index, pattern) in clause.params.iter().enumerate() {
            let given = if index == 0 { first.or(args.first()) } else { args.get(index) };
            let unknown = Value::any(self.site(pattern.span));
            let value = match given {
                Some(value) if !value.is_never() => value,
                _ => &unknown,
            };
            let narrowed = self.narrow(value, pattern);
            self.bind(pattern, if narrowed.is_never() { value } else { &narrowed });
        }
    }

    /// The elements for which the predicate's answer is `kept`.
    pub(super) fn filtered(&mut self, predicate: &Value, element: &Value, kept: bool) -> Value {
        let [only] = predicate.alts.as_slice() else { return element.clone() };
        match &only.shape {
            Shape::Closure(id) => {
                let Some(code) = self.closures.get(*id as usize) else { return element.clone() };
                let [clause] = code.clauses else { return self.filtered_by_clauses(code.clauses, element, kept) };
                let [pattern] = clause.params.as_slice() else { return element.clone() };
                let mark = self.undo.len();
                self.bind(pattern, element);
                self.assume(&clause.body, kept);
                let result = self.rebuild(pattern, element);
                while self.undo.len() > mark {
                    let Some((id, old)) = self.undo.pop() else { break };
                    self.set(id, old);
                }
                result
            }
            Shape::Function { module, name, arity } => {
                match self.view.models().function(*module, *name, *arity).and_then(|model| model.tests) {
                    Some(racefree_models::Test::Nil) if !kept => element.clone().not_atom(self.view.nil()),
                    Some(racefree_models::Test::NoAtom) if kept => element.clone().not_any_atom(),
                    _ => element.clone(),
                }
            }
            _ => element.clone(),
        }
    }

    /// A predicate of several clauses whose bodies are `true` and `false`: clauses that say the opposite take their elements away.
    fn filtered_by_clauses(&mut self, clauses: &'p [Clause], element: &Value, kept: bool) -> Value {
        let mut left = element.clone();
        for clause in clauses {
            let [pattern] = clause.params.as_slice() else { return element.clone() };
            let racefree_syntax::core::ExprKind::Atom(answer) = clause.body.kind else { return element.clone() };
            if clause.guard.is_none() && crate::value::is_falsy(answer) == kept {
                left = self.exclude(&left, pattern);
            }
        }
        if left.is_never() { element.clone() } else { left }
    }

    /// Closures that were made and never passed on: they may run at any later time.
    pub(super) fn stored_closures(&mut self) {
        let diverged = self.diverged;
        let mut index = 0;
        while let Some(code) = self.closures.get(index) {
            if !code.evaluated {
                let outer = self.open_scope(ScopeKind::Stored);
                self.diverged = false;
                self.run_closure(index as u32, &[], Span::default(), Usage::Used);
                self.close_scope(outer);
            }
            index += 1;
        }
        self.diverged = diverged;
    }
}
