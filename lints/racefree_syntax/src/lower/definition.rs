//! Definitions other than functions: attributes, macros, guards, delegates, structs, records.

use super::{Lowering, Parts};
use crate::core::{
    BlindSpotKind, Call, Callee, Clause, Expr, ExprKind, Function, FunctionOrigin, Pattern, PatternKind, Record, Using, Visibility,
};
use crate::kinds::{Kind, Op};
use crate::tree::{NO_NODE, NodeId};
use crate::words::Form;
use crate::{Span, Symbol, symbol};

impl<'a> Lowering<'a> {
    /// `@name value` at module level.
    pub(super) fn attribute(&mut self, id: NodeId) {
        let tree = self.tree;
        let call = tree.child(id, 0);
        if tree.kind(call) != Kind::Call {
            return;
        }
        let parts = self.parts(call);
        let value = tree.child(parts.arguments, 0);
        if value == NO_NODE {
            return;
        }
        match self.text_of(parts.target) {
            "doc" | "moduledoc" | "typedoc" | "deprecated" | "since" | "dialyzer" | "compile" => {}
            "impl" => self.module.pending_impl = self.text_of(value) != "false",
            "spec" => self.spec(value),
            "callback" | "macrocallback" | "optional_callbacks" => {}
            "type" | "typep" | "opaque" => self.type_definition(value),
            "behaviour" => {
                if let Some(name) = self.module_name(value) {
                    self.module.module().behaviours.push(name);
                }
            }
            name => {
                let name = symbol(name);
                let mark = self.scope.begin_clause();
                let value = self.expr(value);
                self.scope.roll_back(mark);
                self.module.set_attribute(name, value);
            }
        }
    }

    pub(super) fn macro_(&mut self, id: NodeId, parts: Parts) {
        self.module.pending_impl = false;
        let span = self.span_of(id);
        let Some(head) = self.head(self.head_node(parts)) else { return };
        let entry = (head.name, head.arity());
        let macros = &mut self.module.module().macros;
        if macros.last() != Some(&entry) {
            macros.push(entry);
        }
        self.blind_spot(BlindSpotKind::Macro, span);
        if head.name == self.words.using {
            self.using(id);
        }
    }

    /// What a `__using__` macro brings, read off its text.
    fn using(&mut self, id: NodeId) {
        let tree = self.tree;
        let mark = self.scope.mark();
        let mut using = self.module.module().using.take().unwrap_or_default();
        for below in tree.below(id) {
            let node = tree.node(below);
            if node.kind == Kind::Unary && node.op == Op::At {
                self.used_behaviour(tree.child(below, 0), &mut using);
            }
            let Some(form) = self.local_name(below).and_then(|name| self.words.form(name)) else { continue };
            let parts = self.parts(below);
            let first = tree.child(parts.arguments, 0);
            match form {
                Form::Alias => self.directive(form, parts, node.span()),
                Form::Use => using.uses.extend(self.module_names(first)),
                Form::Import => using.imports.extend(self.module_names(first)),
                Form::Function(_) => self.used_function(first, &mut using),
                _ => {}
            }
        }
        self.scope.roll_back(mark);
        self.module.module().using = Some(using);
    }

    fn used_behaviour(&mut self, attribute: NodeId, using: &mut Using) {
        let parts = self.parts(attribute);
        if self.text_of(parts.target) == "behaviour" {
            let name = self.module_name(self.tree.child(parts.arguments, 0));
            using.behaviours.extend(name);
        }
    }

    fn used_function(&mut self, head: NodeId, using: &mut Using) {
        let Some(head) = self.head(head).filter(|head| !head.is_computed) else { return };
        let defaults = head.params.iter().filter(|param| self.is_operator(**param, Op::Default)).count() as u32;
        for arity in head.arity() - defaults..=head.arity() {
            let entry = (head.name, arity);
            if using.defines.last() != Some(&entry) {
                using.defines.push(entry);
            }
        }
    }

    pub(super) fn guard_definition(&mut self, parts: Parts) {
        if let Some(head) = self.head(self.head_node(parts)) {
            self.module.module().macros.push((head.name, head.arity()));
        }
    }

