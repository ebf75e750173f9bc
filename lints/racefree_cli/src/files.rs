//! Which files make up the program: the Elixir files under the folders given, without what is generated, fetched or ignored.
//!
//! Left out: what `.gitignore` files name (git or not), hidden entries, `_build`, `node_modules`, and `deps` at a project's root. A file that is named
//! itself is always read. Symbolic links are not followed: what they lead to inside the folder is met on its own way, so there are neither loops nor
//! doubles, and what leads outside is listed as a problem.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use ignore::gitignore::Gitignore;
use ignore::{DirEntry, WalkBuilder};
use racefree_report::Problem;

use crate::failure::Failure;
use crate::settings::Input;

/// A file to read.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceFile {
    /// As the output shows it: relative, with forward slashes. First, so that files sort by it.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    /// The text to take in place of the file's.
    pub(crate) given: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Code,
    /// Under `test/`, or `*_test.exs`, and met while searching: whoever names a test folder or file wants to see it.
    Test,
}

/// All files, sorted by name, and what could not be searched.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: Vec<SourceFile>,
    pub(crate) problems: Vec<Problem>,
}

/// What names are relative to.
struct Base<'a> {
    folder: &'a Path,
}

/// `path` as the output shows it to someone who stands in `folder`.
pub(crate) fn name(path: &Path, folder: &Path) -> String {
    Base { folder }.name(path)
}

/// Lists the program.
pub(crate) fn list(input: &Input) -> Result<Listing, Failure> {
    let mut listing = Listing::default();
    let paths = &input.paths;
    let base = Base { folder: &input.base };
    for path in paths {
        let metadata = fs::metadata(path).map_err(|error| Failure::CouldNotRun(format!("cannot read `{}`: {error}", path.display())))?;
        let before = listing.files.len();
        if metadata.is_dir() {
            search(path, &base, &input.excluded, &mut listing);
        } else if metadata.is_file() && is_elixir(path) {
            listing.files.push(SourceFile { name: base.name(path), path: path.clone(), kind: Kind::Code, given: None });
            continue;
        }
        if listing.files.len() == before {
            let message = if metadata.is_dir() { "no Elixir file in this folder" } else { "not an Elixir file (*.ex, *.exs): not read" };
            listing.problems.push(Problem { path: base.name(path), place: None, message: message.to_owned() });
        }
    }
    lay_over(input, &base, &mut listing);
    if listing.files.is_empty() {
        return Err(Failure::CouldNotRun(nothing_found(paths, &listing.problems)));
    }
    if paths.len() > 1 {
        let mut seen = BTreeSet::new();
        listing.files.sort_by_key(|file| file.kind);
        listing.files.retain(|file| fs::canonicalize(&file.path).map_or(true, |path| seen.insert(path)));
    }
    listing.files.sort_unstable();
    Ok(listing)
}

/// Gives files the texts that take the place of their own.
fn lay_over(input: &Input, base: &Base, listing: &mut Listing) {
    if input.overlay.is_empty() {
        return;
    }
    let mut waiting = input.overlay.clone();
    for file in &mut listing.files {
        file.given = fs::canonicalize(&file.path).ok().and_then(|path| waiting.remove(&path));
    }
    for path in &input.unlisted {
        let Some((path, text)) = waiting.remove_entry(path) else { continue };
        let folder = fs::canonicalize(base.folder).unwrap_or_else(|_| base.folder.to_path_buf());
        let name = Base { folder: &folder }.name(&path);
        listing.files.push(SourceFile { name, path, kind: Kind::Code, given: Some(text) });
    }
}

fn nothing_found(paths: &[PathBuf], problems: &[Problem]) -> String {
    let places: Vec<_> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    let mut message = format!(
        "no Elixir file found: looked for *.ex and *.exs in {}, \
         leaving out hidden folders, `_build`, `deps`, `node_modules` and what .gitignore names",
        places.join(", ")
    );
    let trouble = problems.iter().filter(|problem| !problem.message.starts_with("no Elixir file"));
    for Problem { path, message: reason, .. } in trouble {
        message.push_str(&format!("\n  {path}: {reason}"));
    }
    message
}

