//! Functions: heads, clauses, default arguments, and the bodies of tests.

use super::expression::local;
use super::{Lowering, Parts};
use crate::core::{BlindSpotKind, Clause, Expr, ExprKind, Function, FunctionOrigin, Pattern, PatternKind, Visibility};
use crate::kinds::{Kind, Op};
use crate::tree::{NO_NODE, NodeId};
use crate::{Span, Symbol, symbol};

/// The head of a definition: `name(params) when guard`.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) name: Symbol,
    pub(super) name_span: Span,
    pub(super) params: Vec<NodeId>,
    pub(super) guard: NodeId,
    /// The name is made by `unquote`.
    pub(super) is_computed: bool,
}

impl Head {
    pub(super) fn arity(&self) -> u32 {
        self.params.len() as u32
    }
}

impl<'a> Lowering<'a> {
    pub(super) fn head(&mut self, id: NodeId) -> Option<Head> {
        let tree = self.tree;
        let (id, guard) = if self.is_operator(id, Op::When) { (tree.child(id, 0), tree.child(id, 1)) } else { (id, NO_NODE) };
        let node = tree.node(id);
        let named = |name, name_span, params| Head { name, name_span, params, guard, is_computed: false };
        match node.kind {
            Kind::Identifier => Some(named(self.symbol_of(id), node.span(), Vec::new())),
            Kind::Binary => {
                let (name, name_span) = self.operator(id);
                Some(named(name, name_span, vec![tree.child(id, 0), tree.child(id, 1)]))
            }
            Kind::Unary => {
                let (name, name_span) = self.operator(id);
                Some(named(name, name_span, vec![tree.child(id, 0)]))
            }
            Kind::Call => {
                let parts = self.parts(id);
                let name_span = self.span_of(parts.target);
                let target = self.text_of(parts.target);
                let is_unquote = target == "unquote" || target.starts_with("unquote(");
                let is_plain = tree.kind(parts.target) == Kind::Identifier && !is_unquote;
                if !is_plain && !is_unquote {
                    return None;
                }
                let (name, params) = match tree.kind(parts.target) {
                    // `def unquote(name)`: the arguments are not the function's.
                    Kind::Identifier if is_unquote => (self.symbol_of(id), Vec::new()),
                    _ => (self.symbol_of(parts.target), self.params(parts.arguments)),
                };
                Some(Head { name, name_span, params, guard, is_computed: is_unquote })
            }
            _ => None,
        }
    }

    fn params(&self, arguments: NodeId) -> Vec<NodeId> {
        let tree = self.tree;
        tree.children(arguments).filter(|child| tree.kind(*child) != Kind::Error).collect()
    }

    /// The node a definition's head stands in: its first argument.
    pub(super) fn head_node(&self, parts: Parts) -> NodeId {
        self.tree.child(parts.arguments, 0)
    }

    /// `defsomething name(…) do`, the form of macros that define functions.
    pub(super) fn looks_like_definition(&self, parts: Parts) -> bool {
        let mut head = self.head_node(parts);
        if self.is_operator(head, Op::When) {
            head = self.tree.child(head, 0);
        }
        parts.do_block != NO_NODE && self.tree.kind(head) == Kind::Call && self.local_name(head).is_some()
    }

    pub(super) fn function(&mut self, parts: Parts, visibility: Visibility, span: Span) {
        let Some(head) = self.head(self.head_node(parts)) else { return };
        if head.is_computed {
            self.blind_spot(BlindSpotKind::Macro, span);
        }
        let is_impl = std::mem::take(&mut self.module.pending_impl);
        let sections = self.sections(parts);
        let has_body = parts.do_block != NO_NODE || sections.body != super::Part::Absent;
        let clause = has_body.then(|| {
            let params = head.params.clone();
            let guard = head.guard;
            self.clause(&params, span, |lowering, at| {
                let guard = lowering.guard(guard);
                (guard, lowering.sectioned_body(sections, at))
            })
        });
        let function = Function {
            name: head.name,
            arity: head.arity(),
            visibility,
            origin: FunctionOrigin::Written,
            span,
            name_span: head.name_span,
            is_impl,
            clauses: Vec::new(),
            specs: Vec::new(),
        };
        self.module.add_clause(function, clause);
        self.defaults(&head, visibility, is_impl, span);
    }

    /// Lowers one clause in a scope of its own; `rest` gives its guard and body.
    pub(super) fn clause(&mut self, params: &[NodeId], span: Span, rest: impl FnOnce(&mut Self, Span) -> (Option<Expr>, Expr)) -> Clause {
        let mark = self.scope.begin_clause();
        let placeholders = self.placeholders.take();
        let params = self.whole_patterns(params);
        let (guard, body) = rest(self, span);
        self.placeholders = placeholders;
        self.scope.roll_back(mark);
        self.file.clauses += 1;
        let names = self.scope.take_names();
        Clause { span, params, guard, body, variables: names.len() as u32, names }
    }

