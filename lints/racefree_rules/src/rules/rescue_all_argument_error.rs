//! # A rescue meant for a missing table that hides every other mistake
//!
//! ## What it reports
//!
//! A table operation raises `ArgumentError` when the table is gone, for instance because its owner has just ended. A `rescue
//! ArgumentError` that gives a default covers more than that operation: other functions, or a conversion that raises `ArgumentError`
//! for a reason of its own. All of them get the same answer, which was meant for the missing table alone.
//!
//! ```elixir
//! defmodule Status do
//!   def changed_since?(key, text) do
//!     last = :ets.lookup_element(:status, key, 2)
//!     last > String.to_integer(text)
//!   rescue
//!     ArgumentError -> false
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! table owner                   | caller
//! ------------------------------|------------------------------
//! lives, the table is there     | gets text "12a" from a client
//!                               | reads the last offset
//!                               | String.to_integer raises ArgumentError
//!                               | the rescue answers false: "no change"
//! ```
//!
//! The client waits for a change that was there all the time. No log line tells of it, and a test of the missing table passes.
//!
//! ## Instead
//!
//! Put the rescue around the one operation that may find its table gone.
//!
//! ```elixir
//! defmodule Status do
//!   def changed_since?(key, text) do
//!     offset = String.to_integer(text)
//!
//!     case fetch(key) do
//!       {:ok, last} -> last > offset
//!       :error -> false
//!     end
//!   end
//!
//!   defp fetch(key) do
//!     {:ok, :ets.lookup_element(:status, key, 2)}
//!   rescue
//!     ArgumentError -> :error
//!   end
//! end
//! ```
//!
//! ## Not reported
//!
//! - A rescue around table operations alone, also when functions of the program first make the table's name or the key, as long as
//!   nothing in them is known to raise `ArgumentError`.
//! - A rescue that raises again, that binds the exception and can look at it, or that does more than give a value.
//! - A rescue around functions that only reach the table. Around one that has nothing to do with it, or around two that reach it, the
//!   finding is likely.
//! - `rescue ArgumentError` around code without any table operation, such as a parser.
//! - A rescue of everything (`rescue _ ->`): it hides more, but says so.

use super::Rule;
use crate::finding::{Finding, Place, Severity, Tier};
use crate::story::{Story, effect_words, process_words};
use racefree_analysis::Program;
use racefree_analysis::summary::{FunctionId, Item, ItemKind, RescueSummary, ScopeKind, Summary, Try};
use racefree_analysis::term::Term;
use racefree_analysis::walk::Event;
use racefree_models::EffectKind;

pub static RULE: Rule = Rule {
    id: "rescue_all_argument_error",
    severity: Severity::Warning,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/rescue_all_argument_error.md"),
    shared: "A table or registry that belongs to another process, and goes away with it.",
    primitive: "`Racefree.Registry.lookup/2`: an absent registry is `{:error, :registry_down}`, never an ArgumentError.",
    check,
};

/// Effects that raise when a table or registry is gone.
const TABLE: u64 = 1 << EffectKind::TableRead as u64
    | 1 << EffectKind::TableWrite as u64
    | 1 << EffectKind::TableDelete as u64
    | 1 << EffectKind::TableClear as u64
    | 1 << EffectKind::Lookup as u64
    | 1 << EffectKind::Register as u64;

/// Functions looked into below one rescue at most.
const FUNCTIONS_MAX: usize = 400;
/// A rescue is broad when it covers this many functions of the program that have nothing to do with a table.
const BROAD: usize = 1;

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    let name = program.models().conventions.bad_argument.as_str();
    for (id, _) in program.functions() {
        let summary = program.summary(id);
        for (index, tried) in summary.tries.iter().enumerate() {
            let rescue = tried
                .rescues
                .iter()
                .find(|r| !r.diverges && !r.binds && r.exceptions.iter().all(|e| e.as_str() == name) && !r.exceptions.is_empty());
            if let Some(rescue) = rescue {
                findings.extend(finding(program, id, summary, index, tried, rescue));
            }
        }
    }
}

