//! Which process runs each function: the callbacks of a server, a process of its own, or whoever calls.

use crate::program::Base;
use crate::summary::{FunctionId, ItemKind, ModuleId, ScopeKind, Summary};
use racefree_models::Role;
use racefree_syntax::core::{File, Visibility};
use smallvec::SmallVec;
use std::sync::Arc;

/// A kind of process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Process {
    /// The process whose callbacks this module holds.
    Server(ModuleId),
    /// A process started for one job.
    Task,
    /// Any process: a public function that the program itself does not call, or too many kinds to tell.
    Any,
}

/// More kinds than this become [`Process::Any`].
const KINDS_MAX: usize = 6;

#[derive(Debug, Default)]
pub(crate) struct Contexts {
    of: Vec<SmallVec<[Process; 2]>>,
}

impl Contexts {
    pub fn new(base: &Base<'_>, summaries: &[Arc<Summary>], files: &[File]) -> Self {
        let mut contexts = Self { of: vec![SmallVec::new(); summaries.len()] };
        let mut called = vec![false; summaries.len()];
        let is_test = |module: ModuleId| {
            let file = base.definitions.entry(module).and_then(|entry| files.get(entry.file.0 as usize));
            file.is_some_and(|file| file.is_test)
        };
        for (summary, entry) in summaries.iter().zip(&base.definitions.functions) {
            if is_test(entry.module) {
                continue;
            }
            for item in &summary.items {
                if let ItemKind::Call { callee, .. } = &item.kind
                    && let Some(flag) = called.get_mut(callee.0 as usize)
                {
                    *flag = true;
                }
            }
        }
        let mut pending = Vec::new();
        for (index, entry) in base.definitions.functions.iter().enumerate() {
            let id = FunctionId(index as u32);
            if is_test(entry.module) {
                continue;
            }
            let callback = base.definitions.callback(base.models, entry.module, entry.function.name, entry.function.arity);
            let process = match callback {
                Some(callback) if callback.role != Role::Outside && base.definitions.is_server(base.models, entry.module) => {
                    Some(Process::Server(entry.module))
                }
                _ if entry.function.visibility == Visibility::Public && called.get(index) == Some(&false) => Some(Process::Any),
                _ => None,
            };
            if let Some(process) = process
                && contexts.add(id, process)
            {
                pending.push((id, process));
            }
        }
        while let Some((id, process)) = pending.pop() {
            let Some(summary) = summaries.get(id.0 as usize) else { continue };
            for item in &summary.items {
                let ItemKind::Call { callee, .. } = &item.kind else { continue };
                let elsewhere = summary.in_scope(item.scope, |kind| kind == ScopeKind::Elsewhere);
                let process = if elsewhere { Process::Task } else { process };
                if contexts.add(*callee, process) {
                    pending.push((*callee, process));
                }
            }
        }
        contexts
    }

    /// Whether it was new.
    fn add(&mut self, id: FunctionId, process: Process) -> bool {
        let Some(known) = self.of.get_mut(id.0 as usize) else { return false };
        if known.contains(&process) || known.contains(&Process::Any) {
            return false;
        }
        if known.len() >= KINDS_MAX {
            known.clear();
            known.push(Process::Any);
            return true;
        }
        known.push(process);
        known.sort_unstable();
        true
    }

    pub fn of(&self, id: FunctionId) -> &[Process] {
        self.of.get(id.0 as usize).map_or(&[], SmallVec::as_slice)
    }
}
