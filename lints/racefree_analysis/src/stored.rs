//! The memory of a run to bytes and back.
//!
//! Numbers of functions and modules stand in the bytes as they were; the memory renumbers itself when it is put to use. Numbers of files are inside of values
//! and are translated while reading: a summary that speaks of a file that is gone is left out, and its functions are evaluated anew. Terms and origins are
//! shared by many values: each is written once for a function. Chunks of functions are read side by side.

use crate::Place;
use crate::handlers::{Handlers, Taker};
use crate::memory::{FileKey, KnownComponent, KnownFunction, KnownModule, Memory};
use crate::outline::{Outline, UsingOutline};
use crate::summary::*;
use crate::term::{Term, TermKind};
use crate::value::{Alt, Deps, MapShape, Origin, OriginKind, Shape, Value};
use crate::view::Read;
use racefree_models::{EffectKind, Models, Role, Runs};
use racefree_syntax::stored;
use racefree_syntax::stored::{Reader, Stored, Symbols, Writer};
use racefree_syntax::{FileId, Symbol};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;

/// Functions of one chunk.
const CHUNK_FUNCTIONS: usize = 128;

/// What the bytes of one function share. Not more than one: numbers given behind a function that cannot be read would mean other things.
#[derive(Debug, Default)]
struct Shared<'m> {
    /// There when reading.
    models: Option<&'m Models>,
    /// Files have the numbers they had: only then does the hash of a term that was cut off mean what it would mean if it were made now.
    are_numbers_kept: bool,
    terms: Vec<Term>,
    term_numbers: FxHashMap<Term, u64>,
    origins: Vec<Arc<Origin>>,
    /// By address: the values being written keep it alive.
    origin_numbers: FxHashMap<usize, u64>,
}

