//! The baseline: findings that a project knows of and has not mended yet. They are not shown and do not fail a run.
//!
//! A baseline only shrinks: a run against it never adds to it, and writing it anew drops what is gone and keeps new findings out. To take in new findings
//! a person must remove the file first, which a review sees. The file is JSON with one entry a line, sorted, so that two branches merge; rule, path and message
//! are there for its readers, the fingerprint alone decides.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Where `racefree baseline` writes when nobody says otherwise.
pub(crate) const FILE_NAME: &str = "racefree-baseline.json";

/// The version of the file's shape.
const VERSION: u32 = 1;

/// One known finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) rule: String,
    pub(crate) message: String,
    pub(crate) fingerprint: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Baseline {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Document {
    version: u32,
    findings: Vec<Entry>,
}

/// What became of a baseline.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shrunk {
    pub(crate) kept: Baseline,
    pub(crate) stale: Vec<Entry>,
    /// Findings that are not in it.
    pub(crate) new: usize,
}

impl Baseline {
    /// A first baseline, of all there is.
    pub(crate) fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort();
        Self { entries }
    }

    /// `None` when there is no such file.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, Failure> {
        let refuse = |reason: &dyn std::fmt::Display| {
            Failure::Usage(format!(
                "cannot use the baseline `{}`: {reason}\nremove it and run `racefree baseline` to begin anew",
                path.display()
            ))
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refuse(&error)),
        };
        let document: Document = serde_json::from_str(&text).map_err(|error| refuse(&error))?;
        if document.version != VERSION {
            return Err(refuse(&format_args!("it is of version {}, and this program knows version {VERSION}", document.version)));
        }
        Ok(Some(Self::new(document.findings)))
    }

    /// Replaces the file as one step: a run that is killed leaves the old one.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::CouldNotRun(format!("cannot write the baseline `{}`: {error}", path.display()));
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(self.to_json().as_bytes()).and_then(|()| file.as_file().sync_data()).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn fingerprints(&self) -> BTreeSet<&str> {
        self.entries.iter().map(|entry| entry.fingerprint.as_str()).collect()
    }

    /// The entries that none of `found` stands for any more.
    pub(crate) fn stale(&self, found: &BTreeSet<&str>) -> Vec<&Entry> {
        self.entries.iter().filter(|entry| !found.contains(entry.fingerprint.as_str())).collect()
    }

    /// Keeps what is still found, in today's words, and nothing else.
    pub(crate) fn shrink(self, found: Vec<Entry>) -> Shrunk {
        let known = self.fingerprints();
        let (kept, new): (Vec<Entry>, Vec<Entry>) = found.iter().cloned().partition(|entry| known.contains(entry.fingerprint.as_str()));
        let found = found.iter().map(|entry| entry.fingerprint.as_str()).collect();
        let stale = self.stale(&found).into_iter().cloned().collect();
        Shrunk { kept: Self::new(kept), stale, new: new.len() }
    }

    fn to_json(&self) -> String {
        let lines: Vec<String> = self.entries.iter().filter_map(|entry| serde_json::to_string(entry).ok()).collect();
        let (open, close) = if lines.is_empty() { ("", "") } else { ("\n    ", "\n  ") };
        format!("{{\n  \"version\": {VERSION},\n  \"findings\": [{open}{}{close}]\n}}\n", lines.join(",\n    "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fingerprint: &str) -> Entry {
        Entry { path: "lib/a.ex".into(), rule: "nil_pid_call".into(), message: "a \"call\"".into(), fingerprint: fingerprint.into() }
    }

    #[test]
    fn reads_what_it_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.json");
        assert_eq!(Baseline::load(&path).unwrap(), None);
        for entries in [vec![], vec![entry("2"), entry("1")]] {
            let baseline = Baseline::new(entries);
            baseline.save(&path).unwrap();
            assert_eq!(Baseline::load(&path).unwrap(), Some(baseline));
        }
    }

    #[test]
    fn shrinks_and_never_grows() {
        let shrunk = Baseline::new(vec![entry("1"), entry("2")]).shrink(vec![entry("2"), entry("3")]);
        assert_eq!(shrunk, Shrunk { kept: Baseline::new(vec![entry("2")]), stale: vec![entry("1")], new: 1 });
    }

    #[test]
    fn refuses_another_version_and_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.json");
        for (text, reason) in [("{\"version\": 2, \"findings\": []}", "it is of version 2"), ("[]", "cannot use the baseline"), ("", "EOF")]
        {
            fs::write(&path, text).unwrap();
            let Err(Failure::Usage(message)) = Baseline::load(&path) else { panic!("{text} is accepted") };
            assert!(message.contains(reason), "{message}");
        }
    }
}
