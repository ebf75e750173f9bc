//! Words that must not appear: unfinished code, paths of one machine, names of the projects we measure on, names of OTP in the analysis.

use crate::Complaint;
use crate::sources::Source;
use crate::tokens;

/// Folders at the root of a machine that no tracked file may name. Kept without the slash, or this file would name them.
const MACHINE_FOLDERS: [&str; 5] = ["home", "Users", "root", "tmp", "work"];

/// Names of the projects that we measure on: no crate may know them, in any case.
const MEASURED_PROJECTS: [&str; 1] = ["electric"];

/// The folders that must not know them, except the one that holds this list.
const UNAWARE_FOLDERS: [&str; 2] = ["lints/", "priv/rules/"];
const AWARE_FOLDER: &str = "lints/xtask/";

/// The folder whose strings must not name OTP or Elixir functions: what they do is data, in the models.
const ANALYSIS_FOLDER: &str = "lints/racefree_analysis/src/";

/// OTP and Elixir modules and callbacks, refused as a word anywhere in a string.
const LIBRARY_WORDS: [&str; 30] = [
    "Agent",
    "DynamicSupervisor",
    "Ecto",
    "Enum",
    "GenServer",
    "GenStage",
    "Keyword",
    "MapSet",
    "PartitionSupervisor",
    "Phoenix",
    "Process",
    "Registry",
    "Supervisor",
    "Task",
    "dets",
    "ets",
    "gen_event",
    "gen_server",
    "gen_statem",
    "handle_call",
    "handle_cast",
    "handle_continue",
    "handle_info",
    "insert_new",
    "mnesia",
    "persistent_term",
    "start_link",
    "terminate_child",
    "via_tuple",
    "whereis",
];

/// Functions whose names are everyday words, refused where they are the whole string. The kinds of `catch` (`exit` among them) are the
/// language's own and free.
const LIBRARY_NAMES: [&str; 15] = [
    "alive?",
    "call",
    "cast",
    "demonitor",
    "init",
    "link",
    "lookup",
    "monitor",
    "noreply",
    "register",
    "reply",
    "send",
    "spawn",
    "terminate",
    "unregister",
];

/// A string of the analysis that is refused above, and why it may stay.
struct Exemption {
    text: &'static str,
    reason: &'static str,
}

const EXEMPTIONS: [Exemption; 0] = [];

/// Paths of a machine and names of measured projects.
pub(super) fn check_text(source: &Source) -> Vec<Complaint> {
    let is_unaware = UNAWARE_FOLDERS.iter().any(|folder| source.path.starts_with(folder)) && !source.path.starts_with(AWARE_FOLDER);
    let mut complaints = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        if let Some(path) = machine_path(line).filter(|_| !has_own_root(source)) {
            let message = format!("`{path}` is a path of one machine: use a relative path, or ask for a temporary folder");
            complaints.push(Complaint::new(&source.path, index + 1, message));
        }
        let project = MEASURED_PROJECTS.iter().find(|project| is_unaware && line.to_ascii_lowercase().contains(*project));
        if let Some(project) = project {
            let message = format!("`{project}` is a project we measure on: no rule, model or test may know its names");
            complaints.push(Complaint::new(&source.path, index + 1, message));
        }
    }
    complaints
}

/// Patterns of git, whose leading slash is the folder they stand in.
fn has_own_root(source: &Source) -> bool {
    matches!(source.path.rsplit('/').next(), Some(".gitignore" | ".gitattributes"))
}

/// The first path in `line` that begins in a folder of one machine.
fn machine_path(line: &str) -> Option<&str> {
    for (at, _) in line.match_indices('/') {
        // Within a relative path, a URL, a pipe of `sed`, or behind a variable, a slash begins nothing.
        let is_inside = line[..at].ends_with(|before: char| before.is_alphanumeric() || "_-./~}$)<".contains(before));
        let rest = &line[at + 1..];
        let end = rest.find(|after: char| !(after.is_alphanumeric() || "_-.".contains(after))).unwrap_or(rest.len());
        if !is_inside && MACHINE_FOLDERS.contains(&&rest[..end]) {
            return Some(&line[at..at + 1 + end]);
        }
    }
    None
}

/// Macros that stand for code that is not there.
pub(super) fn check_macros(source: &Source, file: &syn::File) -> Vec<Complaint> {
    let found = tokens::macros(quote::ToTokens::to_token_stream(file));
    let unfinished = found.into_iter().filter(|found| matches!(found.text.as_str(), "todo" | "unimplemented"));
    unfinished
        .map(|found| Complaint::new(&source.path, found.line, format!("`{}!` in committed code: write it or leave it out", found.text)))
        .collect()
}

