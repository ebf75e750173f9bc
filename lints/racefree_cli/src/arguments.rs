//! The command line's shape. The words here are what `--help` shows.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use racefree_rules::Tier;
use serde::Deserialize;

use crate::output::Output;

const EXIT_STATUS: &str = "\
Exit status:
  0  no finding of the failing tier
  1  findings at or above the failing tier
  2  bad usage
  3  the run could not take place";

const CHECK_HELP: &str = "\
Examples:
  racefree check --output sarif=races.sarif         text on the terminal, SARIF in a file
  racefree check --format html --output races.html  a page instead of the text
  racefree check --format rdjson | reviewdog -f=rdjson

Exit status:
  0  no finding of the failing tier
  1  findings at or above the failing tier
  2  bad usage
  3  the run could not take place, or a report could not be written";

const BASELINE_HELP: &str = "\
A baseline only shrinks: when there is one, this command takes out what is no longer found and adds
nothing. To begin anew, remove the file first.";

/// More threads than this are a slip of the finger.
const THREADS_MAX: i64 = 1024;

/// Finds race conditions between Elixir processes, and shows the interleaving that loses.
#[derive(Debug, Parser)]
#[command(name = "racefree", version, after_help = EXIT_STATUS)]
pub(crate) struct Arguments {
    /// When to use colour; NO_COLOR and CLICOLOR_FORCE are respected
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Colour,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read Elixir source and report its races
    #[command(after_help = CHECK_HELP)]
    Check(CheckOptions),
    /// Remember today's findings, so that only new ones are shown; later, forget those that are gone
    #[command(after_help = BASELINE_HELP)]
    Baseline(BaselineOptions),
    /// Print a rule's page, or the whole story of one finding
    Explain(ExplainOptions),
    /// List the rules
    Rules,
    /// Serve an editor: the language server protocol over standard input and output
    Lsp(LspOptions),
    /// List what the analysis cannot see: files and functions it could not read, calls it cannot follow
    Coverage(CoverageOptions),
}

#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    pub(crate) input: InputOptions,
    /// How to write the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Write the report to FILE instead of standard output; as FORMAT=FILE, write one more report, in this format. May be repeated
    #[arg(long, value_name = "[FORMAT=]FILE")]
    pub(crate) output: Vec<Output>,
    /// Show findings at least this sure [default: likely, or what --fail-on names]
    #[arg(long, value_enum)]
    pub(crate) tier: Option<TierName>,
    /// Exit with 1 when there are findings at least this sure [default: certain]
    #[arg(long, value_enum, value_name = "TIER")]
    pub(crate) fail_on: Option<TierName>,
    /// Run these rules alone
    #[arg(long, value_delimiter = ',', value_name = "RULE,…")]
    pub(crate) only: Vec<String>,
    /// Leave these rules out
    #[arg(long, value_delimiter = ',', value_name = "RULE,…")]
    pub(crate) except: Vec<String>,
    /// Show findings in test files too: those under `test/`, and `*_test.exs`
    #[arg(long)]
    pub(crate) include_tests: bool,
    /// Hide the findings that FILE lists; `racefree baseline` writes it
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Make the edits of safe fixes in the files, and report what is left
    #[arg(long, conflicts_with_all = ["staged", "stdin_filename"])]
    pub(crate) fix: bool,
    #[command(flatten)]
    pub(crate) scope: ScopeOptions,
}

/// Which part of the findings to show. The whole program is analysed all the same.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct ScopeOptions {
    /// Show only findings that touch lines changed since the common ancestor with this commit or branch
    #[arg(long, value_name = "REF")]
    pub(crate) diff: Option<String>,
    /// Show only findings that touch staged lines, in the text that is staged
    #[arg(long)]
    pub(crate) staged: bool,
    /// Read this file's text from standard input, and show only findings that touch it
    #[arg(long, value_name = "FILE")]
    pub(crate) stdin_filename: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BaselineOptions {
    #[command(flatten)]
    pub(crate) input: InputOptions,
    /// Where to write it [default: what the configuration says, or racefree-baseline.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainOptions {
    /// A rule as findings show it, such as `nil_pid_call`, or the place of a finding, such as `lib/jobs.ex:42`
    #[arg(value_name = "RULE|FILE:LINE")]
    pub(crate) subject: String,
    #[command(flatten)]
    pub(crate) input: InputOptions,
    /// Write an ExUnit test to FILE that forces the losing schedule, its steps to be filled in
    #[arg(long, value_name = "FILE")]
    pub(crate) test: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LspOptions {
    /// The configuration [default: racefree.toml in the editor's folder or the nearest one above it]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How many threads to use [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX))]
    pub(crate) threads: Option<u16>,
    /// Neither read nor write what earlier runs left in `_build/racefree` or `.racefree`
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Some editors say so; there is no other way
    #[arg(long, hide = true)]
    pub(crate) stdio: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CoverageOptions {
    #[command(flatten)]
    pub(crate) input: InputOptions,
    /// How to write the list
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: CoverageFormat,
}

#[derive(Debug, Args)]
pub(crate) struct InputOptions {
    /// Folders to search for Elixir files, and files to read; all of them together are one program [default: what the configuration says, or .]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The configuration [default: racefree.toml in the folder that is checked or the nearest one above it]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How many threads to use [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX))]
    pub(crate) threads: Option<u16>,
    /// Neither read nor write what earlier runs left in `_build/racefree` or `.racefree`; the report is the same
    #[arg(long)]
    pub(crate) no_cache: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: code and timelines
    #[default]
    Text,
    /// path:line:column: severity[rule] message
    Oneline,
    /// For programs: one versioned document
    Json,
    /// The same as a stream: one object a line
    Jsonl,
    /// SARIF 2.1.0, for code scanning services and viewers
    Sarif,
    /// Workflow commands, which GitHub shows as annotations
    Github,
    /// GitLab's code quality report
    Gitlab,
    /// For reviewdog
    Rdjson,
    /// For test dashboards: a case for each rule and file
    Junit,
    /// One page for people: filters, source, interleavings drawn as lanes
    Html,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CoverageFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TierName {
    /// Every step is proven
    Certain,
    /// One step is assumed
    Likely,
    /// Worth a look
    Audit,
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Certain => Self::Certain,
            TierName::Likely => Self::Likely,
            TierName::Audit => Self::Audit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn accepts_its_own_definition() {
        Arguments::command().debug_assert();
    }
}
