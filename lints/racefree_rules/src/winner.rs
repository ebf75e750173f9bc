//! Code that takes the answer of a start, and the clause that it lacks: for the process that somebody else has started.

use crate::finding::Safety;
use crate::fixes::{case_at, match_at};
use crate::sketch::{Piece, Sketch, Stroke};
use racefree_analysis::Program;
use racefree_analysis::summary::{FunctionId, Misfit, MisfitKind};
use racefree_analysis::value::Value;
use racefree_analysis::walk::Event;
use racefree_syntax::Symbol;
use racefree_syntax::core::{CaseClause, ExprKind, Pattern, PatternKind, VarId};

/// Lets `misfit`, which raises when `start` is refused, take the process that is there.
pub(crate) fn take_winner(program: &Program<'_>, function: FunctionId, misfit: &Misfit, start: &Event<'_>) -> Option<Sketch> {
    let refused = misfit.value.alts.iter().find_map(|alt| Value::of(alt.shape.clone(), misfit.value.term.clone()).tag())?;
    let title = "Take the process that is there".to_owned();
    let reason = &program.models().conventions.already_started;
    let refusal = |name: Symbol| format!("{{:{refused}, {{:{reason}, {name}}}}}");
    if misfit.kind == MisfitKind::Match {
        let (clause, pattern, value) = match_at(program, function, misfit.span)?;
        let name = *clause.names.get(bound_pid(pattern, refused)?.0 as usize)?;
        let with = vec![
            Piece::Text(format!("{name} =\n  case ")),
            Piece::Source(value.span),
            Piece::Text(" do\n    ".to_owned()),
            Piece::Source(pattern.span),
            Piece::Text(format!(" -> {name}\n    {} -> {name}\n  end", refusal(name))),
        ];
        // The value of the match is no longer the whole answer.
        return Some(Sketch {
            title,
            safety: Safety::Unsafe,
            stroke: Stroke::Replace { place: program.place(function, misfit.span), with },
        });
    }
    let (clause, clauses) = case_at(program, function, misfit.span)?;
    let (success, pid) = clauses.iter().find_map(|clause| Some((clause, bound_pid(&clause.pattern, refused)?)))?;
    let head = refusal(*clause.names.get(pid.0 as usize)?);
    // A supervisor's child is the supervisor's, whoever asked for it; another process would be linked to the winner alone.
    let is_same = success.guard.is_none() && gives_pid(success, pid) && start.effect.model.exits;
    Some(Sketch {
        title,
        safety: if is_same { Safety::Safe } else { Safety::Unsafe },
        stroke: Stroke::Clause { clause: program.place(function, success.span), head, body: vec![Piece::Source(success.body.span)] },
    })
}

/// The variable of `{:ok, pid}`: of a pair whose tag is not that of a refusal.
fn bound_pid(pattern: &Pattern, refused: Symbol) -> Option<VarId> {
    let PatternKind::Tuple(parts) = &pattern.kind else { return None };
    match parts.as_slice() {
        [Pattern { kind: PatternKind::Atom(tag), .. }, Pattern { kind: PatternKind::Bind(pid), .. }] if *tag != refused => Some(*pid),
        _ => None,
    }
}

/// Whether the clause gives the pid and does nothing else with it.
fn gives_pid(clause: &CaseClause, pid: VarId) -> bool {
    let is_pid = |kind: &ExprKind| matches!(kind, ExprKind::Var(id) if *id == pid);
    match &clause.body.kind {
        ExprKind::Tuple(parts) => parts.iter().all(|part| is_pid(&part.kind) || matches!(part.kind, ExprKind::Atom(_))),
        ExprKind::Block(statements) => matches!(statements.as_slice(), [only] if is_pid(&only.kind)),
        kind => is_pid(kind) || matches!(kind, ExprKind::Atom(_)),
    }
}
