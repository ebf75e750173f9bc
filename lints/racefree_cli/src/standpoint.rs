//! Where the project lies, seen from the root of its repository and from the folder the command was called in.

use std::fs;
use std::path::Path;

use racefree_report::Standpoint;

use crate::files;

/// For a project whose paths are relative to `base`.
pub(crate) fn of(base: &Path, current_dir: &Path) -> Standpoint {
    Standpoint { repository: from_repository(&current_dir.join(base)), working_folder: as_prefix(&files::name(base, current_dir)) }
}

/// The way from the nearest folder that holds `.git` (a file, in a work tree of its own) down to `base`.
fn from_repository(base: &Path) -> String {
    let base = fs::canonicalize(base).unwrap_or_else(|_| base.to_path_buf());
    let root = base.ancestors().find(|folder| folder.join(".git").exists());
    root.map(|root| as_prefix(&files::name(&base, root))).unwrap_or_default()
}

fn as_prefix(name: &str) -> String {
    if name == "." { String::new() } else { format!("{}/", name.trim_end_matches('/')) }
}
