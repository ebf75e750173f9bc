//! tmp
#![allow(clippy::print_stdout)]
use std::path::Path;
fn collect(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "ex" || e == "exs") {
            files.push(path);
        }
    }
}
fn main() {
    let mut files = Vec::new();
    for d in std::env::args().skip(1) {
        collect(Path::new(&d), &mut files);
    }
    let mut parser = racefree_syntax::parse::Parser::new();
    let (mut n, mut clauses) = (0, 0);
    for f in &files {
        let Ok(text) = std::fs::read_to_string(f) else {
            println!("unreadable {f:?}");
            continue;
        };
        let t = std::time::Instant::now();
        let parsed = parser.parse(&text);
        let e = t.elapsed();
        if e.as_millis() > 200 {
            println!("slow {f:?} {e:?}");
        }
        n += 1;
        clauses += parsed.file.clauses;
        for p in &parsed.problems {
            let at = parsed.lines.position(&text, p.span.start);
            println!("{}:{}:{} {}", f.display(), at.line, at.column, p.message);
        }
    }
    println!("{n} files {clauses} clauses");
}
