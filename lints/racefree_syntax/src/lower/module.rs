//! Modules: their bodies, what a body may hold, and code outside any module.

use rustc_hash::FxHashMap;

use super::{Lowering, Part, Parts};
use crate::core::{Clause, Expr, ExprKind, Function, FunctionOrigin, Import, Module, ModuleKind, Spec, Use};
use crate::kinds::{Kind, Op};
use crate::tree::{NO_NODE, NodeId};
use crate::words::Form;
use crate::{Span, Symbol, symbol};

/// `defimpl P, for: […]` makes at most this many modules of one body.
const IMPLEMENTATIONS_MAX: usize = 16;

/// A module under construction.
#[derive(Debug)]
pub(super) struct Builder {
    module: Module,
    functions: FxHashMap<(Symbol, u32), usize>,
    attributes: FxHashMap<Symbol, usize>,
    /// Specs wait for their function, which comes after them.
    pub(super) specs: Vec<(Symbol, u32, Spec)>,
    /// `@impl` was met and no definition since.
    pub(super) pending_impl: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new(Symbol::default(), ModuleKind::Module, Span::default())
    }
}

impl Builder {
    fn new(name: Symbol, kind: ModuleKind, span: Span) -> Self {
        Self {
            module: empty_module(name, kind, span),
            functions: FxHashMap::default(),
            attributes: FxHashMap::default(),
            specs: Vec::new(),
            pending_impl: false,
        }
    }

    pub(super) fn name(&self) -> Symbol {
        self.module.name
    }

    pub(super) fn module(&mut self) -> &mut Module {
        &mut self.module
    }

    pub(super) fn add_import(&mut self, import: Import) {
        self.module.imports.push(import);
    }

    pub(super) fn add_use(&mut self, use_: Use) {
        self.module.uses.push(use_);
    }

    pub(super) fn has_function(&self, name: Symbol, arity: u32) -> bool {
        self.functions.contains_key(&(name, arity))
    }

    /// Adds `clause` to the entry of `function`'s name and arity: the one that is there, or else `function` itself.
    pub(super) fn add_clause(&mut self, function: Function, clause: Option<Clause>) {
        let next = self.module.functions.len();
        let index = *self.functions.entry((function.name, function.arity)).or_insert(next);
        let Some(entry) = self.module.functions.get_mut(index) else {
            let mut function = function;
            function.clauses.extend(clause);
            self.module.functions.push(function);
            return;
        };
        if entry.origin == FunctionOrigin::Default && clause.is_some() {
            // A written definition takes the place of the one that default arguments made up.
            entry.origin = function.origin;
            entry.clauses.clear();
        }
        entry.span = entry.span.to(function.span);
        entry.is_impl |= function.is_impl;
        entry.clauses.extend(clause);
    }

    pub(super) fn set_attribute(&mut self, name: Symbol, value: Expr) {
        let next = self.module.attributes.len();
        let index = *self.attributes.entry(name).or_insert(next);
        match self.module.attributes.get_mut(index) {
            Some(entry) => entry.1 = value,
            None => self.module.attributes.push((name, value)),
        }
    }

    pub(super) fn attribute(&self, name: Symbol) -> Option<&Expr> {
        self.attributes.get(&name).and_then(|index| self.module.attributes.get(*index)).map(|(_, value)| value)
    }

    /// The atoms in the list that attribute `name` holds.
    pub(super) fn attribute_atoms(&self, name: Symbol) -> Vec<Symbol> {
        let items = match self.attribute(name) {
            Some(Expr { kind: ExprKind::List { items, .. }, .. }) => items.as_slice(),
            Some(expr) => std::slice::from_ref(expr),
            None => &[],
        };
        let atom = |item: &Expr| if let ExprKind::Atom(name) = item.kind { Some(name) } else { None };
        items.iter().filter_map(atom).collect()
    }

    fn finish(mut self) -> Module {
        for (name, arity, spec) in self.specs {
            if let Some(function) = self.functions.get(&(name, arity)).and_then(|index| self.module.functions.get_mut(*index)) {
                function.specs.push(spec);
            }
        }
        self.module
    }
}

