//! The files that are the project's own: what git tracks or would track, and without git what no ignored folder holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Folders that hold no source of ours, by their path from the root. Read only where git cannot be asked.
const IGNORED_FOLDERS: [&str; 5] = [".git", "target", "_build", "deps", "priv/native"];

/// A text file of the project.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// From the repository's root, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The file's name without folders and extension.
    pub(crate) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.split('.').next().unwrap_or(name)
    }

    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, found)| found == extension)
    }

    /// Whether only tests or benches see the whole file.
    pub(crate) fn is_for_tests(&self) -> bool {
        self.stem() == "tests" || self.path.split('/').any(|folder| matches!(folder, "tests" | "benches"))
    }
}

/// Every text file, sorted by path. Binary files are left out.
pub(crate) fn all(root: &Path) -> Result<Vec<Source>, String> {
    let paths = match tracked(root) {
        Some(paths) => paths,
        None => {
            let mut paths = BTreeSet::new();
            walk(root, "", &mut paths)?;
            paths
        }
    };
    let mut sources = Vec::new();
    for path in paths {
        let file = root.join(&path);
        // A tracked file may be deleted in the work tree, and a tracked link is not ours to follow.
        let is_file = file.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        let bytes = if is_file { fs::read(&file).map_err(|error| format!("cannot read {path}: {error}"))? } else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source { path, text });
        }
    }
    Ok(sources)
}

/// What git tracks, and what it would if it were added. `None` where there is no git, or the folder is no repository.
fn tracked(root: &Path) -> Option<BTreeSet<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let names = String::from_utf8_lossy(&output.stdout);
    Some(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn walk(root: &Path, folder: &str, paths: &mut BTreeSet<String>) -> Result<(), String> {
    let entries = fs::read_dir(root.join(folder)).map_err(|error| format!("cannot read {folder}: {error}"))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("cannot read {folder}: {error}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let kind = entry.file_type().map_err(|error| format!("cannot read {path}: {error}"))?;
        if kind.is_dir() && !IGNORED_FOLDERS.contains(&path.as_str()) {
            walk(root, &path, paths)?;
        } else if kind.is_file() {
            paths.insert(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write;

    #[test]
    fn finds_text_files_without_git() {
        let root = tempfile::tempdir().expect("a folder");
        for path in ["b/c.rs", "a.rs", "target/out.rs", "deps/d.ex"] {
            write(&root.path().join(path), "//! x\n").expect("written");
        }
        fs::write(root.path().join("image.png"), [0xff, 0xd8]).expect("written");
        let paths: Vec<_> = all(root.path()).expect("read").into_iter().map(|source| source.path).collect();
        assert_eq!(paths, ["a.rs", "b/c.rs"]);
    }

    #[test]
    fn knows_test_files_by_their_place() {
        for (path, expected) in [("lints/a/src/tests.rs", true), ("lints/a/tests/b.rs", true), ("lints/a/src/testing.rs", false)] {
            assert_eq!(Source::new(path, "").is_for_tests(), expected, "{path}");
        }
    }
}
