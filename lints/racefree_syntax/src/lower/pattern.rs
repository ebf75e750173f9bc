//! Patterns. A name binds at its first use in a pattern and is compared with at the next ones.

use super::Lowering;
use super::expression::opaque;
use super::quoted::{char_value, integer_value};
use crate::Symbol;
use crate::core::{Expr, ExprKind, Pattern, PatternKind, VarId};
use crate::kinds::{Kind, Op};
use crate::tree::NodeId;

impl<'a> Lowering<'a> {
    /// A pattern of its own, in which each variable is new.
    pub(super) fn whole_pattern(&mut self, id: NodeId) -> Pattern {
        let outer = std::mem::replace(&mut self.pattern_first, self.scope.next_variable().0);
        let pattern = self.pattern(id);
        self.pattern_first = outer;
        pattern
    }

    /// Patterns matched together, such as the parameters of a clause.
    pub(super) fn whole_patterns(&mut self, ids: &[NodeId]) -> Vec<Pattern> {
        let outer = std::mem::replace(&mut self.pattern_first, self.scope.next_variable().0);
        let patterns = ids.iter().map(|id| self.pattern(*id)).collect();
        self.pattern_first = outer;
        patterns
    }

    fn pattern(&mut self, id: NodeId) -> Pattern {
        let span = self.span_of(id);
        if !self.descend(span) {
            return Pattern { kind: PatternKind::Wild, span };
        }
        let kind = self.pattern_kind(id);
        self.ascend();
        Pattern { kind, span }
    }

    fn pattern_kind(&mut self, id: NodeId) -> PatternKind {
        match self.tree.kind(id) {
            Kind::Identifier => self.name_pattern(id),
            Kind::Alias => PatternKind::Atom(self.alias_of(id)),
            Kind::Atom => PatternKind::Atom(self.atom_of(id)),
            Kind::Boolean | Kind::Nil => PatternKind::Atom(self.symbol_of(id)),
            Kind::Integer => PatternKind::Integer(integer_value(self.text_of(id))),
            Kind::Char => PatternKind::Integer(char_value(self.text_of(id))),
            Kind::String | Kind::Charlist | Kind::Sigil | Kind::QuotedAtom => self.quoted_pattern(id),
            Kind::Tuple => PatternKind::Tuple(self.pattern_items(id)),
            Kind::List => self.list_pattern(id),
            Kind::Keywords => PatternKind::List { items: self.keyword_patterns(id), tail: None },
            Kind::Map => self.map_pattern(id),
            Kind::Bitstring => PatternKind::Binary(self.segment_patterns(id)),
            Kind::Binary => self.operator_pattern(id),
            Kind::Unary => self.unary_pattern(id),
            Kind::Call => self.macro_pattern(id),
            Kind::Dot => match self.expr(id).kind {
                ExprKind::Atom(name) => PatternKind::Atom(name),
                _ => PatternKind::Literal,
            },
            Kind::Block | Kind::Struct => self.pattern(self.tree.child(id, 0)).kind,
            Kind::Float => PatternKind::Literal,
            _ => PatternKind::Wild,
        }
    }

    fn name_pattern(&mut self, id: NodeId) -> PatternKind {
        let name = self.symbol_of(id);
        if name == self.words.underscore {
            return PatternKind::Wild;
        }
        if name == self.words.module {
            return PatternKind::Atom(self.module.name());
        }
        match self.scope.variable(name) {
            Some(variable) if variable.0 >= self.pattern_first => {
                let kind = ExprKind::Var(variable);
                PatternKind::Pin(Box::new(Expr { kind, span: self.span_of(id) }))
            }
            _ => PatternKind::Bind(self.scope.bind(name)),
        }
    }

    fn quoted_pattern(&mut self, id: NodeId) -> PatternKind {
        match self.quoted(id) {
            ExprKind::Atom(name) => PatternKind::Atom(name),
            ExprKind::String(text) => PatternKind::String(text),
            ExprKind::List { items, .. } => PatternKind::List { items: items.into_iter().map(literal_pattern).collect(), tail: None },
            _ => PatternKind::Literal,
        }
    }

    fn pattern_items(&mut self, id: NodeId) -> Vec<Pattern> {
        let tree = self.tree;
        tree.children(id).filter(|child| tree.kind(*child) != Kind::Error).map(|child| self.pattern(child)).collect()
    }

    fn list_pattern(&mut self, id: NodeId) -> PatternKind {
        let tree = self.tree;
        let mut items = Vec::new();
        let mut tail = None;
        for child in tree.children(id) {
            match tree.kind(child) {
                Kind::Error => {}
                Kind::Keywords => items.extend(self.keyword_patterns(child)),
                Kind::Binary if tree.node(child).op == Op::Bar => {
                    items.push(self.pattern(tree.child(child, 0)));
                    tail = Some(Box::new(self.pattern(tree.child(child, 1))));
                }
                _ => items.push(self.pattern(child)),
            }
        }
        PatternKind::List { items, tail }
    }

    fn keyword_patterns(&mut self, id: NodeId) -> Vec<Pattern> {
        self.pairs(id)
            .map(|(key, value)| {
                let span = self.span_of(key).to(self.span_of(value));
                let key_span = self.span_of(key);
                let key = Pattern { kind: PatternKind::Atom(self.key_name(key)), span: key_span };
                Pattern { kind: PatternKind::Tuple(vec![key, self.pattern(value)]), span }
            })
            .collect()
    }

