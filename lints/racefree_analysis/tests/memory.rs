//! A run with a memory says what a run without one says, and does less.

use crate::code::models;
use racefree_analysis::{FileKey, Memory, Program};
use racefree_syntax::core::File;
use racefree_syntax::stored::Symbols;
use racefree_syntax::{FileId, parse, symbol};
use std::path::{Path, PathBuf};

/// A program that is edited.
struct Workspace {
    texts: Vec<String>,
    files: Vec<File>,
    keys: Vec<FileKey>,
    edits: u128,
}

impl Workspace {
    fn new(texts: &[&str]) -> Self {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let files = texts.iter().map(|text| parse::parse(text).file).collect();
        let key = |index| FileKey { name: symbol(&format!("lib/{index:03}.ex")), content: 0 };
        let keys = (0..texts.len()).map(key).collect();
        Self { texts, files, keys, edits: 0 }
    }

    fn set(&mut self, file: usize, text: String) {
        self.edits += 1;
        self.files[file] = parse::parse(&text).file;
        self.keys[file].content = self.edits;
        self.texts[file] = text;
    }

    fn replace(&mut self, file: usize, from: &str, to: &str) {
        assert!(self.texts[file].contains(from));
        self.set(file, self.texts[file].replace(from, to));
    }

    /// Runs with `memory` and without, and gives how many functions were evaluated.
    #[track_caller]
    fn check(&self, memory: &mut Memory) -> usize {
        self.check_of(memory, "")
    }

    /// The same, of edits that follow from a seed.
    #[track_caller]
    fn check_of(&self, memory: &mut Memory, seed: &str) -> usize {
        let again = words(&Program::again(&self.files, &self.keys, models(), memory));
        let fresh = words(&Program::new(&self.files, models()));
        assert!(again == fresh, "{seed} with a memory:\n{again}\nwithout:\n{fresh}");
        memory.evaluated()
    }
}

/// All that rules can see of a program.
fn words(program: &Program<'_>) -> String {
    let mut words = String::new();
    for (id, _) in program.functions() {
        words.push_str(&format!("{}: {:?}\n{:?}\n", program.full_name(id), program.processes(id), program.summary(id)));
    }
    words.push_str(&format!("{:?}", program.nil_flows()));
    words
}

fn examples() -> Vec<String> {
    let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shape_service")];
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("_build") {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "ex") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn edit(&mut self, text: &str) -> String {
        const PIECES: [&str; 14] =
            ["x", "\n", ":ok", "nil", "(", "end\n", "foo()", " do\n", "|> send(:x)", "pid", "def extra(a), do: a\n", "!", "{:a, 1}", "_"];
        let mut text = text.to_owned();
        let at = floor(&text, self.below(text.len() + 1));
        match self.below(3) {
            0 => {
                let end = floor(&text, (at + 1 + self.below(25)).min(text.len())).max(at);
                text.replace_range(at..end, "");
            }
            _ => text.insert_str(at, PIECES[self.below(PIECES.len())]),
        }
        text
    }
}

