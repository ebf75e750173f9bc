//! What functions return: literals, tuples, maps, structs, records, attributes, and what came through a call.

use crate::code::Code;

#[track_caller]
fn returns(body: &str, expected: &str) {
    assert_eq!(Code::new(&format!("def f(a, b), do: ({body})")).returned("f/2"), expected, "{body}");
}

#[test]
fn reports_literals_as_what_they_are() {
    returns(":ok", ":ok");
    returns("nil", "nil");
    returns("Foo.Bar", "Foo.Bar");
    returns("__MODULE__", "M");
    returns("1", "number");
    returns("1.5", "number");
    returns("\"x\"", "text");
    returns("\"x#{a}\"", "text");
    returns("<<1, 2>>", "text");
    returns("{:ok, 1, {a}}", "{:ok, number, {arg(0)}}");
    returns("[]", "[never]");
    returns("[:a, b]", "[:a | arg(1)]");
    returns("[:a | b]", "[:a | each arg(1)]");
    returns("%{x: a, y: nil}", "%{x: arg(0), y: nil}");
    returns("self()", "pid");
}

#[test]
fn reports_parameters_and_their_parts_in_terms_of_the_caller() {
    let code = Code::new(
        "def f({:ok, x}), do: x
         def g(%{name: x}), do: x
         def h([x | rest]), do: {x, rest}
         def i(x), do: x.name
         def j(x), do: elem(x, 1)",
    );
    assert_eq!(code.returned("f/1"), "arg(0)[1]");
    assert_eq!(code.returned("g/1"), "arg(0).name");
    assert_eq!(code.returned("h/1"), "{each arg(0), arg(0)}");
    assert_eq!(code.returned("i/1"), "arg(0).name");
    assert_eq!(code.returned("j/1"), "arg(0)[1]");
}

#[test]
fn reports_a_wrapped_value_through_calls() {
    let code = Code::new(
        "def f(x), do: {:ok, g(x)}
         defp g(x), do: h({:some, x})
         defp h({_, x}), do: x
         def known, do: f(:atom)
         def taken do
           {:ok, x} = f(nil)
           x
         end",
    );
    assert_eq!(code.returned("f/1"), "{:ok, arg(0)}");
    assert_eq!(code.returned("known/0"), "{:ok, :atom}");
    assert_eq!(code.returned("taken/0"), "nil");
}

#[test]
fn reports_only_the_clauses_that_the_arguments_reach() {
    let code = Code::new(
        "def f(:a), do: 1
         def f(nil), do: nil
         def f(other), do: {:other, other}
         def a, do: f(:a)
         def b, do: f(:b)
         def none, do: f(nil)
         def any(x), do: f(x)",
    );
    assert_eq!(code.clauses("f/1"), ["number", "nil", "{:other, some(arg(0))}"]);
    assert_eq!(code.returned("a/0"), "number");
    assert_eq!(code.returned("b/0"), "{:other, :b}");
    assert_eq!(code.returned("none/0"), "nil");
    assert_eq!(code.returned("any/1"), "nil | number | {:other, some(arg(0))}");
}

#[test]
fn reports_default_arguments_as_calls_of_the_full_function() {
    let code = Code::new(
        "def f(x, y \\\\ :none, z \\\\ nil), do: {x, y, z}
         def g, do: f(1)",
    );
    assert_eq!(code.returned("f/1"), "{arg(0), :none, nil}");
    assert_eq!(code.returned("f/2"), "{arg(0), arg(1), nil}");
    assert_eq!(code.returned("g/0"), "{number, :none, nil}");
}

#[test]
fn reports_a_delegate_as_the_function_it_names() {
    let code = Code::new(
        "defmodule A do
           defdelegate find(name), to: B, as: :whereis
           defdelegate same(x), to: B
         end
         defmodule B do
           def whereis(name), do: Process.whereis(name)
           def same(x), do: {:same, x}
         end",
    );
    assert_eq!(code.returned("A.find/1"), "nil! | pid!");
    assert_eq!(code.returned("A.same/1"), "{:same, arg(0)}");
}

