//! Where an observed nil reaches a function that fails on it.

use crate::code::Code;

/// For each flow, the failing call and the calls on the way to it.
fn flows(text: &str) -> Vec<String> {
    let code = Code::new(text);
    let flow = |flow: &racefree_analysis::nils::NilFlow| {
        let item = &code.summary(flow.sink.0).items[flow.sink.1];
        let way: Vec<&str> = flow.way.iter().map(|place| code.at(place.span)).collect();
        let looped = if flow.in_loop { " in a loop" } else { "" };
        format!("{}{}{looped}", way.iter().map(|step| format!("{step} > ")).collect::<String>(), code.at(item.name_span))
    };
    code.nil_flows().iter().map(flow).collect()
}

#[test]
fn reports_a_lookup_that_is_called() {
    assert_eq!(flows("def f(x), do: GenServer.call(Process.whereis(x), :m)"), ["call"]);
    assert_eq!(flows("def f(x), do: send(Process.whereis(x), :m)"), ["send"]);
    assert_eq!(flows("def f(x), do: x |> Process.whereis() |> GenServer.stop()"), ["stop"]);
}

#[test]
fn reports_flows_through_functions() {
    let text = "def f(x), do: g(find(x))
                def g(pid), do: h({:ok, pid})
                def h({:ok, pid}), do: GenServer.call(pid, :m)
                def find(x), do: Process.whereis(x)";
    assert_eq!(flows(text), ["g > h > call"]);
}

#[test]
fn reports_flows_through_closures_and_loops() {
    let text = "def f(xs), do: xs |> Enum.map(&Process.whereis/1) |> Enum.each(&GenServer.stop/1)";
    assert_eq!(flows(text), [format!("{} in a loop", text.trim_start_matches("def f(xs), do: "))]);
    let text = "def f(xs), do: Enum.each(xs, fn x -> GenServer.call(Process.whereis(x), :m) end)";
    assert_eq!(flows(text), ["call in a loop"]);
    let text = "def f(xs), do: for(x <- xs, do: send(Process.whereis(x), :m))";
    assert_eq!(flows(text), ["send in a loop"]);
}

#[test]
fn accepts_nil_that_is_handled() {
    for text in [
        "def f(x), do: if(p = Process.whereis(x), do: GenServer.call(p, :m))",
        "def f(x) do\n p = Process.whereis(x)\n p && GenServer.call(p, :m)\nend",
        "def f(x) do\n GenServer.call(Process.whereis(x), :m)\ncatch\n :exit, _ -> :gone\nend",
        "def f(x) do\n send(Process.whereis(x), :m)\nrescue\n ArgumentError -> :gone\nend",
        "def f(x), do: Process.monitor(Process.whereis(x))",
        "def f(x), do: GenServer.cast(Process.whereis(x), :m)",
        "def f(xs), do: xs |> Enum.map(&Process.whereis/1) |> Enum.reject(&is_nil/1) |> Enum.each(&GenServer.stop/1)",
        "def f(x), do: g(Process.whereis(x))\ndef g(nil), do: :none\ndef g(p), do: GenServer.call(p, :m)",
        "def f(x), do: g(Process.whereis(x))\ndef g(p) when is_pid(p), do: GenServer.call(p, :m)",
    ] {
        assert_eq!(flows(text), [""; 0], "{text}");
    }
}

#[test]
fn accepts_a_private_function_whose_callers_all_handle_it() {
    let handled = "def f(x) do\n g(x)\ncatch\n :exit, _ -> :gone\nend\ndefp g(x), do: GenServer.call(Process.whereis(x), :m)";
    assert_eq!(flows(handled), [""; 0]);
    let one_does_not = format!("{handled}\ndef h(x), do: g(x)");
    assert_eq!(flows(&one_does_not), ["call"]);
}

#[test]
fn accepts_recursive_flows() {
    let text = "def f(x, 0), do: GenServer.call(x, :m)
                def f(x, n), do: f(Process.whereis(x), n - 1)";
    assert_eq!(flows(text), [""; 0], "known limit: what a function asks of its arguments does not travel round a circle");
}
