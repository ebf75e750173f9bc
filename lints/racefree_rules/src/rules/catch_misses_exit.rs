//! # A handler of the wrong kind around a call
//!
//! ## What it reports
//!
//! A handler stands around a call of another process and can never take its failure. A call fails by an *exit*. `rescue` takes errors,
//! `catch :error, _` the same, and a `catch` without a kind takes throws only. Reported is a handler around calls and nothing else that
//! could fail, so that it can have been meant for the call alone.
//!
//! ```elixir
//! defmodule Health do
//!   def status(server) do
//!     GenServer.call(server, :status)
//!   rescue
//!     _ -> :down
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! caller                        | server
//! ------------------------------|------------------------------
//! calls and waits               |
//!                               | ends
//! exits with the server's reason|
//! the rescue is passed over: the caller is down
//! ```
//!
//! ## Instead
//!
//! Catch the kind that comes.
//!
//! ```elixir
//! defmodule Health do
//!   def status(server) do
//!     GenServer.call(server, :status)
//!   catch
//!     :exit, _reason -> :down
//!   end
//! end
//! ```
//!
//! ## Not reported
//!
//! - `catch :exit, _` and `catch kind, reason`, also beside a `rescue`, and the same in a `try` further out.
//! - A `rescue` of named exceptions, other than `ArgumentError` and `ErlangError`, which people expect of a call: it may be meant for them.
//! - A `rescue` that raises again: it logs or translates.
//! - Bodies that hold other code which can raise, throw or exit: the handler may be meant for that.

use super::Rule;
use crate::finding::{Finding, Place, Safety, Severity, SignalKind, Tier};
use crate::fixes::{before, fix};
use crate::handlers::{body, is_harmless, plain_request};
use crate::story::{Story, process_words};
use racefree_analysis::Program;
use racefree_analysis::summary::{CatchKind, FunctionId, Item, ItemKind, Summary, Try, Usage};
use racefree_analysis::term::TermKind;
use racefree_syntax::{Span, Symbol};

pub static RULE: Rule = Rule {
    id: "catch_misses_exit",
    severity: Severity::Error,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/catch_misses_exit.md"),
    shared: "The life of the process that is called: it may end while its caller waits.",
    primitive: "`Racefree.Registry.call/4`: the end of the other process comes back as `{:error, {:down, reason}}`, never as an exit.",
    check,
};

/// Calls through this many functions that do nothing else still count as the call itself.
const WRAPPERS_MAX: usize = 3;

/// The process at the other end of the call.
const CALLED: &str = "called process";

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    for (id, _) in program.functions() {
        let summary = program.summary(id);
        for (index, tried) in summary.tries.iter().enumerate() {
            findings.extend(finding(program, id, summary, index, tried));
        }
    }
}

/// Reports a handler that cannot take what the body does: the body is a call of another process and nothing else that could fail.
fn finding(program: &Program<'_>, id: FunctionId, summary: &Summary, index: usize, tried: &Try) -> Option<Finding> {
    if tried.catches.iter().any(|catch| matches!(catch.kind, CatchKind::Exit | CatchKind::All)) {
        return None;
    }
    let (span, kind) = wrong_handler(program, tried)?;
    let mut failing = body(summary, index, tried).filter(|item| !is_harmless(program, item));
    let request = failing.next()?;
    let call = plain_request(program, request, WRAPPERS_MAX)?;
    if failing.any(|other| plain_request(program, other, WRAPPERS_MAX).is_none()) || summary_takes_exit(summary, tried) {
        return None;
    }
    // A hard match in the body may be what the handler is for.
    let matched = body(summary, index, tried).any(|item| matches!(item.usage, Usage::Matched(_)));
    let tier = if matched || !is_all(tried, request, call) { Tier::Likely } else { Tier::Certain };
    let message = format!("{kind} never takes an exit, and a call of another process fails by an exit");
    let place = Place { file: program.file_of(id), span };
    let caller = process_words(program, id);
    let words = match &call.kind {
        ItemKind::Effect(effect) => crate::story::effect_words(effect),
        _ => "the call".to_string(),
    };
    Some(
        Story::new(program, &RULE, tier, id, place, message)
            .step(caller.clone(), program.place(id, request.name_span), format!("{words} waits for the other process"))
            .sends(SignalKind::Call, CALLED)
            .event(CALLED, "ends before it replies, or was not there")
            .sends(SignalKind::Exit, caller.clone())
            .step(caller.clone(), place, "is passed over: the exit goes on and ends the caller")
            .harm(format!("{caller} crashes with the process it called, although a handler stands around the call."))
            .help("Catch the kind that comes: `catch :exit, _ -> …`.")
            .fixes(kindless(tried).map(|pattern| {
                let safety = if tier == Tier::Certain { Safety::Safe } else { Safety::Unsafe };
                fix("Catch exits", safety, before(program.place(id, pattern)), ":exit, ")
            }))
            .done(),
    )
}

