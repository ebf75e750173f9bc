//! Calls: which function is meant, and what its summary or model says.

use super::Evaluator;
use super::instantiate::Frame;
use super::pattern::is_irrefutable;
use crate::resolve::Local;
use crate::summary::{FunctionId, Interface, ItemKind, ModuleId, ScopeKind, Shield, Usage};
use crate::term::{Term, TermKind};
use crate::value::{Deps, OriginKind, Shape, Value};
use crate::view::Known;
use racefree_models::{EffectKind, Runs};
use racefree_syntax::core::{Call, Callee, Expr, ExprKind, Function, Pattern};
use racefree_syntax::{Span, Symbol};
use smallvec::SmallVec;
use std::sync::Arc;

/// Effects that make a callee's result an observation.
const OBSERVING: [EffectKind; 7] = [
    EffectKind::Lookup,
    EffectKind::Call,
    EffectKind::Alive,
    EffectKind::TableRead,
    EffectKind::TableInfo,
    EffectKind::FileRead,
    EffectKind::Start,
];

impl<'p> Evaluator<'_, 'p> {
    pub(super) fn call(&mut self, call: &'p Call, span: Span, usage: Usage) -> Value {
        match &call.callee {
            Callee::Local(name) => self.local_call(*name, call, span, usage),
            Callee::Remote { module, name } => {
                let args = self.expressions(&call.args);
                if self.diverged {
                    return Value::never(self.site(span));
                }
                let value = self.call_named(*module, *name, args, span, call.name_span, usage);
                self.after_call(*module, *name, call);
                value
            }
            Callee::Dynamic { module, name } => self.dynamic_call(module, *name, call, span, usage),
            Callee::Value(function) => {
                let function = self.expression(function, Usage::Used);
                let args = self.expressions(&call.args);
                self.apply(&function, &args, span, usage)
            }
        }
    }

    fn local_call(&mut self, name: Symbol, call: &'p Call, span: Span, usage: Usage) -> Value {
        let local = self.view.local(self.module_id, name, call.args.len() as u32);
        if let Local::Record(owner, index) = local {
            return self.record_call(owner, index, call, span);
        }
        let args = self.expressions(&call.args);
        if self.diverged {
            return Value::never(self.site(span));
        }
        match local {
            Local::Program(id) => {
                let value = self.call_program(id, args, span, call.name_span, usage);
                self.after_clauses(id, call);
                value
            }
            Local::Library(module) => {
                let value = self.call_named(module, name, args, span, call.name_span, usage);
                self.after_call(module, name, call);
                value
            }
            Local::Record(..) | Local::Unknown => {
                let prelude = self.view.prelude();
                let value = self.call_named(prelude, name, args, span, call.name_span, usage);
                self.after_call(prelude, name, call);
                value
            }
        }
    }

    /// A function that raises for some arguments and came back: they were others.
    fn after_clauses(&mut self, id: FunctionId, call: &'p Call) {
        let raises = self.view.interface(id).is_some_and(|known| known.clauses.iter().any(|clause| clause.diverges));
        if raises && !self.diverged {
            self.assume_clauses(id, call, &|_| true);
        }
    }

    /// A call that would have raised or exited on nil and did not: its target is no nil from here on.
    pub(super) fn after_call(&mut self, module: Symbol, name: Symbol, call: &'p Call) {
        let Some(model) = self.view.models().function(module, name, call.args.len() as u32) else { return };
        if !matches!(model.on_nil, racefree_models::OnNil::Exit | racefree_models::OnNil::Raise) {
            return;
        }
        if let Some(Expr { kind: ExprKind::Var(id), span }) = model.target.and_then(|target| call.args.get(target)) {
            let value = self.variable(*id, *span).not_atom(self.view.nil());
            self.refine(*id, value);
        }
    }

    fn dynamic_call(&mut self, module: &'p Expr, name: Symbol, call: &'p Call, span: Span, usage: Usage) -> Value {
        let target = self.expression(module, Usage::Used);
        let args = self.expressions(&call.args);
        if self.diverged {
            return Value::never(self.site(span));
        }
        let known: SmallVec<[Symbol; 2]> = target.atoms().collect();
        match known.as_slice() {
            [only] if target.alts.len() == 1 => self.call_named(*only, name, args, span, call.name_span, usage),
            _ => self.call_foreign(self.view.nil(), name, args, span, call.name_span, usage),
        }
    }

    fn record_call(&mut self, owner: ModuleId, index: usize, call: &'p Call, span: Span) -> Value {
        let args = self.expressions(&call.args);
        let name = self.view.record_name(owner, index);
        match args.as_slice() {
            [base, field] if field.alts.len() == 1 && field.atoms().next().is_some() => {
                field.atoms().next().map_or_else(|| Value::any(self.site(span)), |field| base.field(field))
            }
            [.., changes] => {
                let fields = match changes.alts.first().map(|alt| &alt.shape) {
                    Some(Shape::Map(map)) => map.fields.clone(),
                    _ => Vec::new(),
                };
                let base = (args.len() == 2).then(|| args.first().map(|base| base.term.clone())).flatten();
                self.map_of(fields, name, base, self.site(span))
            }
            [] => self.map_of(Vec::new(), name, None, self.site(span)),
        }
    }

    /// A function by its full name: the models know it, or the program has it, or nobody does.
    pub(super) fn call_named(
        &mut self,
        module: Symbol,
        name: Symbol,
        args: Vec<Value>,
        span: Span,
        name_span: Span,
        usage: Usage,
    ) -> Value {
        let arity = args.len() as u32;
        if let Some(model) = self.view.models().function(module, name, arity) {
            let model = Arc::clone(model);
            return self.call_library(&model, module, name, args, span, name_span, usage);
        }
        match self.view.remote(module, name, arity) {
            Some(id) => self.call_program(id, args, span, name_span, usage),
            None => self.call_foreign(module, name, args, span, name_span, usage),
        }
    }

    fn call_foreign(&mut self, module: Symbol, name: Symbol, args: Vec<Value>, span: Span, name_span: Span, usage: Usage) -> Value {
        let deps = args.iter().fold(Deps::default(), |deps, arg| deps.join(arg.all_deps()));
        let term = self.apply_term(module, name, &args, span);
        let kept = args.iter().map(|arg| arg.settled(3)).collect();
        self.push_item(ItemKind::Foreign { module, name, args: kept }, span, name_span, usage, Deps::default());
        for arg in &args {
            self.run_escaping(arg, span);
        }
        Value::any(term).with_deps(deps)
    }

    /// A closure given to code nobody knows: taken to run here, once.
    fn run_escaping(&mut self, arg: &Value, span: Span) {
        for alt in &arg.alts {
            match &alt.shape {
                Shape::Closure(_) => {
                    let function = Value { alts: smallvec::smallvec![alt.clone()], term: arg.term.clone(), deps: arg.deps };
                    self.run_argument(&function, Runs::Once, &[], span);
                }
                Shape::Symbolic { term, .. } => self.note_escape(term),
                _ => {}
            }
        }
    }

    fn note_escape(&mut self, term: &Term) {
        // Only closures matter here, and whether a parameter is one is not known: what is passed on unknown ways is taken to run once.
        if matches!(term.kind(), TermKind::Param(_)) {
            self.note_param_closure(term, Runs::Once, &[], Shield::default());
        }
    }

    pub(super) fn apply_term(&self, module: Symbol, name: Symbol, args: &[Value], span: Span) -> Term {
        let depth = args.iter().map(|arg| arg.term.depth()).max().unwrap_or(0);
        if depth >= crate::term::DEPTH_MAX {
            return self.site(span);
        }
        Term::new(TermKind::Apply { module, name, args: args.iter().map(|arg| arg.term.clone()).collect() })
    }

    pub(super) fn call_program(&mut self, id: FunctionId, args: Vec<Value>, span: Span, name_span: Span, usage: Usage) -> Value {
        let Some(Known { function, module, interface }) = self.view.callee(id) else { return Value::any(self.site(span)) };
        let name = function.name;
        let clauses = self.possible_clauses(function, &args);
        let observes = interface.is_some_and(|known| OBSERVING.iter().any(|kind| known.reach & kind.bit() != 0));
        let observation = if observes { self.observe() } else { Deps::default() };
        let deps = args.iter().fold(observation, |deps, arg| deps.join(arg.all_deps()));
        let kept: Arc<[Value]> = args.iter().map(|arg| arg.settled(crate::value::DEPTH_MAX)).collect();
        let item = ItemKind::Call { callee: id, args: kept, clauses };
        self.push_item(item, span, name_span, usage, observation);
        let results = self.run_closure_args(interface, &args, span);
        let term = self.apply_term(module, name, &args, span);
        let Some(interface) = interface else { return Value::any(term).with_deps(deps) };
        self.note_passed_closures(interface, &args);
        let frame = Frame::new(&args, &results);
        let (mut value, diverges) = returned(interface, clauses, &frame, &term);
        if diverges && !interface.clauses.is_empty() {
            self.diverged = true;
            return Value::never(term);
        }
        if value.is_never() {
            value = Value::any(term.clone());
        }
        // A function of its arguments: asked again, it is the same question, unless it makes something new.
        let makes_new = [EffectKind::Start, EffectKind::Timer, EffectKind::Monitor].iter().any(|kind| interface.reach & kind.bit() != 0);
        if !makes_new && !value.term.is_stable() && !matches!(value.alts.first().map(|alt| &alt.shape), Some(Shape::Ref)) {
            value.term = term;
        }
        value.deps = deps;
        value.travelled(&OriginKind::Returned { module, name }, self.place(name_span))
    }

    /// Which clauses of a function may take these arguments, one bit each.
    fn possible_clauses(&self, function: &'p Function, args: &[Value]) -> u64 {
        if function.clauses.len() == 1 {
            return 1;
        }
        let mut mask = 0;
        for (index, clause) in function.clauses.iter().take(64).enumerate() {
            let possible = clause.params.iter().zip(args).all(|(pattern, arg)| arg.is_never() || !self.narrow(arg, pattern).is_never());
            if possible {
                mask |= 1 << index;
            }
            let takes = |(pattern, arg): (&'p Pattern, &Value)| {
                is_irrefutable(pattern) || (!arg.is_never() && arg.alts.iter().all(|alt| self.surely_matches(&alt.shape, pattern)))
            };
            if possible && clause.guard.is_none() && clause.params.iter().zip(args).all(takes) {
                break;
            }
        }
        if mask == 0 { u64::MAX } else { mask }
    }

    /// Evaluates the closures among the arguments the way the callee runs them; their results by argument.
    fn run_closure_args(&mut self, interface: Option<Interface<'_>>, args: &[Value], span: Span) -> Vec<(u32, Value)> {
        let mut results = Vec::new();
        for (index, arg) in args.iter().enumerate() {
            let callable = |shape: &Shape| matches!(shape, Shape::Closure(_) | Shape::Function { .. });
            if !arg.alts.iter().any(|alt| callable(&alt.shape)) {
                continue;
            }
            let known = interface.and_then(|known| known.closures.iter().find(|closure| closure.param == index as u32));
            let only_named = arg.alts.iter().all(|alt| matches!(alt.shape, Shape::Function { .. }));
            if known.is_none() && only_named {
                continue;
            }
            let frame = Frame::new(args, &[]);
            let given: Vec<Value> = known.map_or_else(Vec::new, |known| known.args.iter().map(|arg| frame.value(arg)).collect());
            let runs = known.map_or(Runs::Once, |known| known.runs);
            let outer = self.scope;
            if let Some(shield) = known.map(|known| known.shield).filter(|shield| *shield != Shield::default()) {
                self.open_scope(ScopeKind::Shielded(shield));
            }
            let result = self.run_argument(arg, runs, &given, span);
            self.close_scope(outer);
            results.push((index as u32, result));
        }
        results
    }

    /// A parameter of ours given to a callee that runs it is a closure we run.
    fn note_passed_closures(&mut self, interface: Interface<'_>, args: &[Value]) {
        for closure in interface.closures {
            let Some(arg) = args.get(closure.param as usize) else { continue };
            for alt in &arg.alts {
                if let Shape::Symbolic { term, .. } = &alt.shape {
                    let frame = Frame::new(args, &[]);
                    let given: Vec<Value> = closure.args.iter().map(|arg| frame.value(arg)).collect();
                    self.note_param_closure(term, closure.runs, &given, closure.shield);
                }
            }
        }
    }
}

/// What the possible clauses return, and whether none of them does. Where there are too many to tell apart, any may.
fn returned(interface: Interface<'_>, clauses: u64, frame: &Frame<'_>, term: &Term) -> (Value, bool) {
    if interface.clauses.len() > u64::BITS as usize {
        let joined = interface.returns.map_or_else(|| Value::never(term.clone()), |value| frame.value(value));
        return (joined, interface.clauses.iter().all(|clause| clause.diverges));
    }
    let mut value = Value::never(term.clone());
    let mut diverges = true;
    for (index, clause) in interface.clauses.iter().enumerate() {
        if clauses & (1 << index) != 0 {
            diverges &= clause.diverges;
            value = value.join(frame.value(&clause.returns), term);
        }
    }
    (value, diverges)
}
