//! Element types through `Enum`, `List`, `Map` and comprehensions.

use crate::code::Code;

#[track_caller]
fn returns(body: &str, expected: &str) {
    assert_eq!(Code::new(&format!("def f(a, b), do: ({body})")).returned("f/2"), expected, "{body}");
}

#[test]
fn reports_what_a_mapped_function_returns() {
    returns("Enum.map(a, &Process.whereis/1)", "[nil! | pid!]");
    returns("Enum.map(a, fn x -> {x, b} end)", "[{each arg(0), arg(1)}]");
    returns("Enum.map(a, &{&1, 1})", "[{each arg(0), number}]");
    returns("a |> Enum.map(&Process.whereis/1) |> Enum.map(&{:pid, &1})", "[{:pid, nil! | pid!}]");
    returns("Enum.flat_map(a, fn x -> [x, nil] end)", "[each arg(0) | nil]");
    returns("Enum.flat_map(a, fn x -> List.wrap(Process.whereis(x)) end)", "[pid!]");
}

#[test]
fn accepts_lists_without_their_nils() {
    returns("a |> Enum.map(&Process.whereis/1) |> Enum.reject(&is_nil/1)", "[pid!]");
    returns("a |> Enum.map(&Process.whereis/1) |> Enum.reject(&is_nil(&1))", "[pid!]");
    returns("a |> Enum.map(&Process.whereis/1) |> Enum.filter(& &1)", "[pid!]");
    returns("a |> Enum.map(&Process.whereis/1) |> Enum.filter(&is_pid/1)", "[pid!]");
    returns("a |> Enum.map(&Process.whereis/1) |> Enum.filter(fn p -> p != nil end)", "[pid!]");
    returns("a |> Enum.map(&Process.whereis/1) |> Enum.reject(&(&1 == nil))", "[pid!]");
    returns("a |> Enum.map(&{&1, Process.whereis(&1)}) |> Enum.reject(fn {_, p} -> is_nil(p) end)", "[{each arg(0), pid!}]");
    returns("a |> Enum.map(&Process.whereis/1) |> Enum.filter(fn nil -> false\n _ -> true end)", "[pid!]");
    returns("List.wrap(Process.whereis(a))", "[pid!]");
}

#[test]
fn reports_nils_that_a_filter_leaves() {
    returns("a |> Enum.map(&Process.whereis/1) |> Enum.filter(&Unknown.test/1)", "[nil! | pid!]");
    returns("a |> Enum.map(&Process.whereis/1) |> Enum.uniq()", "[nil! | pid!]");
    returns("a |> Enum.map(&Process.whereis/1) |> Enum.find(& &1)", "nil | pid!");
    returns("a |> Enum.find_value(&Process.whereis/1)", "nil! | pid!");
    returns("[Process.whereis(a)] |> hd()", "nil! | pid!");
    returns("List.first([Process.whereis(a)])", "nil! | pid!");
}

#[test]
fn reports_folded_values() {
    returns("Enum.reduce(a, :start, fn x, _ -> {:step, x} end)", ":start | {:step, each arg(0)}");
    returns("Enum.reduce_while(a, :start, fn x, _ -> {:halt, x} end)", ":start | each arg(0)");
    returns("Enum.into(a, %{}, fn x -> {x, 1} end)", "[{each arg(0), number}]");
}

#[test]
fn reports_comprehensions() {
    returns("for x <- a, do: {x, b}", "[{each arg(0), arg(1)}]");
    returns("for x <- a, p = Process.whereis(x), do: p", "[pid!]");
    returns("for x <- a, p = Process.whereis(x), is_pid(p), do: p", "[pid!]");
    returns("for x <- a, p = Process.whereis(x), not is_nil(p), do: p", "[pid!]");
    returns("for {:ok, x} <- a, y <- x, do: y", "[each each arg(0)[1]]");
    returns("for x <- a, into: %{}, do: {x, 1}", "[{each arg(0), number}]");
    returns("for x <- [:a, nil], x, do: x", "[:a]");
    returns("for {_, p} when p != nil <- [{1, Process.whereis(a)}], do: p", "[pid!]");
    returns("for x <- a, reduce: :start do\n _ -> {:step, x}\n end", "{:step, each arg(0)}");
}

#[test]
fn reports_destructured_lookups() {
    returns("case Registry.lookup(a, b) do\n [{pid, _}] -> pid\n [] -> nil\n end", "nil! | pid!");
    returns("with [{pid, _}] <- Registry.lookup(a, b), do: {:ok, pid}", "[{pid, any}]! | {:ok, pid!}");
    returns("case :ets.lookup(a, b) do\n [{_, x}] -> x\n _ -> :none\n end", ":none! | any!");
}

#[test]
fn reports_parts_of_zipped_and_numbered_lists() {
    returns("Enum.zip(a, b)", "[{each arg(0), each arg(1)}]");
    returns("a |> Enum.with_index() |> Enum.map(fn {x, i} -> {i, x} end)", "[{number, each arg(0)}]");
}
