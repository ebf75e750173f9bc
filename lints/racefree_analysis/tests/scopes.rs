//! What surrounds an item: loops, other processes, locks, handlers.

use crate::code::Code;
use racefree_analysis::summary::ScopeKind;

/// The kinds around an item, inmost first, without the function itself.
#[track_caller]
fn around(code: &Code, function: &str, start: &str) -> Vec<&'static str> {
    let word = |kind: ScopeKind| match kind {
        ScopeKind::Function => "function",
        ScopeKind::Try(_) => "try",
        ScopeKind::Handler(_) => "handler",
        ScopeKind::Loop(_) => "loop",
        ScopeKind::Elsewhere => "elsewhere",
        ScopeKind::AtTarget => "at target",
        ScopeKind::Locked => "locked",
        ScopeKind::Stored => "stored",
        ScopeKind::Shielded(_) => "shielded",
    };
    let mut words: Vec<_> = code.scopes(function, start).into_iter().map(word).collect();
    assert_eq!(words.pop(), Some("function"));
    words
}

#[test]
fn reports_what_runs_for_each_element() {
    let code = Code::new(
        "def f(xs), do: Enum.each(xs, fn x -> send(x, :each) end)
         def g(xs), do: for(x <- xs, do: send(x, :for))
         def h(xs) do
           send(:before, 1)
           for x <- Unknown.list(xs), y <- x, do: send(y, :deep)
           send(:behind, 1)
         end
         def i(xs), do: Enum.each(xs, &send(&1, :capture))
         def j(xs), do: Enum.map(xs, &k/1)
         def k(x), do: send(x, :once)",
    );
    assert_eq!(around(&code, "f/1", "send"), ["loop"]);
    assert_eq!(around(&code, "g/1", "send"), ["loop"]);
    assert_eq!(around(&code, "h/1", "send(y"), ["loop", "loop"]);
    assert_eq!(around(&code, "h/1", "send(:before"), [""; 0]);
    assert_eq!(around(&code, "h/1", "send(:behind"), [""; 0]);
    assert_eq!(around(&code, "h/1", "Unknown.list"), [""; 0]);
    assert_eq!(around(&code, "i/1", "send"), ["loop"]);
    let calls: Vec<ScopeKind> = code.summary_of("j/1").scope_chain(code.summary_of("j/1").items[0].scope).collect();
    assert!(matches!(calls[..], [ScopeKind::Loop(_), ScopeKind::Function]));
    assert_eq!(around(&code, "k/1", "send"), [""; 0]);
}

#[test]
fn reports_what_runs_in_other_processes() {
    let code = Code::new(
        "def f(x), do: spawn(fn -> send(x, :spawned) end)
         def g(x), do: Task.async(fn -> send(x, :task) end)
         def h(x), do: Agent.update(x, fn s -> send(s, :agent) end)",
    );
    assert_eq!(around(&code, "f/1", "send"), ["elsewhere"]);
    assert_eq!(around(&code, "g/1", "send"), ["elsewhere"]);
    assert_eq!(around(&code, "h/1", "send"), ["at target"]);
}

#[test]
fn reports_what_runs_under_a_lock() {
    let code = Code::new(
        "def f(x), do: :global.trans({:lock, self()}, fn -> send(x, :locked) end)
         def g(x), do: in_lock(fn -> send(x, :through) end)
         defp in_lock(fun), do: :global.trans({:lock, self()}, fun)",
    );
    assert_eq!(around(&code, "f/1", "send"), ["locked"]);
    assert_eq!(around(&code, "g/1", "send"), ["locked"]);
}

#[test]
fn reports_bodies_and_handlers() {
    let code = Code::new(
        "def f(x) do
           send(:body, x)
         rescue
           ArgumentError -> send(:rescue, x)
         catch
           :exit, _ -> send(:catch, x)
         else
           _ -> send(:else, x)
         after
           send(:after, x)
         end
         def g(x) do
           try do
             try do
               send(:inner, x)
             after
               send(:inner_after, x)
             end
           catch
             _, _ -> :ok
           end
           send(:outside, x)
         end",
    );
    assert_eq!(around(&code, "f/1", "send(:body"), ["try"]);
    for handler in ["send(:rescue", "send(:catch", "send(:else", "send(:after"] {
        assert_eq!(around(&code, "f/1", handler), ["handler"], "{handler}");
    }
    assert_eq!(around(&code, "g/1", "send(:inner,"), ["try", "try"]);
    assert_eq!(around(&code, "g/1", "send(:inner_after"), ["handler", "try"]);
    assert_eq!(around(&code, "g/1", "send(:outside"), [""; 0]);
    let tries = &code.summary_of("f/1").tries;
    assert_eq!((tries.len(), tries[0].implicit, tries[0].rescues.len(), tries[0].catches.len()), (1, true, 1, 1));
    assert_eq!((tries[0].first, tries[0].last), (0, 1));
}
