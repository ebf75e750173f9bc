//! Reports in files, beside or instead of the one on standard output, and paths as their readers know them.

mod project;

use std::fs;

use project::{Project, status, stderr, stdout};

/// A comment that names no rule: a `likely` finding on the first line.
const FLAWED: &str = "defmodule A do # racefree:allow no_such_rule - for the tests\n  def a, do: 1\nend\n";

const FORMATS: [&str; 10] = ["text", "oneline", "json", "jsonl", "sarif", "github", "gitlab", "rdjson", "junit", "html"];

fn read(project: &Project, path: &str) -> String {
    fs::read_to_string(project.path().join(path)).expect("the report is there")
}

#[test]
fn a_run_writes_text_and_files() {
    let project = Project::new(&[("lib/a.ex", FLAWED)]);
    let output = project.run(&["check", "--output", "sarif=races.sarif", "--output=gitlab=quality.json", "--fail-on", "likely"]);
    assert_eq!((status(&output), stderr(&output)), (1, ""));
    assert!(stdout(&output).starts_with("warning[allow_unknown_rule]: "), "{}", stdout(&output));
    assert!(read(&project, "races.sarif").contains("\"version\": \"2.1.0\""));
    assert!(read(&project, "quality.json").starts_with("[\n{\"description\":"));
    let names: Vec<_> = fs::read_dir(project.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "nothing but the folder and the two reports: {names:?}");
}

#[test]
fn a_file_without_a_format_takes_the_place_of_standard_output() {
    let project = Project::new(&[("lib/a.ex", FLAWED)]);
    for format in FORMATS {
        let shown = project.run(&["check", "--format", format]);
        let output = project.run(&["check", "--format", format, "--output", "report"]);
        assert_eq!((status(&output), stdout(&output), stderr(&output)), (0, "", ""), "{format}");
        let mask = |text: &str| text.split("\"elapsed_ms\"").next().map(str::to_owned);
        assert_eq!(mask(&read(&project, "report")), mask(stdout(&shown)), "{format}");
    }
}

#[test]
fn threads_and_repetition_change_no_byte_of_any_format() {
    let names: Vec<_> = (0..40).map(|number| format!("lib/{}/a{number}.ex", number % 7)).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), FLAWED)).collect();
    let project = Project::new(&files);
    for format in FORMATS {
        let run = |threads| {
            let output = project.run(&["check", "--format", format, "--threads", threads]);
            let masked = stdout(&output).split("\"elapsed_ms\":").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
            masked.collect::<String>()
        };
        let one = run("1");
        assert!(one.len() > 1000);
        assert!(["2", "8", "8"].into_iter().all(|threads| run(threads) == one), "{format} differs");
    }
}

#[test]
fn wrong_outputs_are_refused_before_the_run() {
    let project = Project::new(&[("lib/a.ex", FLAWED)]);
    for (arguments, reason) in [
        (&["--output", "sarfi=x"][..], "no format is called `sarfi`; perhaps `sarif`?"),
        (&["--output", "sarif="], "the name of a file is missing"),
        (&["--output", "-"], "standard output needs no --output"),
        (&["--output", "sarif=x", "--output", "json=x"], "two reports would go to `x`"),
        (&["--output", "x", "--output", "y"], "--output without a format is given twice"),
    ] {
        let output = project.run(&[&["check"], arguments].concat());
        assert_eq!((status(&output), stdout(&output)), (2, ""), "{arguments:?}");
        assert!(stderr(&output).contains(reason), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_folder_that_is_not_there_gives_3() {
    let project = Project::new(&[("lib/a.ex", FLAWED)]);
    let output = project.run(&["check", "--output", "sarif=no/where.sarif"]);
    assert_eq!((status(&output), stdout(&output)), (3, ""));
    assert!(stderr(&output).starts_with("error: cannot write `no/where.sarif`: "), "{}", stderr(&output));
}

#[test]
fn a_run_that_cannot_take_place_leaves_the_last_report() {
    let project = Project::new(&[("lib/a.ex", FLAWED), ("races.sarif", "the last one")]);
    assert_eq!(status(&project.run(&["check", "nowhere", "--output", "sarif=races.sarif"])), 3);
    assert_eq!(read(&project, "races.sarif"), "the last one");
}

#[cfg(unix)]
#[test]
fn links_devices_and_permissions_stay_what_they_are() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    let project = Project::new(&[("lib/a.ex", FLAWED), ("out/kept.json", "old")]);
    let kept = project.path().join("out/kept.json");
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("out/kept.json", project.path().join("link.json")).unwrap();
    let output = project.run(&["check", "--output", "json=link.json", "--output", "sarif=/dev/null", "--output", "junit=new.xml"]);
    assert_eq!((status(&output), stderr(&output)), (0, ""));
    assert!(fs::symlink_metadata(project.path().join("link.json")).unwrap().is_symlink());
    assert!(read(&project, "out/kept.json").starts_with("{\"version\""));
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&kept), 0o640);
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    // As any new file of this user.
    fs::write(project.path().join("plain"), "").unwrap();
    assert_eq!(mode(&project.path().join("new.xml")), mode(&project.path().join("plain")));
}

#[test]
fn code_hosts_get_paths_from_the_root_of_the_repository() {
    let project = Project::new(&[("repository/.git/HEAD", ""), ("repository/apps/shop/lib/a.ex", FLAWED)]);
    for (folder, arguments, from_repository, from_here) in [
        ("repository", &["check", "apps/shop"][..], "apps/shop/lib/a.ex", "apps/shop/lib/a.ex"),
        ("repository/apps/shop", &["check"], "apps/shop/lib/a.ex", "lib/a.ex"),
        ("repository/apps/shop", &["check", "lib/a.ex"], "apps/shop/lib/a.ex", "lib/a.ex"),
        ("repository/apps/shop/lib", &["check", ".."], "apps/shop/lib/a.ex", "../lib/a.ex"),
    ] {
        for (format, expected) in [
            ("github", format!("::warning file={from_repository},")),
            ("gitlab", format!("\"path\":\"{from_repository}\"")),
            ("sarif", format!("\"uri\":\"{from_repository}\"")),
            ("rdjson", format!("\"path\":\"{from_here}\"")),
        ] {
            let mut command = project.command(&[arguments, &["--format", format]].concat());
            let output = command.current_dir(project.path().join(folder)).output().expect("the binary starts");
            assert!(stdout(&output).contains(&expected), "{folder} {arguments:?} {format}: {}", stdout(&output));
        }
    }
}
