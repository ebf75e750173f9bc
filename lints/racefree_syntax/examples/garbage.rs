#![allow(clippy::print_stdout)]
fn main() {
    let mut s = 88172645463325252u64;
    let mut rnd = move |n: usize| {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        (s % n as u64) as usize
    };
    let pieces = [
        " ",
        "\n",
        "do",
        "end",
        "fn",
        "->",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "<<",
        ">>",
        "\"",
        "'",
        "#{",
        "&1",
        "&",
        "|>",
        "|",
        "=",
        "\\\\",
        "def f",
        "defmodule A",
        "@",
        ".",
        ",",
        ":",
        "::",
        "%",
        "~s(",
        "when",
        "else",
        "rescue",
        "^",
        "é",
        "\\",
        "if",
        "case",
        "x",
        "1",
        "foo ",
        "Bar",
    ];
    let mut texts: Vec<(String, String)> = vec![];
    for n in [1000, 10_000, 100_000, 1_000_000] {
        let mut t = String::new();
        for _ in 0..n {
            t += pieces[rnd(pieces.len())];
        }
        texts.push((format!("pieces {n}"), t));
        let mut t = String::new();
        for _ in 0..n {
            t += pieces[rnd(pieces.len())];
            t.push(' ');
            if rnd(8) == 0 {
                t.push('\n')
            }
        }
        texts.push((format!("spaced pieces {n}"), t));
        let b: Vec<u8> = (0..n * 4).map(|_| rnd(256) as u8).collect();
        texts.push((format!("bytes {n}"), String::from_utf8_lossy(&b).into_owned()));
        let mut t = String::new();
        for i in 0..n {
            t += &format!("{{\"a\": {i}, \"b\": [1, null, {{\"c\": \"x\"}}]}}\n");
        }
        texts.push((format!("json {n}"), t));
        texts.push((format!("((( {n}"), "(".repeat(n)));
        texts.push((format!("fn {n}"), "fn ".repeat(n)));
        texts.push((format!("do {n}"), "do ".repeat(n)));
        texts.push((format!("-> {n}"), "-> ".repeat(n)));
        texts.push((format!("f()() {n}"), "f".to_owned() + &"()".repeat(n.min(10000))));
        texts.push((format!("end {n}"), "end\n".repeat(n)));
        texts.push((format!("rescue {n}"), "rescue\n".repeat(n)));
        texts.push((format!("def f( {n}"), "def f(\n".repeat(n)));
        texts.push((format!("def f do {n}"), "def f do\n".repeat(n)));
        texts.push((format!("{{ {n}"), "{a: ".repeat(n)));
        texts.push((format!("a a {n}"), "a ".repeat(n)));
        texts.push((format!("a = b = {n}"), "a = ".repeat(n)));
        texts.push((format!("\" {n}"), "\"#{".repeat(n)));
        texts.push((format!("heredoc {n}"), "\"\"\"\n".repeat(n)));
        texts.push((format!("~s( {n}"), "~s(".repeat(n)));
        texts.push((format!("| {n}"), "a | ".repeat(n)));
        texts.push((format!("x, {n}"), "x, ".repeat(n)));
        texts.push((format!("[x, {n}"), "[".to_owned() + &"x, ".repeat(n)));
        texts.push((format!("c {n}"), std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap().chars().take(n * 10).collect()));
    }
    let mut p = racefree_syntax::parse::Parser::new();
    for (n, t) in &texts {
        let mut n_cb = 0usize;
        {
            let mut q = tree_sitter::Parser::new();
            q.set_language(&racefree_syntax::parse::language()).unwrap();
            let t0 = std::time::Instant::now();
            let mut cb = |_: &tree_sitter::ParseState| {
                n_cb += 1;
                t0.elapsed().as_secs() > 3
            };
            let b = t.as_bytes();
            let mut read = |o: usize, _| b.get(o..).unwrap_or(&[]);
            let tr = q.parse_with_options(&mut read, None, Some(tree_sitter::ParseOptions::new().progress_callback(&mut cb)));
            if tr.is_none() {
                println!("{n}: {} bytes cut after 3 s and {n_cb} steps", t.len());
                continue;
            }
        }
        let a = std::time::Instant::now();
        let tree = p.tree(t);
        let a = a.elapsed();
        let b = std::time::Instant::now();
        let r = p.parse(t);
        let b = b.elapsed();
        if b.as_millis() > 100 {
            println!("{n}: {} bytes, bare {a:?} {} {n_cb} steps, whole {b:?}, {} problems", t.len(), tree.is_none(), r.problems.len());
        }
    }
}
