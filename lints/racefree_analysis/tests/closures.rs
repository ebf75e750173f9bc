//! Anonymous functions, captures, and functions given as arguments.

use crate::code::Code;
use racefree_analysis::summary::ScopeKind;

#[test]
fn reports_what_a_closure_returns_where_it_is_called() {
    let code = Code::new(
        "def f(x) do
           g = fn y -> {x, y} end
           g.(:arg)
         end
         def g(x) do
           h = &{&1, x}
           h.(1)
         end
         def h(x), do: then(x, fn y -> {:then, y} end)
         def i(x) do
           g = fn nil -> :none
                  y -> y end
           g.(Process.whereis(x))
         end",
    );
    assert_eq!(code.returned("f/1"), "{arg(0), :arg}");
    assert_eq!(code.returned("g/1"), "{number, arg(0)}");
    assert_eq!(code.returned("h/1"), "{:then, arg(0)}");
    assert_eq!(code.returned("i/1"), ":none | pid!");
}

#[test]
fn reports_captured_functions_of_the_program() {
    let code = Code::new(
        "def f(x), do: Enum.map(x, &find/1)
         defp find(name), do: {:found, Process.whereis(name)}
         def h(x) do
           f = &find/1
           f.(x)
         end",
    );
    assert_eq!(code.returned("f/1"), "[{:found, nil! | pid!}]");
    assert_eq!(code.returned("h/1"), "{:found, nil! | pid!}");
}

#[test]
fn reports_the_result_of_a_closure_parameter() {
    let code = Code::new(
        "def run(fun), do: fun.()
         def each(list, fun), do: Enum.map(list, fun)
         def deep(fun), do: run(fun)
         def with_arg(fun, x), do: fun.({:given, x})
         def a(x), do: run(fn -> Process.whereis(x) end)
         def b(x), do: each(x, fn y -> {:mapped, y} end)
         def c, do: deep(fn -> :deep end)
         def d(x), do: with_arg(fn {_, y} -> y end, x)
         def e(x), do: run(fn -> run(fn -> x end) end)",
    );
    assert_eq!(code.returned("run/1"), "arg(0)()");
    assert_eq!(code.returned("deep/1"), "arg(0)()");
    assert_eq!(code.returned("a/1"), "nil! | pid!");
    assert_eq!(code.returned("c/0"), ":deep");
    assert_eq!(code.returned("d/1"), "arg(0)");
    assert_eq!(code.returned("e/1"), "arg(0)");
}

#[test]
fn reports_effects_of_a_closure_where_it_runs() {
    let code = Code::new(
        "def retry(fun), do: Enum.each([1, 2], fn _ -> fun.() end)
         def f(x), do: retry(fn -> GenServer.call(x, :go) end)
         def later(fun), do: spawn(fun)
         def g(x), do: later(fn -> GenServer.call(x, :go) end)",
    );
    assert!(matches!(code.scopes("f/1", "GenServer.call")[..], [ScopeKind::Loop(_), ScopeKind::Function]));
    assert_eq!(code.scopes("g/1", "GenServer.call"), [ScopeKind::Elsewhere, ScopeKind::Function]);
}

#[test]
fn reports_a_closure_that_nobody_runs_as_stored() {
    let code = Code::new("def f(x), do: %{run: fn -> send(x, :go) end}");
    assert_eq!(code.scopes("f/1", "send"), [ScopeKind::Stored, ScopeKind::Function]);
}

#[test]
fn accepts_a_function_given_itself() {
    let code = Code::new(
        "def f(fun), do: fun.(fun)
         def g, do: f(&f/1)
         def h do
           y = fn y -> y.(y) end
           y.(y)
         end
         def i(x), do: i(fn -> i(x) end)
         def j(fun), do: j(fn y -> fun.(j(fun)).(y) end)",
    );
    for name in ["f/1", "g/0", "h/0", "i/1", "j/1"] {
        assert_eq!(code.clauses(name).len(), 1, "{name}");
    }
}

#[test]
fn accepts_closures_in_closures() {
    let nested = "fn -> ".repeat(40) + ":end" + &" end".repeat(40);
    let code = Code::new(&format!("def f, do: {nested}"));
    assert_eq!(code.clauses("f/0").len(), 1);
    let calls = "(fn x -> (".repeat(20) + "x" + &") end).(:a)".repeat(20);
    let code = Code::new(&format!("def f, do: {calls}"));
    assert_eq!(code.clauses("f/0").len(), 1);
}

#[test]
fn reports_calls_of_modules_known_only_by_value() {
    let code = Code::new(
        "@impl_module Other
         def f(x), do: @impl_module.find(x)
         def g(mod, x), do: mod.find(x)",
    );
    assert_eq!(code.returned("f/1"), "any");
    assert_eq!(code.returned("g/2"), "any");
    let code = Code::new(
        "defmodule A do
           @impl_module Other
           def f(x), do: @impl_module.find(x)
           def h(x), do: apply(Other, :find, [x])
         end
         defmodule Other do
           def find(x), do: {:found, x}
         end",
    );
    assert_eq!(code.returned("A.f/1"), "{:found, arg(0)}");
    assert_eq!(code.returned("A.h/1"), "{:found, arg(0)}");
}
