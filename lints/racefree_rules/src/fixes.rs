//! Repairs that the rules have in common: where in the source an edit goes. Rules see no text, so an edit inserts or replaces whole pieces of syntax.

use crate::finding::{Edit, Fix, Place, Safety};
use racefree_analysis::Program;
use racefree_analysis::summary::FunctionId;
use racefree_syntax::Span;
use racefree_syntax::core::{CaseClause, Clause, Expr, ExprKind, For, ForStep, Pattern, PatternKind, Try, VarId, WithStep};

/// A fix of one edit.
pub(crate) fn fix(title: &str, safety: Safety, place: Place, text: &str) -> Fix {
    Fix { title: title.to_owned(), safety, edits: vec![Edit { place, text: text.to_owned() }] }
}

/// The empty place before `place`.
pub(crate) fn before(place: Place) -> Place {
    Place { span: Span { end: place.span.start, ..place.span }, ..place }
}

/// The empty place behind `place`.
pub(crate) fn behind(place: Place) -> Place {
    Place { span: Span { start: place.span.end, ..place.span }, ..place }
}

/// The statement of `function` that is the call at `call` and nothing else: its value falls to the ground.
pub(crate) fn statement(program: &Program<'_>, function: FunctionId, call: Span) -> Option<Span> {
    let mut found = None;
    for clause in &program.function(function).function.clauses {
        each_expression(&clause.body, &mut |expression| {
            let ExprKind::Block(statements) = &expression.kind else { return };
            let holds = |statement: &&Expr| matches!(statement.kind, ExprKind::Call(_)) && statement.span.contains(call);
            // Inner blocks come later, and their statement is the narrower one.
            found = statements.iter().find(holds).map(|statement| statement.span).or(found);
        });
    }
    found
}

/// The call in `function` whose name stands at `name`.
pub(crate) fn call_at<'p>(program: &Program<'p>, function: FunctionId, name: Span) -> Option<&'p Expr> {
    let mut found = None;
    for clause in &program.function(function).function.clauses {
        each_expression(&clause.body, &mut |expression| {
            if matches!(&expression.kind, ExprKind::Call(call) if call.name_span == name) {
                found = Some(expression);
            }
        });
    }
    found
}

/// Where an option goes in a call of one argument and options: in the place of the one given, behind the only argument, or between the parentheses that a pipe leaves empty.
pub(crate) fn option_edit(call: &Expr, name: Span, option: &str) -> Option<(Span, String)> {
    let ExprKind::Call(parts) = &call.kind else { return None };
    match parts.args.as_slice() {
        [_, given] if given.span.start >= name.end => Some((given.span, option.to_owned())),
        // What stands between the argument and the end of the call is a closing parenthesis, or nothing.
        [reference] if reference.span.start > name.end && call.span.end.saturating_sub(reference.span.end) < 2 => {
            Some((Span { start: reference.span.end, end: reference.span.end }, format!(", {option}")))
        }
        [reference] if reference.span.end < name.start && call.span.end == name.end + 2 => {
            Some((Span { start: name.end + 1, end: name.end + 1 }, option.to_owned()))
        }
        _ => None,
    }
}

/// A statement of `function` that can as well stand before another one of its block, and that one: the statements that hold the calls named at `call` and
/// at `above`. Its value is bound to a variable or not used, and all that it uses is there before the other one.
pub(crate) fn movable(program: &Program<'_>, function: FunctionId, call: Span, above: Span) -> Option<(Span, Span)> {
    let mut found = None;
    for clause in &program.function(function).function.clauses {
        each_expression(&clause.body, &mut |expression| {
            let ExprKind::Block(statements) = &expression.kind else { return };
            let holding = |wanted: Span| statements.iter().position(|statement| statement.span.contains(wanted));
            let (Some(later), Some(earlier)) = (holding(call), holding(above)) else { return };
            let Some([first, .., last]) = statements.get(earlier..=later) else { return };
            // The value of a block's last statement is the block's.
            if later + 1 < statements.len() && is_plain_call(last, call) && !uses_bound(last, statements.get(earlier..later).unwrap_or(&[]))
            {
                found = Some((last.span, first.span));
            }
        });
    }
    found
}

