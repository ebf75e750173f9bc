//! Whether every crate imports only what the table in `layers` allows: in its manifest, and by name in its sources.

use crate::complaint::Complaint;
use crate::layers::{Foreign, LAYERS, Layer};
use crate::sources::{self, Source};
use crate::tokens;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Where the table is, for complaints.
const TABLE: &str = "lints/xtask/src/layers.rs";

/// A crate of the workspace.
#[derive(Debug, Clone)]
struct Package {
    name: String,
    /// Its folder, from the repository's root.
    folder: String,
    imports: Vec<Import>,
}

#[derive(Debug, Clone)]
struct Import {
    name: String,
    /// Only its tests and benches see it.
    is_for_tests: bool,
}

/// Checks the workspace at `root`.
pub fn check(root: &Path) -> Result<Vec<Complaint>, String> {
    let packages = packages(root)?;
    let mut complaints = manifest_complaints(LAYERS, &packages);
    for source in sources::all(root)?.iter().filter(|source| source.has_extension("rs")) {
        let owner = packages.iter().find(|package| source.path.starts_with(&format!("{}/src/", package.folder)));
        let layer = owner.and_then(|package| LAYERS.iter().find(|layer| layer.crate_name == package.name));
        if let Some(layer) = layer {
            complaints.extend(source_complaints(layer, source));
        }
    }
    Ok(complaints)
}

/// What cargo knows of the workspace's crates. Reads manifests alone: no network, no lock.
fn packages(root: &Path) -> Result<Vec<Package>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root);
    let output = command.output().map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata = serde_json::from_slice(&output.stdout).map_err(|error| format!("cannot read cargo metadata: {error}"))?;
    packages_in(&metadata).ok_or_else(|| "cargo metadata has an unknown shape".to_owned())
}

fn packages_in(metadata: &Value) -> Option<Vec<Package>> {
    let root = metadata["workspace_root"].as_str()?;
    let package = |value: &Value| {
        let manifest = value["manifest_path"].as_str()?;
        let folder = Path::new(manifest).parent()?.strip_prefix(root).ok()?.to_str()?.replace('\\', "/");
        let imports = value["dependencies"].as_array()?.iter().map(|dependency| {
            let name = dependency["name"].as_str()?.to_owned();
            Some(Import { name, is_for_tests: dependency["kind"].as_str() == Some("dev") })
        });
        Some(Package { name: value["name"].as_str()?.to_owned(), folder, imports: imports.collect::<Option<_>>()? })
    };
    metadata["packages"].as_array()?.iter().map(package).collect()
}

fn manifest_complaints(layers: &[Layer], packages: &[Package]) -> Vec<Complaint> {
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut complaints = Vec::new();
    for package in packages {
        let manifest = format!("{}/Cargo.toml", package.folder);
        let Some(layer) = layers.iter().find(|layer| layer.crate_name == package.name) else {
            let message = format!("the layering table does not know `{}`: add a row to {TABLE}", package.name);
            complaints.push(Complaint::new(&manifest, 0, message));
            continue;
        };
        for import in &package.imports {
            if !layer.allows(import, &names) {
                let user = if import.is_for_tests { "the tests of " } else { "" };
                let message = format!("{user}`{}` may not import `{}`: see its row in {TABLE}", package.name, import.name);
                complaints.push(Complaint::new(&manifest, 0, message));
            }
        }
    }
    for layer in layers.iter().filter(|layer| !names.contains(layer.crate_name)) {
        complaints.push(Complaint::new(TABLE, 0, format!("there is no crate `{}`: remove its row", layer.crate_name)));
    }
    complaints
}

impl Layer {
    fn allows(&self, import: &Import, workspace: &BTreeSet<&str>) -> bool {
        let name = import.name.as_str();
        if workspace.contains(name) {
            return self.racefree.contains(&name) || import.is_for_tests && self.racefree_in_tests.contains(&name);
        }
        match self.foreign {
            Foreign::Only(allowed) => import.is_for_tests || allowed.contains(&name),
            Foreign::Any => true,
        }
    }
}

/// What `source`, a file of `layer`'s crate, names that it must not see. Tests are free.
fn source_complaints(layer: &Layer, source: &Source) -> Vec<Complaint> {
    if source.is_for_tests() {
        return Vec::new();
    }
    let Ok(file) = syn::parse_file(&source.text) else {
        return vec![Complaint::new(&source.path, 0, "this is not Rust that can be read")];
    };
    let mut complaints = Vec::new();
    for path in tokens::paths(tokens::outside_tests(&file)) {
        for closed in layer.closed.iter().filter(|closed| reaches(&path.text, closed)) {
            let message = format!("`{}` must never see `{closed}`: let its caller pass the value in", layer.crate_name);
            complaints.push(Complaint::new(&source.path, path.line, message));
        }
        for (name, parts) in layer.partly_open {
            let is_open = parts.iter().any(|part| is_within(&path.text, &format!("{name}::{part}")));
            if path.text != *name && is_within(&path.text, name) && !is_open {
                let open = parts.join("`, `");
                let message = format!("`{}` may name only `{open}` of `{name}`, not `{}`", layer.crate_name, path.text);
                complaints.push(Complaint::new(&source.path, path.line, message));
            }
        }
    }
    complaints.dedup();
    complaints
}