#[test]
fn reports_fields_of_maps_and_structs() {
    returns("%{x: :inner}.x", ":inner");
    returns("%{%{x: 1, y: :kept} | x: a}", "%{x: arg(0), y: :kept}");
    returns("Map.get(%{x: :inner}, :x)", ":inner | nil");
    returns("Map.put(%{x: 1}, :y, b).y", "arg(1)");
    returns("Map.put(a, :y, b).x", "arg(0).x");
    returns("Keyword.get([x: :inner], :x)", ":inner | nil");
    let code = Code::new(
        "defmodule S do
           defstruct [:a, b: :default]
           def make(a), do: %S{a: a}
           def read(%S{a: a}), do: a
           def both(x), do: read(make(x))
           def change(s), do: %{s | a: :new}
           def other(s), do: change(s).b
           def new(s), do: change(s).a
         end",
    );
    assert_eq!(code.returned("S.make/1"), "%S{a: arg(0)}");
    assert_eq!(code.returned("S.both/1"), "arg(0)");
    assert_eq!(code.returned("S.other/1"), "arg(0).b");
    assert_eq!(code.returned("S.new/1"), ":new");
}

#[test]
fn reports_fields_of_records() {
    let code = Code::new(
        "require Record
         Record.defrecordp(:entry, key: nil, pid: nil)
         def make(pid), do: entry(key: :k, pid: pid)
         def read(e), do: entry(e, :pid)
         def both(x), do: read(make(x))
         def taken(entry(pid: pid)), do: pid
         def changed(e), do: entry(entry(e, key: :new), :key)
         def kept(e), do: entry(entry(e, key: :new), :pid)",
    );
    assert_eq!(code.returned("both/1"), "arg(0)");
    assert_eq!(code.returned("taken/1"), "arg(0).pid");
    assert_eq!(code.returned("changed/1"), ":new");
    assert_eq!(code.returned("kept/1"), "arg(0).pid");
}

#[test]
fn reports_attributes_as_constants() {
    let code = Code::new(
        "@table :the_table
         @nested {:via, Registry, @table}
         @round [@round]
         def f, do: @table
         def g, do: @nested
         def h, do: @missing
         def i, do: @round",
    );
    assert_eq!(code.returned("f/0"), ":the_table");
    assert_eq!(code.returned("g/0"), "{:via, Registry, :the_table}");
    assert_eq!(code.returned("h/0"), "any");
    assert_eq!(code.returned("i/0"), "[any]");
}

#[test]
fn reports_nothing_of_code_that_never_returns() {
    let code = Code::new(
        "def f(x), do: raise(x)
         def g(x), do: (exit(x); :never)
         def h(true), do: :ok
         def h(false), do: throw(:no)
         def i(x), do: f(x)
         def j(x), do: if(x, do: f(x), else: :ok)",
    );
    assert_eq!(code.returned("f/1"), "diverges");
    assert_eq!(code.returned("g/1"), "diverges");
    assert_eq!(code.clauses("h/1"), [":ok", "diverges"]);
    assert_eq!(code.returned("i/1"), "diverges");
    assert_eq!(code.returned("j/1"), ":ok");
}

#[test]
fn reports_what_specs_tell_of_unknown_results() {
    let code = Code::new(
        "@type answer :: {:ok, pid()} | nil
         @spec f(term()) :: answer()
         def f(x), do: GenServer.call(x, {:some_unknown, x, 1, 2})
         @spec g((-> t)) :: t when t: var
         def g(fun), do: Unknown.run(fun)
         def h, do: g(fn -> :inner end)",
    );
    assert_eq!(code.returned("f/1"), "nil! | {:ok, pid}!");
    assert_eq!(code.returned("g/1"), "arg(0)()");
    assert_eq!(code.returned("h/0"), ":inner");
}

#[test]
fn reports_observed_values_as_observed() {
    returns("Process.whereis(a)", "nil! | pid!");
    returns(":ets.lookup(a, b)", "[any]!");
    returns("GenServer.start_link(M, [])", ":ignore! | {:error, any}! | {:ok, pid}!");
    returns("GenServer.start_link(M, [], name: M)", ":ignore! | {:error, any}! | {:error, {:already_started, pid}}! | {:ok, pid}!");
    returns("{:ok, Process.whereis(a)}", "{:ok, nil! | pid!}");
    returns("Process.whereis(:logger)", "pid!");
}

#[test]
fn reports_imports_and_functions_by_their_module() {
    let code = Code::new(
        "defmodule A do
           import B, only: [one: 0]
           def f, do: one()
           def g, do: two()
         end
         defmodule B do
           def one, do: :b
           def two, do: :b
         end
         defmodule C do
           use D
           def f, do: brought()
         end
         defmodule D do
           defmacro __using__(_) do
             quote do
               import B
             end
           end
         end",
    );
    assert_eq!(code.returned("A.f/0"), ":b");
    assert_eq!(code.returned("A.g/0"), "any");
}
