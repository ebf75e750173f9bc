//! The core language's types, field by field.

use crate::core::*;
use crate::parse::Problem;
use crate::stored;

stored! {
    struct File { modules, allows, clauses, blind_spots, is_test }
    struct BlindSpot { kind, span }
    enum BlindSpotKind { DynamicModule, DynamicApply, Macro, TooDeep }
    struct Allow { span, scope, rule, reason, own_line }
    enum AllowScope { Line, Function, Module }
    struct Module {
        name, kind, span, uses, behaviours, imports, attributes, functions, records, struct_fields, macros, using, types,
    }
    enum ModuleKind { Module, Protocol, Implementation }
    struct Use { module, options, span }
    struct Using { uses, behaviours, imports, defines }
    struct Import { module, only, except }
    struct Record { name, fields, span }
    struct Function { name, arity, visibility, origin, span, name_span, is_impl, clauses, specs }
    enum Visibility { Public, Private }
    enum FunctionOrigin { Written, Default, Delegate }
    struct Clause { span, params, guard, body, variables, names }
    struct Expr { kind, span }
    enum ExprKind {
        Atom(name), Integer(value), Float, String(text), Interpolated { kind, text, parts }, Var(id), Tuple(parts), List { items, tail },
        Map { base, struct_name, pairs }, Binary(parts), Call(call), Field { base, name }, Attribute(name), Match { pattern, value },
        Block(parts), If { condition, then, else_ }, And(left, right), Or(left, right), Not(inner), Case { subject, clauses },
        With { steps, body, else_ }, For(for_), Fn { clauses }, Capture { module, name, arity }, Try(parts), Receive { clauses, after },
        NoClause, Opaque(parts),
    }
    enum InterpolatedKind { String, Atom, Sigil }
    struct Call { callee, args, name_span }
    enum Callee { Local(name), Remote { module, name }, Dynamic { module, name }, Value(function) }
    struct CaseClause { span, pattern, guard, body }
    enum WithStep { Bind { pattern, guard, value }, Plain(expr) }
    struct For { steps, into, reduce, body }
    enum ForStep { Generate { pattern, guard, source }, Bits { pattern, source }, Filter(condition) }
    struct Try { body, rescues, catches, else_, after, implicit }
    struct Rescue { span, exceptions, variable, body }
    struct Catch { span, kind, pattern, guard, body }
    struct Pattern { kind, span }
    enum PatternKind {
        Wild, Bind(id), Pin(value), Atom(name), Integer(value), String(text), Literal, Tuple(parts), List { items, tail },
        Map { struct_name, pairs }, Macro { name, fields, args }, Binary(parts), Both(left, right),
    }
    struct Problem { span, message }
    struct Spec { params, result }
    enum Type {
        Any, Atom(name), Integer(value), Tuple(parts), List(element), Map, Union(parts), Fun { params, result }, Named { module, name, args },
        Variable(name),
    }
}

impl<X> stored::Stored<X> for VarId {
    fn store(&self, to: &mut stored::Writer<X>) {
        self.0.store(to);
    }

    fn load(from: &mut stored::Reader<'_, X>) -> Option<Self> {
        Some(Self(u32::load(from)?))
    }
}
