//! The core language as short S-expressions, for tests and for looking at what a file became.
//!
//! Variables print as `name.id`, atoms as `:name`, locals as `name`, remotes as `Mod:name`. Spans are left out.

use std::fmt::Write;

use crate::core::{
    Call, Callee, CaseClause, Clause, Expr, ExprKind, File, For, ForStep, Function, FunctionOrigin, Module, Pattern, PatternKind, Spec,
    Try, Type, VarId, Visibility, WithStep,
};
use crate::{Symbol, symbol};

/// The whole file: one line for each fact of a module and for each clause.
pub fn file(file: &File) -> String {
    let mut out = String::new();
    for each in &file.modules {
        module(each, &mut out);
    }
    for spot in &file.blind_spots {
        line(&mut out, 0, &format!("blind {:?}", spot.kind));
    }
    for allow in &file.allows {
        line(&mut out, 0, &format!("allow {:?} `{}` - {} own_line={}", allow.scope, allow.rule, allow.reason, allow.own_line));
    }
    out
}

fn line(out: &mut String, indent: usize, text: &str) {
    let _ = writeln!(out, "{:indent$}{text}", "");
}

fn module(module: &Module, out: &mut String) {
    let printer = Printer { names: &[] };
    line(out, 0, &format!("{:?} {}", module.kind, if module.name.is_empty() { "\"\"" } else { module.name.as_str() }));
    for each in &module.uses {
        let options = each.options.as_ref().map_or(String::new(), |options| format!(" {}", printer.expr(options)));
        line(out, 2, &format!("use {}{options}", each.module));
    }
    for each in &module.behaviours {
        line(out, 2, &format!("behaviour {each}"));
    }
    for each in &module.imports {
        line(
            out,
            2,
            &format!("import {}{}{}", each.module, arities("only", each.only.as_deref()), arities("except", nonempty(&each.except))),
        );
    }
    for (name, value) in &module.attributes {
        line(out, 2, &format!("@{name} {}", printer.expr(value)));
    }
    for record in &module.records {
        line(out, 2, &format!("record {} [{}]", record.name, joined(&record.fields, |field| field.to_string())));
    }
    if !module.struct_fields.is_empty() {
        let fields = joined(&module.struct_fields, |(name, value)| format!("{name}={}", printer.expr(value)));
        line(out, 2, &format!("struct {fields}"));
    }
    if !module.macros.is_empty() {
        line(out, 2, &format!("macros{}", arities("", Some(&module.macros))));
    }
    if let Some(using) = &module.using {
        let names = |names: &[Symbol]| joined(names, |name| name.to_string());
        let text =
            format!("using uses=[{}] behaviours=[{}] imports=[{}]", names(&using.uses), names(&using.behaviours), names(&using.imports));
        line(out, 2, &format!("{text}{}", arities("defines", Some(&using.defines))));
    }
    for (name, value) in &module.types {
        line(out, 2, &format!("type {name} {}", type_(value)));
    }
    for each in &module.functions {
        function(each, out);
    }
}

fn nonempty<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

fn arities(label: &str, list: Option<&[(Symbol, u32)]>) -> String {
    let Some(list) = list else { return String::new() };
    let space = if label.is_empty() { "" } else { " " };
    format!("{space}{label} [{}]", joined(list, |(name, arity)| format!("{name}/{arity}")))
}

fn function(function: &Function, out: &mut String) {
    let word = if function.visibility == Visibility::Public { "def" } else { "defp" };
    let origin = match function.origin {
        FunctionOrigin::Written => "",
        FunctionOrigin::Default => " default",
        FunctionOrigin::Delegate => " delegate",
    };
    let is_impl = if function.is_impl { " impl" } else { "" };
    line(out, 2, &format!("{word} {}/{}{origin}{is_impl}", function.name, function.arity));
    for each in &function.specs {
        line(out, 4, &spec(each));
    }
    for each in &function.clauses {
        line(out, 4, &Printer { names: &each.names }.clause(each));
    }
}

fn spec(spec: &Spec) -> String {
    format!("spec ({}) {}", joined(&spec.params, type_), type_(&spec.result))
}

/// A type.
pub fn type_(value: &Type) -> String {
    match value {
        Type::Any => "any".to_owned(),
        Type::Atom(name) => format!(":{name}"),
        Type::Integer(value) => value.to_string(),
        Type::Tuple(items) => format!("{{{}}}", joined(items, type_)),
        Type::List(item) => format!("[{}]", type_(item)),
        Type::Map => "map".to_owned(),
        Type::Union(items) => format!("(| {})", joined(items, type_)),
        Type::Fun { params, result } => format!("(fun ({}) {})", joined(params, type_), type_(result)),
        Type::Named { module, name, args } => {
            let module = module.map_or(String::new(), |module| format!("{module}."));
            format!("{module}{name}({})", joined(args, type_))
        }
        Type::Variable(name) => format!("'{name}"),
    }
}

