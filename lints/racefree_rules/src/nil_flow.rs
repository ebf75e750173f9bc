//! What the two rules about an observed nil share: one is about a single process, the other about a loop over many.

use crate::finding::{Finding, Fix, Place, Safety, Tier};
use crate::fixes::{behind, collection, fix};
use crate::rules::Rule;
use crate::story::{Story, effect_words, point, process_words};
use racefree_analysis::Program;
use racefree_analysis::nils::NilFlow;
use racefree_analysis::summary::{Effect, FunctionId, ItemKind};
use racefree_analysis::value::OriginKind;
use racefree_models::{EffectKind, OnNil};

/// Reports the flows that `wanted` accepts, one for each failing place: the one with the shortest way.
pub(crate) fn report(program: &Program<'_>, rule: &Rule, findings: &mut Vec<Finding>, wanted: impl Fn(&NilFlow) -> bool) {
    let mut last = None;
    for flow in program.nil_flows() {
        if last != Some(flow.sink) {
            last = Some(flow.sink);
            if wanted(flow) {
                findings.extend(finding(program, rule, flow));
            }
        }
    }
}

fn finding(program: &Program<'_>, rule: &Rule, flow: &NilFlow) -> Option<Finding> {
    let (function, index) = flow.sink;
    let item = program.summary(function).items.get(index)?;
    let ItemKind::Effect(effect) = &item.kind else { return None };
    let call = effect_words(effect);
    let outcome = outcome(effect);
    let source = source_words(flow);
    let message = if flow.in_loop {
        format!("{call} gets nil for one of many processes when {source}: {outcome}, and the others are not reached")
    } else {
        format!("{call} gets nil when {source}: {outcome}")
    };
    let caller = process_words(program, flow.meeting);
    let place = point(program, function, item);
    let mut story = Story::new(program, rule, tier(flow), function, place, message)
        .event("other process", "the process looked for ends, or is removed");
    story = story.origin(&caller, &flow.origin);
    for site in &flow.way {
        story = story.step(caller.clone(), *site, "passes it on");
    }
    let harm = if flow.in_loop {
        format!(
            "{caller} fails in the middle of the loop: the processes behind the missing one are not reached, and all that it serves fails with it."
        )
    } else {
        format!("{caller} fails because another process ended, although that is a normal event.")
    };
    let help = if flow.in_loop {
        "Drop what was not found before the loop, with `Enum.reject(&is_nil/1)` or a `for` filter."
    } else {
        "Handle nil where the lookup is made, and handle the exit as well: the process may end between the two."
    };
    let fix = if flow.in_loop { skip_nil(program, function, place) } else { None };
    Some(story.step(caller, place, format!("{call} {}", short_outcome(effect))).harm(harm).help(help).fixes(fix).done())
}

/// Takes the nils out of the list that the loop goes over: what is not there has nothing to be sent.
fn skip_nil(program: &Program<'_>, function: FunctionId, used: Place) -> Option<Fix> {
    let collection = program.place(function, collection(program, function, used.span)?);
    Some(fix("Leave out those that were not found", Safety::Safe, behind(collection), " |> Enum.reject(&is_nil/1)"))
}

fn outcome(effect: &Effect) -> &'static str {
    match effect.model.on_nil {
        OnNil::Exit => "it exits with :noproc",
        _ => "it raises",
    }
}

fn short_outcome(effect: &Effect) -> &'static str {
    match effect.model.on_nil {
        OnNil::Exit => "exits with :noproc: there is no process nil",
        _ => "raises: nil is no process",
    }
}

fn source_words(flow: &NilFlow) -> String {
    match &flow.origin.root().kind {
        OriginKind::Observed { effect: EffectKind::Lookup | EffectKind::TableRead, module, name } => {
            format!("{} finds no entry", crate::story::call_words(*module, *name))
        }
        OriginKind::Observed { effect: EffectKind::Alive, .. } => "the process is no longer alive".to_string(),
        OriginKind::Observed { module, name, .. } => format!("{} answers so", crate::story::call_words(*module, *name)),
        _ => "the lookup finds nobody".to_string(),
    }
}

