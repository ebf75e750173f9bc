//! Library functions, as their models say.

use super::Evaluator;
use super::instantiate::Frame;
use crate::summary::{Effect, Handled, ItemKind, Shield, Usage};
use crate::term::{Term, TermKind};
use crate::value::{Deps, Origin, OriginKind, Shape, Value};
use racefree_models::{EffectKind, Function as Model, Returns, Role, Runs};
use racefree_syntax::{Span, Symbol};
use smallvec::SmallVec;
use std::sync::Arc;

/// One use of a model.
struct Use<'a> {
    args: &'a [Value],
    results: Vec<(usize, Value)>,
    term: Term,
    /// The element that a keeping predicate left.
    kept: Option<Value>,
}

impl Evaluator<'_, '_> {
    #[expect(clippy::too_many_arguments, reason = "one call, described whole")]
    pub(super) fn call_library(
        &mut self,
        model: &Arc<Model>,
        module: Symbol,
        name: Symbol,
        args: Vec<Value>,
        span: Span,
        name_span: Span,
        usage: Usage,
    ) -> Value {
        let deps = args.iter().fold(Deps::default(), |deps, arg| deps.join(arg.all_deps()));
        let observation = if model.is_observation() { self.observe() } else { Deps::default() };
        let term = self.result_term(model, module, name, &args, span);
        let handled = model.effect.and_then(|kind| self.handler(kind, model, &args));
        if let Some(kind) = model.effect {
            let kept: SmallVec<[Value; 2]> = args.iter().map(|arg| arg.settled(4)).collect();
            let effect = Effect { kind, module, name, model: Arc::clone(model), args: kept, handled };
            self.push_item(ItemKind::Effect(effect), span, name_span, usage, observation);
        } else if !model.raises.is_empty() || model.exits {
            let kept = args.iter().map(|arg| arg.settled(2)).collect();
            self.push_item(ItemKind::Foreign { module, name, args: kept }, span, name_span, usage, observation);
        }
        let mut use_ = Use { args: &args, results: Vec::new(), term: term.clone(), kept: None };
        self.run_model_closures(model, &mut use_, span);
        if model.effect == Some(EffectKind::Diverge) {
            self.diverged = true;
            return Value::never(term);
        }
        let mut value = self.returned(&model.returns, &use_);
        if let Some(handled) = handled
            && model.effect == Some(EffectKind::Call)
        {
            value = self.reply(handled, model, &args).unwrap_or(value);
        }
        value.term = term;
        if model.effect == Some(EffectKind::Lookup) && self.is_permanent(model, &args) {
            value = value.not_atom(self.view.nil());
        }
        if model.is_observation() {
            let kind = model.effect.unwrap_or(EffectKind::TableRead);
            let origin = Origin::observed(kind, module, name, self.place(name_span));
            value = value.marked_with(&origin);
        }
        value.with_deps(deps.join(observation))
    }

    fn is_permanent(&self, model: &Model, args: &[Value]) -> bool {
        let key = model.key.and_then(|key| args.get(key));
        key.is_some_and(|key| key.alts.len() == 1 && key.atoms().any(|name| self.view.models().is_permanent(name)))
    }

    /// The same arguments give the same term, unless every call makes something new.
    fn result_term(&self, model: &Model, module: Symbol, name: Symbol, args: &[Value], span: Span) -> Term {
        match (&model.returns, model.effect) {
            (Returns::SelfPid, _) => Term::new(TermKind::SelfPid),
            (Returns::Ref, _) | (_, Some(EffectKind::Start | EffectKind::Monitor | EffectKind::Timer)) => self.site(span),
            (Returns::Arg(index), _) => args.get(*index).map_or_else(|| self.site(span), |arg| arg.term.clone()),
            (Returns::Get(base, key), _) => self.field_term(args, *base, *key).unwrap_or_else(|| self.apply_term(module, name, args, span)),
            (Returns::Union(parts), None) if matches!(parts.as_slice(), [Returns::Get(..), _]) => match parts.first() {
                Some(Returns::Get(base, key)) => {
                    self.field_term(args, *base, *key).unwrap_or_else(|| self.apply_term(module, name, args, span))
                }
                _ => self.site(span),
            },
            _ => self.apply_term(module, name, args, span),
        }
    }

    fn field_term(&self, args: &[Value], base: usize, key: usize) -> Option<Term> {
        let name = args.get(key)?.atoms().next()?;
        Some(args.get(base)?.term.field(name))
    }

    fn run_model_closures(&mut self, model: &Model, use_: &mut Use<'_>, span: Span) {
        for closure in &model.closures {
            let Some(function) = use_.args.get(closure.arg) else { continue };
            let params: Vec<Value> = closure.params.iter().map(|param| self.returned(param, use_)).collect();
            if let Some(keeps) = closure.keeps
                && let Some(element) = params.first()
            {
                use_.kept = Some(self.filtered(function, element, keeps));
            }
            for alt in &function.alts {
                if let Shape::Symbolic { term, .. } = &alt.shape {
                    self.note_param_closure(term, closure.runs, &params, Shield::default());
                }
            }
            let result = self.run_argument(function, closure.runs, &params, span);
            use_.results.push((closure.arg, result));
        }
        // Closures in other arguments of a call that takes none: `start_child(sup, {mod, fn -> … end})` stores them.
        if model.closures.is_empty() && model.effect == Some(EffectKind::Start) {
            for arg in use_.args {
                if arg.alts.iter().any(|alt| matches!(alt.shape, Shape::Closure(_))) {
                    self.run_argument(arg, Runs::Elsewhere, &[], span);
                }
            }
        }
    }