    /// The lower arities that default arguments make: each calls the full one.
    fn defaults(&mut self, head: &Head, visibility: Visibility, is_impl: bool, span: Span) {
        let tree = self.tree;
        let has_default = |param: &NodeId| tree.kind(*param) == Kind::Binary && tree.node(*param).op == Op::Default;
        let count = head.params.iter().filter(|param| has_default(param)).count();
        for given in 0..count {
            let arity = (head.params.len() - count + given) as u32;
            if self.module.has_function(head.name, arity) {
                continue;
            }
            let mut left = given;
            let mut kept = Vec::new();
            let mut filled = Vec::new();
            for param in &head.params {
                let is_kept = !has_default(param) || left > 0;
                if has_default(param) && left > 0 {
                    left -= 1;
                }
                if is_kept {
                    kept.push(*param)
                }
                filled.push((*param, is_kept));
            }
            let clause = self.default_clause(head, &filled, span);
            let function = Function {
                name: head.name,
                arity,
                visibility,
                origin: FunctionOrigin::Default,
                span,
                name_span: head.name_span,
                is_impl,
                clauses: Vec::new(),
                specs: Vec::new(),
            };
            self.module.add_clause(function, Some(clause));
        }
    }

    fn default_clause(&mut self, head: &Head, filled: &[(NodeId, bool)], span: Span) -> Clause {
        let tree = self.tree;
        let mark = self.scope.begin_clause();
        let mut params = Vec::new();
        let mut args = Vec::new();
        for (param, is_kept) in filled.iter().copied() {
            let at = self.span_of(param);
            if is_kept {
                let name = self.param_name(param);
                let variable = self.scope.anonymous(name);
                params.push(Pattern { kind: PatternKind::Bind(variable), span: at });
                args.push(Expr { kind: ExprKind::Var(variable), span: at });
            } else {
                args.push(self.expr(tree.child(param, 1)));
            }
        }
        self.scope.roll_back(mark);
        self.file.clauses += 1;
        let body = Expr { kind: ExprKind::Call(local(head.name, args, head.name_span)), span };
        let names = self.scope.take_names();
        Clause { span, params, guard: None, body, variables: names.len() as u32, names }
    }

    /// A name for a parameter that is passed on.
    pub(super) fn param_name(&self, param: NodeId) -> Symbol {
        let tree = self.tree;
        let id = if self.is_operator(param, Op::Default) { tree.child(param, 0) } else { param };
        if tree.kind(id) == Kind::Identifier { self.symbol_of(id) } else { self.words.underscore }
    }

    /// `test "text", context do … end` and its kin.
    pub(super) fn test(&mut self, name: Symbol, parts: Parts, span: Span) {
        let tree = self.tree;
        let args: Vec<NodeId> = self.positional(parts.arguments).collect();
        let (text, params) = match args.as_slice() {
            [first, rest @ ..] if tree.kind(*first) == Kind::String => (Some(*first), rest.to_vec()),
            _ => (None, args),
        };
        let text = text.map(|text| self.literal(text));
        self.pseudo_function(name, text, &params, parts, span);
    }

    pub(super) fn describe(&mut self, parts: Parts) {
        let first = self.tree.child(parts.arguments, 0);
        let text = self.literal(first);
        let outer = std::mem::replace(&mut self.describe, format!("{text} "));
        self.module_body(parts.do_block);
        self.describe = outer;
    }

    /// The `do` block of a macro at module level, as a function of no parameters.
    pub(super) fn block_function(&mut self, name: Symbol, parts: Parts, span: Span) {
        let first = self.tree.child(parts.arguments, 0);
        let text = match self.tree.kind(first) {
            Kind::String => Some(self.literal(first)),
            Kind::Atom | Kind::Alias => Some(self.symbol_of(first)),
            _ => None,
        };
        self.pseudo_function(name, text, &[], parts, span);
    }

    fn pseudo_function(&mut self, name: Symbol, text: Option<Symbol>, params: &[NodeId], parts: Parts, span: Span) {
        let sections = self.sections(parts);
        let full = match text {
            Some(text) => format!("{name} \"{}{text}\"", self.describe),
            None if self.describe.is_empty() => name.as_str().to_owned(),
            None => format!("{name} \"{}\"", self.describe.trim_end()),
        };
        let name_span = self.span_of(parts.target);
        let clause = self.clause(params, span, |lowering, at| (None, lowering.sectioned_body(sections, at)));
        self.push_pseudo_function(&full, clause, name_span, span);
    }

    fn push_pseudo_function(&mut self, full: &str, clause: Clause, name_span: Span, span: Span) {
        let arity = clause.params.len() as u32;
        let mut name = symbol(full);
        let mut number = 2;
        while self.module.has_function(name, arity) {
            name = symbol(&format!("{full} #{number}"));
            number += 1;
        }
        let function = Function {
            name,
            arity,
            visibility: Visibility::Public,
            origin: FunctionOrigin::Written,
            span,
            name_span,
            is_impl: false,
            clauses: Vec::new(),
            specs: Vec::new(),
        };
        self.module.add_clause(function, Some(clause));
    }

    /// Statements outside any module, as one function.
    pub(super) fn toplevel_function(&mut self, statements: &[NodeId]) {
        let span = match (statements.first(), statements.last()) {
            (Some(first), Some(last)) => self.span_of(*first).to(self.span_of(*last)),
            _ => Span::default(),
        };
        let clause = self.clause(&[], span, |lowering, at| {
            let body = statements.iter().map(|id| lowering.expr(*id)).collect();
            (None, Expr { kind: ExprKind::Block(body), span: at })
        });
        let name = self.words.toplevel;
        self.push_pseudo_function(&name, clause, Span { start: span.start, end: span.start }, span);
    }
}