impl Memory {
    /// Appends to a table of symbols and gives the bytes.
    pub fn to_bytes(&self, symbols: &mut Symbols) -> Vec<u8> {
        let mut to = Writer { symbols: std::mem::take(symbols), ..Writer::<Shared<'_>>::default() };
        self.modules.store(&mut to);
        self.components.store(&mut to);
        takers(&self.handlers.by_tag).store(&mut to);
        takers(&self.handlers.open).store(&mut to);
        self.functions.len().div_ceil(CHUNK_FUNCTIONS).store(&mut to);
        for chunk in self.functions.chunks(CHUNK_FUNCTIONS) {
            block(&mut to, |to| {
                chunk.len().store(to);
                for function in chunk {
                    to.state = Shared::default();
                    block(to, |to| function.store(to));
                }
            });
        }
        *symbols = to.symbols;
        to.bytes
    }

    /// `files` are those of the program at hand, in order, with the digests that they had when the bytes were written; `numbers` gives the number in it
    /// of each file of the program that was written.
    pub fn from_bytes(bytes: &[u8], symbols: &[Symbol], files: Vec<FileKey>, numbers: &[Option<FileId>], models: &Models) -> Option<Self> {
        let mut from = Reader::new(bytes, symbols, numbers, Shared::default());
        let modules: Vec<KnownModule> = Vec::load(&mut from)?;
        let components: Vec<KnownComponent> = Vec::load(&mut from)?;
        let by_tag = Vec::load(&mut from)?.into_iter().collect();
        let open = Vec::load(&mut from)?.into_iter().collect();
        let mut chunks = Vec::new();
        for _ in 0..from.number()? {
            chunks.push(taken_block(&mut from)?);
        }
        let read = |chunk: &&[u8]| functions(chunk, symbols, numbers, models);
        let functions: Option<Vec<Vec<KnownFunction>>> = chunks.par_iter().map(read).collect();
        let functions: Vec<KnownFunction> = functions?.into_iter().flatten().collect();
        let count = functions.len();
        let stands = |id: &FunctionId| functions.get(id.0 as usize).is_some_and(|function| function.summary.is_some());
        let components = components.into_iter().filter(|component| component.members.iter().all(stands)).collect();
        Some(Self { files, modules, functions, components, handlers: Handlers { by_tag, open }, evaluated: count })
    }
}

/// The functions of a chunk. One that speaks of a file that is gone loses its summary.
fn functions(chunk: &[u8], symbols: &[Symbol], numbers: &[Option<FileId>], models: &Models) -> Option<Vec<KnownFunction>> {
    let mut from = Reader::new(chunk, symbols, numbers, Shared::default());
    let are_numbers_kept = numbers.iter().enumerate().all(|(index, number)| number.is_some_and(|number| number.0 as usize == index));
    let count = from.number()?;
    let mut functions = Vec::new();
    for _ in 0..count {
        from.state = Shared { models: Some(models), are_numbers_kept, ..Shared::default() };
        functions.push(from.part(KnownFunction::load)??);
    }
    Some(functions)
}

/// Writes a length before what `write` adds, so that it can be passed over.
fn block<'m>(to: &mut Writer<Shared<'m>>, write: impl FnOnce(&mut Writer<Shared<'m>>)) {
    let outer = std::mem::take(&mut to.bytes);
    write(to);
    let inner = std::mem::replace(&mut to.bytes, outer);
    to.number(inner.len() as u64);
    to.bytes.extend_from_slice(&inner);
}

fn taken_block<'a>(from: &mut Reader<'a, Shared<'_>>) -> Option<&'a [u8]> {
    let length = usize::try_from(from.number()?).ok()?;
    from.take(length)
}

/// In an order of its own, for the same memory to give the same bytes.
fn takers<K: Copy + Ord>(table: &FxHashMap<K, Vec<Taker>>) -> Vec<(K, Vec<Taker>)> {
    let mut list: Vec<(K, Vec<Taker>)> = table.iter().map(|(key, takers)| (*key, takers.clone())).collect();
    list.sort_by_key(|(key, _)| *key);
    list
}

stored! {
    with<'m> Shared<'m>;
    struct Outline { functions, records, behaviours, using }
    struct UsingOutline { uses, behaviours, imports }
    struct KnownComponent { members, reads }
    enum Read { Callee(id), Unevaluated(id), Module(name), Takers(role, tag), Open(role, server), Clause { callback, clause, span } }
    struct Taker { server, callback, clause, size }
    enum Role { Init, Call, Cast, Info, Continue, Terminate, Inside, Outside }
    enum Runs { Once, Each, Elsewhere, Locked, AtTarget }
    struct Summary { clauses, returns, items, arms, scopes, tries, misfits, receives, closures, reach }
    struct ClauseSummary { returns, diverges }
    struct Misfit { kind, span, pattern, clause, arm, scope, item, value }
    enum MisfitKind { Match, NoClause, Raised }
    struct Receive { clause, arm, position, awaited }
    struct Awaited { tag, is_open, arm }
    struct ParamClosure { param, runs, args, shield }
    struct Shield { exits, exceptions }
    struct Item { kind, span, name_span, clause, arm, scope, usage, control, observation }
    enum ItemKind { Effect(effect), Call { callee, args, clauses }, Foreign { module, name, args } }
    struct Handled { server, callback, clauses, proven }
    enum Usage { Used, Discarded, Matched(span) }
    struct Arm { fork, parent }
    struct Scope { kind, parent }
    enum ScopeKind {
        Function, Try(index), Handler(index), Loop(span), Elsewhere, AtTarget, Locked, Stored, Shielded(shield),
    }
    struct Try { span, clause, implicit, first, last, rescues, catches, scope, body_value }
    struct RescueSummary { span, exceptions, value, diverges, binds }
    struct CatchSummary { span, kind, pattern, value, diverges }
    enum CatchKind { Exit, Error, Throw { bare }, All }
    enum CatchPattern { All, Some { pattern, guard_atoms } }
    struct Place { file, span }
    struct Value { alts, term, deps }
    struct Alt { shape, origin }
    enum Shape {
        Any, Atom(name), Pid, Ref, Number, Text, Tuple(parts), List(element), Map(map), Closure(number), Function { module, name, arity },
        Symbolic { term, not_nil },
    }
    struct MapShape { struct_name, fields, base }
    struct Origin { kind, place, earlier, length }
    enum OriginKind { Observed { effect, module, name }, Chosen, Rescued, Returned { module, name }, Replied { module } }
    enum TermKind {
        Atom(name), Integer(value), Text(text), SelfPid, Param(index), Item(base, index), Field(base, name), Element(base), Result(base),
        Tuple(parts), Apply { module, name, args }, Join(text, parts), Site(file, span), Cut(hash),
    }
    enum EffectKind {
        Lookup, Call, Cast, Send, Reply, Monitor, Demonitor, Link, Unlink, Stop, Alive, Start, Register, Unregister, TableNew, TableRead,
        TableWrite, TableDelete, TableClear, TableDrop, TableInfo, StoreRead, StoreWrite, StoreDelete, FileRead, FileWrite, FileSync,
        FileDelete, Lock, Flag, Timer, Diverge,
    }
}

/// Types around one number.
macro_rules! stored_newtypes {
    ($($name:ident),*) => {$(
        impl<'m> Stored<Shared<'m>> for $name {
            fn store(&self, to: &mut Writer<Shared<'m>>) {
                self.0.store(to);
            }

            fn load(from: &mut Reader<'_, Shared<'m>>) -> Option<Self> {
                Some(Self(Stored::load(from)?))
            }
        }
    )*};
}

stored_newtypes!(FunctionId, ModuleId, ArmId, ScopeId, Deps);

/// Stands for a file that is gone.
const NO_FILE: FileId = FileId(u32::MAX);

impl<'m> Stored<Shared<'m>> for KnownModule {
    fn store(&self, to: &mut Writer<Shared<'m>>) {
        let Self { file, name, outline } = self;
        block(to, |to| file.store(to));
        name.store(to);
        outline.store(to);
    }

