//! `@spec` and `@type`: types as far as an analysis of values can use them.

use super::Lowering;
use crate::core::{Spec, Type};
use crate::kinds::{Kind, Op};
use crate::lower::quoted::integer_value;
use crate::tree::{NO_NODE, NodeId};
use crate::{Symbol, symbol};

impl<'a> Lowering<'a> {
    /// `name(params) :: result when variables`.
    pub(super) fn spec(&mut self, id: NodeId) {
        let tree = self.tree;
        let (id, constraints) = if self.is_operator(id, Op::When) { (tree.child(id, 0), tree.child(id, 1)) } else { (id, NO_NODE) };
        if !self.is_operator(id, Op::Type) {
            return;
        }
        let Some(head) = self.head(tree.child(id, 0)).filter(|head| !head.is_computed) else { return };
        let variables = self.type_variables(constraints);
        let params: Vec<Type> = head.params.iter().map(|param| self.type_(*param, &variables)).collect();
        let result = self.type_(tree.child(id, 1), &variables);
        self.module.specs.push((head.name, params.len() as u32, Spec { params, result }));
    }

    fn type_variables(&self, constraints: NodeId) -> Vec<Symbol> {
        let keywords = if self.tree.kind(constraints) == Kind::List { self.keywords(constraints) } else { constraints };
        self.pairs(keywords).map(|(key, _)| symbol(self.keyword_text(key))).collect()
    }

    /// `name(variables) :: type`.
    pub(super) fn type_definition(&mut self, id: NodeId) {
        let tree = self.tree;
        if !self.is_operator(id, Op::Type) {
            return;
        }
        let Some(head) = self.head(tree.child(id, 0)).filter(|head| !head.is_computed) else { return };
        let variables: Vec<Symbol> = head.params.iter().map(|param| self.symbol_of(*param)).collect();
        let value = self.type_(tree.child(id, 1), &variables);
        self.module.module().types.push((head.name, value));
    }

    fn type_(&mut self, id: NodeId, variables: &[Symbol]) -> Type {
        if !self.descend(self.span_of(id)) {
            return Type::Any;
        }
        let lowered = self.type_here(id, variables);
        self.ascend();
        lowered
    }

    fn type_here(&mut self, id: NodeId, variables: &[Symbol]) -> Type {
        let tree = self.tree;
        match tree.kind(id) {
            Kind::Identifier => {
                let name = self.symbol_of(id);
                if variables.contains(&name) { Type::Variable(name) } else { self.named_type(name, Vec::new()) }
            }
            Kind::Alias => Type::Atom(self.alias_of(id)),
            Kind::Atom => Type::Atom(self.atom_of(id)),
            Kind::QuotedAtom => Type::Atom(self.literal(id)),
            Kind::Boolean | Kind::Nil => Type::Atom(self.symbol_of(id)),
            Kind::Integer => integer_value(self.text_of(id)).map_or(Type::Any, Type::Integer),
            Kind::Tuple => Type::Tuple(tree.children(id).map(|item| self.type_(item, variables)).collect()),
            Kind::List => self.list_type(id, variables),
            Kind::Keywords => self.keyword_type(id, variables),
            Kind::Map => Type::Map,
            Kind::Bitstring => Type::Named { module: None, name: symbol("binary"), args: Vec::new() },
            Kind::Binary => self.operator_type(id, variables),
            Kind::Unary => match tree.node(id).op {
                Op::Minus => integer_value(self.text_of(tree.child(id, 0))).map_or(Type::Any, |value| Type::Integer(-value)),
                _ => Type::Any,
            },
            Kind::Block => self.block_type(id, variables),
            Kind::Call => self.call_type(id, variables),
            Kind::Dot => self.module_name(id).map_or(Type::Any, Type::Atom),
            _ => Type::Any,
        }
    }

    fn named_type(&self, name: Symbol, args: Vec<Type>) -> Type {
        match (name.as_str(), args.len()) {
            ("any" | "term", 0) => Type::Any,
            ("list" | "nonempty_list", 0) => Type::List(Box::new(Type::Any)),
            ("list" | "nonempty_list", 1) => Type::List(Box::new(args.into_iter().next().unwrap_or(Type::Any))),
            ("map", 0) => Type::Map,
            _ => {
                if name == self.words.module {
                    return Type::Atom(self.module.name());
                }
                Type::Named { module: None, name, args }
            }
        }
    }

    fn list_type(&mut self, id: NodeId, variables: &[Symbol]) -> Type {
        let first = self.tree.child(id, 0);
        match self.tree.kind(first) {
            _ if first == NO_NODE => Type::List(Box::new(Type::Any)),
            Kind::Keywords => self.keyword_type(first, variables),
            _ => Type::List(Box::new(self.type_(first, variables))),
        }
    }

    fn keyword_type(&mut self, id: NodeId, variables: &[Symbol]) -> Type {
        let mut pairs: Vec<Type> = self
            .pairs(id)
            .map(|(key, value)| {
                let key = Type::Atom(symbol(self.keyword_text(key)));
                Type::Tuple(vec![key, self.type_(value, variables)])
            })
            .collect();
        let item = if pairs.len() == 1 { pairs.pop().unwrap_or(Type::Any) } else { Type::Union(pairs) };
        Type::List(Box::new(item))
    }

    fn operator_type(&mut self, id: NodeId, variables: &[Symbol]) -> Type {
        let tree = self.tree;
        match tree.node(id).op {
            Op::Bar => {
                let mut members = Vec::new();
                let mut rest = id;
                while self.is_operator(rest, Op::Bar) {
                    members.push(self.type_(tree.child(rest, 0), variables));
                    rest = tree.child(rest, 1);
                }
                members.push(self.type_(rest, variables));
                Type::Union(members)
            }
            // `name :: type` in a parameter: the name is for people.
            Op::Type => self.type_(tree.child(id, 1), variables),
            Op::Range => Type::Named { module: None, name: symbol("integer"), args: Vec::new() },
            _ => Type::Any,
        }
    }

    /// `(type)` and `(params -> result)`.
    fn block_type(&mut self, id: NodeId, variables: &[Symbol]) -> Type {
        let tree = self.tree;
        let first = tree.child(id, 0);
        if tree.kind(first) != Kind::StabClause {
            return self.type_(first, variables);
        }
        let mut params = Vec::new();
        let mut result = Type::Any;
        for child in tree.children(first) {
            match tree.kind(child) {
                Kind::Arguments => {
                    for param in tree.children(child) {
                        if self.text_of(param) != "..." {
                            params.push(self.type_(param, variables));
                        }
                    }
                }
                Kind::Body => result = self.type_(tree.child(child, 0), variables),
                _ => {}
            }
        }
        Type::Fun { params, result: Box::new(result) }
    }

    fn call_type(&mut self, id: NodeId, variables: &[Symbol]) -> Type {
        let tree = self.tree;
        let parts = self.parts(id);
        let args: Vec<Type> = tree.children(parts.arguments).map(|arg| self.type_(arg, variables)).collect();
        match tree.kind(parts.target) {
            Kind::Identifier => self.named_type(self.symbol_of(parts.target), args),
            Kind::Dot => {
                let module = self.module_name(tree.child(parts.target, 0));
                let name = self.function_name(tree.child(parts.target, 1));
                match (module, name) {
                    (Some(module), Some(name)) => Type::Named { module: Some(module), name, args },
                    _ => Type::Any,
                }
            }
            _ => Type::Any,
        }
    }
}
