//! `racefree check --fix`: makes the edits of safe fixes in the files, and nothing else.
//!
//! Two fixes that meet cannot both be right about the text: the first one is made, and the run that follows finds the second again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use racefree_report::Source;
use racefree_rules::finding::{Edit, Fix, Safety};

use crate::failure::Failure;

/// Makes the safe ones of `fixes` in the files at `paths`, which hold `texts`. Gives the number of fixes made.
pub(crate) fn apply<'f>(fixes: impl Iterator<Item = &'f Fix>, texts: &[Source], paths: &[std::path::PathBuf]) -> Result<usize, Failure> {
    let mut edits: BTreeMap<u32, Vec<Edit>> = BTreeMap::new();
    let mut made = 0;
    for fix in fixes.filter(|fix| fix.safety == Safety::Safe) {
        if fix.edits.iter().all(|edit| edits.get(&edit.place.file.0).is_none_or(|others| !others.iter().any(|other| meet(edit, other)))) {
            for edit in &fix.edits {
                edits.entry(edit.place.file.0).or_default().push(edit.clone());
            }
            made += 1;
        }
    }
    for (file, mut edits) in edits {
        edits.sort_by_key(|edit| edit.place);
        let (Some(source), Some(path)) = (texts.get(file as usize), paths.get(file as usize)) else { continue };
        let whole = Fix { title: String::new(), safety: Safety::Safe, edits };
        if let Some(text) = whole.applied(&source.text) {
            rewrite(path, &source.text, &text)?;
        }
    }
    Ok(made)
}

/// Whether two edits touch the same text, or the same place.
fn meet(a: &Edit, b: &Edit) -> bool {
    a.place.file == b.place.file && a.place.span.start <= b.place.span.end && b.place.span.start <= a.place.span.end
}

/// Replaces a file that still holds `before`, as one step, with its permissions. What the reader of the file put right (a byte order mark, bytes
/// that are no UTF-8) would be lost: such a file is left as it is.
fn rewrite(path: &Path, before: &str, after: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::CouldNotRun(format!("cannot fix `{}`: {error}", path.display()));
    if fs::read(path).map_err(failed)? != before.as_bytes() {
        let message = format!("cannot fix `{}`: it was changed meanwhile, or is not plain UTF-8", path.display());
        return Err(Failure::CouldNotRun(message));
    }
    let path = fs::canonicalize(path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(after.as_bytes()).map_err(failed)?;
    file.as_file().set_permissions(fs::metadata(&path).map_err(failed)?.permissions()).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}
