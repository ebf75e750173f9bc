#![allow(clippy::print_stdout)]
fn main() {
    for (open, middle, close) in [
        ("try do\n", "x", "\nrescue\n_ -> 1\nend"),
        ("try do\n", "x", "\ncatch\n_ -> 1\nend"),
        ("if x do\n", "x", "\nelse\n1\nend"),
        ("with x do\n", "x", "\nelse\n_ -> 1\nend"),
        ("receive do\nx ->", "x", "\nafter\n_ -> 1\nend"),
        ("try do\n", "x", "\nafter\n1\nend"),
        ("try do x\nrescue\n_ -> ", "x", "\nend"),
        ("try do ", "x", " rescue _ -> 1 end;"),
        ("fn x -> y ; z -> ", "x", "\nend"),
        ("case x do\ny -> ", "x", "\nz -> 1\nend"),
        ("case x do\ny -> ", "x", "\nz -> 1\nz -> 1\nend"),
        ("case x do\ny -> 1\nz ->\n", "x", "\nend\n"),
        ("case x do\ny -> 1\nz ->\n", "x", "\n1\nend\n"),
        ("cond do\ny -> ", "x", "\nz -> 1\nend"),
        ("fn\n x -> ", "x", "\nz -> 1\nend\n"),
        ("(\n x -> ", "x", "\nz -> 1\n)\n"),
        ("case x do\ny -> f ", "x", "\nz -> 1\nend"),
        ("case x do\ny when z -> ", "x", "\nz -> 1\nend"),
        ("case x do\n{y, z} when z -> ", "x", "\n{z, 1} -> 1\nend"),
    ] {
        let mut out = format!("{open:?}{close:?}");
        for depth in [500, 1000, 2000, 4000] {
            let text = format!(
                "defmodule A do\n  def f(x) do\n{}{middle}{}\n  end\n  def g(x), do: x\nend\n",
                open.repeat(depth),
                close.repeat(depth)
            );
            let mut n = 0usize;
            let mut p = tree_sitter::Parser::new();
            p.set_language(&racefree_syntax::parse::language()).unwrap();
            let t = std::time::Instant::now();
            let mut cb = |_: &tree_sitter::ParseState| {
                n += 1;
                t.elapsed().as_secs() > 5
            };
            let b = text.as_bytes();
            let mut read = |o: usize, _| b.get(o..).unwrap_or(&[]);
            let tree = p.parse_with_options(&mut read, None, Some(tree_sitter::ParseOptions::new().progress_callback(&mut cb)));
            out += &format!("  {depth}: {:?} n={n} {}", t.elapsed(), if tree.is_none() { "CUT" } else { "" });
            if t.elapsed().as_millis() > 1500 {
                break;
            }
        }
        println!("{out}");
    }
}
