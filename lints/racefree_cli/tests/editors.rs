//! Real editors and the real server: Neovim and Emacs, without a window, open a project, see the finding, apply an action, and see the finding vanish.
//!
//! An editor that is not there fails its test: `bin/test` installs both.

mod project;

use project::Project;
use std::fs;
use std::process::Command;

/// The race lies in one file, and what it comes from in another.
const CALLEE: &str = "defmodule Callee do\n  def find(name), do: Process.whereis(name)\nend\n";
const CALLER: &str = "defmodule Caller do\n  def run(name) do\n    # 𝄞\n    _ = {\"𝄞\", send(Callee.find(name), :go)}\n  end\nend\n";
const ALLOW: &str = "Allow nil_pid_call here, with a reason";

/// A handler that misses what it is there for.
const HANDLER: &str = "defmodule Handler do\n  def ask(pid) do\n    GenServer.call(pid, :x)\n  catch\n    _ -> :down\n  end\nend\n";

/// Runs an editor's script in `project`; it applies `action` in `file`. Gives what the script said.
#[track_caller]
fn edit(mut editor: Command, project: &Project, file: &str, action: &str) -> String {
    // Nobody's own configuration, history or swap files.
    let home = tempfile::tempdir().unwrap();
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
        editor.env(name, home.path());
    }
    editor.env("RACEFREE_BINARY", env!("CARGO_BIN_EXE_racefree")).env("RACEFREE_FILE", file).env("RACEFREE_ACTION", action);
    editor.current_dir(project.path());
    let name = editor.get_program().to_string_lossy().into_owned();
    let output = editor.output().unwrap_or_else(|error| panic!("`{name}` does not start: {error}; bin/test installs it"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)).replace('\r', "");
    assert!(output.status.success(), "{name}: {}\n{said}", output.status);
    said
}

fn neovim() -> Command {
    let mut command = Command::new("nvim");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/editors/neovim.lua");
    command.args(["--headless", "--clean", "-n", "-c", &format!("luafile {script}")]);
    command
}

fn emacs() -> Command {
    let mut command = Command::new("emacs");
    command.args(["--batch", "--no-init-file", "--load", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/editors/emacs.el")]);
    command
}

#[track_caller]
fn assert_says(said: &str, lines: &[&str]) {
    for line in lines {
        assert!(said.contains(line), "{line} is missing in\n{said}");
    }
}

#[test]
fn neovim_shows_a_race_across_files_and_allows_it() {
    let project = Project::new(&[("mix.exs", ""), ("lib/callee.ex", CALLEE), ("lib/caller.ex", CALLER)]);
    let said = edit(neovim(), &project, "lib/caller.ex", ALLOW);
    let hover = "hover **nil_pid_call**: send gets nil when Process.whereis finds no entry: it raises";
    assert_says(
        &said,
        &["diagnostic racefree nil_pid_call line 4", "related callee.ex", "related caller.ex", hover, &format!("action {ALLOW}")],
    );
    let expected = CALLER.replace("    _ =", "    # racefree:allow nil_pid_call - reason\n    _ =");
    assert_eq!(fs::read_to_string(project.path().join("lib/caller.ex")).unwrap(), expected);
}

#[test]
fn neovim_applies_a_fix() {
    let project = Project::new(&[("mix.exs", ""), ("lib/handler.ex", HANDLER)]);
    let said = edit(neovim(), &project, "lib/handler.ex", "Catch exits");
    assert_says(&said, &["diagnostic racefree catch_misses_exit line 5", "action Catch exits"]);
    assert_eq!(fs::read_to_string(project.path().join("lib/handler.ex")).unwrap(), HANDLER.replace("    _ ->", "    :exit, _ ->"));
}

#[test]
fn emacs_applies_a_fix() {
    let project = Project::new(&[("mix.exs", ""), ("lib/handler.ex", HANDLER)]);
    let said = edit(emacs(), &project, "lib/handler.ex", "Catch exits");
    assert_says(&said, &["diagnostic racefree [catch_misses_exit]", "action Catch exits"]);
    assert_eq!(fs::read_to_string(project.path().join("lib/handler.ex")).unwrap(), HANDLER.replace("    _ ->", "    :exit, _ ->"));
}

#[test]
fn emacs_shows_a_race_across_files_and_allows_it() {
    let project = Project::new(&[("mix.exs", ""), ("lib/callee.ex", CALLEE), ("lib/caller.ex", CALLER)]);
    edit(emacs(), &project, "lib/caller.ex", ALLOW);
    let expected = CALLER.replace("    _ =", "    # racefree:allow nil_pid_call - reason\n    _ =");
    assert_eq!(fs::read_to_string(project.path().join("lib/caller.ex")).unwrap(), expected);
}
