//! The `racefree` binary from the outside: exit status, messages, and what it does with files of every kind.
//!
//! Findings come from comments that allow nothing, so that these tests do not depend on what any rule sees.

mod project;

use project::{Project, status, stderr, stdout};

/// A comment that names no rule: a `likely` finding on the first line.
const FLAWED: &str = "defmodule A do # racefree:allow no_such_rule - for the tests\n  def a, do: 1\nend\n";
const FINE: &str = "defmodule B do\n  def b, do: 1\nend\n";

#[test]
fn clean_code_gives_0() {
    let project = Project::new(&[("lib/b.ex", FINE)]);
    let output = project.run(&["check"]);
    assert_eq!((status(&output), stderr(&output)), (0, ""));
    assert_eq!(stdout(&output), "No races found in 1 file, 1 function\n");
}

#[test]
fn findings_of_the_failing_tier_give_1() {
    let project = Project::new(&[("lib/a.ex", FLAWED)]);
    let likely = project.run(&["check", "--format", "oneline"]);
    assert_eq!(status(&likely), 0);
    assert_eq!(stdout(&likely), "lib/a.ex:1:16: warning[allow_unknown_rule] there is no rule `no_such_rule`\n");
    assert_eq!(status(&project.run(&["check", "--fail-on", "likely"])), 1);
}

#[test]
fn a_surer_tier_hides_and_counts_the_others() {
    let project = Project::new(&[("lib/a.ex", FLAWED)]);
    let output = project.run(&["check", "--tier", "certain"]);
    assert_eq!(stdout(&output), "No races found in 1 file, 1 function\nNot shown: 1 likely (--tier likely)\n");
    let contradiction = project.run(&["check", "--tier", "certain", "--fail-on", "likely"]);
    assert_eq!(status(&contradiction), 2);
    assert_eq!(stderr(&contradiction), "error: --fail-on likely would fail on findings that --tier certain hides\n");
}

#[test]
fn bad_usage_gives_2() {
    let project = Project::new(&[("lib/b.ex", FINE)]);
    for arguments in [&["check", "--wide"][..], &["chekc"], &["check", "--threads", "0"], &["check", "--format", "xml"], &[]] {
        let output = project.run(arguments);
        assert_eq!((status(&output), stdout(&output)), (2, ""), "{arguments:?}");
        assert!(!stderr(&output).is_empty());
    }
}

#[test]
fn an_unknown_rule_gives_2_and_the_nearest_name() {
    let project = Project::new(&[("lib/b.ex", FINE)]);
    for arguments in [&["check", "--only", "unusd_allow"][..], &["check", "--except", "unusd_allow"], &["explain", "unusd_allow"]] {
        let output = project.run(arguments);
        assert_eq!(status(&output), 2, "{arguments:?}");
        let expected = "error: no rule is called `unusd_allow`; perhaps `unused_allow`?\n`racefree rules` lists them all\n";
        assert_eq!(stderr(&output), expected);
    }
    assert_eq!(stderr(&project.run(&["explain", "zzz"])), "error: no rule is called `zzz`\n`racefree rules` lists them all\n");
}

#[test]
fn only_and_except_choose_rules() {
    let project = Project::new(&[("lib/a.ex", FLAWED)]);
    for (arguments, found) in [
        (&["--only", "allow_unknown_rule"][..], 1),
        (&["--only", "unused_allow,allow_without_reason"], 0),
        (&["--only", "unused_allow", "--only", "allow_unknown_rule"], 1),
        (&["--except", "allow_unknown_rule"], 0),
    ] {
        let output = project.run(&[&["check", "--format", "oneline"], arguments].concat());
        assert_eq!(stdout(&output).lines().count(), found, "{arguments:?}");
    }
}

#[test]
fn help_and_version_give_0() {
    let project = Project::new::<&str>(&[]);
    for arguments in [&["--help"][..], &["check", "--help"], &["--version"]] {
        let output = project.run(arguments);
        assert_eq!((status(&output), stderr(&output)), (0, ""), "{arguments:?}");
        assert!(stdout(&output).contains("racefree"));
    }
}

#[test]
fn rules_and_their_pages() {
    let project = Project::new::<&str>(&[]);
    let rules = project.run(&["rules"]);
    assert_eq!(status(&rules), 0);
    let ids: Vec<_> = stdout(&rules).lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(ids.is_sorted() && ids.contains(&"unused_allow"), "{ids:?}");
    for id in ids {
        let page = project.run(&["explain", id]);
        assert_eq!(status(&page), 0);
        assert!(stdout(&page).starts_with("# "), "the page of {id} has no title");
    }
}

#[test]
fn a_missing_path_gives_3() {
    let project = Project::new(&[("lib/b.ex", FINE)]);
    let output = project.run(&["check", "lib", "nowhere"]);
    assert_eq!((status(&output), stdout(&output)), (3, ""));
    assert!(stderr(&output).starts_with("error: cannot read `nowhere`: "), "{}", stderr(&output));
}

#[test]
fn no_elixir_file_gives_3_and_says_what_was_sought() {
    let project = Project::new(&[("README.md", "words"), ("deps/a.ex", FINE), ("_build/a.ex", FINE), (".hidden/a.ex", FINE)]);
    let output = project.run(&["check"]);
    assert_eq!((status(&output), stdout(&output)), (3, ""));
    let expected = "error: no Elixir file found: looked for *.ex and *.exs in `.`, \
                    leaving out hidden folders, `_build`, `deps`, `node_modules` and what .gitignore names\n";
    assert_eq!(stderr(&output), expected);
    assert!(stderr(&project.run(&["check", "README.md"])).contains("README.md: not an Elixir file"));
}

