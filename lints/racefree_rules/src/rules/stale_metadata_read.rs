//! # Old metadata decides where to read
//!
//! ## What it reports
//!
//! A reader takes metadata from a table, and by it decides which part of the data to read from memory. A writer moves the data to a
//! file, publishes new metadata and then clears the memory. When the writer runs between the reader's two steps, the reader looks where
//! the data no longer is, and takes the empty answer for the truth.
//!
//! ```elixir
//! defmodule Storage do
//!   def read(from) do
//!     last = :ets.lookup_element(:meta, :persisted, 2)
//!
//!     if from >= last do
//!       :ets.select(:buffer, [{{:"$1", :"$2"}, [{:>, :"$1", last}], [:"$2"]}])
//!     else
//!       File.read!("log")
//!     end
//!   end
//!
//!   def flush(position) do
//!     File.write!("log", inspect(:ets.tab2list(:buffer)))
//!     :ets.insert(:meta, {:persisted, position})
//!     :ets.delete_all_objects(:buffer)
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! reader                        | writer
//! ------------------------------|------------------------------
//! reads: persisted up to 10     |
//! decides for the memory        |
//!                               | writes 11..20 to the file
//!                               | publishes: persisted up to 20
//!                               | clears the memory
//! reads (10, 20] from memory: []|
//! ```
//!
//! The data exists, and the reader says there is none. No error is raised.
//!
//! ## Instead
//!
//! Check again: after reading from memory, see whether the metadata still says the same. The writer publishes before it clears, so an
//! unchanged position means that nothing was cleared before the read.
//!
//! ```elixir
//! defmodule Storage do
//!   def read(from) do
//!     last = :ets.lookup_element(:meta, :persisted, 2)
//!     rows = :ets.select(:buffer, [{{:"$1", :"$2"}, [{:>, :"$1", max(from, last)}], [:"$2"]}])
//!
//!     case :ets.lookup_element(:meta, :persisted, 2) do
//!       ^last -> {File.read!("log"), rows}
//!       _moved -> read(from)
//!     end
//!   end
//!
//!   def flush(position) do
//!     File.write!("log", inspect(:ets.tab2list(:buffer)))
//!     :ets.insert(:meta, {:persisted, position})
//!     :ets.delete_all_objects(:buffer)
//!   end
//! end
//! ```
//!
//! Three repairs are known: check again; clear only when no reader can hold the old metadata; publish the metadata and the data as one
//! value that is replaced whole, so that a reader sees the old pair or the new one.
//!
//! ## Not reported
//!
//! - A short answer that is noticed: what was read decides about another read.
//! - Data that no writer clears, writers that clear before they publish, and writers that clear without having written the data elsewhere.
//! - A reader and a writer that one process runs.
//! - Reads that do not depend on what the metadata said.
//! - Two reads of one table.

use super::Rule;
use crate::finding::{Finding, Place, Severity, Tier};
use crate::story::{Story, effect_words, process_words};
use crate::tables::same_table;
use racefree_analysis::Program;
use racefree_analysis::summary::{FunctionId, Item, ItemKind, ModuleId, Summary};
use racefree_analysis::term::TermKind;
use racefree_analysis::value::{Deps, Value};
use racefree_analysis::walk::Event;
use racefree_models::EffectKind;

pub static RULE: Rule = Rule {
    id: "stale_metadata_read",
    severity: Severity::Error,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/stale_metadata_read.md"),
    shared: "Data in two places, and the metadata that tells which of them to read.",
    primitive: "`Racefree.Log.read/4`: memory and files are one view, and an empty answer means that nothing was committed in the range.",
    check,
};

const READ: u64 = 1 << EffectKind::TableRead as u64;
const WRITE: u64 = 1 << EffectKind::TableWrite as u64;
const CLEAR: u64 = 1 << EffectKind::TableClear as u64 | 1 << EffectKind::TableDrop as u64;
const MOVE: u64 = 1 << EffectKind::FileWrite as u64;
const ANY_READ: u64 = READ | 1 << EffectKind::FileRead as u64;

