//! The call graph as the source shows it, and its strongly connected components, callees first.

use crate::program::Base;
use crate::resolve::Local;
use crate::summary::{FunctionId, ModuleId};
use racefree_syntax::Symbol;
use racefree_syntax::core::{Call, Callee, CaseClause, Expr, ExprKind, For, ForStep, WithStep};

pub(crate) struct CallGraph {
    edges: Vec<Box<[FunctionId]>>,
}

/// Functions that reach each other.
pub(crate) struct Component {
    pub members: Vec<FunctionId>,
    /// More than one, or one that calls itself.
    pub cyclic: bool,
}

impl CallGraph {
    /// Asks `known` first for the functions that one calls.
    pub fn new<'k>(base: &Base<'_>, known: impl Fn(FunctionId) -> Option<&'k [FunctionId]>) -> Self {
        let mut edges = Vec::with_capacity(base.definitions.functions.len());
        for (index, entry) in base.definitions.functions.iter().enumerate() {
            if let Some(known) = known(FunctionId(index as u32)) {
                edges.push(known.into());
                continue;
            }
            let mut gatherer = Gatherer { base, module: entry.module, found: Vec::new() };
            for clause in &entry.function.clauses {
                gatherer.expr(&clause.body);
            }
            gatherer.found.sort_unstable();
            gatherer.found.dedup();
            edges.push(gatherer.found.into());
        }
        Self { edges }
    }

    pub fn into_edges(self) -> Vec<Box<[FunctionId]>> {
        self.edges
    }

    /// Tarjan's algorithm (1972), with a stack of its own in place of recursion.
    pub fn components(&self) -> Vec<Component> {
        let count = self.edges.len();
        let mut search = Search {
            index: vec![0; count],
            low: vec![0; count],
            on_stack: vec![false; count],
            stack: Vec::new(),
            next: 1,
            found: Vec::new(),
        };
        for root in 0..count {
            if search.index.get(root) == Some(&0) {
                self.search_from(root, &mut search);
            }
        }
        search.found
    }

    fn search_from(&self, root: usize, search: &mut Search) {
        let mut work = vec![(root, 0)];
        search.open(root);
        while let Some((node, next)) = work.last_mut() {
            let node = *node;
            let edge = self.edges.get(node).and_then(|edges| edges.get(*next));
            *next += 1;
            match edge {
                Some(target) => {
                    let target = target.0 as usize;
                    if search.index.get(target) == Some(&0) {
                        search.open(target);
                        work.push((target, 0));
                    } else if search.on_stack.get(target) == Some(&true) {
                        search.lower(node, search.index.get(target).copied().unwrap_or(u32::MAX));
                    }
                }
                None => {
                    work.pop();
                    if let Some((parent, _)) = work.last() {
                        let low = search.low.get(node).copied().unwrap_or(u32::MAX);
                        search.lower(*parent, low);
                    }
                    self.close(node, search);
                }
            }
        }
    }

    fn close(&self, node: usize, search: &mut Search) {
        if search.low.get(node) != search.index.get(node) {
            return;
        }
        let mut members = Vec::new();
        while let Some(member) = search.stack.pop() {
            if let Some(flag) = search.on_stack.get_mut(member) {
                *flag = false;
            }
            members.push(FunctionId(member as u32));
            if member == node {
                break;
            }
        }
        members.sort_unstable();
        let calls_itself = self.edges.get(node).is_some_and(|edges| edges.binary_search(&FunctionId(node as u32)).is_ok());
        search.found.push(Component { cyclic: members.len() > 1 || calls_itself, members });
    }
}

struct Search {
    /// 0 for what was not visited.
    index: Vec<u32>,
    low: Vec<u32>,
    on_stack: Vec<bool>,
    stack: Vec<usize>,
    next: u32,
    found: Vec<Component>,
}

impl Search {
    fn open(&mut self, node: usize) {
        if let (Some(index), Some(low), Some(flag)) = (self.index.get_mut(node), self.low.get_mut(node), self.on_stack.get_mut(node)) {
            *index = self.next;
            *low = self.next;
            *flag = true;
            self.next += 1;
            self.stack.push(node);
        }
    }

    fn lower(&mut self, node: usize, value: u32) {
        if let Some(low) = self.low.get_mut(node) {
            *low = (*low).min(value);
        }
    }
}

/// Calls in an expression, whatever branch they stand in.
struct Gatherer<'a, 'p> {
    base: &'a Base<'p>,
    module: ModuleId,
    found: Vec<FunctionId>,
}

impl Gatherer<'_, '_> {
    fn exprs(&mut self, exprs: &[Expr]) {
        exprs.iter().for_each(|expr| self.expr(expr));
    }

