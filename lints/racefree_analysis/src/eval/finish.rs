//! From what the evaluator gathered to a summary.

use super::Evaluator;
use crate::resolve::FunctionEntry;
use crate::summary::{ClauseSummary, ItemKind, ParamClosure, Shield, Summary};
use crate::term::{Term, TermKind};
use crate::value::{Alt, Shape, Value};
use racefree_models::Runs;
use racefree_syntax::core::{Spec, Type};
use smallvec::smallvec;

impl<'p> Evaluator<'_, 'p> {
    pub(super) fn finish(mut self, entry: &FunctionEntry<'p>, mut clauses: Vec<ClauseSummary>) -> Summary {
        for spec in &entry.function.specs {
            self.apply_spec(spec, &mut clauses);
        }
        let reach = self.items.iter().fold(0, |reach, item| {
            reach
                | match &item.kind {
                    ItemKind::Effect(effect) => effect.kind.bit(),
                    ItemKind::Call { callee, .. } => self.view.interface(*callee).map_or(0, |known| known.reach),
                    ItemKind::Foreign { .. } => 0,
                }
        });
        let mut all = clauses.iter().map(|clause| clause.returns.clone());
        let returns = all.next().map(|first| {
            let site = self.site(entry.function.name_span);
            all.fold(first, |joined, other| joined.join(other, &site)).settled(crate::value::DEPTH_MAX)
        });
        Summary {
            clauses,
            returns,
            items: self.items,
            arms: self.arms,
            scopes: self.scopes,
            tries: self.tries,
            misfits: self.misfits,
            receives: self.receives,
            closures: self.param_closures,
            reach,
        }
    }

    /// A spec tells more than code that calls unknown functions: `(-> t) :: t` says that the closure's value comes back, and a result type
    /// names the atoms and tuples that "anything" may be.
    fn apply_spec(&mut self, spec: &Spec, clauses: &mut [ClauseSummary]) {
        if let Type::Variable(result) = &spec.result {
            let given = spec.params.iter().position(|param| match param {
                Type::Fun { result: returned, .. } => matches!(&**returned, Type::Variable(name) if name == result),
                _ => false,
            });
            let Some(param) = given else { return };
            let function = Term::param(param as u32);
            for clause in clauses.iter_mut().filter(|clause| !clause.diverges) {
                clause.returns = Value::symbolic(Term::new(TermKind::Result(function.clone())));
            }
            if !self.param_closures.iter().any(|closure| closure.param == param as u32) {
                self.param_closures.push(ParamClosure {
                    param: param as u32,
                    runs: Runs::Once,
                    args: Vec::new(),
                    shield: Shield::default(),
                });
            }
            return;
        }
        for clause in clauses.iter_mut() {
            let Some(position) = clause.returns.alts.iter().position(|alt| matches!(alt.shape, Shape::Any) && alt.origin.is_some()) else {
                continue;
            };
            let unknown = clause.returns.alts.remove(position);
            let mut typed = Value::never(clause.returns.term.clone());
            self.type_alts(&spec.result, &clause.returns.term.clone(), 0, &mut typed);
            for alt in &mut typed.alts {
                alt.origin.clone_from(&unknown.origin);
            }
            let site = clause.returns.term.clone();
            let deps = clause.returns.deps;
            let known = std::mem::replace(&mut clause.returns, Value::never(site.clone()));
            clause.returns = known.join(typed, &site).with_deps(deps);
        }
    }

    fn type_alts(&self, type_: &Type, term: &Term, depth: usize, into: &mut Value) {
        let shape = match type_ {
            Type::Atom(name) => Shape::Atom(*name),
            Type::Integer(_) => Shape::Number,
            Type::Tuple(parts) if depth < 3 => {
                let parts = parts.iter().enumerate().map(|(index, part)| {
                    let term = term.item(index as u32);
                    let mut value = Value::never(term.clone());
                    self.type_alts(part, &term, depth + 1, &mut value);
                    value
                });
                Shape::Tuple(parts.collect())
            }
            Type::Union(parts) => {
                for part in parts {
                    self.type_alts(part, term, depth, into);
                }
                return;
            }
            Type::Named { module: None, name, args } if args.is_empty() => match name.as_str() {
                "pid" => Shape::Pid,
                "reference" => Shape::Ref,
                "boolean" => {
                    for atom in ["true", "false"] {
                        into.alts.push(Alt::new(Shape::Atom(racefree_syntax::symbol(atom))));
                    }
                    return;
                }
                local => return self.local_type(local, term, depth, into),
            },
            _ => Shape::Any,
        };
        let addition = Value { alts: smallvec![Alt::new(shape)], term: term.clone(), deps: into.deps };
        let known = std::mem::replace(into, Value::never(term.clone()));
        *into = known.join(addition, term);
    }

    fn local_type(&self, name: &str, term: &Term, depth: usize, into: &mut Value) {
        let definition = self.module.types.iter().find(|(known, _)| known.as_str() == name);
        match definition {
            Some((_, type_)) if depth < 4 => self.type_alts(type_, term, depth + 1, into),
            _ => into.alts.push(Alt::new(Shape::Any)),
        }
    }
}
