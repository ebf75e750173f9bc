//! Calls: local, remote, dynamic, of a value; fields; `apply` and `quote`.

use super::expression::{local, opaque};
use super::{Lowering, Part, Parts};
use crate::core::{BlindSpotKind, Call, Callee, Expr, ExprKind};
use crate::kinds::{Kind, Op};
use crate::tree::{NO_NODE, NodeId};
use crate::words::Form;
use crate::{Span, Symbol};

impl<'a> Lowering<'a> {
    /// Lowers a call; `piped` is the left side of a pipe into it.
    pub(super) fn call(&mut self, id: NodeId, piped: Option<Expr>) -> Expr {
        let span = self.span_of(id);
        let parts = self.parts(id);
        match self.tree.kind(parts.target) {
            Kind::Identifier => self.local_call(id, parts, piped, span),
            Kind::Dot => self.dot_call(parts, piped, span),
            Kind::Call => {
                let function = self.call(parts.target, None);
                self.value_call(function, parts, piped, span)
            }
            _ => {
                let mut args = self.arguments(parts, piped);
                if parts.target != NO_NODE {
                    args.push(self.expr(parts.target));
                }
                opaque(args, span)
            }
        }
    }

    fn local_call(&mut self, id: NodeId, parts: Parts, piped: Option<Expr>, span: Span) -> Expr {
        let name = self.symbol_of(parts.target);
        let name_span = self.span_of(parts.target);
        if let Some(form) = self.words.form(name) {
            return self.form(form, id, parts, piped, span);
        }
        if name == self.words.unquote && piped.is_none() {
            // A hole in quoted code whose filling is known at expansion only.
            return opaque(self.arguments(parts, None), span);
        }
        let args = self.arguments(parts, piped);
        Expr { kind: ExprKind::Call(local(name, args, name_span)), span }
    }

    fn form(&mut self, form: Form, id: NodeId, parts: Parts, piped: Option<Expr>, span: Span) -> Expr {
        match form {
            Form::If => self.if_(parts, piped, span),
            Form::Unless => self.unless(parts, piped, span),
            Form::Case => self.case(parts, piped, span),
            Form::Cond => self.cond(parts, span),
            Form::With if piped.is_none() => self.with(parts, span),
            Form::For if piped.is_none() => self.for_(parts, span),
            Form::Try => self.try_(parts, span),
            Form::Receive if parts.arguments == NO_NODE || !matches!(self.sections(parts).body, Part::Absent) => self.receive(parts, span),
            Form::Quote => self.quote(id, parts, span),
            Form::Apply => {
                let name_span = self.span_of(parts.target);
                let args = self.arguments(parts, piped);
                self.apply(Callee::Local(self.words.apply), args, name_span, span)
            }
            Form::Matches => self.matches(parts, piped, span),
            Form::AssertReceive => self.assert_receive(parts, span),
            Form::RefuteReceive => self.refute_receive(parts, span),
            Form::Var if piped.is_none() => self.expr(self.tree.child(parts.arguments, 0)),
            Form::Alias | Form::Import | Form::Require | Form::Use if piped.is_none() && parts.do_block == NO_NODE => {
                self.directive(form, parts, span);
                self.nil(span)
            }
            Form::Function(_) | Form::Macro | Form::Guard | Form::Delegate | Form::Struct | Form::Exception | Form::Record => {
                self.stray(id, parts, piped, span)
            }
            Form::Module | Form::Protocol | Form::Implementation => {
                self.stray_module(id, parts);
                self.nil(span)
            }
            _ => self.plain_call(parts, piped, span),
        }
    }

    /// A definition inside a function body: error recovery swallowed an `end`. It is lowered after the function.
    fn stray(&mut self, id: NodeId, parts: Parts, piped: Option<Expr>, span: Span) -> Expr {
        if piped.is_some() || parts.arguments == NO_NODE {
            return self.plain_call(parts, piped, span);
        }
        self.strays.push(id);
        self.nil(span)
    }

    /// A reserved name in a place where it cannot have its meaning.
    fn plain_call(&mut self, parts: Parts, piped: Option<Expr>, span: Span) -> Expr {
        let name = self.symbol_of(parts.target);
        let name_span = self.span_of(parts.target);
        let args = self.arguments(parts, piped);
        Expr { kind: ExprKind::Call(local(name, args, name_span)), span }
    }

    /// The arguments in order: the piped one, the written ones, the `do` block as a keyword list.
    fn arguments(&mut self, parts: Parts, piped: Option<Expr>) -> Vec<Expr> {
        let tree = self.tree;
        let mut args: Vec<Expr> = piped.into_iter().collect();
        for child in tree.children(parts.arguments) {
            if tree.kind(child) != Kind::Error {
                args.push(self.expr(child));
            }
        }
        if parts.do_block != NO_NODE {
            args.push(self.block_argument(parts));
        }
        args
    }

    /// `[do: …, else: …]` of a macro this crate knows nothing of: clauses become closures.
    fn block_argument(&mut self, parts: Parts) -> Expr {
        let span = self.span_of(parts.do_block);
        let sections = self.sections(parts);
        let words = self.words;
        let named = [
            (words.do_, sections.body),
            (words.rescue, sections.rescue),
            (words.catch, sections.catch),
            (words.else_, sections.else_),
            (words.after, sections.after),
        ];
        let mut items = Vec::new();
        for (name, part) in named {
            let Part::Container(container) = part else { continue };
            let at = self.span_of(container);
            let key = Expr { kind: ExprKind::Atom(name), span: Span { start: at.start, end: at.start } };
            let mark = self.scope.mark();
            let value = match self.tree.kind(self.tree.child(container, 0)) {
                Kind::StabClause => Expr { kind: ExprKind::Fn { clauses: self.fn_clauses(container) }, span: at },
                _ => self.statements(container),
            };
            self.scope.roll_back(mark);
            items.push(Expr { kind: ExprKind::Tuple(vec![key, value]), span: at });
        }
        Expr { kind: ExprKind::List { items, tail: None }, span }
    }

