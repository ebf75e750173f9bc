//! Which lines a change touches, asked of git: for `--diff REF` and `--staged`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::children;
use crate::failure::Failure;

/// The touched lines of each file, by its canonical path.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    files: BTreeMap<PathBuf, Vec<RangeInclusive<u32>>>,
}

/// A repository, and how to ask it.
#[derive(Debug)]
pub(crate) struct Repository {
    root: PathBuf,
}

impl Changes {
    /// Whether one of the lines `first` to `last` of the file is touched.
    pub(crate) fn touch(&self, file: &Path, first: u32, last: u32) -> bool {
        let ranges = self.files.get(file).map(Vec::as_slice).unwrap_or_default();
        ranges.iter().any(|range| *range.start() <= last && first <= *range.end())
    }

    /// Reads the output of `git diff --unified=0`. A line that was only taken away touches its two neighbours.
    fn add_diff(&mut self, root: &Path, diff: &str) {
        let mut file = None;
        // What is left of a hunk: its lines may begin like headers.
        let mut body = 0;
        for line in diff.lines() {
            if body > 0 {
                // "\ No newline at end of file" belongs to the line before it.
                body -= usize::from(!line.starts_with('\\'));
            } else if let Some(path) = line.strip_prefix("+++ ") {
                file = (path != "/dev/null").then(|| root.join(unquoted(path.trim_end_matches('\t'))));
            } else if let Some((old, new)) = hunk(line) {
                body = (old.1 + new.1) as usize;
                let (start, count) = new;
                let range = if count == 0 { start..=start + 1 } else { start..=start + count - 1 };
                if let Some(file) = &file {
                    self.files.entry(file.clone()).or_default().push(range);
                }
            }
        }
    }
}

impl Repository {
    /// The repository around `folder`.
    pub(crate) fn around(folder: &Path) -> Result<Self, Failure> {
        let output = git(folder, &["rev-parse", "--show-toplevel"])?;
        let root = if output.status.success() { PathBuf::from(text(output)?.trim_end_matches('\n')) } else { PathBuf::new() };
        let root = root.canonicalize().map_err(|_| Failure::Usage(format!("`{}` is not in a git repository", folder.display())))?;
        Ok(Self { root })
    }

    /// What changed since the work tree left `reference`: since the last commit that both have, so that what others did there in the meantime is not counted.
    pub(crate) fn changes_since(&self, reference: &str) -> Result<Changes, Failure> {
        let commit = format!("{reference}^{{commit}}");
        let known = git(&self.root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])?;
        if !known.status.success() {
            let hint = "a shallow clone may lack it: try `git fetch --unshallow`";
            return Err(Failure::Usage(format!("git knows no commit `{reference}`; {hint}")));
        }
        let commit = text(known)?;
        // Without a common commit, as in a shallow clone, the reference itself is the best there is.
        let base = git(&self.root, &["merge-base", commit.trim_end(), "HEAD"])?;
        let base = if base.status.success() { text(base)? } else { commit };
        let mut changes = Changes::default();
        changes.add_diff(&self.root, &self.diff(&[base.trim_end()])?);
        for path in self.listed(&["ls-files", "--others", "--exclude-standard", "-z"])? {
            changes.files.insert(path, vec![1..=u32::MAX]);
        }
        Ok(changes)
    }

    /// What the next commit would change.
    pub(crate) fn staged_changes(&self) -> Result<Changes, Failure> {
        let mut changes = Changes::default();
        changes.add_diff(&self.root, &self.diff(&["--cached"])?);
        Ok(changes)
    }

    /// The staged text of each file whose text in the work tree is another one.
    pub(crate) fn staged_texts(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failure> {
        let mut texts = BTreeMap::new();
        for path in self.listed(&["diff", "--name-only", "--diff-filter=AM", "-z"])? {
            let Some(name) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) else { continue };
            let staged = git(&self.root, &["show", &format!(":./{name}")])?;
            if staged.status.success() {
                texts.insert(path, staged.stdout);
            }
        }
        Ok(texts)
    }

    fn diff(&self, what: &[&str]) -> Result<String, Failure> {
        // Whatever the user's settings say of colours, prefixes and other tools, this output is read by a program.
        let fixed = ["-c", "core.quotePath=false", "diff", "--unified=0", "--no-color", "--no-ext-diff", "--no-prefix", "--no-renames"];
        text(answered(git(&self.root, &[&fixed, what, &["--", "*.ex", "*.exs"]].concat())?)?)
    }

    /// The paths that a `-z` command lists.
    fn listed(&self, arguments: &[&str]) -> Result<Vec<PathBuf>, Failure> {
        let output = text(answered(git(&self.root, arguments)?)?)?;
        Ok(output.split('\0').filter(|name| !name.is_empty()).map(|name| self.root.join(name)).collect())
    }
}