/// Whether the statement is the call named at `name`, its value bound to a variable or to nothing.
fn is_plain_call(statement: &Expr, name: Span) -> bool {
    match &statement.kind {
        ExprKind::Match { pattern, value } => is_variable(pattern) && is_plain_call(value, name),
        ExprKind::Call(call) => call.name_span == name,
        _ => false,
    }
}

/// Whether an expression uses a variable that `statements` bind.
fn uses_bound(expression: &Expr, statements: &[Expr]) -> bool {
    let mut bound = Vec::new();
    for statement in statements {
        each_expression(statement, &mut |part| {
            if let ExprKind::Match { pattern, .. } = &part.kind {
                variables(pattern, &mut bound);
            }
        });
    }
    let mut uses = false;
    each_expression(expression, &mut |part| uses |= matches!(part.kind, ExprKind::Var(id) if bound.contains(&id)));
    uses
}

/// Adds the variables that a pattern binds.
fn variables(pattern: &Pattern, into: &mut Vec<VarId>) {
    match &pattern.kind {
        PatternKind::Bind(id) => into.push(*id),
        PatternKind::Tuple(parts) | PatternKind::Binary(parts) => parts.iter().for_each(|part| variables(part, into)),
        PatternKind::List { items, tail } => items.iter().chain(tail.as_deref()).for_each(|part| variables(part, into)),
        PatternKind::Map { pairs, .. } => pairs.iter().for_each(|(_, part)| variables(part, into)),
        PatternKind::Macro { fields, args, .. } => fields.iter().map(|(_, part)| part).chain(args).for_each(|part| variables(part, into)),
        PatternKind::Both(left, right) => [left, right].into_iter().for_each(|part| variables(part, into)),
        PatternKind::Wild
        | PatternKind::Pin(_)
        | PatternKind::Atom(_)
        | PatternKind::Integer(_)
        | PatternKind::String(_)
        | PatternKind::Literal => {}
    }
}

/// The `case` of `function` that stands at `span`: its clauses, and the function's clause that holds it.
pub(crate) fn case_at<'p>(program: &Program<'p>, function: FunctionId, span: Span) -> Option<(&'p Clause, &'p [CaseClause])> {
    expression_at(program, function, span, |kind| match kind {
        ExprKind::Case { clauses, .. } => Some(clauses.as_slice()),
        _ => None,
    })
}

/// The match of `function` that stands at `span`: its two sides, and the function's clause that holds it.
pub(crate) fn match_at<'p>(program: &Program<'p>, function: FunctionId, span: Span) -> Option<(&'p Clause, &'p Pattern, &'p Expr)> {
    let found = expression_at(program, function, span, |kind| match kind {
        ExprKind::Match { pattern, value } => Some((&**pattern, &**value)),
        _ => None,
    });
    found.map(|(clause, (pattern, value))| (clause, pattern, value))
}

fn expression_at<'p, T>(
    program: &Program<'p>,
    function: FunctionId,
    span: Span,
    wanted: impl Fn(&'p ExprKind) -> Option<T>,
) -> Option<(&'p Clause, T)> {
    let mut found = None;
    for clause in &program.function(function).function.clauses {
        each_expression(&clause.body, &mut |expression| {
            if expression.span == span
                && let Some(part) = wanted(&expression.kind)
            {
                found = Some((clause, part));
            }
        });
    }
    found
}

/// The innermost `case` of `function` around `span`, and whether it is a statement whose value nobody uses.
pub(crate) fn case_around<'p>(program: &Program<'p>, function: FunctionId, span: Span) -> Option<(&'p Expr, bool)> {
    let mut found = None;
    for clause in &program.function(function).function.clauses {
        each_expression(&clause.body, &mut |expression| {
            if matches!(expression.kind, ExprKind::Case { .. }) && expression.span.contains(span) {
                found = Some((expression, false));
            }
            let ExprKind::Block(statements) = &expression.kind else { return };
            let Some((_, dropped)) = statements.split_last() else { return };
            let is_case = |statement: &&Expr| matches!(statement.kind, ExprKind::Case { .. }) && statement.span.contains(span);
            found = dropped.iter().find(is_case).map(|case| (case, true)).or(found);
        });
    }
    found
}

