//! # Data is announced, and nobody looked whether it was written
//!
//! ## What it reports
//!
//! A function writes to a file or syncs it, throws the result away, and then publishes: it writes the new position to a table, or
//! clears the copy in memory. `:file.write`, `:file.datasync`, `IO.binwrite` and their like fail by a value, `{:error, :enospc}` for
//! instance, and the code goes on as if all were well. The finding is certain where the code syncs, since it then promises that the
//! data is on disk.
//!
//! ```elixir
//! defmodule Log do
//!   def flush(file, buffer, position) do
//!     :file.write(file, :ets.tab2list(buffer))
//!     :file.datasync(file)
//!     :ets.insert(:positions, {:persisted, position})
//!     :ets.delete_all_objects(buffer)
//!   end
//! end
//! ```
//!
//! ## Losing schedule
//!
//! ```text
//! writer                        | reader
//! ------------------------------|------------------------------
//! writes: {:error, :enospc}     |
//! publishes the new position    |
//! clears the copy in memory     |
//!                               | reads the position: on disk
//!                               | reads the file: nothing there
//! ```
//!
//! ## Instead
//!
//! Look at each result before anything is published. A match that crashes keeps the old state, which is true; an error value lets the
//! caller stop or retry.
//!
//! ```elixir
//! defmodule Log do
//!   def flush(file, buffer, position) do
//!     with :ok <- :file.write(file, :ets.tab2list(buffer)),
//!          :ok <- :file.datasync(file) do
//!       :ets.insert(:positions, {:persisted, position})
//!       :ets.delete_all_objects(buffer)
//!       :ok
//!     end
//!   end
//! end
//! ```
//!
//! ## Not reported
//!
//! - Results that are matched, piped, returned or bound, also to `_`: somebody has seen that there is a result.
//! - The bang variants: they raise.
//! - Writes after which nothing is published in the same function: a log line, a report.
//! - Writes to a named device such as `:stdio`.
//! - A publication in the caller of the function that writes: the rule looks at one function and what it calls after the write.

use super::Rule;
use crate::finding::{Finding, Safety, Severity, Tier};
use crate::fixes::{before, fix, statement};
use crate::story::{Story, effect_words, point, process_words};
use racefree_analysis::Program;
use racefree_analysis::summary::{Effect, FunctionId, Item, ItemKind, Summary, Usage};
use racefree_analysis::term::TermKind;
use racefree_analysis::value::Value;
use racefree_models::{EffectKind, Returns};

pub static RULE: Rule = Rule {
    id: "unchecked_io_before_publish",
    severity: Severity::Error,
    since: "0.1.0",
    doc: include_str!("../../../../priv/rules/unchecked_io_before_publish.md"),
    shared: "Data on its way to disk, and the position that tells readers it has arrived.",
    primitive: "`Racefree.Store`: `durable_lsn` moves only after the sync returned ok, and a failed write stops the store.",
    check,
};

/// Effects that tell others that the data is there, or take away the copy they had.
const PUBLISHES: u64 = 1 << EffectKind::TableWrite as u64
    | 1 << EffectKind::TableClear as u64
    | 1 << EffectKind::TableDelete as u64
    | 1 << EffectKind::StoreWrite as u64;

fn check(program: &Program<'_>, findings: &mut Vec<Finding>) {
    for (id, _) in program.functions() {
        let summary = program.summary(id);
        let mut reported = false;
        for (index, item) in summary.items.iter().enumerate() {
            if let ItemKind::Effect(effect) = &item.kind
                && !reported
                && is_unchecked(item, effect)
                && let Some(finding) = finding(program, id, summary, index, item, effect)
            {
                reported = true;
                findings.push(finding);
            }
        }
    }
}

/// A write to a file, or a sync, whose error value falls to the ground. What goes to a terminal or a log device is no data.
fn is_unchecked(item: &Item, effect: &Effect) -> bool {
    let fails_by_value = effect.model.raises.is_empty() && effect.model.returns != racefree_models::Returns::Any;
    let device = effect.target().is_some_and(|target| matches!(target.term.kind(), TermKind::Atom(_)));
    matches!(effect.kind, EffectKind::FileWrite | EffectKind::FileSync) && fails_by_value && item.usage == Usage::Discarded && !device
}

