//! The model checker's run: the tests of `racefree_core` under `--cfg loom`, which swaps the synchronization primitives for loom's.
//!
//! Another configuration means other artifacts: they get a folder of their own, or each run would build the workspace anew.

use std::path::Path;
use std::process::Command;

/// Whether all of them passed. What they say goes straight to the terminal.
///
/// # Errors
/// When cargo cannot be started.
pub fn run(root: &Path) -> Result<bool, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder)).join("loom");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--quiet", "--package", "racefree_core", "--features", "planted", "--release", "--lib", "loom"])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTFLAGS", "--cfg loom")
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    Ok(status.success())
}
