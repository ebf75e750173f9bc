//! The program under analysis: definitions, summaries, and who runs what.

use crate::context::Contexts;
use crate::eval::{self, Summaries};
use crate::graph::CallGraph;
use crate::handlers::Handlers;
use crate::nils::NilFlow;
use crate::resolve::{Definitions, FunctionEntry, ModuleEntry};
use crate::summary::{FunctionId, Handled, ModuleId, Summary};
use crate::value::{Alt, Shape, Value};
use crate::{Place, Process};
use racefree_models::{Callback, Models, Role};
use racefree_syntax::core::File;
use racefree_syntax::{FileId, Span, Symbol, symbol};
use std::sync::OnceLock;

/// What the evaluation of any function may look at.
#[derive(Debug)]
pub(crate) struct Base<'p> {
    pub definitions: Definitions<'p>,
    pub models: &'p Models,
    pub handlers: Handlers,
    pub nil: Symbol,
    pub prelude: Symbol,
    reply: Symbol,
}

impl Base<'_> {
    /// Where the first clause stands that handles a request.
    pub fn callback_place(&self, handled: Handled) -> Option<Place> {
        let entry = self.definitions.function(handled.callback?)?;
        let clause = entry.function.clauses.get(handled.clauses.trailing_zeros() as usize)?;
        Some(Place { file: self.definitions.entry(entry.module)?.file, span: clause.span })
    }

    /// The reply in a callback's answer.
    pub fn reply_of(&self, answer: &Alt) -> Option<Value> {
        match &answer.shape {
            Shape::Tuple(parts) if parts.first()?.atoms().next() == Some(self.reply) => {
                let reply = parts.get(1)?.clone();
                Some(match &answer.origin {
                    Some(origin) => reply.marked_with(origin),
                    None => reply,
                })
            }
            _ => None,
        }
    }
}

/// Everything known of the program: its modules, and a summary of each function.
pub struct Program<'p> {
    files: &'p [File],
    base: Base<'p>,
    summaries: Vec<Summary>,
    contexts: Contexts,
    /// Callees before callers.
    order: Vec<FunctionId>,
    nil_flows: OnceLock<Vec<NilFlow>>,
}

/// Summaries while they are being made.
struct Partial {
    done: Vec<Option<Summary>>,
}

impl Summaries for Partial {
    fn get(&self, id: FunctionId) -> Option<&Summary> {
        self.done.get(id.0 as usize)?.as_ref()
    }
}

impl<'p> Program<'p> {
    /// Analyses `files`; a file's index is its [`FileId`].
    pub fn new(files: &'p [File], models: &'p Models) -> Self {
        let definitions = Definitions::new(files);
        let handlers = Handlers::new(&definitions, models);
        let conventions = &models.conventions;
        let base = Base {
            definitions,
            models,
            handlers,
            nil: symbol("nil"),
            prelude: symbol(&conventions.prelude),
            reply: symbol(&conventions.reply),
        };
        let (summaries, order) = summarise(&base);
        let contexts = Contexts::new(&base, &summaries, files);
        Self { files, base, summaries, contexts, order, nil_flows: OnceLock::new() }
    }

