//! What the editor shows is what `racefree check` says, at the start and after edits.

#[path = "project/editor.rs"]
mod editor;
mod project;

use editor::{Editor, uri};
use project::{Project, stdout};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

const BINARY: &str = env!("CARGO_BIN_EXE_racefree");

/// Fingerprint and place of each finding, as the command line reports them.
fn checked(project: &Project, arguments: &[&str], input: &str) -> BTreeSet<String> {
    let output = project.run_with_input(&[&["check", "--format", "json"], arguments].concat(), input);
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    let place = |at: &Value| format!("{}:{}", at["line"].as_u64().unwrap() - 1, at["column"].as_u64().unwrap() - 1);
    let finding = |finding: &Value| {
        let range = &finding["range"];
        let (path, name) = (finding["path"].as_str().unwrap(), finding["fingerprint"].as_str().unwrap());
        format!("{path} {name} {}-{}", place(&range["start"]), place(&range["end"]))
    };
    report["findings"].as_array().unwrap().iter().map(finding).collect()
}

/// The same of what was published for one file.
fn shown(project: &Project, published: &Value) -> BTreeSet<String> {
    let root = uri(&fs::canonicalize(project.path()).unwrap());
    let path = published["uri"].as_str().unwrap().strip_prefix(&root).unwrap().trim_start_matches('/').to_owned();
    let place = |at: &Value| format!("{}:{}", at["line"], at["character"]);
    let finding = |found: &Value| {
        let range = &found["range"];
        format!("{path} {} {}-{}", found["data"]["fingerprint"].as_str().unwrap(), place(&range["start"]), place(&range["end"]))
    };
    published["diagnostics"].as_array().unwrap().iter().map(finding).collect()
}

#[test]
fn shows_what_the_command_line_says_before_and_after_edits() {
    let project = Project::example();
    let expected = checked(&project, &[], "");
    assert!(expected.len() > 3);
    let mut editor = Editor::open(BINARY, &[], project.path());
    let mut found = BTreeSet::new();
    while found.len() < expected.len() {
        found.extend(shown(&project, &editor.published()));
    }
    assert_eq!(found, expected);

    let path = expected.iter().next().unwrap().split(' ').next().unwrap().to_owned();
    let full = fs::canonicalize(project.path().join(&path)).unwrap();
    let (uri, mut text) = (uri(&full), fs::read_to_string(&full).unwrap());
    editor.open_document(&uri, &text);
    editor.published_for(&uri, 1);
    let edits = [("# a line\n", 0), ("", 0), ("  def extra(a), do: send(a, :x)\n", 1), ("𝄞 # \n", 0)];
    for (version, (piece, line)) in (2..).zip(edits) {
        let at = json!({"line": line, "character": 0});
        editor.change(&uri, version, json!({"range": {"start": at, "end": at}, "text": piece}));
        let start = text.split_inclusive('\n').take(line).map(str::len).sum();
        text.insert_str(start, piece);
        let published = shown(&project, &editor.published_for(&uri, version));
        assert_eq!(
            published,
            checked(&project, &["--stdin-filename", &path], &text).into_iter().filter(|found| found.starts_with(&path)).collect(),
            "{text}"
        );
    }
    editor.close();
}

#[test]
fn keeps_the_pages_of_rules_where_git_does_not_look() {
    let project = Project::example();
    let mut editor = Editor::open(BINARY, &[], project.path());
    let mut published = editor.published();
    while published["diagnostics"].as_array().unwrap().is_empty() {
        published = editor.published();
    }
    let page = published["diagnostics"][0]["codeDescription"]["href"].as_str().unwrap();
    let page = fs::read_to_string(page.strip_prefix("file://").unwrap()).unwrap();
    assert!(page.starts_with("# "), "{page}");
    assert_eq!(fs::read_to_string(project.path().join(".racefree/.gitignore")).unwrap(), "*\n");
    editor.close();
}
