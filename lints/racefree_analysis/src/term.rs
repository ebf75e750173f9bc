//! Symbolic terms: by what expression a value came about, so that two keys, tables or servers can be told to be the same one.
//!
//! Terms are compared by structure. They are over the parameters of one function; [`Term::substitute`] carries them to a caller.

use racefree_syntax::{FileId, Span, Symbol};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Terms deeper than this are cut off: they become a [`TermKind::Cut`].
pub const DEPTH_MAX: u16 = 12;
/// So are terms of more nodes. A term that holds another one twice counts it twice: that is what walking it costs.
pub const NODES_MAX: u32 = 2_000;

#[derive(Debug, Clone)]
pub struct Term(Arc<Node>);

#[derive(Debug)]
struct Node {
    kind: TermKind,
    hash: u64,
    nodes: u32,
    depth: u16,
    /// Whether a parameter occurs in it: if not, substitution leaves it alone.
    open: bool,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub enum TermKind {
    Atom(Symbol),
    Integer(i64),
    Text(Symbol),
    /// The process that runs the code.
    SelfPid,
    /// Parameter `n` of the function.
    Param(u32),
    /// Element `n` of a tuple.
    Item(Term, u32),
    /// A field of a map, struct, record or keyword list.
    Field(Term, Symbol),
    /// Some element of a collection.
    Element(Term),
    /// What the closure returns when it is called.
    Result(Term),
    Tuple(Vec<Term>),
    /// A function of its arguments, as far as is known.
    Apply {
        module: Symbol,
        name: Symbol,
        args: Vec<Term>,
    },
    /// Put together of parts at run time: an interpolated atom or string.
    Join(Symbol, Vec<Term>),
    /// Something new, made or first seen at this place.
    Site(FileId, Span),
    /// A term nested too deep, by its hash: equal to itself, and nothing more is known.
    Cut(u64),
}

impl Term {
    pub fn new(kind: TermKind) -> Self {
        let (mut depth, mut nodes, mut open) = (0, 1_u32, false);
        let mut visit = |term: &Self| {
            depth = depth.max(term.0.depth + 1);
            nodes = nodes.saturating_add(term.0.nodes);
            open |= term.0.open;
        };
        match &kind {
            TermKind::Param(_) => open = true,
            TermKind::Item(base, _) | TermKind::Field(base, _) | TermKind::Element(base) | TermKind::Result(base) => visit(base),
            TermKind::Tuple(parts) | TermKind::Apply { args: parts, .. } | TermKind::Join(_, parts) => parts.iter().for_each(visit),
            TermKind::Atom(_) | TermKind::Integer(_) | TermKind::Text(_) | TermKind::SelfPid | TermKind::Site(..) | TermKind::Cut(_) => {}
        }
        let mut hasher = rustc_hash::FxHasher::default();
        kind.hash(&mut hasher);
        let hash = hasher.finish();
        if depth > DEPTH_MAX || nodes > NODES_MAX {
            // What was cut off may speak of a parameter; that it did is forgotten with it, so a cut term never equals one seen from elsewhere.
            return Self(Arc::new(Node { hash, nodes: 1, kind: TermKind::Cut(hash), depth: 0, open: false }));
        }
        Self(Arc::new(Node { hash, nodes, kind, depth, open }))
    }

    pub fn atom(name: Symbol) -> Self {
        Self::new(TermKind::Atom(name))
    }

    pub fn param(index: u32) -> Self {
        Self::new(TermKind::Param(index))
    }

    pub fn site(file: FileId, span: Span) -> Self {
        Self::new(TermKind::Site(file, span))
    }

    pub fn kind(&self) -> &TermKind {
        &self.0.kind
    }

    /// Nesting; callers that build upon a term of [`DEPTH_MAX`] use a site instead.
    pub fn depth(&self) -> u16 {
        self.0.depth
    }

    /// Whether it speaks of a parameter.
    pub fn is_open(&self) -> bool {
        self.0.open
    }

    /// Whether it names one thing whoever looks: no part of it was made at the place where it stands.
    pub fn is_stable(&self) -> bool {
        match self.kind() {
            TermKind::Site(..) | TermKind::Element(_) | TermKind::Cut(_) => false,
            TermKind::Item(base, _) | TermKind::Field(base, _) | TermKind::Result(base) => base.is_stable(),
            TermKind::Tuple(parts) | TermKind::Apply { args: parts, .. } | TermKind::Join(_, parts) => parts.iter().all(Self::is_stable),
            TermKind::Atom(_) | TermKind::Integer(_) | TermKind::Text(_) | TermKind::SelfPid | TermKind::Param(_) => true,
        }
    }

