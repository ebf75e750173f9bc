#![allow(clippy::print_stdout)]
fn main() {
    for (name, piece) in [
        ("nl", "\n"),
        ("nl sp", "\n  "),
        ("comment", "# c\n"),
        ("comment nl", "# c\n\n"),
        ("x nl nl", "x\n\n"),
        ("sp", " "),
        (";", ";\n"),
        ("crlf", "\r\n"),
        ("x,", "x, "),
        ("x", "x\n"),
        ("|> cmt", "|> # c\n"),
    ] {
        let mut out = name.to_owned();
        for n in [1000, 4000, 16000] {
            for wrap in [("", ""), ("x\n", "\ny"), ("x do\n", "\nend")] {
                let t = [wrap.0, &piece.repeat(n), wrap.1].concat();
                let mut q = tree_sitter::Parser::new();
                q.set_language(&racefree_syntax::parse::language()).unwrap();
                let a = std::time::Instant::now();
                q.parse(&t, None).unwrap();
                out += &format!(" {n}: {:.1}", a.elapsed().as_secs_f64() * 1000.0);
            }
        }
        println!("{out}");
    }
}
