//! `cargo xtask`: the repository's chores by name. Exit status: 0 fine, 1 something to mend, 2 bad usage or could not run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use xtask::golden::{Golden, Mode};
use xtask::{Complaint, codegen, layering, loom, new_rule, root_above, tidy};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  codegen            write priv/rules/*.md from the heads of the rule files
  codegen --check    tell which of them are stale
  new-rule ID        write the file, the list entry and the page of a new rule
  tidy               sizes, names, comments, the list of rules and their tests
  layering           who imports whom
  loom               explore the interleavings of the runtime's kernels
  golden --binary FILE --lists DIR [--write] PROJECT...
                     tell which findings over the projects changed since --write
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = std::env::current_dir()
        .map_err(|error| format!("cannot tell the current folder: {error}"))
        .and_then(|folder| root_above(&folder))
        .and_then(|root| run(&root, &arguments));
    match outcome {
        Ok(outcome) => {
            // A closed pipe is no error: whoever listened has heard enough.
            let _ = std::io::stdout().write_all(outcome.text.as_bytes());
            if outcome.is_fine { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "xtask: {}", problem.trim_end());
            ExitCode::from(2)
        }
    }
}

/// What a command has to say.
struct Outcome {
    text: String,
    is_fine: bool,
}

impl Outcome {
    fn of_complaints(mut complaints: Vec<Complaint>) -> Self {
        complaints.sort();
        let text = complaints.iter().map(|complaint| format!("{complaint}\n")).collect();
        Self { text, is_fine: complaints.is_empty() }
    }

    fn of_paths(verb: &str, paths: &[String]) -> Self {
        Self { text: paths.iter().map(|path| format!("{verb} {path}\n")).collect(), is_fine: true }
    }
}

fn run(root: &Path, arguments: &[&str]) -> Result<Outcome, String> {
    match arguments {
        ["codegen"] => codegen::run(root).map(|paths| Outcome::of_paths("updated", &paths)),
        ["codegen", "--check"] => codegen::check(root).map(Outcome::of_complaints),
        ["new-rule", id] => new_rule::run(root, id).map(|paths| Outcome::of_paths("wrote", &paths)),
        ["tidy"] => tidy::check(root).map(Outcome::of_complaints),
        ["layering"] => layering::check(root).map(Outcome::of_complaints),
        ["loom"] => loom::run(root).map(|is_fine| Outcome { text: String::new(), is_fine }),
        ["golden", arguments @ ..] => {
            let changes = golden(arguments)?.run()?;
            Ok(Outcome { is_fine: changes.is_empty(), text: changes })
        }
        ["help" | "--help" | "-h"] => Ok(Outcome { text: USAGE.to_owned(), is_fine: true }),
        _ => Err(USAGE.to_owned()),
    }
}

fn golden(arguments: &[&str]) -> Result<Golden, String> {
    let (mut binary, mut lists, mut projects, mut mode) = (None, None, Vec::new(), Mode::Compare);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match *argument {
            "--binary" => binary = arguments.next().map(PathBuf::from),
            "--lists" => lists = arguments.next().map(PathBuf::from),
            "--write" => mode = Mode::Write,
            flag if flag.starts_with('-') => return Err(format!("unknown flag {flag}\n{USAGE}")),
            project => projects.push(PathBuf::from(project)),
        }
    }
    match (binary, lists) {
        (Some(binary), Some(lists)) if !projects.is_empty() => Ok(Golden { binary, lists, projects, mode }),
        _ => Err(format!("golden needs --binary, --lists and at least one project\n{USAGE}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_flags_of_golden_in_any_order() {
        let parsed = golden(&["app", "--lists", "kept", "--write", "--binary", "racefree", "lib"]).expect("good usage");
        let projects = vec![PathBuf::from("app"), PathBuf::from("lib")];
        let expected = Golden { binary: "racefree".into(), lists: "kept".into(), projects, mode: Mode::Write };
        assert_eq!(parsed, expected);
    }

    #[test]
    fn refuses_bad_usage() {
        let root = Path::new(".");
        for arguments in [vec![], vec!["tidy", "all"], vec!["new-rule"], vec!["golden", "app"], vec!["golden", "--fast"]] {
            assert!(run(root, &arguments).is_err_and(|problem| problem.contains("usage: cargo xtask")), "{arguments:?}");
        }
        assert!(golden(&["--binary", "racefree", "--lists", "kept"]).is_err());
    }

    #[test]
    fn tells_complaints_in_order() {
        let complaint = |path: &str| Complaint { path: path.to_owned(), line: 0, message: "mend it".to_owned() };
        let outcome = Outcome::of_complaints(vec![complaint("b.rs"), complaint("a.rs")]);
        assert_eq!((outcome.text.as_str(), outcome.is_fine), ("a.rs: mend it\nb.rs: mend it\n", false));
        assert!(Outcome::of_complaints(vec![]).is_fine);
    }
}