/// Names of OTP in strings of the analysis, outside its tests.
pub(super) fn check_strings(source: &Source, file: &syn::File) -> Vec<Complaint> {
    if !source.path.starts_with(ANALYSIS_FOLDER) || source.is_for_tests() {
        return Vec::new();
    }
    let strings = tokens::strings(tokens::outside_tests(file));
    let refused = strings.into_iter().filter_map(|string| library_name(&string.text).map(|name| (string.line, name.to_owned())));
    refused
        .map(|(line, name)| {
            let message = format!("`{name}` is a name of OTP or Elixir: what it does belongs to the models, as data");
            Complaint::new(&source.path, line, message)
        })
        .collect()
}

/// The name in `text` that belongs to OTP or Elixir.
fn library_name(text: &str) -> Option<&str> {
    if EXEMPTIONS.iter().any(|exemption| exemption.text == text && !exemption.reason.is_empty()) {
        return None;
    }
    let whole = text.strip_prefix(':').unwrap_or(text);
    if LIBRARY_NAMES.contains(&whole) {
        return Some(text);
    }
    let is_name = |character: char| character.is_alphanumeric() || "_?!".contains(character);
    text.split(|character| !is_name(character)).find(|word| LIBRARY_WORDS.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::told;

    #[test]
    fn refuses_paths_of_a_machine() {
        for folder in MACHINE_FOLDERS {
            for line in [format!("/{folder}/x"), format!("cd /{folder}"), format!("\"/{folder}/a\""), format!("a:/{folder}/b")] {
                let complaints = told(check_text(&Source::new("bin/lint", &format!("\n{line}\n"))));
                assert!(complaints.starts_with(&format!("bin/lint:2: `/{folder}` is a path")), "{line}: {complaints}");
            }
        }
    }

    #[test]
    fn accepts_paths_of_no_machine() {
        for folder in MACHINE_FOLDERS {
            for line in [
                format!("lib/{folder}/x"),
                format!("../{folder}"),
                format!("$DIR/{folder}/x"),
                format!("/{folder}s"),
                format!("x.y/{folder}"),
            ] {
                assert_eq!(told(check_text(&Source::new("bin/lint", &line))), "", "{line}");
            }
        }
    }

    #[test]
    fn accepts_patterns_of_git() {
        let pattern = format!("/{}\n", MACHINE_FOLDERS[0]);
        assert_eq!(told(check_text(&Source::new("examples/a/.gitignore", &pattern))), "");
    }

    #[test]
    fn refuses_names_of_measured_projects() {
        let text = format!("//! As in {}.Shapes.\n", MEASURED_PROJECTS[0].to_uppercase());
        for path in ["lints/racefree_rules/src/rules/a.rs", "lints/racefree_models/otp.toml", "priv/rules/a.md"] {
            assert_eq!(check_text(&Source::new(path, &text)).len(), 1, "{path}");
        }
        assert_eq!(told(check_text(&Source::new("lints/xtask/src/tidy/vocabulary.rs", &text))), "");
        assert_eq!(told(check_text(&Source::new("docs/measurements.md", &text))), "");
    }

    #[test]
    fn refuses_unfinished_code() {
        let check = |text: &str| told(check_macros(&Source::new("a.rs", text), &syn::parse_file(text).expect("Rust")));
        // Split, or this very line would be refused.
        let unfinished = ["to", "do"].concat();
        assert!(check(&format!("fn f() {{\n    {unfinished}!()\n}}")).starts_with("a.rs:2: "));
        assert!(check(&format!("fn f() {{ assert!({unfinished}!()) }}")).contains("leave it out"));
        assert_eq!(check(&format!("fn f() {{ // {unfinished}!\n let {unfinished} = !(1); }}")), "");
    }

    #[test]
    fn refuses_library_names_in_the_analysis() {
        let text = "fn f() {\n    is(\"GenServer.call\")\n}\n#[cfg(test)]\nmod tests { const A: &str = \"GenServer\"; }\n";
        let check = |path: &str| told(check_strings(&Source::new(path, text), &syn::parse_file(text).expect("Rust")));
        let expected = "lints/racefree_analysis/src/program.rs:2: `GenServer` is a name of OTP or Elixir: what it does belongs to the models, as data\n";
        assert_eq!(check("lints/racefree_analysis/src/program.rs"), expected);
        assert_eq!(check("lints/racefree_analysis/src/tests.rs"), "");
        assert_eq!(check("lints/racefree_models/src/lib.rs"), "");
    }

    #[test]
    fn tells_library_names_from_words() {
        for text in [":ets", "ets", "Elixir.Task", "handle_call/3", "send", ":send", "via whereis"] {
            assert!(library_name(text).is_some(), "{text}");
        }
        for text in ["sent", "call graph", "the reply is a promise", "gets", "Tasks", ""] {
            assert_eq!(library_name(text), None, "{text}");
        }
    }
}