/// What stands under a rescue.
#[derive(Default)]
struct Cover {
    functions: Vec<FunctionId>,
    /// Whether the functions met now count: they are not there to make an operation's arguments.
    beside: bool,
    /// Functions that do nothing but that.
    visited: Vec<FunctionId>,
    /// The first operation on a table.
    table: Option<Place>,
    table_words: String,
    /// Something else that raises the same exception.
    other: Option<(Place, String)>,
}

fn finding(program: &Program<'_>, id: FunctionId, summary: &Summary, index: usize, tried: &Try, rescue: &RescueSummary) -> Option<Finding> {
    let mut cover = Cover::default();
    let items: Vec<&Item> = covered(program, summary, index, tried).collect();
    cover.beside = true;
    cover.items(program, id, &items);
    let table = cover.table?;
    let uses = tables_used(program, id, tried);
    let beside = cover
        .functions
        .iter()
        .filter(|function| program.summary(**function).reach & TABLE == 0 && !cover.visited.contains(function))
        .count();
    let broad = beside >= BROAD || uses > 1;
    // A handler that does something about it, or tells somebody, hides nothing.
    if summary.items.iter().any(|item| summary.in_scope(item.scope, |kind| kind == ScopeKind::Handler(index as u32))) {
        return None;
    }
    if cover.other.is_none() && !broad {
        return None;
    }
    let tier = if cover.other.is_some() { Tier::Certain } else { Tier::Likely };
    let place = Place { file: program.file_of(id), span: rescue.span };
    let count = cover.functions.len();
    let message = match &cover.other {
        Some((_, words)) => format!("this rescue is for a table that may be gone, and takes the ArgumentError of {words} for the same"),
        None => {
            let functions = if count == 1 { "another function".to_string() } else { format!("{count} functions") };
            format!(
                "this rescue is for a table that may be gone, and stands around {functions}: any ArgumentError there is taken for the same"
            )
        }
    };
    let caller = process_words(program, id);
    let mut story = Story::new(program, &RULE, tier, id, place, message).event("table owner", "ends, and its table with it").step(
        caller.clone(),
        table,
        format!("{} raises ArgumentError: this is what the rescue is for", cover.table_words),
    );
    if let Some((place, words)) = cover.other {
        story = story.step(caller.clone(), place, format!("{words} raises ArgumentError too, for a reason of its own"));
    }
    Some(
        story
            .step(caller, place, "gives the same answer for both")
            .harm("A mistake in the code looks like a table that is not there: it is answered with a default and never seen.")
            .help("Put the rescue around the one operation that may find its table gone.")
            .done(),
    )
}

/// How many tables, or registries, the body works with.
fn tables_used(program: &Program<'_>, id: FunctionId, tried: &Try) -> usize {
    let events = program.events(id, TABLE);
    let inside = |event: &&Event<'_>| (tried.first as usize..tried.last as usize).contains(&event.first_item()) && event.path.len() > 1;
    let mut found: Vec<&Term> = Vec::new();
    for target in events.iter().filter(inside).filter_map(|event| event.target()) {
        if !found.contains(&&target.term) {
            found.push(&target.term);
        }
    }
    found.len()
}

/// The items whose bad arguments this rescue takes: those in its body, in this process, that no inner handler takes first.
fn covered<'s>(program: &'s Program<'_>, summary: &'s Summary, index: usize, tried: &Try) -> impl Iterator<Item = &'s Item> {
    let items = summary.items.get(tried.first as usize..tried.last as usize).unwrap_or(&[]);
    items.iter().filter(move |item| {
        let name = program.models().conventions.bad_argument.as_str();
        let first = summary.scope_chain(item.scope).find_map(|kind| match kind {
            ScopeKind::Elsewhere | ScopeKind::AtTarget | ScopeKind::Stored => Some(None),
            ScopeKind::Try(inner) if summary.tries.get(inner as usize).is_some_and(|inner| inner.takes_exception(name)) => {
                Some(Some(inner))
            }
            _ => None,
        });
        first == Some(Some(index as u32))
    })
}

