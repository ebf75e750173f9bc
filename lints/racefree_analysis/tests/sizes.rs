//! Programs made to be costly: the analysis of each ends soon, and its summaries stay small.

use crate::code::Code;
use racefree_analysis::summary::{ItemKind, Summary};
use racefree_analysis::value::{Shape, Value};
use std::time::{Duration, Instant};

/// Each program takes a fraction of this, even unoptimised on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(20);
/// See `ITEMS_MAX` of the evaluator.
const ITEMS_MAX: usize = 4_000;

/// Analyses `text`, all that rules may ask for included.
#[track_caller]
fn soon(text: &str) -> Code {
    let started = Instant::now();
    let code = Code::new(text);
    code.nil_flows();
    for (id, _) in code.functions() {
        code.events(id, u64::MAX);
    }
    assert!(started.elapsed() < TIME_MAX, "{:?}", started.elapsed());
    for (id, _) in code.functions() {
        assert_small(code.summary(id));
    }
    code
}

#[track_caller]
fn assert_small(summary: &Summary) {
    assert!(summary.items.len() <= ITEMS_MAX);
    for clause in &summary.clauses {
        assert_settled(&clause.returns);
    }
    for item in &summary.items {
        match &item.kind {
            ItemKind::Effect(effect) => effect.args.iter().for_each(assert_settled),
            ItemKind::Call { args, .. } => args.iter().for_each(assert_settled),
            ItemKind::Foreign { args, .. } => args.iter().for_each(assert_settled),
        }
    }
}

#[track_caller]
fn assert_settled(value: &Value) {
    assert!(parts(value) <= crate::value_laws::SETTLED_PARTS_MAX, "{}", parts(value));
}

/// All alternatives of a value, those of its parts included.
pub(crate) fn parts(value: &Value) -> usize {
    let below = |shape: &Shape| match shape {
        Shape::Tuple(inner) => inner.iter().map(parts).sum(),
        Shape::List(element) => parts(element),
        Shape::Map(map) => map.fields.iter().map(|(_, field)| parts(field)).sum(),
        _ => 0,
    };
    value.alts.iter().map(|alt| 1 + below(&alt.shape)).sum()
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(|index| line(index) + "\n").collect()
}

#[test]
fn accepts_a_chain_of_calls() {
    let chain = lines(200, |i| format!("def f{}(x), do: f{i}({{x, {i}}})", i + 1));
    let code = soon(&format!("def f0(x), do: send(x, :m)\n{chain}"));
    assert_eq!(code.events(code.id("f200/1"), u64::MAX).len(), 1);
    let chain = lines(200, |i| format!("def f{}(x), do: f{i}(x)", i + 1));
    let code = soon(&format!("def f0(x), do: Process.whereis(x)\n{chain}"));
    assert_eq!(code.returned("f200/1"), "nil! | pid!");
}

#[test]
fn accepts_a_function_of_many_clauses() {
    let clauses = lines(2_000, |i| format!("def f(:a{i}, x), do: {{:b{i}, x}}"));
    let calls = lines(50, |i| format!("f(:a{i}, x)"));
    let code = soon(&format!("{clauses}\ndef g(x) do\n{calls}\nend\ndef h(x), do: f(x, x)"));
    assert_eq!(code.summary_of("f/2").clauses.len(), 2_000);
    assert!(code.returned("h/1").contains("any"));
}

#[test]
fn accepts_wide_literals() {
    let items = (0..3_000).map(|i| format!("{{:k{i}, x}}")).collect::<Vec<_>>().join(", ");
    soon(&format!("def f(x), do: [{items}]\ndef g(x), do: f(f(x))"));
    let values = (0..3_000).map(|i| format!("v{i}: x")).collect::<Vec<_>>().join(", ");
    soon(&format!("def f(x), do: %{{{values}}}\ndef g(x), do: f(f(x)).v7"));
    let values = (0..3_000).map(|i| format!("[x, :v{i}]")).collect::<Vec<_>>().join(", ");
    soon(&format!("def f(x), do: {{{values}}}\ndef g(x), do: send(x, f(f(x)))"));
    let cases = lines(3_000, |i| format!(":v{i} -> :w{i}"));
    soon(&format!("def f(x) do\ncase x do\n{cases}\nend\nend"));
}

