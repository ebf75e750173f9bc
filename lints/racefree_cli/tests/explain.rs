//! `racefree explain FILE:LINE`: the story of one finding, and the frame of a test for it.

mod project;

use project::{Project, status, stderr, stdout};

const RACY: &str =
    "defmodule Jobs do\n  def pause(name) do\n    pid = Process.whereis(name)\n    GenServer.call(pid, :pause)\n  end\nend\n";

#[test]
fn tells_the_story_of_the_finding_at_a_line() {
    let project = Project::new(&[("lib/jobs.ex", RACY)]);
    let output = project.run(&["explain", "lib/jobs.ex:4"]);
    assert_eq!((status(&output), stderr(&output)), (0, ""));
    let headings = ["What is shared", "Who may run when", "What is lost", "Why this is no false alarm", "How to repair it"];
    for heading in headings.into_iter().chain(["What makes it impossible", "How to see it lose"]) {
        assert!(stdout(&output).contains(&format!("\n{heading}\n  ")), "{heading} is missing in\n{}", stdout(&output));
    }
    // A step of the trace is as good, and so is a place as reports write it.
    for place in ["lib/jobs.ex:3", "lib/jobs.ex:4:5", "./lib/jobs.ex:4"] {
        assert_eq!(stdout(&project.run(&["explain", place])), stdout(&output), "{place}");
    }
}

/// What stands under a heading.
fn section<'t>(story: &'t str, heading: &str) -> &'t str {
    let (_, rest) = story.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{heading} is missing in\n{story}"));
    rest.split("\n\n").next().unwrap()
}

#[test]
fn says_who_may_run_before_the_place_and_after_it() {
    let project = Project::example();
    for (place, expected) in [
        ("lib/shape_service/storage.ex:72", "  Between step 2 and step 5 of caller, nothing keeps Consumer from running: "),
        ("lib/shape_service/cleaner.ex:37", "  After step 5, caller waits for nobody, and nothing orders Batcher and router: "),
    ] {
        let output = project.run(&["explain", place]);
        let told = section(stdout(&output), "Who may run when");
        assert!(told.starts_with(expected), "{place}: {told}");
    }
}

#[test]
fn tells_of_findings_that_a_check_would_hide() {
    let allowed = RACY.replace(":pause)", ":pause) # racefree:allow nil_pid_call - for the test");
    let project = Project::new(&[("lib/jobs.ex", allowed)]);
    assert_eq!(status(&project.run(&["explain", "lib/jobs.ex:4"])), 0);
}

#[test]
fn says_where_the_findings_are_instead() {
    let project = Project::new(&[("lib/jobs.ex", RACY), ("lib/fine.ex", "defmodule Fine do\nend\n")]);
    for (place, told) in [
        ("lib/jobs.ex:1", "no race was found at lib/jobs.ex:1; there is one at line 4"),
        ("lib/fine.ex:1", "no race was found at lib/fine.ex:1, nor elsewhere in this file"),
        ("lib/gone.ex:1", "`lib/gone.ex` is no file of the program that was read"),
    ] {
        let output = project.run(&["explain", place]);
        assert_eq!((status(&output), stderr(&output)), (2, &*format!("error: {told}\n")));
    }
}

#[test]
fn writes_a_test_and_never_over_one() {
    let project = Project::new(&[("lib/jobs.ex", RACY)]);
    let write = || project.run(&["explain", "lib/jobs.ex:4", "--test", "race_test.exs"]);
    assert_eq!(stdout(&write()), "race_test.exs: fill in its steps; it fails until then\n");
    let text = std::fs::read_to_string(project.path().join("race_test.exs")).unwrap();
    assert!(text.starts_with("defmodule Jobs.PauseRaceTest do\n"), "{text}");
    let again = write();
    assert_eq!(status(&again), 3);
    assert!(stderr(&again).starts_with("error: cannot write `race_test.exs`"), "{}", stderr(&again));
    assert_eq!(std::fs::read_to_string(project.path().join("race_test.exs")).unwrap(), text);
    assert_eq!(status(&project.run(&["explain", "nil_pid_call", "--test", "x.exs"])), 2);
}
