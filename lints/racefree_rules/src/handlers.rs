//! What the rules about exception handlers share: which exits a list of reasons takes, and what a `try` covers.

use racefree_analysis::Program;
use racefree_analysis::summary::{CatchKind, CatchPattern, CatchSummary, Item, ItemKind, ScopeKind, Summary, Try};
use racefree_models::{EffectKind, ExitReason, Returns};
use racefree_syntax::Symbol;
use racefree_syntax::core::{Pattern, PatternKind};

/// The ways a call can exit because its process is gone or goes, split by whether `tried` takes them.
pub(crate) fn exits_taken<'m>(program: &'m Program<'_>, tried: &Try) -> (Vec<&'m ExitReason>, Vec<&'m ExitReason>) {
    program.models().exit_reasons.iter().partition(|reason| {
        let exits = tried.catches.iter().filter(|catch| matches!(catch.kind, CatchKind::Exit | CatchKind::All));
        exits.into_iter().any(|catch| takes_exit(catch, reason))
    })
}

/// Whether the clause takes this way to exit.
pub(crate) fn takes_exit(catch: &CatchSummary, reason: &ExitReason) -> bool {
    match &catch.pattern {
        CatchPattern::All => true,
        CatchPattern::Some { pattern, guard_atoms } => takes(pattern, &reason.shape, guard_atoms.as_deref()),
    }
}

/// Whether the pattern takes every value of this shape. A guard takes those whose atom it names.
fn takes(pattern: &Pattern, shape: &Returns, guard: Option<&[Symbol]>) -> bool {
    match (&pattern.kind, shape) {
        // The last element is the call itself: `{GenServer, :call, _}` takes it as `_` does.
        (PatternKind::Tuple(patterns), Returns::Tuple(parts)) if patterns.len() == parts.len() => {
            let last = parts.len().saturating_sub(1);
            patterns.iter().zip(parts).enumerate().all(|(index, (pattern, part))| index == last || takes_reason(pattern, part, guard))
        }
        _ => takes_reason(pattern, shape, guard),
    }
}

fn takes_reason(pattern: &Pattern, shape: &Returns, guard: Option<&[Symbol]>) -> bool {
    match (&pattern.kind, shape) {
        (PatternKind::Wild, _) => true,
        (PatternKind::Bind(_), Returns::Atom(atom)) => guard.is_none_or(|named| named.contains(atom)),
        (PatternKind::Bind(_), _) => guard.is_none(),
        (PatternKind::Atom(a), Returns::Atom(b)) => a == b,
        (PatternKind::Tuple(patterns), Returns::Tuple(parts)) if patterns.len() == parts.len() => {
            patterns.iter().zip(parts).all(|(pattern, part)| takes_reason(pattern, part, guard))
        }
        (PatternKind::Both(left, right), _) => takes_reason(left, shape, guard) && takes_reason(right, shape, guard),
        _ => false,
    }
}

/// The items that `tried` answers for: in its body, in this process, and not in an inner `try`.
pub(crate) fn body<'s>(summary: &'s Summary, index: usize, tried: &'s Try) -> impl Iterator<Item = &'s Item> {
    let items = summary.items.get(tried.first as usize..tried.last as usize).unwrap_or(&[]);
    items.iter().filter(move |item| {
        let mut scopes = summary.scope_chain(item.scope).filter(|kind| {
            matches!(kind, ScopeKind::Try(_) | ScopeKind::Handler(_) | ScopeKind::Elsewhere | ScopeKind::AtTarget | ScopeKind::Stored)
        });
        scopes.next() == Some(ScopeKind::Try(index as u32))
    })
}

/// Whether an exit of another process may leave this item: it asks a process, itself or through what it calls.
pub(crate) fn may_exit(program: &Program<'_>, item: &Item) -> bool {
    match &item.kind {
        ItemKind::Effect(effect) => effect.model.exits,
        ItemKind::Call { .. } => program.item_reach(item) & (EffectKind::Call.bit() | EffectKind::Stop.bit()) != 0,
        ItemKind::Foreign { .. } => false,
    }
}

/// The library call that asks a process, when the item is one, or a function of the program that does nothing else.
pub(crate) fn plain_request<'s>(program: &'s Program<'_>, item: &'s Item, depth: usize) -> Option<&'s Item> {
    match &item.kind {
        ItemKind::Effect(effect) if effect.model.exits => Some(item),
        ItemKind::Call { callee, .. } if depth > 0 => {
            let mut own = program.summary(*callee).items.iter().filter(|item| !is_harmless(program, item));
            let only = own.next()?;
            if own.next().is_some() {
                return None;
            }
            let summary = program.summary(*callee);
            let uncaught = summary.exit_handling(only.scope) == racefree_analysis::summary::ExitHandling::Uncaught;
            if uncaught { plain_request(program, only, depth - 1) } else { None }
        }
        _ => None,
    }
}

/// Calls followed to see that code is pure; what lies deeper counts as not.
const PURE_DEPTH_MAX: usize = 6;

/// Whether nothing can go wrong in it: it has no effect, and only the program's own pure code below it.
pub(crate) fn is_harmless(program: &Program<'_>, item: &Item) -> bool {
    is_pure(program, item, PURE_DEPTH_MAX)
}

fn is_pure(program: &Program<'_>, item: &Item, depth: usize) -> bool {
    match &item.kind {
        // To ask whether a process lives fails for what is no pid, which is no race.
        ItemKind::Effect(effect) if effect.kind == EffectKind::Alive => true,
        ItemKind::Effect(effect) => !effect.model.exits && effect.model.raises.is_empty() && effect.kind != EffectKind::Diverge,
        ItemKind::Call { callee, .. } => {
            let summary = program.summary(*callee);
            depth > 0
                && summary.reach == 0
                && summary.items.iter().all(|item| matches!(item.kind, ItemKind::Call { .. }) && is_pure(program, item, depth - 1))
        }
        ItemKind::Foreign { .. } => false,
    }
}