impl Cover {
    /// Code without effects up to the first operation on a table makes the table's name and the key: it does not count.
    fn items(&mut self, program: &Program<'_>, id: FunctionId, items: &[&Item]) {
        let first = items.iter().position(|item| program.item_reach(item) & TABLE != 0).unwrap_or(0);
        for (position, item) in items.iter().enumerate() {
            let beside = self.beside;
            self.beside = beside && (position >= first || program.item_reach(item) != 0);
            self.item(program, id, item);
            self.beside = beside;
        }
    }

    fn item(&mut self, program: &Program<'_>, id: FunctionId, item: &Item) {
        let here = program.place(id, item.name_span);
        match &item.kind {
            ItemKind::Effect(effect) if effect.kind == EffectKind::Diverge => {
                let name = program.models().conventions.bad_argument.as_str();
                if effect.args.first().is_some_and(|arg| arg.atoms().any(|atom| atom.as_str() == name)) {
                    self.other.get_or_insert((here, format!("`{}`", effect_words(effect))));
                }
            }
            ItemKind::Effect(effect) if TABLE & effect.kind.bit() != 0 && !effect.model.raises.is_empty() => {
                if self.table.is_none() {
                    self.table = Some(here);
                    self.table_words = effect_words(effect);
                }
            }
            ItemKind::Effect(_) => {}
            ItemKind::Foreign { module, name, args } => {
                let model = program.models().function(*module, *name, args.len() as u32);
                let bad = program.models().conventions.bad_argument.as_str();
                match model {
                    Some(model) if model.raises.iter().any(|raised| raised == bad) => {
                        self.other.get_or_insert((here, format!("`{}`", crate::story::call_words(*module, *name))));
                    }
                    _ => {}
                }
            }
            ItemKind::Call { callee, .. } => self.function(program, *callee),
        }
    }

