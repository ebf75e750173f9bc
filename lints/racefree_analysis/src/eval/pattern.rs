//! Patterns: what a value is once it matched, what it is once it did not, and which variables it binds.

use super::Evaluator;
use crate::term::Term;
use crate::value::{Alt, MapShape, Shape, Value};
use racefree_syntax::core::{ExprKind, Pattern, PatternKind};
use racefree_syntax::{Symbol, symbol};
use std::sync::Arc;

impl<'p> Evaluator<'_, 'p> {
    /// The value, given that it matches. [`Value::is_never`] when it cannot.
    pub(super) fn narrow(&self, value: &Value, pattern: &'p Pattern) -> Value {
        match &pattern.kind {
            PatternKind::Both(left, right) => self.narrow(&self.narrow(value, left), right),
            PatternKind::Wild | PatternKind::Bind(_) | PatternKind::Pin(_) => value.clone(),
            _ => {
                let alts = value.alts.iter().filter_map(|alt| self.narrow_alt(value, alt, pattern)).collect();
                Value { alts, term: value.term.clone(), deps: value.deps }
            }
        }
    }

    fn narrow_alt(&self, value: &Value, alt: &Alt, pattern: &'p Pattern) -> Option<Alt> {
        let open = matches!(alt.shape, Shape::Any | Shape::Symbolic { .. });
        let keep = |yes: bool| yes.then(|| alt.clone());
        match &pattern.kind {
            PatternKind::Atom(atom) => match &alt.shape {
                Shape::Atom(known) => keep(known == atom),
                Shape::Symbolic { not_nil: true, .. } if crate::value::is_absent(*atom) => None,
                _ if open => Some(Alt { shape: Shape::Atom(*atom), origin: alt.origin.clone() }),
                _ => None,
            },
            PatternKind::Tuple(parts) => self.narrow_tuple(value, alt, parts),
            PatternKind::List { items, .. } => match &alt.shape {
                Shape::List(element) => {
                    let possible = items.iter().all(|item| element.is_never() || !self.narrow(element, item).is_never());
                    keep(possible)
                }
                Shape::Map(_) => keep(true),
                _ => keep(open),
            },
            PatternKind::Map { pairs, .. } => match &alt.shape {
                Shape::Map(map) => keep(pairs.iter().all(|(key, pattern)| self.field_may_match(map, atom_of(&key.kind), pattern))),
                _ => keep(open),
            },
            PatternKind::Integer(_) => keep(open || matches!(alt.shape, Shape::Number)),
            PatternKind::String(_) | PatternKind::Binary(_) => keep(open || matches!(alt.shape, Shape::Text)),
            PatternKind::Literal => keep(open || matches!(alt.shape, Shape::Text | Shape::Number)),
            PatternKind::Macro { .. } => keep(!matches!(alt.shape, Shape::Pid | Shape::Ref)),
            PatternKind::Wild | PatternKind::Bind(_) | PatternKind::Pin(_) | PatternKind::Both(..) => keep(true),
        }
    }

    fn narrow_tuple(&self, value: &Value, alt: &Alt, parts: &'p [Pattern]) -> Option<Alt> {
        let narrowed: Vec<Value> = match &alt.shape {
            Shape::Tuple(known) if known.len() == parts.len() => {
                known.iter().zip(parts).map(|(part, pattern)| self.narrow(part, pattern)).collect()
            }
            Shape::Any => {
                let unknown = |index: usize| {
                    let part = Value::any(value.term.item(index as u32));
                    match &alt.origin {
                        Some(origin) => part.marked_with(origin),
                        None => part,
                    }
                };
                parts.iter().enumerate().map(|(index, pattern)| self.narrow(&unknown(index), pattern)).collect()
            }
            Shape::Symbolic { term, .. } => {
                let part = |index: usize| Value::symbolic(term.item(index as u32));
                parts.iter().enumerate().map(|(index, pattern)| self.narrow(&part(index), pattern)).collect()
            }
            _ => return None,
        };
        if narrowed.iter().any(Value::is_never) {
            return None;
        }
        Some(Alt { shape: Shape::Tuple(narrowed.into()), origin: alt.origin.clone() })
    }

    fn field_may_match(&self, map: &MapShape, key: Option<Symbol>, pattern: &'p Pattern) -> bool {
        let known = key.and_then(|key| map.fields.iter().find(|(name, _)| *name == key));
        known.is_none_or(|(_, value)| value.is_never() || !self.narrow(value, pattern).is_never())
    }

    /// The value, given that it does not match: what surely matches is taken away.
    pub(super) fn exclude(&self, value: &Value, pattern: &'p Pattern) -> Value {
        match &pattern.kind {
            PatternKind::Wild | PatternKind::Bind(_) => Value::never(value.term.clone()).with_deps(value.deps),
            PatternKind::Atom(atom) => value.clone().not_atom(*atom),
            PatternKind::Both(left, right) if is_irrefutable(left) => self.exclude(value, right),
            PatternKind::Both(left, right) if is_irrefutable(right) => self.exclude(value, left),
            PatternKind::Tuple(parts) => {
                let left = value.clone().filter(|alt| !self.surely_matches(&alt.shape, pattern));
                match only_refutable(parts.iter()) {
                    Some(index) => self.exclude_item(left, parts, index),
                    None => left,
                }
            }
            PatternKind::Map { pairs, .. } => match only_refutable(pairs.iter().map(|(_, part)| part)).and_then(|index| pairs.get(index)) {
                Some((key, part)) => match atom_of(&key.kind) {
                    Some(name) => self.exclude_field(value, name, part),
                    None => value.clone(),
                },
                None => value.clone(),
            },
            _ => value.clone(),
        }
    }

    /// A tuple that does not match by one element alone: that element is not what the pattern takes.
    fn exclude_item(&self, mut value: Value, patterns: &'p [Pattern], index: usize) -> Value {
        for alt in &mut value.alts {
            let mut parts: Vec<Value> = match &alt.shape {
                Shape::Tuple(parts) if parts.len() == patterns.len() => parts.to_vec(),
                Shape::Symbolic { term, .. } => (0..patterns.len()).map(|item| Value::symbolic(term.item(item as u32))).collect(),
                _ => continue,
            };
            if let (Some(part), Some(pattern)) = (parts.get_mut(index), patterns.get(index)) {
                let left = self.exclude(part, pattern);
                if !left.is_never() {
                    *part = left;
                    alt.shape = Shape::Tuple(parts.into());
                }
            }
        }
        value
    }

    fn exclude_field(&self, value: &Value, name: Symbol, pattern: &'p Pattern) -> Value {
        let left = self.exclude(&value.field(name), pattern);
        if left.is_never() { value.clone() } else { with_field(value, name, &left) }
    }

    pub(super) fn surely_matches(&self, shape: &Shape, pattern: &'p Pattern) -> bool {
        match (&pattern.kind, shape) {
            (PatternKind::Wild | PatternKind::Bind(_), _) => true,
            (PatternKind::Atom(a), Shape::Atom(b)) => a == b,
            (PatternKind::Tuple(patterns), Shape::Tuple(parts)) if patterns.len() == parts.len() => patterns
                .iter()
                .zip(parts.iter())
                .all(|(pattern, part)| is_irrefutable(pattern) || part.alts.iter().all(|alt| self.surely_matches(&alt.shape, pattern))),
            _ => false,
        }
    }

    /// Binds the variables of `pattern`, given that `value` matched it.
    pub(super) fn bind(&mut self, pattern: &'p Pattern, value: &Value) {
        match &pattern.kind {
            PatternKind::Bind(id) => self.set(*id, value.clone()),
            PatternKind::Both(left, right) => {
                self.bind(left, value);
                self.bind(right, value);
            }
            PatternKind::Tuple(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    self.bind(part, &value.item(index as u32));
                }
            }
            PatternKind::List { items, tail } => {
                for item in items {
                    let element = value.element();
                    let narrowed = self.narrow(&element, item);
                    self.bind(item, if narrowed.is_never() { &element } else { &narrowed });
                }
                if let Some(tail) = tail {
                    self.bind(tail, value);
                }
            }
            PatternKind::Map { pairs, .. } => {
                for (key, part) in pairs {
                    let field = match atom_of(&key.kind) {
                        Some(name) => value.field(name),
                        None => Value::any(self.site(part.span)).with_deps(value.deps),
                    };
                    let narrowed = self.narrow(&field, part);
                    self.bind(part, if narrowed.is_never() { &field } else { &narrowed });
                }
            }
            PatternKind::Macro { fields, args, .. } => {
                for (name, part) in fields {
                    let field = value.field(*name);
                    self.bind(part, &field);
                }
                for part in args {
                    let unknown = Value::any(self.site(part.span)).with_deps(value.deps);
                    self.bind(part, &unknown);
                }
            }
            PatternKind::Binary(parts) => {
                for part in parts {
                    let text = Value::of(Shape::Text, self.site(part.span)).with_deps(value.deps);
                    self.bind(part, &text);
                }
            }
            PatternKind::Wild
            | PatternKind::Pin(_)
            | PatternKind::Atom(_)
            | PatternKind::Integer(_)
            | PatternKind::String(_)
            | PatternKind::Literal => {}
        }
    }

    /// `value`, with what became known of the variables that `pattern` bound in it.
    pub(super) fn rebuild(&self, pattern: &'p Pattern, value: &Value) -> Value {
        match &pattern.kind {
            PatternKind::Bind(id) => self.variable(*id, pattern.span),
            PatternKind::Tuple(parts) => {
                let parts: Vec<Value> =
                    parts.iter().enumerate().map(|(index, part)| self.rebuild(part, &value.item(index as u32))).collect();
                let origin = value.origin().cloned();
                let alt = Alt { shape: Shape::Tuple(parts.into()), origin };
                Value { alts: smallvec::smallvec![alt], term: value.term.clone(), deps: value.deps }
            }
            PatternKind::Both(left, right) => self.rebuild(right, &self.rebuild(left, value)),
            _ => value.clone(),
        }
    }

    pub(super) fn map_of(&self, fields: Vec<(Symbol, Value)>, struct_name: Option<Symbol>, base: Option<Term>, term: Term) -> Value {
        Value::map(MapShape { struct_name, fields, base }, term)
    }
}

