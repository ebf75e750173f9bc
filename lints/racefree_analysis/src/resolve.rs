//! Names to definitions: modules, functions, imports, records, behaviours.

use crate::summary::{FunctionId, ModuleId};
use racefree_models::{Behaviour, Callback, Models, Role};
use racefree_syntax::core::{File, Function, Module, Visibility};
use racefree_syntax::{FileId, Symbol};
use rustc_hash::FxHashMap;

/// A module and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct ModuleEntry<'p> {
    pub file: FileId,
    pub module: &'p Module,
}

/// A function and its module.
#[derive(Debug, Clone, Copy)]
pub struct FunctionEntry<'p> {
    pub module: ModuleId,
    pub function: &'p Function,
}

/// All definitions of the program.
#[derive(Debug)]
pub struct Definitions<'p> {
    pub modules: Vec<ModuleEntry<'p>>,
    pub functions: Vec<FunctionEntry<'p>>,
    module_ids: FxHashMap<Symbol, ModuleId>,
    function_ids: FxHashMap<(ModuleId, Symbol, u32), FunctionId>,
    behaviours: Vec<Vec<Symbol>>,
}

/// What a local call means.
#[derive(Debug, Clone, Copy)]
pub enum Local {
    Program(FunctionId),
    /// A function of the module named: an import from outside the program.
    Library(Symbol),
    /// A record's macro: module and index of the record.
    Record(ModuleId, usize),
    Unknown,
}

impl<'p> Definitions<'p> {
    pub fn new(files: &'p [File]) -> Self {
        let mut definitions = Self {
            modules: Vec::new(),
            functions: Vec::new(),
            module_ids: FxHashMap::default(),
            function_ids: FxHashMap::default(),
            behaviours: Vec::new(),
        };
        for (index, file) in files.iter().enumerate() {
            for module in &file.modules {
                definitions.add(FileId(index as u32), module);
            }
        }
        definitions.behaviours = definitions.modules.iter().map(|entry| definitions.behaviours_of(entry.module)).collect();
        definitions
    }

    fn add(&mut self, file: FileId, module: &'p Module) {
        let id = ModuleId(self.modules.len() as u32);
        self.modules.push(ModuleEntry { file, module });
        self.module_ids.entry(module.name).or_insert(id);
        for function in &module.functions {
            let function_id = FunctionId(self.functions.len() as u32);
            self.functions.push(FunctionEntry { module: id, function });
            self.function_ids.entry((id, function.name, function.arity)).or_insert(function_id);
        }
    }

    /// The behaviours of a module: declared, used, or brought by a module of the program that it uses, to a fixed depth of wrappers.
    fn behaviours_of(&self, module: &Module) -> Vec<Symbol> {
        let mut found: Vec<Symbol> = module.behaviours.clone();
        let mut pending: Vec<Symbol> = module.uses.iter().map(|used| used.module).collect();
        let mut seen = 0;
        while let Some(&used) = pending.get(seen) {
            seen += 1;
            found.push(used);
            if let Some(using) = self.module(used).and_then(|id| self.modules.get(id.0 as usize)?.module.using.as_ref()) {
                found.extend(&using.behaviours);
                let new: Vec<Symbol> = using.uses.iter().filter(|name| !pending.contains(name)).copied().collect();
                pending.extend(new);
            }
        }
        found
    }

    pub fn module(&self, name: Symbol) -> Option<ModuleId> {
        self.module_ids.get(&name).copied()
    }

