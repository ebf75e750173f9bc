//! What is kept of a function once it was evaluated: what it returns, and an ordered trace of what it does.
//!
//! A call of another function of the program is one [`Item`], not a copy of that function's items: a summary is bounded by the size of its
//! source, and `walk` descends into callees when a rule asks, with the arguments put in the parameters' place.

use crate::value::{Deps, Value};
use racefree_models::{EffectKind, Function as Model, Runs};
use racefree_syntax::core::Pattern;
use racefree_syntax::{Span, Symbol};
use smallvec::SmallVec;
use std::sync::Arc;

/// A function of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionId(pub u32);

/// A module of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleId(pub u32);

#[derive(Debug, Default)]
pub struct Summary {
    pub clauses: Vec<ClauseSummary>,
    /// What any of the clauses may return.
    pub returns: Option<Value>,
    /// In order of evaluation, clause after clause.
    pub items: Vec<Item>,
    pub arms: Vec<Arm>,
    pub scopes: Vec<Scope>,
    pub tries: Vec<Try>,
    pub misfits: Vec<Misfit>,
    pub receives: Vec<Receive>,
    /// Closures it was given, that it calls or passes on.
    pub closures: Vec<ParamClosure>,
    /// Kinds of effects it has, those of its callees included: the union of [`EffectKind::bit`].
    pub reach: u64,
}

/// What callers see of a summary: nothing else of it decides what becomes of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interface<'s> {
    pub clauses: &'s [ClauseSummary],
    pub returns: Option<&'s Value>,
    pub closures: &'s [ParamClosure],
    pub reach: u64,
}

#[derive(Debug, PartialEq)]
pub struct ClauseSummary {
    pub returns: Value,
    /// No path through the clause returns.
    pub diverges: bool,
}

/// A place that raises for some observed value.
#[derive(Debug)]
pub struct Misfit {
    pub kind: MisfitKind,
    /// The whole match, or the whole `case`.
    pub span: Span,
    /// The pattern that does not fit, or whose clause raises; of a `case` without a clause that of its first one.
    pub pattern: Span,
    pub clause: u16,
    pub arm: ArmId,
    pub scope: ScopeId,
    /// The item whose result was matched.
    pub item: Option<u32>,
    /// The alternatives for which it raises.
    pub value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MisfitKind {
    /// `pattern = value`, and the value does not match.
    Match,
    /// A `case` that has no clause for the value.
    NoClause,
    /// A `case` whose clause for the value never returns.
    Raised,
}

/// A `receive`, and what it waits for.
#[derive(Debug)]
pub struct Receive {
    pub clause: u16,
    pub arm: ArmId,
    /// How many items stand before it.
    pub position: u32,
    pub awaited: Vec<Awaited>,
}

/// One clause of a `receive`.
#[derive(Debug)]
pub struct Awaited {
    /// The first word of the message, if it takes such messages.
    pub tag: Option<Symbol>,
    /// It takes every message.
    pub is_open: bool,
    pub arm: ArmId,
}

/// A closure that came in as a parameter and is run.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamClosure {
    pub param: u32,
    pub runs: Runs,
    pub args: Vec<Value>,
    pub shield: Shield,
}

/// What the code around a closure handles for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shield {
    /// Every exit.
    pub exits: bool,
    /// Every exception.
    pub exceptions: bool,
}

impl Shield {
    pub fn join(self, other: Self) -> Self {
        Self { exits: self.exits || other.exits, exceptions: self.exceptions || other.exceptions }
    }
}

#[derive(Debug)]
pub struct Item {
    pub kind: ItemKind,
    pub span: Span,
    /// Where the name of the function called stands.
    pub name_span: Span,
    pub clause: u16,
    pub arm: ArmId,
    pub scope: ScopeId,
    pub usage: Usage,
    /// The observations that decided whether this is reached.
    pub control: Deps,
    /// This item's own bit, when it observes something.
    pub observation: Deps,
}