fn floor(text: &str, mut offset: usize) -> usize {
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[test]
fn keeps_what_a_fresh_run_says_over_random_edits() {
    let originals = examples();
    for seed in [0x9E37_79B9_7F4A_7C15_u64, 0x0123_4567_89AB_CDEF] {
        let mut dice = Dice(seed);
        let mut workspace = Workspace::new(&originals.iter().map(String::as_str).collect::<Vec<_>>());
        let mut memory = Memory::default();
        workspace.check(&mut memory);
        for _ in 0..60 {
            let file = dice.below(originals.len());
            // Edits pile up for a while; then the file is as it was.
            let text = if dice.below(4) == 0 { originals[file].clone() } else { dice.edit(&workspace.texts[file]) };
            workspace.set(file, text);
            workspace.check_of(&mut memory, &format!("seed {seed:#x}"));
        }
    }
}

const CALLEE: &str = "defmodule Callee do
  def find(name), do: Process.whereis(name)
  def other(x), do: x
end
";
const CALLER: &str = "defmodule Caller do
  def run(name), do: GenServer.call(Callee.find(name), :run)
  def twice(name), do: run(name)
  def apart(x), do: Callee.other(x)
end
";

#[test]
fn evaluates_nothing_when_nothing_has_changed() {
    let workspace = Workspace::new(&[CALLEE, CALLER]);
    let mut memory = Memory::default();
    assert_eq!(workspace.check(&mut memory), 5);
    assert_eq!(workspace.check(&mut memory), 0);
}

#[test]
fn evaluates_callers_only_when_they_see_a_change() {
    let mut workspace = Workspace::new(&[CALLEE, CALLER]);
    let mut memory = Memory::default();
    workspace.check(&mut memory);
    workspace.replace(0, "def other(x), do: x", "def other(x), do: {x, :more}");
    assert_eq!(workspace.check(&mut memory), 3, "the two of the file, and `apart`");
    workspace.replace(0, "def other(x), do: {x, :more}", "def other(x), do: {x, :more} # words");
    assert_eq!(workspace.check(&mut memory), 2, "the two of the file");
}

#[test]
fn evaluates_anew_what_a_name_means_something_else_for() {
    let mut workspace = Workspace::new(&[CALLEE, CALLER, "defmodule Third do\n  def f(pid), do: Fourth.g(pid)\nend\n", ""]);
    let mut memory = Memory::default();
    workspace.check(&mut memory);
    workspace.set(3, "defmodule Fourth do\n  def g(pid), do: send(pid, :x)\nend\n".to_owned());
    assert_eq!(workspace.check(&mut memory), 2, "`f` and `g`");
    workspace.set(3, String::new());
    assert_eq!(workspace.check(&mut memory), 1, "`f`");
}

#[test]
fn evaluates_anew_what_another_callback_serves() {
    let server = "defmodule Server do
  use GenServer
  def init(state), do: {:ok, state}
  def handle_call({:get, key}, _from, state), do: {:reply, Process.whereis(key), state}
end
";
    let mut workspace = Workspace::new(&[server, "defmodule Client do\n  def get(key), do: GenServer.call(Server, {:get, key})\nend\n"]);
    let mut memory = Memory::default();
    workspace.check(&mut memory);
    workspace.replace(0, "{:get, key}, _from", "{:fetch, key}, _from");
    assert_eq!(workspace.check(&mut memory), 3);
    workspace.replace(0, "use GenServer", "use GenServer, restart: :temporary");
    workspace.check(&mut memory);
}

#[test]
fn numbers_of_functions_may_shift() {
    let mut workspace = Workspace::new(&[CALLEE, CALLER, "defmodule Last do\n  def go(name), do: Caller.run(name)\nend\n"]);
    let mut memory = Memory::default();
    workspace.check(&mut memory);
    workspace.replace(0, "  def other", "  def between(x), do: x\n  def other");
    workspace.check(&mut memory);
    workspace.replace(0, "  def between(x), do: x\n", "");
    workspace.check(&mut memory);
    assert_eq!(workspace.check(&mut memory), 0);
}

fn stored(memory: &Memory, workspace: &Workspace, numbers: &[Option<FileId>], keys: Vec<FileKey>) -> Memory {
    let mut symbols = Symbols::default();
    let bytes = memory.to_bytes(&mut symbols);
    assert!(numbers.len() <= workspace.files.len());
    Memory::from_bytes(&bytes, symbols.texts(), keys, numbers, models()).unwrap()
}

#[test]
fn keeps_everything_through_bytes() {
    let originals = examples();
    let workspace = Workspace::new(&originals.iter().map(String::as_str).collect::<Vec<_>>());
    let mut memory = Memory::default();
    workspace.check(&mut memory);
    let numbers: Vec<_> = (0..workspace.files.len()).map(|index| Some(FileId(index as u32))).collect();
    let mut read = stored(&memory, &workspace, &numbers, workspace.keys.clone());
    assert_eq!(workspace.check(&mut read), 0);
}

#[test]
fn numbers_of_files_may_shift_through_bytes() {
    let before = Workspace::new(&[CALLEE, "defmodule Gone do\n  def f(name), do: Callee.find(name)\nend\n", CALLER]);
    let mut memory = Memory::default();
    before.check(&mut memory);
    let mut after = Workspace::new(&["defmodule New do\nend\n", CALLEE, CALLER]);
    after.keys[0].content = 1;
    let numbers = [Some(FileId(1)), None, Some(FileId(2))];
    let mut keys = after.keys.clone();
    keys[0].content = 0;
    let mut read = stored(&memory, &after, &numbers, keys);
    assert_eq!(after.check(&mut read), 0);
}

#[test]
fn refuses_bytes_that_were_cut_off_or_changed() {
    let workspace = Workspace::new(&[CALLEE, CALLER]);
    let mut memory = Memory::default();
    workspace.check(&mut memory);
    let mut symbols = Symbols::default();
    let bytes = memory.to_bytes(&mut symbols);
    let numbers = [Some(FileId(0)), Some(FileId(1))];
    let read = |bytes: &[u8]| Memory::from_bytes(bytes, symbols.texts(), workspace.keys.clone(), &numbers, models());
    for end in 0..bytes.len() {
        drop(read(&bytes[..end]));
        let mut changed = bytes.clone();
        changed[end] ^= 0x15;
        drop(read(&changed));
    }
    assert!(read(&bytes).is_some());
    assert!(read(&[]).is_none());
}