    pub fn entry(&self, id: ModuleId) -> Option<&ModuleEntry<'p>> {
        self.modules.get(id.0 as usize)
    }

    pub fn function(&self, id: FunctionId) -> Option<&FunctionEntry<'p>> {
        self.functions.get(id.0 as usize)
    }

    pub fn find(&self, module: ModuleId, name: Symbol, arity: u32) -> Option<FunctionId> {
        self.function_ids.get(&(module, name, arity)).copied()
    }

    /// A public function by its full name.
    pub fn remote(&self, module: Symbol, name: Symbol, arity: u32) -> Option<FunctionId> {
        self.find(self.module(module)?, name, arity)
    }

    pub fn behaviours(&self, id: ModuleId) -> &[Symbol] {
        self.behaviours.get(id.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// What `name/arity` means inside `module`.
    pub fn local(&self, models: &Models, module: ModuleId, name: Symbol, arity: u32) -> Local {
        if let Some(id) = self.find(module, name, arity) {
            return Local::Program(id);
        }
        if let Some((owner, index)) = self.record(module, name) {
            return Local::Record(owner, index);
        }
        for import in self.imports(module) {
            if let Some(id) = self.module(import.module)
                && import.takes(name, arity)
                && let Some(function) = self.find(id, name, arity)
                && self.function(function).is_some_and(|entry| entry.function.visibility == Visibility::Public)
            {
                return Local::Program(function);
            }
            if import.takes(name, arity) && models.function(import.module, name, arity).is_some() {
                return Local::Library(import.module);
            }
        }
        Local::Unknown
    }

    /// The names of all modules whose outline decides what a name means in `module`, besides its own.
    pub fn brought_into(&self, module: ModuleId) -> impl Iterator<Item = Symbol> + '_ {
        let used = self.entry(module).into_iter().flat_map(|entry| &entry.module.uses).map(|used| used.module);
        used.chain(self.imports(module).map(|import| import.module))
    }

    /// The record `name` as `module` sees it.
    pub fn record(&self, module: ModuleId, name: Symbol) -> Option<(ModuleId, usize)> {
        let in_module = |id: ModuleId| {
            let records = &self.entry(id)?.module.records;
            records.iter().position(|record| record.name == name).map(|index| (id, index))
        };
        in_module(module).or_else(|| self.imports(module).find_map(|import| in_module(self.module(import.module)?)))
    }

    fn imports(&self, module: ModuleId) -> impl Iterator<Item = ImportView<'_>> {
        let entry = self.entry(module);
        let own = entry.into_iter().flat_map(|entry| &entry.module.imports).map(|import| ImportView {
            module: import.module,
            only: import.only.as_deref(),
            except: &import.except,
        });
        let used = entry.into_iter().flat_map(|entry| &entry.module.uses).flat_map(move |used| {
            let using = self.module(used.module).and_then(|id| self.entry(id)?.module.using.as_ref());
            using.into_iter().flat_map(|using| &using.imports).map(|module| ImportView { module: *module, only: None, except: &[] })
        });
        own.chain(used)
    }

    /// The behaviours of `module` that the models know.
    pub fn known_behaviours<'m>(&'m self, models: &'m Models, module: ModuleId) -> impl Iterator<Item = &'m Behaviour> {
        let declared = self.entry(module).map_or(&[][..], |entry| entry.module.behaviours.as_slice());
        self.behaviours(module).iter().filter_map(move |name| {
            let behaviour = models.behaviour(*name)?;
            (behaviour.by_use || declared.contains(name)).then_some(behaviour)
        })
    }

    pub fn is_server(&self, models: &Models, module: ModuleId) -> bool {
        self.known_behaviours(models, module).any(|behaviour| behaviour.server)
    }

    /// The callback that `name/arity` is in `module`.
    pub fn callback<'m>(&'m self, models: &'m Models, module: ModuleId, name: Symbol, arity: u32) -> Option<&'m Callback> {
        self.known_behaviours(models, module)
            .flat_map(|behaviour| &behaviour.callbacks)
            .find(|callback| callback.arity == arity && name.as_str() == callback.name)
    }

    /// The functions of `module` that have `role`.
    pub fn with_role<'m>(&'m self, models: &'m Models, module: ModuleId, role: Role) -> impl Iterator<Item = FunctionId> + 'm {
        self.known_behaviours(models, module)
            .flat_map(|behaviour| &behaviour.callbacks)
            .filter(move |callback| callback.role == role)
            .filter_map(move |callback| self.find(module, racefree_syntax::symbol(&callback.name), callback.arity))
    }
}

struct ImportView<'a> {
    module: Symbol,
    only: Option<&'a [(Symbol, u32)]>,
    except: &'a [(Symbol, u32)],
}

impl ImportView<'_> {
    fn takes(&self, name: Symbol, arity: u32) -> bool {
        self.only.is_none_or(|only| only.contains(&(name, arity))) && !self.except.contains(&(name, arity))
    }
}
