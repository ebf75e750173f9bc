//! Expressions without control flow: literals, containers, operators, matches, captures.

use super::quoted::{char_value, integer_value};
use super::{Lowering, Part};
use crate::core::{BlindSpotKind, Call, Callee, Clause, Expr, ExprKind, Pattern, PatternKind, VarId};
use crate::kinds::{Kind, Op};
use crate::parse::NESTING_MAX;
use crate::tree::{NO_NODE, NodeId};
use crate::{Span, Symbol, symbol};

/// Functions have at most this many parameters.
const ARITY_MAX: u32 = 255;

impl<'a> Lowering<'a> {
    pub(super) fn expr(&mut self, id: NodeId) -> Expr {
        let span = self.span_of(id);
        if !self.descend(span) {
            return opaque(Vec::new(), span);
        }
        let expr = self.expr_here(id, span);
        self.ascend();
        expr
    }

    fn expr_here(&mut self, id: NodeId, span: Span) -> Expr {
        let kind = match self.tree.kind(id) {
            Kind::Identifier => return self.identifier(id, span),
            Kind::Call => return self.call(id, None),
            Kind::Binary => return self.binary(id, span),
            Kind::Unary => return self.unary(id, span),
            Kind::Block | Kind::Body => return self.statements(id),
            Kind::Pair | Kind::StabClause | Kind::Arguments | Kind::DoBlock | Kind::Error => return self.salvage(id, span),
            Kind::AfterBlock | Kind::RescueBlock | Kind::CatchBlock | Kind::ElseBlock => return self.salvage(id, span),
            Kind::Source | Kind::MapContent | Kind::Struct | Kind::Interpolation => return self.salvage(id, span),
            Kind::Alias => ExprKind::Atom(self.alias_of(id)),
            Kind::Atom => ExprKind::Atom(self.atom_of(id)),
            Kind::Boolean | Kind::Nil => ExprKind::Atom(self.symbol_of(id)),
            Kind::Integer => ExprKind::Integer(integer_value(self.text_of(id))),
            Kind::Char => ExprKind::Integer(char_value(self.text_of(id))),
            Kind::Float => ExprKind::Float,
            Kind::String | Kind::Charlist | Kind::Sigil | Kind::QuotedAtom | Kind::QuotedKeyword => self.quoted(id),
            Kind::Keyword => ExprKind::Atom(symbol(self.keyword_text(id))),
            Kind::List => self.list(id),
            Kind::Keywords => ExprKind::List { items: self.keyword_tuples(id), tail: None },
            Kind::Tuple => ExprKind::Tuple(self.items(id)),
            Kind::Bitstring => ExprKind::Binary(self.segments(id)),
            Kind::Map => self.map(id),
            Kind::Dot => self.dot(id),
            Kind::AccessCall => self.access(id),
            Kind::Fn => ExprKind::Fn { clauses: self.fn_clauses(id) },
            Kind::OperatorIdentifier => ExprKind::Call(local(self.symbol_of(id), Vec::new(), span)),
            Kind::Missing | Kind::Do | Kind::End | Kind::Comment | Kind::Token | Kind::Skipped => ExprKind::Opaque(Vec::new()),
        };
        Expr { kind, span }
    }

    /// What stands where no expression should: its parts, in order.
    fn salvage(&mut self, id: NodeId, span: Span) -> Expr {
        let tree = self.tree;
        opaque(tree.children(id).map(|child| self.expr(child)).collect(), span)
    }

    fn identifier(&mut self, id: NodeId, span: Span) -> Expr {
        let name = self.symbol_of(id);
        if let Some(variable) = self.scope.variable(name) {
            return Expr { kind: ExprKind::Var(variable), span };
        }
        if name == self.words.module {
            return Expr { kind: ExprKind::Atom(self.module.name()), span };
        }
        if name == self.words.underscore {
            return opaque(Vec::new(), span);
        }
        Expr { kind: ExprKind::Call(local(name, Vec::new(), span)), span }
    }

    pub(super) fn atom_of(&self, id: NodeId) -> Symbol {
        let text = self.text_of(id);
        symbol(text.strip_prefix(':').unwrap_or(text))
    }

    /// The statements below `id`; sections such as `else` are not among them.
    pub(super) fn statements(&mut self, id: NodeId) -> Expr {
        let mut statements = Vec::new();
        self.collect_statements(id, &mut statements);
        let span = match (statements.first(), statements.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => self.span_of(id),
        };
        match statements.len() {
            0 => self.nil(span),
            1 => statements.pop().unwrap_or_else(|| opaque(Vec::new(), span)),
            _ => Expr { kind: ExprKind::Block(statements), span },
        }
    }

