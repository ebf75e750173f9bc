//! The abstract interpreter: one function at a time, to a [`Summary`].
//!
//! It is flow-sensitive (items are in order of evaluation), keeps branches apart (each item knows its arm), narrows variables by patterns,
//! guards and conditions, and evaluates closures where they run. Work is bounded by [`FUEL`] steps a function.

mod call;
mod closure;
mod control;
mod expression;
mod finish;
mod instantiate;
mod library;
mod narrow;
mod pattern;

pub(crate) use instantiate::Frame;
pub(crate) use pattern::{is_irrefutable, tag_of};

use crate::Place;
use crate::resolve::{FunctionEntry, ModuleEntry};
use crate::summary::{
    Arm, ArmId, ClauseSummary, Item, ItemKind, Misfit, ModuleId, ParamClosure, Receive, Scope, ScopeId, ScopeKind, Summary, Try, Usage,
};
use crate::term::Term;
use crate::value::{Deps, Value};
use crate::view::View;
use racefree_syntax::core::{Clause, Expr, Module, VarId};
use racefree_syntax::{FileId, Span, Symbol};
use rustc_hash::FxHashMap;

/// Expressions evaluated for one function at most; the rest counts as unknown.
const FUEL: u32 = 60_000;
/// Items kept of one function at most.
const ITEMS_MAX: usize = 4_000;
/// Closures evaluated inside closures at most.
const CLOSURE_DEPTH_MAX: u32 = 12;

pub(crate) struct Evaluator<'a, 'p> {
    view: View<'a, 'p>,
    module_id: ModuleId,
    module: &'p Module,
    file: FileId,
    env: Vec<Value>,
    /// Narrowed variables and what they were, since the arm at hand was opened.
    undo: Vec<(VarId, Value)>,
    items: Vec<Item>,
    arms: Vec<Arm>,
    scopes: Vec<Scope>,
    tries: Vec<Try>,
    misfits: Vec<Misfit>,
    receives: Vec<Receive>,
    param_closures: Vec<ParamClosure>,
    closures: Vec<ClosureCode<'p>>,
    attributes: FxHashMap<Symbol, Value>,
    /// Variables bound to the answer of a test: what is known of the answer is known of what was tested.
    tests: FxHashMap<VarId, &'p Expr>,
    clause: u16,
    arm: ArmId,
    scope: ScopeId,
    control: Deps,
    diverged: bool,
    forks: u32,
    observations: u32,
    fuel: u32,
    closure_depth: u32,
    /// Values are wanted, not items: for attributes and guards.
    silent: bool,
}

struct ClosureCode<'p> {
    clauses: &'p [Clause],
    evaluated: bool,
}

/// Evaluates the function at `entry`, which stands in `module`, given the summaries of what it calls.
pub(crate) fn evaluate<'p>(view: View<'_, 'p>, entry: &FunctionEntry<'p>, module: &ModuleEntry<'p>) -> Summary {
    let evaluator = Evaluator {
        view,
        module_id: entry.module,
        module: module.module,
        file: module.file,
        env: Vec::new(),
        undo: Vec::new(),
        items: Vec::new(),
        arms: vec![Arm { fork: 0, parent: None }],
        scopes: vec![Scope { kind: ScopeKind::Function, parent: None }],
        tries: Vec::new(),
        misfits: Vec::new(),
        receives: Vec::new(),
        param_closures: Vec::new(),
        closures: Vec::new(),
        attributes: FxHashMap::default(),
        tests: FxHashMap::default(),
        clause: 0,
        arm: ArmId(0),
        scope: ScopeId(0),
        control: Deps::default(),
        diverged: false,
        forks: 1,
        observations: 0,
        fuel: FUEL,
        closure_depth: 0,
        silent: false,
    };
    evaluator.function(entry)
}

