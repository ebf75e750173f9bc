//! Which tables are the same, seen from two functions that share no values.

use racefree_analysis::term::{Term, TermKind};
use racefree_analysis::value::Value;

/// The same table: named by the same name, or held in a field of the same name.
pub(crate) fn same_table(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => match (table_key(&a.term), table_key(&b.term)) {
            (Some(a), Some(b)) => a == b,
            _ => a.term == b.term && a.term.is_stable(),
        },
        _ => false,
    }
}

/// What tells tables apart across functions: an atom, a name built by the same function or skeleton, or a field's name.
fn table_key(term: &Term) -> Option<String> {
    match term.kind() {
        TermKind::Atom(name) => Some(format!(":{name}")),
        TermKind::Field(_, name) => Some(format!(".{name}")),
        TermKind::Join(text, _) => Some(format!("\"{text}\"")),
        TermKind::Apply { module, name, .. } => Some(format!("{module}.{name}")),
        _ => None,
    }
}
