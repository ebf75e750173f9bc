//! The way of an observed value: the observation first, then each step it took.

use crate::code::Code;

#[test]
fn reports_the_observation_where_it_stands() {
    let code = Code::new("def f(x), do: Process.whereis(x)");
    assert_eq!(code.way_of_nil("f/1"), ["Process.whereis at whereis"]);
}

#[test]
fn reports_each_function_that_returned_the_value() {
    let code = Code::new(
        "def f(x), do: g(x)
         def g(x), do: h(x)
         def h(x), do: Process.whereis(x)",
    );
    assert_eq!(code.way_of_nil("g/1"), ["Process.whereis at whereis", "M.h returned at h"]);
    assert_eq!(code.way_of_nil("f/1"), ["Process.whereis at whereis", "M.h returned at h", "M.g returned at g"]);
}

#[test]
fn reports_the_branch_that_chose_a_literal_nil() {
    let code = Code::new(
        "def f(x) do
           case Registry.lookup(M, x) do
             [{pid, _}] -> pid
             [] -> nil
           end
         end
         def g(x), do: if(:ets.member(:t, x), do: :found)",
    );
    assert_eq!(code.way_of_nil("f/1"), ["Registry.lookup at lookup", "chosen: nil"]);
    assert_eq!(code.way_of_nil("g/1")[0], "ets.member at member");
    assert_eq!(code.way_of_nil("g/1").len(), 2);
}

#[test]
fn reports_both_lookups_of_an_or() {
    let code = Code::new("def f(x, y), do: Process.whereis(x) || GenServer.whereis(y)");
    assert_eq!(code.way_of_nil("f/2"), ["Process.whereis at whereis", "GenServer.whereis at whereis"]);
}

#[test]
fn reports_a_handler_that_gives_nil_when_the_read_fails() {
    let code = Code::new(
        "def f(x) do
           :ets.lookup_element(:t, x, 2)
         rescue
           ArgumentError -> nil
         end",
    );
    let way = code.way_of_nil("f/1");
    assert_eq!(way[0], "ets.lookup_element at lookup_element");
    assert!(way[1].starts_with("rescued: "), "{way:?}");
}

#[test]
fn reports_the_server_that_replied() {
    let code = Code::new(
        "defmodule S do
           use GenServer
           def find(x), do: GenServer.call(__MODULE__, {:find, x})
           def init(_), do: {:ok, %{}}
           def handle_call({:find, x}, _from, s) do
             {:reply, Process.whereis(x), s}
           end
         end",
    );
    let way = code.way_of_nil("S.find/1");
    assert_eq!(way, ["Process.whereis at whereis", "S replied: def handle_call({:find, x}, _from, s) do"]);
}

#[test]
fn reports_parts_of_observed_things_as_observed() {
    let code = Code::new("def f(x) do\n [{pid, _}] = Registry.lookup(M, x)\n pid\nend");
    let returned = &code.summary_of("f/1").clauses[0].returns;
    assert_eq!(code.way(returned.origin().unwrap()), ["Registry.lookup at lookup"]);
}

#[test]
fn accepts_long_ways_that_end() {
    let mut text = String::from("def f0(x), do: Process.whereis(x)\n");
    for level in 1..60 {
        text += &format!("def f{level}(x), do: f{}(x)\n", level - 1);
    }
    let code = Code::new(&text);
    let way = code.way_of_nil("f59/1");
    assert_eq!(way[0], "Process.whereis at whereis");
    assert!(way.len() <= 16, "{}", way.len());
}
