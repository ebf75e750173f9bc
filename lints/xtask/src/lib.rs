//! Chores of the repository: pages generated from rules, the frame of a new rule, tidiness, layering, golden lists.
//!
//! All of it reads our sources as text and imports no Racefree crate: a page that is missing must not stop the generator that would
//! write it. What must always hold is a test here, so `cargo test` is the only gate; the commands of `cargo xtask` mend or show it.

pub mod codegen;
mod complaint;
pub mod golden;
pub mod layering;
mod layers;
pub mod loom;
pub mod new_rule;
mod page;
mod registration;
mod sources;
pub mod tidy;
mod tokens;

pub use complaint::Complaint;

use std::path::{Path, PathBuf};

/// Where the rules live, from the repository's root.
const RULES_DIR: &str = "lints/racefree_rules/src/rules";

/// Where their pages live, from the repository's root.
const PAGES_DIR: &str = "priv/rules";

/// The root of the repository that holds `start`: the nearest folder whose `Cargo.toml` is a workspace.
pub fn root_above(start: &Path) -> Result<PathBuf, String> {
    let is_root = |folder: &&Path| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|line| line.trim() == "[workspace]")
    };
    let root = start.ancestors().find(is_root);
    root.map(Path::to_owned).ok_or_else(|| format!("no workspace holds {}: run this inside the repository", start.display()))
}

/// Reads a file that must be there.
fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// Writes a file, and the folders above it.
fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}
