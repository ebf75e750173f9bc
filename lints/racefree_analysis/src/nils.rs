//! Where an observed nil reaches a function that fails on it.
//!
//! A function that uses a parameter (or a part of one) as the target of such a call *requires* it to be no nil. Requirements travel from
//! callees to callers until a caller gives a value that was observed to be nil, or a handler on the way takes what would be raised.

use crate::Place;
use crate::eval::Frame;
use crate::program::Program;
use crate::summary::{CatchKind, Effect, ExitHandling, FunctionId, Item, ItemKind, ScopeKind, Summary};
use crate::term::{Term, TermKind};
use crate::value::{Origin, Shape, Value};
use racefree_models::OnNil;
use std::sync::Arc;

/// Requirements kept of one function.
const REQUIREMENTS_MAX: usize = 24;
/// Calls a requirement travels through.
const TRAVEL_MAX: usize = 12;

/// An observed nil arrives.
#[derive(Debug, Clone)]
pub struct NilFlow {
    /// The function and item that fails.
    pub sink: (FunctionId, usize),
    /// Where the nil came from.
    pub origin: Arc<Origin>,
    /// The function in which source and sink meet.
    pub meeting: FunctionId,
    /// The call sites from the meeting function down to the sink, outermost first; empty when the sink stands in it.
    pub way: Vec<Place>,
    /// The value is one of several that are handled one after the other: the others behind it are lost too.
    pub in_loop: bool,
}

/// What a function asks of its arguments.
#[derive(Debug, Clone)]
struct Requirement {
    term: Term,
    sink: (FunctionId, usize),
    way: Vec<Place>,
    in_loop: bool,
}

/// All flows of the program, in the order of functions.
pub(crate) fn find(program: &Program<'_>, order: &[FunctionId]) -> Vec<NilFlow> {
    let mut search = Search { program, requirements: vec![Vec::new(); order.len()], flows: Vec::new() };
    for id in order {
        search.function(*id);
    }
    let callers = callers(program);
    search.flows.retain(|flow| {
        let (function, item) = flow.sink;
        let sink = program.summary(function).items.get(item);
        match sink.map(|sink| &sink.kind) {
            Some(ItemKind::Effect(effect)) => escapes(program, &callers, effect, flow.meeting, &mut Vec::new()),
            _ => false,
        }
    });
    search.flows.sort_by_key(|flow| (flow.sink, program.is_test(flow.meeting), flow.way.len(), flow.meeting));
    search.flows
}

/// For each function, the calls of it: caller and item.
type Callers = Vec<Vec<(FunctionId, usize)>>;

fn callers(program: &Program<'_>) -> Callers {
    let mut callers: Callers = Vec::new();
    for (id, _) in program.functions().filter(|(id, _)| !program.is_test(*id)) {
        callers.resize_with(callers.len().max(id.0 as usize + 1), Vec::new);
        for (index, item) in program.summary(id).items.iter().enumerate() {
            if let ItemKind::Call { callee, .. } = &item.kind {
                callers.resize_with(callers.len().max(callee.0 as usize + 1), Vec::new);
                if let Some(slot) = callers.get_mut(callee.0 as usize) {
                    slot.push((id, index));
                }
            }
        }
    }
    callers
}

/// Whether the failure can leave the code that is known: a function all of whose callers handle it harms nobody. What nobody calls, others do.
fn escapes(program: &Program<'_>, callers: &Callers, effect: &Effect, id: FunctionId, seen: &mut Vec<FunctionId>) -> bool {
    let own = callers.get(id.0 as usize).map_or(&[][..], Vec::as_slice);
    if own.is_empty() || program.callback(id).is_some() {
        return true;
    }
    if seen.contains(&id) {
        return false;
    }
    seen.push(id);
    own.iter().any(|(caller, index)| {
        let summary = program.summary(*caller);
        summary.items.get(*index).is_some_and(|item| !handled(program, summary, item, effect))
            && escapes(program, callers, effect, *caller, seen)
    })
}

struct Search<'s, 'p> {
    program: &'s Program<'p>,
    requirements: Vec<Vec<Requirement>>,
    flows: Vec<NilFlow>,
}

