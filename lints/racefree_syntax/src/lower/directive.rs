//! `alias`, `import`, `require`, `use`, and what an alias stands for.

use super::{Lowering, Parts};
use crate::core::{ExprKind, Import, Use};
use crate::kinds::Kind;
use crate::tree::{NO_NODE, NodeId};
use crate::words::Form;
use crate::{Span, Symbol, symbol};

impl<'a> Lowering<'a> {
    /// The full name of an alias node.
    pub(super) fn alias_of(&mut self, id: NodeId) -> Symbol {
        let text = self.text_of(id);
        if text.contains(char::is_whitespace) {
            let joined: String = text.split_whitespace().collect();
            return self.resolve(&joined);
        }
        self.resolve(text)
    }

    fn resolve(&mut self, text: &str) -> Symbol {
        let (head, rest) = text.split_once('.').unwrap_or((text, ""));
        if head == "Elixir" && !rest.is_empty() {
            return symbol(rest);
        }
        match self.scope.alias(symbol(head)) {
            Some(full) if rest.is_empty() => full,
            Some(full) => self.join(full, rest),
            None => symbol(text),
        }
    }

    /// `base.name` as one symbol.
    pub(super) fn join(&mut self, base: Symbol, name: &str) -> Symbol {
        if base.is_empty() {
            return symbol(name);
        }
        self.scratch.clear();
        self.scratch.push_str(&base);
        self.scratch.push('.');
        self.scratch.push_str(name);
        symbol(&self.scratch)
    }

    /// The modules that `Foo`, `Foo.{A, B}`, `__MODULE__.Foo` or `:foo` name.
    pub(super) fn module_names(&mut self, id: NodeId) -> Vec<Symbol> {
        let tree = self.tree;
        if tree.kind(id) == Kind::Dot && tree.kind(tree.child(id, 1)) == Kind::Tuple {
            let Some(base) = self.module_name(tree.child(id, 0)) else { return Vec::new() };
            let tuple = tree.child(id, 1);
            let mut names = Vec::new();
            for item in tree.children(tuple).filter(|item| tree.kind(*item) == Kind::Alias) {
                let text: String = self.text_of(item).split_whitespace().collect();
                names.push(self.join(base, &text));
            }
            return names;
        }
        self.module_name(id).into_iter().collect()
    }

    pub(super) fn module_name(&mut self, id: NodeId) -> Option<Symbol> {
        if id == NO_NODE {
            return None;
        }
        match self.tree.kind(id) {
            Kind::Alias | Kind::Atom | Kind::QuotedAtom | Kind::Dot | Kind::Identifier => match self.expr(id).kind {
                ExprKind::Atom(name) => Some(name),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn directive(&mut self, form: Form, parts: Parts, span: Span) {
        let first = self.positional(parts.arguments).next().unwrap_or(NO_NODE);
        let names = self.module_names(first);
        let options = self.keywords(parts.arguments);
        match form {
            Form::Alias => self.alias(&names, options, AliasDefault::LastPart),
            Form::Require => self.alias(&names, options, AliasDefault::None),
            Form::Import => {
                for name in names {
                    let import = self.import(name, options);
                    self.module.add_import(import);
                }
            }
            _ => {
                for module in names {
                    let options = self.positional(parts.arguments).nth(1).or((options != NO_NODE).then_some(options));
                    let options = options.map(|options| self.expr(options));
                    self.module.add_use(Use { module, options, span });
                }
            }
        }
    }

    fn alias(&mut self, names: &[Symbol], options: NodeId, default: AliasDefault) {
        let short = self.keyword(options, "as").filter(|short| self.tree.kind(*short) == Kind::Alias).map(|short| self.symbol_of(short));
        for name in names {
            let last = name.as_str().rsplit('.').next().unwrap_or("");
            match (short, default) {
                (Some(short), _) => self.scope.set_alias(short, *name),
                (None, AliasDefault::LastPart) if last.starts_with(char::is_uppercase) => self.scope.set_alias(symbol(last), *name),
                _ => {}
            }
        }
    }

    fn import(&mut self, module: Symbol, options: NodeId) -> Import {
        let only = self.keyword(options, "only").and_then(|only| self.name_arities(only));
        let except = self.keyword(options, "except").and_then(|except| self.name_arities(except)).unwrap_or_default();
        Import { module, only, except }
    }

    /// `[name: arity, …]`; `None` when it is no such list, as in `only: :functions`.
    fn name_arities(&mut self, list: NodeId) -> Option<Vec<(Symbol, u32)>> {
        let ExprKind::List { items, .. } = self.expr(list).kind else { return None };
        let pair = |kind: &ExprKind| match kind {
            ExprKind::Tuple(pair) => match pair.as_slice() {
                [name, arity] => match (&name.kind, &arity.kind) {
                    (ExprKind::Atom(name), ExprKind::Integer(Some(arity))) => Some((*name, u32::try_from(*arity).ok()?)),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        Some(items.iter().filter_map(|item| pair(&item.kind)).collect())
    }
}

/// What an alias directive without `as:` makes.
#[derive(Debug, Clone, Copy)]
enum AliasDefault {
    LastPart,
    None,
}
