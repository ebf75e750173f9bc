//! Control flow: `if`, `case`, `cond`, `with`, `for`, `try`, `receive`, closures' clauses.

use super::expression::opaque;
use super::{Lowering, Part, Parts, Sections};
use crate::core::{CaseClause, Catch, Clause, Expr, ExprKind, For, ForStep, Pattern, PatternKind, Rescue, Try, VarId, WithStep};
use crate::kinds::{Kind, Op};
use crate::parse::NESTING_MAX;
use crate::tree::{NO_NODE, NodeId};
use crate::{Span, Symbol};

/// The parts of `left when guard -> right`.
#[derive(Debug, Clone, Copy)]
struct Stab {
    arguments: NodeId,
    guard: NodeId,
    body: NodeId,
}

impl<'a> Lowering<'a> {
    pub(super) fn if_(&mut self, parts: Parts, piped: Option<Expr>, span: Span) -> Expr {
        let sections = self.sections(parts);
        self.choice(parts, piped, (sections.body, sections.else_), span)
    }

    pub(super) fn unless(&mut self, parts: Parts, piped: Option<Expr>, span: Span) -> Expr {
        let sections = self.sections(parts);
        self.choice(parts, piped, (sections.else_, sections.body), span)
    }

    fn choice(&mut self, parts: Parts, piped: Option<Expr>, (then, else_): (Part, Part), span: Span) -> Expr {
        let condition = self.subject(parts, piped, span);
        let then = self.scoped_part(then, span);
        let else_ = self.scoped_part(else_, span);
        let kind = ExprKind::If { condition: Box::new(condition), then: Box::new(then), else_: Box::new(else_) };
        Expr { kind, span }
    }

    /// The value a form decides on: what is piped in, or its first argument.
    fn subject(&mut self, parts: Parts, piped: Option<Expr>, span: Span) -> Expr {
        match (piped, self.positional(parts.arguments).next()) {
            (Some(piped), _) => piped,
            (None, Some(first)) => self.expr(first),
            (None, None) => opaque(Vec::new(), span),
        }
    }

    fn scoped_part(&mut self, part: Part, at: Span) -> Expr {
        let mark = self.scope.mark();
        let end = Span { start: at.end, end: at.end };
        let expr = self.part(part, end);
        self.scope.roll_back(mark);
        expr
    }

    pub(super) fn case(&mut self, parts: Parts, piped: Option<Expr>, span: Span) -> Expr {
        let sections = self.sections(parts);
        let subject = self.subject(parts, piped, span);
        let clauses = self.case_clauses(sections.body);
        if clauses.is_empty() {
            let rest = self.scoped_part(sections.body, span);
            return opaque(vec![subject, rest], span);
        }
        Expr { kind: ExprKind::Case { subject: Box::new(subject), clauses }, span }
    }

    /// The clauses of a section, with those that error recovery put one level lower.
    fn stabs(&self, part: Part) -> Vec<NodeId> {
        let tree = self.tree;
        let container = match part {
            Part::Container(id) => id,
            Part::Value(id) if tree.kind(id) == Kind::Block => id,
            _ => return Vec::new(),
        };
        let mut stabs = Vec::new();
        for child in tree.children(container) {
            match tree.kind(child) {
                Kind::StabClause => stabs.push(child),
                Kind::Error => stabs.extend(tree.children(child).filter(|id| tree.kind(*id) == Kind::StabClause)),
                _ => {}
            }
        }
        stabs
    }

    fn stab(&self, id: NodeId) -> Stab {
        let tree = self.tree;
        let mut stab = Stab { arguments: NO_NODE, guard: NO_NODE, body: NO_NODE };
        for child in tree.children(id) {
            match tree.kind(child) {
                Kind::Body => stab.body = child,
                Kind::Arguments => stab.arguments = child,
                Kind::Binary if self.is_operator(child, Op::When) => {
                    stab.arguments = tree.child(child, 0);
                    stab.guard = tree.child(child, 1);
                }
                _ => {}
            }
        }
        stab
    }

    /// The patterns of a clause and its guard, which the grammar puts in either of two places.
    fn stab_patterns(&self, stab: Stab) -> (Vec<NodeId>, NodeId) {
        let tree = self.tree;
        if stab.arguments != NO_NODE && tree.kind(stab.arguments) != Kind::Arguments {
            return (vec![stab.arguments], stab.guard);
        }
        let mut patterns: Vec<NodeId> = tree.children(stab.arguments).filter(|child| tree.kind(*child) != Kind::Error).collect();
        if let Some(last) = patterns.last_mut().filter(|last| self.is_operator(**last, Op::When)) {
            let guard = tree.child(*last, 1);
            *last = tree.child(*last, 0);
            return (patterns, guard);
        }
        (patterns, stab.guard)
    }

