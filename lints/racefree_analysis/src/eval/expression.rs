//! Expressions, one by one.

use super::pattern::{atom_of, is_irrefutable, tag_of};
use super::{ClosureCode, Evaluator};
use crate::summary::{
    Awaited, CatchKind, CatchPattern, CatchSummary, ItemKind, Misfit, MisfitKind, Receive, RescueSummary, ScopeKind, Try, Usage,
};
use crate::term::{Term, TermKind};
use crate::value::{Alt, Deps, Origin, OriginKind, Shape, Value};
use crate::view::Known;
use racefree_models::EffectKind;
use racefree_syntax::core::{
    CaseClause, Catch, Expr, ExprKind, For, ForStep, InterpolatedKind, Pattern, PatternKind, Rescue, Try as TryExpr, WithStep,
};
use racefree_syntax::{Span, Symbol, symbol};
use std::sync::Arc;

impl<'p> Evaluator<'_, 'p> {
    /// Evaluates `expr`; `usage` says what becomes of its value.
    pub(super) fn expression(&mut self, expr: &'p Expr, usage: Usage) -> Value {
        if self.fuel == 0 || self.diverged {
            return Value::any(self.site(expr.span));
        }
        self.fuel -= 1;
        match &expr.kind {
            ExprKind::Atom(name) => Value::atom(*name),
            ExprKind::Integer(Some(number)) => Value::of(Shape::Number, Term::new(TermKind::Integer(*number))),
            ExprKind::Integer(None) | ExprKind::Float => Value::of(Shape::Number, self.site(expr.span)),
            ExprKind::String(text) => Value::of(Shape::Text, Term::new(TermKind::Text(*text))),
            ExprKind::Interpolated { kind, text, parts } => self.interpolated(*kind, *text, parts),
            ExprKind::Var(id) => self.variable(*id, expr.span),
            ExprKind::Tuple(parts) => Value::tuple(self.expressions(parts)),
            ExprKind::List { items, tail } => self.list(items, tail.as_deref(), expr.span),
            ExprKind::Map { base, struct_name, pairs } => self.map(base.as_deref(), *struct_name, pairs, expr.span),
            ExprKind::Binary(parts) => {
                let deps = self.expressions(parts).iter().fold(Deps::default(), |deps, part| deps.join(part.deps));
                Value::of(Shape::Text, self.site(expr.span)).with_deps(deps)
            }
            ExprKind::Call(call) => self.call(call, expr.span, usage),
            ExprKind::Field { base, name } => self.expression(base, Usage::Used).field(*name),
            ExprKind::Attribute(name) => self.attribute(*name, expr.span),
            ExprKind::Match { pattern, value } => self.match_(pattern, value, expr.span),
            ExprKind::Block(parts) => self.block(parts, expr.span, usage),
            ExprKind::If { condition, then, else_ } => self.if_(condition, then, else_, expr.span, usage),
            ExprKind::And(left, right) => self.and_or(left, right, expr.span, true),
            ExprKind::Or(left, right) => self.and_or(left, right, expr.span, false),
            ExprKind::Not(inner) => {
                let value = self.expression(inner, Usage::Used);
                self.boolean(expr.span, value.deps, value.origin().cloned())
            }
            ExprKind::Case { subject, clauses } => self.case(subject, clauses, expr.span, usage),
            ExprKind::With { steps, body, else_ } => self.with(steps, body, else_, expr.span, usage),
            ExprKind::For(for_) => self.for_(for_, expr.span),
            ExprKind::Fn { clauses } => {
                self.closures.push(ClosureCode { clauses, evaluated: false });
                Value::of(Shape::Closure(self.closures.len() as u32 - 1), self.site(expr.span))
            }
            ExprKind::Capture { module, name, arity } => self.capture(*module, *name, *arity, expr.span),
            ExprKind::Try(parts) => self.try_(parts, expr.span, usage),
            ExprKind::Receive { clauses, after } => {
                self.receive(clauses, after.as_deref().map(|(_, body)| body), after.as_deref().map(|(time, _)| time), expr.span, usage)
            }
            ExprKind::NoClause => {
                self.diverged = true;
                Value::never(self.site(expr.span))
            }
            ExprKind::Opaque(parts) => {
                self.expressions(parts);
                Value::any(self.site(expr.span))
            }
        }
    }

    pub(super) fn expressions(&mut self, parts: &'p [Expr]) -> Vec<Value> {
        parts.iter().map(|part| self.expression(part, Usage::Used)).collect()
    }

    pub(super) fn boolean(&self, span: Span, deps: Deps, origin: Option<Arc<Origin>>) -> Value {
        let mut value = Value::atom(symbol("true")).join(Value::atom(symbol("false")), &self.site(span)).with_deps(deps);
        for alt in &mut value.alts {
            alt.origin.clone_from(&origin);
        }
        value
    }

    fn interpolated(&mut self, kind: InterpolatedKind, text: Symbol, parts: &'p [Expr]) -> Value {
        let values = self.expressions(parts);
        let deps = values.iter().fold(Deps::default(), |deps, part| deps.join(part.deps));
        let term = Term::new(TermKind::Join(text, values.into_iter().map(|value| value.term).collect()));
        let shape = if kind == InterpolatedKind::Atom { Shape::Any } else { Shape::Text };
        Value::of(shape, term).with_deps(deps)
    }

    fn list(&mut self, items: &'p [Expr], tail: Option<&'p Expr>, span: Span) -> Value {
        if tail.is_none() && !items.is_empty() && items.iter().all(is_keyword) {
            return self.keyword(items, span);
        }
        let site = self.site(span);
        let mut element = Value::never(site.clone());
        for item in items {
            let value = self.expression(item, Usage::Used);
            element = element.join(value, &site);
        }
        if let Some(tail) = tail {
            let rest = self.expression(tail, Usage::Used);
            let deps = rest.deps;
            if !matches!(rest.alts.first().map(|alt| &alt.shape), Some(Shape::List(inner)) if inner.is_never()) {
                element = element.join(rest.element(), &site);
            }
            element = element.with_deps(deps);
        }
        Value::list(element, site)
    }

    fn keyword(&mut self, items: &'p [Expr], span: Span) -> Value {
        let mut fields = Vec::with_capacity(items.len());
        for item in items {
            if let ExprKind::Tuple(parts) = &item.kind
                && let [key, value] = parts.as_slice()
                && let Some(name) = atom_of(&key.kind)
            {
                let value = self.expression(value, Usage::Used);
                fields.push((name, value));
            }
        }
        let term = self.site(span);
        self.map_of(fields, None, None, term)
    }

    fn map(&mut self, base: Option<&'p Expr>, struct_name: Option<Symbol>, pairs: &'p [(Expr, Expr)], span: Span) -> Value {
        let base = base.map(|base| self.expression(base, Usage::Used));
        let mut fields: Vec<(Symbol, Value)> = Vec::with_capacity(pairs.len());
        let mut deps = Deps::default();
        for (key, value) in pairs {
            let name = atom_of(&key.kind);
            if name.is_none() {
                deps = deps.join(self.expression(key, Usage::Used).deps);
            }
            let value = self.expression(value, Usage::Used);
            match name {
                Some(name) => fields.push((name, value)),
                None => deps = deps.join(value.deps),
            }
        }
        let mut base_term = None;
        if let Some(base) = base {
            deps = deps.join(base.deps);
            if let Some(Shape::Map(known)) = base.alts.first().map(|alt| &alt.shape) {
                base_term.clone_from(&known.base);
                let old = known.fields.iter().filter(|(name, _)| !fields.iter().any(|(new, _)| new == name));
                let old: Vec<_> = old.cloned().collect();
                fields.extend(old);
            } else {
                base_term = Some(base.term);
            }
        }
        let term = self.site(span);
        self.map_of(fields, struct_name, base_term, term).with_deps(deps)
    }

    /// A module attribute's value; what it was computed with at compile time leaves no trace here.
    fn attribute(&mut self, name: Symbol, span: Span) -> Value {
        if let Some(value) = self.attributes.get(&name) {
            return value.clone();
        }
        let Some((_, expr)) = self.module.attributes.iter().find(|(known, _)| *known == name) else {
            return Value::any(self.site(span));
        };
        self.attributes.insert(name, Value::any(self.site(span)));
        let was_silent = std::mem::replace(&mut self.silent, true);
        let was_diverged = self.diverged;
        let value = self.expression(expr, Usage::Used).settled(crate::value::DEPTH_MAX);
        self.diverged = was_diverged;
        self.silent = was_silent;
        self.attributes.insert(name, value.clone());
        value
    }

    fn match_(&mut self, pattern: &'p Pattern, value: &'p Expr, span: Span) -> Value {
        let usage = if is_irrefutable(pattern) { Usage::Used } else { Usage::Matched(span) };
        let found = self.expression(value, usage);
        let mut narrowed = self.narrow(&found, pattern);
        if usage != Usage::Used {
            let item = self.items.iter().rposition(|item| item.usage == Usage::Matched(span));
            let unfit = found.clone().filter(|alt| self.is_unfit(alt, &found, pattern));
            self.note_misfit(MisfitKind::Match, unfit, (span, pattern.span), item);
        }
        if narrowed.is_never() {
            // What is known says it cannot match: then what is known is not enough to go on with.
            narrowed = Value::any(found.term.clone()).with_deps(found.deps);
        }
        self.narrow_source(value, pattern, &narrowed);
        self.bind(pattern, &narrowed);
        if let (PatternKind::Bind(id), ExprKind::Call(_) | ExprKind::Not(_) | ExprKind::And(..) | ExprKind::Or(..)) =
            (&pattern.kind, &value.kind)
        {
            self.tests.insert(*id, value);
        }
        narrowed
    }

    /// Whether this alternative of a value does not match.
    fn is_unfit(&self, alt: &Alt, value: &Value, pattern: &'p Pattern) -> bool {
        let one = Value { alts: smallvec::smallvec![alt.clone()], term: value.term.clone(), deps: value.deps };
        alt.origin.is_some() && self.narrow(&one, pattern).is_never()
    }

    /// Remembers what was observed and makes the code raise.
    fn note_misfit(&mut self, kind: MisfitKind, value: Value, (span, pattern): (Span, Span), item: Option<usize>) {
        let value = value.filter(|alt| alt.origin.is_some());
        if self.silent || value.is_never() || (kind == MisfitKind::Match && self.diverged) {
            return;
        }
        let item = item.map(|index| index as u32);
        let (clause, arm, scope, value) = (self.clause, self.arm, self.scope, value.settled(3));
        self.misfits.push(Misfit { kind, span, pattern, clause, arm, scope, item, value });
    }

    fn block(&mut self, parts: &'p [Expr], span: Span, usage: Usage) -> Value {
        let Some((last, rest)) = parts.split_last() else { return Value::atom(symbol("nil")) };
        for part in rest {
            self.expression(part, Usage::Discarded);
            if self.diverged {
                return Value::never(self.site(span));
            }
        }
        self.expression(last, usage)
    }

    fn if_(&mut self, condition: &'p Expr, then: &'p Expr, else_: &'p Expr, span: Span, usage: Usage) -> Value {
        let value = self.expression(condition, Usage::Used);
        if self.diverged {
            return Value::never(self.site(span));
        }
        let origin = value.origin().cloned();
        let (may_hold, may_fail) = possible(&value);
        let mut fork = self.open_fork(value.all_deps(), span);
        for (truth, possible, branch) in [(true, may_hold, then), (false, may_fail, else_)] {
            if !possible {
                continue;
            }
            self.open_arm(&fork);
            self.assume(condition, truth);
            let result = self.expression(branch, usage);
            let result = self.chosen_by(result, origin.as_ref(), OriginKind::Chosen, branch.span);
            self.close_arm(&mut fork, result);
        }
        self.close_fork(fork).with_deps(value.all_deps())
    }

    fn and_or(&mut self, left: &'p Expr, right: &'p Expr, span: Span, is_and: bool) -> Value {
        let first = self.expression(left, Usage::Used);
        if self.diverged {
            return Value::never(self.site(span));
        }
        let deps = first.deps;
        let (short, goes_on) = if is_and { (first.clone().falsy(), true) } else { (first.clone().truthy(), false) };
        let mut fork = self.open_fork(deps, span);
        self.open_arm(&fork);
        self.assume(left, !goes_on);
        self.close_arm(&mut fork, short);
        self.open_arm(&fork);
        self.assume(left, goes_on);
        let mut second = self.expression(right, Usage::Used);
        if !is_and {
            continue_nil(&first, &mut second);
        }
        self.close_arm(&mut fork, second);
        self.close_fork(fork).with_deps(deps)
    }

    fn case(&mut self, subject: &'p Expr, clauses: &'p [CaseClause], span: Span, usage: Usage) -> Value {
        let value = self.expression(subject, Usage::Used);
        if self.diverged {
            return Value::never(self.site(span));
        }
        self.clauses_of(&value, Some(subject), clauses, span, usage)
    }

    /// The clauses of `case`, `with … else`, `try … else`, tried in order on `value`.
    pub(super) fn clauses_of(
        &mut self,
        value: &Value,
        subject: Option<&'p Expr>,
        clauses: &'p [CaseClause],
        span: Span,
        usage: Usage,
    ) -> Value {
        let mut remaining = value.clone();
        if remaining.is_never() {
            remaining = Value::any(value.term.clone()).with_deps(value.deps);
        }
        let mut fork = self.open_fork(value.all_deps(), span);
        for clause in clauses {
            let narrowed = self.narrow(&remaining, &clause.pattern);
            if narrowed.is_never() {
                continue;
            }
            let exact = remaining.alts.iter().find(|alt| alt.origin.is_some() && self.surely_matches(&alt.shape, &clause.pattern));
            let origin = exact.and_then(|alt| alt.origin.as_ref()).or(narrowed.origin()).or(value.origin()).cloned();
            self.open_arm(&fork);
            self.bind(&clause.pattern, &narrowed);
            if let Some(subject) = subject {
                self.narrow_source(subject, &clause.pattern, &narrowed);
            }
            if let Some(guard) = &clause.guard {
                self.assume(guard, true);
            }
            let result = self.expression(&clause.body, usage);
            let result = self.chosen_by(result, origin.as_ref(), OriginKind::Chosen, clause.body.span);
            if self.diverged
                && let Some(subject) = subject
            {
                self.note_misfit(MisfitKind::Raised, narrowed, (span, clause.pattern.span), self.item_of(subject));
            }
            self.close_arm(&mut fork, result);
            if clause.guard.is_none() {
                remaining = self.exclude(&remaining, &clause.pattern);
            } else if let Some(guard) = &clause.guard {
                remaining = self.exclude_guarded(&remaining, &clause.pattern, guard);
            }
            if remaining.is_never() {
                break;
            }
        }
        let result = self.close_fork(fork).with_deps(value.all_deps());
        // What a guard takes is not known for sure.
        if let (Some(subject), Some(first)) = (subject, clauses.first())
            && clauses.iter().all(|clause| clause.guard.is_none())
        {
            self.note_misfit(MisfitKind::NoClause, remaining, (span, first.pattern.span), self.item_of(subject));
        }
        result
    }

    /// The item that gave the value of a call.
    fn item_of(&self, call: &Expr) -> Option<usize> {
        self.items.iter().rposition(|item| item.span == call.span)
    }

    fn with(&mut self, steps: &'p [WithStep], body: &'p Expr, else_: &'p [CaseClause], span: Span, usage: Usage) -> Value {
        let site = self.site(span);
        let mut failing = Value::never(site.clone());
        let mut deps = Deps::default();
        let outer_control = self.control;
        for step in steps {
            match step {
                WithStep::Plain(expr) => {
                    self.expression(expr, Usage::Discarded);
                }
                WithStep::Bind { pattern, guard, value } => {
                    let found = self.expression(value, Usage::Used);
                    deps = deps.join(found.all_deps());
                    let refused = match guard {
                        Some(guard) => self.exclude_guarded(&found, pattern, guard),
                        None => self.exclude(&found, pattern),
                    };
                    failing = failing.join(refused, &site);
                    let mut narrowed = self.narrow(&found, pattern);
                    if narrowed.is_never() {
                        narrowed = Value::any(found.term.clone()).with_deps(found.deps);
                    }
                    self.narrow_source(value, pattern, &narrowed);
                    self.bind(pattern, &narrowed);
                    if let Some(guard) = guard {
                        self.assume(guard, true);
                    }
                    self.control = self.control.join(found.all_deps());
                }
            }
            if self.diverged {
                break;
            }
        }
        let diverged = self.diverged;
        let mut fork = self.open_fork(deps, span);
        self.open_arm(&fork);
        self.diverged = diverged;
        let result = self.expression(body, usage);
        self.close_arm(&mut fork, result);
        if !failing.is_never() {
            self.open_arm(&fork);
            let result = if else_.is_empty() { failing } else { self.clauses_of(&failing, None, else_, span, usage) };
            self.close_arm(&mut fork, result);
        }
        let result = self.close_fork(fork).with_deps(deps);
        self.control = outer_control;
        result
    }

    fn for_(&mut self, for_: &'p For, span: Span) -> Value {
        let outer_scope = self.scope;
        let outer_control = self.control;
        let mut fork = self.open_fork(Deps::default(), span);
        let initial = for_.reduce.as_ref().map(|(initial, _)| self.expression(initial, Usage::Used));
        let into = for_.into.as_ref().map(|into| self.expression(into, Usage::Used));
        self.open_arm(&fork);
        for step in &for_.steps {
            self.for_step(step, span);
        }
        let result = match (&for_.reduce, initial) {
            (Some((_, clauses)), Some(initial)) => {
                self.clauses_of(&Value::any(initial.term.clone()).join(initial, &self.site(span)), None, clauses, span, Usage::Used)
            }
            _ => self.expression(&for_.body, if into.is_some() { Usage::Used } else { Usage::Discarded }),
        };
        self.close_arm(&mut fork, result.clone());
        self.close_fork(fork);
        self.diverged = false;
        self.scope = outer_scope;
        self.control = outer_control;
        if for_.reduce.is_some() { result } else { Value::list(result, self.site(span)) }
    }

    fn for_step(&mut self, step: &'p ForStep, span: Span) {
        match step {
            ForStep::Generate { pattern, guard, source } => {
                let collection = self.expression(source, Usage::Used);
                let element = collection.element().with_deps(collection.deps);
                self.open_scope(ScopeKind::Loop(span));
                self.control = self.control.join(collection.deps);
                let narrowed = self.narrow(&element, pattern);
                self.bind(pattern, if narrowed.is_never() { &element } else { &narrowed });
                if let Some(guard) = guard {
                    self.assume(guard, true);
                }
            }
            ForStep::Bits { pattern, source } => {
                let deps = self.expression(source, Usage::Used).deps;
                let bits = Value::any(self.site(pattern.span)).with_deps(deps);
                self.bind(pattern, &bits);
            }
            ForStep::Filter(condition) => {
                let value = self.expression(condition, Usage::Used);
                self.control = self.control.join(value.all_deps());
                self.assume(condition, true);
            }
        }
    }

    fn capture(&mut self, module: Option<Symbol>, name: Symbol, arity: u32, span: Span) -> Value {
        use crate::resolve::Local;
        let module = module.unwrap_or_else(|| match self.view.local(self.module_id, name, arity) {
            Local::Program(id) => self.view.callee(id).map_or(self.module.name, |callee| callee.module),
            Local::Library(module) => module,
            Local::Record(..) | Local::Unknown => self.view.prelude(),
        });
        Value::of(Shape::Function { module, name, arity }, self.site(span))
    }

    fn receive(
        &mut self,
        clauses: &'p [CaseClause],
        after: Option<&'p Expr>,
        timeout: Option<&'p Expr>,
        span: Span,
        usage: Usage,
    ) -> Value {
        if let Some(timeout) = timeout {
            self.expression(timeout, Usage::Used);
        }
        let mut fork = self.open_fork(Deps::default(), span);
        let (clause, arm, position) = (self.clause, self.arm, self.items.len() as u32);
        let mut awaited = Vec::with_capacity(clauses.len());
        for clause in clauses {
            self.open_arm(&fork);
            let tag = tag_of(&clause.pattern).map(|(tag, _)| tag);
            awaited.push(Awaited { tag, is_open: is_irrefutable(&clause.pattern), arm: self.arm });
            let message = Value::any(self.site(clause.pattern.span));
            let narrowed = self.narrow(&message, &clause.pattern);
            self.bind(&clause.pattern, &narrowed);
            if let Some(guard) = &clause.guard {
                self.assume(guard, true);
            }
            let result = self.expression(&clause.body, usage);
            self.close_arm(&mut fork, result);
        }
        if let Some(after) = after {
            self.open_arm(&fork);
            let result = self.expression(after, usage);
            self.close_arm(&mut fork, result);
        }
        if !self.silent {
            self.receives.push(Receive { clause, arm, position, awaited });
        }
        self.close_fork(fork)
    }

    fn try_(&mut self, parts: &'p TryExpr, span: Span, usage: Usage) -> Value {
        let index = self.tries.len() as u32;
        let outer = self.scope;
        self.tries.push(self.blank_try(parts, span));
        let first = self.items.len() as u32;
        let mut fork = self.open_fork(Deps::default(), span);
        self.open_arm(&fork);
        let body_usage = if parts.else_.is_empty() { usage } else { Usage::Used };
        self.open_scope(ScopeKind::Try(index));
        let body = self.expression(&parts.body, body_usage);
        self.close_scope(outer);
        let last = self.items.len() as u32;
        let mut result = body.clone();
        if !parts.else_.is_empty() && !self.diverged {
            self.open_scope(ScopeKind::Handler(index));
            result = self.clauses_of(&body, None, &parts.else_, span, usage);
            self.close_scope(outer);
        }
        self.close_arm(&mut fork, result);
        let cause = self.cause(first, last);
        self.open_scope(ScopeKind::Handler(index));
        let rescues: Vec<RescueSummary> =
            parts.rescues.iter().map(|rescue| self.rescue(&mut fork, rescue, cause.as_ref(), usage)).collect();
        let catches: Vec<CatchSummary> = parts.catches.iter().map(|catch| self.catch(&mut fork, catch, cause.as_ref(), usage)).collect();
        let result = self.close_fork(fork);
        if let Some(after) = &parts.after {
            let diverged = std::mem::replace(&mut self.diverged, false);
            self.expression(after, Usage::Discarded);
            self.diverged |= diverged;
        }
        self.close_scope(outer);
        if let Some(slot) = self.tries.get_mut(index as usize) {
            slot.first = first;
            slot.last = last;
            slot.rescues = rescues;
            slot.catches = catches;
            slot.body_value = body.settled(crate::value::DEPTH_MAX);
        }
        result
    }

    /// The entry of a `try` while its body is evaluated: handlers by kind are needed before their values are.
    fn blank_try(&self, parts: &'p TryExpr, span: Span) -> Try {
        let nothing = || Value::never(self.site(span));
        let rescue = |rescue: &'p Rescue| RescueSummary {
            span: rescue.span,
            exceptions: rescue.exceptions.clone(),
            value: nothing(),
            diverges: false,
            binds: rescue.variable.is_some(),
        };
        let catch = |catch: &'p Catch| CatchSummary {
            span: catch.span,
            kind: catch_kind(catch),
            pattern: catch_pattern(catch),
            value: nothing(),
            diverges: false,
        };
        Try {
            span,
            clause: self.clause,
            implicit: parts.implicit,
            first: 0,
            last: 0,
            rescues: parts.rescues.iter().map(rescue).collect(),
            catches: parts.catches.iter().map(catch).collect(),
            scope: self.scope,
            body_value: nothing(),
        }
    }

    fn rescue(&mut self, fork: &mut super::control::Fork, rescue: &'p Rescue, cause: Option<&Arc<Origin>>, usage: Usage) -> RescueSummary {
        self.open_arm(fork);
        if let Some(id) = rescue.variable {
            self.set(id, Value::any(self.site(rescue.span)));
        }
        let value = self.expression(&rescue.body, usage);
        let value = self.chosen_by(value, cause, OriginKind::Rescued, rescue.span);
        let summary = RescueSummary {
            span: rescue.span,
            exceptions: rescue.exceptions.clone(),
            value: value.settled(crate::value::DEPTH_MAX),
            diverges: self.diverged,
            binds: rescue.variable.is_some(),
        };
        self.close_arm(fork, value);
        summary
    }

    fn catch(&mut self, fork: &mut super::control::Fork, catch: &'p Catch, cause: Option<&Arc<Origin>>, usage: Usage) -> CatchSummary {
        self.open_arm(fork);
        let thrown = Value::any(self.site(catch.span));
        if let Some(kind) = &catch.kind {
            self.bind(kind, &thrown);
        }
        let narrowed = self.narrow(&thrown, &catch.pattern);
        self.bind(&catch.pattern, &narrowed);
        let value = self.expression(&catch.body, usage);
        let value = self.chosen_by(value, cause, OriginKind::Rescued, catch.span);
        let summary = CatchSummary {
            span: catch.span,
            kind: catch_kind(catch),
            pattern: catch_pattern(catch),
            value: value.settled(crate::value::DEPTH_MAX),
            diverges: self.diverged,
        };
        self.close_arm(fork, value);
        summary
    }

    /// The observation in a range of items that a handler answers for: the first look at shared state.
    fn cause(&self, first: u32, last: u32) -> Option<Arc<Origin>> {
        let items = self.items.get(first as usize..last as usize)?;
        items.iter().find_map(|item| match &item.kind {
            ItemKind::Effect(effect) if effect.kind.observes() => {
                Some(Origin::observed(effect.kind, effect.module, effect.name, self.place(item.name_span)))
            }
            ItemKind::Call { callee, .. } => {
                let Known { function, module, interface } = self.view.callee(*callee)?;
                let reach = interface?.reach;
                let kind =
                    [EffectKind::Lookup, EffectKind::TableRead, EffectKind::Call].into_iter().find(|kind| reach & kind.bit() != 0)?;
                Some(Origin::observed(kind, module, function.name, self.place(item.name_span)))
            }
            _ => None,
        })
    }
}