/// Whether `path` is `module` or in it.
fn is_within(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Whether who names `path` gets at `closed`: it lies within, or `path` brings the module around it into reach.
fn reaches(path: &str, closed: &str) -> bool {
    let module = path.strip_suffix("::*").unwrap_or(path);
    is_within(path, closed) || module.contains("::") && is_within(closed, module)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURE: Layer = Layer {
        crate_name: "pure",
        racefree: &["base"],
        racefree_in_tests: &["fixtures"],
        foreign: Foreign::Only(&["serde"]),
        closed: &["std::fs", "std::time::Instant"],
        partly_open: &[("base", &["span"])],
    };

    fn row(crate_name: &'static str) -> Layer {
        Layer { crate_name, racefree: &[], racefree_in_tests: &[], foreign: Foreign::Any, closed: &[], partly_open: &[] }
    }

    /// Complaints about a workspace where `pure` imports `name`.
    fn imported(name: &str, is_for_tests: bool) -> String {
        let package = |name: &str, imports| Package { name: name.to_owned(), folder: format!("lints/{name}"), imports };
        let import = Import { name: name.to_owned(), is_for_tests };
        let names = ["base", "fixtures", "edge"];
        let mut packages: Vec<_> = names.iter().map(|name| package(name, vec![])).collect();
        packages.push(package("pure", vec![import]));
        join(manifest_complaints(&[PURE, row("base"), row("fixtures"), row("edge")], &packages))
    }

    fn join(complaints: Vec<Complaint>) -> String {
        complaints.iter().map(|complaint| format!("{complaint}\n")).collect()
    }

    fn named(source: &str) -> String {
        join(source_complaints(&PURE, &Source::new("lints/pure/src/lib.rs", source)))
    }

    #[test]
    fn accepts_what_the_row_lists() {
        assert_eq!(imported("base", false) + &imported("serde", false) + &imported("base", true), "");
    }

    #[test]
    fn refuses_a_crate_of_ours_that_the_row_does_not_list() {
        let expected = "lints/pure/Cargo.toml: `pure` may not import `edge`: see its row in lints/xtask/src/layers.rs\n";
        assert_eq!(imported("edge", false), expected);
        assert!(imported("edge", true).contains("the tests of `pure` may not import `edge`"));
    }

    #[test]
    fn accepts_fixtures_and_foreign_crates_in_tests_alone() {
        assert_eq!(imported("fixtures", true) + &imported("proptest", true), "");
        assert!(imported("fixtures", false).contains("may not import `fixtures`"));
        assert!(imported("proptest", false).contains("may not import `proptest`"));
    }

    #[test]
    fn refuses_a_crate_without_a_row_and_a_row_without_a_crate() {
        let package = Package { name: "new".to_owned(), folder: "lints/new".to_owned(), imports: vec![] };
        let complaints = join(manifest_complaints(&[row("old")], &[package]));
        assert!(complaints.contains("lints/new/Cargo.toml: the layering table does not know `new`: add a row"), "{complaints}");
        assert!(complaints.contains("there is no crate `old`: remove its row"), "{complaints}");
    }

    #[test]
    fn refuses_closed_paths() {
        assert_eq!(named("use std::fmt;\nuse std::fsx;\n"), "");
        let message = "lints/pure/src/lib.rs:1: `pure` must never see `std::fs`: let its caller pass the value in\n";
        assert_eq!(named("use std::{fs, io};\n"), message);
        assert!(named("fn f() { std::time::Instant::now(); }").contains("`std::time::Instant`"));
        assert!(named("use std::{fmt, time};").contains("`std::time::Instant`"));
        assert!(named("use std::time::*;").contains("`std::time::Instant`"));
        assert_eq!(named("use std::time::Duration;\nuse std;"), "");
        assert!(named("fn f() { m!(std::fs::read(x)); }").contains("`std::fs`"));
    }

    #[test]
    fn refuses_what_is_not_open_of_a_crate() {
        assert_eq!(named("use base::span::{FileId, Span};\nuse base;\n"), "");
        assert!(named("use base::{span::Span, parse};\n").contains("may name only `span` of `base`, not `base::parse`"));
    }

    #[test]
    fn accepts_closed_paths_in_tests() {
        assert_eq!(named("#[cfg(test)]\nmod tests { use std::fs; }\n"), "");
        assert_eq!(join(source_complaints(&PURE, &Source::new("lints/pure/src/tests.rs", "use std::fs;"))), "");
    }

    #[test]
    fn reads_cargo_metadata() {
        let metadata = serde_json::json!({"workspace_root": "/r", "packages": [{
            "name": "a", "manifest_path": "/r/lints/a/Cargo.toml",
            "dependencies": [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}, {"name": "d", "kind": "build"}],
        }]});
        let packages = packages_in(&metadata).expect("known shape");
        let imports: Vec<_> = packages[0].imports.iter().map(|import| (import.name.as_str(), import.is_for_tests)).collect();
        assert_eq!((packages[0].folder.as_str(), imports), ("lints/a", vec![("b", false), ("c", true), ("d", false)]));
        assert!(packages_in(&serde_json::json!({"packages": []})).is_none());
    }
}