    fn clauses(&mut self, clauses: &[CaseClause]) {
        clauses.iter().for_each(|clause| self.expr(&clause.body));
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Atom(_)
            | ExprKind::Integer(_)
            | ExprKind::Float
            | ExprKind::String(_)
            | ExprKind::Var(_)
            | ExprKind::Attribute(_)
            | ExprKind::NoClause => {}
            ExprKind::Interpolated { parts, .. } | ExprKind::Tuple(parts) | ExprKind::Binary(parts) => self.exprs(parts),
            ExprKind::Block(parts) | ExprKind::Opaque(parts) => self.exprs(parts),
            ExprKind::List { items, tail } => {
                self.exprs(items);
                tail.iter().for_each(|tail| self.expr(tail));
            }
            ExprKind::Map { base, pairs, .. } => {
                base.iter().for_each(|base| self.expr(base));
                pairs.iter().for_each(|(_, value)| self.expr(value));
            }
            ExprKind::Call(call) => self.call(call),
            ExprKind::Field { base, .. } | ExprKind::Not(base) => self.expr(base),
            ExprKind::Match { value, .. } => self.expr(value),
            ExprKind::If { condition, then, else_ } => {
                self.expr(condition);
                self.expr(then);
                self.expr(else_);
            }
            ExprKind::And(left, right) | ExprKind::Or(left, right) => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Case { subject, clauses } => {
                self.expr(subject);
                self.clauses(clauses);
            }
            ExprKind::With { steps, body, else_ } => {
                steps.iter().for_each(|step| match step {
                    WithStep::Bind { value, .. } | WithStep::Plain(value) => self.expr(value),
                });
                self.expr(body);
                self.clauses(else_);
            }
            ExprKind::For(for_) => self.comprehension(for_),
            ExprKind::Fn { clauses } => clauses.iter().for_each(|clause| self.expr(&clause.body)),
            ExprKind::Capture { module, name, arity } => self.named(*module, *name, *arity),
            ExprKind::Try(parts) => {
                self.expr(&parts.body);
                parts.rescues.iter().for_each(|rescue| self.expr(&rescue.body));
                parts.catches.iter().for_each(|catch| self.expr(&catch.body));
                self.clauses(&parts.else_);
                parts.after.iter().for_each(|after| self.expr(after));
            }
            ExprKind::Receive { clauses, after } => {
                self.clauses(clauses);
                after.iter().for_each(|after| self.expr(&after.1));
            }
        }
    }

    fn comprehension(&mut self, for_: &For) {
        for step in &for_.steps {
            match step {
                ForStep::Generate { source, .. } | ForStep::Bits { source, .. } | ForStep::Filter(source) => self.expr(source),
            }
        }
        for_.into.iter().for_each(|into| self.expr(into));
        if let Some((initial, clauses)) = &for_.reduce {
            self.expr(initial);
            self.clauses(clauses);
        }
        self.expr(&for_.body);
    }

    fn call(&mut self, call: &Call) {
        let arity = call.args.len() as u32;
        match &call.callee {
            Callee::Local(name) => self.named(None, *name, arity),
            Callee::Remote { module, name } => {
                self.named(Some(*module), *name, arity);
                self.request(*module, *name, call);
            }
            Callee::Dynamic { module, name } => match &module.kind {
                ExprKind::Atom(module) => self.named(Some(*module), *name, arity),
                ExprKind::Attribute(attribute) => {
                    if let Some(module) = self.constant(*attribute) {
                        self.named(Some(module), *name, arity);
                    }
                }
                _ => self.expr(module),
            },
            Callee::Value(function) => self.expr(function),
        }
        self.exprs(&call.args);
    }

    /// The atom that an attribute of the module stands for.
    fn constant(&self, attribute: Symbol) -> Option<Symbol> {
        let attributes = &self.base.definitions.entry(self.module)?.module.attributes;
        match attributes.iter().find(|(known, _)| *known == attribute)?.1.kind {
            ExprKind::Atom(name) => Some(name),
            _ => None,
        }
    }

    fn named(&mut self, module: Option<Symbol>, name: Symbol, arity: u32) {
        let found = match module {
            Some(module) => self.base.definitions.remote(module, name, arity),
            None => match self.base.definitions.local(self.base.models, self.module, name, arity) {
                Local::Program(id) => Some(id),
                _ => None,
            },
        };
        self.found.extend(found);
    }

    /// A request whose message is written out leads to the callbacks that take such a message: their reply is this call's result.
    fn request(&mut self, module: Symbol, name: Symbol, call: &Call) {
        let Some(model) = self.base.models.function(module, name, call.args.len() as u32) else { return };
        if model.effect != Some(racefree_models::EffectKind::Call) {
            return;
        }
        let Some(message) = model.message.and_then(|message| call.args.get(message)) else { return };
        let tag = match &message.kind {
            ExprKind::Atom(tag) => Some((*tag, 0)),
            ExprKind::Tuple(parts) => match parts.first().map(|first| &first.kind) {
                Some(ExprKind::Atom(tag)) => Some((*tag, parts.len())),
                _ => None,
            },
            _ => None,
        };
        if let Some((tag, size)) = tag {
            self.found.extend(self.base.handlers.callbacks(racefree_models::Role::Call, tag, size, self.module));
        }
    }
}