    fn collect_statements(&mut self, id: NodeId, statements: &mut Vec<Expr>) {
        let tree = self.tree;
        for child in tree.children(id) {
            match tree.kind(child) {
                Kind::AfterBlock | Kind::RescueBlock | Kind::CatchBlock | Kind::ElseBlock | Kind::Missing => {}
                Kind::Error => {
                    if self.descend(self.span_of(child)) {
                        self.collect_fragments(child, statements);
                        self.ascend();
                    }
                }
                _ => {
                    // A directive, or another atom that nothing uses, leaves no trace.
                    if matches!(statements.last(), Some(Expr { kind: ExprKind::Atom(_), .. })) {
                        statements.pop();
                    }
                    statements.push(self.expr(child));
                }
            }
        }
    }

    /// The statements in what did not parse. A lone name there is a torn-off word more often than a call.
    fn collect_fragments(&mut self, id: NodeId, statements: &mut Vec<Expr>) {
        let tree = self.tree;
        for child in tree.children(id) {
            match tree.kind(child) {
                Kind::Error => {
                    if self.descend(self.span_of(child)) {
                        self.collect_fragments(child, statements);
                        self.ascend();
                    }
                }
                Kind::Identifier if self.scope.variable(self.symbol_of(child)).is_none() => {}
                Kind::Missing | Kind::Do | Kind::End | Kind::OperatorIdentifier => {}
                _ => statements.push(self.expr(child)),
            }
        }
    }

    pub(super) fn part(&mut self, part: Part, at: Span) -> Expr {
        match part {
            Part::Absent => self.nil(at),
            Part::Container(id) => self.statements(id),
            Part::Value(id) => self.expr(id),
        }
    }

    /// The children as expressions; trailing keywords become one list.
    pub(super) fn items(&mut self, id: NodeId) -> Vec<Expr> {
        let tree = self.tree;
        tree.children(id).filter(|child| tree.kind(*child) != Kind::Error).map(|child| self.expr(child)).collect()
    }

    fn list(&mut self, id: NodeId) -> ExprKind {
        let tree = self.tree;
        let mut items = Vec::new();
        let mut tail = None;
        for child in tree.children(id) {
            let node = tree.node(child);
            match node.kind {
                Kind::Error => {}
                Kind::Keywords => items.extend(self.keyword_tuples(child)),
                Kind::Binary if node.op == Op::Bar => {
                    items.push(self.expr(tree.child(child, 0)));
                    tail = Some(Box::new(self.expr(tree.child(child, 1))));
                }
                _ => items.push(self.expr(child)),
            }
        }
        ExprKind::List { items, tail }
    }

    pub(super) fn keyword_tuples(&mut self, id: NodeId) -> Vec<Expr> {
        let tree = self.tree;
        self.pairs(id)
            .map(|(key, value)| {
                let span = tree.node(key).span().to(tree.node(value).span());
                let key = self.key(key);
                Expr { kind: ExprKind::Tuple(vec![key, self.expr(value)]), span }
            })
            .collect()
    }

    pub(super) fn key(&mut self, id: NodeId) -> Expr {
        let span = self.span_of(id);
        let kind = match self.tree.kind(id) {
            Kind::QuotedKeyword => self.quoted(id),
            _ => ExprKind::Atom(symbol(self.keyword_text(id))),
        };
        Expr { kind, span: Span { start: span.start, end: span.start + self.text_of(id).trim_end().len() as u32 } }
    }

    fn segments(&mut self, id: NodeId) -> Vec<Expr> {
        let tree = self.tree;
        tree.children(id)
            .filter(|child| tree.kind(*child) != Kind::Error)
            .map(|child| {
                let node = tree.node(child);
                let is_typed = node.kind == Kind::Binary && node.op == Op::Type;
                self.expr(if is_typed { tree.child(child, 0) } else { child })
            })
            .collect()
    }

    fn map(&mut self, id: NodeId) -> ExprKind {
        let tree = self.tree;
        let mut base = None;
        let mut struct_name = None;
        let mut pairs = Vec::new();
        for child in tree.children(id) {
            match tree.kind(child) {
                Kind::Struct => {
                    let name = self.expr(tree.child(child, 0));
                    match name.kind {
                        ExprKind::Atom(name) => struct_name = Some(name),
                        _ => pairs.push((Expr { kind: ExprKind::Atom(self.words.struct_key), span: name.span }, name)),
                    }
                }
                Kind::MapContent => {
                    for item in tree.children(child) {
                        self.map_item(item, &mut base, &mut pairs);
                    }
                }
                _ => {}
            }
        }
        ExprKind::Map { base, struct_name, pairs }
    }

