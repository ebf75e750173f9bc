//! # A row is written from what was read before
//!
//! ## What it reports
//!
//! A row of a named table is read, and then written again with a value made from what was read. Two processes that do so at the same time
//! read the same row, and the later write takes the earlier one back.
//!
//! ```elixir
//! defmodule Hits do
//!   def start, do: :ets.new(:hits, [:named_table, :public])
//!
//!   def count(page) do
//!     case :ets.lookup(:hits, page) do
//!       [] -> :ets.insert(:hits, {page, 1})
//!       [{^page, hits}] -> :ets.insert(:hits, {page, hits + 1})
//!     end
//!
//!     :ok
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! caller                        | another caller
//! ------------------------------|------------------------------
//! reads 7                       |
//!                               | reads 7
//!                               | writes 8
//! writes 8                      |
//! two hits, counted once        |
//! ```
//!
//! ## Instead
//!
//! Let the table do both as one step.
//!
//! ```elixir
//! defmodule Hits do
//!   def start, do: :ets.new(:hits, [:named_table, :public])
//!
//!   def count(page) do
//!     :ets.update_counter(:hits, page, {2, 1}, {page, 0})
//!     :ok
//!   end
//! end
//! ```
//!
//! What is no counter takes `:ets.select_replace/2` with the row that was read, in a loop, or one process that does all the writing.
//!
//! ## Not reported
//!
//! - Writes that do not depend on what was read: a value that is missing is put in, and either writer's is right.
//! - `insert_new`, `update_counter`, `select_replace`, `take`: they decide and act at once.
//! - Functions that one server's process alone runs, and what is done under a lock.
//! - Tables that are not public: their owner alone writes.
//! - Keys with the process's own pid in them: nobody else has that row.
//! - Tables without a name: who has them is not known.

use super::Rule;
use crate::counter::counted;
use crate::finding::{Finding, Severity, Tier};
use crate::rivals::may_run_twice;
use crate::story::{Story, effect_words, first_point, process_words};
use racefree_analysis::Program;
use racefree_analysis::summary::{FunctionId, ItemKind, ScopeKind};
use racefree_analysis::term::TermKind;
use racefree_analysis::value::{Deps, Shape, Value};
use racefree_analysis::walk::Event;
use racefree_models::EffectKind;
use racefree_syntax::{Symbol, symbol};
use rustc_hash::FxHashMap;

pub(super) static RULE: Rule = Rule {
    id: "ets_check_then_write",
    severity: Severity::Error,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/ets_check_then_write.md"),
    shared: "A row of a public table: any process may write it between a read and the write that follows from it.",
    primitive: "",
    check,
};

const READ: u64 = 1 << EffectKind::TableRead as u64;
const WRITE: u64 = 1 << EffectKind::TableWrite as u64;
const NEW: u64 = 1 << EffectKind::TableNew as u64;

/// Functions that the read may stand below: what comes back through more of them has become something else on the way.
const READ_WAY_MAX: usize = 2;
/// Functions that the write may stand below.
const WRITE_WAY_MAX: usize = 4;

/// Who does the same.
const RIVAL: &str = "another process";

/// Whether any process may write to the table of this name, as far as its creation is seen.
type Tables = FxHashMap<Symbol, bool>;

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    let mut tables = None;
    for (id, _) in program.functions() {
        if program.has_pair(program.summary(id), READ, WRITE) && !program.is_test(id) && may_run_twice(program, id) {
            let events = program.events(id, READ | WRITE);
            for (index, write) in events.iter().enumerate() {
                let before = events.get(..index).unwrap_or(&[]);
                let Some(read) = before.iter().rfind(|read| decides(program, id, read, write)) else { continue };
                let tables = tables.get_or_insert_with(|| tables_made(program));
                if let Some(tier) = tier(tables, read, write) {
                    findings.push(finding(program, id, tier, read, write));
                }
            }
        }
    }
}

/// The named tables that the program makes.
fn tables_made(program: &Program<'_>) -> Tables {
    let public = symbol(&program.models().conventions.public_option);
    let mut tables = Tables::default();
    for (id, _) in program.functions() {
        for item in &program.summary(id).items {
            let ItemKind::Effect(effect) = &item.kind else { continue };
            if effect.kind.bit() & NEW == 0 {
                continue;
            }
            let Some(TermKind::Atom(name)) = effect.target().map(|name| name.term.kind()) else { continue };
            let options = effect.model.options.and_then(|index| effect.args.get(index));
            let is_public = options.is_none_or(|options| may_hold(options, public));
            *tables.entry(*name).or_default() |= is_public;
        }
    }
    tables
}

