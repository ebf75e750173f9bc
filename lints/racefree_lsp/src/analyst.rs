//! Who reads and analyses the files of a folder. The command line has one; tests have others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use racefree_report::Source;
use racefree_rules::Finding;
use racefree_syntax::FileId;

/// Finds the analyst for a folder.
pub trait Finder: Send + Sync {
    /// # Errors
    /// What to tell the person at the editor.
    fn open(&self, folder: &Path) -> Result<Box<dyn Analyst>, String>;

    /// The folder of the program that `file` belongs to, when it lies in none that the editor has opened.
    fn home(&self, file: &Path) -> Option<PathBuf>;

    /// The one path of what may have several.
    fn canonical(&self, path: &Path) -> PathBuf;

    /// Where a person can read about a rule; a URI.
    fn page(&self, rule: &str) -> Option<String>;

    /// The text of that page, in Markdown.
    fn page_text(&self, rule: &str) -> Option<&'static str>;
}

/// Analyses the program in one folder, again and again.
pub trait Analyst: Send {
    /// # Errors
    /// What to tell the person at the editor.
    fn analyse(&mut self, job: &Job) -> Result<Analysis, String>;

    /// Nobody will ask for some time: what is kept for the next start can be written now.
    fn rest(&mut self) {}
}

/// What is to be analysed.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// The texts of open documents, by path: they take the place of the files'.
    pub open: BTreeMap<PathBuf, Arc<String>>,
    /// Files may have changed on the disk; otherwise only texts of open documents have.
    pub reread: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Analysis {
    /// The files that the findings speak of.
    pub files: BTreeMap<FileId, File>,
    pub findings: Vec<Named>,
}

#[derive(Debug)]
pub struct File {
    /// The canonical one.
    pub path: PathBuf,
    pub source: Source,
}

/// A finding with its name.
#[derive(Debug)]
pub struct Named {
    pub finding: Finding,
    pub fingerprint: String,
    /// The baseline has it: nobody need see to it now.
    pub is_known: bool,
}