/// Proven when a lookup's own nil arrives; assumed when a branch chose nil after an answer of another process.
fn tier(flow: &NilFlow) -> Tier {
    match flow.origin.root().kind {
        OriginKind::Observed { effect: EffectKind::Lookup | EffectKind::TableRead, .. } => Tier::Certain,
        _ => Tier::Likely,
    }
}

/// What keeps a nil from arriving: narrowing by patterns, guards and tests, and handlers on the way. Seen through the rule about a single process.
#[cfg(test)]
mod tests {
    use crate::rules::Rule;
    use crate::tests::check;

    fn rule() -> &'static Rule {
        crate::RULES.iter().find(|rule| rule.id == "nil_pid_call").expect("a rule of the list")
    }

    #[test]
    fn accepts_what_is_safe_on_nil() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def watch(name), do: Process.monitor(Process.whereis(name))
  def notify(name), do: GenServer.cast(Process.whereis(name), :go)
  def later(name), do: name |> Process.whereis() |> inspect()
end
"#,
        );
    }

    #[test]
    fn accepts_a_nil_that_nobody_looked_up() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(pid \\ nil), do: GenServer.call(pid || __MODULE__, :run)
  def reply(opts), do: send(opts[:reply_to], :done)
  def forward(%{parent: parent}), do: send(parent, :done)
end
"#,
        );
    }

    #[test]
    fn accepts_a_pid_that_was_matched() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def a(key) do
    [{pid, _}] = Registry.lookup(Jobs.Registry, key)
    GenServer.call(pid, :run)
  end

  def b(key) do
    {:ok, pid} = find(key)
    send(pid, :run)
  end

  defp find(key) do
    case :ets.lookup(:jobs, key) do
      [{_, pid}] -> {:ok, pid}
      [] -> :error
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_clause_for_nil() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name), do: deliver(Process.whereis(name), :run)

  defp deliver(nil, _event), do: :gone
  defp deliver(pid, event), do: send(pid, event)
end
"#,
        );
    }

    #[test]
    fn accepts_guards_written_the_other_way_round() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def a(name) do
    pid = Process.whereis(name)
    unless pid, do: raise("gone")
    send(pid, :go)
  end

  def b(name) do
    pid = Process.whereis(name)
    is_pid(pid) || raise "gone"
    send(pid, :go)
  end

  def c(name) do
    pid = Process.whereis(name)
    if not (pid == nil), do: send(pid, :go)
  end

  def d(name), do: if((pid = Process.whereis(name)) != nil, do: send(pid, :go))
  def e(name), do: Process.whereis(name) |> case(do: (nil -> :gone; pid -> send(pid, :go)))
end
"#,
        );
    }

    #[test]
    fn accepts_a_with_whose_else_gets_the_pid() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    with nil <- Process.whereis(name), nil <- GenServer.whereis({:global, name}) do
      :gone
    else
      pid -> send(pid, :go)
    end
  end

  def stop(name) do
    try do
      Process.whereis(name) || throw(:gone)
    else
      pid -> GenServer.stop(pid)
    catch
      :gone -> :ok
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_clauses_of_an_anonymous_function() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    deliver = fn
      nil -> :gone
      pid -> send(pid, :go)
    end

    deliver.(Process.whereis(name))
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_clause_for_nil_in_a_tuple() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name), do: name |> find() |> deliver()
  defp find(name), do: {name, Process.whereis(name)}
  defp deliver({_name, nil}), do: :gone
  defp deliver({_name, pid}), do: send(pid, :go)
end
"#,
        );
    }

    #[test]
    fn accepts_a_clause_for_nil_in_a_map() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name), do: deliver(%{name: name, pid: Process.whereis(name)})
  defp deliver(%{pid: nil}), do: :gone
  defp deliver(%{pid: pid}), do: send(pid, :go)