    fn map_item(&mut self, id: NodeId, base: &mut Option<Box<Expr>>, pairs: &mut Vec<(Expr, Expr)>) {
        let tree = self.tree;
        let node = tree.node(id);
        match (node.kind, node.op) {
            (Kind::Binary, Op::Bar) => {
                *base = Some(Box::new(self.expr(tree.child(id, 0))));
                let item = tree.child(id, 1);
                // A second bar below would be no map update; it is lowered as an operator.
                if tree.node(item).op != Op::Bar {
                    self.map_item(item, base, pairs);
                }
            }
            (Kind::Binary, Op::Arrow) => {
                let key = self.expr(tree.child(id, 0));
                pairs.push((key, self.expr(tree.child(id, 1))));
            }
            (Kind::Keywords, _) => {
                for (key, value) in self.pairs(id) {
                    let key = self.key(key);
                    pairs.push((key, self.expr(value)));
                }
            }
            (Kind::Error | Kind::Missing, _) => {}
            // `%{unquote_splicing(pairs)}`: keys and values unknown.
            _ => {
                let part = self.expr(id);
                pairs.push((opaque(Vec::new(), part.span), part));
            }
        }
    }

    /// `__MODULE__.Foo`, and others that are no call.
    fn dot(&mut self, id: NodeId) -> ExprKind {
        let tree = self.tree;
        let (left, right) = (tree.child(id, 0), tree.child(id, 1));
        let base = self.expr(left);
        match (&base.kind, tree.kind(right)) {
            (ExprKind::Atom(base), Kind::Alias) => {
                let name = format!("{base}.{}", self.text_of(right));
                ExprKind::Atom(symbol(&name))
            }
            (_, Kind::Identifier) => ExprKind::Field { base: Box::new(base), name: self.symbol_of(right) },
            _ => ExprKind::Opaque(vec![base]),
        }
    }

    fn access(&mut self, id: NodeId) -> ExprKind {
        let tree = self.tree;
        let target = self.expr(tree.child(id, 0));
        let key = self.expr(tree.child(id, 1));
        let name_span = key.span;
        let callee = Callee::Remote { module: self.words.access, name: self.words.get };
        ExprKind::Call(Call { callee, args: vec![target, key], name_span })
    }

    fn unary(&mut self, id: NodeId, span: Span) -> Expr {
        let tree = self.tree;
        let node = tree.node(id);
        let operand = tree.child(id, 0);
        let kind = match node.op {
            Op::Bang => ExprKind::Not(Box::new(self.expr(operand))),
            Op::Capture => return self.capture(operand, span),
            Op::At if tree.kind(operand) == Kind::Identifier => ExprKind::Attribute(self.symbol_of(operand)),
            // Setting one is possible at module level only; here it is left to that level.
            Op::At => ExprKind::Opaque(Vec::new()),
            Op::Pin => return self.expr(operand),
            Op::Minus if tree.kind(operand) == Kind::Integer => {
                ExprKind::Integer(integer_value(self.text_of(operand)).and_then(i64::checked_neg))
            }
            Op::Minus | Op::Plus if tree.kind(operand) == Kind::Float => ExprKind::Float,
            _ => {
                let (name, name_span) = self.operator(id);
                let args = vec![self.expr(operand)];
                ExprKind::Call(Call { callee: Callee::Local(name), args, name_span })
            }
        };
        Expr { kind, span }
    }

    /// A chain of operators is nested to the left or to the right by as many levels as it is long, so its length counts as depth; the
    /// left-nested kind (pipes) is walked by a loop.
    fn binary(&mut self, id: NodeId, span: Span) -> Expr {
        let tree = self.tree;
        let mut left = tree.child(id, 0);
        if tree.node(id).op == Op::Match {
            return self.right_nested(id, left, span);
        }
        let mut spine = vec![id];
        while tree.kind(left) == Kind::Binary && !is_right_nested(tree.node(left).op) {
            spine.push(left);
            left = tree.child(left, 0);
        }
        if self.depth + spine.len() > NESTING_MAX {
            self.too_deep(span);
            return self.flat_chain(left, &spine, span);
        }
        if spine.len() == 1 && is_right_nested(tree.node(id).op) {
            return self.right_nested(id, left, span);
        }
        self.depth += spine.len();
        let mut value = self.expr(left);
        while let Some(operator) = spine.pop() {
            self.depth -= 1;
            let right = tree.child(operator, 1);
            value = self.combine(operator, value, right);
        }
        value
    }