fn empty_module(name: Symbol, kind: ModuleKind, span: Span) -> Module {
    Module {
        name,
        kind,
        span,
        uses: Vec::new(),
        behaviours: Vec::new(),
        imports: Vec::new(),
        attributes: Vec::new(),
        functions: Vec::new(),
        records: Vec::new(),
        struct_fields: Vec::new(),
        macros: Vec::new(),
        using: None,
        types: Vec::new(),
    }
}

impl<'a> Lowering<'a> {
    /// The whole file: modules, and a pseudo-module for the code between them.
    pub(super) fn toplevel_module(&mut self) {
        let root = 0;
        let span = self.span_of(root);
        self.module = Builder::new(self.words.empty, ModuleKind::Module, span);
        self.module_body(root);
        let statements = std::mem::take(&mut self.toplevel);
        if !statements.is_empty() {
            self.toplevel_function(&statements);
        }
        self.lower_strays();
        let builder = std::mem::take(&mut self.module);
        if !builder.module.functions.is_empty() {
            self.file.modules.push(builder.finish());
        }
    }

    fn is_toplevel(&self) -> bool {
        self.module.name().is_empty()
    }

    /// The children of `id` as the body of a module.
    pub(super) fn module_body(&mut self, id: NodeId) {
        if !self.descend(self.span_of(id)) {
            return;
        }
        let tree = self.tree;
        for child in tree.children(id) {
            self.module_statement(child);
        }
        self.ascend();
    }

    fn module_statement(&mut self, id: NodeId) {
        let tree = self.tree;
        let node = tree.node(id);
        match node.kind {
            Kind::Call => self.module_call(id),
            Kind::Unary if node.op == Op::At => self.attribute(id),
            Kind::Error => self.broken_body(id),
            Kind::AfterBlock | Kind::RescueBlock | Kind::CatchBlock | Kind::ElseBlock | Kind::Block => self.module_body(id),
            Kind::Missing | Kind::Do | Kind::End => {}
            _ => self.other_statement(id),
        }
    }

    /// What did not parse at module level: the definitions in it count, its other fragments do not.
    fn broken_body(&mut self, id: NodeId) {
        if !self.descend(self.span_of(id)) {
            return;
        }
        let tree = self.tree;
        for child in tree.children(id) {
            let node = tree.node(child);
            match node.kind {
                Kind::Error => self.broken_body(child),
                Kind::Block | Kind::DoBlock => self.module_body(child),
                Kind::Unary if node.op == Op::At => self.attribute(child),
                Kind::Call if self.local_name(child).is_some_and(|name| self.words.form(name).is_some()) => self.module_call(child),
                _ => {
                    self.find_definitions(child);
                }
            }
        }
        self.ascend();
    }

    /// A statement with no meaning to a module; definitions inside it count nevertheless.
    fn other_statement(&mut self, id: NodeId) {
        let found = self.find_definitions(id);
        // A lone name between modules is an `end` too many, more often than a call.
        if !found && self.is_toplevel() && self.tree.kind(id) != Kind::Identifier {
            self.toplevel.push(id);
        }
    }

    fn module_call(&mut self, id: NodeId) {
        let parts = self.parts(id);
        let span = self.span_of(id);
        let Some(name) = self.local_name(id) else {
            return self.remote_statement(id, parts);
        };
        match self.words.form(name) {
            Some(form @ (Form::Alias | Form::Import | Form::Require | Form::Use)) => self.directive(form, parts, span),
            Some(Form::Module | Form::Protocol | Form::Implementation) => self.nested_module(id, parts),
            Some(Form::Function(visibility)) => self.function(parts, visibility, span),
            Some(Form::Macro) => self.macro_(id, parts),
            Some(Form::Guard) => self.guard_definition(parts),
            Some(Form::Delegate) => self.delegate(parts, span),
            Some(Form::Struct) => self.struct_(parts),
            Some(Form::Exception) => self.struct_(parts),
            Some(Form::Record) => self.record(parts, span),
            Some(Form::Test) if self.sections(parts).body != Part::Absent => self.test(name, parts, span),
            Some(Form::Describe) if parts.do_block != NO_NODE => self.describe(parts),
            Some(Form::Quote) => {}
            _ => self.unknown_call(id, name, parts, span),
        }
    }

