//! Names of files, and how a file opens.

use crate::Complaint;
use crate::sources::Source;

/// Names that say nothing of what is inside.
const HOLLOW: [&str; 8] = ["utils", "util", "helpers", "helper", "misc", "common", "stuff", "shared"];

const CODE_EXTENSIONS: [&str; 4] = ["rs", "ex", "exs", "sh"];

/// Folder and file names of code must be nouns that say what is inside.
pub(super) fn check(source: &Source) -> Option<Complaint> {
    let is_code = CODE_EXTENSIONS.iter().any(|extension| source.has_extension(extension));
    let (folders, _) = source.path.rsplit_once('/').unwrap_or_default();
    let hollow = folders.split('/').chain([source.stem()]).find(|name| HOLLOW.contains(name));
    hollow.filter(|_| is_code).map(|name| {
        let message = format!("`{name}` says nothing of what is inside: name it by the noun that it is about");
        Complaint::new(&source.path, 0, message)
    })
}

/// A Rust file opens with what it is for.
pub(super) fn check_opening(source: &Source) -> Vec<Complaint> {
    let opening = source.text.lines().next().and_then(|line| line.strip_prefix("//!"));
    let says_nothing = opening.is_none_or(|text| text.trim().is_empty());
    if says_nothing {
        return vec![Complaint::new(&source.path, 1, "open with a `//!` comment: what the file is for, and what it leaves out")];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::told;

    #[test]
    fn refuses_hollow_names() {
        for path in ["lints/a/src/utils.rs", "lib/racefree/helpers.ex", "lints/common/src/lib.rs", "test/misc_test/helper.exs"] {
            assert!(check(&Source::new(path, "")).is_some(), "{path}");
        }
    }

    #[test]
    fn accepts_nouns_and_files_that_are_no_code() {
        for path in ["lints/a/src/span.rs", "lib/utility.ex", "docs/common.md", "lib.rs"] {
            assert_eq!(check(&Source::new(path, "")), None, "{path}");
        }
    }

    #[test]
    fn refuses_a_file_without_an_opening() {
        for text in ["", "use x;\n", "// plain\n", "//!\nuse x;\n", "\n//! late\n"] {
            assert_eq!(check_opening(&Source::new("a.rs", text)).len(), 1, "{text:?}");
        }
        assert_eq!(told(check_opening(&Source::new("a.rs", "//! What it is for.\n"))), "");
    }
}
