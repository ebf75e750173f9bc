//! Which variable and which alias a name means at a point of the source.
//!
//! Both tables are maps with an undo log: entering a branch takes a [`Mark`], leaving it rolls back, and each step costs constant time
//! however long the function is.

use ustr::UstrMap;

use crate::Symbol;
use crate::core::VarId;

/// A point to roll back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    variables: usize,
    aliases: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Scope {
    variables: UstrMap<VarId>,
    variables_before: Vec<(Symbol, Option<VarId>)>,
    aliases: UstrMap<Symbol>,
    aliases_before: Vec<(Symbol, Option<Symbol>)>,
    /// The names of the current clause's variables, by id.
    names: Vec<Symbol>,
}

impl Scope {
    pub(crate) fn mark(&self) -> Mark {
        Mark { variables: self.variables_before.len(), aliases: self.aliases_before.len() }
    }

    pub(crate) fn roll_back(&mut self, mark: Mark) {
        for (name, before) in self.variables_before.drain(mark.variables.min(self.variables_before.len())..).rev() {
            restore(&mut self.variables, name, before);
        }
        for (name, before) in self.aliases_before.drain(mark.aliases.min(self.aliases_before.len())..).rev() {
            restore(&mut self.aliases, name, before);
        }
    }

    /// Forgets all variables: a new function clause begins. Returns the mark at which it ends.
    pub(crate) fn begin_clause(&mut self) -> Mark {
        self.variables.clear();
        self.variables_before.clear();
        self.names.clear();
        self.mark()
    }

    /// The names of the variables made since [`Scope::begin_clause`].
    pub(crate) fn take_names(&mut self) -> Vec<Symbol> {
        self.names.to_vec()
    }

    /// The id that the next variable will get.
    pub(crate) fn next_variable(&self) -> VarId {
        VarId(self.names.len() as u32)
    }

    pub(crate) fn bind(&mut self, name: Symbol) -> VarId {
        let id = self.anonymous(name);
        let before = self.variables.insert(name, id);
        self.variables_before.push((name, before));
        id
    }

    /// A variable that no name in the source refers to.
    pub(crate) fn anonymous(&mut self, name: Symbol) -> VarId {
        let id = self.next_variable();
        self.names.push(name);
        id
    }

    pub(crate) fn variable(&self, name: Symbol) -> Option<VarId> {
        self.variables.get(&name).copied()
    }

    /// What `name` meant before the pattern whose first variable is `first`, as a pin inside that pattern wants it.
    pub(crate) fn variable_before(&self, name: Symbol, first: VarId) -> Option<VarId> {
        let now = self.variable(name)?;
        if now < first {
            return Some(now);
        }
        // A name is bound once in a pattern, so its youngest log entry is the one to look behind. The limit keeps huge patterns linear.
        self.variables_before.iter().rev().take(64).find(|(logged, _)| *logged == name).and_then(|(_, before)| *before)
    }

    pub(crate) fn alias(&self, name: Symbol) -> Option<Symbol> {
        self.aliases.get(&name).copied()
    }

    pub(crate) fn set_alias(&mut self, name: Symbol, full: Symbol) {
        let before = self.aliases.insert(name, full);
        self.aliases_before.push((name, before));
    }
}

fn restore<T>(map: &mut UstrMap<T>, name: Symbol, before: Option<T>) {
    match before {
        Some(before) => map.insert(name, before),
        None => map.remove(&name),
    };
}