impl Search<'_, '_> {
    fn function(&mut self, id: FunctionId) {
        let summary = self.program.summary(id);
        let mut own = Vec::new();
        for (index, item) in summary.items.iter().enumerate() {
            match &item.kind {
                ItemKind::Effect(effect) => self.effect(id, summary, index, item, effect, &mut own),
                ItemKind::Call { callee, args, .. } => self.call(id, summary, item, *callee, args, &mut own),
                ItemKind::Foreign { .. } => {}
            }
        }
        own.truncate(REQUIREMENTS_MAX);
        if let Some(slot) = self.requirements.get_mut(id.0 as usize) {
            *slot = own;
        }
    }

    fn effect(&mut self, id: FunctionId, summary: &Summary, index: usize, item: &Item, effect: &Effect, own: &mut Vec<Requirement>) {
        if !matches!(effect.model.on_nil, OnNil::Exit | OnNil::Raise) || handled(self.program, summary, item, effect) {
            return;
        }
        let Some(target) = effect.target() else { return };
        let requirement = Requirement {
            term: target.term.clone(),
            sink: (id, index),
            way: Vec::new(),
            in_loop: summary.in_scope(item.scope, |kind| matches!(kind, ScopeKind::Loop(_))),
        };
        self.meet(id, target, requirement, own);
    }

    fn call(&mut self, id: FunctionId, summary: &Summary, item: &Item, callee: FunctionId, args: &[Value], own: &mut Vec<Requirement>) {
        let needed = self.requirements.get(callee.0 as usize).cloned().unwrap_or_default();
        for requirement in needed {
            let (sink_function, sink_item) = requirement.sink;
            let sink = self.program.summary(sink_function).items.get(sink_item);
            let Some(ItemKind::Effect(effect)) = sink.map(|sink| &sink.kind) else { continue };
            if requirement.way.len() >= TRAVEL_MAX || handled(self.program, summary, item, effect) {
                continue;
            }
            let given = Frame::new(args, &[]).value(&Value::symbolic(requirement.term.clone()));
            let mut way = vec![self.program.place(id, item.name_span)];
            way.extend(&requirement.way);
            let looped = summary.in_scope(item.scope, |kind| matches!(kind, ScopeKind::Loop(_)));
            let travelled = Requirement { term: given.term.clone(), sink: requirement.sink, way, in_loop: requirement.in_loop || looped };
            self.meet(id, &given, travelled, own);
        }
    }

    /// A requirement meets a value: a flow where the value was observed to be nil, a requirement of our own where a parameter decides.
    fn meet(&mut self, id: FunctionId, value: &Value, requirement: Requirement, own: &mut Vec<Requirement>) {
        if let Some(origin) = value.observed_nil() {
            let Requirement { sink, way, in_loop, .. } = requirement;
            self.flows.push(NilFlow { sink, origin: Arc::clone(origin), meeting: id, way, in_loop });
            return;
        }
        for alt in &value.alts {
            if let Shape::Symbolic { term, not_nil: false } = &alt.shape
                && (term.root_param().is_some() || matches!(term.kind(), TermKind::Result(_)))
                && !own.iter().any(|known| known.sink == requirement.sink && known.term == *term)
            {
                own.push(Requirement { term: term.clone(), ..requirement.clone() });
            }
        }
    }
}

/// Whether what a nil target does is handled where the item stands.
fn handled(program: &Program<'_>, summary: &Summary, item: &Item, effect: &Effect) -> bool {
    if summary.in_scope(item.scope, |kind| matches!(kind, ScopeKind::AtTarget)) {
        return true;
    }
    match effect.model.on_nil {
        OnNil::Exit => summary.exit_handling(item.scope) != ExitHandling::Uncaught,
        OnNil::Raise => {
            let exceptions = effect.model.raises.iter().chain([&program.models().conventions.bad_argument]);
            let named = exceptions.into_iter().any(|exception| summary.rescues(item.scope, exception));
            named || summary.rescues(item.scope, &program.models().conventions.erlang_error) || catches_errors(summary, item)
        }
        OnNil::Fine | OnNil::Lost => true,
    }
}

fn catches_errors(summary: &Summary, item: &Item) -> bool {
    summary.scope_chain(item.scope).any(|kind| match kind {
        ScopeKind::Try(index) => summary.tries.get(index as usize).is_some_and(|tried| {
            tried.rescues.iter().any(|rescue| rescue.exceptions.is_empty())
                || tried.catches.iter().any(|catch| matches!(catch.kind, CatchKind::Error | CatchKind::All))
        }),
        ScopeKind::Shielded(shield) => shield.exceptions,
        _ => false,
    })
}