/// One clause of a named function.
pub fn clause(clause: &Clause) -> String {
    Printer { names: &clause.names }.clause(clause)
}

fn joined<T>(items: &[T], print: impl Fn(&T) -> String) -> String {
    items.iter().map(print).collect::<Vec<_>>().join(" ")
}

/// Prints with the names of the clause around.
struct Printer<'a> {
    names: &'a [Symbol],
}

impl Printer<'_> {
    fn variable(&self, id: VarId) -> String {
        let name = self.names.get(id.0 as usize).copied().unwrap_or_else(|| symbol("?"));
        format!("{name}.{}", id.0)
    }

    fn exprs(&self, items: &[Expr]) -> String {
        joined(items, |item| self.expr(item))
    }

    fn patterns(&self, items: &[Pattern]) -> String {
        joined(items, |item| self.pattern(item))
    }

    fn clause(&self, clause: &Clause) -> String {
        format!("(({}){} -> {})", self.patterns(&clause.params), self.guard(clause.guard.as_ref()), self.expr(&clause.body))
    }

    fn guard(&self, guard: Option<&Expr>) -> String {
        guard.map_or(String::new(), |guard| format!(" when {}", self.expr(guard)))
    }

    fn cases(&self, clauses: &[CaseClause]) -> String {
        joined(clauses, |clause| {
            format!("({}{} -> {})", self.pattern(&clause.pattern), self.guard(clause.guard.as_ref()), self.expr(&clause.body))
        })
    }

    fn expr(&self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Atom(name) => format!(":{name}"),
            ExprKind::Integer(value) => value.map_or("big".to_owned(), |value| value.to_string()),
            ExprKind::Float => "float".to_owned(),
            ExprKind::String(text) => format!("{:?}", text.as_str()),
            ExprKind::Interpolated { kind, text, parts } => {
                spaced(&format!("{kind:?} {:?}", text.as_str()).to_lowercase(), &self.exprs(parts))
            }
            ExprKind::Var(id) => self.variable(*id),
            ExprKind::Tuple(items) => format!("{{{}}}", self.exprs(items)),
            ExprKind::List { items, tail } => format!("[{}{}]", self.exprs(items), self.tail(tail.as_deref())),
            ExprKind::Map { base, struct_name, pairs } => {
                let base = base.as_ref().map_or(String::new(), |base| format!("{} | ", self.expr(base)));
                let pairs = joined(pairs, |(key, value)| format!("{}={}", self.expr(key), self.expr(value)));
                format!("%{}{{{base}{pairs}}}", struct_name.map_or("", |name| name.as_str()))
            }
            ExprKind::Binary(parts) => format!("<<{}>>", self.exprs(parts)),
            ExprKind::Call(call) => self.call(call),
            ExprKind::Field { base, name } => format!("(. {} {name})", self.expr(base)),
            ExprKind::Attribute(name) => format!("@{name}"),
            ExprKind::Match { pattern, value } => format!("(= {} {})", self.pattern(pattern), self.expr(value)),
            ExprKind::Capture { module, name, arity } => {
                format!("&{}{name}/{arity}", module.map_or(String::new(), |module| format!("{module}:")))
            }
            ExprKind::NoClause => "no-clause".to_owned(),
            ExprKind::Opaque(parts) => spaced("opaque", &self.exprs(parts)),
            _ => self.control(expr),
        }
    }

    fn control(&self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Block(items) => spaced("do", &self.exprs(items)),
            ExprKind::If { condition, then, else_ } => {
                format!("(if {} {} {})", self.expr(condition), self.expr(then), self.expr(else_))
            }
            ExprKind::And(left, right) => format!("(and {} {})", self.expr(left), self.expr(right)),
            ExprKind::Or(left, right) => format!("(or {} {})", self.expr(left), self.expr(right)),
            ExprKind::Not(value) => format!("(not {})", self.expr(value)),
            ExprKind::Case { subject, clauses } => format!("(case {} {})", self.expr(subject), self.cases(clauses)),
            ExprKind::With { steps, body, else_ } => {
                let steps = joined(steps, |step| match step {
                    WithStep::Bind { pattern, guard, value } => {
                        format!("(<- {}{} {})", self.pattern(pattern), self.guard(guard.as_ref()), self.expr(value))
                    }
                    WithStep::Plain(value) => self.expr(value),
                });
                let else_ = if else_.is_empty() { String::new() } else { format!(" else {}", self.cases(else_)) };
                format!("(with {steps} do {}{else_})", self.expr(body))
            }
            ExprKind::For(for_) => self.for_(for_),
            ExprKind::Fn { clauses } => spaced("fn", &joined(clauses, |clause| self.clause(clause))),
            ExprKind::Try(try_) => self.try_(try_),
            ExprKind::Receive { clauses, after } => {
                let after = after.as_ref().map_or(String::new(), |after| format!(" after {} {}", self.expr(&after.0), self.expr(&after.1)));
                format!("(receive {}{after})", self.cases(clauses))
            }
            _ => String::new(),
        }
    }

    fn tail(&self, tail: Option<&Expr>) -> String {
        tail.map_or(String::new(), |tail| format!(" | {}", self.expr(tail)))
    }

    fn call(&self, call: &Call) -> String {
        let args = self.exprs(&call.args);
        match &call.callee {
            Callee::Local(name) => spaced(name, &args),
            Callee::Remote { module, name } => spaced(&format!("{module}:{name}"), &args),
            Callee::Dynamic { module, name } => spaced(&format!("dynamic {} {name}", self.expr(module)), &args),
            Callee::Value(value) => spaced(&format!("call {}", self.expr(value)), &args),
        }
    }

    fn for_(&self, for_: &For) -> String {
        let steps = joined(&for_.steps, |step| match step {
            ForStep::Generate { pattern, guard, source } => {
                format!("(<- {}{} {})", self.pattern(pattern), self.guard(guard.as_ref()), self.expr(source))
            }
            ForStep::Bits { pattern, source } => format!("(bits {} {})", self.pattern(pattern), self.expr(source)),
            ForStep::Filter(value) => self.expr(value),
        });
        let into = for_.into.as_ref().map_or(String::new(), |into| format!(" into {}", self.expr(into)));
        match &for_.reduce {
            Some((initial, clauses)) => format!("(for {steps}{into} reduce {} {})", self.expr(initial), self.cases(clauses)),
            None => format!("(for {steps}{into} do {})", self.expr(&for_.body)),
        }
    }

    fn try_(&self, try_: &Try) -> String {
        let mut out = format!("({} {}", if try_.implicit { "try-implicit" } else { "try" }, self.expr(&try_.body));
        for each in &try_.rescues {
            let variable = each.variable.map_or("_".to_owned(), |id| self.variable(id));
            let _ = write!(out, " (rescue {variable} [{}] {})", joined(&each.exceptions, |name| name.to_string()), self.expr(&each.body));
        }
        for each in &try_.catches {
            let kind = each.kind.as_ref().map_or(String::new(), |kind| format!("{} ", self.pattern(kind)));
            let guard = self.guard(each.guard.as_ref());
            let _ = write!(out, " (catch {kind}{}{guard} -> {})", self.pattern(&each.pattern), self.expr(&each.body));
        }
        if !try_.else_.is_empty() {
            let _ = write!(out, " else {}", self.cases(&try_.else_));
        }
        if let Some(after) = &try_.after {
            let _ = write!(out, " after {}", self.expr(after));
        }
        out.push(')');
        out
    }

    fn pattern(&self, pattern: &Pattern) -> String {
        match &pattern.kind {
            PatternKind::Wild => "_".to_owned(),
            PatternKind::Bind(id) => self.variable(*id),
            PatternKind::Pin(value) => format!("^{}", self.expr(value)),
            PatternKind::Atom(name) => format!(":{name}"),
            PatternKind::Integer(value) => value.map_or("big".to_owned(), |value| value.to_string()),
            PatternKind::String(text) => format!("{:?}", text.as_str()),
            PatternKind::Literal => "literal".to_owned(),
            PatternKind::Tuple(items) => format!("{{{}}}", self.patterns(items)),
            PatternKind::List { items, tail } => {
                let tail = tail.as_ref().map_or(String::new(), |tail| format!(" | {}", self.pattern(tail)));
                format!("[{}{tail}]", self.patterns(items))
            }
            PatternKind::Map { struct_name, pairs } => {
                let pairs = joined(pairs, |(key, value)| format!("{}={}", self.expr(key), self.pattern(value)));
                format!("%{}{{{pairs}}}", struct_name.map_or("", |name| name.as_str()))
            }
            PatternKind::Macro { name, fields, args } => {
                let fields = joined(fields, |(key, value)| format!("{key}={}", self.pattern(value)));
                spaced(&format!("macro {name}"), &[fields, self.patterns(args)].join(" "))
            }
            PatternKind::Binary(parts) => format!("<<{}>>", self.patterns(parts)),
            PatternKind::Both(left, right) => format!("(= {} {})", self.pattern(left), self.pattern(right)),
        }
    }
}

/// `(head rest)`, without a space when there is no rest.
fn spaced(head: &str, rest: &str) -> String {
    let rest = rest.trim();
    if rest.is_empty() { format!("({head})") } else { format!("({head} {rest})") }
}