    fn stab_body(&mut self, stab: Stab, at: Span) -> Expr {
        if stab.body == NO_NODE { self.nil(at) } else { self.statements(stab.body) }
    }

    pub(super) fn guard(&mut self, id: NodeId) -> Option<Expr> {
        (id != NO_NODE).then(|| self.expr(id))
    }

    fn case_clauses(&mut self, part: Part) -> Vec<CaseClause> {
        self.stabs(part).into_iter().map(|stab| self.case_clause(stab)).collect()
    }

    fn case_clause(&mut self, id: NodeId) -> CaseClause {
        let span = self.span_of(id);
        let stab = self.stab(id);
        let mark = self.scope.mark();
        let (patterns, guard) = self.stab_patterns(stab);
        let pattern = match patterns.first() {
            Some(first) => self.whole_pattern(*first),
            None => Pattern { kind: PatternKind::Wild, span },
        };
        let guard = self.guard(guard);
        let body = self.stab_body(stab, span);
        self.scope.roll_back(mark);
        CaseClause { span, pattern, guard, body }
    }

    pub(super) fn fn_clauses(&mut self, id: NodeId) -> Vec<Clause> {
        let outer = self.placeholders.take();
        let mut clauses = Vec::new();
        for stab_id in self.stabs(Part::Container(id)) {
            let span = self.span_of(stab_id);
            let stab = self.stab(stab_id);
            let mark = self.scope.mark();
            let (patterns, guard) = self.stab_patterns(stab);
            let params = self.whole_patterns(&patterns);
            let guard = self.guard(guard);
            let body = self.stab_body(stab, span);
            self.scope.roll_back(mark);
            clauses.push(Clause { span, params, guard, body, variables: 0, names: Vec::new() });
        }
        self.placeholders = outer;
        clauses
    }

    /// Nested from the last clause to the first; one with more clauses than may nest keeps the rest as parts of an opaque value.
    pub(super) fn cond(&mut self, parts: Parts, span: Span) -> Expr {
        let sections = self.sections(parts);
        let mut branches = Vec::new();
        for id in self.stabs(sections.body) {
            let stab = self.stab(id);
            let mark = self.scope.mark();
            let (conditions, _) = self.stab_patterns(stab);
            let at = self.span_of(id);
            let condition = match conditions.first() {
                Some(first) => self.expr(*first),
                None => opaque(Vec::new(), at),
            };
            let body = self.stab_body(stab, at);
            self.scope.roll_back(mark);
            branches.push((condition, body));
        }
        let mut else_ = Expr { kind: ExprKind::NoClause, span: Span { start: span.end, end: span.end } };
        let room = NESTING_MAX.saturating_sub(self.depth);
        if branches.len() > room {
            self.too_deep(span);
            let rest = branches.split_off(room).into_iter().flat_map(|(condition, body)| [condition, body]).collect();
            else_ = opaque(rest, span);
        }
        let last = branches.len();
        for (index, (condition, then)) in branches.into_iter().enumerate().rev() {
            if index + 1 == last && matches!(condition.kind, ExprKind::Atom(atom) if atom == self.words.true_) {
                else_ = then;
                continue;
            }
            let start = condition.span.start;
            let span = if index == 0 { span } else { Span { start, end: else_.span.end.max(then.span.end) } };
            let kind = ExprKind::If { condition: Box::new(condition), then: Box::new(then), else_: Box::new(else_) };
            else_ = Expr { kind, span };
        }
        else_
    }

    pub(super) fn with(&mut self, parts: Parts, span: Span) -> Expr {
        let tree = self.tree;
        let mark = self.scope.mark();
        let mut steps = Vec::new();
        for step in self.positional(parts.arguments) {
            if !self.is_operator(step, Op::LeftArrow) {
                steps.push(WithStep::Plain(self.expr(step)));
                continue;
            }
            let value = self.expr(tree.child(step, 1));
            let (pattern, guard) = self.guarded_pattern(tree.child(step, 0));
            steps.push(WithStep::Bind { pattern, guard, value });
        }
        let sections = self.sections(parts);
        let body = self.part(sections.body, Span { start: span.end, end: span.end });
        self.scope.roll_back(mark);
        let else_ = self.case_clauses(sections.else_);
        Expr { kind: ExprKind::With { steps, body: Box::new(body), else_ }, span }
    }

    /// `pattern` or `pattern when guard`.
    fn guarded_pattern(&mut self, id: NodeId) -> (Pattern, Option<Expr>) {
        if !self.is_operator(id, Op::When) {
            return (self.whole_pattern(id), None);
        }
        let pattern = self.whole_pattern(self.tree.child(id, 0));
        let guard = self.expr(self.tree.child(id, 1));
        (pattern, Some(guard))
    }