    pub fn files(&self) -> &'p [File] {
        self.files
    }

    pub fn models(&self) -> &'p Models {
        self.base.models
    }

    pub fn functions(&self) -> impl Iterator<Item = (FunctionId, &FunctionEntry<'p>)> {
        self.base.definitions.functions.iter().enumerate().map(|(index, entry)| (FunctionId(index as u32), entry))
    }

    pub fn modules(&self) -> impl Iterator<Item = (ModuleId, &ModuleEntry<'p>)> {
        self.base.definitions.modules.iter().enumerate().map(|(index, entry)| (ModuleId(index as u32), entry))
    }

    pub fn summary(&self, id: FunctionId) -> &Summary {
        &self.summaries[id.0 as usize]
    }

    pub fn function(&self, id: FunctionId) -> &FunctionEntry<'p> {
        &self.base.definitions.functions[id.0 as usize]
    }

    pub fn module(&self, id: ModuleId) -> &ModuleEntry<'p> {
        &self.base.definitions.modules[id.0 as usize]
    }

    pub fn module_name(&self, id: ModuleId) -> Symbol {
        self.module(id).module.name
    }

    /// `Module.function/arity`.
    pub fn full_name(&self, id: FunctionId) -> String {
        let entry = self.function(id);
        format!("{}.{}/{}", self.module_name(entry.module), entry.function.name, entry.function.arity)
    }

    pub fn file_of(&self, id: FunctionId) -> FileId {
        self.module(self.function(id).module).file
    }

    /// Whether it stands in a file of tests: what tests do to the code is no use of it.
    pub fn is_test(&self, id: FunctionId) -> bool {
        self.files.get(self.file_of(id).0 as usize).is_some_and(|file| file.is_test)
    }

    pub fn place(&self, id: FunctionId, span: Span) -> Place {
        Place { file: self.file_of(id), span }
    }

    /// Which processes run the function.
    pub fn processes(&self, id: FunctionId) -> &[Process] {
        self.contexts.of(id)
    }

    pub fn is_server(&self, module: ModuleId) -> bool {
        self.base.definitions.is_server(self.base.models, module)
    }

    /// Whether one and the same server process runs both: then neither is the other's rival.
    pub fn serialised(&self, a: FunctionId, b: FunctionId) -> bool {
        matches!((self.processes(a), self.processes(b)), ([Process::Server(a)], [Process::Server(b)]) if a == b)
    }

    /// The callback that this function is.
    pub fn callback(&self, id: FunctionId) -> Option<&Callback> {
        let entry = self.function(id);
        self.base.definitions.callback(self.base.models, entry.module, entry.function.name, entry.function.arity)
    }

    pub fn with_role(&self, module: ModuleId, role: Role) -> impl Iterator<Item = FunctionId> + '_ {
        self.base.definitions.with_role(self.base.models, module, role)
    }

    /// The server that `target` names.
    pub fn server_named(&self, target: &Value) -> Option<ModuleId> {
        crate::handlers::server_named(&self.base, target)
    }

    /// The server that takes a request, once the values are known in the terms of a caller.
    pub fn handler(&self, from: FunctionId, role: Role, target: &Value, message: &Value) -> Option<Handled> {
        self.base.handlers.resolve(&self.base, self.function(from).module, role, target, message)
    }

    /// The callbacks, with their clauses, by which `server` takes messages of this tag.
    pub fn clauses_for(&self, server: ModuleId, role: Role, tag: Symbol) -> Vec<(FunctionId, usize)> {
        self.base.handlers.clauses(server, role, tag)
    }

    /// Where an observed nil reaches a function that fails on it.
    pub fn nil_flows(&self) -> &[NilFlow] {
        self.nil_flows.get_or_init(|| crate::nils::find(self, &self.order))
    }
}

/// Callees first. Functions that call each other in a circle are evaluated twice: once to learn what they do, once with that known.
fn summarise(base: &Base<'_>) -> (Vec<Summary>, Vec<FunctionId>) {
    let graph = CallGraph::new(base);
    let count = base.definitions.functions.len();
    let mut partial = Partial { done: Vec::with_capacity(count) };
    partial.done.resize_with(count, || None);
    let mut order = Vec::with_capacity(count);
    for component in graph.components() {
        order.extend(&component.members);
        let rounds = if component.cyclic { 2 } else { 1 };
        for _ in 0..rounds {
            for id in &component.members {
                let summary = eval::evaluate(base, &partial, *id);
                if let Some(slot) = partial.done.get_mut(id.0 as usize) {
                    *slot = Some(summary);
                }
            }
        }
        if component.cyclic {
            share_reach(&mut partial, &component.members);
        }
    }
    (partial.done.into_iter().map(Option::unwrap_or_default).collect(), order)
}

/// Functions of one circle reach the same effects.
fn share_reach(partial: &mut Partial, members: &[FunctionId]) {
    let reach = members.iter().filter_map(|id| partial.get(*id)).fold(0, |reach, summary| reach | summary.reach);
    for id in members {
        if let Some(Some(summary)) = partial.done.get_mut(id.0 as usize) {
            summary.reach = reach;
        }
    }
}