/// The only one of the patterns that can fail to match, if it is alone.
fn only_refutable<'p>(patterns: impl Iterator<Item = &'p Pattern>) -> Option<usize> {
    let mut refutable = patterns.enumerate().filter(|(_, pattern)| !is_irrefutable(pattern));
    let (index, _) = refutable.next()?;
    refutable.next().is_none().then_some(index)
}

/// The value, given that its field `name` is `field`.
pub(super) fn with_field(value: &Value, name: Symbol, field: &Value) -> Value {
    let mut result = value.clone();
    for alt in &mut result.alts {
        let mut map = match &alt.shape {
            Shape::Map(map) => (**map).clone(),
            Shape::Symbolic { term, .. } => MapShape { base: Some(term.clone()), ..MapShape::default() },
            _ => continue,
        };
        map.fields.retain(|(known, _)| *known != name);
        map.fields.push((name, field.clone()));
        alt.shape = Shape::Map(Arc::new(map));
    }
    result
}

pub(super) fn atom_of(kind: &ExprKind) -> Option<Symbol> {
    match kind {
        ExprKind::Atom(name) => Some(*name),
        _ => None,
    }
}

/// Whether nothing can fail to match it.
pub(crate) fn is_irrefutable(pattern: &Pattern) -> bool {
    match &pattern.kind {
        PatternKind::Wild | PatternKind::Bind(_) => true,
        PatternKind::Both(left, right) => is_irrefutable(left) && is_irrefutable(right),
        _ => false,
    }
}

/// The tag by which a message pattern is told apart: the atom, or a tuple's first atom, and how many elements (0 for an atom).
pub(crate) fn tag_of(pattern: &Pattern) -> Option<(Symbol, usize)> {
    match &pattern.kind {
        PatternKind::Atom(atom) => Some((*atom, 0)),
        PatternKind::Tuple(parts) => match parts.first().map(|part| &part.kind) {
            Some(PatternKind::Atom(atom)) => Some((*atom, parts.len())),
            Some(PatternKind::Tuple(_)) => parts.first().and_then(tag_of).map(|(tag, _)| (tag, parts.len())),
            _ => None,
        },
        PatternKind::Both(left, right) => tag_of(left).or_else(|| tag_of(right)),
        PatternKind::Map { struct_name: Some(name), .. } => Some((symbol(name.as_str()), 0)),
        _ => None,
    }
}