/// Whether the atom is among the options, or they are not known.
fn may_hold(options: &Value, atom: Symbol) -> bool {
    options.alts.iter().any(|alt| match &alt.shape {
        Shape::List(element) => element.alts.iter().any(|alt| match alt.shape {
            Shape::Atom(known) => known == atom,
            Shape::Tuple(_) => false,
            _ => true,
        }),
        _ => true,
    })
}

/// Proven when the table is seen to be public and one function does both; nothing when the table's owner alone writes.
fn tier(tables: &Tables, read: &Event<'_>, write: &Event<'_>) -> Option<Tier> {
    let TermKind::Atom(name) = write.target()?.term.kind() else { return None };
    let is_direct = read.path.len() == 1 && write.path.len() == 1;
    match tables.get(name) {
        Some(false) => None,
        Some(true) if is_direct => Some(Tier::Certain),
        _ => Some(Tier::Likely),
    }
}

/// Whether `write` puts into the row that `read` saw what was made from it.
fn decides(program: &Program<'_>, id: FunctionId, read: &Event<'_>, write: &Event<'_>) -> bool {
    let is_row = read.effect.kind.bit() & READ != 0 && write.effect.kind.bit() & WRITE != 0;
    let (Some(key), Some(row), Some(table)) = (read.key(), write.message(), write.target()) else { return false };
    is_row
        && read.first_item() != write.first_item()
        && read.path.len() <= READ_WAY_MAX
        && write.path.len() <= WRITE_WAY_MAX
        && read.target().is_some_and(|read| read.term == table.term)
        && matches!(table.term.kind(), TermKind::Atom(_))
        && same_key(key, row)
        && [read, write].iter().all(|event| event.here(program) && !event.within(program, |kind| kind == ScopeKind::Locked))
        && read.compatible(write, program)
        // What tells whether it has written decides for itself.
        && !write.effect.model.observes
        && depends(program, id, read, write)
}

fn same_key(key: &Value, row: &Value) -> bool {
    let own = row.item(0).term;
    key.term == own && own.is_stable() && !own.any(&|kind| matches!(kind, TermKind::SelfPid))
}

/// Whether the row, its key left out, is made from what the read gave. Dependencies are numbered for each function: what a callee
/// writes is followed up to the arguments that it was given.
fn depends(program: &Program<'_>, id: FunctionId, read: &Event<'_>, write: &Event<'_>) -> bool {
    let Some(observed) = program.summary(id).items.get(read.first_item()).map(|item| item.observation) else { return false };
    let Some(row) = write.effect.message() else { return false };
    let Some(parts) = row.alts.iter().find_map(|alt| match &alt.shape {
        Shape::Tuple(parts) => parts.get(1..),
        _ => None,
    }) else {
        return false;
    };
    let mut made_of: Vec<Value> = parts.to_vec();
    for (function, index) in write.functions.iter().zip(&write.path).rev().skip(1) {
        let Some(ItemKind::Call { args, .. }) = program.summary(*function).items.get(*index as usize).map(|item| &item.kind) else {
            return false;
        };
        let mut params = Vec::new();
        made_of.iter().for_each(|part| part.gather_params(&mut params));
        made_of = params.into_iter().filter_map(|param| args.get(param as usize).cloned()).collect();
    }
    observed != Deps::default() && made_of.iter().any(|part| part.all_deps().has(observed) && is_made(part))
}

/// Whether the part is something new: what was read, written back as it was, changes nothing.
fn is_made(part: &Value) -> bool {
    !matches!(part.term.kind(), TermKind::Item(..) | TermKind::Element(_) | TermKind::Field(..))
}