#[derive(Debug)]
pub enum ItemKind {
    /// A library function with an effect.
    Effect(Effect),
    /// A function of the program.
    Call { callee: FunctionId, args: Arc<[Value]>, clauses: u64 },
    /// A function nothing is known of.
    Foreign { module: Symbol, name: Symbol, args: SmallVec<[Value; 2]> },
}

#[derive(Debug)]
pub struct Effect {
    pub kind: EffectKind,
    pub module: Symbol,
    pub name: Symbol,
    pub model: Arc<Model>,
    pub args: SmallVec<[Value; 2]>,
    /// For a request: the server that handles it, as far as is known.
    pub handled: Option<Handled>,
}

impl Effect {
    pub fn target(&self) -> Option<&Value> {
        self.args.get(self.model.target?)
    }

    pub fn key(&self) -> Option<&Value> {
        self.args.get(self.model.key?)
    }

    pub fn message(&self) -> Option<&Value> {
        self.args.get(self.model.message?)
    }
}

/// The callback of the program that takes a request.
#[derive(Debug, Clone, Copy)]
pub struct Handled {
    pub server: ModuleId,
    /// The callback, when the server has a clause that may take the message.
    pub callback: Option<FunctionId>,
    /// Its clauses that may take the message, one bit each.
    pub clauses: u64,
    /// The target names the server's module; otherwise the message alone spoke for it.
    pub proven: bool,
}

/// What becomes of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    Used,
    /// Nobody looks at it.
    Discarded,
    /// `pattern = call()` where the pattern can fail; the span is the whole match.
    Matched(Span),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ArmId(pub u32);

/// A branch: one way out of a fork. Two items exclude each other when some fork has them in different arms.
#[derive(Debug, Clone, Copy)]
pub struct Arm {
    pub fork: u32,
    pub parent: Option<ArmId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScopeId(pub u32);

/// What surrounds an item.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    pub kind: ScopeKind,
    pub parent: Option<ScopeId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeKind {
    Function,
    /// The body of the `try` with this index.
    Try(u32),
    /// The handlers, `else` and `after` of the `try` with this index.
    Handler(u32),
    /// Runs once for each element; the span is the loop's.
    Loop(Span),
    /// Runs in another process.
    Elsewhere,
    /// Runs in the process that is called.
    AtTarget,
    /// Runs while a lock or transaction is held.
    Locked,
    /// A closure of which nobody knows when it runs.
    Stored,
    /// A closure run by a function that handles what it raises.
    Shielded(Shield),
}

#[derive(Debug)]
pub struct Try {
    pub span: Span,
    pub clause: u16,
    pub implicit: bool,
    /// Range of items of the body.
    pub first: u32,
    pub last: u32,
    pub rescues: Vec<RescueSummary>,
    pub catches: Vec<CatchSummary>,
    /// Nested in the scope that surrounds the `try` itself.
    pub scope: ScopeId,
    pub body_value: Value,
}

#[derive(Debug)]
pub struct RescueSummary {
    pub span: Span,
    /// Empty means all.
    pub exceptions: Vec<Symbol>,
    pub value: Value,
    pub diverges: bool,
    pub binds: bool,
}

#[derive(Debug)]
pub struct CatchSummary {
    pub span: Span,
    pub kind: CatchKind,
    pub pattern: CatchPattern,
    pub value: Value,
    pub diverges: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchKind {
    Exit,
    Error,
    /// `:throw`, or a bare `catch pattern ->`; the flag tells a bare one.
    Throw {
        bare: bool,
    },
    /// A variable or `_`.
    All,
}

/// The reasons a clause takes.
#[derive(Debug, Clone)]
pub enum CatchPattern {
    All,
    Some { pattern: Pattern, guard_atoms: Option<Vec<Symbol>> },
}

/// How the exits of an item are handled where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitHandling {
    Uncaught,
    /// By a list of reasons, in the `try` with this index.
    Listed(u32),
    Caught,
}

impl Summary {
    pub(crate) fn interface(&self) -> Interface<'_> {
        Interface { clauses: &self.clauses, returns: self.returns.as_ref(), closures: &self.closures, reach: self.reach }
    }

