//! The name of a finding that survives edits elsewhere: what a baseline remembers.
//!
//! It is made of the rule, the function, the flagged code with its white space evened out, and a number that tells equal ones apart in the order of
//! the report. Neither path nor line takes part: moving a function, or the file, keeps its findings' names.

use std::collections::BTreeMap;

use racefree_rules::Finding;
use xxhash_rust::xxh3::Xxh3;

use crate::{Problem, Source};

/// One fingerprint for each finding, in their order: 32 hexadecimal digits.
///
/// Invariant: part of the output's contract. A change here loosens every baseline, so it needs a new output version.
pub fn fingerprints<'a>(sources: &[Source], findings: impl IntoIterator<Item = &'a Finding>) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let name = |finding| {
        let base = base(sources, finding);
        let ordinal: &mut u64 = seen.entry(base).or_insert(0);
        let mut hash = Xxh3::new();
        hash.update(&base.to_le_bytes());
        hash.update(&ordinal.to_le_bytes());
        *ordinal += 1;
        format!("{:032x}", hash.digest128())
    };
    findings.into_iter().map(name).collect()
}

/// A name for a problem, of which a baseline remembers nothing: the formats that need one need no more than that it is its own.
pub(crate) fn of_problem(problem: &Problem, line: u32) -> String {
    let mut hash = Xxh3::new();
    for part in [problem.path.as_str(), &problem.message] {
        hash.update(part.as_bytes());
        hash.update(&[0xff]);
    }
    hash.update(&line.to_le_bytes());
    format!("{:032x}", hash.digest128())
}

fn base(sources: &[Source], finding: &Finding) -> u128 {
    let mut hash = Xxh3::new();
    // A byte that no UTF-8 text has ends each part, so that no two lists of parts read alike.
    for part in [finding.rule, finding.function.as_str()] {
        hash.update(part.as_bytes());
        hash.update(&[0xff]);
    }
    let code = sources.get(finding.place.file.0 as usize).map_or("", |source| source.code(finding.place.span));
    for word in code.split_whitespace() {
        hash.update(word.as_bytes());
        hash.update(b" ");
    }
    hash.digest128()
}
