//! The counts of a run, and the sentence that ends a text report.

use std::time::Duration;

use racefree_rules::Tier;

use crate::Report;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files that were analysed.
    pub files: usize,
    /// Functions written in them; those that a default argument brings do not count.
    pub functions: usize,
    /// How long the run took. The one figure that is not a function of the input: `None` leaves it out of the text, and is 0 in JSON.
    pub elapsed: Option<Duration>,
    pub hidden: Hidden,
    /// How many findings the run has taken away by editing the source.
    pub fixed: usize,
}

/// Findings that exist and are not shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hidden {
    /// By a `racefree:allow` comment.
    pub allowed: usize,
    /// Known to the baseline.
    pub baseline: usize,
    /// Beyond the changed lines or the one file that was asked for.
    pub elsewhere: usize,
    /// In test files.
    pub tests: usize,
    /// Likely ones when only the certain are asked for.
    pub likely: usize,
    pub audit: usize,
}

/// One line, such as `3 findings (2 certain, 1 likely) in 328 files, 5012 functions; 1 problem`.
pub(crate) fn sentence(report: &Report) -> String {
    let Summary { files, functions, elapsed, fixed, hidden: _ } = report.summary;
    let verdict = match report.findings.len() {
        0 => "No races found".to_owned(),
        found => format!("{} ({})", count(found, "finding"), tiers(report)),
    };
    let mut line = format!("{verdict} in {}, {}", count(files, "file"), count(functions, "function"));
    if let Some(elapsed) = elapsed {
        line.push_str(&format!(", {:.2} s", elapsed.as_secs_f64()));
    }
    if fixed > 0 {
        line.push_str(&format!("; {fixed} fixed"));
    }
    if !report.problems.is_empty() {
        line.push_str(&format!("; {}", count(report.problems.len(), "problem")));
    }
    line
}

/// What is not shown and how to see it; `None` when there is nothing of the kind.
pub(crate) fn hidden(hidden: Hidden) -> Option<String> {
    let shown = [
        (hidden.likely, "likely (--tier likely)"),
        (hidden.audit, "to audit (--tier audit)"),
        (hidden.tests, "in test files (--include-tests)"),
        (hidden.allowed, "allowed by a comment"),
        (hidden.baseline, "in the baseline"),
        (hidden.elsewhere, "away from the change"),
    ];
    let parts: Vec<_> = shown.iter().filter(|(found, _)| *found > 0).map(|(found, what)| format!("{found} {what}")).collect();
    (!parts.is_empty()).then(|| format!("Not shown: {}", parts.join(", ")))
}

pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

pub(crate) fn tiers(report: &Report) -> String {
    let of = |tier: Tier| report.findings.iter().filter(|finding| finding.tier == tier).count();
    let parts: Vec<_> = Tier::ALL.iter().filter(|tier| of(**tier) > 0).map(|tier| format!("{} {}", of(*tier), tier.name())).collect();
    parts.join(", ")
}