/// The nil of `a || b` is one that both observed.
fn continue_nil(first: &Value, second: &mut Value) {
    let Some(before) = first.observed_nil() else { return };
    for alt in &mut second.alts {
        if let (Shape::Atom(atom), Some(origin)) = (&alt.shape, &alt.origin)
            && crate::value::is_absent(*atom)
        {
            alt.origin = Some(before.continued_by(origin));
        }
    }
}

fn is_keyword(item: &Expr) -> bool {
    matches!(&item.kind, ExprKind::Tuple(parts) if matches!(parts.as_slice(), [Expr { kind: ExprKind::Atom(_), .. }, _]))
}

/// Whether a condition may be true, and whether it may be false.
fn possible(value: &Value) -> (bool, bool) {
    if value.is_never() || !value.alts.iter().all(|alt| matches!(alt.shape, Shape::Atom(_))) {
        return (true, true);
    }
    let falsy = value.atoms().any(crate::value::is_falsy);
    let truthy = value.atoms().any(|atom| !crate::value::is_falsy(atom));
    (truthy, falsy)
}

fn catch_kind(catch: &Catch) -> CatchKind {
    match catch.kind.as_ref().map(|pattern| &pattern.kind) {
        None => CatchKind::Throw { bare: true },
        Some(PatternKind::Atom(kind)) => match kind.as_str() {
            "exit" => CatchKind::Exit,
            "error" => CatchKind::Error,
            _ => CatchKind::Throw { bare: false },
        },
        Some(_) => CatchKind::All,
    }
}

fn catch_pattern(catch: &Catch) -> CatchPattern {
    if is_irrefutable(&catch.pattern) && catch.guard.is_none() {
        return CatchPattern::All;
    }
    let guard_atoms = catch.guard.as_ref().map(|guard| {
        let mut atoms = Vec::new();
        collect_atoms(guard, &mut atoms);
        atoms
    });
    CatchPattern::Some { pattern: catch.pattern.clone(), guard_atoms }
}

fn collect_atoms(expr: &Expr, atoms: &mut Vec<Symbol>) {
    match &expr.kind {
        ExprKind::Atom(name) => atoms.push(*name),
        ExprKind::Call(call) => call.args.iter().for_each(|arg| collect_atoms(arg, atoms)),
        ExprKind::And(left, right) | ExprKind::Or(left, right) => {
            collect_atoms(left, atoms);
            collect_atoms(right, atoms);
        }
        ExprKind::List { items, .. } | ExprKind::Tuple(items) => items.iter().for_each(|item| collect_atoms(item, atoms)),
        _ => {}
    }
}
