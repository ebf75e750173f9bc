//! A project in a folder of its own, and the binary run in it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::{fs, str};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) mod client;

pub(crate) struct Project {
    folder: TempDir,
}

impl Project {
    /// A project of these files: path and content.
    pub(crate) fn new<T: AsRef<[u8]>>(files: &[(&str, T)]) -> Self {
        let project = Self { folder: tempfile::tempdir().expect("a folder for the test") };
        for (path, content) in files {
            project.write(path, content);
        }
        project
    }

    /// What is below `lib`, and `mix.exs`.
    pub(crate) fn copy_of(root: &Path) -> Self {
        let project = Self::new::<&str>(&[]);
        let mut pending = vec![root.join("lib"), root.join("mix.exs")];
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                pending.extend(fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path()));
            } else {
                let inside = path.strip_prefix(root).expect("it lies below").to_str().expect("a path of ours");
                project.write(inside, fs::read(&path).expect("a file"));
            }
        }
        project
    }

    /// The example that has the documented races.
    pub(crate) fn example() -> Self {
        Self::copy_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shape_service"))
    }

    /// All findings, each in a line: tier, level, rule, range in characters, path.
    pub(crate) fn findings(&self) -> BTreeSet<String> {
        let report: Value = serde_json::from_slice(&self.run(&["check", "--format", "json"]).stdout).expect("a document");
        let place = |at: &Value| format!("{}:{}", at["line"], at["column"]);
        let finding = |finding: &Value| {
            let word = |name: &str| finding[name].as_str().expect("a word").to_owned();
            let (start, end) = (place(&finding["range"]["start"]), place(&finding["range"]["end"]));
            format!("{} {} {} {start}-{end} {}", word("tier"), word("severity"), word("rule"), word("path"))
        };
        report["findings"].as_array().expect("a list").iter().map(finding).collect()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder can be made");
        fs::write(path, content).expect("the file can be written");
    }

    /// The binary, in the project's folder, with nothing in the environment that could change what it says.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_racefree"));
        command.args(arguments).current_dir(self.path());
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "RUST_BACKTRACE"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.run_in(arguments, &[])
    }

    pub(crate) fn run_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        self.command(arguments).envs(environment.iter().copied()).output().expect("the binary starts")
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        // Dropped behind the statement: the binary sees the end of its input.
        child.stdin.take().expect("its input is a pipe").write_all(input.as_bytes()).expect("it reads its input");
        child.wait_with_output().expect("the binary ends")
    }
}

pub(crate) fn status(output: &Output) -> i32 {
    output.status.code().expect("the binary ends by itself")
}

pub(crate) fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("output is UTF-8")
}

pub(crate) fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("output is UTF-8")
}