#[test]
fn findings_in_tests_are_counted_and_shown_on_demand() {
    let project = Project::new(&[("lib/b.ex", FINE), ("test/support/a.ex", FLAWED), ("apps/x/a_test.exs", FLAWED)]);
    let output = project.run(&["check"]);
    assert_eq!(stdout(&output), "No races found in 3 files, 3 functions\nNot shown: 2 in test files (--include-tests)\n");
    for arguments in [&["--include-tests"][..], &["test", "apps/x/a_test.exs"]] {
        let shown = project.run(&[&["check", "--format", "oneline"], arguments].concat());
        assert_eq!(stdout(&shown).lines().count(), 2, "{arguments:?}");
    }
}

#[test]
fn json_is_valid_and_complete() {
    let project = Project::new(&[("lib/a.ex", FLAWED), ("lib/z.ex", "\0")]);
    let document: serde_json::Value = serde_json::from_str(stdout(&project.run(&["check", "--format", "json"]))).expect("valid JSON");
    assert_eq!(document["version"], 1);
    assert_eq!(document["summary"]["files"], 1);
    assert_eq!(document["findings"][0]["rule"], "allow_unknown_rule");
    assert_eq!(document["findings"][0]["path"], "lib/a.ex");
    assert_eq!(document["problems"][0]["path"], "lib/z.ex");
    let coverage: serde_json::Value = serde_json::from_str(stdout(&project.run(&["coverage", "--format", "json"]))).expect("valid JSON");
    assert_eq!(coverage["problems"], document["problems"]);
}

#[test]
fn threads_and_repetition_change_no_byte() {
    let names: Vec<_> = (0..60).map(|number| format!("lib/{}/a{number}.ex", number % 7)).collect();
    let files: Vec<_> = names.iter().enumerate().map(|(at, name)| (name.as_str(), if at % 3 == 0 { FINE } else { FLAWED })).collect();
    let project = Project::new(&files);
    for format in ["text", "oneline", "json"] {
        let run = |threads| {
            let output = project.run(&["check", "--format", format, "--threads", threads]);
            let masked = stdout(&output).split(",\"elapsed_ms\":").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
            masked.collect::<String>()
        };
        let one = run("1");
        assert!(one.len() > 1000);
        assert!(["2", "8", "8"].into_iter().all(|threads| run(threads) == one), "{format} differs");
    }
}

#[test]
fn names_are_relative_to_the_folder_given_or_to_the_current_one() {
    let project = Project::new(&[("lib/a.ex", FLAWED), ("lib/b.ex", FINE)]);
    for (paths, expected) in [
        (&["lib"][..], "a.ex"),
        (&["./lib"], "a.ex"),
        (&["lib", "lib/a.ex"], "lib/a.ex"),
        (&["./lib/a.ex"], "lib/a.ex"),
        (&["lib/../lib", "lib/b.ex"], "lib/../lib/a.ex"),
    ] {
        let output = project.run(&[&["check", "--format", "oneline"], paths].concat());
        let names: Vec<_> = stdout(&output).lines().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(names, [expected], "{paths:?}");
    }
}

#[test]
fn colour_only_when_wanted() {
    let project = Project::new(&[("lib/a.ex", FLAWED)]);
    let is_coloured = |arguments: &[&str], environment: &[(&str, &str)]| {
        stdout(&project.run_in(&[&["check"], arguments].concat(), environment)).contains('\u{1b}')
    };
    assert!(!is_coloured(&[], &[]));
    assert!(is_coloured(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!is_coloured(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(is_coloured(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(!is_coloured(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
}

#[test]
fn many_problems_leave_the_report_readable() {
    let names: Vec<_> = (0..50).map(|number| format!("lib/{number}.ex")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), "\0")).chain([("lib/b.ex", FINE)]).collect();
    let project = Project::new(&files);
    let output = project.run(&["check"]);
    assert_eq!(stdout(&output).lines().filter(|line| line.starts_with("problem: ")).count(), 20);
    assert!(stdout(&output).contains("and 30 problems more (see `racefree coverage`)"));
    assert_eq!(stdout(&project.run(&["coverage"])).matches("NUL byte").count(), 50);
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_error() {
    use std::io::Read;
    use std::process::Stdio;

    let files: Vec<_> = (0..400).map(|number| (format!("lib/a{number}.ex"), FLAWED)).collect();
    let project = Project::new(&files.iter().map(|(name, text)| (name.as_str(), *text)).collect::<Vec<_>>());
    for arguments in [&["check"][..], &["check", "--format", "json"], &["check", "--fail-on", "likely"]] {
        let mut child = project.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut pipe = child.stdout.take().expect("a pipe");
        pipe.read_exact(&mut [0]).expect("some output");
        drop(pipe);
        let output = child.wait_with_output().expect("the binary ends");
        assert_eq!((status(&output), stderr(&output)), (0, ""), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_gives_3() {
    let project = Project::new(&[("lib/a.ex", FLAWED)]);
    let full = std::fs::File::options().write(true).open("/dev/full").expect("the device exists");
    let output = project.command(&["check"]).stdout(full).output().expect("the binary starts");
    assert_eq!(status(&output), 3);
    assert!(stderr(&output).starts_with("error: cannot write the report: "), "{}", stderr(&output));
}
