//! What becomes of an exit that leaves an item: uncaught, caught by a list of reasons, or caught.

use crate::code::Code;
use racefree_analysis::summary::ExitHandling;
use racefree_models::EffectKind;

/// How the exit of `GenServer.call(…)` is handled in a function with this body.
#[track_caller]
fn handling(body: &str) -> ExitHandling {
    let code = Code::new(&format!("def f(x) do\n{body}\nend"));
    code.summary_of("f/1").exit_handling(code.item("f/1", "GenServer.call").scope)
}

#[test]
fn reports_exits_that_nobody_catches() {
    for body in [
        "GenServer.call(x, :m)",
        "GenServer.call(x, :m)\nrescue\n_ -> :no",
        "GenServer.call(x, :m)\ncatch\n_ -> :no",
        "GenServer.call(x, :m)\ncatch\n:error, _ -> :no",
        "GenServer.call(x, :m)\nafter\n:no",
        "try do\n:body\ncatch\n:exit, _ -> GenServer.call(x, :m)\nend",
        "try do\n:body\nelse\n_ -> GenServer.call(x, :m)\ncatch\n:exit, _ -> :no\nend",
        "try do\nspawn(fn -> GenServer.call(x, :m) end)\ncatch\n:exit, _ -> :no\nend",
    ] {
        assert_eq!(handling(body), ExitHandling::Uncaught, "{body}");
    }
}

#[test]
fn reports_exits_that_a_list_catches() {
    for body in [
        "GenServer.call(x, :m)\ncatch\n:exit, {:noproc, _} -> :gone",
        "GenServer.call(x, :m)\ncatch\n:exit, {reason, _} when reason in [:noproc, :normal] -> :gone",
        "try do\ntry do\nGenServer.call(x, :m)\nafter\n:no\nend\ncatch\n:exit, {:noproc, _} -> :gone\nend",
    ] {
        assert!(matches!(handling(body), ExitHandling::Listed(0)), "{body}: {:?}", handling(body));
    }
}

#[test]
fn accepts_exits_that_are_caught() {
    for body in [
        "GenServer.call(x, :m)\ncatch\n:exit, _ -> :gone",
        "GenServer.call(x, :m)\ncatch\n:exit, reason -> reason",
        "GenServer.call(x, :m)\ncatch\n_, _ -> :gone",
        "GenServer.call(x, :m)\ncatch\nkind, reason -> {kind, reason}",
        "GenServer.call(x, :m)\ncatch\n:exit, {:noproc, _} -> :gone\n:exit, _ -> :other",
        "try do\ntry do\nGenServer.call(x, :m)\ncatch\n:exit, {:noproc, _} -> :gone\nend\ncatch\n:exit, _ -> :other\nend",
        "try do\nEnum.each([1], fn _ -> GenServer.call(x, :m) end)\ncatch\n:exit, _ -> :other\nend",
    ] {
        assert_eq!(handling(body), ExitHandling::Caught, "{body}");
    }
}

#[test]
fn accepts_exits_that_a_caller_catches() {
    let code = Code::new(
        "def safe(x) do
           inner(x)
         catch
           :exit, _ -> :gone
         end
         def listed(x) do
           inner(x)
         catch
           :exit, {:noproc, _} -> :gone
         end
         def bare(x), do: inner(x)
         def wrapped(x), do: guarded(fn -> GenServer.call(x, :m) end)
         defp inner(x), do: deeper(x)
         defp deeper(x), do: GenServer.call(x, :m)
         defp guarded(fun) do
           fun.()
         catch
           :exit, _ -> :gone
         end",
    );
    let of = |name: &str| {
        let events = code.events(code.id(name), EffectKind::Call.bit());
        assert_eq!(events.len(), 1, "{name}");
        events[0].exit_handling(&code)
    };
    assert_eq!(of("safe/1"), (ExitHandling::Caught, code.id("safe/1")));
    assert_eq!(of("listed/1"), (ExitHandling::Listed(0), code.id("listed/1")));
    assert_eq!(of("bare/1"), (ExitHandling::Uncaught, code.id("deeper/1")));
}

#[test]
fn reports_which_exceptions_are_rescued() {
    let code = Code::new(
        "def named(x) do
           :ets.lookup(:t, x)
         rescue
           e in [ArgumentError, KeyError] -> e
         end
         def all(x) do
           :ets.lookup(:t, x)
         rescue
           _ -> :ok
         end
         def errors(x) do
           :ets.lookup(:t, x)
         catch
           :error, _ -> :ok
         end
         def none(x) do
           :ets.lookup(:t, x)
         rescue
           RuntimeError -> :ok
         end",
    );
    let rescued = |name: &str| code.summary_of(name).rescues(code.item(name, ":ets.lookup").scope, "ArgumentError");
    assert!(rescued("named/1") && rescued("all/1") && rescued("errors/1"));
    assert!(!rescued("none/1"));
}