/// A writer that moves the data to a file, makes the metadata point there, and then clears the copy in memory.
struct Rival<'s> {
    function: FunctionId,
    metadata: Event<'s>,
    clear: Event<'s>,
}

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    let rivals = rivals(program);
    if rivals.is_empty() {
        return;
    }
    for (id, _) in program.functions() {
        let summary = program.summary(id);
        if summary.reach & READ != 0 {
            check_function(program, id, summary, &rivals, findings);
        }
    }
}

/// Functions in which a file is written, then a table, and then another table is cleared: each counts once, where the two last meet.
fn rivals<'s>(program: &'s Program<'_>) -> Vec<Rival<'s>> {
    let mut found = Vec::new();
    for (id, _) in program.functions() {
        if !program.has_pair(program.summary(id), WRITE, CLEAR) || program.is_test(id) {
            continue;
        }
        let events = program.events(id, MOVE | WRITE | CLEAR);
        for (index, clear) in events.iter().enumerate().filter(|(_, event)| event.effect.kind.bit() & CLEAR != 0) {
            let before = events.get(..index).unwrap_or(&[]);
            let Some(moved) = before.iter().position(|event| event.effect.kind.bit() & MOVE != 0) else { continue };
            let metadata = before.iter().skip(moved).rev().find(|event| {
                event.effect.kind.bit() & WRITE != 0
                    && event.first_item() != clear.first_item()
                    && event.compatible(clear, program)
                    && !same_table(event.target(), clear.target())
            });
            if let Some(metadata) = metadata {
                found.push(Rival { function: id, metadata: metadata.clone(), clear: clear.clone() });
            }
        }
    }
    found
}

/// Reads whose place or bounds were decided by an earlier read of a table that a rival moves first.
fn check_function(program: &Program<'_>, id: FunctionId, summary: &Summary, rivals: &[Rival<'_>], findings: &mut Vec<Finding>) {
    let mut reported: Vec<usize> = Vec::new();
    for (index, metadata) in summary.items.iter().enumerate() {
        if program.item_reach(metadata) & READ == 0 || metadata.observation == Deps::default() {
            continue;
        }
        for (offset, data) in summary.items.iter().enumerate().skip(index + 1) {
            let depends = item_args(data).iter().any(|arg| arg.all_deps().has(metadata.observation));
            let fits = program.item_reach(data) & READ != 0
                && data.clause == metadata.clause
                && summary.compatible(metadata.arm, data.arm)
                && depends
                && data.control.has(metadata.observation);
            if fits
                && !reported.contains(&offset)
                && !is_checked(program, summary, offset, data)
                && !is_read_again(program, id, summary, index, (offset, data))
                && let Some(finding) = against(program, id, (index, metadata), (offset, data), rivals)
            {
                reported.push(offset);
                findings.push(finding);
            }
        }
    }
}

fn item_args(item: &Item) -> &[Value] {
    match &item.kind {
        ItemKind::Effect(effect) => &effect.args,
        ItemKind::Call { args, .. } => args,
        ItemKind::Foreign { args, .. } => args,
    }
}

/// Whether what was read decides about another read: a short answer is noticed, and looked for where it went.
fn is_checked(program: &Program<'_>, summary: &Summary, offset: usize, data: &Item) -> bool {
    data.observation != Deps::default()
        && summary
            .items
            .iter()
            .skip(offset + 1)
            .any(|later| later.control.has(data.observation) && program.item_reach(later) & ANY_READ != 0)
}

/// Whether the metadata is read once more after the data, and looked at: a writer that came in between is noticed.
fn is_read_again(program: &Program<'_>, id: FunctionId, summary: &Summary, metadata: usize, data: (usize, &Item)) -> bool {
    let later = summary.items.iter().enumerate().skip(data.0 + 1);
    let again = later.filter(|(_, item)| {
        item.clause == data.1.clause && summary.compatible(item.arm, data.1.arm) && program.item_reach(item) & READ != 0
    });
    let positions: Vec<usize> = again.map(|(position, _)| position).collect();
    if positions.is_empty() {
        return false;
    }
    let events = program.events(id, READ);
    let first = events.iter().find(|event| event.first_item() == metadata);
    first.is_some_and(|first| {
        let mut after = events.iter().filter(|event| positions.contains(&event.first_item()));
        after.any(|event| {
            same_table(event.target(), first.target()) && event.compatible(first, program) && decides(summary, event.first_item())
        })
    })
}