    /// A chain too long to nest: its operands in order, each a sibling of the others.
    fn flat_chain(&mut self, first: NodeId, spine: &[NodeId], span: Span) -> Expr {
        let tree = self.tree;
        let mut parts = vec![self.expr(first)];
        for operator in spine.iter().rev() {
            let placeholder = opaque(Vec::new(), self.span_of(*operator));
            let right = tree.child(*operator, 1);
            parts.push(if tree.node(*operator).op == Op::Pipe { self.pipe(placeholder, right, span) } else { self.expr(right) });
        }
        opaque(parts, span)
    }

    fn right_nested(&mut self, id: NodeId, left: NodeId, span: Span) -> Expr {
        let tree = self.tree;
        let op = tree.node(id).op;
        let mut chain = Vec::new();
        let mut last = id;
        while tree.kind(last) == Kind::Binary && tree.node(last).op == op {
            chain.push(last);
            last = tree.child(last, 1);
        }
        if self.depth + chain.len() > NESTING_MAX {
            self.too_deep(span);
            let mut parts: Vec<Expr> = chain.iter().map(|link| self.expr(tree.child(*link, 0))).collect();
            parts.push(self.expr(last));
            return opaque(parts, span);
        }
        if op == Op::Match {
            let value = self.expr(tree.child(id, 1));
            let pattern = self.whole_pattern(left);
            return Expr { kind: ExprKind::Match { pattern: Box::new(pattern), value: Box::new(value) }, span };
        }
        let value = self.expr(left);
        self.combine(id, value, tree.child(id, 1))
    }

    fn combine(&mut self, operator: NodeId, left: Expr, right: NodeId) -> Expr {
        let span = self.span_of(operator);
        let kind = match self.tree.node(operator).op {
            Op::Pipe => return self.pipe(left, right, span),
            Op::And => ExprKind::And(Box::new(left), Box::new(self.branch(right))),
            Op::Or => ExprKind::Or(Box::new(left), Box::new(self.branch(right))),
            Op::When => ExprKind::Opaque(vec![left, self.expr(right)]),
            Op::NotIn => {
                let (_, name_span) = self.operator(operator);
                let call = Call { callee: Callee::Local(self.words.in_), args: vec![left, self.expr(right)], name_span };
                ExprKind::Not(Box::new(Expr { kind: ExprKind::Call(call), span }))
            }
            Op::Step => self.stepped(operator, left, right),
            _ => {
                let (name, name_span) = self.operator(operator);
                ExprKind::Call(Call { callee: Callee::Local(name), args: vec![left, self.expr(right)], name_span })
            }
        };
        Expr { kind, span }
    }

    /// An expression evaluated only at times: its bindings do not leak.
    fn branch(&mut self, id: NodeId) -> Expr {
        let mark = self.scope.mark();
        let expr = self.expr(id);
        self.scope.roll_back(mark);
        expr
    }

    /// `a..b//c` is one call of three arguments.
    fn stepped(&mut self, operator: NodeId, left: Expr, right: NodeId) -> ExprKind {
        let (_, name_span) = self.operator(operator);
        let mut args = match left.kind {
            ExprKind::Call(Call { callee: Callee::Local(name), args, .. }) if name == self.words.range => args,
            kind => vec![Expr { kind, span: left.span }],
        };
        args.push(self.expr(right));
        ExprKind::Call(Call { callee: Callee::Local(self.words.step), args, name_span })
    }

    /// `left |> right`.
    fn pipe(&mut self, left: Expr, right: NodeId, span: Span) -> Expr {
        let tree = self.tree;
        match tree.kind(right) {
            Kind::Call => {
                let mut call = self.call(right, Some(left));
                call.span = span;
                call
            }
            Kind::Identifier => {
                let name_span = self.span_of(right);
                let call = Call { callee: Callee::Local(self.symbol_of(right)), args: vec![left], name_span };
                Expr { kind: ExprKind::Call(call), span }
            }
            Kind::Block if self.descend(span) => {
                let call = self.pipe(left, tree.child(right, 0), span);
                self.ascend();
                call
            }
            _ => {
                let right = self.expr(right);
                opaque(vec![left, right], span)
            }
        }
    }

