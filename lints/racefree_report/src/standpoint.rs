//! Where the readers of the output stand: some know files by their path in the repository, some by that in the folder the tool was called in.
//!
//! Everywhere else in this crate a path is one in the project, which may lie in a folder of either.

use std::borrow::Cow;

/// How the project's folder is reached; each part is empty or ends in a slash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standpoint {
    /// From the root of the repository, where code hosts stand. Empty without a repository.
    pub repository: String,
    /// From the folder the tool was called in, where tools stand that take its output from a pipe.
    pub working_folder: String,
}

impl Standpoint {
    pub(crate) fn in_repository<'p>(&self, path: &'p str) -> Cow<'p, str> {
        join(&self.repository, path)
    }

    pub(crate) fn in_working_folder<'p>(&self, path: &'p str) -> Cow<'p, str> {
        join(&self.working_folder, path)
    }
}

/// `path` below `folder`, with `..` taken out as far as `folder` reaches; an absolute path stays what it is.
fn join<'p>(folder: &str, path: &'p str) -> Cow<'p, str> {
    if path.starts_with('/') || (folder.is_empty() && !path.starts_with("..")) {
        return Cow::Borrowed(path);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "." => {}
            // The first empty part is the root.
            "" if !parts.is_empty() => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, ".." | "")) => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if folder.is_empty() && parts.first() == Some(&"") {
        parts.remove(0);
    }
    Cow::Owned(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_and_takes_out_what_leads_back() {
        for (folder, path, expected) in [
            ("", "lib/a.ex", "lib/a.ex"),
            ("", "../x/a.ex", "../x/a.ex"),
            ("apps/shop/", "lib/a.ex", "apps/shop/lib/a.ex"),
            ("apps/shop/", "../x/a.ex", "apps/x/a.ex"),
            ("apps/", "../../x/./a.ex", "../x/a.ex"),
            ("../shop/", "lib/a.ex", "../shop/lib/a.ex"),
            ("/srv/shop/", "lib/a.ex", "/srv/shop/lib/a.ex"),
            ("apps/", "/srv/a.ex", "/srv/a.ex"),
        ] {
            assert_eq!(join(folder, path), expected, "{folder} {path}");
        }
    }
}