    /// `defdelegate name(args), to: Module, as: :other`.
    pub(super) fn delegate(&mut self, parts: Parts, span: Span) {
        let tree = self.tree;
        let is_impl = std::mem::take(&mut self.module.pending_impl);
        let options = self.keywords(parts.arguments);
        let Some(to) = self.keyword(options, "to") else { return };
        let as_ = match self.keyword(options, "as").map(|name| self.expr(name).kind) {
            Some(ExprKind::Atom(name)) => Some(name),
            _ => None,
        };
        let first = self.head_node(parts);
        let heads: Vec<NodeId> = if tree.kind(first) == Kind::List { tree.children(first).collect() } else { vec![first] };
        for head in heads {
            let Some(head) = self.head(head) else { continue };
            let defaults = head.params.iter().filter(|param| self.is_operator(**param, Op::Default)).count();
            for given in 0..=defaults {
                let mut left = given;
                let mut params = Vec::new();
                for param in &head.params {
                    let is_optional = self.is_operator(*param, Op::Default);
                    if !is_optional || left > 0 {
                        params.push((*param, None));
                        left -= usize::from(is_optional);
                    } else {
                        params.push((*param, Some(tree.child(*param, 1))));
                    }
                }
                let clause = self.delegate_clause((to, as_.unwrap_or(head.name)), &params, head.name_span, span);
                let function = Function {
                    name: head.name,
                    arity: clause.params.len() as u32,
                    visibility: Visibility::Public,
                    origin: FunctionOrigin::Delegate,
                    span,
                    name_span: head.name_span,
                    is_impl,
                    clauses: Vec::new(),
                    specs: Vec::new(),
                };
                self.module.add_clause(function, Some(clause));
            }
        }
    }

    /// One clause that calls the target; a parameter with a node beside it is left out and that default is passed.
    fn delegate_clause(
        &mut self,
        (to, name): (NodeId, Symbol),
        params: &[(NodeId, Option<NodeId>)],
        name_span: Span,
        span: Span,
    ) -> Clause {
        let mark = self.scope.begin_clause();
        let target = self.expr(to);
        let mut patterns = Vec::new();
        let mut args = Vec::new();
        for (param, default) in params {
            let at = self.span_of(*param);
            if let Some(default) = default {
                args.push(self.expr(*default));
                continue;
            }
            let variable = self.scope.anonymous(self.param_name(*param));
            patterns.push(Pattern { kind: PatternKind::Bind(variable), span: at });
            args.push(Expr { kind: ExprKind::Var(variable), span: at });
        }
        self.scope.roll_back(mark);
        self.file.clauses += 1;
        let callee = match target.kind {
            ExprKind::Atom(module) => Callee::Remote { module, name },
            kind => {
                self.blind_spot(BlindSpotKind::DynamicModule, span);
                Callee::Dynamic { module: Box::new(Expr { kind, span: target.span }), name }
            }
        };
        let body = Expr { kind: ExprKind::Call(Call { callee, args, name_span }), span };
        let names = self.scope.take_names();
        Clause { span, params: patterns, guard: None, body, variables: names.len() as u32, names }
    }

    /// `defstruct [:a, b: 1]` and `defexception`.
    pub(super) fn struct_(&mut self, parts: Parts) {
        let tree = self.tree;
        let first = tree.child(parts.arguments, 0);
        if first == NO_NODE {
            return;
        }
        let mark = self.scope.begin_clause();
        let value = self.expr(first);
        self.scope.roll_back(mark);
        let value = match value.kind {
            ExprKind::Attribute(name) => self.module.attribute(name).cloned().unwrap_or(value),
            _ => value,
        };
        let ExprKind::List { items, .. } = value.kind else { return };
        let nil = self.nil(value.span);
        let fields = items.into_iter().filter_map(|item| struct_field(item, &nil));
        let fields: Vec<(Symbol, Expr)> = fields.collect();
        self.module.module().struct_fields.extend(fields);
    }

    /// `defrecord :name, [field: default]`, also with a tag between them.
    pub(super) fn record(&mut self, parts: Parts, span: Span) {
        let tree = self.tree;
        let Some(name) = self.module_name(tree.child(parts.arguments, 0)) else { return };
        let last = tree.children(parts.arguments).filter(|child| tree.kind(*child) != Kind::Error).last().unwrap_or(NO_NODE);
        let mark = self.scope.begin_clause();
        let value = self.expr(last);
        self.scope.roll_back(mark);
        let nil = self.nil(span);
        let fields = match value.kind {
            ExprKind::List { items, .. } => items.into_iter().filter_map(|item| struct_field(item, &nil)).map(|(name, _)| name).collect(),
            // `Record.extract(…)`: the fields stand in another file.
            _ => Vec::new(),
        };
        self.module.module().records.push(Record { name, fields, span });
    }
}

/// A field and its default, of `:name` or `{:name, default}`.
fn struct_field(item: Expr, nil: &Expr) -> Option<(Symbol, Expr)> {
    match item.kind {
        ExprKind::Atom(name) => Some((name, nil.clone())),
        ExprKind::Tuple(pair) => {
            let mut pair = pair.into_iter();
            match (pair.next()?.kind, pair.next()) {
                (ExprKind::Atom(name), Some(default)) => Some((name, default)),
                _ => None,
            }
        }
        _ => None,
    }
}
