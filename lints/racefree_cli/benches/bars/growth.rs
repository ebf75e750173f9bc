//! Several copies of the program in one, each with modules of its own names: what a run takes must grow as the text does.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use racefree_syntax::parse::Parser;
use tempfile::TempDir;

use crate::{Texts, bare_parse, check, median, memory_peak_bytes, tell};

/// In ascending order: the peak of memory is that of the largest so far.
const COPIES: [usize; 3] = [1, 3, 10];
const ROUNDS: usize = 5;
/// Of noise, and of what a larger program costs in caches of the processor.
const RATIO_MAX: f64 = 1.3;

struct Grown {
    folder: TempDir,
    lines: usize,
    memory_bytes: u64,
}

pub(crate) fn measure(texts: &Texts) -> io::Result<()> {
    let mut grown = Vec::new();
    for copies in COPIES {
        let folder = tempfile::tempdir()?;
        replicate(texts, copies, folder.path())?;
        check(folder.path(), &["--no-cache"]);
        grown.push(Grown { folder, lines: texts.lines() * copies, memory_bytes: memory_peak_bytes() });
    }
    let mut parser = Parser::new();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let costs: Vec<_> = grown.iter().map(|grown| check(grown.folder.path(), &["--no-cache"])).collect();
        rounds.push((bare_parse(texts, &mut parser), costs));
    }
    writeln!(io::stdout(), "\n{ROUNDS} rounds")?;
    for (index, Grown { lines, memory_bytes, .. }) in grown.iter().enumerate() {
        let of = rounds.iter().filter_map(|(bare, costs)| Some((bare, costs.first()?, costs.get(index)?)));
        let wall = median(of.clone().map(|(_, _, cost)| cost.wall)).unwrap_or_default();
        let bare = median(of.clone().map(|(bare, _, cost)| cost.cpu.div_duration_f64(bare.cpu))).unwrap_or_default();
        let copies = COPIES.get(index).copied().unwrap_or(1);
        let ratio = median(of.map(|(_, one, cost)| cost.cpu.div_duration_f64(one.cpu) / copies as f64)).unwrap_or_default();
        let what = format!("{lines} lines: {wall:.0?}, {} MiB, bare parses per copy {:.2}", memory_bytes >> 20, bare / copies as f64);
        tell(&what, &format!("{ratio:.2} per copy"), &format!("<= {RATIO_MAX}"), ratio <= RATIO_MAX)?;
    }
    Ok(())
}

fn replicate(texts: &Texts, copies: usize, folder: &Path) -> io::Result<()> {
    let names = first_names(texts);
    for copy in 0..copies {
        let renamed = |(path, text): &(std::path::PathBuf, String)| (path.clone(), renamed(text, &names, copy));
        Texts { texts: texts.texts.iter().map(renamed).collect() }.write(&folder.join(format!("copy_{copy}")))?;
    }
    Ok(())
}

/// The first parts of the names of the program's own modules.
fn first_names(texts: &Texts) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (_, text) in &texts.texts {
        for line in text.lines() {
            let Some(name) = line.trim_start().strip_prefix("defmodule ") else { continue };
            let end = name.find(|character: char| !is_of_word(character)).unwrap_or(name.len());
            names.extend(name.get(..end).filter(|name| !name.is_empty()));
        }
    }
    names
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// `text` with a number behind each of `names`, where it stands first.
fn renamed(text: &str, names: &BTreeSet<&str>, number: usize) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let length = if is_of_word(first) { rest.find(|character| !is_of_word(character)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (word, behind) = rest.split_at(length);
        out.push_str(word);
        if before != '.' && names.contains(word) {
            out.push_str(&number.to_string());
        }
        before = first;
        rest = behind;
    }
    out
}
