//! What must hold for this very repository: its pages are fresh, its files tidy, its layers apart.

use std::path::{Path, PathBuf};
use xtask::{Complaint, codegen, layering, tidy};

fn root() -> PathBuf {
    xtask::root_above(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the repository")
}

#[track_caller]
fn assert_none(checked: Result<Vec<Complaint>, String>) {
    let complaints = checked.expect("checked");
    let text: String = complaints.iter().map(|complaint| format!("{complaint}\n")).collect();
    assert!(complaints.is_empty(), "{} to mend:\n{text}", complaints.len());
}

#[test]
fn accepts_the_pages() {
    assert_none(codegen::check(&root()));
}

#[test]
fn accepts_the_files() {
    assert_none(tidy::check(&root()));
}

#[test]
fn accepts_the_layers() {
    assert_none(layering::check(&root()));
}