/// Whether something depends on what this item observed: a later step, or which value is returned.
fn decides(summary: &Summary, index: usize) -> bool {
    let Some(item) = summary.items.get(index).filter(|item| item.observation != Deps::default()) else { return false };
    let later = summary.items.iter().skip(index + 1).any(|later| later.control.has(item.observation));
    later || summary.clauses.get(item.clause as usize).is_some_and(|clause| clause.returns.deps.has(item.observation))
}

fn against(program: &Program<'_>, id: FunctionId, metadata: (usize, &Item), data: (usize, &Item), rivals: &[Rival<'_>]) -> Option<Finding> {
    let events = program.events(id, READ);
    let under = |index: usize| events.iter().filter(move |event| event.first_item() == index);
    for rival in rivals.iter().filter(|rival| rival.function != id && !program.serialised(rival.function, id)) {
        let Some(read_first) = under(metadata.0).find(|event| same_table(event.target(), rival.metadata.target())) else { continue };
        let Some(read_then) = under(data.0).find(|event| may_be_same_data(program, event, &rival.clear, read_first)) else { continue };
        return Some(finding(program, id, (metadata.1, read_first), (data.1, read_then), rival));
    }
    None
}

/// Whether the table read may be the one the rival clears: the same key, or two tables without a name in one family of modules,
/// where the reader got its table from the metadata.
fn may_be_same_data(program: &Program<'_>, read: &Event<'_>, clear: &Event<'_>, metadata: &Event<'_>) -> bool {
    if same_table(read.target(), metadata.target()) {
        return false;
    }
    if same_table(read.target(), clear.target()) {
        return true;
    }
    let (Some(reads), Some(clears)) = (read.target(), clear.target()) else { return false };
    let unnamed = |value: &Value| !matches!(value.term.kind(), TermKind::Atom(_) | TermKind::Join(..) | TermKind::Apply { .. });
    unnamed(reads) && unnamed(clears) && reads.origin().is_some() && same_family(program, read.function(), clear.function())
}

/// One module, or modules nested in one another.
fn same_family(program: &Program<'_>, a: FunctionId, b: FunctionId) -> bool {
    let name = |id: FunctionId| -> &'static str { program.module_name(ModuleId(program.function(id).module.0)).as_str() };
    let (a, b) = (name(a), name(b));
    let within = |inner: &str, outer: &str| inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    within(a, b) || within(b, a)
}

