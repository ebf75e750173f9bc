//! What one run keeps for the next, so that a function is evaluated again only when something it looked at has changed.
//!
//! Functions are evaluated in components of the call graph, callees first, as in a run without memory. Before a component is evaluated, what it read the last
//! time is compared with what it would read now; where nothing differs, its summaries stand. After an evaluation the new interface is compared with the
//! old one: where they are equal, callers notice nothing, and the change ends there. The outcome is what a run without memory gives, by construction: the
//! order is the same, and each evaluation is a function of its reads (see `view`).
//!
//! Functions and modules are known by numbers that follow from all the sources, so an edit may shift them: [`Memory::renumbered`] carries them over by name.
//! The numbers of files stand inside of values, so the files must be the same ones in the same order; otherwise the memory starts empty.

use crate::handlers::Handlers;
use crate::outline::{self, Outline};
use crate::program::Base;
use crate::summary::{FunctionId, ItemKind, ModuleId, Summary};
use crate::view::{Partial, Read};
use racefree_models::Role;
use racefree_syntax::{FileId, Symbol};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// By what a file is known from one run to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileKey {
    pub name: Symbol,
    /// A digest of its text.
    pub content: u128,
}

/// The last run's summaries, and what they were made from. All of it belongs to one set of models and one build of this crate.
#[derive(Debug, Default)]
pub struct Memory {
    pub(crate) files: Vec<FileKey>,
    pub(crate) modules: Vec<KnownModule>,
    pub(crate) functions: Vec<KnownFunction>,
    pub(crate) components: Vec<KnownComponent>,
    pub(crate) handlers: Handlers,
    pub(crate) evaluated: usize,
}

#[derive(Debug)]
pub(crate) struct KnownModule {
    pub file: FileId,
    pub name: Symbol,
    pub outline: Outline,
}

#[derive(Debug)]
pub(crate) struct KnownFunction {
    pub module: ModuleId,
    pub name: Symbol,
    pub arity: u32,
    /// See [`outline::head`].
    pub head: u128,
    /// The functions it calls, sorted.
    pub edges: Box<[FunctionId]>,
    /// `None` when it could not be carried over from a run before the last.
    pub summary: Option<Arc<Summary>>,
}

/// Functions that were evaluated together, and what they read.
#[derive(Debug, Clone)]
pub(crate) struct KnownComponent {
    pub members: Vec<FunctionId>,
    pub reads: Box<[Read]>,
}

impl Memory {
    /// How many functions the last run evaluated.
    pub fn evaluated(&self) -> usize {
        self.evaluated
    }

    /// The keys of the files it knows, in their order.
    pub fn files(&self) -> &[FileKey] {
        &self.files
    }
}

/// Old numbers to new ones; `None` for what is gone.
pub(crate) struct Renumbering {
    modules: Vec<Option<ModuleId>>,
    functions: Vec<Option<FunctionId>>,
    is_identity: bool,
}

impl Renumbering {
    fn new(memory: &Memory, base: &Base<'_>) -> Self {
        let definitions = &base.definitions;
        // A name that several modules bear is told apart by how many of the same file and name came before.
        let mut places: FxHashMap<(FileId, Symbol, u32), ModuleId> = FxHashMap::default();
        let mut seen: FxHashMap<(FileId, Symbol), u32> = FxHashMap::default();
        let ordinal = |seen: &mut FxHashMap<(FileId, Symbol), u32>, file, name| {
            let count = seen.entry((file, name)).or_default();
            *count += 1;
            *count
        };
        for (index, entry) in definitions.modules.iter().enumerate() {
            let name = entry.module.name;
            places.insert((entry.file, name, ordinal(&mut seen, entry.file, name)), ModuleId(index as u32));
        }
        seen.clear();
        let module = |known: &KnownModule| places.get(&(known.file, known.name, ordinal(&mut seen, known.file, known.name))).copied();
        let modules: Vec<Option<ModuleId>> = memory.modules.iter().map(module).collect();
        let function = |known: &KnownFunction| {
            let module = modules.get(known.module.0 as usize).copied().flatten()?;
            definitions.find(module, known.name, known.arity)
        };
        let functions: Vec<Option<FunctionId>> = memory.functions.iter().map(function).collect();
        let is_identity = functions.len() == definitions.functions.len()
            && modules.len() == definitions.modules.len()
            && functions.iter().enumerate().all(|(old, new)| new.is_some_and(|new| new.0 as usize == old))
            && modules.iter().enumerate().all(|(old, new)| new.is_some_and(|new| new.0 as usize == old));
        Self { modules, functions, is_identity }
    }