    /// `if`, `for`, and macros of others around definitions; otherwise a body worth analysing.
    fn unknown_call(&mut self, id: NodeId, name: Symbol, parts: Parts, span: Span) {
        if self.holds_definitions(parts) {
            return self.definition_sections(parts);
        }
        if name.starts_with("def") && self.looks_like_definition(parts) {
            let visibility = if name.ends_with('p') { crate::core::Visibility::Private } else { crate::core::Visibility::Public };
            return self.function(parts, visibility, span);
        }
        if self.is_toplevel() {
            return self.other_statement(id);
        }
        let has_statements = match self.sections(parts).body {
            Part::Absent => false,
            Part::Container(id) => self.tree.kind(self.tree.child(id, 0)) != Kind::StabClause,
            Part::Value(id) => self.tree.kind(id) == Kind::Call,
        };
        if has_statements && self.words.form(name).is_none() {
            return self.block_function(name, parts, span);
        }
        self.find_definitions(id);
    }

    fn remote_statement(&mut self, id: NodeId, parts: Parts) {
        if let Some(name) = self.remote_name(parts.target)
            && self.words.form(name) == Some(Form::Record)
        {
            return self.record(parts, self.span_of(id));
        }
        if self.holds_definitions(parts) {
            return self.definition_sections(parts);
        }
        self.other_statement(id);
    }

    fn remote_name(&self, target: NodeId) -> Option<Symbol> {
        let right = self.tree.child(target, 1);
        (self.tree.kind(target) == Kind::Dot && self.tree.kind(right) == Kind::Identifier).then(|| self.symbol_of(right))
    }

    fn definition_sections(&mut self, parts: Parts) {
        if parts.do_block != NO_NODE {
            return self.module_body(parts.do_block);
        }
        for (_, value) in self.pairs(self.keywords(parts.arguments)) {
            self.module_statement(value);
        }
    }

    /// Whether a direct statement of the call's sections is a definition or an attribute.
    fn holds_definitions(&self, parts: Parts) -> bool {
        let tree = self.tree;
        if parts.do_block == NO_NODE {
            return self.pairs(self.keywords(parts.arguments)).any(|(_, value)| self.is_definition(value));
        }
        tree.children(parts.do_block).any(|child| match tree.kind(child) {
            Kind::ElseBlock => tree.children(child).any(|child| self.is_definition(child)),
            _ => self.is_definition(child),
        })
    }

    fn is_definition(&self, id: NodeId) -> bool {
        let node = self.tree.node(id);
        if node.kind == Kind::Unary {
            return node.op == Op::At && self.tree.kind(self.tree.child(id, 0)) == Kind::Call;
        }
        let Some(name) = self.local_name(id) else { return false };
        name.starts_with("def") || matches!(self.words.form(name), Some(Form::Test | Form::Describe | Form::Use | Form::Import))
    }

