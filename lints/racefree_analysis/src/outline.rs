//! What other code sees of a module and of a function's head: all that may decide the meaning of a name or the way of an argument, and nothing of bodies.

use crate::resolve::{Definitions, ModuleEntry};
use crate::summary::ModuleId;
use racefree_syntax::Symbol;
use racefree_syntax::core::{ExprKind, Function, Pattern, PatternKind, Using, Visibility};
use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::Xxh3;

/// What a module's name stands for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outline {
    pub functions: Vec<(Symbol, u32, bool)>,
    pub records: Vec<(Symbol, Vec<Symbol>)>,
    /// Those declared here, then all: how one came by a behaviour matters.
    pub behaviours: (Vec<Symbol>, Vec<Symbol>),
    pub using: Option<UsingOutline>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UsingOutline {
    pub uses: Vec<Symbol>,
    pub behaviours: Vec<Symbol>,
    pub imports: Vec<Symbol>,
}

impl Outline {
    pub fn new(definitions: &Definitions<'_>, id: ModuleId, entry: &ModuleEntry<'_>) -> Self {
        let module = entry.module;
        let function = |function: &Function| (function.name, function.arity, function.visibility == Visibility::Public);
        Self {
            functions: module.functions.iter().map(function).collect(),
            records: module.records.iter().map(|record| (record.name, record.fields.clone())).collect(),
            behaviours: (module.behaviours.clone(), definitions.behaviours(id).to_vec()),
            using: module.using.as_ref().map(UsingOutline::new),
        }
    }
}

impl UsingOutline {
    fn new(using: &Using) -> Self {
        Self { uses: using.uses.clone(), behaviours: using.behaviours.clone(), imports: using.imports.clone() }
    }
}

/// A digest of what a caller sees of the clauses: their patterns, and whether they have guards. Where they stand is left out.
pub(crate) fn head(function: &Function) -> u128 {
    let mut hash = Xxh3::new();
    function.clauses.len().hash(&mut hash);
    for clause in &function.clauses {
        clause.guard.is_some().hash(&mut hash);
        patterns(&clause.params, &mut hash);
    }
    hash.digest128()
}

fn patterns<'a>(patterns: impl IntoIterator<Item = &'a Pattern>, hash: &mut Xxh3) {
    for one in patterns {
        pattern(one, hash);
    }
    // Closes the list, so that no two trees read alike.
    hash.write_u8(u8::MAX);
}

fn pattern(pattern: &Pattern, hash: &mut Xxh3) {
    std::mem::discriminant(&pattern.kind).hash(hash);
    match &pattern.kind {
        PatternKind::Wild | PatternKind::Literal => {}
        PatternKind::Bind(id) => id.hash(hash),
        PatternKind::Pin(value) => key(&value.kind, hash),
        PatternKind::Atom(text) | PatternKind::String(text) => text.as_str().hash(hash),
        PatternKind::Integer(number) => number.hash(hash),
        PatternKind::Tuple(parts) | PatternKind::Binary(parts) => patterns(parts, hash),
        PatternKind::List { items, tail } => {
            patterns(items, hash);
            patterns(tail.as_deref(), hash);
        }
        PatternKind::Map { struct_name, pairs } => {
            struct_name.map(|name| name.as_str()).hash(hash);
            for (name, value) in pairs {
                key(&name.kind, hash);
                self::pattern(value, hash);
            }
            hash.write_u8(u8::MAX);
        }
        PatternKind::Macro { name, fields, args } => {
            name.as_str().hash(hash);
            for (field, value) in fields {
                field.as_str().hash(hash);
                self::pattern(value, hash);
            }
            patterns(args, hash);
        }
        PatternKind::Both(left, right) => {
            self::pattern(left, hash);
            self::pattern(right, hash);
        }
    }
}

/// An expression in a pattern: an atom or a string decides something for callers, whatever else it is does not.
fn key(kind: &ExprKind, hash: &mut Xxh3) {
    std::mem::discriminant(kind).hash(hash);
    match kind {
        ExprKind::Atom(text) | ExprKind::String(text) => text.as_str().hash(hash),
        ExprKind::Integer(number) => number.hash(hash),
        _ => {}
    }
}
