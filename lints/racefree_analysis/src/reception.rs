//! What a server makes of the news that a process ended, when nothing in its state speaks of that process any more.

use crate::eval::{is_irrefutable, tag_of};
use crate::program::Program;
use crate::summary::{FunctionId, ModuleId};
use crate::value::{Alt, Shape};
use racefree_models::Role;
use racefree_syntax::core::{Clause, ExprKind, Pattern, PatternKind, VarId};
use racefree_syntax::symbol;

/// Who takes such a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// This clause of the callback takes it, and does not ask which monitor or process it is about.
    Taken { callback: FunctionId, clause: usize },
    /// No clause of the callback takes it: it raises.
    Refused { callback: FunctionId },
}

/// What a clause says to the message.
enum Answer {
    /// Only to another message, or to one whose monitor the state knows.
    No,
    /// To every one, unseen.
    Unseen,
    /// Perhaps, or with a look at it, or it takes all messages that nobody expects.
    Maybe,
}

impl Program<'_> {
    /// What becomes of a monitor's message of which the state of `server` knows nothing; `None` when it is harmless, as far as can be seen.
    pub fn stray_end(&self, server: ModuleId) -> Option<Reception> {
        let callback = self.with_role(server, Role::Info).next()?;
        let message = self.callback(callback)?.message?;
        for (index, clause) in self.function(callback).function.clauses.iter().enumerate() {
            match self.answer(clause, message) {
                Answer::No => {}
                Answer::Unseen => return Some(Reception::Taken { callback, clause: index }),
                Answer::Maybe => return None,
            }
        }
        self.is_whole(server, callback).then_some(Reception::Refused { callback })
    }

    /// Whether all that this clause of a callback answers is to stop, if it answers at all.
    pub fn only_stops(&self, callback: FunctionId, clause: usize) -> bool {
        let stop = symbol(&self.models().conventions.stop);
        let Some(answer) = self.summary(callback).clauses.get(clause) else { return false };
        let is_stop = |alt: &Alt| match &alt.shape {
            Shape::Tuple(parts) => parts.first().is_some_and(|tag| tag.atoms().any(|atom| atom == stop)),
            _ => false,
        };
        answer.diverges || !answer.returns.is_never() && answer.returns.alts.iter().all(is_stop)
    }

    /// Whether a `receive` takes the news of an end: behind the item of this index, or with the item in answer to it.
    pub fn receives_end(&self, function: FunctionId, index: u32) -> bool {
        let summary = self.summary(function);
        let Some(item) = summary.items.get(index as usize) else { return false };
        let down = symbol(&self.models().conventions.down);
        summary.receives.iter().any(|receive| {
            let in_one_run = receive.clause == item.clause && summary.compatible(receive.arm, item.arm);
            let mut awaited = receive.awaited.iter().filter(|awaited| awaited.is_open || awaited.tag == Some(down));
            in_one_run && awaited.any(|awaited| receive.position > index || summary.is_within(item.arm, awaited.arm))
        })
    }

    fn answer(&self, clause: &Clause, message: usize) -> Answer {
        let conventions = &self.models().conventions;
        let Some(pattern) = clause.params.get(message) else { return Answer::Maybe };
        if tag_of(pattern).is_some_and(|tag| tag != (symbol(&conventions.down), conventions.down_size)) {
            return Answer::No;
        }
        let Some(parts) = tuple(pattern) else { return Answer::Maybe };
        let (Some(reference), Some(process)) = (parts.get(conventions.down_reference), parts.get(conventions.down_process)) else {
            return Answer::No;
        };
        let others = || clause.params.iter().enumerate().filter(|(index, _)| *index != message).map(|(_, pattern)| pattern);
        if let PatternKind::Bind(id) = reference.kind
            && others().any(|pattern| pins(pattern, id))
        {
            return Answer::No;
        }
        let is_whole = |pattern: &Pattern| matches!(pattern.kind, PatternKind::Wild | PatternKind::Bind(_) | PatternKind::Atom(_));
        let unseen = |pattern: &Pattern| match pattern.kind {
            PatternKind::Wild => true,
            PatternKind::Bind(id) => clause.names.get(id.0 as usize).is_some_and(|name| name.as_str().starts_with('_')),
            _ => false,
        };
        let takes_all = clause.guard.is_none() && others().all(is_irrefutable) && parts.iter().all(is_whole);
        if takes_all && unseen(reference) && unseen(process) && parts.last().is_some_and(is_irrefutable) && !is_named(pattern) {
            Answer::Unseen
        } else {
            Answer::Maybe
        }
    }

    /// Whether the callback has no other clauses than those seen: no macro from elsewhere adds any.
    fn is_whole(&self, server: ModuleId, callback: FunctionId) -> bool {
        let function = self.function(callback).function;
        self.module(server).module.uses.iter().all(|used| {
            let own = self.modules().find(|(_, entry)| entry.module.name == used.module);
            match own.map(|(_, entry)| entry.module.using.as_ref()) {
                Some(Some(using)) => !using.defines.contains(&(function.name, function.arity)) && using.uses.is_empty(),
                Some(None) => false,
                None => self.models().behaviour(used.module).is_some(),
            }
        })
    }
}

/// The parts of a tuple pattern, also when the tuple has a name.
fn tuple(pattern: &Pattern) -> Option<&[Pattern]> {
    match &pattern.kind {
        PatternKind::Tuple(parts) => Some(parts),
        PatternKind::Both(left, right) => tuple(left).or_else(|| tuple(right)),
        _ => None,
    }
}

fn is_named(pattern: &Pattern) -> bool {
    matches!(pattern.kind, PatternKind::Both(..))
}

/// Whether the pattern takes only what the variable holds.
fn pins(pattern: &Pattern, id: VarId) -> bool {
    match &pattern.kind {
        PatternKind::Pin(value) => matches!(value.kind, ExprKind::Var(pinned) if pinned == id),
        PatternKind::Tuple(parts) => parts.iter().any(|part| pins(part, id)),
        PatternKind::List { items, tail } => items.iter().chain(tail.as_deref()).any(|part| pins(part, id)),
        PatternKind::Map { pairs, .. } => {
            pairs.iter().any(|(key, part)| matches!(key.kind, ExprKind::Var(key) if key == id) || pins(part, id))
        }
        PatternKind::Both(left, right) => pins(left, id) || pins(right, id),
        _ => false,
    }
}
