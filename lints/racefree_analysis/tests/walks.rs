//! Walks: effects of callees, with their values in the terms of the function walked from.

use crate::code::{Code, show_term};
use racefree_analysis::walk::Event;
use racefree_models::EffectKind;

const ALL: u64 = u64::MAX;

/// Effect, target and key, in the terms of the root.
fn told(event: &Event<'_>) -> String {
    let args: Vec<String> = event.args.iter().map(|arg| show_term(&arg.term)).collect();
    format!("{}({})", event.effect.name, args.join(", "))
}

fn events(code: &Code, root: &str) -> Vec<String> {
    code.events(code.id(root), ALL).iter().map(told).collect()
}

#[test]
fn reports_effects_of_callees_in_terms_of_the_root() {
    let code = Code::new(
        "def f(x, y) do
           send(x, :own)
           g({:wrapped, y})
         end
         defp g({_, z}), do: h(z, :t)
         defp h(k, table), do: :ets.insert(table, {k, 1})",
    );
    assert_eq!(events(&code, "f/2"), ["send(arg(0), :own)", "insert(:t, {arg(1), 1})"]);
    assert_eq!(events(&code, "h/2"), ["insert(arg(1), {arg(0), 1})"]);
}

#[test]
fn reports_only_the_kinds_asked_for() {
    let code = Code::new("def f(x) do\n send(x, 1)\n g(x)\n Process.monitor(x)\nend\ndef g(x), do: GenServer.cast(x, :m)");
    let names =
        |mask: u64| -> Vec<String> { code.events(code.id("f/1"), mask).iter().map(|event| event.effect.name.to_string()).collect() };
    assert_eq!(names(EffectKind::Cast.bit()), ["cast"]);
    assert_eq!(names(EffectKind::Send.bit() | EffectKind::Monitor.bit()), ["send", "monitor"]);
    assert!(names(EffectKind::Lock.bit()).is_empty());
}

#[test]
fn reports_only_the_clauses_that_a_call_reaches() {
    let code = Code::new(
        "def f(:a), do: send(:first, 1)
         def f(:b), do: send(:second, 1)
         def g, do: f(:b)",
    );
    assert_eq!(events(&code, "g/0"), ["send(:second, 1)"]);
    let first = code.events_of_clauses(code.id("f/1"), ALL, 0b1);
    assert_eq!(first.iter().map(told).collect::<Vec<_>>(), ["send(:first, 1)"]);
}

#[test]
fn reports_the_way_to_an_effect() {
    let code = Code::new("def f(x), do: g(x)\ndef g(x), do: h(x)\ndef h(x), do: send(x, :m)");
    let events = code.events(code.id("f/1"), ALL);
    let way: Vec<&str> = events[0].way(&code).iter().map(|place| code.at(place.span)).collect();
    assert_eq!(way, ["g", "h", "send"]);
    assert_eq!(events[0].function(), code.id("h/1"));
    assert_eq!(code.at(events[0].place(&code).span), "send");
    assert_eq!(events[0].target_from, 0);
}

#[test]
fn reports_where_a_target_was_got() {
    let code = Code::new("def f(x), do: g(x)\ndef g(x), do: h(Process.whereis(x))\ndef h(x), do: send(x, :m)");
    let events = code.events(code.id("f/1"), EffectKind::Send.bit());
    assert_eq!(events[0].target_from, 1);
    assert_eq!(show_term(&events[0].target().unwrap().term), "Process.whereis(arg(0))");
}

#[test]
fn reports_scopes_and_exclusion_through_calls() {
    let code = Code::new(
        "def f(x) do
           if x, do: g(:first), else: g(:second)
           spawn(fn -> g(:third) end)
         end
         def g(x), do: send(x, :m)",
    );
    let events = code.events(code.id("f/1"), EffectKind::Send.bit());
    assert_eq!(events.len(), 3);
    assert!(!events[0].compatible(&events[1], &code));
    assert!(events[0].compatible(&events[2], &code));
    assert!(events[0].here(&code) && !events[2].here(&code));
}

#[test]
fn accepts_recursion() {
    let code = Code::new(
        "def f(x) do
           send(x, :one)
           f({x})
         end
         def a(x), do: (send(x, :a); b(x))
         def b(x), do: (send(x, :b); a(x))",
    );
    assert_eq!(events(&code, "f/1"), ["send(arg(0), :one)"]);
    assert_eq!(events(&code, "a/1"), ["send(arg(0), :a)", "send(arg(0), :b)"]);
}

#[test]
fn accepts_wide_and_deep_programs_within_bounds() {
    let mut text = String::from("def f0(x), do: send(x, :m)\n");
    for level in 1..12 {
        let calls = format!("f{}(x)\n", level - 1).repeat(10);
        text += &format!("def f{level}(x) do\n{calls}end\n");
    }
    let code = Code::new(&text);
    let events = code.events(code.id("f11/1"), ALL);
    assert!(!events.is_empty() && events.len() <= 256, "{}", events.len());
}

#[test]
fn reports_pairs_that_one_function_reaches() {
    let code = Code::new(
        "def f(x) do
           g(x)
           send(x, :m)
         end
         def g(x), do: Process.whereis(x)
         def only(x), do: send(x, :m)",
    );
    let (lookup, send) = (EffectKind::Lookup.bit(), EffectKind::Send.bit());
    assert!(code.has_pair(code.summary_of("f/1"), lookup, send));
    assert!(!code.has_pair(code.summary_of("f/1"), send, lookup));
    assert!(!code.has_pair(code.summary_of("only/1"), lookup, send));
    assert!(!code.has_pair(code.summary_of("only/1"), send, send));
}
