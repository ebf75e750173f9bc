#![allow(clippy::print_stdout)]
use racefree_syntax::core::*;
use std::collections::BTreeMap;
use std::path::Path;
fn collect(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "ex" || e == "exs") {
            files.push(path);
        }
    }
}
type Calls = BTreeMap<String, usize>;
fn e(x: &Expr, c: &mut Calls) {
    let v = |xs: &Vec<Expr>, c: &mut Calls| xs.iter().for_each(|x| e(x, c));
    match &x.kind {
        ExprKind::Interpolated { parts, .. } => v(parts, c),
        ExprKind::Tuple(i) | ExprKind::Binary(i) | ExprKind::Block(i) | ExprKind::Opaque(i) => v(i, c),
        ExprKind::List { items, tail } => {
            v(items, c);
            if let Some(t) = tail {
                e(t, c)
            }
        }
        ExprKind::Map { base, pairs, .. } => {
            if let Some(b) = base {
                e(b, c)
            }
            for (k, w) in pairs {
                e(k, c);
                e(w, c)
            }
        }
        ExprKind::Call(call) => {
            match &call.callee {
                Callee::Remote { module, name } if module.as_str() != "Access" => {
                    *c.entry(format!("{name}/{}", call.args.len())).or_default() += 1;
                }
                Callee::Dynamic { module, .. } => e(module, c),
                Callee::Value(f) => e(f, c),
                _ => {}
            }
            v(&call.args, c)
        }
        ExprKind::Field { base, .. } => e(base, c),
        ExprKind::Match { value, pattern } => {
            p(pattern, c);
            e(value, c)
        }
        ExprKind::If { condition, then, else_ } => {
            e(condition, c);
            e(then, c);
            e(else_, c)
        }
        ExprKind::And(a, b) | ExprKind::Or(a, b) => {
            e(a, c);
            e(b, c)
        }
        ExprKind::Not(a) => e(a, c),
        ExprKind::Case { subject, clauses } => {
            e(subject, c);
            cc(clauses, c)
        }
        ExprKind::With { steps, body, else_ } => {
            for s in steps {
                match s {
                    WithStep::Bind { guard, value, .. } => {
                        if let Some(g) = guard {
                            e(g, c)
                        }
                        e(value, c)
                    }
                    WithStep::Plain(x) => e(x, c),
                }
            }
            e(body, c);
            cc(else_, c)
        }
        ExprKind::For(f) => {
            for s in &f.steps {
                match s {
                    ForStep::Generate { guard, source, .. } => {
                        if let Some(g) = guard {
                            e(g, c)
                        }
                        e(source, c)
                    }
                    ForStep::Bits { source, .. } => e(source, c),
                    ForStep::Filter(x) => e(x, c),
                }
            }
            if let Some(i) = &f.into {
                e(i, c)
            }
            if let Some((i, cl)) = &f.reduce {
                e(i, c);
                cc(cl, c)
            }
            e(&f.body, c)
        }
        ExprKind::Fn { clauses } => {
            for cl in clauses {
                if let Some(g) = &cl.guard {
                    e(g, c)
                }
                e(&cl.body, c)
            }
        }
        ExprKind::Try(t) => {
            e(&t.body, c);
            for r in &t.rescues {
                e(&r.body, c)
            }
            for k in &t.catches {
                if let Some(g) = &k.guard {
                    e(g, c)
                }
                e(&k.body, c)
            }
            cc(&t.else_, c);
            if let Some(a) = &t.after {
                e(a, c)
            }
        }
        ExprKind::Receive { clauses, after } => {
            cc(clauses, c);
            if let Some(a) = after {
                e(&a.0, c);
                e(&a.1, c)
            }
        }
        _ => {}
    }
}
fn p(_x: &Pattern, _c: &mut Calls) {}
fn cc(cl: &[CaseClause], c: &mut Calls) {
    for k in cl {
        if let Some(g) = &k.guard {
            e(g, c)
        }
        e(&k.body, c)
    }
}
fn main() {
    let mut files = Vec::new();
    for d in std::env::args().skip(1) {
        collect(Path::new(&d), &mut files);
    }
    files.sort();
    let mut parser = racefree_syntax::parse::Parser::new();
    for f in &files {
        let Ok(text) = std::fs::read_to_string(f) else { continue };
        let parsed = parser.parse(&text);
        let mut all: BTreeMap<String, (usize, Calls)> = BTreeMap::new();
        for m in &parsed.file.modules {
            for g in m.functions.iter().filter(|g| g.origin == FunctionOrigin::Written) {
                let entry = all.entry(format!("{}.{}/{}", m.name, g.name, g.arity)).or_default();
                for c in &g.clauses {
                    entry.0 += 1;
                    if let Some(g) = &c.guard {
                        e(g, &mut entry.1)
                    }
                    e(&c.body, &mut entry.1);
                }
            }
        }
        println!("FILE {}", f.display());
        for (n, (k, calls)) in all {
            println!("{n} {k} {}", calls.iter().map(|(n, k)| format!("{n}x{k}")).collect::<Vec<_>>().join(","));
        }
    }
}
