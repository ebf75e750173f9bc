//! The frame of a new rule compiles, tests included, in a copy of this workspace.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const RULE: &str = "a_frame_to_compile";

/// What cargo needs of the workspace.
const NEEDED: [&str; 5] = ["Cargo.toml", "Cargo.lock", "lints", "native", "priv/rules"];

fn root() -> PathBuf {
    xtask::root_above(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the repository")
}

/// Adds the files at or below `path`, relative to `root`. Links are not followed.
fn files_below(root: &Path, path: &Path, files: &mut BTreeSet<PathBuf>) {
    let full = root.join(path);
    let Ok(metadata) = full.symlink_metadata() else { return };
    if metadata.is_file() {
        files.insert(path.to_owned());
    } else if metadata.is_dir() && path.file_name().is_none_or(|name| name != "target") {
        for entry in fs::read_dir(full).expect("a folder") {
            files_below(root, &path.join(entry.expect("an entry").file_name()), files);
        }
    }
}

fn needed_files(root: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for path in NEEDED {
        files_below(root, Path::new(path), &mut files);
    }
    files
}

/// Makes `copy` hold the needed files of `root` and nothing else. What is equal already keeps its time stamp, so that cargo, which finds
/// the copy at the same place in every run, builds only what changed.
fn mirror(root: &Path, copy: &Path) {
    let files = needed_files(root);
    for stale in needed_files(copy).difference(&files) {
        fs::remove_file(copy.join(stale)).expect("removed");
    }
    for file in &files {
        // Sources may be saved while this runs: what has just gone is not copied.
        let Ok(bytes) = fs::read(root.join(file)) else { continue };
        let target = copy.join(file);
        if fs::read(&target).ok().as_ref() != Some(&bytes) {
            fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
            fs::write(target, bytes).expect("written");
        }
    }
}

#[test]
fn accepts_the_frame_of_a_new_rule() {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new_rule");
    mirror(&root(), &copy);
    xtask::new_rule::run(&copy, RULE).expect("a new rule");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["check", "--quiet", "--offline", "--package", "racefree_rules", "--tests"]).current_dir(&copy);
    // Not the target folder of this workspace: cargo tells packages apart by where they lie in theirs, and would take the copy's for ours.
    cargo.env("CARGO_TARGET_DIR", copy.join("target"));
    let output = cargo.output().expect("cargo can be run");
    assert!(output.status.success(), "{cargo:?}\n{}", String::from_utf8_lossy(&output.stderr));
}