    /// `&Mod.f/1`, `&f/1`, `&1`, `&(…)`.
    fn capture(&mut self, operand: NodeId, span: Span) -> Expr {
        let tree = self.tree;
        let node = tree.node(operand);
        if node.kind == Kind::Integer {
            return self.placeholder(operand, span);
        }
        if node.kind == Kind::Binary && node.op == Op::Slash && tree.kind(tree.child(operand, 1)) == Kind::Integer {
            let arity = integer_value(self.text_of(tree.child(operand, 1))).and_then(|arity| u32::try_from(arity).ok());
            if let Some(arity) = arity.filter(|arity| *arity <= ARITY_MAX)
                && let Some(kind) = self.named_capture(tree.child(operand, 0), arity, span)
            {
                return Expr { kind, span };
            }
        }
        let count = self.placeholder_count(operand);
        self.closure(count, span, |lowering| lowering.expr(operand))
    }

    fn placeholder(&mut self, operand: NodeId, span: Span) -> Expr {
        let number = integer_value(self.text_of(operand)).and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
        match self.placeholders {
            Some((first, count)) if (1..=count).contains(&number) => Expr { kind: ExprKind::Var(VarId(first + number - 1)), span },
            _ => opaque(Vec::new(), span),
        }
    }

    fn placeholder_count(&self, operand: NodeId) -> u32 {
        let tree = self.tree;
        let numbers = tree.below(operand).chain([operand]).filter(|id| tree.node(*id).op == Op::Capture).filter_map(|id| {
            let operand = tree.child(id, 0);
            (tree.kind(operand) == Kind::Integer).then(|| integer_value(self.text_of(operand))).flatten()
        });
        numbers.filter_map(|number| u32::try_from(number).ok()).filter(|number| *number <= ARITY_MAX).max().unwrap_or(0)
    }

    /// A closure of `arity` parameters that only `&1` and its like refer to.
    fn closure(&mut self, arity: u32, span: Span, body: impl FnOnce(&mut Self) -> Expr) -> Expr {
        let outer = self.placeholders;
        let mark = self.scope.mark();
        let first = self.scope.next_variable().0;
        let params = (0..arity).map(|_| Pattern { kind: PatternKind::Bind(self.scope.anonymous(self.words.placeholder)), span }).collect();
        self.placeholders = Some((first, arity));
        let body = body(self);
        self.placeholders = outer;
        self.scope.roll_back(mark);
        let clause = Clause { span, params, guard: None, body, variables: 0, names: Vec::new() };
        Expr { kind: ExprKind::Fn { clauses: vec![clause] }, span }
    }

    fn named_capture(&mut self, target: NodeId, arity: u32, span: Span) -> Option<ExprKind> {
        let tree = self.tree;
        match tree.kind(target) {
            Kind::Identifier | Kind::OperatorIdentifier => Some(ExprKind::Capture { module: None, name: self.symbol_of(target), arity }),
            Kind::Call => {
                let parts = self.parts(target);
                if tree.kind(parts.target) != Kind::Dot || parts.arguments != NO_NODE {
                    return None;
                }
                let right = tree.child(parts.target, 1);
                let name_span = self.span_of(right);
                let name = self.function_name(right)?;
                let base = self.expr(tree.child(parts.target, 0));
                if let ExprKind::Atom(module) = base.kind {
                    return Some(ExprKind::Capture { module: Some(module), name, arity });
                }
                self.blind_spot(BlindSpotKind::DynamicModule, span);
                let closure = self.closure(arity, span, |lowering| {
                    let (first, count) = lowering.placeholders.unwrap_or((0, 0));
                    let args = (first..first + count).map(|id| Expr { kind: ExprKind::Var(VarId(id)), span }).collect();
                    let callee = Callee::Dynamic { module: Box::new(base), name };
                    Expr { kind: ExprKind::Call(Call { callee, args, name_span }), span }
                });
                Some(closure.kind)
            }
            _ => None,
        }
    }
}

/// Operators that take their right side first, or as a chain of its own.
fn is_right_nested(op: Op) -> bool {
    matches!(op, Op::Match | Op::Concat | Op::Bar | Op::Type | Op::When | Op::Arrow)
}

pub(super) fn opaque(parts: Vec<Expr>, span: Span) -> Expr {
    Expr { kind: ExprKind::Opaque(parts), span }
}

pub(super) fn local(name: Symbol, args: Vec<Expr>, name_span: Span) -> Call {
    Call { callee: Callee::Local(name), args, name_span }
}