    fn load(from: &mut Reader<'_, Shared<'m>>) -> Option<Self> {
        let file = from.part(FileId::load)?.unwrap_or(NO_FILE);
        Some(Self { file, name: Stored::load(from)?, outline: Stored::load(from)? })
    }
}

impl<'m> Stored<Shared<'m>> for KnownFunction {
    fn store(&self, to: &mut Writer<Shared<'m>>) {
        let Self { module, name, arity, head, edges, summary } = self;
        module.store(to);
        name.store(to);
        arity.store(to);
        to.bytes.extend_from_slice(&head.to_le_bytes());
        edges.store(to);
        summary.store(to);
    }

    fn load(from: &mut Reader<'_, Shared<'m>>) -> Option<Self> {
        let (module, name, arity) = (Stored::load(from)?, Stored::load(from)?, Stored::load(from)?);
        let head = u128::from_le_bytes(*from.take(size_of::<u128>())?.first_chunk()?);
        let edges = Stored::load(from)?;
        // Where the rest cannot be read it speaks of a file that is gone.
        let summary = Option::load(from).flatten();
        Some(Self { module, name, arity, head, edges, summary })
    }
}

/// The model is asked for again: it is the table's, not ours to keep.
impl<'m> Stored<Shared<'m>> for Effect {
    fn store(&self, to: &mut Writer<Shared<'m>>) {
        let Self { kind: _, module, name, model: _, args, handled } = self;
        module.store(to);
        name.store(to);
        args.store(to);
        handled.store(to);
    }

    fn load(from: &mut Reader<'_, Shared<'m>>) -> Option<Self> {
        let (module, name): (Symbol, Symbol) = (Stored::load(from)?, Stored::load(from)?);
        let args: SmallVec<[Value; 2]> = Stored::load(from)?;
        let handled = Stored::load(from)?;
        let model = Arc::clone(from.state.models?.function(module, name, args.len() as u32)?);
        Some(Self { kind: model.effect?, module, name, model, args, handled })
    }
}

/// The first time its kind, then its number.
impl<'m> Stored<Shared<'m>> for Term {
    fn store(&self, to: &mut Writer<Shared<'m>>) {
        match to.state.term_numbers.get(self) {
            Some(number) => to.number(number + 1),
            None => {
                to.number(0);
                self.kind().store(to);
                let number = to.state.term_numbers.len() as u64;
                to.state.term_numbers.insert(self.clone(), number);
            }
        }
    }

    fn load(from: &mut Reader<'_, Shared<'m>>) -> Option<Self> {
        match from.number()? {
            0 => {
                let kind = TermKind::load(from)?;
                if matches!(kind, TermKind::Cut(_)) && !from.state.are_numbers_kept {
                    return None;
                }
                let term = Self::new(kind);
                from.state.terms.push(term.clone());
                Some(term)
            }
            number => from.state.terms.get(number as usize - 1).cloned(),
        }
    }
}

impl<'m> Stored<Shared<'m>> for Arc<Origin> {
    fn store(&self, to: &mut Writer<Shared<'m>>) {
        let address = Self::as_ptr(self) as usize;
        match to.state.origin_numbers.get(&address) {
            Some(number) => to.number(number + 1),
            None => {
                to.number(0);
                (**self).store(to);
                let number = to.state.origin_numbers.len() as u64;
                to.state.origin_numbers.insert(address, number);
            }
        }
    }

    fn load(from: &mut Reader<'_, Shared<'m>>) -> Option<Self> {
        match from.number()? {
            0 => {
                let origin = Self::new(Origin::load(from)?);
                from.state.origins.push(Self::clone(&origin));
                Some(origin)
            }
            number => from.state.origins.get(number as usize - 1).cloned(),
        }
    }
}

/// What is stored as its content is.
macro_rules! stored_as_content {
    ($($name:ty),*) => {$(
        impl<'m> Stored<Shared<'m>> for Arc<$name> {
            fn store(&self, to: &mut Writer<Shared<'m>>) {
                (**self).store(to);
            }

            fn load(from: &mut Reader<'_, Shared<'m>>) -> Option<Self> {
                Some(Self::new(<$name>::load(from)?))
            }
        }
    )*};
}

stored_as_content!(Summary, Value, MapShape);

/// Lists of other kinds than `Vec`.
macro_rules! stored_as_list {
    ($($name:ty: $item:ty),*) => {$(
        impl<'m> Stored<Shared<'m>> for $name {
            fn store(&self, to: &mut Writer<Shared<'m>>) {
                self.len().store(to);
                self.iter().for_each(|item| item.store(to));
            }

            fn load(from: &mut Reader<'_, Shared<'m>>) -> Option<Self> {
                let list: Vec<$item> = Vec::load(from)?;
                Some(list.into())
            }
        }
    )*};
}

stored_as_list!(Arc<[Value]>: Value, SmallVec<[Value; 2]>: Value, SmallVec<[Alt; 1]>: Alt, Box<[Read]>: Read, Box<[FunctionId]>: FunctionId);