fn git(folder: &Path, arguments: &[&str]) -> Result<Output, Failure> {
    let all: Vec<&OsStr> = [OsStr::new("-C"), folder.as_os_str()].into_iter().chain(arguments.iter().map(OsStr::new)).collect();
    let run = children::output("git", &all, &[("GIT_OPTIONAL_LOCKS", "0")]);
    run.map_err(|error| Failure::CouldNotRun(format!("cannot run git: {error}")))
}

fn answered(output: Output) -> Result<Output, Failure> {
    if output.status.success() {
        return Ok(output);
    }
    Err(Failure::CouldNotRun(format!("git: {}", String::from_utf8_lossy(&output.stderr).trim_end())))
}

/// Lines of other encodings are compared by nobody: what git prints of them may be bent.
fn text(output: Output) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The old and new start and length of `@@ -1,2 +3,4 @@`.
fn hunk(line: &str) -> Option<((u32, u32), (u32, u32))> {
    let (old, rest) = line.strip_prefix("@@ -")?.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    let side = |side: &str| match side.split_once(',') {
        Some((start, count)) => Some((start.parse().ok()?, count.parse().ok()?)),
        None => Some((side.parse().ok()?, 1)),
    };
    Some((side(old)?, side(new)?))
}

/// Git puts names with quotes, backslashes and control characters in quotes.
fn unquoted(path: &str) -> String {
    let Some(inner) = path.strip_prefix('"').and_then(|path| path.strip_suffix('"')) else { return path.to_owned() };
    let mut name = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match (character, if character == '\\' { characters.next() } else { None }) {
            (_, Some('t')) => name.push('\t'),
            (_, Some('n')) => name.push('\n'),
            (_, Some(escaped)) => name.push(escaped),
            (plain, None) => name.push(plain),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(diff: &str) -> Vec<(String, Vec<RangeInclusive<u32>>)> {
        let mut changes = Changes::default();
        changes.add_diff(Path::new("/r"), diff);
        changes.files.into_iter().map(|(path, ranges)| (path.display().to_string(), ranges)).collect()
    }

    #[test]
    fn reads_added_changed_and_removed_lines() {
        let diff = "diff --git lib/a.ex lib/a.ex\n--- lib/a.ex\n+++ lib/a.ex\n@@ -3 +3,2 @@ def f\n-x\n+y\n+z\n@@ -9,2 +9,0 @@\n-p\n-q\n";
        assert_eq!(touched(diff), [("/r/lib/a.ex".to_owned(), vec![3..=4, 9..=10])]);
    }

    #[test]
    fn takes_no_line_of_a_hunk_for_a_header() {
        let diff = "--- a.ex\n+++ a.ex\n@@ -1 +1 @@\n--- old\n+++ new.ex\n\\ No newline at end of file\n@@ -5,0 +6 @@\n+@@ -1 +90 @@\n";
        assert_eq!(touched(diff), [("/r/a.ex".to_owned(), vec![1..=1, 6..=6])]);
    }

    #[test]
    fn leaves_deleted_files_out_and_reads_quoted_names() {
        let diff = "--- a.ex\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n--- \"b\\\".ex\"\n+++ \"b\\\".ex\"\n@@ -1 +1 @@\n-x\n+y\n";
        assert_eq!(touched(diff), [("/r/b\".ex".to_owned(), vec![1..=1])]);
    }

    #[test]
    fn touches_by_overlap() {
        let mut changes = Changes::default();
        changes.files.insert("/r/a.ex".into(), vec![3..=4]);
        let touch = |first, last| changes.touch(Path::new("/r/a.ex"), first, last);
        assert_eq!([touch(1, 2), touch(1, 3), touch(4, 9), touch(5, 9)], [false, true, true, false]);
        assert!(!changes.touch(Path::new("/r/b.ex"), 1, 9));
    }
}
