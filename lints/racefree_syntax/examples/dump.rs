//! Prints what the Elixir source on standard input is lowered to.
#![allow(clippy::print_stdout)]

use std::io::Read;

fn main() -> std::io::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let parsed = racefree_syntax::parse::parse(&text);
    print!("{}", racefree_syntax::dump::file(&parsed.file));
    for problem in &parsed.problems {
        let at = parsed.lines.position(&text, problem.span.start);
        println!("{}:{}: {}", at.line, at.column, problem.message);
    }
    if std::env::args().any(|argument| argument == "--tree")
        && let Some(tree) = racefree_syntax::parse::tree(&text)
    {
        println!("{}", tree.root_node().to_sexp());
    }
    Ok(())
}