/// Whether nothing is done with the answer inside the body: it is the body's own value, or nobody looks at it.
fn is_all(tried: &Try, request: &Item, call: &Item) -> bool {
    let ItemKind::Effect(effect) = &call.kind else { return false };
    let plain = match tried.body_value.term.kind() {
        TermKind::Apply { module, name, .. } => {
            *module == effect.module && *name == effect.name || matches!(request.kind, ItemKind::Call { .. })
        }
        TermKind::Atom(_) => true,
        _ => false,
    };
    plain || request.usage == Usage::Discarded
}

/// The handler that was meant for the failure: named by its place and in words.
fn wrong_handler(program: &Program<'_>, tried: &Try) -> Option<(Span, &'static str)> {
    let catch = tried.catches.iter().find_map(|catch| match catch.kind {
        CatchKind::Error => Some((catch.span, "`catch :error, …`")),
        CatchKind::Throw { bare: true } => Some((catch.span, "a `catch` without a kind, which takes throws,")),
        _ => None,
    });
    // Rescues of other exceptions are for the code around the call.
    let conventions = &program.models().conventions;
    let meant = |name: &Symbol| name.as_str() == conventions.bad_argument || name.as_str() == conventions.erlang_error;
    let rescue = tried.rescues.iter().find(|rescue| !rescue.diverges && rescue.exceptions.iter().all(meant));
    catch.or_else(|| rescue.map(|rescue| (rescue.span, "`rescue`")))
}

/// The clause of a `catch` that lacks its kind, when there is but one: it begins with its pattern.
fn kindless(tried: &Try) -> Option<Span> {
    match tried.catches.as_slice() {
        [only] if matches!(only.kind, CatchKind::Throw { bare: true }) => Some(only.span),
        _ => None,
    }
}

/// Whether a `try` around this one takes the exit.
fn summary_takes_exit(summary: &Summary, tried: &Try) -> bool {
    summary.exit_handling(tried.scope) != racefree_analysis::summary::ExitHandling::Uncaught
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::{check, fixes};

    #[test]
    fn reports_a_rescue() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def status(server) do
    GenServer.call(server, :status)
  # ^^^^^^^^^^^^^^ step: GenServer.call waits for the other process
  rescue
    _ -> :down
  # ^ error: `rescue` never takes an exit
  # ^ step: is passed over: the exit goes on and ends the caller
  end
end
"#,
        );
    }

    #[test]
    fn a_kind_is_put_before_the_pattern() {
        fixes(
            &RULE,
            "defmodule A do\n  def ask(pid) do\n    GenServer.call(pid, :x)\n  catch\n    _ -> :down\n  end\nend\n",
            "defmodule A do\n  def ask(pid) do\n    GenServer.call(pid, :x)\n  catch\n    :exit, _ -> :down\n  end\nend\n",
        );
    }

    #[test]
    fn accepts_a_catch_of_exits() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def status(server) do
    GenServer.call(server, :status)
  catch
    :exit, _reason -> :down
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_handler_around_a_wrapper_in_another_module() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def status(name) do
    try do
      Server.status(name)
           # ^^^^^^ step: GenServer.call waits for the other process
    catch
      _ -> :down
    # ^ error: a `catch` without a kind, which takes throws,
    end
  end