    /// Finds definitions at any depth below `id`; true when there is one.
    fn find_definitions(&mut self, id: NodeId) -> bool {
        let tree = self.tree;
        let mut found = false;
        let mut end = 0;
        for below in tree.below(id) {
            if below < end || tree.kind(below) != Kind::Call {
                continue;
            }
            let Some(name) = self.local_name(below) else { continue };
            match self.words.form(name) {
                Some(Form::Quote) => end = tree.node(below).next,
                Some(
                    Form::Module | Form::Protocol | Form::Implementation | Form::Function(_) | Form::Macro | Form::Guard | Form::Delegate,
                ) => {
                    found = true;
                    end = tree.node(below).next;
                    if self.descend(self.span_of(below)) {
                        self.module_call(below);
                        self.ascend();
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn nested_module(&mut self, id: NodeId, parts: Parts) {
        let span = self.span_of(id);
        if !self.descend(span) {
            return;
        }
        let mark = self.scope.mark();
        let form = self.local_name(id).and_then(|name| self.words.form(name));
        let first = self.positional(parts.arguments).next().unwrap_or(NO_NODE);
        let body = self.sections(parts).body;
        match form {
            Some(Form::Implementation) => self.implementations(first, parts, body, span),
            _ => {
                let kind = if form == Some(Form::Protocol) { ModuleKind::Protocol } else { ModuleKind::Module };
                let (name, alias) = self.nested_name(first);
                if let Some((short, full)) = alias {
                    self.scope.set_alias(short, full);
                }
                let inner = self.scope.mark();
                self.build_module(name, kind, body, span);
                self.scope.roll_back(inner);
                self.ascend();
                // The alias of a nested module lives on in the module around it.
                return;
            }
        }
        self.scope.roll_back(mark);
        self.ascend();
    }

    /// A module's full name, and the alias its definition makes when it is nested.
    fn nested_name(&mut self, id: NodeId) -> (Symbol, Option<(Symbol, Symbol)>) {
        let outer = self.module.name();
        if self.tree.kind(id) != Kind::Alias {
            let name = self.module_name(id).unwrap_or_else(|| symbol(self.text_of(id)));
            return (name, None);
        }
        let text = self.text_of(id);
        if outer.is_empty() {
            return (self.alias_of(id), None);
        }
        if let Some(absolute) = text.strip_prefix("Elixir.") {
            return (symbol(absolute), None);
        }
        let head = text.split('.').next().unwrap_or(text);
        let short = symbol(head);
        let full = self.join(outer, head);
        (self.join(outer, text), Some((short, full)))
    }

    /// A module inside a function body: named and aliased at once, lowered after the function.
    pub(super) fn stray_module(&mut self, id: NodeId, parts: Parts) {
        let first = self.positional(parts.arguments).next().unwrap_or(NO_NODE);
        if let (_, Some((short, full))) = self.nested_name(first) {
            self.scope.set_alias(short, full);
        }
        self.strays.push(id);
    }

    fn implementations(&mut self, protocol: NodeId, parts: Parts, body: Part, span: Span) {
        let protocol = self.module_name(protocol).unwrap_or(self.words.empty);
        let targets = match self.keyword(self.keywords(parts.arguments), "for") {
            Some(list) if self.tree.kind(list) == Kind::List => {
                let tree = self.tree;
                tree.children(list).filter_map(|item| self.module_name(item)).take(IMPLEMENTATIONS_MAX).collect()
            }
            Some(target) => self.module_name(target).into_iter().collect(),
            None => vec![self.module.name()],
        };
        for target in targets {
            let name = self.join(protocol, &target);
            let mark = self.scope.mark();
            self.build_implementation(name, (protocol, target), body, span);
            self.scope.roll_back(mark);
        }
    }

    fn build_implementation(&mut self, name: Symbol, (protocol, target): (Symbol, Symbol), body: Part, span: Span) {
        let outer = self.enter_module(name, ModuleKind::Implementation, span);
        for (attribute, value) in [("protocol", protocol), ("for", target)] {
            self.module.set_attribute(symbol(attribute), Expr { kind: ExprKind::Atom(value), span });
        }
        self.leave_module(outer, body);
    }

    fn build_module(&mut self, name: Symbol, kind: ModuleKind, body: Part, span: Span) {
        let outer = self.enter_module(name, kind, span);
        self.leave_module(outer, body);
    }

    /// Starts a module; its place among the file's modules is taken now, so that it stands before the ones inside it.
    fn enter_module(&mut self, name: Symbol, kind: ModuleKind, span: Span) -> (Builder, usize) {
        let slot = self.file.modules.len();
        self.file.modules.push(empty_module(name, kind, span));
        let mut builder = Builder::new(name, kind, span);
        // Imports are lexical: a module inside another one sees them.
        builder.module.imports.extend(self.module.module.imports.iter().cloned());
        (std::mem::replace(&mut self.module, builder), slot)
    }

    fn leave_module(&mut self, (outer, slot): (Builder, usize), body: Part) {
        let describe = std::mem::take(&mut self.describe);
        let strays = std::mem::take(&mut self.strays);
        match body {
            Part::Container(id) => self.module_body(id),
            Part::Value(id) => self.module_statement(id),
            Part::Absent => {}
        }
        self.lower_strays();
        self.strays = strays;
        self.describe = describe;
        let builder = std::mem::replace(&mut self.module, outer);
        if let Some(place) = self.file.modules.get_mut(slot) {
            *place = builder.finish();
        }
    }

    /// Lowers the definitions found inside the bodies of functions.
    pub(super) fn lower_strays(&mut self) {
        // Lowering one may find others inside it.
        while !self.strays.is_empty() {
            for id in std::mem::take(&mut self.strays) {
                if self.descend(self.span_of(id)) {
                    self.module_call(id);
                    self.ascend();
                }
            }
        }
    }
}