/// Whether both are about the same thing: some part of one parameter, the writer's state say, goes into both.
fn share_a_parameter(a: &Item, b: &Item) -> bool {
    let params = |item: &Item| -> Vec<u32> {
        let mut found = Vec::new();
        args(item).iter().for_each(|arg| arg.gather_params(&mut found));
        found
    };
    let left = params(a);
    params(b).iter().any(|param| left.contains(param))
}

/// Whether the plain atom is what it gives when all went well.
fn answers_ok(effect: &Effect) -> bool {
    let ok = |returns: &Returns| matches!(returns, Returns::Atom(name) if name.as_str() == "ok");
    match &effect.model.returns {
        Returns::Union(parts) => parts.iter().any(ok),
        single => ok(single),
    }
}

fn args(item: &Item) -> &[Value] {
    match &item.kind {
        ItemKind::Effect(effect) => &effect.args,
        ItemKind::Call { args, .. } => args,
        ItemKind::Foreign { args, .. } => args,
    }
}

fn finding(program: &Program<'_>, id: FunctionId, summary: &Summary, index: usize, item: &Item, effect: &Effect) -> Option<Finding> {
    // Who syncs means the data to last; a file named on the spot may have nothing to do with what is published.
    let synced = summary
        .items
        .iter()
        .any(|other| other.clause == item.clause && matches!(&other.kind, ItemKind::Effect(effect) if effect.kind == EffectKind::FileSync));
    let by_name = effect.target().is_some_and(|target| matches!(target.term.kind(), TermKind::Text(_)));
    let related = synced || !by_name;
    let publish = summary.items.iter().skip(index + 1).find(|later| {
        program.item_reach(later) & PUBLISHES != 0
            && later.clause == item.clause
            && summary.compatible(item.arm, later.arm)
            && (related || share_a_parameter(item, later))
    })?;
    let tier = match (synced, effect.model.whole_file) {
        (true, _) => Tier::Certain,
        (false, false) => Tier::Likely,
        // A whole file written on the side, without a sync, promises little.
        (false, true) => Tier::Audit,
    };
    let place = point(program, id, item);
    let writer = process_words(program, id);
    let call = effect_words(effect);
    let message = format!("the result of {call} is thrown away, and the data is published as if it were written");
    Some(
        Story::new(program, &RULE, tier, id, place, message)
            .step(writer.clone(), place, format!("{call} gives {{:error, reason}}: the disk is full, or the device fails"))
            .step(writer.clone(), point(program, id, publish), "publishes the new state, or clears the copy in memory")
            .event("reader", "trusts the published state, and finds nothing behind it")
            .harm("Data that readers were told of exists neither in memory nor on disk.")
            .help("Match the result (`:ok = …`) before anything is published: a crash keeps the old state, which is true.")
            .fixes(answers_ok(effect).then(|| statement(program, id, item.span)).flatten().map(|statement| {
                let title = "Crash rather than go on when this fails";
                fix(title, Safety::Unsafe, before(program.place(id, statement)), ":ok = ")
            }))
            .done(),
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::tests::{check, fixes};

    #[test]
    fn the_result_is_matched() {
        let with = |matched: &str| {
            format!(
                "defmodule Log do\n  def flush(file, data) do\n    {matched}file |> :file.write(data)\n    :ok = :file.datasync(file)\n    :ets.insert(:positions, {{file, data}})\n  end\nend\n"
            )
        };
        fixes(&RULE, &with(""), &with(":ok = "));
    }

    #[test]
    fn reports_a_write_and_sync_before_the_position() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def flush(file, data, position) do
    :file.write(file, data)
        # ^^^^^ error: the result of :file.write is thrown away
        # ^^^^^ step: gives {:error, reason}: the disk is full
    :file.datasync(file)
    :ets.insert(:positions, {:persisted, position})
       # ^^^^^^ step: publishes the new state
  end
end
"#,
        );
    }

    #[test]
    fn accepts_results_that_are_matched() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def flush(file, data, position) do
    :ok = :file.write(file, data)
    :ok = :file.datasync(file)
    :ets.insert(:positions, {:persisted, position})
  end

  def append(file, data, position) do
    with :ok <- :file.write(file, data), :ok <- :file.datasync(file) do
      :ets.insert(:positions, {:persisted, position})
      :ok
    end
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_publication_in_another_module() {
        check(
            &RULE,
            r#"
#- /lib/writer.ex
defmodule Writer do
  def flush(state) do
    IO.binwrite(state.file, state.buffer)
     # ^^^^^^^^ warning: the result of IO.binwrite is thrown away
    Positions.publish(state.offset)
            # ^^^^^^^ step: publishes the new state, or clears the copy
    %{state | buffer: []}
  end
end
#- /lib/positions.ex
defmodule Positions do
  def publish(offset), do: :ets.insert(:positions, {:persisted, offset})
end
"#,
        );
    }

    #[test]
    fn reports_a_sync_alone() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def flush(file, data, buffer) do
    :ok = :file.write(file, data)
    :file.sync(file)
        # ^^^^ error: the result of :file.sync is thrown away
    :ets.delete_all_objects(buffer)
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_result_bound_to_an_ignored_name() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def flush(file, data, position) do
    _ = :file.write(file, data)
            # ^^^^^ missed: a result bound to `_` counts as looked at
    _result = :file.datasync(file)
    :persistent_term.put(:persisted, position)
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_file_written_whole() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def save(path, data, position) do
    File.write(path, data)
       # ^^^^^ note: the result of File.write is thrown away
    :ets.insert(:positions, {path, position})
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_write_in_a_branch() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def flush(file, data, position) do
    if data != [], do: :file.write(file, data)
                           # ^^^^^ warning: the result of :file.write is thrown away
    :ets.insert(:positions, {:persisted, position})
  end
