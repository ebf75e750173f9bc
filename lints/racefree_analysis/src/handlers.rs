//! Requests to the callbacks that take them.

use crate::eval::tag_of;
use crate::memory::Renumbering;
use crate::program::Base;
use crate::summary::{FunctionId, Handled, ModuleId};
use crate::term::TermKind;
use crate::value::{Alt, Shape, Value};
use crate::view::Read;
use racefree_models::{Models, Role};
use racefree_syntax::Symbol;
use racefree_syntax::core::Pattern;
use rustc_hash::{FxHashMap, FxHashSet};

/// A clause that takes messages of one tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taker {
    pub server: ModuleId,
    pub callback: FunctionId,
    pub clause: u16,
    pub size: usize,
}

/// What the names of servers mean, and who is told that a name was looked up.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a, 'p> {
    pub base: &'a Base<'p>,
    pub note: &'a dyn Fn(Read),
}

/// Which servers take which messages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handlers {
    pub by_tag: FxHashMap<(Role, Symbol), Vec<Taker>>,
    /// Clauses that take any message of their role.
    pub open: FxHashMap<(Role, ModuleId), Vec<Taker>>,
}

impl Handlers {
    pub fn new(base: &crate::resolve::Definitions<'_>, models: &Models) -> Self {
        let mut handlers = Self::default();
        for index in 0..base.modules.len() {
            let server = ModuleId(index as u32);
            let behaviours: Vec<_> = base.known_behaviours(models, server).collect();
            for callback in behaviours.iter().flat_map(|behaviour| &behaviour.callbacks) {
                let Some(message) = callback.message else { continue };
                let Some(id) = base.find(server, racefree_syntax::symbol(&callback.name), callback.arity) else { continue };
                let Some(entry) = base.function(id) else { continue };
                for (clause, code) in entry.function.clauses.iter().enumerate() {
                    if let Some(pattern) = code.params.get(message) {
                        handlers.add(callback.role, server, id, clause as u16, pattern);
                    }
                }
            }
        }
        handlers
    }

    fn add(&mut self, role: Role, server: ModuleId, callback: FunctionId, clause: u16, pattern: &Pattern) {
        match tag_of(pattern) {
            Some((tag, size)) => {
                let takers = self.by_tag.entry((role, tag)).or_default();
                takers.push(Taker { server, callback, clause, size });
            }
            None => self.open.entry((role, server)).or_default().push(Taker { server, callback, clause, size: 0 }),
        }
    }

    /// The callback that takes `message` when it is sent to `target` by code of module `from`.
    pub fn resolve(&self, names: Names<'_, '_>, from: ModuleId, role: Role, target: &Value, message: &Value) -> Option<Handled> {
        let named = server_named(names, target);
        let shape = message_tag(message);
        if let Some((tag, _)) = shape {
            (names.note)(Read::Takers(role, tag));
        }
        if let Some(server) = named {
            (names.note)(Read::Open(role, server));
            return Some(self.at(server, role, shape, true));
        }
        let (tag, size) = shape?;
        let takers = self.by_tag.get(&(role, tag)).map_or(&[][..], Vec::as_slice);
        let mut fitting = takers.iter().filter(|taker| taker.size == size);
        if fitting.clone().any(|taker| taker.server == from) {
            (names.note)(Read::Open(role, from));
            return Some(self.at(from, role, shape, false));
        }
        let first = fitting.next()?;
        // Only a message that one server alone takes speaks for that server; plain words such as `:get` are shared by chance.
        (size > 0 && fitting.all(|taker| taker.server == first.server)).then(|| {
            (names.note)(Read::Open(role, first.server));
            self.at(first.server, role, shape, false)
        })
    }

    fn at(&self, server: ModuleId, role: Role, shape: Option<(Symbol, usize)>, proven: bool) -> Handled {
        let tagged = shape.and_then(|(tag, size)| {
            let takers = self.by_tag.get(&(role, tag))?;
            let mine = takers.iter().filter(|taker| taker.server == server && taker.size == size);
            let mut clauses = 0;
            let mut callback = None;
            for taker in mine {
                callback = Some(taker.callback);
                clauses |= bit(taker.clause);
            }
            callback.map(|callback| (callback, clauses))
        });
        let open = || {
            let takers = self.open.get(&(role, server))?;
            let callback = takers.first()?.callback;
            Some((callback, takers.iter().fold(0, |clauses, taker| clauses | bit(taker.clause))))
        };
        match tagged.or_else(open) {
            Some((callback, clauses)) => Handled { server, callback: Some(callback), clauses, proven },
            None => Handled { server, callback: None, clauses: 0, proven },
        }
    }

