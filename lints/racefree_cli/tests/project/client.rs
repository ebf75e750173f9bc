//! Real editors without a window. One that is not there fails its test: `bin/test` installs both.

use std::process::Command;

use super::Project;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Neovim,
    Emacs,
}

/// Runs the editor's script in `project`, and gives what it said. What it is to do stands in the `environment`.
#[track_caller]
pub(crate) fn run(client: Client, project: &Project, environment: &[(&str, &str)]) -> String {
    let mut command = match client {
        Client::Neovim => {
            let mut command = Command::new("nvim");
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/editors/neovim.lua");
            command.args(["--headless", "--clean", "-n", "-c", &format!("luafile {script}")]);
            command
        }
        Client::Emacs => {
            let mut command = Command::new("emacs");
            command.args(["--batch", "--no-init-file", "--load", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/editors/emacs.el")]);
            command
        }
    };
    // Nobody's own configuration, history or swap files.
    let home = tempfile::tempdir().expect("a folder for the test");
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
        command.env(name, home.path());
    }
    command.env("RACEFREE_BINARY", env!("CARGO_BIN_EXE_racefree")).envs(environment.iter().copied()).current_dir(project.path());
    let output = command.output().unwrap_or_else(|error| panic!("{client:?} does not start: {error}; bin/test installs it"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)).replace('\r', "");
    assert!(output.status.success(), "{client:?}: {}\n{said}", output.status);
    said
}
