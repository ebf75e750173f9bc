//! The frame of a new rule: its file, its line in the list, its page.
//!
//! The frame compiles and its tests pass, with `missed` carets where findings will be. Tidy refuses it until the rule is written.

use crate::registration::Registration;
use crate::{PAGES_DIR, RULES_DIR, codegen, page, read, write};
use std::path::Path;
use std::process::Command;

const SKELETON: &str = include_str!("rule_skeleton.txt");

/// What stands in the frame where an author must write; tidy looks for it.
pub(crate) const PLACEHOLDER: &str = "TO WRITE";

const ID_BYTES_MAX: usize = 40;

/// Writes the frame of the rule `id`. Returns the paths it has touched; on an error it has touched none.
pub fn run(root: &Path, id: &str) -> Result<Vec<String>, String> {
    check_id(id)?;
    let list_path = format!("{RULES_DIR}/mod.rs");
    let list = read(&root.join(&list_path))?;
    let registration = Registration::read(&list).map_err(|problem| format!("{list_path}: {problem}"))?;
    let rule_path = format!("{RULES_DIR}/{id}.rs");
    let page_path = format!("{PAGES_DIR}/{id}.md");
    let is_listed = registration.modules.iter().chain(&registration.entries).any(|named| named.name == id);
    if is_listed || codegen::rule_ids(root)?.contains(id) || root.join(&page_path).exists() {
        return Err(format!("`{id}` exists: an id is never reused, choose another"));
    }
    // The skeleton's crate and this one have the workspace's version.
    let rule = SKELETON.replace("{id}", id).replace("{version}", env!("CARGO_PKG_VERSION"));
    write(&root.join(&page_path), &page::from_source(&rule))?;
    write(&root.join(&rule_path), &rule)?;
    format_file(&root.join(&rule_path));
    write(&root.join(&list_path), &registration.with_rule(&list, id))?;
    Ok(vec![rule_path, list_path, page_path])
}

/// What fits on a line depends on the id's length. Where rustfmt is not installed the layout waits for whoever runs it next.
fn format_file(path: &Path) {
    let _ = Command::new("rustfmt").args(["--edition", "2024"]).arg(path).output();
}

/// An id is a file name, a Rust module, an Elixir atom and a suppression word at once.
fn check_id(id: &str) -> Result<(), String> {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !id.split('_').all(is_word) || !id.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Err(format!("`{id}` is no rule id: use lower-case words joined by `_`, such as `lookup_then_register`"));
    }
    if id.len() > ID_BYTES_MAX {
        return Err(format!("`{id}` is too long: an id has at most {ID_BYTES_MAX} characters"));
    }
    if !id.contains('_') {
        return Err(format!("`{id}` is one word: name the defect, such as `lookup_then_register`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy;

    fn repository() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        let list = "//! The list.\n\nuse a::B;\n\npub static RULES: &[&Rule] = &[];\n";
        write(&root.path().join(RULES_DIR).join("mod.rs"), list).expect("written");
        root
    }

    #[test]
    fn writes_the_file_the_line_and_a_page_that_is_not_stale() {
        let root = repository();
        let touched = run(root.path(), "lookup_then_register").expect("a new rule");
        assert_eq!(touched.len(), 3);
        assert_eq!(codegen::check(root.path()), Ok(vec![]));
        let rule = read(&root.path().join(&touched[0])).expect("read");
        assert!(rule.contains("id: \"lookup_then_register\"") && rule.contains("priv/rules/lookup_then_register.md"), "{rule}");
        assert!(!rule.contains('{') || !rule.contains("{id}") && !rule.contains("{version}"));
        let list = read(&root.path().join(&touched[1])).expect("read");
        assert!(list.contains("mod lookup_then_register;") && list.contains("&[&lookup_then_register::RULE]"), "{list}");
    }

    #[test]
    fn leaves_a_frame_that_tidy_refuses_for_what_is_unwritten_alone() {
        let root = repository();
        run(root.path(), "lookup_then_register").expect("a new rule");
        let complaints = tidy::check(root.path()).expect("checked");
        assert!(!complaints.is_empty());
        for complaint in complaints {
            let text = complaint.to_string();
            assert!(text.contains(PLACEHOLDER) || text.contains("reports_"), "{text}");
        }
    }

    #[test]
    fn refuses_bad_ids() {
        let long = "long_".repeat(9) + "id";
        for id in ["", "Nil_call", "nil-call", "nil__call", "_nil", "nil_", "1_nil", "mod", "utils", "../nil_call", "é_call", &long] {
            let root = repository();
            assert!(run(root.path(), id).is_err(), "{id}");
            assert!(!root.path().join(PAGES_DIR).exists(), "{id}");
        }
    }

    #[test]
    fn refuses_an_id_that_exists_in_any_of_its_places() {
        let root = repository();
        run(root.path(), "nil_call").expect("a new rule");
        assert!(run(root.path(), "nil_call").expect_err("twice").contains("never reused"));
        write(&root.path().join("priv/rules/old_page.md"), "# Old\n").expect("written");
        assert!(run(root.path(), "old_page").is_err());
        write(&root.path().join(RULES_DIR).join("old_file.rs"), "//! # Old\n").expect("written");
        assert!(run(root.path(), "old_file").is_err());
    }
}