    fn function(&mut self, program: &Program<'_>, id: FunctionId) {
        let known = if self.beside { &mut self.functions } else { &mut self.visited };
        if known.len() >= FUNCTIONS_MAX || known.contains(&id) {
            return;
        }
        let summary = program.summary(id);
        let name = program.models().conventions.bad_argument.as_str();
        let items: Vec<&Item> = summary.items.iter().filter(|item| !summary.rescues(item.scope, name)).collect();
        // A function that rescues all it does answers for itself.
        if items.is_empty() && !summary.items.is_empty() {
            return;
        }
        known.push(id);
        self.items(program, id, &items);
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::check;

    #[test]
    fn reports_a_conversion_under_the_rescue() {
        check(
            &RULE,
            r#"
#- /lib/status.ex
defmodule Status do
  def last(key, text) do
    last = :ets.lookup_element(:status, key, 2)
              # ^^^^^^^^^^^^^^ step: this is what the rescue is for
    last - String.to_integer(text)
         # ^^^^^^^^^^^^^^^^^ step: `String.to_integer` raises ArgumentError too
  rescue
    ArgumentError -> nil
  # ^^^^^^^^^^^^^ error: takes the ArgumentError of `String.to_integer` for the same
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_conversion_before_the_table() {
        check(
            &RULE,
            r#"
#- /lib/status.ex
defmodule Status do
  def last(key, text) do
    limit = String.to_integer(text)
    :ets.lookup_element(:status, key, 2) - limit
  rescue
    ArgumentError -> nil
  # ^^^^^^^^^^^^^ error: takes the ArgumentError of `String.to_integer` for the same
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_rescue_around_the_one_operation() {
        check(
            &RULE,
            r#"
#- /lib/status.ex
defmodule Status do
  def last(key, text) do
    limit = String.to_integer(text)
    with {:ok, last} <- fetch(key), do: last - limit
  end

  defp fetch(key) do
    {:ok, :ets.lookup_element(:status, key, 2)}
  rescue
    ArgumentError -> :error
  end
end
"#,
        );
    }

    #[test]
    fn reports_what_other_modules_raise() {
        check(
            &RULE,
            r#"
#- /lib/api.ex
defmodule Api do
  def serve(params) do
    last = Status.fetch(params["key"])
    {:ok, last, Offset.parse(params["offset"])}
  rescue
    ArgumentError -> :no_change
  # ^^^^^^^^^^^^^ error: takes the ArgumentError of `String.to_integer` for the same
  end
end
#- /lib/offset.ex
defmodule Offset do
  def parse(text), do: text |> String.split("_") |> Enum.map(&String.to_integer/1)
                                                             # ^^^^^^^^^^^^^^^^^ step: for a reason of its own
end
#- /lib/status.ex
defmodule Status do
  def fetch(key), do: :ets.lookup_element(:status, key, 2)
                         # ^^^^^^^^^^^^^^ step: this is what the rescue is for
end
"#,
        );
    }

    #[test]
    fn reports_an_exception_that_the_code_raises_itself() {
        check(
            &RULE,
            r#"
#- /lib/status.ex
defmodule Status do
  def hash(key) do
    fetch(key) || raise(ArgumentError, "unknown key")
  rescue
    ArgumentError -> nil
  # ^^^^^^^^^^^^^ error: takes the ArgumentError of `raise` for the same
  end

  defp fetch(key), do: :ets.lookup_element(:status, key, 2, nil)
end
"#,
        );
    }

    #[test]
    fn reports_a_whole_pipeline_of_functions() {
        check(
            &RULE,
            r#"
#- /lib/cache.ex
defmodule Cache do
  def get(key, from) do
    key |> lookup() |> decode() |> since(from)
  rescue
    ArgumentError -> []
  # ^^^^^^^^^^^^^ warning: stands around 3 functions
  end

  defp lookup(key), do: :ets.lookup_element(:cache, key, 2)
  defp decode(rows), do: for({at, row} <- rows, do: {at, Base.decode16!(row)})
  defp since(rows, from), do: Enum.filter(rows, fn {at, _} -> at > from end)
end
"#,
        );
    }

    #[test]
    fn reports_a_try_block() {
        check(
            &RULE,
            r#"
#- /lib/cache.ex
defmodule Cache do
  def put(name, key, value) do
    try do
      :ets.insert(:cache, {key, value})
      Registry.count(String.to_existing_atom(name))
    rescue
      ArgumentError -> false
    # ^^^^^^^^^^^^^ error: `String.to_existing_atom`
    end
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_conversion_that_makes_the_name() {
        check(
            &RULE,
            r#"
#- /lib/cache.ex
defmodule Cache do
  def put(name, key, value) do
    :ets.insert(String.to_existing_atom(name), {key, value})
  rescue
    ArgumentError -> false
  # ^^^^^^^^^^^^^ error: takes the ArgumentError of `String.to_existing_atom` for the same
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_handler_that_tells_somebody() {
        check(
            &RULE,
            r#"
#- /lib/cache.ex
defmodule Cache do
  def put(key, value, text) do
    :ets.insert(:cache, {key, value, String.to_integer(text)})
  rescue
    ArgumentError ->
      send(Cache.Owner, :table_gone)
      false
  end
end
"#,
        );
    }

    #[test]
    fn accepts_the_name_of_the_table_made_inside() {
        check(
            &RULE,
            r#"
#- /lib/status.ex
defmodule Status do
  def fetch(stack, key) do
    :ets.lookup_element(table(stack), key, 2)
  rescue
    ArgumentError -> nil
  end

  defp table(stack), do: :"status:#{stack}"
end
"#,
        );
    }

    #[test]
    fn accepts_several_operations_on_one_table() {
        check(
            &RULE,
            r#"
#- /lib/status.ex
defmodule Status do
  def clear(key) do
    :ets.delete(:status, key)
    :ets.delete(:status, {:meta, key})
  rescue
    ArgumentError -> :ok
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_rescue_that_looks_or_raises_again() {
        check(
            &RULE,
            r#"
#- /lib/status.ex
defmodule Status do
  def a(key, text) do
    :ets.lookup_element(:status, key, String.to_integer(text))
  rescue
    error in ArgumentError ->
      IO.puts(Exception.message(error))
      nil
  end

  def b(key, text) do
    :ets.lookup_element(:status, key, 2) - String.to_integer(text)
  rescue
    ArgumentError -> raise "no table, or no number"
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_rescue_without_a_table() {
        check(
            &RULE,
            r#"
#- /lib/parser.ex
defmodule Parser do
  def parse(text) do
    {:ok, String.to_integer(text)}
  rescue
    ArgumentError -> :error
  end

  def module(name) do
    String.to_existing_atom("Elixir." <> name)
  rescue
    ArgumentError -> nil
  end
end
"#,
        );
    }

    #[test]
    fn accepts_an_inner_rescue_of_its_own() {
        check(
            &RULE,
            r#"
#- /lib/status.ex
defmodule Status do
  def last(key, text) do
    :ets.lookup_element(:status, key, 2) - parse(text)
  rescue
    ArgumentError -> nil
  end

  defp parse(text) do
    String.to_integer(text)
  rescue
    ArgumentError -> 0
  end
end
"#,
        );
    }

    #[test]
    fn accepts_the_same_by_catch_around_one_call() {
        check(
            &RULE,
            r#"
#- /lib/status.ex
defmodule Status do
  def member?(key) do
    :ets.member(:status, key)
  catch
    :error, :badarg -> false
  end
end
"#,
        );
    }

    #[test]
    fn accepts_an_unregister_that_comes_late() {
        check(
            &RULE,
            r#"
#- /lib/names.ex
defmodule Names do
  def release(name) do
    Process.unregister(name)
  rescue
    ArgumentError -> true
  end

  def release(registry, key) do
    Registry.unregister(registry, key)
  rescue
    ArgumentError -> :ok
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_rescue_over_a_closure() {
        check(
            &RULE,
            r#"
#- /lib/status.ex
defmodule Status do
  def rows(keys, text) do
    Enum.map(keys, fn key -> :ets.lookup_element(:status, key, String.to_integer(text)) end)
  rescue
    ArgumentError -> []
  # ^^^^^^^^^^^^^ error: takes the ArgumentError of `String.to_integer` for the same
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_catch_of_all_errors() {
        check(
            &RULE,
            r#"
#- /lib/status.ex
defmodule Status do
  def last(key, text) do
    :ets.lookup_element(:status, key, 2) - String.to_integer(text)
  catch
    :error, :badarg -> nil
  # ^^^^^^^^^^^^^^^ missed: only `rescue` is looked at
  end
end
"#,
        );
    }

    #[test]
    fn reports_one_function_beside_the_table() {
        check(
            &RULE,
            r#"
#- /lib/status.ex
defmodule Status do
  def known?(key, comparable) do
    {:ok, :ets.lookup_element(:status, key, 2) == Shape.hash(comparable)}
  rescue
    ArgumentError -> :error
  # ^^^^^^^^^^^^^ warning: this rescue is for a table that may be gone, and stands around
  end
end
#- /lib/shape.ex
defmodule Shape do
  def hash(shape), do: shape |> Map.from_struct() |> :erlang.phash2()
end
"#,
        );
    }

    #[test]
    fn accepts_one_function_that_reaches_the_table() {
        check(
            &RULE,
            r#"
#- /lib/status.ex
defmodule Status do
  def fetch(key) do
    {:ok, lookup(key)}
  rescue
    ArgumentError -> :error
  end

  defp lookup(key), do: :ets.lookup_element(:status, key, 2)
end
"#,
        );
    }
}