#[test]
fn accepts_values_that_double() {
    for double in ["x = {x, x}", "x = [x, {x}]", "x = %{a: x, b: x}", "x = twice(x)", "x = \"#{x}#{x}\"", "x = Unknown.join(x, x)"] {
        let body = lines(80, |_| double.to_owned());
        soon(&format!("def f(x) do\n{body}\nsend(x, x)\nx\nend\ndef twice(x), do: {{x, x}}\ndef g(x), do: f(f(x))"));
    }
    let wide = format!("x = {{{}}}", ["x"; 12].join(", "));
    let body = lines(15, |_| wide.clone());
    soon(&format!("def f(x) do\n{body}\nsend(x, x)\nx\nend\ndef g(x), do: f(f(x))"));
}

#[test]
fn accepts_mutual_recursion() {
    let calls = lines(60, |i| format!("f{i}({{x, {i}}})"));
    soon(&lines(60, |i| format!("def f{i}(x) do\nsend(x, {i})\n{calls}\nend")));
    let code = soon(
        "def f(x), do: g({x})
         def g(x), do: h([x])
         def h(x), do: f(%{x: x})
         def loop(acc, n), do: if(n == 0, do: acc, else: loop([acc | acc], n - 1))",
    );
    assert_eq!(code.clauses("f/1").len(), 1);
    assert_eq!(code.clauses("loop/2").len(), 1);
}

#[test]
fn accepts_many_branches() {
    let ifs = lines(1_000, |i| format!("if Unknown.test({i}), do: send(x, {i}), else: GenServer.cast(x, {i})"));
    let code = soon(&format!("def f(x) do\n{ifs}\nend"));
    let items = &code.summary_of("f/1").items;
    assert!(items.len() > 2_000);
    assert!(!code.summary_of("f/1").compatible(items[1].arm, items[2].arm));
    let nested = "if Unknown.test(x) do\nsend(x, :m)\n".repeat(150) + &"end\n".repeat(150);
    soon(&format!("def f(x) do\n{nested}\nend"));
    let chosen = lines(500, |i| format!("y = if x, do: :a{i}, else: y"));
    soon(&format!("def f(x, y) do\n{chosen}\ny\nend"));
}

#[test]
fn accepts_more_effects_than_are_kept() {
    let sends = lines(6_000, |i| format!("send(x, {{:m, {i}}})"));
    let code = soon(&format!("def f(x) do\n{sends}\nend"));
    assert_eq!(code.summary_of("f/1").items.len(), ITEMS_MAX);
}

#[test]
fn accepts_more_observations_than_there_are_bits() {
    let lookups = lines(200, |i| format!("p{i} = Process.whereis(:p{i})\nif p{i}, do: send(p{i}, :m)"));
    let code = soon(&format!("def f() do\n{lookups}\nend"));
    assert_eq!(code.summary_of("f/0").items.len(), 400);
    assert!(code.nil_flows().is_empty());
}

#[test]
fn accepts_closures_that_call_each_other() {
    let closures = lines(30, |i| format!("c{} = fn x -> c{i}.(x); c{i}.(x) end", i + 1));
    soon(&format!("def f(x) do\nc0 = fn y -> send(y, :m) end\n{closures}\nc30.(x)\nend"));
    let functions = lines(40, |i| format!("def f{}(fun), do: f{i}(fn -> fun.(); fun.() end)", i + 1));
    soon(&format!("def f0(fun), do: fun.()\n{functions}\ndef g(x), do: f40(fn -> send(x, :m) end)"));
}

#[test]
fn accepts_many_takers_of_one_message() {
    let server = |i: usize| {
        format!(
            "defmodule S{i} do\nuse GenServer\ndef init(_), do: {{:ok, 1}}\ndef handle_call({{:get, x}}, _, s), do: {{:reply, x, s}}\nend"
        )
    };
    let calls = lines(200, |i| format!("GenServer.call(S{i}, {{:get, x}})"));
    let code = soon(&format!("{}\ndefmodule C do\ndef f(x) do\n{calls}\nend\nend", lines(200, server)));
    assert_eq!(code.summary_of("C.f/1").items.len(), 200);
}