end
#- /lib/server.ex
defmodule Server do
  use GenServer
  def status(name), do: GenServer.call(name, :status)
  def init(state), do: {:ok, state}
  def handle_call(:status, _from, state), do: {:reply, state, state}
end
"#,
        );
    }

    #[test]
    fn reports_a_catch_of_errors() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def status(server) do
    GenServer.call(server, :status)
  catch
    :error, _ -> :down
  # ^^^^^^ error: `catch :error, …` never takes an exit
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_catch_of_a_named_exit() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def status(server) do
    GenServer.call(server, :status)
  catch
    {:exit, _} -> :down
  # ^^^^^^^^^^ error: a `catch` without a kind
  end
end
"#,
        );
    }

    #[test]
    fn reports_an_inline_rescue() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def stop(server) do
    try do
      GenServer.stop(server)
    rescue
      e -> {:error, e}
    # ^ error: `rescue` never takes an exit
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_catch_of_all_kinds() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def a(server) do
    GenServer.call(server, :status)
  catch
    _kind, _reason -> :down
  end

  def b(server) do
    GenServer.call(server, :status)
  rescue
    _ -> :failed
  catch
    :exit, _ -> :down
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_catch_further_out() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def status(server) do
    try do
      try do
        GenServer.call(server, :status)
      rescue
        _ -> :failed
      end
    catch
      :exit, _ -> :down
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_rescue_of_named_exceptions() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def status(server) do
    GenServer.call(server, :status)
  rescue
    RuntimeError -> :failed
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_rescue_that_raises_again() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def status(server) do
    GenServer.call(server, :status)
  rescue
    error -> reraise error, __STACKTRACE__
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_handler_around_other_code_too() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def status(server, text) do
    GenServer.call(server, {:status, String.to_integer(text)})
  rescue
    _ -> :failed
  end

  def run(server, fun) do
    fun.(GenServer.call(server, :status))
  rescue
    _ -> :failed
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_throw_that_is_caught() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def status(server) do
    case GenServer.call(server, :status) do
      :down -> throw(:down)
      status -> status
    end
  catch
    :down -> :failed
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_cast_under_a_rescue() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def notify(server) do
    GenServer.cast(server, :notify)
  rescue
    _ -> :down
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_rescue_in_terminate() {
        check(
            &RULE,
            r#"
#- /lib/worker.ex
defmodule Worker do
  use GenServer
  def init(name), do: {:ok, name}

  def terminate(_reason, name) do
    GenServer.call(name, {:leave, self()})
  rescue
    _ -> :ok
  # ^ error: `rescue` never takes an exit
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_rescue_meant_for_a_match() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def a(server) do
    %{status: status} = GenServer.call(server, :status)
    status
  rescue
    _ -> :failed
  # ^ wrong: a match that may fail is no item of the body
  end

  def b(server) do
    case GenServer.call(server, :status) do
      {:ok, status} -> status
    end
  rescue
    _ -> :failed
  # ^ wrong: a case that may have no clause is no item of the body
  end

  def c(server) do
    server |> GenServer.call(:status) |> Map.fetch!(:state)
  rescue
    _ -> :failed
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_rescue_meant_for_what_a_function_raises() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def status(server) do
    check(GenServer.call(server, :status))
  rescue
    _ -> :failed
  end

  defp check({:error, reason}), do: raise(reason)
  defp check(status), do: status
end
"#,
        );
    }

    #[test]
    fn reports_a_rescue_of_a_bad_argument() {
        check(
            &RULE,
            r#"
#- /lib/health.ex
defmodule Health do
  def a(server) do
    GenServer.call(server, :status)
  rescue
    ArgumentError -> :down
  # ^ error: `rescue` never takes an exit
  end

  def b(server) do
    GenServer.stop(server)
  rescue
    _ in [ArgumentError, ErlangError] -> :ok
  # ^ error: `rescue` never takes an exit
  end
end
"#,
        );
    }
}