end
"#,
        );
    }

    #[test]
    fn accepts_a_case_on_a_tuple() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def join(a, b) do
    case {Process.whereis(a), Process.whereis(b)} do
      {nil, _} -> :gone
      {_, nil} -> :gone
      {first, second} -> send(first, second)
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_check_of_a_field() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def a(name) do
    job = %{pid: Process.whereis(name)}
    if job.pid, do: send(job.pid, :go)
  end

  def b(name) do
    case %{pid: Process.whereis(name)} do
      %{pid: nil} -> :gone
      %{pid: pid} -> send(pid, :go)
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_match_on_the_answer_of_a_test() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def a(name) do
    pid = Process.whereis(name)

    case is_pid(pid) do
      true -> send(pid, :go)
      false -> :gone
    end
  end

  def b(name) do
    pid = Process.whereis(name)
    true = is_pid(pid)
    send(pid, :go)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_guard_with_a_list() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    case Process.whereis(name) do
      pid when pid in [nil, :undefined] -> :gone
      pid -> send(pid, :go)
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_status_beside_the_nil() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    case find(name) do
      {:ok, pid} -> send(pid, :go)
      {:error, _} -> :gone
    end
  end

  def stop(name) do
    {status, pid} = find(name)
    if status == :ok, do: GenServer.stop(pid)
  end

  defp find(name) do
    case Process.whereis(name) do
      nil -> {:error, nil}
      pid -> {:ok, pid}
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_lookup_that_starts_what_is_missing() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name), do: GenServer.call(ensure(name), :run)

  defp ensure(name) do
    case Process.whereis(name) do
      nil ->
        {:ok, pid} = GenServer.start(Jobs.Server, name, name: name)
        pid

      pid ->
        pid
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_closure_run_by_a_wrapper_that_catches() {
        check(
            rule(),
            r#"
#- /lib/safe.ex
defmodule Safe do
  def run(fun) do
    fun.()
  catch
    :exit, _ -> nil
  end
end
#- /lib/jobs.ex
defmodule Jobs do
  def a(name), do: Safe.run(fn -> GenServer.call(Process.whereis(name), :run) end)
  def b(name), do: Safe.run(fn -> ask(name) end)
  defp ask(name), do: GenServer.call(Process.whereis(name), :run)
end
"#,
        );
    }

    #[test]
    fn accepts_a_lookup_that_waits() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def a(name), do: GenServer.call(wait(name), :run)
  def b(name), do: Stream.repeatedly(fn -> Process.whereis(name) end) |> Enum.find(& &1) |> send(:go)

  def c(name, left \\ 3)
  def c(_name, 0), do: :gone

  def c(name, left) do
    pid = GenServer.whereis(name)
    if pid == nil, do: c(name, left - 1), else: send(pid, :go)
  end

  defp wait(name) do
    case Process.whereis(name) do
      nil ->
        Process.sleep(10)
        wait(name)

      pid ->
        pid
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_more_guards() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def a(name) do
    pid = Process.whereis(name)
    is_nil(pid) or send(pid, :go)
  end

  def b(name) do
    case GenServer.whereis(name) do
      {name, node} -> GenServer.cast({name, node}, :go)
      pid when is_pid(pid) -> send(pid, :go)
      nil -> :gone
    end
  end

  def c(name) do
    pid = Process.whereis(name)
    for _ <- 1..3, pid, do: send(pid, :go)
  end

  def d(name), do: d(Process.whereis(name), name)
  def d(nil, _), do: :gone
  def d(pid, name), do: send(pid, name)
end
"#,
        );
    }

    #[test]
    fn accepts_guards_in_a_value() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def a(name) do
    pid = Process.whereis(name)
    run = if pid, do: fn -> send(pid, :go) end, else: fn -> :gone end
                          # ^^^^ wrong: a closure made in a branch forgets what the branch knows
    run.()
  end

  def b(name) do
    pid = Process.whereis(name)
    kind = if pid, do: :found, else: :gone
    if kind == :found, do: send(pid, :go)
                         # ^^^^ wrong: what a value tells of another one is not kept
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_guard_not_in_a_list() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name) do
    pid = Process.whereis(name)
    if pid not in [nil, self()], do: send(pid, :go)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_clause_whose_guard_takes_nil() {
        check(
            rule(),
            r#"
#- /lib/jobs.ex
defmodule Jobs do
  def run(name), do: deliver(Process.whereis(name))
  defp deliver(pid) when is_nil(pid), do: :gone
  defp deliver(pid), do: send(pid, :go)
end
"#,
        );
    }
}