fn finding(program: &Program<'_>, id: FunctionId, tier: Tier, read: &Event<'_>, write: &Event<'_>) -> Finding {
    let caller = process_words(program, id);
    let words = (effect_words(read.effect), effect_words(write.effect));
    let message = format!("{} writes what was made from an earlier {}: what another process writes in between is lost", words.1, words.0);
    Story::new(program, &RULE, tier, id, first_point(program, write), message)
        .way(&caller, read)
        .step(caller.clone(), read.place(program), format!("{} reads the row", words.0))
        .step(RIVAL, read.place(program), "reads the same row")
        .step(RIVAL, write.place(program), "writes what it made of it")
        .way(&caller, write)
        .step(caller.clone(), write.place(program), format!("{} writes what it made of the old row", words.1))
        .harm("One of the two changes is lost: the row says that it never happened.")
        .help("Let the table do both as one step (`update_counter`, `select_replace`), or one process do all the writing.")
        .sketches(counted(program, id, read, write))
        .done()
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::{check, fixes};

    #[test]
    fn reports_a_counter_by_hand() {
        check(
            &RULE,
            r#"
#- /lib/hits.ex
defmodule Hits do
  def start, do: :ets.new(:hits, [:named_table, :public, read_concurrency: true])

  def count(page) do
    [{^page, hits}] = :ets.lookup(:hits, page)
                         # ^^^^^^ step: reads the row
    :ets.insert(:hits, {page, hits + 1})
       # ^^^^^^ error: what another process writes in between is lost
       # ^^^^^^ step: writes what it made of the old row
  end
end
"#,
        );
    }

    #[test]
    fn accepts_the_counter_of_the_table() {
        check(
            &RULE,
            r#"
#- /lib/hits.ex
defmodule Hits do
  def start, do: :ets.new(:hits, [:named_table, :public])
  def count(page), do: :ets.update_counter(:hits, page, {2, 1}, {page, 0})

  def claim(page) do
    seen = :ets.lookup(:hits, page)
    :ets.insert_new(:hits, {page, length(seen)})
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_read_and_a_write_in_modules_of_their_own() {
        check(
            &RULE,
            r#"
#- /lib/rooms.ex
defmodule Rooms do
  def join(room, pid) do
    members = Rooms.Table.members(room)
    Rooms.Table.put(room, [pid | members])
              # ^^^ warning: what another process writes in between is lost
  end
end
#- /lib/rooms/table.ex
defmodule Rooms.Table do
  def members(room), do: :ets.lookup_element(:rooms, room, 2, [])
  def put(room, members), do: :ets.insert(:rooms, {room, members})
                                 # ^^^^^^ step: writes what it made of the old row
end
"#,
        );
    }

    #[test]
    fn reports_a_task_and_a_process_of_many() {
        check(
            &RULE,
            r#"
#- /lib/page_live.ex
defmodule PageLive do
  use Phoenix.LiveView

  def mount(_params, _session, socket) do
    views = :ets.lookup_element(:views, :page, 2, 0)
    :ets.insert(:views, {:page, views + 1})
       # ^^^^^^ warning: what another process writes in between is lost
    {:ok, socket}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_the_only_writer() {
        check(
            &RULE,
            r#"
#- /lib/hits.ex
defmodule Hits do
  use GenServer
  def init(_), do: {:ok, :ets.new(:hits, [:named_table, :public])}

  def handle_cast({:count, page}, table) do
    hits = :ets.lookup_element(:hits, page, 2, 0)
    :ets.insert(:hits, {page, hits + 1})
    {:noreply, table}
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_table_that_its_owner_alone_writes() {
        check(
            &RULE,
            r#"
#- /lib/words.ex
defmodule Words do
  def count(words) do
    :ets.new(:words, [:named_table, :set])
    Enum.each(words, &add/1)
  end

  def add(word) do
    count = :ets.lookup_element(:words, word, 2, 0)
    :ets.insert(:words, {word, count + 1})
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_row_of_its_own_and_a_lock() {
        check(
            &RULE,
            r#"
#- /lib/hits.ex
defmodule Hits do
  def mine do
    hits = :ets.lookup_element(:hits, self(), 2, 0)
    :ets.insert(:hits, {self(), hits + 1})
  end

  def locked(page) do
    :global.trans({{:hits, page}, self()}, fn ->
      hits = :ets.lookup_element(:hits, page, 2, 0)
      :ets.insert(:hits, {page, hits + 1})
    end)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_values_that_do_not_come_from_the_row() {
        check(
            &RULE,
            r#"
#- /lib/cache.ex
defmodule Cache do
  def fetch(key, fun) do
    case :ets.lookup(:cache, key) do
      [{^key, value}] ->
        value

      [] ->
        value = fun.()
        :ets.insert(:cache, {key, value})
        value
    end
  end

  def rename(old, new) do
    name = :ets.lookup_element(:names, old, 2)
    :ets.insert(:names, {new, name <> "!"})
  end
end
"#,
        );
    }

    #[test]
    fn fixes_a_counter_by_hand() {
        let counted = |body: &str| format!("defmodule Hits do\n  def count(page) do\n{body}\n    :ok\n  end\nend\n");
        let by_hand = r#"    case :ets.lookup(:hits, page) do
      [] -> :ets.insert(:hits, {page, 5})
      [{^page, hits}] -> :ets.insert(:hits, {page, hits + 2})
    end
"#;
        fixes(&RULE, &counted(by_hand), &counted("    :ets.update_counter(:hits, page, {2, 2}, {page, 3})\n"));
    }

    #[test]
    fn leaves_alone_what_is_more_than_a_counter() {
        for (first, next) in [("5", "hits * 2"), ("page", "hits + 1"), ("5", "hits + page")] {
            let text = format!(
                "defmodule Hits do\n  def count(page) do\n    case :ets.lookup(:hits, page) do\n      [] -> :ets.insert(:hits, {{page, {first}}})\n      \
                 [{{^page, hits}}] -> :ets.insert(:hits, {{page, {next}}})\n    end\n  end\nend\n"
            );
            fixes(&RULE, &text, &text);
        }
    }
}