    pub fn module(&self, old: ModuleId) -> Option<ModuleId> {
        self.modules.get(old.0 as usize).copied().flatten()
    }

    pub fn function(&self, old: FunctionId) -> Option<FunctionId> {
        self.functions.get(old.0 as usize).copied().flatten()
    }

    fn read(&self, read: Read) -> Option<Read> {
        Some(match read {
            Read::Callee(id) => Read::Callee(self.function(id)?),
            Read::Unevaluated(id) => Read::Unevaluated(self.function(id)?),
            Read::Open(role, server) => Read::Open(role, self.module(server)?),
            Read::Clause { callback, clause, span } => Read::Clause { callback: self.function(callback)?, clause, span },
            Read::Module(_) | Read::Takers(..) => read,
        })
    }

    fn component(&self, component: &KnownComponent) -> Option<KnownComponent> {
        let members = component.members.iter().map(|id| self.function(*id)).collect::<Option<_>>()?;
        let reads = component.reads.iter().map(|read| self.read(*read)).collect::<Option<_>>()?;
        Some(KnownComponent { members, reads })
    }

    /// The summary with new numbers in it; `None` when it speaks of what is gone.
    fn summary(&self, summary: &mut Summary) -> Option<()> {
        for item in &mut summary.items {
            match &mut item.kind {
                ItemKind::Call { callee, .. } => *callee = self.function(*callee)?,
                ItemKind::Effect(effect) => {
                    if let Some(handled) = &mut effect.handled {
                        handled.server = self.module(handled.server)?;
                        handled.callback = match handled.callback {
                            Some(callback) => Some(self.function(callback)?),
                            None => None,
                        };
                    }
                }
                ItemKind::Foreign { .. } => {}
            }
        }
        Some(())
    }
}

/// The last run as the run at hand sees it: in its numbers, with what has changed since.
pub(crate) struct Past {
    functions: Vec<Option<KnownFunction>>,
    /// By their first member.
    components: FxHashMap<FunctionId, KnownComponent>,
    pub changes: Changes,
}

/// What differs between the last run's sources and these.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// By file: its text.
    files: Vec<bool>,
    /// By function: its head.
    heads: Vec<bool>,
    /// Names of modules that mean something else.
    names: FxHashSet<Symbol>,
    takers: FxHashSet<(Role, Symbol)>,
    open: FxHashSet<(Role, ModuleId)>,
}

/// The sources at hand, as the next run will want to compare with them.
pub(crate) struct Present {
    pub modules: Vec<KnownModule>,
    /// By function; see [`outline::head`].
    pub heads: Vec<u128>,
}

impl Past {
    /// Takes what `memory` holds; it is empty afterwards.
    pub fn new(memory: &mut Memory, base: &Base<'_>, files: &[FileKey]) -> (Self, Present) {
        let mut memory = std::mem::take(memory);
        let same = memory.files.len() == files.len() && memory.files.iter().zip(files).all(|(old, new)| old.name == new.name);
        if !same {
            memory = Memory::default();
        }
        let changed = |(index, new): (usize, &FileKey)| memory.files.get(index).is_none_or(|old| old.content != new.content);
        let mut changes = Changes { files: files.iter().enumerate().map(changed).collect(), ..Changes::default() };
        let numbers = Renumbering::new(&memory, base);
        let modules = known_modules(base);
        changes.names = changed_names(&memory.modules, &modules, &numbers);
        let handlers = std::mem::take(&mut memory.handlers).renumbered(&numbers);
        (changes.takers, changes.open) = handlers.differences(&base.handlers);
        let (functions, components) = carried(memory, &numbers, base.definitions.functions.len());
        let heads = heads(base, &changes, &functions);
        changes.heads = heads.iter().zip(&functions).map(|(head, old)| old.as_ref().is_none_or(|old| old.head != *head)).collect();
        (Self { functions, components, changes }, Present { modules, heads })
    }