    fn value_call(&mut self, function: Expr, parts: Parts, piped: Option<Expr>, span: Span) -> Expr {
        let name_span = function.span;
        let args = self.arguments(parts, piped);
        let call = Call { callee: Callee::Value(Box::new(function)), args, name_span };
        Expr { kind: ExprKind::Call(call), span }
    }

    /// `left.name(…)`, `left.name`, `left.(…)`.
    fn dot_call(&mut self, parts: Parts, piped: Option<Expr>, span: Span) -> Expr {
        let tree = self.tree;
        let base = self.expr(tree.child(parts.target, 0));
        let right = tree.child(parts.target, 1);
        if right == NO_NODE {
            // The receiver of `f.()` is evaluated after what is piped into it, but it is a plain value nearly always.
            return self.value_call(base, parts, piped, span);
        }
        let name_span = self.span_of(right);
        let Some(name) = self.function_name(right) else {
            let mut args = vec![base];
            args.extend(self.arguments(parts, piped));
            return opaque(args, span);
        };
        match base.kind {
            ExprKind::Atom(module) => {
                let args = self.arguments(parts, piped);
                let is_apply = name == self.words.apply && (module == self.words.kernel || module == self.words.erlang);
                let callee = Callee::Remote { module, name };
                if is_apply {
                    return self.apply(callee, args, name_span, span);
                }
                Expr { kind: ExprKind::Call(Call { callee, args, name_span }), span }
            }
            _ if parts.arguments == NO_NODE && parts.do_block == NO_NODE && piped.is_none() => {
                Expr { kind: ExprKind::Field { base: Box::new(base), name }, span }
            }
            _ => {
                self.blind_spot(BlindSpotKind::DynamicModule, span);
                let callee = Callee::Dynamic { module: Box::new(base), name };
                let args = self.arguments(parts, piped);
                Expr { kind: ExprKind::Call(Call { callee, args, name_span }), span }
            }
        }
    }

    /// The name to the right of a call's dot; `None` when it is computed.
    pub(super) fn function_name(&mut self, right: NodeId) -> Option<Symbol> {
        match self.tree.kind(right) {
            Kind::Identifier | Kind::OperatorIdentifier | Kind::Alias => Some(self.symbol_of(right)),
            Kind::String | Kind::Charlist if self.tree.child(right, 0) == NO_NODE => Some(self.literal(right)),
            _ => None,
        }
    }

    /// `apply(module, name, [args])` and `apply(function, [args])` become the call they make, as far as they are literal.
    fn apply(&mut self, callee: Callee, args: Vec<Expr>, name_span: Span, span: Span) -> Expr {
        let mut args = args;
        let last_is_list = matches!(args.last(), Some(Expr { kind: ExprKind::List { tail: None, .. }, .. }));
        let name = match args.as_slice() {
            [_, Expr { kind: ExprKind::Atom(name), .. }, _] => Some(*name),
            _ => None,
        };
        if !last_is_list || !(args.len() == 2 || name.is_some()) {
            if args.len() == 2 || args.len() == 3 {
                self.blind_spot(BlindSpotKind::DynamicApply, span);
            }
            return Expr { kind: ExprKind::Call(Call { callee, args, name_span }), span };
        }
        let items = match args.pop() {
            Some(Expr { kind: ExprKind::List { items, .. }, .. }) => items,
            _ => Vec::new(),
        };
        let target = args.into_iter().next().unwrap_or_else(|| opaque(Vec::new(), span));
        let callee = match (name, target.kind) {
            (Some(name), ExprKind::Atom(module)) => Callee::Remote { module, name },
            (Some(name), kind) => {
                self.blind_spot(BlindSpotKind::DynamicModule, span);
                Callee::Dynamic { module: Box::new(Expr { kind, span: target.span }), name }
            }
            (None, kind) => Callee::Value(Box::new(Expr { kind, span: target.span })),
        };
        Expr { kind: ExprKind::Call(Call { callee, args: items, name_span }), span }
    }

    /// Quoted code is a value; what `unquote` puts into it is computed here.
    fn quote(&mut self, id: NodeId, parts: Parts, span: Span) -> Expr {
        let tree = self.tree;
        self.blind_spot(BlindSpotKind::Macro, span);
        let mut values = Vec::new();
        for (key, value) in self.pairs(self.keywords(parts.arguments)) {
            if self.keyword_text(key) == "bind_quoted" {
                values.push(self.expr(value));
            }
        }
        let mut end = 0;
        for below in tree.below(id) {
            // A hole inside a hole is lowered with the outer one.
            if below < end || tree.kind(below) != Kind::Call || !self.is_unquote(below) {
                continue;
            }
            end = tree.node(below).next;
            let arguments = self.parts(below).arguments;
            values.extend(self.items(arguments));
        }
        opaque(values, span)
    }

    fn is_unquote(&self, id: NodeId) -> bool {
        let target = self.tree.child(id, 0);
        self.tree.kind(target) == Kind::Identifier && matches!(self.text_of(target), "unquote" | "unquote_splicing")
    }

    /// Whether `id` is an operator node of the given kind.
    pub(super) fn is_operator(&self, id: NodeId, op: Op) -> bool {
        let node = self.tree.node(id);
        node.kind == Kind::Binary && node.op == op
    }
}
