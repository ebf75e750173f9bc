//! What the evaluation of one function sees of the rest of the program, and a note of all it looked at.
//!
//! Invariant: the evaluator has no other way to the program than a [`View`]. The result of an evaluation is therefore a function of the source file that
//! holds the code, of the models, and of the answers noted as [`Read`]s: where those are what they were, so is the result.

use crate::Place;
use crate::handlers;
use crate::program::Base;
use crate::resolve::Local;
use crate::summary::{FunctionId, Handled, Interface, ModuleId, Summary};
use crate::value::{Alt, Value};
use racefree_models::{Models, Role};
use racefree_syntax::core::Function;
use racefree_syntax::{Span, Symbol};
use rustc_hash::FxHashSet;
use std::cell::RefCell;
use std::sync::Arc;

/// One thing that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Read {
    /// The head and the interface of a function that was evaluated before.
    Callee(FunctionId),
    /// The head of one that was not.
    Unevaluated(FunctionId),
    /// Which module bears the name, if any does, and its outline.
    Module(Symbol),
    /// Which callbacks take messages of this tag.
    Takers(Role, Symbol),
    /// Which callbacks of a server take any message.
    Open(Role, ModuleId),
    /// Where a callback's clause stands.
    Clause { callback: FunctionId, clause: u32, span: Span },
}

/// A note of what was looked at, each thing once.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    noted: RefCell<FxHashSet<Read>>,
}

impl Reads {
    pub fn note(&self, read: Read) {
        self.noted.borrow_mut().insert(read);
    }

    pub fn into_list(self) -> Box<[Read]> {
        self.noted.into_inner().into_iter().collect()
    }
}

/// Summaries while they are being made; `None` for a function that is not done.
#[derive(Debug)]
pub(crate) struct Partial {
    pub done: Vec<Option<Arc<Summary>>>,
}

impl Partial {
    pub fn get(&self, id: FunctionId) -> Option<&Summary> {
        self.done.get(id.0 as usize)?.as_deref()
    }

    pub fn set(&mut self, id: FunctionId, summary: Option<Arc<Summary>>) {
        if let Some(slot) = self.done.get_mut(id.0 as usize) {
            *slot = summary;
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct View<'a, 'p> {
    base: &'a Base<'p>,
    summaries: &'a Partial,
    /// The functions evaluated together: what one reads of another is no read of theirs.
    together: &'a [FunctionId],
    reads: &'a Reads,
}

/// What a caller sees of a function.
pub(crate) struct Known<'a, 'p> {
    /// Invariant: a caller looks at the clauses' heads and at nothing in their bodies; `head` is made of what it may see.
    pub function: &'p Function,
    pub module: Symbol,
    pub interface: Option<Interface<'a>>,
}

impl<'a, 'p> View<'a, 'p> {
    pub fn new(base: &'a Base<'p>, summaries: &'a Partial, together: &'a [FunctionId], reads: &'a Reads) -> Self {
        Self { base, summaries, together, reads }
    }

    pub fn models(&self) -> &'a Models {
        self.base.models
    }

    pub fn nil(&self) -> Symbol {
        self.base.nil
    }

    pub fn prelude(&self) -> Symbol {
        self.base.prelude
    }

    /// What `name/arity` means inside `module`, which stands in the file of the function evaluated.
    pub fn local(&self, module: ModuleId, name: Symbol, arity: u32) -> Local {
        let definitions = &self.base.definitions;
        if let Some(id) = definitions.find(module, name, arity) {
            return Local::Program(id);
        }
        definitions.brought_into(module).for_each(|name| self.reads.note(Read::Module(name)));
        definitions.local(self.base.models, module, name, arity)
    }

    /// A function by its full name.
    pub fn remote(&self, module: Symbol, name: Symbol, arity: u32) -> Option<FunctionId> {
        self.reads.note(Read::Module(module));
        self.base.definitions.remote(module, name, arity)
    }

    pub fn callee(&self, id: FunctionId) -> Option<Known<'a, 'p>> {
        let summary = self.summaries.get(id);
        if !self.together.contains(&id) {
            self.reads.note(if summary.is_some() { Read::Callee(id) } else { Read::Unevaluated(id) });
        }
        let entry = self.base.definitions.function(id)?;
        let module = self.base.definitions.entry(entry.module)?.module.name;
        Some(Known { function: entry.function, module, interface: summary.map(Summary::interface) })
    }

    pub fn interface(&self, id: FunctionId) -> Option<Interface<'a>> {
        self.callee(id)?.interface
    }

    /// The name of a record that [`View::local`] found.
    pub fn record_name(&self, owner: ModuleId, index: usize) -> Option<Symbol> {
        self.base.definitions.entry(owner)?.module.records.get(index).map(|record| record.name)
    }

    /// The name of the module that [`View::local`] or [`View::handler`] found.
    pub fn module_name(&self, id: ModuleId) -> Option<Symbol> {
        self.base.definitions.entry(id).map(|entry| entry.module.name)
    }

    /// The callback that takes this request.
    pub fn handler(&self, from: ModuleId, role: Role, target: &Value, message: &Value) -> Option<Handled> {
        let note = |read| self.reads.note(read);
        self.base.handlers.resolve(handlers::Names { base: self.base, note: &note }, from, role, target, message)
    }

    /// Where the first clause stands that handles a request.
    pub fn callback_place(&self, handled: Handled) -> Option<Place> {
        let callback = handled.callback?;
        let clause = handled.clauses.trailing_zeros();
        let place = self.base.clause_place(callback, clause)?;
        self.reads.note(Read::Clause { callback, clause, span: place.span });
        Some(place)
    }

    pub fn reply_of(&self, answer: &Alt) -> Option<Value> {
        self.base.reply_of(answer)
    }
}