end
"#,
        );
    }

    #[test]
    fn reports_a_write_in_a_wrapper() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def flush(file, data, position) do
    write(file, data)
  # ^^^^^ missed: a result that a wrapper returns and its caller drops is not followed
    :ets.insert(:positions, {:persisted, position})
  end

  defp write(file, data), do: :file.write(file, data)
end
"#,
        );
    }

    #[test]
    fn reports_a_publication_by_the_caller() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def flush(state) do
    state |> write() |> publish()
  end

  defp write(state) do
    :file.write(state.file, state.data)
        # ^^^^^ missed: the publication stands in the caller
    state
  end

  defp publish(state), do: :ets.insert(:positions, {:persisted, state.offset})
end
"#,
        );
    }

    #[test]
    fn accepts_writes_that_raise() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def save(path, data, position) do
    File.write!(path, data)
    :ets.insert(:positions, {path, position})
  end
end
"#,
        );
    }

    #[test]
    fn accepts_writes_that_are_not_announced() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def note(file, text) do
    :file.write(file, text)
    :ok
  end

  def save(path, data, position) do
    :ets.insert(:positions, {path, position})
    File.write(path, data)
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_result_that_decides() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def save(path, data, position) do
    case File.write(path, data) do
      :ok -> :ets.insert(:positions, {path, position})
      {:error, reason} -> {:error, reason}
    end
  end

  def put(path, data, position) do
    if File.write(path, data) == :ok, do: :ets.insert(:positions, {path, position})
  end
end
"#,
        );
    }

    #[test]
    fn accepts_output_for_people() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def tell(position) do
    IO.binwrite(:stderr, "flushed")
    IO.puts("flushed")
    :ets.insert(:positions, {:persisted, position})
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_write_in_another_branch() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def flush(file, data, mode) do
    case mode do
      :disk -> :file.write(file, data)
      :memory -> :ets.insert(:buffer, data)
    end
  end
end
"#,
        );
    }

    #[test]
    fn accepts_a_write_that_the_publication_does_not_announce() {
        check(
            &RULE,
            r#"
#- /lib/log.ex
defmodule Log do
  def note(text) do
    File.write("debug.log", text)
    :ets.update_counter(:stats, :notes, 1)
  end
end
"#,
        );
    }
}