fn finding(program: &Program<'_>, id: FunctionId, metadata: (&Item, &Event<'_>), data: (&Item, &Event<'_>), rival: &Rival<'_>) -> Finding {
    let reader = process_words(program, id);
    let writer = match process_words(program, rival.function) {
        same if same == reader => "writer".to_string(),
        other => other,
    };
    let at = |item: &Item| -> Place { program.place(id, item.name_span) };
    let message = "where to read was decided by metadata that may be old by now: a flush in between moves the data and clears this table";
    Story::new(program, &RULE, Tier::Certain, id, at(data.0), message.to_string())
        .step(
            reader.clone(),
            metadata.1.place(program),
            format!("{} reads the metadata: the data is in memory", effect_words(metadata.1.effect)),
        )
        .step(reader.clone(), at(metadata.0), "keeps it")
        .step(
            writer.clone(),
            rival.metadata.place(program),
            format!("{} publishes new metadata: the data is elsewhere", effect_words(rival.metadata.effect)),
        )
        .step(writer, rival.clear.place(program), format!("{} clears the data in memory", effect_words(rival.clear.effect)))
        .step(reader.clone(), at(data.0), "reads by the old metadata")
        .step(reader, data.1.place(program), "finds nothing, or a part, and takes it for all there is")
        .harm("Data that exists is not seen: the reader gets a short or empty answer without an error.")
        .help(
            "Check the answer against what the metadata promised and read again, or keep the data until no reader holds the old metadata.",
        )
        .done()
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::check;

    #[test]
    fn reports_a_range_that_was_decided_before() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  def read(key, from) do
    last = :ets.lookup_element(:meta, key, 2)
              # ^^^^^^^^^^^^^^ step: the data is in memory
    if from >= last, do: :ets.lookup(:buffer, {key, last}), else: :on_disk
                            # ^^^^^^ error: where to read was decided by metadata that may be old by now
                            # ^^^^^^ step: reads by the old metadata
  end

  def flush(key, last) do
    File.write!("log", inspect(:ets.tab2list(:buffer)))
    :ets.insert(:meta, {key, last})
       # ^^^^^^ step: publishes new metadata: the data is elsewhere
    :ets.delete_all_objects(:buffer)
       # ^^^^^^^^^^^^^^^^^^ step: clears the data in memory
  end
end
"#,
        );
    }

    #[test]
    fn accepts_metadata_that_is_read_again() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  def read(key, from) do
    last = :ets.lookup_element(:meta, key, 2)
    rows = if from >= last, do: :ets.lookup(:buffer, {key, last}), else: []
    if rows == [], do: File.read!("log"), else: rows
  end

  def flush(key, last) do
    File.write!("log", inspect(:ets.tab2list(:buffer)))
    :ets.insert(:meta, {key, last})
    :ets.delete_all_objects(:buffer)
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_writer_in_another_module() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  def read(key, from) do
    {last, seen} = meta(key)
    if last < from and from <= seen, do: rows(last, seen), else: File.read!("log")
                                       # ^^^^ error: a flush in between moves the data
  end

  def meta(key), do: :ets.lookup_element(:meta, key, 2)
  def rows(from, upto), do: :ets.select(:buffer, [{{:"$1", :"$2"}, [{:>, :"$1", from}, {:"=<", :"$1", upto}], [:"$2"]}])
end
#- /lib/storage/writer.ex
defmodule Storage.Writer do
  use GenServer
  def init(state), do: {:ok, state}

  def handle_cast({:flush, upto}, {file, key}) do
    :ok = :file.write(file, rows(key, upto))
    publish(key, upto)
    :ets.match_delete(:buffer, :_)
    {:noreply, {file, key}}
  end

  defp rows(key, upto), do: :ets.lookup(:buffer, {key, upto})
  defp publish(key, upto), do: :ets.update_element(:meta, key, {2, {upto, upto}})
end
"#,
        );
    }

    #[test]
    fn reports_a_buffer_named_by_the_metadata() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  def read(key, from) do
    [{_, buffer, last}] = :ets.lookup(:meta, key)
    if from >= last, do: :ets.select(buffer, [{{:"$1", :"$2"}, [{:>, :"$1", last}], [:"$2"]}]), else: []
                            # ^^^^^^ error: where to read was decided by metadata
  end

  def flush(%{buffer: buffer} = state, last) do
    :ok = :file.write(state.file, :ets.tab2list(buffer))
    :ets.insert(:meta, {state.key, buffer, last})
    :ets.delete_all_objects(buffer)
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_buffer_dropped_whole() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  def read(key, from) do
    case :ets.lookup_element(:meta, key, 2) do
      last when from >= last -> :ets.lookup(:buffer, last)
                                   # ^^^^^^ error: where to read was decided by metadata
      _ -> :on_disk
    end
  end

  def close(key, last) do
    File.write!("log", inspect(:ets.tab2list(:buffer)))
    :ets.insert(:meta, {key, last})
    :ets.delete(:buffer)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_short_answer_that_is_noticed() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  def read(key, from) do
    last = :ets.lookup_element(:meta, key, 2)

    if from >= last do
      case :ets.lookup(:buffer, {key, last}) do
        [] -> File.read!("log")
        rows -> rows
      end
    end
  end

  def flush(key, last) do
    File.write!("log", inspect(:ets.tab2list(:buffer)))
    :ets.insert(:meta, {key, last})
    :ets.delete_all_objects(:buffer)
  end