    pub(super) fn for_(&mut self, parts: Parts, span: Span) -> Expr {
        let mark = self.scope.mark();
        let steps: Vec<ForStep> = self.positional(parts.arguments).map(|step| self.for_step(step)).collect();
        let sections = self.sections(parts);
        let options = self.keywords(parts.arguments);
        let into = self.keyword(options, "into").map(|into| self.expr(into));
        let initial = self.keyword(options, "reduce").map(|reduce| self.expr(reduce));
        let end = Span { start: span.end, end: span.end };
        let (reduce, body) = match initial {
            Some(initial) => (Some((initial, self.case_clauses(sections.body))), Expr { kind: ExprKind::Block(Vec::new()), span: end }),
            None => (None, self.part(sections.body, end)),
        };
        self.scope.roll_back(mark);
        Expr { kind: ExprKind::For(Box::new(For { steps, into, reduce, body })), span }
    }

    fn for_step(&mut self, id: NodeId) -> ForStep {
        let tree = self.tree;
        if self.is_operator(id, Op::LeftArrow) {
            let source = self.expr(tree.child(id, 1));
            let (pattern, guard) = self.guarded_pattern(tree.child(id, 0));
            return ForStep::Generate { pattern, guard, source };
        }
        if tree.kind(id) == Kind::Bitstring {
            let segments: Vec<NodeId> = tree.children(id).filter(|child| tree.kind(*child) != Kind::Error).collect();
            if let Some(last) = segments.last().copied().filter(|last| self.is_operator(*last, Op::LeftArrow)) {
                let source = self.expr(tree.child(last, 1));
                let mut patterns = segments;
                if let Some(last) = patterns.last_mut() {
                    *last = tree.child(*last, 0);
                }
                let pattern = Pattern { kind: PatternKind::Binary(self.whole_patterns(&patterns)), span: self.span_of(id) };
                return ForStep::Bits { pattern, source };
            }
        }
        ForStep::Filter(self.expr(id))
    }

    pub(super) fn try_(&mut self, parts: Parts, span: Span) -> Expr {
        let sections = self.sections(parts);
        self.tried(sections, TryKind::Explicit, span)
    }

    /// The body of a definition: a `try` when sections guard it.
    pub(super) fn sectioned_body(&mut self, sections: Sections, at: Span) -> Expr {
        if sections.is_try() {
            return self.tried(sections, TryKind::Implicit, at);
        }
        self.part(sections.body, at)
    }

    fn tried(&mut self, sections: Sections, kind: TryKind, span: Span) -> Expr {
        let body = self.scoped_part(sections.body, span);
        let rescues = self.stabs(sections.rescue).into_iter().map(|stab| self.rescue(stab)).collect();
        let catches = self.stabs(sections.catch).into_iter().map(|stab| self.catch(stab)).collect();
        let else_ = self.case_clauses(sections.else_);
        let after = (sections.after != Part::Absent).then(|| self.scoped_part(sections.after, span));
        let try_ = Try { body, rescues, catches, else_, after, implicit: kind == TryKind::Implicit };
        Expr { kind: ExprKind::Try(Box::new(try_)), span }
    }

    fn rescue(&mut self, id: NodeId) -> Rescue {
        let span = self.span_of(id);
        let stab = self.stab(id);
        let mark = self.scope.mark();
        let (patterns, _) = self.stab_patterns(stab);
        let (variable, exceptions) = match patterns.first() {
            Some(head) => self.rescue_head(*head),
            None => (None, Vec::new()),
        };
        let body = self.stab_body(stab, span);
        self.scope.roll_back(mark);
        Rescue { span, exceptions, variable, body }
    }

    fn rescue_head(&mut self, id: NodeId) -> (Option<VarId>, Vec<Symbol>) {
        let tree = self.tree;
        let mut exceptions = Vec::new();
        match tree.kind(id) {
            Kind::Identifier if self.text_of(id) != "__MODULE__" => (self.rescue_variable(id), exceptions),
            Kind::Binary if tree.node(id).op == Op::In => {
                self.exception_names(tree.child(id, 1), &mut exceptions);
                (self.rescue_variable(tree.child(id, 0)), exceptions)
            }
            _ => {
                self.exception_names(id, &mut exceptions);
                (None, exceptions)
            }
        }
    }

    fn rescue_variable(&mut self, id: NodeId) -> Option<VarId> {
        let name = self.symbol_of(id);
        (self.tree.kind(id) == Kind::Identifier && name != self.words.underscore).then(|| self.scope.bind(name))
    }

