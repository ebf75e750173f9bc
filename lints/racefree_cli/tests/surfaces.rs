//! The same findings wherever they are shown: by the command, by the language server in each unit of columns, in Neovim and in Emacs.
//!
//! `surfaces/project` has what may go wrong on the way: signs of several units before, in and behind a finding, an allowed one, a file that is read in
//! part, a path that is no plain word. `surfaces/findings.txt` is written by hand; the tests of formats, of VS Code and of mix read both too. The example
//! with the documented races is there for its number of findings.

#[path = "project/editor.rs"]
mod editor;
mod project;

use editor::{Editor, uri};
use project::Project;
use project::client::{self, Client};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn polyglot() -> Project {
    Project::copy_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/surfaces/project"))
}

/// Level, rule, range and path of each finding, as `racefree check` has them. Editors have no tiers.
fn checked(project: &Project) -> BTreeSet<String> {
    let findings = project.findings();
    findings.iter().map(|finding| finding.split_once(' ').expect("a tier comes first").1.to_owned()).collect()
}

/// A place of the protocol, in characters and from 1; `units` says how many units a character has.
fn place(text: &str, at: &Value, units: fn(char) -> usize) -> String {
    let (line, units_before) = (at["line"].as_u64().unwrap() as usize, at["character"].as_u64().unwrap() as usize);
    let mut column = 0;
    let mut sum = 0;
    for character in text.lines().nth(line).unwrap_or_default().chars() {
        if sum >= units_before {
            break;
        }
        sum += units(character);
        column += 1;
    }
    assert_eq!(sum, units_before, "a place between two characters");
    format!("{}:{}", line + 1, column + 1)
}

/// What a client of the protocol that counts in `encoding` is shown in `project`.
fn served(project: &Project, encoding: &str, units: fn(char) -> usize) -> BTreeSet<String> {
    let mut editor = Editor::open_counting(env!("CARGO_BIN_EXE_racefree"), &[], project.path(), encoding);
    let file = uri(&fs::canonicalize(project.path().join("mix.exs")).unwrap());
    // The answer comes after the analysis has, and what was found.
    let (_, told) =
        editor.ask_and_hear("textDocument/hover", json!({"textDocument": {"uri": file}, "position": {"line": 0, "character": 0}}));
    editor.close();
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    for published in told {
        last.insert(published["uri"].as_str().unwrap().to_owned(), published);
    }
    let root = fs::canonicalize(project.path()).unwrap();
    let mut found = BTreeSet::new();
    for published in last.values() {
        let path = PathBuf::from(editor::decoded(published["uri"].as_str().unwrap().strip_prefix("file://").unwrap()));
        let text = fs::read_to_string(&path).unwrap();
        for diagnostic in published["diagnostics"].as_array().unwrap() {
            let level = ["error", "warning", "note"][diagnostic["severity"].as_u64().unwrap() as usize - 1];
            let (start, end) = (&diagnostic["range"]["start"], &diagnostic["range"]["end"]);
            let path = path.strip_prefix(&root).unwrap().display();
            let (rule, start, end) = (diagnostic["code"].as_str().unwrap(), place(&text, start, units), place(&text, end, units));
            found.insert(format!("{level} {rule} {start}-{end} {path}"));
        }
    }
    found
}

/// What an editor lists of `project`, with its files opened in it.
fn listed(client: Client, project: &Project) -> BTreeSet<String> {
    let files: BTreeSet<String> = checked(project).iter().map(|finding| finding.splitn(4, ' ').nth(3).unwrap().to_owned()).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let said = client::run(client, project, &[("RACEFREE_FILES", &files.join("\n"))]);
    said.lines().filter_map(|line| line.strip_prefix("finding ")).map(str::to_owned).collect()
}

#[test]
fn the_command_finds_what_is_on_the_list() {
    let list = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/surfaces/findings.txt")).unwrap();
    assert_eq!(polyglot().findings(), list.lines().map(str::to_owned).collect());
}

#[test]
fn the_language_server_shows_the_same_in_bytes_units_and_characters() {
    for project in [polyglot(), Project::example()] {
        let expected = checked(&project);
        assert_eq!(served(&project, "utf-8", char::len_utf8), expected);
        assert_eq!(served(&project, "utf-16", char::len_utf16), expected);
        assert_eq!(served(&project, "utf-32", |_| 1), expected);
    }
}

#[test]
fn neovim_shows_the_same() {
    for project in [polyglot(), Project::example()] {
        assert_eq!(listed(Client::Neovim, &project), checked(&project));
    }
}

#[test]
fn emacs_shows_the_same() {
    for project in [polyglot(), Project::example()] {
        assert_eq!(listed(Client::Emacs, &project), checked(&project));
    }
}