end
"#,
        );
    }

    /// The writer publishes before it clears: unchanged metadata means that nothing was cleared.
    #[test]
    fn accepts_metadata_compared_after_the_read() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  def read(key, from) do
    last = :ets.lookup_element(:meta, key, 2)

    if from >= last do
      rows = :ets.lookup(:buffer, {key, last})
      if :ets.lookup_element(:meta, key, 2) == last, do: rows, else: read(key, from)
    end
  end

  def flush(key, last) do
    File.write!("log", inspect(:ets.tab2list(:buffer)))
    :ets.insert(:meta, {key, last})
    :ets.delete_all_objects(:buffer)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_buffer_that_nobody_clears() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  def read(key, from) do
    last = :ets.lookup_element(:meta, key, 2)
    if from >= last, do: :ets.lookup(:buffer, {key, last}), else: []
  end

  def flush(key, last) do
    :ets.insert(:meta, {key, last})
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_writer_that_clears_first() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  def read(key, from) do
    last = :ets.lookup_element(:meta, key, 2)
    if from >= last, do: :ets.lookup(:buffer, {key, last}), else: []
  end

  def reset(key, rows) do
    :ets.delete_all_objects(:buffer)
    File.write!("log", rows)
    :ets.insert(:meta, {key, 0})
  end
end
"#,
        );
    }

    #[test]
    fn accepts_reads_that_do_not_depend() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  def read(key) do
    last = :ets.lookup_element(:meta, key, 2)
    {last, :ets.tab2list(:buffer)}
  end

  def flush(key, last) do
    File.write!("log", inspect(:ets.tab2list(:buffer)))
    :ets.insert(:meta, {key, last})
    :ets.delete_all_objects(:buffer)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_another_table_than_the_one_cleared() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  def read(key, from) do
    last = :ets.lookup_element(:meta, key, 2)
    if from >= last, do: :ets.lookup(:names, {key, last}), else: []
  end

  def flush(key, last) do
    File.write!("log", inspect(:ets.tab2list(:buffer)))
    :ets.insert(:meta, {key, last})
    :ets.delete_all_objects(:buffer)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_reader_and_writer_in_one_server() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  use GenServer
  def init(key), do: {:ok, key}

  def handle_call({:read, from}, _from, key) do
    last = :ets.lookup_element(:meta, key, 2)
    rows = if from >= last, do: :ets.lookup(:buffer, {key, last}), else: []
    {:reply, rows, key}
  end

  def handle_cast({:flush, last}, key) do
    File.write!("log", inspect(:ets.tab2list(:buffer)))
    :ets.insert(:meta, {key, last})
    :ets.delete_all_objects(:buffer)
    {:noreply, key}
  end
end
"#,
        );
    }

    /// Nothing was moved: what is cleared is gone, and an empty answer is true.
    #[test]
    fn accepts_a_writer_that_forgets_on_purpose() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  def read(key, from) do
    last = :ets.lookup_element(:meta, key, 2)
    if from >= last, do: :ets.lookup(:buffer, {key, last}), else: []
  end

  def reset(key) do
    :ets.insert(:meta, {key, 0})
    :ets.delete_all_objects(:buffer)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_two_reads_of_one_table() {
        check(
            &RULE,
            r#"
#- /lib/storage.ex
defmodule Storage do
  def read(key) do
    other = :ets.lookup_element(:meta, key, 2)
    if other != key, do: :ets.lookup(:meta, other), else: []
  end

  def flush(key, last) do
    File.write!("log", inspect(:ets.tab2list(:buffer)))
    :ets.insert(:meta, {key, last})
    :ets.delete_all_objects(:buffer)
  end
end
"#,
        );
    }
}
