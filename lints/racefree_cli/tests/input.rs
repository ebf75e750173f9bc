//! Bad input of every kind: a listed problem or a clear message, never a crash, a hang or a silent skip.

mod project;

use project::{Project, status, stderr, stdout};

const FLAWED: &str = "defmodule A do # racefree:allow no_such_rule - for the tests\nend\n";
const FINE: &str = "defmodule B do\n  def b, do: 1\nend\n";

/// Runs `check` over `files` and gives the lines of the report.
fn lines<T: AsRef<[u8]>>(files: &[(&str, T)]) -> Vec<String> {
    let project = Project::new(files);
    let output = project.run(&["check", "--format", "oneline"]);
    assert_eq!((status(&output), stderr(&output)), (0, ""));
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
fn empty_files_are_fine() {
    assert!(lines(&[("a.ex", ""), ("b.exs", "\n"), ("c.ex", "\u{feff}")]).is_empty());
}

#[test]
fn binary_files_are_listed() {
    let expected = "a.ex: problem: holds a NUL byte, so it is no Elixir source: not read";
    assert_eq!(lines(&[("a.ex", &b"\x7fELF\0\x01\xff"[..]), ("b.ex", FINE.as_bytes())]), [expected]);
}

#[test]
fn bytes_that_are_no_utf_8_are_listed_and_the_rest_is_read() {
    let latin = b"# caf\xe9\ndefmodule A do # racefree:allow no_such_rule - x\nend\n";
    let found = lines(&[("a.ex", latin)]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("a.ex:2:16: warning[allow_unknown_rule]"), "{found:?}");
    assert_eq!(found[1], "a.ex:1:6: problem: not valid UTF-8: read with its bad bytes replaced");
}

#[test]
fn deep_nesting_does_not_overflow() {
    let brackets = format!("defmodule A do\n  def a, do: {}1{}\nend\n", "[".repeat(50_000), "]".repeat(50_000));
    let calls = format!("defmodule B do\n  def b, do: {}1{}\nend\n", "f(".repeat(20_000), ")".repeat(20_000));
    let blocks = format!("defmodule C do\n  def c do\n{}1\n{}  end\nend\n", "if a do\n".repeat(5_000), "end\n".repeat(5_000));
    let open = "{[(%{".repeat(20_000);
    let sum = format!("defmodule D do\n  def d, do: 1{}\nend\n", " + 1".repeat(50_000));
    let pipe = format!("defmodule E do\n  def e, do: 1{}\nend\n", " |> f()".repeat(20_000));
    let project = Project::new(&[("a.ex", brackets), ("b.ex", calls), ("c.ex", blocks), ("d.ex", open), ("e.ex", sum), ("f.ex", pipe)]);
    for threads in ["1", "4"] {
        let output = project.run(&["check", "--format", "oneline", "--threads", threads]);
        assert_eq!((status(&output), stderr(&output)), (0, ""));
    }
}

#[test]
fn half_typed_code_keeps_the_rest_of_its_file() {
    let project =
        Project::new(&[("a.ex", "defmodule A do\n  def broken( do\n\n  def whole, do: 1 # racefree:allow no_such_rule - x\nend\n")]);
    let output = project.run(&["check", "--format", "oneline"]);
    assert!(stdout(&output).contains("a.ex:4:"), "{}", stdout(&output));
}

#[test]
fn a_file_above_the_limit_is_listed() {
    let project = Project::new(&[("b.ex", FINE)]);
    let large = std::fs::File::create(project.path().join("large.ex")).expect("the file can be made");
    large.set_len(100 << 20).expect("the file can grow");
    let output = project.run(&["check"]);
    assert_eq!(status(&output), 0);
    assert!(stdout(&output).contains("problem: large.ex: larger than "), "{}", stdout(&output));
}

#[test]
fn gitignore_counts_without_git_and_named_files_are_always_read() {
    let project = Project::new(&[(".gitignore", "/gen/\n*.tmp.ex\n"), ("gen/a.ex", FLAWED), ("lib/x.tmp.ex", FLAWED), ("lib/b.ex", FINE)]);
    assert_eq!(stdout(&project.run(&["check", "--format", "oneline"])), "");
    let named = project.run(&["check", "--format", "oneline", "gen/a.ex", "lib"]);
    assert!(stdout(&named).starts_with("gen/a.ex:1:"), "{}", stdout(&named));
}

#[test]
fn generated_and_fetched_folders_are_left_out() {
    let left_out = [
        "_build/a.ex",
        "deps/a.ex",
        "apps/x/deps/a.ex",
        "apps/x/_build/a.ex",
        "assets/node_modules/a.ex",
        ".elixir_ls/a.ex",
        ".formatter.exs",
    ];
    let mut files: Vec<_> = left_out.iter().map(|path| (*path, FLAWED)).collect();
    files.extend([("mix.exs", FINE), ("apps/x/mix.exs", FINE), ("lib/shop/deps/a.ex", FLAWED)]);
    let found = lines(&files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("lib/shop/deps/a.ex:1:"));
}

#[cfg(unix)]
mod links {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, Instant};

    #[test]
    fn loops_end() {
        let project = Project::new(&[("lib/a.ex", FLAWED)]);
        symlink("..", project.path().join("lib/up")).expect("a link");
        symlink("self.ex", project.path().join("lib/self.ex")).expect("a link");
        let started = Instant::now();
        let output = project.run(&["check", "--format", "oneline"]);
        assert!(started.elapsed() < Duration::from_secs(10));
        assert_eq!(stdout(&output).lines().count(), 2, "{}", stdout(&output));
        assert!(stdout(&output).contains("lib/self.ex: problem: symbolic link that cannot be followed: "));
    }

    #[test]
    fn links_that_are_broken_or_lead_outside_are_listed() {
        let (project, other) = (Project::new(&[("lib/b.ex", FINE)]), Project::new(&[("a.ex", FLAWED)]));
        symlink("nowhere", project.path().join("broken.ex")).expect("a link");
        symlink("lib/b.ex", project.path().join("inside.ex")).expect("a link");
        symlink(other.path(), project.path().join("outside")).expect("a link");
        symlink(other.path().join("a.ex"), project.path().join("outside.ex")).expect("a link");
        let output = project.run(&["check", "--format", "oneline"]);
        let names: Vec<_> = stdout(&output).lines().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(names, ["broken.ex", "outside", "outside.ex"]);
    }

    #[test]
    fn a_link_that_is_named_is_followed() {
        let (project, other) = (Project::new(&[("lib/b.ex", FINE)]), Project::new(&[("a.ex", FLAWED)]));
        symlink(other.path(), project.path().join("outside")).expect("a link");
        symlink(other.path().join("a.ex"), project.path().join("one.ex")).expect("a link");
        for (path, shown) in [("outside", "a.ex:1:"), ("outside/", "a.ex:1:"), ("one.ex", "one.ex:1:")] {
            let output = project.run(&["check", "--format", "oneline", path]);
            assert!(stdout(&output).starts_with(shown), "{path}: {}{}", stdout(&output), stderr(&output));
        }
    }

    #[test]
    fn unreadable_folders_and_files_are_listed() {
        let project = Project::new(&[("lib/b.ex", FINE), ("locked/a.ex", FLAWED), ("file.ex", FLAWED)]);
        let lock = |path: &str, mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(project.path().join(path), permissions).expect("permissions can be set");
        };
        lock("locked", 0o000);
        lock("file.ex", 0o000);
        let is_all_powerful = std::fs::read_dir(project.path().join("locked")).is_ok();
        let output = project.run(&["check", "--format", "oneline"]);
        lock("locked", 0o700);
        if is_all_powerful {
            return;
        }
        assert_eq!(status(&output), 0);
        let names: Vec<_> = stdout(&output).lines().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(names, ["file.ex", "locked"]);
    }
}
