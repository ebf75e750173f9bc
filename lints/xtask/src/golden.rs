//! Lists of findings over real projects, kept from run to run, so that a change of the analysis shows as a diff of findings.
//!
//! The lists belong to whoever compares: they name lines of projects that are not ours, so none is committed here.

use crate::write;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A comparison to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Golden {
    /// The `racefree` binary.
    pub binary: PathBuf,
    /// The folder of the lists, one file a project.
    pub lists: PathBuf,
    pub projects: Vec<PathBuf>,
    pub mode: Mode,
}

/// What to do with a list that differs, or is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Compare,
    Write,
}

impl Golden {
    /// Runs the binary over every project. Returns what has changed, as text for people; empty if nothing has.
    pub fn run(&self) -> Result<String, String> {
        let mut changes = String::new();
        let mut names = BTreeSet::new();
        for project in &self.projects {
            let name = list_name(project)?;
            if !names.insert(name.clone()) {
                return Err(format!("two projects are called {name}: they would share a list"));
            }
            let list = self.lists.join(format!("{name}.txt"));
            let current = self.findings(project)?;
            match self.mode {
                Mode::Write => write(&list, &current)?,
                Mode::Compare => match fs::read_to_string(&list) {
                    Ok(kept) => describe(&mut changes, &name, &kept, &current),
                    Err(error) => return Err(format!("cannot read {}: {error}; write it first: --write", list.display())),
                },
            }
        }
        Ok(changes)
    }

    /// The findings of one project, a line each.
    fn findings(&self, project: &Path) -> Result<String, String> {
        let binary = self.binary.canonicalize().map_err(|error| format!("cannot find {}: {error}", self.binary.display()))?;
        let mut command = Command::new(&binary);
        command.args(["check", "--format", "oneline", "--color", "never", "."]).current_dir(project);
        let output = command.output().map_err(|error| format!("cannot run {} in {}: {error}", binary.display(), project.display()))?;
        // 0 is clean, 1 is findings; all else means that the list is not to be trusted.
        match output.status.code() {
            Some(0 | 1) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            _ => Err(format!("{} in {}: {}\n{}", binary.display(), project.display(), output.status, text(&output.stderr))),
        }
    }
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn list_name(project: &Path) -> Result<String, String> {
    let full = project.canonicalize().map_err(|error| format!("cannot find {}: {error}", project.display()))?;
    let name = full.file_name().ok_or_else(|| format!("{} has no name", project.display()))?;
    Ok(name.to_string_lossy().into_owned())
}

/// Adds to `changes` the lines that left and the lines that came. A line that only moved is no change.
fn describe(changes: &mut String, name: &str, kept: &str, current: &str) {
    let (kept, current): (BTreeSet<&str>, BTreeSet<&str>) = (kept.lines().collect(), current.lines().collect());
    let gone: Vec<_> = kept.difference(&current).collect();
    let new: Vec<_> = current.difference(&kept).collect();
    if gone.is_empty() && new.is_empty() {
        return;
    }
    let _ = writeln!(changes, "{name}: {} gone, {} new, {} as before", gone.len(), new.len(), kept.len() - gone.len());
    for (mark, lines) in [('-', gone), ('+', new)] {
        for line in lines {
            let _ = writeln!(changes, "{mark} {line}");
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A folder with a project `app` and a binary that prints `app`'s file `findings` and exits with `status`.
    fn repository(status: u8) -> (tempfile::TempDir, Golden) {
        let root = tempfile::tempdir().expect("a folder");
        let binary = root.path().join("racefree");
        write(&binary, &format!("#!/bin/sh\ncat findings\nexit {status}\n")).expect("written");
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("set");
        let project = root.path().join("app");
        write(&project.join("findings"), "a.ex:1: one\na.ex:2: two\n").expect("written");
        let golden = Golden { binary, lists: root.path().join("lists"), projects: vec![project], mode: Mode::Compare };
        (root, golden)
    }

    fn written(golden: &Golden) -> Result<String, String> {
        Golden { mode: Mode::Write, ..golden.clone() }.run()
    }

    #[test]
    fn tells_what_came_and_what_left() {
        let (root, golden) = repository(1);
        assert_eq!(written(&golden), Ok(String::new()));
        assert_eq!(golden.run(), Ok(String::new()));
        write(&root.path().join("app/findings"), "a.ex:2: two\na.ex:3: three\n").expect("written");
        assert_eq!(golden.run().as_deref(), Ok("app: 1 gone, 1 new, 1 as before\n- a.ex:1: one\n+ a.ex:3: three\n"));
    }

    #[test]
    fn refuses_to_compare_without_a_list() {
        let (_root, golden) = repository(0);
        assert!(golden.run().expect_err("no list").contains("write it first: --write"));
    }

    #[test]
    fn refuses_a_run_that_failed() {
        for status in [2, 3, 101] {
            let (_root, golden) = repository(status);
            assert!(written(&golden).expect_err("failed").contains(&format!("exit status: {status}")));
        }
    }

    #[test]
    fn refuses_two_projects_of_one_name() {
        let (_root, mut golden) = repository(0);
        golden.projects.push(golden.projects[0].clone());
        assert!(written(&golden).expect_err("twice").contains("two projects are called app"));
    }
}
