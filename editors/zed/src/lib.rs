//! Tells Zed how to start `racefree lsp`: the program on the `PATH` of the project.

use zed_extension_api as zed;

struct Racefree;

impl zed::Extension for Racefree {
    fn new() -> Self {
        Self
    }

    fn language_server_command(&mut self, _: &zed::LanguageServerId, worktree: &zed::Worktree) -> zed::Result<zed::Command> {
        let command = worktree.which("racefree").ok_or("`racefree` is not on the PATH")?;
        Ok(zed::Command { command, args: vec!["lsp".to_owned()], env: worktree.shell_env() })
    }
}

zed::register_extension!(Racefree);