    pub fn scope_chain(&self, scope: ScopeId) -> impl Iterator<Item = ScopeKind> + '_ {
        let mut next = Some(scope);
        std::iter::from_fn(move || {
            let scope = self.scopes.get(next?.0 as usize)?;
            next = scope.parent;
            Some(scope.kind)
        })
    }

    /// Whether both can happen in one run of the function.
    pub fn compatible(&self, a: ArmId, b: ArmId) -> bool {
        let chain = |arm: ArmId| {
            let mut next = Some(arm);
            std::iter::from_fn(move || {
                let id = next?;
                let arm = self.arms.get(id.0 as usize)?;
                next = arm.parent;
                Some((id, arm.fork))
            })
        };
        for (arm, fork) in chain(a) {
            if chain(b).any(|(other, other_fork)| fork == other_fork && arm != other) {
                return false;
            }
        }
        true
    }

    /// Whether the code in arm `inner` runs only when `outer` was taken.
    pub fn is_within(&self, inner: ArmId, outer: ArmId) -> bool {
        let mut next = Some(inner);
        while let Some(arm) = next {
            if arm == outer {
                return true;
            }
            next = self.arms.get(arm.0 as usize).and_then(|arm| arm.parent);
        }
        false
    }

    /// What this function does with an exit that leaves an item in `scope`.
    pub fn exit_handling(&self, scope: ScopeId) -> ExitHandling {
        let mut listed = None;
        for kind in self.scope_chain(scope) {
            match kind {
                ScopeKind::Try(index) => match self.tries.get(index as usize).map_or(ExitHandling::Uncaught, |t| t.exits(index)) {
                    ExitHandling::Caught => return ExitHandling::Caught,
                    ExitHandling::Listed(index) => listed = listed.or(Some(index)),
                    ExitHandling::Uncaught => {}
                },
                ScopeKind::Shielded(shield) if shield.exits => return ExitHandling::Caught,
                ScopeKind::Elsewhere | ScopeKind::AtTarget => break,
                _ => {}
            }
        }
        listed.map_or(ExitHandling::Uncaught, ExitHandling::Listed)
    }

    /// Whether an exception of this name, raised in `scope`, is rescued or caught here.
    pub fn rescues(&self, scope: ScopeId, exception: &str) -> bool {
        self.scope_chain(scope).take_while(|kind| !matches!(kind, ScopeKind::Elsewhere | ScopeKind::AtTarget)).any(|kind| match kind {
            ScopeKind::Try(index) => self.tries.get(index as usize).is_some_and(|t| t.takes_exception(exception)),
            ScopeKind::Shielded(shield) => shield.exceptions,
            _ => false,
        })
    }

    pub fn in_scope(&self, scope: ScopeId, wanted: impl Fn(ScopeKind) -> bool) -> bool {
        self.scope_chain(scope).any(wanted)
    }
}

impl Try {
    fn exits(&self, index: u32) -> ExitHandling {
        let exits = || self.catches.iter().filter(|c| matches!(c.kind, CatchKind::Exit | CatchKind::All));
        if exits().any(|c| matches!(c.pattern, CatchPattern::All)) {
            ExitHandling::Caught
        } else if exits().next().is_some() {
            ExitHandling::Listed(index)
        } else {
            ExitHandling::Uncaught
        }
    }

    /// What it handles whatever the reason or exception.
    pub fn shield(&self) -> Shield {
        let all = |wanted: fn(CatchKind) -> bool| {
            self.catches.iter().any(|c| (wanted(c.kind) || c.kind == CatchKind::All) && matches!(c.pattern, CatchPattern::All))
        };
        Shield {
            exits: all(|kind| kind == CatchKind::Exit),
            exceptions: all(|kind| kind == CatchKind::Error) || self.rescues.iter().any(|rescue| rescue.exceptions.is_empty()),
        }
    }

    pub fn takes_exception(&self, exception: &str) -> bool {
        self.rescues.iter().any(|r| r.exceptions.is_empty() || r.exceptions.iter().any(|name| name.as_str() == exception))
            || self.catches.iter().any(|c| matches!(c.kind, CatchKind::Error | CatchKind::All))
    }
}
