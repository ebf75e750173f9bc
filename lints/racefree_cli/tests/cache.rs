//! What a run leaves on the disk changes no byte of what the next one says, whatever becomes of it in between.

mod project;

use project::{Project, status, stderr, stdout};
use std::fs;
use std::path::{Path, PathBuf};

const FOLDER: &str = ".racefree";

/// Enough modules for a cache to be worth while, with a race across two of them in each third.
fn program() -> Project {
    let project = Project::new(&[("mix.exs", "defmodule Some.MixProject do\nend\n")]);
    for index in 0..60 {
        project.write(&format!("lib/part_{index:02}.ex"), module(index, 40));
    }
    project
}

fn module(index: usize, functions: usize) -> String {
    let mut text = format!("defmodule Part{index} do\n  def find(name), do: Process.whereis(name)\n");
    if index.is_multiple_of(3) {
        text.push_str(&format!("  def run(name), do: send(Part{}.find(name), :go)\n", (index + 1) % 60));
    }
    for number in 0..functions {
        text.push_str(&format!("  def f{number}(list), do: Enum.map(list, fn item -> {{item, :tag_{number}}} end)\n"));
    }
    text + "end\n"
}

#[track_caller]
fn check(project: &Project, arguments: &[&str]) -> String {
    let output = project.run(&[&["check", "--format", "oneline"], arguments].concat());
    assert_eq!(stderr(&output), "");
    assert_eq!(status(&output), 1);
    stdout(&output).to_owned()
}

#[track_caller]
fn same_with_and_without(project: &Project) -> String {
    let with = check(project, &[]);
    assert_eq!(with, check(project, &["--no-cache"]));
    with
}

fn caches(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "cache")).collect()
}

#[test]
fn says_the_same_after_edits_new_files_and_removed_ones() {
    let project = program();
    assert_eq!(same_with_and_without(&project).lines().count(), 20);
    project.write("lib/part_01.ex", module(1, 41).replace("Process.whereis(name)", "name"));
    assert_eq!(same_with_and_without(&project).lines().count(), 19);
    project.write("lib/a_new_one.ex", "defmodule New do\n  def run(name), do: send(Part4.find(name), :go)\nend\n");
    same_with_and_without(&project);
    fs::remove_file(project.path().join("lib/part_04.ex")).unwrap();
    same_with_and_without(&project);
    assert_eq!(caches(&project.path().join(FOLDER)).len(), 1);
    assert_eq!(fs::read_to_string(project.path().join(".racefree/.gitignore")).unwrap(), "*\n");
}

#[test]
fn lies_in_the_build_folder_where_there_is_one() {
    let project = program();
    fs::create_dir(project.path().join("_build")).unwrap();
    check(&project, &["lib"]);
    check(&project, &[]);
    assert_eq!(caches(&project.path().join("_build/racefree")).len(), 2, "one for each program");
    assert!(!project.path().join(FOLDER).exists());
}

#[test]
fn leaves_nothing_where_it_is_not_wanted_or_not_worth_while() {
    let project = program();
    check(&project, &["--no-cache"]);
    assert!(!project.path().join(FOLDER).exists());
    let small = Project::new(&[("lib/a.ex", "defmodule A do\n  def run(name), do: send(Process.whereis(name), :go)\nend\n")]);
    check(&small, &[]);
    assert!(!small.path().join(FOLDER).exists());
}

#[test]
fn ignores_and_replaces_what_is_not_whole_or_not_its_own() {
    let project = program();
    let expected = check(&project, &[]);
    let path = caches(&project.path().join(FOLDER)).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let mut spoilt: Vec<Vec<u8>> =
        vec![Vec::new(), b"racefree".to_vec(), vec![0; 4096], whole[..whole.len() / 2].to_vec(), [&whole[..], b"x"].concat()];
    for at in [0, 9, 25, 41, whole.len() / 3, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 0xff;
        spoilt.push(changed);
    }
    for bytes in spoilt {
        fs::write(&path, bytes).unwrap();
        assert_eq!(check(&project, &[]), expected);
        assert_eq!(fs::read(&path).unwrap().len(), whole.len(), "it was replaced");
    }
}

#[test]
fn does_without_a_folder_that_cannot_be_made() {
    let project = program();
    project.write(FOLDER, "a file in its place");
    same_with_and_without(&project);
    assert_eq!(fs::read_to_string(project.path().join(FOLDER)).unwrap(), "a file in its place");
}

#[test]
fn keeps_a_whole_cache_when_many_runs_write_at_once() {
    let project = program();
    let expected = check(&project, &["--no-cache"]);
    let runs: Vec<_> = (0..6)
        .map(|_| {
            project.command(&["check", "--format", "oneline"]).stdout(std::process::Stdio::piped()).spawn().expect("the binary starts")
        })
        .collect();
    for run in runs {
        assert_eq!(stdout(&run.wait_with_output().unwrap()), expected);
    }
    let path = caches(&project.path().join(FOLDER)).pop().unwrap();
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(check(&project, &[]), expected);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before, "it was whole, so it was not replaced");
}

/// The system kills a run at the first write that makes a file larger than `ulimit -f` allows: the place is the same every time.
#[cfg(unix)]
fn killed_while_writing(project: &Project) {
    use std::os::unix::process::ExitStatusExt;
    const FILE_SIZE_EXCEEDED: i32 = 25;
    let check = project.command(&["check", "--format", "oneline"]);
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -c 0 && ulimit -f 8 && exec \"$@\"", "sh"]).arg(check.get_program()).args(check.get_args());
    let status = limited.current_dir(project.path()).output().unwrap().status;
    assert_eq!(status.signal(), Some(FILE_SIZE_EXCEEDED), "{status}");
}

#[cfg(unix)]
#[test]
fn bears_a_kill_in_the_middle_of_writing() {
    let project = program();
    let folder = project.path().join(FOLDER);
    killed_while_writing(&project);
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(left.iter().any(|entry| entry.file_name().to_string_lossy().starts_with("writing-") && entry.metadata().unwrap().len() > 0));
    assert!(caches(&folder).is_empty());
    let expected = same_with_and_without(&project);
    let path = caches(&folder).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    // So much that the cache is to be replaced.
    for index in 0..10 {
        project.write(&format!("lib/part_{index:02}.ex"), module(index, 41));
    }
    killed_while_writing(&project);
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert_eq!(same_with_and_without(&project).lines().count(), expected.lines().count());
    assert_ne!(fs::read(&path).unwrap(), whole, "it was replaced");
}

#[test]
fn keeps_four_programs_and_removes_what_a_killed_run_left() {
    let project = program();
    check(&project, &[]);
    let folder = project.path().join(FOLDER);
    let hours_ago = std::time::SystemTime::UNIX_EPOCH;
    for name in ["writing-old", "1.cache", "2.cache", "3.cache", "4.cache", "5.cache"] {
        let file = fs::File::create(folder.join(name)).unwrap();
        file.set_modified(hours_ago).unwrap();
    }
    fs::write(folder.join("writing-new"), "").unwrap();
    fs::remove_file(caches(&folder).into_iter().find(|path| fs::metadata(path).unwrap().len() > 0).unwrap()).unwrap();
    check(&project, &[]);
    assert_eq!(caches(&folder).len(), 4);
    assert!(!folder.join("writing-old").exists());
    assert!(folder.join("writing-new").exists(), "another run may be writing it");
}