    /// The functions that `id` calls, if that is still known.
    pub fn edges(&self, base: &Base<'_>, id: FunctionId) -> Option<&[FunctionId]> {
        let Changes { names, takers, open, .. } = &self.changes;
        if self.changes.is_edited(base, id) || !(names.is_empty() && takers.is_empty() && open.is_empty()) {
            return None;
        }
        self.function(id).map(|known| &*known.edges)
    }

    fn function(&self, id: FunctionId) -> Option<&KnownFunction> {
        self.functions.get(id.0 as usize)?.as_ref()
    }

    pub fn summary(&self, id: FunctionId) -> Option<&Arc<Summary>> {
        self.function(id)?.summary.as_ref()
    }

    /// What was read by the component that `members` make up, if it reads the same today. `differs` tells of functions whose interface is a new one.
    pub fn standing(&mut self, base: &Base<'_>, partial: &Partial, differs: &[bool], members: &[FunctionId]) -> Option<KnownComponent> {
        let component = self.components.get(members.first()?)?;
        let changes = &self.changes;
        let stands = component.members == members
            && !members.iter().any(|id| changes.is_edited(base, *id))
            && component.reads.iter().all(|read| changes.holds(base, partial, differs, *read));
        if stands { self.components.remove(members.first()?) } else { None }
    }
}

impl Changes {
    fn is_edited(&self, base: &Base<'_>, id: FunctionId) -> bool {
        let file = base.definitions.function(id).and_then(|entry| base.definitions.entry(entry.module)).map(|entry| entry.file);
        file.is_none_or(|file| self.files.get(file.0 as usize) != Some(&false))
    }

    /// Whether a caller may see another head than the last time.
    pub fn is_head_changed(&self, id: FunctionId) -> bool {
        self.heads.get(id.0 as usize) != Some(&false)
    }

    /// Whether the read would give the same again.
    fn holds(&self, base: &Base<'_>, partial: &Partial, differs: &[bool], read: Read) -> bool {
        match read {
            Read::Callee(id) => partial.get(id).is_some() && differs.get(id.0 as usize) == Some(&false),
            Read::Unevaluated(id) => partial.get(id).is_none() && !self.is_head_changed(id),
            Read::Module(name) => !self.names.contains(&name),
            Read::Takers(role, tag) => !self.takers.contains(&(role, tag)),
            Read::Open(role, server) => !self.open.contains(&(role, server)),
            Read::Clause { callback, clause, span } => base.clause_place(callback, clause).is_some_and(|place| place.span == span),
        }
    }
}

/// What the run at hand leaves to the next.
pub(crate) struct Kept {
    pub files: Vec<FileKey>,
    pub present: Present,
    pub edges: Vec<Box<[FunctionId]>>,
    pub components: Vec<KnownComponent>,
    pub evaluated: usize,
}