    /// `A`, `[A, B]`, `@errors`; nothing for `_`.
    fn exception_names(&mut self, id: NodeId, names: &mut Vec<Symbol>) {
        let tree = self.tree;
        match tree.kind(id) {
            Kind::Identifier if self.text_of(id) == "_" => {}
            Kind::List => {
                for item in tree.children(id).filter(|item| tree.kind(*item) != Kind::List) {
                    self.exception_names(item, names);
                }
            }
            _ => {
                let value = self.expr(id);
                match value.kind {
                    ExprKind::Atom(name) => names.push(name),
                    ExprKind::Attribute(name) => {
                        names.extend(self.module.attribute_atoms(name));
                        if names.is_empty() {
                            names.push(self.symbol_of(id));
                        }
                    }
                    // An unknown name must not read as "every exception".
                    _ => names.push(self.symbol_of(id)),
                }
            }
        }
    }

    fn catch(&mut self, id: NodeId) -> Catch {
        let span = self.span_of(id);
        let stab = self.stab(id);
        let mark = self.scope.mark();
        let (patterns, guard) = self.stab_patterns(stab);
        let mut lowered = self.whole_patterns(&patterns).into_iter();
        let (kind, pattern) = match (lowered.next(), lowered.next()) {
            (Some(kind), Some(pattern)) => (Some(kind), pattern),
            (Some(pattern), None) => (None, pattern),
            (None, _) => (None, Pattern { kind: PatternKind::Wild, span }),
        };
        let guard = self.guard(guard);
        let body = self.stab_body(stab, span);
        self.scope.roll_back(mark);
        Catch { span, kind, pattern, guard, body }
    }

    pub(super) fn receive(&mut self, parts: Parts, span: Span) -> Expr {
        let sections = self.sections(parts);
        let clauses = self.case_clauses(sections.body);
        let mut after = None;
        if let Some(id) = self.stabs(sections.after).first() {
            let stab = self.stab(*id);
            let (timeout, _) = self.stab_patterns(stab);
            let at = self.span_of(*id);
            let timeout = match timeout.first() {
                Some(timeout) => self.expr(*timeout),
                None => opaque(Vec::new(), at),
            };
            let mark = self.scope.mark();
            let body = self.stab_body(stab, at);
            self.scope.roll_back(mark);
            after = Some(Box::new((timeout, body)));
        }
        Expr { kind: ExprKind::Receive { clauses, after }, span }
    }

    /// `match?(pattern, value)` is a `case` with two clauses.
    pub(super) fn matches(&mut self, parts: Parts, piped: Option<Expr>, span: Span) -> Expr {
        let args: Vec<NodeId> = self.positional(parts.arguments).collect();
        let (subject, pattern) = match (args.as_slice(), piped) {
            ([pattern, value], None) => (self.expr(*value), *pattern),
            (_, piped) => {
                let mut parts: Vec<Expr> = piped.into_iter().collect();
                parts.extend(args.iter().map(|arg| self.expr(*arg)));
                return opaque(parts, span);
            }
        };
        let mark = self.scope.mark();
        let (pattern, guard) = self.guarded_pattern(pattern);
        self.scope.roll_back(mark);
        let atom = |name| Expr { kind: ExprKind::Atom(name), span };
        let hit = CaseClause { span, pattern, guard, body: atom(self.words.true_) };
        let wild = Pattern { kind: PatternKind::Wild, span };
        let miss = CaseClause { span, pattern: wild, guard: None, body: atom(self.words.false_) };
        Expr { kind: ExprKind::Case { subject: Box::new(subject), clauses: vec![hit, miss] }, span }
    }

    /// `assert_receive pattern, timeout`: a `receive` whose bindings last, and which raises when nothing comes.
    pub(super) fn assert_receive(&mut self, parts: Parts, span: Span) -> Expr {
        let atom = Expr { kind: ExprKind::Atom(self.words.true_), span };
        self.expected(parts, atom, Expr { kind: ExprKind::NoClause, span }, span)
    }

    pub(super) fn refute_receive(&mut self, parts: Parts, span: Span) -> Expr {
        let mark = self.scope.mark();
        let atom = Expr { kind: ExprKind::Atom(self.words.false_), span };
        let receive = self.expected(parts, Expr { kind: ExprKind::NoClause, span }, atom, span);
        self.scope.roll_back(mark);
        receive
    }

    fn expected(&mut self, parts: Parts, hit: Expr, miss: Expr, span: Span) -> Expr {
        let mut args = self.positional(parts.arguments);
        let (pattern, timeout) = (args.next(), args.next());
        let timeout = match timeout {
            Some(timeout) => self.expr(timeout),
            None => opaque(Vec::new(), span),
        };
        let (pattern, guard) = match pattern {
            Some(pattern) => self.guarded_pattern(pattern),
            None => (Pattern { kind: PatternKind::Wild, span }, None),
        };
        let clauses = vec![CaseClause { span, pattern, guard, body: hit }];
        Expr { kind: ExprKind::Receive { clauses, after: Some(Box::new((timeout, miss))) }, span }
    }
}

/// Whether the word `try` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TryKind {
    Explicit,
    Implicit,
}