    fn key_name(&mut self, key: NodeId) -> Symbol {
        match self.key(key).kind {
            ExprKind::Atom(name) => name,
            _ => self.words.empty,
        }
    }

    fn map_pattern(&mut self, id: NodeId) -> PatternKind {
        let tree = self.tree;
        let mut struct_name = None;
        let mut pairs = Vec::new();
        for child in tree.children(id) {
            match tree.kind(child) {
                Kind::Struct => {
                    let name = self.pattern(tree.child(child, 0));
                    match name.kind {
                        PatternKind::Atom(name) => struct_name = Some(name),
                        _ => pairs.push((Expr { kind: ExprKind::Atom(self.words.struct_key), span: name.span }, name)),
                    }
                }
                Kind::MapContent => {
                    for item in tree.children(child) {
                        self.pair_patterns(item, &mut pairs);
                    }
                }
                _ => {}
            }
        }
        PatternKind::Map { struct_name, pairs }
    }

    fn pair_patterns(&mut self, id: NodeId, pairs: &mut Vec<(Expr, Pattern)>) {
        let tree = self.tree;
        if self.is_operator(id, Op::Arrow) {
            let key = self.expr(tree.child(id, 0));
            pairs.push((key, self.pattern(tree.child(id, 1))));
        } else if tree.kind(id) == Kind::Keywords {
            for (key, value) in self.pairs(id) {
                let key = self.key(key);
                pairs.push((key, self.pattern(value)));
            }
        }
    }

    fn segment_patterns(&mut self, id: NodeId) -> Vec<Pattern> {
        let tree = self.tree;
        let segments = tree.children(id).filter(|child| tree.kind(*child) != Kind::Error);
        segments.map(|child| self.pattern(if self.is_operator(child, Op::Type) { tree.child(child, 0) } else { child })).collect()
    }

    fn operator_pattern(&mut self, id: NodeId) -> PatternKind {
        let tree = self.tree;
        let (left, right) = (tree.child(id, 0), tree.child(id, 1));
        match tree.node(id).op {
            Op::Match => {
                let left = self.pattern(left);
                PatternKind::Both(Box::new(left), Box::new(self.pattern(right)))
            }
            Op::Concat => {
                let left = self.pattern(left);
                PatternKind::Binary(vec![left, self.pattern(right)])
            }
            // The default of a parameter is lowered by the function that supplies it; a type is none of a value's business.
            Op::Default | Op::Type | Op::When => self.pattern(left).kind,
            Op::Range | Op::Step => PatternKind::Literal,
            _ => {
                let (name, _) = self.operator(id);
                let left = self.pattern(left);
                PatternKind::Macro { name, fields: Vec::new(), args: vec![left, self.pattern(right)] }
            }
        }
    }

    fn unary_pattern(&mut self, id: NodeId) -> PatternKind {
        let tree = self.tree;
        let operand = tree.child(id, 0);
        match tree.node(id).op {
            Op::Pin => {
                let pinned = self.pinned(operand);
                PatternKind::Pin(Box::new(pinned))
            }
            Op::At => PatternKind::Pin(Box::new(self.expr(id))),
            Op::Minus if tree.kind(operand) == Kind::Integer => {
                PatternKind::Integer(integer_value(self.text_of(operand)).and_then(i64::checked_neg))
            }
            _ => PatternKind::Literal,
        }
    }

    /// `^x` means the `x` from before the pattern.
    fn pinned(&mut self, operand: NodeId) -> Expr {
        let span = self.span_of(operand);
        if self.tree.kind(operand) == Kind::Identifier {
            let first = VarId(self.pattern_first);
            return match self.scope.variable_before(self.symbol_of(operand), first) {
                Some(variable) => Expr { kind: ExprKind::Var(variable), span },
                None => opaque(Vec::new(), span),
            };
        }
        self.expr(operand)
    }

    /// `record(field: pattern)` and other macros.
    fn macro_pattern(&mut self, id: NodeId) -> PatternKind {
        let tree = self.tree;
        let parts = self.parts(id);
        let name = match tree.kind(parts.target) {
            Kind::Identifier => self.symbol_of(parts.target),
            Kind::Dot => self.function_name(tree.child(parts.target, 1)).unwrap_or(self.words.empty),
            _ => self.words.empty,
        };
        if name.as_str() == "var!" {
            return self.pattern(tree.child(parts.arguments, 0)).kind;
        }
        if name == self.words.unquote {
            return PatternKind::Literal;
        }
        let mut fields = Vec::new();
        for (key, value) in self.pairs(self.keywords(parts.arguments)) {
            let key = self.key_name(key);
            fields.push((key, self.pattern(value)));
        }
        let args = self.positional(parts.arguments).map(|arg| self.pattern(arg)).collect();
        PatternKind::Macro { name, fields, args }
    }
}

/// An item of `~w(…)`.
fn literal_pattern(expr: Expr) -> Pattern {
    let Expr { kind, span } = expr;
    let kind = match kind {
        ExprKind::Atom(name) => PatternKind::Atom(name),
        ExprKind::String(text) => PatternKind::String(text),
        _ => PatternKind::Literal,
    };
    Pattern { kind, span }
}