impl Kept {
    pub fn into_memory(self, base: &Base<'_>, summaries: &[Arc<Summary>]) -> Memory {
        let Self { files, present: Present { modules, heads }, edges, components, evaluated } = self;
        let entries = base.definitions.functions.iter().zip(summaries).zip(heads).zip(edges);
        let function = |(((entry, summary), head), edges): (((&crate::resolve::FunctionEntry<'_>, &Arc<Summary>), u128), Box<_>)| {
            let (name, arity) = (entry.function.name, entry.function.arity);
            KnownFunction { module: entry.module, name, arity, head, edges, summary: Some(Arc::clone(summary)) }
        };
        let functions = entries.map(function).collect();
        Memory { files, modules, functions, components, handlers: base.handlers.clone(), evaluated }
    }
}

fn known_modules(base: &Base<'_>) -> Vec<KnownModule> {
    let definitions = &base.definitions;
    let entries = definitions.modules.iter().enumerate();
    let module = |(index, entry): (usize, &crate::resolve::ModuleEntry<'_>)| {
        let outline = Outline::new(definitions, ModuleId(index as u32), entry);
        KnownModule { file: entry.file, name: entry.module.name, outline }
    };
    entries.map(module).collect()
}

/// Of several modules of one name the first bears it.
fn bearers(modules: &[KnownModule]) -> FxHashMap<Symbol, usize> {
    let mut bearers = FxHashMap::default();
    for (index, module) in modules.iter().enumerate() {
        bearers.entry(module.name).or_insert(index);
    }
    bearers
}

fn changed_names(old: &[KnownModule], new: &[KnownModule], numbers: &Renumbering) -> FxHashSet<Symbol> {
    let (before, now) = (bearers(old), bearers(new));
    let same = |name: &Symbol| {
        let (Some(was), Some(is)) = (before.get(name), now.get(name)) else { return false };
        let outlines = old.get(*was).zip(new.get(*is));
        numbers.module(ModuleId(*was as u32)) == Some(ModuleId(*is as u32)) && outlines.is_some_and(|(a, b)| a.outline == b.outline)
    };
    before.keys().chain(now.keys()).filter(|name| !same(name)).copied().collect()
}

/// Heads of functions in files that did not change are known.
fn heads(base: &Base<'_>, changes: &Changes, functions: &[Option<KnownFunction>]) -> Vec<u128> {
    let known = base.definitions.functions.iter().zip(functions).enumerate();
    let head = |(index, (entry, old)): (usize, (&crate::resolve::FunctionEntry<'_>, &Option<KnownFunction>))| match old {
        Some(old) if !changes.is_edited(base, FunctionId(index as u32)) => old.head,
        _ => outline::head(entry.function),
    };
    known.map(head).collect()
}

type Carried = (Vec<Option<KnownFunction>>, FxHashMap<FunctionId, KnownComponent>);

/// Functions and components under their new numbers; a component that speaks of what is gone is gone too.
fn carried(memory: Memory, numbers: &Renumbering, count: usize) -> Carried {
    let Memory { functions: old, components: old_components, .. } = memory;
    let mut functions: Vec<Option<KnownFunction>> = Vec::with_capacity(count);
    functions.resize_with(count, || None);
    let mut spoilt: FxHashSet<FunctionId> = FxHashSet::default();
    for (index, mut known) in old.into_iter().enumerate() {
        let Some(id) = numbers.function(FunctionId(index as u32)) else { continue };
        let Some(module) = numbers.module(known.module) else { continue };
        known.module = module;
        if !numbers.is_identity {
            let edges: Option<Box<_>> = known.edges.iter().map(|id| numbers.function(*id)).collect();
            known.edges = edges.unwrap_or_default();
            // The run that made it is over, so nobody else holds it.
            let summary = known.summary.as_mut().and_then(Arc::get_mut);
            let renumbered = summary.and_then(|summary| numbers.summary(summary));
            if renumbered.is_none() {
                spoilt.insert(id);
            }
        }
        if let Some(slot) = functions.get_mut(id.0 as usize) {
            *slot = Some(known);
        }
    }
    let mut components = FxHashMap::default();
    for component in old_components {
        let component = if numbers.is_identity { Some(component) } else { numbers.component(&component) };
        if let Some(component) = component
            && let Some(first) = component.members.first()
            && !component.members.iter().any(|id| spoilt.contains(id))
        {
            components.insert(*first, component);
        }
    }
    (functions, components)
}
