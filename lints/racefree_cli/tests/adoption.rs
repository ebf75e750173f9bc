//! Taking the linter into an existing project: configuration, baseline, findings of a change alone. With a real git.
//!
//! Findings come from comments that allow nothing, so that these tests do not depend on what any rule sees.

mod project;

use std::fs;
use std::process::Command;

use project::{Project, status, stderr, stdout};

/// A module with a `likely` finding on its first line.
fn flawed(module: &str, rule: &str) -> String {
    format!("defmodule {module} do # racefree:allow {rule} - for the tests\n  def a, do: 1\nend\n")
}

fn git(project: &Project, arguments: &[&str]) {
    let fixed = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main", "-c", "commit.gpgSign=false"];
    let output = Command::new("git").arg("-C").arg(project.path()).args(fixed).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn committed(files: &[(&str, &str)]) -> Project {
    let project = Project::new(files);
    git(&project, &["init", "-q"]);
    git(&project, &["add", "-A"]);
    git(&project, &["commit", "-qm", "first"]);
    project
}

/// The paths of the findings, one line each.
fn found(project: &Project, arguments: &[&str]) -> Vec<String> {
    let output = project.run(&[&["check", "--format", "oneline"], arguments].concat());
    assert_eq!(stderr(&output), "", "{arguments:?}");
    stdout(&output).lines().map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn configuration_chooses_paths_rules_and_tiers() {
    let (a, b, c) = (flawed("A", "nope"), flawed("B", "nope"), flawed("C", "nope"));
    let project = Project::new(&[("lib/a.ex", &*a), ("lib/made/b.ex", &*b), ("other/c.ex", &*c)]);
    assert_eq!(found(&project, &[]), ["lib/a.ex", "lib/made/b.ex", "other/c.ex"]);
    project.write("racefree.toml", "[check]\npaths = [\"lib\"]\nexclude = [\"made/\"]\nfail_on = \"likely\"\n");
    assert_eq!(found(&project, &[]), ["lib/a.ex"]);
    assert_eq!(status(&project.run(&["check"])), 1);
    assert_eq!(status(&project.run(&["check", "--fail-on", "certain"])), 0);
    assert_eq!(found(&project, &["other"]), ["c.ex"], "the command line has the last word on paths");
    assert_eq!(found(&project, &["."]), found(&project, &[]), "a project that is named is the project one stands in");
    project.write("racefree.toml", "[check]\nexcept = [\"allow_unknown_rule\"]\n");
    assert_eq!(found(&project, &[]), Vec::<String>::new());
    assert_eq!(found(&project, &["--only", "allow_unknown_rule"]).len(), 3, "and on rules");
}

#[test]
fn configuration_is_found_above_and_checked() {
    let a = flawed("A", "nope");
    let project = Project::new(&[("lib/a.ex", &*a), ("racefree.toml", "[check]\nfail_onn = \"likely\"\n")]);
    let output = project.run(&["check", "lib"]);
    assert_eq!(status(&output), 2);
    assert!(stderr(&output).ends_with("`include_tests`, `baseline`; perhaps `fail_on`?\n"), "{}", stderr(&output));
    assert!(stderr(&output).contains("racefree.toml:2:1: unknown field `fail_onn`"), "{}", stderr(&output));
    assert_eq!(status(&project.run(&["check", "--config", "gone.toml"])), 2);
}

#[test]
fn configuration_brings_models_of_the_projects_own_functions() {
    let code = "defmodule A do\n  def a(name) do\n    case My.Names.pid(name) do\n      found -> GenServer.call(found, :go)\n    end\n  end\nend\n";
    let project = Project::new(&[("lib/a.ex", code)]);
    assert_eq!(found(&project, &[]), Vec::<String>::new());
    let models = "[[models.module]]\nname = \"My.Names\"\nfunctions = [{ name = \"pid\", arity = [1], effect = \"lookup\", key = 0, returns = \"pid | nil\" }]\n";
    project.write("racefree.toml", models);
    let output = project.run(&["check", "--format", "oneline"]);
    assert!(stdout(&output).starts_with("lib/a.ex:4:26: error[nil_pid_call]"), "{}", stdout(&output));
    project.write("racefree.toml", models.replace("key = 0", "key = 1"));
    assert!(stderr(&project.run(&["check"])).contains("My.Names.pid/1 has no argument 1"));
}

#[test]
fn a_baseline_hides_what_is_known_and_only_shrinks() {
    let (a, b) = (flawed("A", "one"), flawed("B", "two"));
    let project = Project::new(&[("lib/a.ex", &*a)]);
    let written = project.run(&["baseline"]);
    assert_eq!(
        stdout(&written),
        "racefree-baseline.json: 1 finding written; from now on `racefree check --baseline racefree-baseline.json` shows new ones only\n"
    );
    let baseline = &["--baseline", "racefree-baseline.json"];
    assert_eq!(found(&project, baseline), Vec::<String>::new());
    project.write("lib/b.ex", &b);
    assert_eq!(found(&project, baseline), ["lib/b.ex"]);

    let again = project.run(&["baseline"]);
    let refused = "1 finding is not in it, and not added: a baseline only shrinks. To take them in, remove the file and write it anew.\n";
    assert_eq!(stdout(&again), format!("racefree-baseline.json: 1 finding kept, 0 removed that are gone\n{refused}"));

    project.write("lib/a.ex", "defmodule A do\nend\n");
    let output = project.run(&[&["check"][..], baseline].concat());
    let told = "no longer found: allow_unknown_rule in lib/a.ex; run `racefree baseline` to remove what is stale";
    assert!(stdout(&output).contains(told), "{}", stdout(&output));
    assert!(stdout(&project.run(&["baseline"])).starts_with("racefree-baseline.json: 0 findings kept, 1 removed that are gone\n"));
    assert!(!stdout(&project.run(&[&["check"][..], baseline].concat())).contains("no longer found"));
}

#[test]
fn a_baseline_survives_moved_lines_and_files_and_judges_only_what_ran() {
    let a = flawed("A", "one");
    let project = Project::new(&[
        ("lib/a.ex", &*a),
        ("lib/b.ex", "defmodule B do\nend\n"),
        ("racefree.toml", "[check]\nbaseline = \"known.json\"\n"),
    ]);
    assert_eq!(status(&project.run(&["check"])), 2, "a baseline that is asked for and not there is no empty one");
    assert_eq!(status(&project.run(&["baseline"])), 0);
    fs::remove_file(project.path().join("lib/a.ex")).unwrap();
    project.write("lib/c/d.ex", format!("\n\n{a}"));
    assert_eq!(found(&project, &[]), Vec::<String>::new());
    // Neither a rule that did not run nor a file that was not read says anything about its entries.
    project.write("lib/a.ex", &a);
    for arguments in [&["check", "--only", "nil_pid_call"][..], &["check", "lib/b.ex"]] {
        assert!(!stdout(&project.run(arguments)).contains("no longer found"), "{arguments:?}");
    }
}

#[test]
fn equal_findings_keep_their_names_when_one_is_hidden() {
    let twice = "defmodule A do\n  # racefree:allow one - x\n  # racefree:allow one - x\n  def a, do: 1\nend\n";
    let project = committed(&[("lib/a.ex", twice)]);
    let fingerprints = |arguments: &[&str]| -> Vec<String> {
        let output = project.run(&[&["check", "--format", "json"], arguments].concat());
        let document: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
        document["findings"].as_array().unwrap().iter().map(|finding| finding["fingerprint"].to_string()).collect()
    };
    let all = fingerprints(&[]);
    project.write("lib/a.ex", twice.replacen("- x\n  def", "-  x\n  def", 1));
    assert_eq!(fingerprints(&["--diff", "HEAD"]), all[1..]);
}

#[test]
fn diff_shows_what_touches_changed_lines() {
    let (a, b) = (flawed("A", "one"), flawed("B", "two"));
    let project = committed(&[("lib/a.ex", &*a), ("lib/b.ex", &*b)]);
    assert_eq!(found(&project, &["--diff", "HEAD"]), Vec::<String>::new());
    project.write("lib/b.ex", b.replace("def a, do: 1", "def a, do: 2"));
    assert_eq!(found(&project, &["--diff", "HEAD"]), Vec::<String>::new(), "another line of the same file");
    project.write("lib/b.ex", b.replace("for the tests", "for them"));
    project.write("lib/new.ex", flawed("C", "three"));
    assert_eq!(found(&project, &["--diff", "HEAD"]), ["lib/b.ex", "lib/new.ex"]);
    let output = project.run(&["check", "--diff", "HEAD"]);
    assert!(stdout(&output).ends_with("Not shown: 1 away from the change\n"), "{}", stdout(&output));
}

#[test]
fn diff_leaves_out_what_happened_on_the_other_side() {
    let (a, b) = (flawed("A", "one"), flawed("B", "two"));
    let project = committed(&[("lib/a.ex", &*a), ("lib/b.ex", &*b)]);
    git(&project, &["checkout", "-qb", "work"]);
    project.write("lib/b.ex", b.replace("for the tests", "for them"));
    git(&project, &["commit", "-qam", "ours"]);
    git(&project, &["checkout", "-q", "main"]);
    project.write("lib/a.ex", a.replace("for the tests", "for them"));
    git(&project, &["commit", "-qam", "theirs"]);
    git(&project, &["checkout", "-q", "work"]);
    assert_eq!(found(&project, &["--diff", "main"]), ["lib/b.ex"]);
}

#[test]
fn staged_reads_what_would_be_committed() {
    let project = committed(&[("lib/a.ex", "defmodule A do\nend\n"), ("lib/b.ex", "defmodule B do\nend\n")]);
    project.write("lib/a.ex", flawed("A", "one"));
    git(&project, &["add", "lib/a.ex"]);
    // Mended in the work tree, and a new flaw elsewhere: neither would be committed.
    project.write("lib/a.ex", "defmodule A do\nend\n");
    project.write("lib/b.ex", flawed("B", "two"));
    assert_eq!(found(&project, &["--staged"]), ["lib/a.ex"]);
    assert_eq!(found(&project, &[]), ["lib/b.ex"]);
}

#[test]
fn standard_input_takes_the_place_of_a_file() {
    let a = flawed("A", "one");
    let project = Project::new(&[("lib/a.ex", "defmodule A do\nend\n"), ("lib/b.ex", &*flawed("B", "two"))]);
    for name in ["lib/a.ex", "lib/new.ex"] {
        let output = project.run_with_input(&["check", "--format", "oneline", "--stdin-filename", name], &a);
        assert_eq!(stdout(&output), format!("{name}:1:16: warning[allow_unknown_rule] there is no rule `one`\n"), "{}", stderr(&output));
    }
}

#[test]
fn diff_says_what_is_wrong_with_it() {
    let b = "defmodule B do\nend\n";
    let plain = Project::new(&[("lib/b.ex", b)]);
    let output = plain.run(&["check", "--diff", "HEAD"]);
    assert_eq!((status(&output), stderr(&output)), (2, "error: `.` is not in a git repository\n"));
    let project = committed(&[("lib/b.ex", b)]);
    for reference in ["gone", "--output=x"] {
        let output = project.run(&["check", &format!("--diff={reference}")]);
        let expected = format!("error: git knows no commit `{reference}`; a shallow clone may lack it: try `git fetch --unshallow`\n");
        assert_eq!((status(&output), stderr(&output)), (2, &*expected));
    }
    assert_eq!(status(&project.run(&["check", "--diff", "HEAD", "--staged"])), 2);
}

#[test]
fn fix_makes_safe_edits_and_keeps_everything_else() {
    let code = "defmodule A do\n  # café\n  def ask(pid) do\n    GenServer.call(pid,   :x)\n  catch\n    _ -> :down # why\n  end\n  def b, do: 1 # racefree:allow nil_pid_call - gone\nend\n";
    let project = Project::new(&[("lib/a.ex", code)]);
    let before = project.run(&["check", "--fail-on", "likely"]);
    assert_eq!(status(&before), 1);
    let output = project.run(&["check", "--fix", "--fail-on", "likely"]);
    assert_eq!(stdout(&output), "No races found in 1 file, 2 functions; 2 fixed\n");
    assert_eq!(status(&output), 0);
    let fixed = code.replace("    _ ->", "    :exit, _ ->").replace(" # racefree:allow nil_pid_call - gone", "");
    assert_eq!(fs::read_to_string(project.path().join("lib/a.ex")).unwrap(), fixed);
    assert_eq!(stdout(&project.run(&["check", "--fix"])), "No races found in 1 file, 2 functions\n");
}

#[test]
fn fix_leaves_what_a_person_must_judge_and_files_it_cannot_keep() {
    let unsafe_code = "defmodule A do\n  def ask(pid) do\n    GenServer.call(pid, :x)\n  catch\n    :exit, {:noproc, _} -> :down\n    :exit, {:normal, _} -> :down\n  end\nend\n";
    let project = Project::new(&[("lib/a.ex", unsafe_code)]);
    project.run(&["check", "--fix"]);
    assert_eq!(fs::read_to_string(project.path().join("lib/a.ex")).unwrap(), unsafe_code);

    let marked = "\u{feff}defmodule B do\n  def b, do: 1 # racefree:allow nil_pid_call - gone\nend\n";
    let project = Project::new(&[("lib/b.ex", marked)]);
    let output = project.run(&["check", "--fix"]);
    assert_eq!(
        (status(&output), stderr(&output)),
        (3, "error: cannot fix `./lib/b.ex`: it was changed meanwhile, or is not plain UTF-8\n")
    );
    assert_eq!(fs::read_to_string(project.path().join("lib/b.ex")).unwrap(), marked);
    assert_eq!(status(&project.run(&["check", "--fix", "--staged"])), 2);
}