    fn returned(&self, returns: &Returns, use_: &Use<'_>) -> Value {
        let arg = |index: &usize| use_.args.get(*index).cloned().unwrap_or_else(|| Value::any(use_.term.clone()));
        let simple = |shape: Shape| Value::of(shape, use_.term.clone());
        let result = |index: &usize| {
            let found = use_.results.iter().find(|(known, _)| known == index).map(|(_, value)| value.clone());
            found.unwrap_or_else(|| Value::any(use_.term.clone()))
        };
        match returns {
            Returns::Any | Returns::Map | Returns::Fun => Value::any(use_.term.clone()),
            Returns::Never => Value::never(use_.term.clone()),
            Returns::Atom(atom) => Value::atom(*atom),
            Returns::Pid | Returns::SelfPid => simple(Shape::Pid),
            Returns::Ref => simple(Shape::Ref),
            Returns::Number => simple(Shape::Number),
            Returns::Text => simple(Shape::Text),
            Returns::Tuple(parts) => {
                let parts = parts.iter().enumerate().map(|(index, part)| self.part(part, use_, index)).collect::<Vec<_>>();
                Value { term: use_.term.clone(), ..Value::tuple(parts) }
            }
            Returns::List(element) => Value::list(self.returned(element, use_), use_.term.clone()),
            Returns::Union(parts) => {
                let mut value = Value::never(use_.term.clone());
                for part in parts {
                    value = value.join(self.returned(part, use_), &use_.term);
                }
                value
            }
            Returns::Arg(index) => arg(index),
            Returns::Some(index) => {
                let given = arg(index);
                let flat = given.alts.iter().any(|alt| matches!(alt.shape, Shape::List(_)));
                if flat { given.element().truthy() } else { given.truthy() }
            }
            Returns::Elem(index) => match &use_.kept {
                Some(kept) => kept.clone(),
                None => arg(index).element(),
            },
            Returns::Result(index) => result(index),
            Returns::Items(index) => result(index).element(),
            Returns::Part(index, item) => result(index).item(*item as u32),
            Returns::Get(base, key) => match arg(key).atoms().next() {
                Some(name) => arg(base).field(name),
                None => Value::any(use_.term.clone()).with_deps(arg(base).deps),
            },
            Returns::Put(base, key, new) => self.put(&arg(base), &arg(key), arg(new), &use_.term),
            Returns::Item(base, index) => match arg(index).term.kind() {
                TermKind::Integer(number) if (0..=255).contains(number) => arg(base).item(*number as u32),
                _ => Value::any(use_.term.clone()),
            },
        }
    }

    fn part(&self, returns: &Returns, use_: &Use<'_>, index: usize) -> Value {
        let mut value = self.returned(returns, use_);
        if value.term == use_.term {
            value.term = use_.term.item(index as u32);
        }
        value
    }

    fn put(&self, base: &Value, key: &Value, new: Value, term: &Term) -> Value {
        let Some(name) = key.atoms().next() else { return Value::any(term.clone()).with_deps(base.deps) };
        let (mut fields, struct_name, origin) = match base.alts.first().map(|alt| &alt.shape) {
            Some(Shape::Map(map)) => (map.fields.clone(), map.struct_name, map.base.clone()),
            _ => (Vec::new(), None, Some(base.term.clone())),
        };
        fields.retain(|(known, _)| *known != name);
        fields.push((name, new));
        self.map_of(fields, struct_name, origin, term.clone()).with_deps(base.deps)
    }

    /// The callback of the program that takes this request.
    fn handler(&self, kind: EffectKind, model: &Model, args: &[Value]) -> Option<Handled> {
        let role = match kind {
            EffectKind::Call => Role::Call,
            EffectKind::Cast => Role::Cast,
            EffectKind::Send | EffectKind::Timer => Role::Info,
            _ => return None,
        };
        let target = args.get(model.target?)?;
        let message = args.get(model.message?)?;
        self.view.handler(self.module_id, role, target, message)
    }

    /// What the handling clauses reply.
    fn reply(&self, handled: Handled, model: &Model, args: &[Value]) -> Option<Value> {
        let callback = self.view.interface(handled.callback?)?;
        let message = args.get(model.message?)?;
        let server = self.view.module_name(handled.server)?;
        let site = message.term.clone();
        let unknown = Value::any(site.clone());
        let frame_args = [message.clone(), unknown.clone(), unknown.clone()];
        let frame = Frame::new(&frame_args, &[]);
        let mut reply = Value::never(site.clone());
        for (index, clause) in callback.clauses.iter().enumerate() {
            if index < 64 && handled.clauses & (1 << index) == 0 {
                continue;
            }
            for alt in &clause.returns.alts {
                reply = reply.join(self.view.reply_of(alt).map_or_else(|| unknown.clone(), |value| frame.value(&value)), &site);
            }
        }
        if reply.is_never() {
            return None;
        }
        let place = self.view.callback_place(handled)?;
        Some(reply.travelled(&OriginKind::Replied { module: server }, place))
    }
}