/// The collection that a loop of `function` goes over, when the loop's body has the place `used` and the loop's variable is the whole element.
pub(crate) fn collection(program: &Program<'_>, function: FunctionId, used: Span) -> Option<Span> {
    let mut found = None;
    for clause in &program.function(function).function.clauses {
        each_expression(&clause.body, &mut |expression| {
            let collection = match &expression.kind {
                ExprKind::Call(call) => match call.args.as_slice() {
                    [collection, Expr { kind: ExprKind::Fn { clauses }, .. }] => {
                        let is_body = |clause: &racefree_syntax::core::Clause| {
                            clause.body.span.contains(used) && matches!(clause.params.as_slice(), [only] if is_variable(only))
                        };
                        clauses.iter().any(is_body).then_some(collection)
                    }
                    _ => None,
                },
                ExprKind::For(comprehension) if comprehension.body.span.contains(used) => match comprehension.steps.as_slice() {
                    [ForStep::Generate { pattern, source, .. }] if is_variable(pattern) => Some(source),
                    _ => None,
                },
                _ => None,
            };
            // What ends in an operator or a `do` block cannot take a pipe behind it.
            let simple = collection.filter(|collection| matches!(collection.kind, ExprKind::Var(_) | ExprKind::Call(_)));
            found = simple.map(|collection| collection.span).or(found);
        });
    }
    found
}

fn is_variable(pattern: &Pattern) -> bool {
    matches!(pattern.kind, PatternKind::Bind(_))
}

/// Every expression in and below `expression`, outer ones first.
fn each_expression<'e>(expression: &'e Expr, see: &mut dyn FnMut(&'e Expr)) {
    see(expression);
    let mut below: Vec<&Expr> = Vec::new();
    match &expression.kind {
        ExprKind::Interpolated { parts, .. }
        | ExprKind::Tuple(parts)
        | ExprKind::Binary(parts)
        | ExprKind::Block(parts)
        | ExprKind::Opaque(parts) => {
            below.extend(parts);
        }
        ExprKind::List { items, tail } => below.extend(items.iter().chain(tail.as_deref())),
        ExprKind::Map { base, pairs, .. } => {
            below.extend(base.as_deref());
            below.extend(pairs.iter().flat_map(|(key, value)| [key, value]));
        }
        ExprKind::Call(call) => below.extend(&call.args),
        ExprKind::Field { base, .. } | ExprKind::Not(base) => below.push(base),
        ExprKind::Match { value, .. } => below.push(value),
        ExprKind::If { condition, then, else_ } => below.extend([condition.as_ref(), then, else_]),
        ExprKind::And(left, right) | ExprKind::Or(left, right) => below.extend([left.as_ref(), right]),
        ExprKind::Case { subject, clauses } => {
            below.push(subject);
            below.extend(bodies(clauses));
        }
        ExprKind::With { steps, body, else_ } => {
            below.extend(steps.iter().map(|step| match step {
                WithStep::Bind { value, .. } | WithStep::Plain(value) => value,
            }));
            below.push(body);
            below.extend(bodies(else_));
        }
        ExprKind::For(comprehension) => below.extend(parts_of_for(comprehension)),
        ExprKind::Fn { clauses } => below.extend(clauses.iter().map(|clause| &clause.body)),
        ExprKind::Try(tried) => below.extend(parts_of_try(tried)),
        ExprKind::Receive { clauses, after } => {
            below.extend(bodies(clauses));
            below.extend(after.as_deref().into_iter().flat_map(|(time, body)| [time, body]));
        }
        _ => {}
    }
    for part in below {
        each_expression(part, see);
    }
}

fn bodies(clauses: &[CaseClause]) -> impl Iterator<Item = &Expr> {
    clauses.iter().map(|clause| &clause.body)
}

fn parts_of_for(comprehension: &For) -> Vec<&Expr> {
    let steps = comprehension.steps.iter().map(|step| match step {
        ForStep::Generate { source, .. } | ForStep::Bits { source, .. } | ForStep::Filter(source) => source,
    });
    let reduce = comprehension.reduce.iter().flat_map(|(initial, clauses)| std::iter::once(initial).chain(bodies(clauses)));
    steps.chain(comprehension.into.iter()).chain(reduce).chain([&comprehension.body]).collect()
}

fn parts_of_try(tried: &Try) -> Vec<&Expr> {
    let rescues = tried.rescues.iter().map(|rescue| &rescue.body);
    let catches = tried.catches.iter().map(|catch| &catch.body);
    std::iter::once(&tried.body).chain(rescues).chain(catches).chain(bodies(&tried.else_)).chain(tried.after.iter()).collect()
}
