//! Pages under `priv/rules` from the heads of the rule files.

use crate::{Complaint, PAGES_DIR, RULES_DIR, page, read, write};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What is stale, missing, malformed or left over; nothing is written.
pub fn check(root: &Path) -> Result<Vec<Complaint>, String> {
    let mut complaints = Vec::new();
    let ids = rule_ids(root)?;
    for id in &ids {
        let path = format!("{RULES_DIR}/{id}.rs");
        let page = page::from_source(&read(&root.join(&path))?);
        complaints.extend(page::problems(&page).into_iter().map(|(line, problem)| Complaint::new(&path, line, problem)));
        let page_path = format!("{PAGES_DIR}/{id}.md");
        match fs::read_to_string(root.join(&page_path)) {
            Ok(written) if written == page => {}
            Ok(_) => complaints.push(Complaint::new(&page_path, 0, format!("stale: {path} has changed, run `cargo xtask codegen`"))),
            Err(_) => complaints.push(Complaint::new(&page_path, 0, "missing: run `cargo xtask codegen`")),
        }
    }
    for id in ids_in(root, PAGES_DIR, ".md")?.difference(&ids) {
        let message = format!("there is no {RULES_DIR}/{id}.rs: run `cargo xtask codegen`");
        complaints.push(Complaint::new(&format!("{PAGES_DIR}/{id}.md"), 0, message));
    }
    Ok(complaints)
}

/// Writes every page and removes those without a rule. Returns the paths it has touched.
pub fn run(root: &Path) -> Result<Vec<String>, String> {
    let mut touched = Vec::new();
    let ids = rule_ids(root)?;
    for id in &ids {
        let page = page::from_source(&read(&root.join(RULES_DIR).join(format!("{id}.rs")))?);
        let path = format!("{PAGES_DIR}/{id}.md");
        // A page that is right keeps its time stamp, so nothing is built again for it.
        if fs::read_to_string(root.join(&path)).ok().as_ref() != Some(&page) {
            write(&root.join(&path), &page)?;
            touched.push(path);
        }
    }
    for id in ids_in(root, PAGES_DIR, ".md")?.difference(&ids) {
        let path = format!("{PAGES_DIR}/{id}.md");
        fs::remove_file(root.join(&path)).map_err(|error| format!("cannot remove {path}: {error}"))?;
        touched.push(path);
    }
    Ok(touched)
}

/// The ids of the rules: their files' names.
pub(crate) fn rule_ids(root: &Path) -> Result<BTreeSet<String>, String> {
    let mut ids = ids_in(root, RULES_DIR, ".rs")?;
    ids.remove("mod");
    Ok(ids)
}

/// The names in `folder` that end in `extension`, without it. A folder that is not there has none.
fn ids_in(root: &Path, folder: &str, extension: &str) -> Result<BTreeSet<String>, String> {
    let entries = match fs::read_dir(root.join(folder)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(format!("cannot read {folder}: {error}")),
    };
    let mut ids = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(|error| format!("cannot read {folder}: {error}"))?.file_name();
        if let Some(id) = name.to_str().and_then(|name| name.strip_suffix(extension)) {
            ids.insert(id.to_owned());
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::HEAD;

    fn repository() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        write(&root.path().join(RULES_DIR).join("mod.rs"), "//! The list.\n").expect("written");
        write(&root.path().join(RULES_DIR).join("stale_read.rs"), HEAD).expect("written");
        root
    }

    fn complaints(root: &Path) -> String {
        check(root).expect("checked").iter().map(|complaint| format!("{complaint}\n")).collect()
    }

    #[test]
    fn writes_pages_that_pass_the_check() {
        let root = repository();
        assert_eq!(complaints(root.path()), "priv/rules/stale_read.md: missing: run `cargo xtask codegen`\n");
        assert_eq!(run(root.path()), Ok(vec!["priv/rules/stale_read.md".to_owned()]));
        assert_eq!(complaints(root.path()), "");
        assert!(read(&root.path().join("priv/rules/stale_read.md")).expect("read").starts_with("# A lookup decides an insert\n"));
        assert_eq!(run(root.path()), Ok(vec![]));
    }

    #[test]
    fn refuses_a_stale_page() {
        let root = repository();
        run(root.path()).expect("written");
        write(&root.path().join(RULES_DIR).join("stale_read.rs"), &HEAD.replace("Both read", "They read")).expect("written");
        assert!(complaints(root.path()).starts_with("priv/rules/stale_read.md: stale: lints/"), "{}", complaints(root.path()));
    }

    #[test]
    fn refuses_then_removes_a_page_without_a_rule() {
        let root = repository();
        run(root.path()).expect("written");
        write(&root.path().join("priv/rules/gone.md"), "# Gone\n").expect("written");
        assert!(complaints(root.path()).starts_with("priv/rules/gone.md: there is no lints/"));
        assert_eq!(run(root.path()), Ok(vec!["priv/rules/gone.md".to_owned()]));
        assert_eq!(complaints(root.path()), "");
    }

    #[test]
    fn refuses_a_malformed_page() {
        let root = repository();
        write(&root.path().join(RULES_DIR).join("stale_read.rs"), "//! # Title\n").expect("written");
        run(root.path()).expect("written");
        assert!(complaints(root.path()).contains("stale_read.rs:1: `## Instead` must be there once"));
    }
}
