//! What a formatter and a compiler leave open: sizes, names, opening comments, the list of rules and their tests, and words that must not
//! appear. Each check is a function from text to complaints, and its tests show that it can complain.
//!
//! Generated pages are the business of [`crate::codegen`], imports that of [`crate::layering`].

mod names;
mod rules;
mod sizes;
mod vocabulary;

use crate::Complaint;
use crate::sources::{self, Source};
use std::path::Path;

/// Checks every file of the project.
pub fn check(root: &Path) -> Result<Vec<Complaint>, String> {
    let sources = sources::all(root)?;
    let mut complaints = Vec::new();
    for source in &sources {
        complaints.extend(names::check(source));
        complaints.extend(vocabulary::check_text(source));
        complaints.extend(sizes::check_file(source));
        if source.has_extension("rs") {
            complaints.extend(check_rust(source));
        }
    }
    complaints.extend(rules::check(&sources));
    complaints.sort();
    complaints.dedup();
    Ok(complaints)
}

fn check_rust(source: &Source) -> Vec<Complaint> {
    let mut complaints = names::check_opening(source);
    match syn::parse_file(&source.text) {
        Ok(file) => {
            complaints.extend(sizes::check_functions(source, &file));
            complaints.extend(vocabulary::check_macros(source, &file));
            complaints.extend(vocabulary::check_strings(source, &file));
        }
        Err(error) => {
            let line = error.span().start().line;
            complaints.push(Complaint::new(&source.path, line, format!("this is not Rust that can be read: {error}")));
        }
    }
    complaints
}

/// Runs `check` on a snippet and joins what it says, for tests.
#[cfg(test)]
fn told(complaints: Vec<Complaint>) -> String {
    complaints.iter().map(|complaint| format!("{complaint}\n")).collect()
}