fn search(folder: &Path, base: &Base, excluded: &Gitignore, listing: &mut Listing) {
    let mut walk = WalkBuilder::new(folder);
    // A machine's own ignore files would make the same project give different reports: only those in the project count.
    let inside = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    let (excluded, top, top_canonical) = (excluded.clone(), folder.to_path_buf(), inside.clone());
    let is_excluded = move |entry: &DirEntry| {
        let Ok(below) = entry.path().strip_prefix(&top) else { return false };
        let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
        !excluded.is_empty() && excluded.matched(top_canonical.join(below), is_folder).is_ignore()
    };
    walk.ignore(false).git_exclude(false).git_global(false).require_git(false);
    walk.filter_entry(move |entry| is_searched(entry) && !is_excluded(entry));
    let names_tests = folder.file_name().is_some_and(|name| name == "test");
    for entry in walk.build() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                listing.problems.push(trouble(&error, folder, base));
                continue;
            }
        };
        if let Some(error) = entry.error() {
            listing.problems.push(trouble(error, entry.path(), base));
        }
        if entry.depth() > 0 && entry.path_is_symlink() {
            listing.problems.extend(link_problem(entry.path(), &inside, base));
        } else if entry.file_type().is_some_and(|kind| kind.is_file()) && is_elixir(entry.path()) {
            let is_test = !names_tests && is_test(entry.path().strip_prefix(folder).unwrap_or(entry.path()));
            let kind = if is_test { Kind::Test } else { Kind::Code };
            listing.files.push(SourceFile { name: base.name(entry.path()), path: entry.into_path(), kind, given: None });
        }
    }
}

/// Whether to look at `entry`, and into it.
fn is_searched(entry: &DirEntry) -> bool {
    if entry.depth() == 0 || entry.file_type().is_some_and(|kind| kind.is_file()) {
        return true;
    }
    match entry.file_name().to_str() {
        Some("_build" | "node_modules") => false,
        // Elsewhere it may be part of the program: `lib/shop/deps/`.
        Some("deps") => entry.depth() > 1 && !entry.path().with_file_name("mix.exs").exists(),
        _ => true,
    }
}

/// What is lost by not following the link at `path`, if anything is.
fn link_problem(path: &Path, inside: &Path, base: &Base) -> Option<Problem> {
    let message = match fs::canonicalize(path) {
        Ok(target) if target.starts_with(inside) => return None,
        Ok(target) if target.is_dir() || is_elixir(path) => "symbolic link out of the folder: not followed".to_owned(),
        Err(error) if is_elixir(path) => format!("symbolic link that cannot be followed: {error}"),
        Ok(_) | Err(_) => return None,
    };
    Some(Problem { path: base.name(path), place: None, message })
}

fn trouble(error: &ignore::Error, met_at: &Path, base: &Base) -> Problem {
    use ignore::Error;
    match error {
        Error::WithPath { path, err } => trouble(err, path, base),
        Error::WithDepth { err, .. } => trouble(err, met_at, base),
        _ => {
            let reason = error.io_error().map_or_else(|| error.to_string(), |error| error.kind().to_string());
            Problem { path: base.name(met_at), place: None, message: format!("cannot be searched: {reason}") }
        }
    }
}

fn is_elixir(path: &Path) -> bool {
    matches!(path.extension().and_then(OsStr::to_str), Some("ex" | "exs"))
}

fn is_test(path: &Path) -> bool {
    let of_tests = |name: &OsStr| name == "test" || name == "bench" || name == "benchmarks";
    let is_in_test = path.parent().is_some_and(|folder| folder.components().any(|part| of_tests(part.as_os_str())));
    is_in_test || path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.ends_with("_test.exs"))
}

impl Base<'_> {
    /// `path` relative to the base when it is below it, with forward slashes and without `./`.
    fn name(&self, path: &Path) -> String {
        let relative = path.strip_prefix(self.folder).unwrap_or(path);
        let mut name = String::new();
        for part in relative.components().filter(|part| *part != Component::CurDir) {
            if !name.is_empty() && !name.ends_with('/') {
                name.push('/');
            }
            match part {
                Component::RootDir => name.push('/'),
                part => name.push_str(&part.as_os_str().to_string_lossy()),
            }
        }
        if name.is_empty() { ".".to_owned() } else { name }
    }
}
