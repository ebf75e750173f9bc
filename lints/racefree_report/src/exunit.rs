//! A test to be filled in: it forces the losing schedule of one finding, step by step, and fails until somebody has written the steps.
//!
//! Each process of the trace becomes a process of the test that runs a step when it is told to, so the order of the steps is the order of the file, with
//! no sleeping. What a step does in the program at hand only a person knows: each is a `flunk` that names the place.

use std::io::{self, Write};

use racefree_rules::Finding;

use crate::{Source, plain};

/// Writes an ExUnit module for `finding`.
pub fn write(sources: &[Source], finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    let mut processes: Vec<&str> = Vec::new();
    for step in &finding.trace {
        if !processes.contains(&step.process.as_str()) {
            processes.push(&step.process);
        }
    }
    let variables: Vec<String> = variables(&processes);
    writeln!(out, "defmodule {}RaceTest do", module(finding))?;
    writeln!(out, "  # {}: {}", finding.rule, plain::line(&finding.message))?;
    writeln!(out, "  # {}\n", plain::line(&finding.harm))?;
    writeln!(out, "  use ExUnit.Case, async: false\n")?;
    writeln!(out, "  test {} do", quoted(&format!("{} survives the losing schedule", subject(finding))))?;
    for (variable, process) in variables.iter().zip(&processes) {
        writeln!(out, "    {variable} = stepper({})", quoted(&plain::line(process)))?;
    }
    for (index, step) in finding.trace.iter().enumerate() {
        let place = step.place.and_then(|place| Some(sources.get(place.file.0 as usize)?.line(place.span)));
        let place = place.map(|place| format!(" ({})", plain::line(&place))).unwrap_or_default();
        let variable = processes.iter().position(|process| *process == step.process).and_then(|at| variables.get(at));
        let number = index + 1;
        let reported = if step.place == Some(finding.place) { ", where the finding is" } else { "" };
        writeln!(out, "\n    # {number}. {}: {}{place}{reported}", plain::line(&step.process), plain::line(&step.message))?;
        writeln!(out, "    run({}, fn -> flunk(\"step {number} is not written yet\") end)", variable.map_or("", String::as_str))?;
    }
    writeln!(out, "\n    flunk(\"say here what must hold afterwards\")")?;
    writeln!(out, "  end")?;
    out.write_all(STEPPERS.as_bytes())
}

const STEPPERS: &str = r#"
  # A process that runs what it is given, one step at a time: the test decides the order.
  defp stepper(name) do
    agent = {Agent, fn -> nil end}
    start_supervised!(agent, id: name, restart: :temporary)
  end

  # Runs a step and waits for its end; what fails in it fails the test.
  defp run(stepper, step) do
    outcome = fn _state ->
      try do
        {:ok, step.()}
      catch
        kind, reason -> {kind, reason, __STACKTRACE__}
      end
    end

    case Agent.get(stepper, outcome, :infinity) do
      {:ok, value} -> value
      {kind, reason, stacktrace} -> :erlang.raise(kind, reason, stacktrace)
    end
  end
end
"#;

/// The module that the finding lies in, as the first part of a name.
fn module(finding: &Finding) -> String {
    let name = finding.function.rsplit_once('/').map_or(finding.function.as_str(), |(name, _)| name);
    let (module, function) = name.rsplit_once('.').unwrap_or(("", name));
    let plain = |part: &str| -> String { part.chars().filter(|character| character.is_ascii_alphanumeric()).collect() };
    let parts: Vec<String> =
        module.split('.').map(plain).filter(|part| part.starts_with(|first: char| first.is_ascii_uppercase())).collect();
    let mut words = String::new();
    for word in function.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let (first, rest) = word.split_at(1);
        words.push_str(&first.to_ascii_uppercase());
        words.push_str(rest);
    }
    let name = parts.into_iter().chain((!words.is_empty()).then_some(words)).collect::<Vec<_>>().join(".");
    if name.starts_with(|first: char| first.is_ascii_uppercase()) { name } else { "Found".to_owned() }
}

fn subject(finding: &Finding) -> &str {
    if finding.function.is_empty() { "the module" } else { &finding.function }
}

/// Words of at least four letters that are no variables.
const RESERVED: [&str; 7] = ["after", "catch", "else", "false", "rescue", "true", "when"];

/// A name for each process that Elixir takes for a variable.
fn variables(processes: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for process in processes {
        let mut name: String =
            process.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' }).collect();
        if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
            name.insert_str(0, "process_");
        }
        // The shorter ones are not worth a list.
        if names.contains(&name) || name.len() < 4 || RESERVED.contains(&name.as_str()) {
            name = format!("{name}_{}", names.len() + 1);
        }
        names.push(name);
    }
    names
}

/// An Elixir string that is `text` and nothing else.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        if matches!(character, '"' | '\\' | '#') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_elixir_takes() {
        assert_eq!(
            variables(&["caller", "Jobs.Worker", "any process", "end", "9", "Rescue"]),
            ["caller", "jobs_worker", "any_process", "end_4", "process_9", "rescue_6"]
        );
        assert_eq!(quoted("a \"b\" #{c} \\"), "\"a \\\"b\\\" \\#{c} \\\\\"");
    }
}