    /// The clauses of `role` by which `server` takes messages of this tag.
    pub fn clauses(&self, server: ModuleId, role: Role, tag: Symbol) -> Vec<(FunctionId, usize)> {
        let takers = self.by_tag.get(&(role, tag)).map_or(&[][..], Vec::as_slice);
        takers.iter().filter(|taker| taker.server == server).map(|taker| (taker.callback, taker.clause as usize)).collect()
    }
}

fn bit(clause: u16) -> u64 {
    if clause < 64 { 1 << clause } else { 0 }
}

fn message_tag(message: &Value) -> Option<(Symbol, usize)> {
    message.alts.iter().find_map(|Alt { shape, .. }| match shape {
        Shape::Atom(tag) => Some((*tag, 0)),
        Shape::Tuple(parts) => parts.first().and_then(|first| first.atoms().next()).map(|tag| (tag, parts.len())),
        Shape::Map(map) => map.struct_name.map(|name| (name, 0)),
        _ => None,
    })
}

/// The server whose module stands in the target: itself, or inside a `:via` tuple, a name made by a function of that module, and the like.
pub(crate) fn server_named(names: Names<'_, '_>, target: &Value) -> Option<ModuleId> {
    let Names { base, note } = names;
    let module = |name: Symbol| {
        note(Read::Module(name));
        base.definitions.module(name).filter(|id| base.definitions.is_server(base.models, *id))
    };
    if let Some(id) = target.atoms().find_map(module) {
        return Some(id);
    }
    let found = std::cell::Cell::new(None);
    target.term.any(&|kind| {
        let name = match kind {
            TermKind::Atom(name) => Some(*name),
            TermKind::Apply { module, .. } => Some(*module),
            _ => None,
        };
        match name.and_then(module) {
            Some(id) => {
                found.set(Some(id));
                true
            }
            None => false,
        }
    });
    found.get()
}

impl Handlers {
    /// The same under new numbers; what is gone takes nothing any more.
    pub fn renumbered(mut self, numbers: &Renumbering) -> Self {
        let taker = |taker: &Taker| {
            let (server, callback) = (numbers.module(taker.server)?, numbers.function(taker.callback)?);
            Some(Taker { server, callback, ..*taker })
        };
        for takers in self.by_tag.values_mut() {
            *takers = takers.iter().filter_map(taker).collect();
        }
        let open = self.open.iter().filter_map(|((role, server), takers)| {
            let server = numbers.module(*server)?;
            Some(((*role, server), takers.iter().filter_map(taker).collect()))
        });
        self.open = open.collect();
        self
    }

    /// The tags, and the servers, whose messages others take.
    pub fn differences(&self, new: &Self) -> (FxHashSet<(Role, Symbol)>, FxHashSet<(Role, ModuleId)>) {
        let tags = self.by_tag.keys().chain(new.by_tag.keys()).filter(|key| self.by_tag.get(key) != new.by_tag.get(key));
        let servers = self.open.keys().chain(new.open.keys()).filter(|key| self.open.get(key) != new.open.get(key));
        (tags.copied().collect(), servers.copied().collect())
    }
}

/// Callbacks a message may lead to at most, for the call graph; a word that more servers share tells nothing.
const CANDIDATES_MAX: usize = 4;

impl Handlers {
    /// The callbacks that may take such a message sent from `module`: its own, or all when they are few.
    pub fn callbacks(&self, role: Role, tag: Symbol, size: usize, module: ModuleId) -> Vec<FunctionId> {
        let takers = self.by_tag.get(&(role, tag)).map_or(&[][..], Vec::as_slice);
        let fitting = || takers.iter().filter(|taker| taker.size == size);
        let own: Vec<FunctionId> = fitting().filter(|taker| taker.server == module).map(|taker| taker.callback).collect();
        if !own.is_empty() {
            return own;
        }
        if let Some(taker) = self.open.get(&(role, module)).and_then(|takers| takers.first()) {
            return vec![taker.callback];
        }
        let mut all: Vec<FunctionId> = fitting().map(|taker| taker.callback).collect();
        all.dedup();
        if all.len() <= CANDIDATES_MAX { all } else { Vec::new() }
    }
}
