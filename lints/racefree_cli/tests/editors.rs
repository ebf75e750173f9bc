//! Real editors and the real server: Neovim and Emacs, without a window, open a project, see the finding, apply an action, and see the finding vanish.

mod project;

use project::Project;
use project::client::{self, Client};
use std::fs;

/// The race lies in one file, and what it comes from in another.
const CALLEE: &str = "defmodule Callee do\n  def find(name), do: Process.whereis(name)\nend\n";
const CALLER: &str = "defmodule Caller do\n  def run(name) do\n    # 𝄞\n    _ = {\"𝄞\", send(Callee.find(name), :go)}\n  end\nend\n";
const ALLOW: &str = "Allow nil_pid_call here, with a reason";

/// A handler that misses what it is there for.
const HANDLER: &str = "defmodule Handler do\n  def ask(pid) do\n    GenServer.call(pid, :x)\n  catch\n    _ -> :down\n  end\nend\n";

/// Has an editor apply `action` in `file`. Gives what it said.
#[track_caller]
fn edit(client: Client, project: &Project, file: &str, action: &str) -> String {
    client::run(client, project, &[("RACEFREE_FILE", file), ("RACEFREE_ACTION", action)])
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
    let said = edit(Client::Neovim, &project, "lib/caller.ex", ALLOW);
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
    let said = edit(Client::Neovim, &project, "lib/handler.ex", "Catch exits");
    assert_says(&said, &["diagnostic racefree catch_misses_exit line 5", "action Catch exits"]);
    assert_eq!(fs::read_to_string(project.path().join("lib/handler.ex")).unwrap(), HANDLER.replace("    _ ->", "    :exit, _ ->"));
}

#[test]
fn emacs_applies_a_fix() {
    let project = Project::new(&[("mix.exs", ""), ("lib/handler.ex", HANDLER)]);
    let said = edit(Client::Emacs, &project, "lib/handler.ex", "Catch exits");
    assert_says(&said, &["diagnostic racefree [catch_misses_exit]", "action Catch exits"]);
    assert_eq!(fs::read_to_string(project.path().join("lib/handler.ex")).unwrap(), HANDLER.replace("    _ ->", "    :exit, _ ->"));
}

#[test]
fn emacs_shows_a_race_across_files_and_allows_it() {
    let project = Project::new(&[("mix.exs", ""), ("lib/callee.ex", CALLEE), ("lib/caller.ex", CALLER)]);
    edit(Client::Emacs, &project, "lib/caller.ex", ALLOW);
    let expected = CALLER.replace("    _ =", "    # racefree:allow nil_pid_call - reason\n    _ =");
    assert_eq!(fs::read_to_string(project.path().join("lib/caller.ex")).unwrap(), expected);
}
