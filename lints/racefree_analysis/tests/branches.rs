//! Narrowing: what is known in a branch, and what is left after it.

use crate::code::Code;

#[track_caller]
fn returns(body: &str, expected: &str) {
    assert_eq!(Code::new(&format!("def f(a, b), do: ({body})")).returned("f/2"), expected, "{body}");
}

#[test]
fn reports_both_sides_of_or() {
    returns("Process.whereis(a) || :default", ":default | pid!");
    returns("Process.whereis(a) || Process.whereis(b)", "nil! | pid!");
    returns("nil || :b", ":b");
    returns("a || b", "arg(1) | some(arg(0))");
    returns("Process.whereis(a) || raise(\"none\")", "pid!");
}

#[test]
fn reports_both_sides_of_and() {
    returns("Process.whereis(a) && :found", ":found | nil!");
    returns("(p = Process.whereis(a)) && p", "nil! | pid!");
    returns("true && :b", ":b");
}

#[test]
fn accepts_values_that_a_condition_narrowed() {
    returns("p = Process.whereis(a); if p, do: p, else: :none", ":none! | pid!");
    returns("p = Process.whereis(a); if is_nil(p), do: :none, else: p", ":none | pid!");
    returns("p = Process.whereis(a); unless p, do: :none, else: p", ":none! | pid!");
    returns("p = Process.whereis(a); if p == nil, do: :none, else: p", ":none | pid!");
    returns("p = Process.whereis(a); if nil != p, do: p, else: :none", ":none | pid!");
    returns("p = Process.whereis(a); if not is_nil(p), do: p, else: :none", ":none | pid!");
    returns("p = Process.whereis(a); if p && b, do: p, else: :none", ":none! | pid!");
    returns("p = Process.whereis(a); if is_nil(p) or b, do: :none, else: p", ":none | pid!");
    returns("if p = Process.whereis(a), do: p, else: :none", ":none! | pid!");
    returns("p = Process.whereis(a); cond do\n is_nil(p) -> :none\n true -> p\n end", ":none | pid!");
    returns("p = Process.whereis(a); if p, do: :ok, else: raise(\"none\")\n p", "pid!");
}

#[test]
fn reports_values_that_a_condition_does_not_narrow() {
    returns("p = Process.whereis(a); if p || b, do: p, else: :none", ":none! | nil! | pid!");
    returns("p = Process.whereis(a); if b, do: p, else: :none", ":none | nil! | pid!");
    returns("p = Process.whereis(a); if p, do: :ok\n p", "nil! | pid!");
}

#[test]
fn accepts_a_branch_that_cannot_be_taken() {
    returns("case {:ok, a} do\n {:ok, x} -> x\n {:error, _} -> nil\n end", "arg(0)");
    returns("case :a do\n :b -> nil\n :a -> 1\n _ -> nil\n end", "number");
    returns("if nil, do: 1, else: :b", ":b");
    returns("if true, do: 1, else: :b", "number");
}

#[test]
fn reports_clauses_in_order() {
    returns("case Process.whereis(a) do\n nil -> :none\n p -> p\n end", ":none! | pid!");
    returns("case Process.whereis(a) do\n p when is_pid(p) -> p\n other -> {:other, other}\n end", "pid! | {:other, nil! | pid!}!");
    returns("case a do\n nil -> :none\n x -> x\n end", ":none | some(arg(0))");
    returns("case a do\n x when x != nil -> x\n _ -> :none\n end", ":none | some(arg(0))");
    returns("p = Process.whereis(a)\n case p do\n nil -> :none\n _ -> p\n end", ":none! | pid!");
    returns("p = Process.whereis(a)\n case {p, b} do\n {nil, _} -> :none\n {_, _} -> p\n end", ":none | pid!");
}

#[test]
fn reports_what_a_with_lets_through() {
    returns("with p when is_pid(p) <- Process.whereis(a), do: {:ok, p}", "nil! | pid! | {:ok, pid!}");
    returns("with p when is_pid(p) <- Process.whereis(a) do\n {:ok, p}\n else\n nil -> :none\n end", ":none! | {:ok, pid!}");
    returns("with {:ok, x} <- {:ok, b}, do: x", "arg(1)");
    returns("with {:ok, x} <- {:error, b}, do: x", "any | {:error, arg(1)}");
    returns("with x = Process.whereis(a), do: x", "nil! | pid!");
    returns("with nil <- Process.whereis(a), nil <- Process.whereis(b), do: :none", ":none | pid!");
}

#[test]
fn accepts_what_a_guard_took_from_later_clauses() {
    let code = Code::new(
        "def f(p) when is_pid(p), do: p
         def g(nil), do: :none
         def g(p), do: p
         def h(p) when not is_nil(p), do: p
         def h(_), do: :none
         def f_of(x), do: f(Process.whereis(x))
         def g_of(x), do: g(Process.whereis(x))
         def h_of(x), do: h(Process.whereis(x))",
    );
    assert_eq!(code.returned("f/1"), "some(arg(0))");
    assert_eq!(code.clauses("g/1"), [":none", "some(arg(0))"]);
    assert_eq!(code.clauses("h/1"), ["some(arg(0))", ":none"]);
    assert_eq!(code.returned("f_of/1"), "pid!");
    assert_eq!(code.returned("g_of/1"), ":none | pid!");
    assert_eq!(code.returned("h_of/1"), ":none | pid!");
}

#[test]
fn reports_patterns_of_clauses_in_both_parameters() {
    let code = Code::new(
        "def f(:a, nil), do: 1
         def f(:a, x), do: x
         def f(_, x), do: {x}
         def a(x), do: f(:a, x)
         def b(x), do: f(:b, x)",
    );
    assert_eq!(code.returned("b/1"), "{arg(0)}");
    assert_eq!(code.returned("a/1"), "arg(0) | number");
}

#[test]
fn accepts_values_whose_use_proved_them() {
    returns("p = Process.whereis(a); send(p, :x); p", "pid!");
    returns("p = Process.whereis(a); GenServer.call(p, :x); p", "pid!");
    returns("p = Process.whereis(a); Process.monitor(p); p", "nil! | pid!");
    returns("p = Process.whereis(a); true = is_pid(p); p", "pid!");
    returns("p = Process.whereis(a); {:ok, q} = {:ok, p}; q", "nil! | pid!");
}

#[test]
fn reports_handlers_besides_the_body() {
    returns("try do\n Process.whereis(a)\n rescue\n ArgumentError -> :bad\n end", ":bad! | nil! | pid!");
    returns("try do\n GenServer.call(a, :x)\n catch\n :exit, _ -> nil\n end", "any! | nil!");
    returns("try do\n :body\n else\n :body -> :after\n end", ":after");
    returns("try do\n raise(\"x\")\n rescue\n _ -> :rescued\n end", ":rescued");
    returns("try do\n :body\n after\n :ignored\n end", ":body");
}

#[test]
fn reports_messages_received_as_unknown() {
    returns("receive do\n {:x, y} -> y\n after 10 -> :late\n end", ":late | any");
    returns("receive do\n {:DOWN, ^a, _, _, _} -> :down\n end", ":down");
}
