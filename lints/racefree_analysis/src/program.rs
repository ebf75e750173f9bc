//! The program under analysis: definitions, summaries, and who runs what.

use crate::context::Contexts;
use crate::eval;
use crate::graph::{CallGraph, Component};
use crate::handlers::{Handlers, Names};
use crate::memory::{FileKey, Kept, KnownComponent, Memory, Past};
use crate::nils::NilFlow;
use crate::resolve::{Definitions, FunctionEntry, ModuleEntry};
use crate::summary::{FunctionId, Handled, ModuleId, Summary};
use crate::value::{Alt, Shape, Value};
use crate::view::{Partial, Read, Reads, View};
use crate::{Place, Process};
use racefree_models::{Callback, Models, Role};
use racefree_syntax::core::File;
use racefree_syntax::{FileId, Span, Symbol, symbol};
use std::sync::{Arc, OnceLock};

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
    /// Where a clause of a function stands.
    pub fn clause_place(&self, function: FunctionId, clause: u32) -> Option<Place> {
        let entry = self.definitions.function(function)?;
        let clause = entry.function.clauses.get(clause as usize)?;
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
    summaries: Vec<Arc<Summary>>,
    contexts: Contexts,
    /// Callees before callers.
    order: Vec<FunctionId>,
    nil_flows: OnceLock<Vec<NilFlow>>,
}

impl<'p> Program<'p> {
    /// Analyses `files`; a file's index is its [`FileId`].
    pub fn new(files: &'p [File], models: &'p Models) -> Self {
        // No names and digests are needed where nothing is remembered.
        let unknown = FileKey { name: symbol(""), content: 0 };
        Self::again(files, &vec![unknown; files.len()], models, &mut Memory::default())
    }

    /// The same program as [`Program::new`] gives, with the work of the run that left `memory` put to use.
    pub fn again(files: &'p [File], keys: &[FileKey], models: &'p Models, memory: &mut Memory) -> Self {
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
        let (summaries, order) = summarise(&base, keys, memory);
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

    /// Whether each client of the server has a process of its own.
    pub fn has_many(&self, module: ModuleId) -> bool {
        self.base.definitions.known_behaviours(self.base.models, module).any(|behaviour| behaviour.many)
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
        crate::handlers::server_named(self.names(), target)
    }

    /// The server that takes a request, once the values are known in the terms of a caller.
    pub fn handler(&self, from: FunctionId, role: Role, target: &Value, message: &Value) -> Option<Handled> {
        self.base.handlers.resolve(self.names(), self.function(from).module, role, target, message)
    }

    fn names(&self) -> Names<'_, 'p> {
        Names { base: &self.base, note: &|_| () }
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
fn summarise(base: &Base<'_>, keys: &[FileKey], memory: &mut Memory) -> (Vec<Arc<Summary>>, Vec<FunctionId>) {
    let (mut past, present) = Past::new(memory, base, keys);
    let graph = CallGraph::new(base, |id| past.edges(base, id));
    let count = base.definitions.functions.len();
    let mut partial = Partial { done: vec![None; count] };
    let mut differs = vec![false; count];
    let mut order = Vec::with_capacity(count);
    let mut components = Vec::with_capacity(count);
    let mut evaluated = 0;
    for Component { members, cyclic } in graph.components() {
        order.extend(&members);
        if let Some(component) = past.standing(base, &partial, &differs, &members) {
            for id in &members {
                partial.set(*id, past.summary(*id).cloned());
            }
            components.push(component);
            continue;
        }
        evaluated += members.len();
        let reads = evaluate(base, &mut partial, &members, cyclic);
        for id in &members {
            let same = past.summary(*id).zip(partial.get(*id)).is_some_and(|(old, new)| old.interface() == new.interface());
            if let Some(differs) = differs.get_mut(id.0 as usize) {
                *differs = !same || past.changes.is_head_changed(*id);
            }
        }
        components.push(KnownComponent { members, reads });
    }
    let summaries: Vec<Arc<Summary>> = partial.done.into_iter().map(Option::unwrap_or_default).collect();
    let kept = Kept { files: keys.to_vec(), present, edges: graph.into_edges(), components, evaluated };
    *memory = kept.into_memory(base, &summaries);
    (summaries, order)
}

/// Evaluates the functions of one component and gives what they read of others.
fn evaluate(base: &Base<'_>, partial: &mut Partial, members: &[FunctionId], cyclic: bool) -> Box<[Read]> {
    let reads = Reads::default();
    for _ in 0..if cyclic { 2 } else { 1 } {
        for id in members {
            let Some(entry) = base.definitions.function(*id) else { continue };
            let Some(module) = base.definitions.entry(entry.module) else { continue };
            let summary = eval::evaluate(View::new(base, partial, members, &reads), entry, module);
            partial.set(*id, Some(Arc::new(summary)));
        }
    }
    if cyclic {
        share_reach(partial, members);
    }
    reads.into_list()
}

/// Functions of one circle reach the same effects.
fn share_reach(partial: &mut Partial, members: &[FunctionId]) {
    let reach = members.iter().filter_map(|id| partial.get(*id)).fold(0, |reach, summary| reach | summary.reach);
    for id in members {
        if let Some(Some(summary)) = partial.done.get_mut(id.0 as usize)
            && let Some(summary) = Arc::get_mut(summary)
        {
            summary.reach = reach;
        }
    }
}
