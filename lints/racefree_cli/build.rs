//! Names this build: a digest of the sources of everything that decides what a parsed file or a summary looks like. A cache written by another build is
//! no use, and may look right; a version number would have to be remembered at each change.

#![allow(clippy::print_stdout, reason = "how a build script speaks to cargo")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

/// Beside this crate.
const CRATES: [&str; 4] = ["racefree_syntax", "racefree_models", "racefree_analysis", "racefree_cli"];

fn main() -> io::Result<()> {
    let mut hash = Xxh3::new();
    for name in CRATES {
        for folder in ["src", "data", "Cargo.toml"] {
            let path = Path::new("..").join(name).join(folder);
            if path.exists() {
                println!("cargo::rerun-if-changed={}", path.display());
                add(&path, &mut hash)?;
            }
        }
    }
    // The grammar and the libraries.
    let lock = Path::new("../../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    add(lock, &mut hash)?;
    println!("cargo::rustc-env=RACEFREE_BUILD={:032x}", hash.digest128());
    Ok(())
}

fn add(path: &Path, hash: &mut Xxh3) -> io::Result<()> {
    if path.is_dir() {
        let entries: io::Result<Vec<PathBuf>> = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut entries = entries?;
        entries.sort();
        return entries.iter().try_for_each(|entry| add(entry, hash));
    }
    let bytes = fs::read(path)?;
    hash.update(path.to_string_lossy().as_bytes());
    hash.update(&(bytes.len() as u64).to_le_bytes());
    hash.update(&bytes);
    Ok(())
}