    /// The term with each parameter replaced by what `argument` gives for it.
    pub fn substitute(&self, argument: &dyn Fn(u32) -> Option<Self>) -> Self {
        if !self.0.open {
            return self.clone();
        }
        let kind = match self.kind() {
            TermKind::Param(index) => return argument(*index).unwrap_or_else(|| self.clone()),
            TermKind::Item(base, index) => return base.substitute(argument).item(*index),
            TermKind::Field(base, name) => return base.substitute(argument).field(*name),
            TermKind::Element(base) => TermKind::Element(base.substitute(argument)),
            TermKind::Result(base) => TermKind::Result(base.substitute(argument)),
            TermKind::Tuple(parts) => TermKind::Tuple(parts.iter().map(|part| part.substitute(argument)).collect()),
            TermKind::Apply { module, name, args } => {
                TermKind::Apply { module: *module, name: *name, args: args.iter().map(|part| part.substitute(argument)).collect() }
            }
            TermKind::Join(text, parts) => TermKind::Join(*text, parts.iter().map(|part| part.substitute(argument)).collect()),
            TermKind::Atom(_) | TermKind::Integer(_) | TermKind::Text(_) | TermKind::SelfPid | TermKind::Site(..) | TermKind::Cut(_) => {
                return self.clone();
            }
        };
        Self::new(kind)
    }

    /// Element `index` of this term: the part itself when it is a tuple.
    pub fn item(&self, index: u32) -> Self {
        match self.kind() {
            TermKind::Tuple(parts) => parts.get(index as usize).cloned().unwrap_or_else(|| self.clone()),
            _ => Self::new(TermKind::Item(self.clone(), index)),
        }
    }

    pub fn field(&self, name: Symbol) -> Self {
        Self::new(TermKind::Field(self.clone(), name))
    }

    pub fn element(&self) -> Self {
        Self::new(TermKind::Element(self.clone()))
    }

    /// Whether `wanted` holds for this term or a part of it.
    pub fn any(&self, wanted: &dyn Fn(&TermKind) -> bool) -> bool {
        if wanted(self.kind()) {
            return true;
        }
        match self.kind() {
            TermKind::Item(base, _) | TermKind::Field(base, _) | TermKind::Element(base) | TermKind::Result(base) => base.any(wanted),
            TermKind::Tuple(parts) | TermKind::Apply { args: parts, .. } | TermKind::Join(_, parts) => {
                parts.iter().any(|part| part.any(wanted))
            }
            TermKind::Atom(_)
            | TermKind::Integer(_)
            | TermKind::Text(_)
            | TermKind::SelfPid
            | TermKind::Param(_)
            | TermKind::Site(..)
            | TermKind::Cut(_) => false,
        }
    }

    /// Whether `part` occurs in this term.
    pub fn mentions(&self, part: &Self) -> bool {
        self.any(&|kind| part.kind() == kind)
    }

    /// Adds the parameters that occur in it.
    pub fn gather_params(&self, into: &mut Vec<u32>) {
        if !self.0.open {
            return;
        }
        match self.kind() {
            TermKind::Param(index) => into.push(*index),
            TermKind::Item(base, _) | TermKind::Field(base, _) | TermKind::Element(base) | TermKind::Result(base) => {
                base.gather_params(into)
            }
            TermKind::Tuple(parts) | TermKind::Apply { args: parts, .. } | TermKind::Join(_, parts) => {
                parts.iter().for_each(|part| part.gather_params(into));
            }
            _ => {}
        }
    }

    /// The parameter this term is a part of: the root of a chain of fields and elements.
    pub fn root_param(&self) -> Option<u32> {
        match self.kind() {
            TermKind::Param(index) => Some(*index),
            TermKind::Item(base, _) | TermKind::Field(base, _) | TermKind::Element(base) => base.root_param(),
            _ => None,
        }
    }
}

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.hash == other.0.hash && self.0.kind == other.0.kind)
    }
}

impl Eq for Term {}

impl Hash for Term {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}
