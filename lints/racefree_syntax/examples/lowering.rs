//! Compares the cost of lowering with that of a bare parse, over the Elixir files below a directory:
//! `cargo run --release -p racefree_syntax --example lowering -- DIRECTORY`.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::{Duration, Instant};

use racefree_syntax::parse::Parser;

const ROUNDS: usize = 7;

fn collect(directory: &Path, files: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "ex" || extension == "exs") {
            files.extend(std::fs::read_to_string(&path));
        }
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let mut files = Vec::new();
    for directory in std::env::args().skip(1) {
        collect(Path::new(&directory), &mut files)?;
    }
    let bytes: usize = files.iter().map(String::len).sum();
    println!("{} files, {bytes} bytes", files.len());
    let mut parser = Parser::new();
    let mut bare_best = Duration::MAX;
    let mut whole_best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for text in &files {
            std::hint::black_box(parser.tree(text));
        }
        let bare = start.elapsed();
        let start = Instant::now();
        let mut clauses = 0;
        let mut problems = 0;
        for text in &files {
            let parsed = parser.parse(text);
            clauses += parsed.file.clauses;
            problems += parsed.problems.len();
        }
        let whole = start.elapsed();
        println!("bare {bare:?}, parse and lower {whole:?}, {clauses} clauses, {problems} problems");
        bare_best = bare_best.min(bare);
        whole_best = whole_best.min(whole);
    }
    println!("lowering costs {:.1} % of a bare parse", (whole_best.as_secs_f64() / bare_best.as_secs_f64() - 1.0) * 100.0);
    Ok(())
}
