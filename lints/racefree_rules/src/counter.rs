//! A number in a row of a table that is counted by hand, and the operation that counts in the table.

use crate::finding::Safety;
use crate::fixes::case_around;
use crate::sketch::{Piece, Sketch, Stroke};
use racefree_analysis::Program;
use racefree_analysis::summary::{FunctionId, ItemKind};
use racefree_analysis::walk::Event;
use racefree_models::EffectKind;
use racefree_syntax::core::{Callee, CaseClause, Expr, ExprKind, Pattern, PatternKind, VarId};

/// A counter written by hand, as the table's own: `case read do [] -> write first; [{_, n}] -> write n + step end`.
pub(crate) fn counted(program: &Program<'_>, id: FunctionId, read: &Event<'_>, write: &Event<'_>) -> Option<Sketch> {
    let counter = write.effect.model.counter.as_ref()?;
    if read.path.len() > 1 || write.path.len() > 1 {
        return None;
    }
    let (case, is_dropped) = case_around(program, id, write.item.name_span)?;
    let ExprKind::Case { subject, clauses } = &case.kind else { return None };
    let [none, some] = clauses.as_slice() else { return None };
    if !matches!(&subject.kind, ExprKind::Call(call) if call.name_span == read.item.name_span)
        || none.guard.is_some()
        || some.guard.is_some()
    {
        return None;
    }
    let (table, key, first) = written(&none.body)?;
    let (again, same, sum) = written(&some.body)?;
    let (ExprKind::Integer(Some(first)), number) = (&first.kind, counted_row(none, some)?) else { return None };
    let step = step(sum, number)?;
    if !same_name(table, again) || !same_name(key, same) {
        return None;
    }
    let text = |text: String| Piece::Text(text);
    let with = vec![
        text(format!("{counter}(")),
        Piece::Source(table.span),
        text(", ".to_owned()),
        Piece::Source(key.span),
        text(format!(", {{2, {step}}}, {{")),
        Piece::Source(key.span),
        text(format!(", {}}})", first.checked_sub(step)?)),
    ];
    let is_only = is_only_writer(program, id, write);
    Some(Sketch {
        title: "Count in the table".to_owned(),
        safety: if is_dropped && is_only { Safety::Safe } else { Safety::Unsafe },
        stroke: Stroke::Replace { place: program.place(id, case.span), with },
    })
}

/// Table, key and value of `write(table, {key, value})`.
fn written(body: &Expr) -> Option<(&Expr, &Expr, &Expr)> {
    match &body.kind {
        ExprKind::Block(statements) => match statements.as_slice() {
            [only] => written(only),
            _ => None,
        },
        ExprKind::Call(call) => match call.args.as_slice() {
            [table, Expr { kind: ExprKind::Tuple(parts), .. }] => match parts.as_slice() {
                [key, value] => Some((table, key, value)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// The variable for the number of a row, where the clauses are for no row and for one of two elements.
fn counted_row(none: &CaseClause, some: &CaseClause) -> Option<VarId> {
    let (PatternKind::List { items: nothing, tail: None }, PatternKind::List { items, tail: None }) =
        (&none.pattern.kind, &some.pattern.kind)
    else {
        return None;
    };
    match (nothing.as_slice(), items.as_slice()) {
        ([], [Pattern { kind: PatternKind::Tuple(parts), .. }]) => match parts.as_slice() {
            [_, Pattern { kind: PatternKind::Bind(number), .. }] => Some(*number),
            _ => None,
        },
        _ => None,
    }
}

/// By how much the number grows.
fn step(sum: &Expr, number: VarId) -> Option<i64> {
    let ExprKind::Call(call) = &sum.kind else { return None };
    let Callee::Local(operator) = &call.callee else { return None };
    let is_number = |expression: &Expr| matches!(expression.kind, ExprKind::Var(id) if id == number);
    match (operator.as_str(), call.args.as_slice()) {
        ("+", [own, Expr { kind: ExprKind::Integer(Some(step)), .. }]) if is_number(own) => Some(*step),
        ("+", [Expr { kind: ExprKind::Integer(Some(step)), .. }, own]) if is_number(own) => Some(*step),
        ("-", [own, Expr { kind: ExprKind::Integer(Some(step)), .. }]) if is_number(own) => step.checked_neg(),
        _ => None,
    }
}

/// Whether both are the same name, or the same tuple of names.
fn same_name(a: &Expr, b: &Expr) -> bool {
    match (&a.kind, &b.kind) {
        (ExprKind::Atom(a), ExprKind::Atom(b))
        | (ExprKind::Attribute(a), ExprKind::Attribute(b))
        | (ExprKind::String(a), ExprKind::String(b)) => a == b,
        (ExprKind::Var(a), ExprKind::Var(b)) => a == b,
        (ExprKind::Tuple(a), ExprKind::Tuple(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_name(a, b)),
        _ => false,
    }
}

/// Whether nobody else puts rows into the table: another one's might hold something that is no number.
fn is_only_writer(program: &Program<'_>, id: FunctionId, write: &Event<'_>) -> bool {
    let table = write.target().map(|table| &table.term);
    program.functions().filter(|(other, _)| *other != id).all(|(other, _)| {
        let mut items = program.summary(other).items.iter();
        items.all(|item| match &item.kind {
            ItemKind::Effect(effect) => effect.kind != EffectKind::TableWrite || effect.target().map(|table| &table.term) != table,
            _ => true,
        })
    })
}