impl<'p> Evaluator<'_, 'p> {
    fn function(mut self, entry: &FunctionEntry<'p>) -> Summary {
        let fork = self.next_fork();
        let mut clauses = Vec::with_capacity(entry.function.clauses.len());
        let mut given: Vec<Value> = (0..entry.function.arity).map(|index| Value::symbolic(Term::param(index))).collect();
        for (index, clause) in entry.function.clauses.iter().enumerate() {
            self.clause = index.min(u16::MAX as usize) as u16;
            self.enter_clause(clause, fork);
            self.bind_params(clause, &given);
            let returns = self.expression(&clause.body, Usage::Used);
            self.stored_closures();
            self.exclude_taken(clause, &mut given);
            clauses.push(ClauseSummary { returns: returns.settled(crate::value::DEPTH_MAX), diverges: self.diverged });
        }
        self.finish(entry, clauses)
    }

    fn enter_clause(&mut self, clause: &Clause, fork: u32) {
        let nothing = Term::site(self.file, clause.span);
        self.env.clear();
        self.env.resize(clause.variables as usize, Value::any(nothing));
        self.undo.clear();
        self.closures.clear();
        self.tests.clear();
        self.arms.push(Arm { fork, parent: Some(ArmId(0)) });
        self.arm = ArmId(self.arms.len() as u32 - 1);
        self.scope = ScopeId(0);
        self.control = Deps::default();
        self.diverged = false;
    }

    /// Binds the parameters to what was given and no earlier clause took.
    fn bind_params(&mut self, clause: &'p Clause, given: &[Value]) {
        for (pattern, value) in clause.params.iter().zip(given) {
            let narrowed = self.narrow(value, pattern);
            self.bind(pattern, &narrowed);
        }
        if let Some(guard) = &clause.guard {
            self.assume(guard, true);
        }
        // Narrowing by the clause's own guard holds for all of it.
        self.undo.clear();
    }

    /// What is left for later clauses: a clause that decides by one parameter alone takes what matches there.
    fn exclude_taken(&mut self, clause: &'p Clause, given: &mut [Value]) {
        let mut refutable = clause.params.iter().enumerate().filter(|(_, pattern)| !pattern::is_irrefutable(pattern));
        match (refutable.next(), refutable.next(), &clause.guard) {
            (Some((index, pattern)), None, None) => {
                if let Some(value) = given.get_mut(index) {
                    *value = self.exclude(value, pattern);
                }
            }
            (None, None, Some(guard)) => {
                for (pattern, value) in clause.params.iter().zip(given) {
                    *value = self.exclude_guarded(value, pattern, guard);
                }
            }
            _ => {}
        }
    }

    fn next_fork(&mut self) -> u32 {
        self.forks += 1;
        self.forks
    }

    fn place(&self, span: Span) -> Place {
        Place { file: self.file, span }
    }

    fn site(&self, span: Span) -> Term {
        Term::site(self.file, span)
    }

    fn variable(&self, id: VarId, span: Span) -> Value {
        self.env.get(id.0 as usize).cloned().unwrap_or_else(|| Value::any(self.site(span)))
    }

    fn set(&mut self, id: VarId, value: Value) {
        if let Some(slot) = self.env.get_mut(id.0 as usize) {
            *slot = value;
        }
    }

    /// Sets a variable for the rest of the arm at hand.
    fn refine(&mut self, id: VarId, value: Value) {
        if let Some(slot) = self.env.get_mut(id.0 as usize) {
            let old = std::mem::replace(slot, value);
            self.undo.push((id, old));
        }
    }

    /// A bit for a new observation.
    fn observe(&mut self) -> Deps {
        let bit = Deps(1 << (self.observations % 64));
        self.observations += 1;
        bit
    }

    fn push_item(&mut self, kind: ItemKind, span: Span, name_span: Span, usage: Usage, observation: Deps) {
        if self.silent || self.items.len() >= ITEMS_MAX {
            return;
        }
        self.items.push(Item {
            kind,
            span,
            name_span,
            clause: self.clause,
            arm: self.arm,
            scope: self.scope,
            usage,
            control: self.control,
            observation,
        });
    }

    fn open_scope(&mut self, kind: ScopeKind) -> ScopeId {
        let outer = self.scope;
        self.scopes.push(Scope { kind, parent: Some(outer) });
        self.scope = ScopeId(self.scopes.len() as u32 - 1);
        outer
    }

    fn close_scope(&mut self, outer: ScopeId) {
        self.scope = outer;
    }
}
