//! A callee's values in its caller's terms: parameters replaced by arguments.

use crate::term::{Term, TermKind};
use crate::value::{Alt, MapShape, Shape, Value};
use smallvec::SmallVec;
use std::cell::Cell;
use std::sync::Arc;

/// Nesting instantiated; what is deeper is unknown.
const DEPTH_MAX: usize = 8;

/// Alternatives visited for one value at most, those of its parts included.
const PARTS_MAX: u32 = 256;

/// The arguments of one call, and what the closures among them return.
pub(crate) struct Frame<'a> {
    args: &'a [Value],
    results: &'a [(u32, Value)],
    parts_left: Cell<u32>,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(args: &'a [Value], results: &'a [(u32, Value)]) -> Self {
        Self { args, results, parts_left: Cell::new(0) }
    }

    /// `value` with this call's arguments in the parameters' place.
    pub(crate) fn value(&self, value: &Value) -> Value {
        if value.is_closed() {
            return value.clone();
        }
        self.parts_left.set(PARTS_MAX);
        self.part(value, 0).bounded()
    }

    fn part(&self, value: &Value, depth: usize) -> Value {
        if depth > 0 && value.is_closed() {
            return value.clone();
        }
        let term = self.term(&value.term);
        let simple = |alt: &Alt| !matches!(alt.shape, Shape::Symbolic { .. } | Shape::Tuple(_) | Shape::List(_) | Shape::Map(_));
        if value.alts.iter().all(simple) {
            return Value { alts: value.alts.clone(), term, deps: value.deps };
        }
        let mut result = Value::never(term.clone());
        for alt in &value.alts {
            let replaced = self.alt(alt, depth, &term);
            result = result.join(replaced, &term);
        }
        result.term = term;
        result
    }

    fn alt(&self, alt: &Alt, depth: usize, term: &Term) -> Value {
        let whole = |shape: Shape| Value {
            alts: SmallVec::from_iter([Alt { shape, origin: alt.origin.clone() }]),
            term: term.clone(),
            deps: crate::value::Deps::default(),
        };
        let parts_left = self.parts_left.get();
        if depth >= DEPTH_MAX || parts_left == 0 {
            return Value::any(term.clone());
        }
        self.parts_left.set(parts_left - 1);
        match &alt.shape {
            Shape::Symbolic { term, not_nil } => {
                let mut value = self.resolve(term);
                if *not_nil {
                    value = value.truthy();
                }
                if let Some(origin) = &alt.origin {
                    value = value.marked_with(origin);
                }
                value
            }
            Shape::Tuple(parts) => whole(Shape::Tuple(parts.iter().map(|part| self.part(part, depth + 1)).collect())),
            Shape::List(element) => whole(Shape::List(Arc::new(self.part(element, depth + 1)))),
            Shape::Map(map) => whole(Shape::Map(Arc::new(MapShape {
                struct_name: map.struct_name,
                fields: map.fields.iter().map(|(name, value)| (*name, self.part(value, depth + 1))).collect(),
                base: map.base.as_ref().map(|base| self.term(base)),
            }))),
            other => whole(other.clone()),
        }
    }

    /// What the caller gave for a term over the parameters.
    fn resolve(&self, term: &Term) -> Value {
        match term.kind() {
            TermKind::Param(index) => match self.args.get(*index as usize) {
                Some(arg) => arg.clone(),
                None => Value::any(term.clone()),
            },
            TermKind::Item(base, index) => self.resolve(base).item(*index),
            TermKind::Field(base, name) => self.resolve(base).field(*name),
            TermKind::Element(base) => self.resolve(base).element(),
            TermKind::Result(base) => self.result(base),
            _ => Value::any(self.term(term)),
        }
    }

    fn result(&self, function: &Term) -> Value {
        if let TermKind::Param(index) = function.kind()
            && let Some((_, value)) = self.results.iter().find(|(known, _)| known == index)
        {
            return value.clone();
        }
        let function = self.resolve(function);
        let result = Term::new(TermKind::Result(function.term.clone()));
        if function.alts.iter().any(|alt| matches!(alt.shape, Shape::Symbolic { .. })) {
            Value::symbolic(result)
        } else {
            Value::any(result)
        }
    }

    pub(crate) fn term(&self, term: &Term) -> Term {
        term.substitute(&|index| self.args.get(index as usize).map(|arg| arg.term.clone()))
    }
}
