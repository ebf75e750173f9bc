//! The trace of a function: order, arms, what becomes of results, what depends on what.

use crate::code::Code;
use racefree_analysis::summary::{Item, ItemKind, MisfitKind, Usage};

/// Whether both can happen in one run.
#[track_caller]
fn together(code: &Code, function: &str, a: &str, b: &str) -> bool {
    code.summary_of(function).compatible(code.item(function, a).arm, code.item(function, b).arm)
}

#[test]
fn reports_effects_in_order_of_evaluation() {
    let code = Code::new(
        "def f(x) do
           send(g(x), {:msg, Process.whereis(x)})
           Unknown.call(x)
           x |> Process.monitor() |> Process.demonitor()
           IO.puts(\"no effect\")
         end
         def g(x), do: x",
    );
    let items = code.items("f/1");
    assert_eq!(items[..3], ["g(x)", "Process.whereis(x)", "send(g(x), {:msg, Process.whereis(x)})"]);
    assert_eq!(items[3..], ["Unknown.call(x)", "x |> Process.monitor()", "x |> Process.monitor() |> Process.demonitor()"]);
}

#[test]
fn reports_arms_of_one_fork_as_exclusive() {
    let code = Code::new(
        "def f(x, y) do
           case x do
             :a -> send(:first, x)
             :b -> send(:second, x)
           end
           if y, do: send(:third, x), else: send(:fourth, x)
           send(:fifth, x)
         end",
    );
    assert!(!together(&code, "f/2", "send(:first", "send(:second"));
    assert!(!together(&code, "f/2", "send(:third", "send(:fourth"));
    assert!(together(&code, "f/2", "send(:first", "send(:third"));
    assert!(together(&code, "f/2", "send(:second", "send(:fifth"));
    assert!(together(&code, "f/2", "send(:first", "send(:first"));
}

#[test]
fn reports_clauses_and_handlers_as_exclusive() {
    let code = Code::new(
        "def f(:a), do: send(:first, 1)
         def f(:b), do: send(:second, 1)
         def g(x) do
           send(:body, x)
           with {:ok, y} <- Unknown.go(x) do
             send(:with_body, y)
           else
             _ -> send(:with_else, x)
           end
         end",
    );
    assert!(!together(&code, "f/1", "send(:first", "send(:second"));
    assert!(!together(&code, "g/1", "send(:with_body", "send(:with_else"));
    assert!(together(&code, "g/1", "send(:body", "send(:with_else"));
    let clause = |start| code.item("f/1", start).clause;
    assert_eq!((clause("send(:first"), clause("send(:second")), (0, 1));
}

#[test]
fn reports_what_becomes_of_results() {
    let code = Code::new(
        "def f(x) do
           send(:discarded, x)
           :ok = GenServer.call(:matched, x)
           y = GenServer.call(:bound, x)
           _ = GenServer.call(:ignored, x)
           if x, do: GenServer.call(:inner, x)
           case GenServer.call(:subject, x) do
             _ -> y
           end
           GenServer.call(:last, x)
         end",
    );
    let usage = |start| code.item("f/1", start).usage;
    assert_eq!(usage("send(:discarded"), Usage::Discarded);
    assert!(matches!(usage("GenServer.call(:matched"), Usage::Matched(span) if code.at(span).starts_with(":ok = ")));
    assert_eq!(usage("GenServer.call(:bound"), Usage::Used);
    assert_eq!(usage("GenServer.call(:ignored"), Usage::Used);
    assert_eq!(usage("GenServer.call(:inner"), Usage::Discarded);
    assert_eq!(usage("GenServer.call(:subject"), Usage::Used);
    assert_eq!(usage("GenServer.call(:last"), Usage::Used);
}

#[track_caller]
fn depends(code: &Code, function: &str, act: &str, check: &str) -> (bool, bool) {
    let (act, check) = (code.item(function, act), code.item(function, check));
    let data = match &act.kind {
        ItemKind::Effect(effect) => effect.args.iter().any(|arg| arg.all_deps().has(check.observation)),
        ItemKind::Call { args, .. } => args.iter().any(|arg| arg.all_deps().has(check.observation)),
        ItemKind::Foreign { args, .. } => args.iter().any(|arg| arg.all_deps().has(check.observation)),
    };
    (act.control.has(check.observation), data)
}

#[test]
fn reports_control_dependencies() {
    let code = Code::new(
        "def f(x) do
           if :ets.member(:t, x) do
             :ets.insert(:t, {x, :inside})
           end
           case Process.whereis(x) do
             nil -> send(:none, x)
             _ -> :ok
           end
           send(:outside, x)
         end",
    );
    assert_eq!(depends(&code, "f/1", ":ets.insert", ":ets.member"), (true, false));
    assert_eq!(depends(&code, "f/1", "send(:none", "Process.whereis"), (true, false));
    assert_eq!(depends(&code, "f/1", "send(:none", ":ets.member"), (false, false));
    assert_eq!(depends(&code, "f/1", "send(:outside", "Process.whereis"), (false, false));
}

#[test]
fn reports_data_dependencies() {
    let code = Code::new(
        "def f(x) do
           pid = Process.whereis(x)
           send(pid, :direct)
           wrapped = {:ok, pid}
           Unknown.through(wrapped)
           y = g(x)
           send(y, :from_callee)
           other = x
           send(other, :unrelated)
         end
         def g(x), do: Process.whereis(x)",
    );
    assert_eq!(depends(&code, "f/1", "send(pid", "Process.whereis"), (false, true));
    assert_eq!(depends(&code, "f/1", "Unknown.through", "Process.whereis"), (false, true));
    assert_eq!(depends(&code, "f/1", "send(y", "g(x)"), (false, true));
    assert_eq!(depends(&code, "f/1", "send(other", "Process.whereis"), (false, false));
}

#[test]
fn reports_dependencies_through_with_and_comprehensions() {
    let code = Code::new(
        "def f(x) do
           with [{pid, _}] <- Registry.lookup(M, x) do
             send(pid, :go)
             send(:fixed, x)
           end
         end
         def g(x) do
           for {pid, _} <- Registry.lookup(M, x), do: send(pid, :go)
         end",
    );
    assert_eq!(depends(&code, "f/1", "send(pid", "Registry.lookup"), (true, true));
    assert_eq!(depends(&code, "f/1", "send(:fixed", "Registry.lookup"), (true, false));
    assert_eq!(depends(&code, "g/1", "send(pid", "Registry.lookup"), (true, true));
}

#[test]
fn reports_observations_of_callees_as_the_caller_s() {
    let code = Code::new(
        "def f(x), do: if(g(x), do: send(:a, x))
         def g(x), do: :ets.member(:t, x)
         def pure(x), do: x
         def h(x), do: if(pure(x), do: send(:a, x))",
    );
    assert_eq!(depends(&code, "f/1", "send", "g(x)"), (true, false));
    assert_eq!(code.item("h/1", "pure").observation.0, 0);
}

#[test]
fn reports_observed_values_that_a_match_refuses() {
    let code = Code::new(
        "def f(x) do
           {:ok, pid} = GenServer.start_link(M, x, name: M)
           pid
         end
         def g(x) do
           true = :ets.insert(:t, x)
         end",
    );
    let misfits = &code.summary_of("f/1").misfits;
    assert_eq!(misfits.len(), 1);
    assert_eq!(crate::code::show(&misfits[0].value), ":ignore! | {:error, any}! | {:error, {:already_started, pid}}!");
    assert_eq!(misfits[0].item, Some(0));
    assert!(code.summary_of("g/1").misfits.is_empty());
}

#[test]
fn reports_observed_values_for_which_a_case_raises() {
    let code = Code::new(
        "def f(x) do
           case Process.whereis(x) do
             pid when is_pid(pid) -> pid
             nil -> raise \"gone\"
           end
         end
         def g(x) do
           case Process.whereis(x) do
             nil -> :gone
           end
         end
         def h(x) do
           case Process.whereis(x) do
             nil -> :gone
             pid -> pid
           end
         end",
    );
    let misfits = |name: &str| {
        let misfits = &code.summary_of(name).misfits;
        misfits.iter().map(|misfit| (misfit.kind, crate::code::show(&misfit.value))).collect::<Vec<_>>()
    };
    assert_eq!(misfits("f/1"), [(MisfitKind::Raised, "nil!".to_owned())]);
    assert_eq!(misfits("g/1"), [(MisfitKind::NoClause, "pid!".to_owned())]);
    assert!(misfits("h/1").is_empty());
}

#[test]
fn reports_what_a_receive_waits_for() {
    let code = Code::new(
        "def f(ref) do
           send(ref, :go)
           receive do
             {:DOWN, ^ref, _, _, _} -> Process.demonitor(ref)
             {^ref, _} -> :ok
             _ -> :other
           end
         end",
    );
    let summary = code.summary_of("f/1");
    let [receive] = summary.receives.as_slice() else { panic!("{:?}", summary.receives) };
    assert_eq!(receive.position, 1);
    let awaited: Vec<_> = receive.awaited.iter().map(|awaited| (awaited.tag.map(|tag| tag.as_str()), awaited.is_open)).collect();
    assert_eq!(awaited, [(Some("DOWN"), false), (None, false), (None, true)]);
    let demonitor = code.item("f/1", "Process.demonitor");
    let within: Vec<bool> = receive.awaited.iter().map(|awaited| summary.is_within(demonitor.arm, awaited.arm)).collect();
    assert_eq!(within, [true, false, false]);
}

#[test]
fn reports_the_clauses_a_call_may_reach() {
    let code = Code::new(
        "def f(:a), do: 1
         def f(:b), do: 2
         def f(_), do: 3
         def g(x) do
           f(:a)
           f(:b)
           f(x)
           f(:c)
         end",
    );
    let clauses = |item: &Item| match item.kind {
        ItemKind::Call { clauses, .. } => clauses,
        _ => 0,
    };
    let found: Vec<u64> = code.summary_of("g/1").items.iter().map(clauses).collect();
    assert_eq!(found, [0b001, 0b010, 0b111, 0b100]);
}

#[test]
fn reports_effects_below_as_reach() {
    use racefree_models::EffectKind;
    let code = Code::new(
        "def a(x), do: b(x)
         def b(x), do: c(x)
         def c(x), do: (send(x, :m); a(x))
         def d(x), do: c(x)
         def e(x), do: x",
    );
    for name in ["a/1", "b/1", "c/1", "d/1"] {
        assert_eq!(code.summary_of(name).reach, EffectKind::Send.bit(), "{name}");
    }
    assert_eq!(code.summary_of("e/1").reach, 0);
}
