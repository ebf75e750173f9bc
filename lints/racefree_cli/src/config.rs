//! `racefree.toml`: what a project asks of every run. The command line has the last word.
//!
//! ```toml
//! [check]
//! paths = ["lib", "apps"]            # what to read when the command line names nothing; relative to this file
//! exclude = ["lib/generated/**"]     # patterns as in .gitignore
//! tier = "likely"
//! fail_on = "certain"
//! except = ["repeated_lookup"]
//! include_tests = false
//! baseline = "racefree-baseline.json"
//!
//! [[models.module]]                  # what functions do that the analysis cannot see into, in the form of the shipped models
//! name = "MyApp.Batcher"
//! functions = [{ name = "forget", arity = [1], effect = "cast", target = 0, returns = ":ok" }]
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use racefree_models::Document;
use serde::Deserialize;
use toml::Spanned;

use crate::arguments::TierName;
use crate::failure::Failure;
use crate::selection::{ids, nearest};

/// The file's name, looked for in the folder that is checked and in those above it.
pub(crate) const FILE_NAME: &str = "racefree.toml";

/// A file larger than this is something else.
const BYTES_MAX: u64 = 1 << 20;

/// What a project asks for; all of it empty when there is no file.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// Where the file stands: its paths are relative to this folder. `None` without a file.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) check: CheckSection,
    pub(crate) models: Document,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    check: CheckSection,
    #[serde(default)]
    models: Document,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckSection {
    pub(crate) paths: Option<Vec<PathBuf>>,
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    pub(crate) tier: Option<TierName>,
    pub(crate) fail_on: Option<TierName>,
    #[serde(default)]
    only: Vec<Spanned<String>>,
    #[serde(default)]
    except: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) include_tests: bool,
    pub(crate) baseline: Option<PathBuf>,
}

impl CheckSection {
    pub(crate) fn only(&self) -> Vec<String> {
        self.only.iter().map(|name| name.get_ref().clone()).collect()
    }

    pub(crate) fn except(&self) -> Vec<String> {
        self.except.iter().map(|name| name.get_ref().clone()).collect()
    }
}

impl Config {
    /// The file that `--config` names, or else the one in `folder` or the nearest folder above it.
    pub(crate) fn find(named: Option<&Path>, folder: &Path) -> Result<Self, Failure> {
        if let Some(path) = named {
            return Self::load(path)?.ok_or_else(|| Failure::Usage(format!("there is no configuration file `{}`", path.display())));
        }
        let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
        for above in folder.ancestors() {
            if let Some(config) = Self::load(&above.join(FILE_NAME))? {
                return Ok(config);
            }
            // Beyond the root of the repository another project's rules begin.
            if above.join(".git").exists() {
                break;
            }
        }
        Ok(Self::default())
    }

    /// `None` when there is no such file.
    fn load(path: &Path) -> Result<Option<Self>, Failure> {
        let unreadable = |error: &dyn std::fmt::Display| Failure::Usage(format!("cannot read `{}`: {error}", path.display()));
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() > BYTES_MAX => return Err(unreadable(&"it is larger than 1 MiB")),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&error)),
        }
        let text = fs::read_to_string(path).map_err(|error| unreadable(&error))?;
        let file = parse(&text).map_err(|complaint| Failure::Usage(format!("{}:{complaint}", path.display())))?;
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Some(Self { folder: Some(folder.to_path_buf()), check: file.check, models: file.models }))
    }
}

/// The configuration, or `LINE:COLUMN: what is wrong with it`.
fn parse(text: &str) -> Result<File, String> {
    let at = |offset: usize, message: &str| {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let (line, column) = (before.matches('\n').count() + 1, before.get(line_start..).map_or(0, |line| line.chars().count()) + 1);
        format!("{line}:{column}: {message}")
    };
    let file: File = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let culprit = text.get(span.clone()).unwrap_or_default();
        at(span.start, &explained(error.message(), culprit))
    })?;
    for name in file.check.only.iter().chain(&file.check.except) {
        if !ids().any(|id| id == name.get_ref()) {
            let message = format!("no rule is called `{}`{}", name.get_ref(), perhaps(name.get_ref(), ids()));
            return Err(at(name.span().start, &message));
        }
    }
    let models = text.find("[models").or_else(|| text.find("[[models")).unwrap_or_default();
    file.models.check().map_err(|complaint| at(models, &complaint))?;
    Ok(file)
}

/// The parser's message, with the nearest of the words it would have taken.
fn explained(message: &str, culprit: &str) -> String {
    let message = message.trim_end().replace('\n', "; ");
    // The parser lists what it would have taken in backquotes, behind "expected".
    let Some((_, expected)) = message.split_once("expected") else { return message };
    let known = expected.split('`').skip(1).step_by(2);
    let hint = perhaps(culprit.trim_matches(['"', '\'']), known);
    format!("{message}{hint}")
}

fn perhaps<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    nearest(name, known).first().map(|near| format!("; perhaps `{near}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_example_at_the_head_of_this_file() {
        let example: String = include_str!("config.rs")
            .lines()
            .skip_while(|line| !line.starts_with("//! ```toml"))
            .skip(1)
            .take_while(|line| !line.starts_with("//! ```"))
            .map(|line| format!("{}\n", line.trim_start_matches("//!")))
            .collect();
        let file = parse(&example).unwrap();
        assert_eq!(file.check.paths, Some(vec!["lib".into(), "apps".into()]));
        assert_eq!(file.check.except(), ["repeated_lookup"]);
        assert_eq!(file.models.module.len(), 1);
    }

    #[test]
    fn accepts_an_empty_file() {
        assert!(parse("").is_ok());
    }

    #[test]
    fn names_the_place_and_the_nearest_key() {
        let complaint = |text| parse(text).unwrap_err();
        assert!(complaint("[check]\ntierr = \"likely\"\n").starts_with("2:1: unknown field `tierr`"));
        assert!(complaint("[check]\ntierr = \"likely\"\n").ends_with("; perhaps `tier`?"));
        assert!(complaint("[chek]\n").ends_with("; perhaps `check`?"));
        assert!(
            complaint("[check]\ntier = \"likley\"\n").ends_with("; perhaps `likely`?"),
            "{}",
            complaint("[check]\ntier = \"likley\"\n")
        );
        assert_eq!(complaint("[check]\nexcept = [\"nil_pid_cal\"]\n"), "2:11: no rule is called `nil_pid_cal`; perhaps `nil_pid_call`?");
        assert!(
            complaint("[[models.module]]\nname = \"A\"\nfunctions = [{ name = \"f\", arity = [1], efect = \"call\" }]\n")
                .ends_with("; perhaps `effect`?")
        );
    }

    #[test]
    fn names_the_place_of_broken_toml() {
        assert!(parse("[check\n").unwrap_err().starts_with("1:"));
        assert!(parse("[check]\npaths = 3\n").unwrap_err().starts_with("2:9: invalid type: integer `3`"));
    }
}
