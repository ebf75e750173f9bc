//! What a fixture expects against what a run reported.
//!
//! An expectation and a finding belong together when the carets stand on the first line of the finding's range and touch it there,
//! the label fits, and the message contains the caret's text. Each finding belongs to one expectation at most and each expectation
//! to one finding; a step may answer any number of `step` carets, since several findings may share it.

use crate::fixture::{Expectation, Fixture, Label};
use crate::mismatch::{self, Mismatch};

/// One thing that a run reported: a finding, or a step of a finding's trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    pub path: String,
    /// From 1.
    pub line: u32,
    /// Characters, from 1.
    pub start_column: u32,
    pub end_line: u32,
    /// The first column after the range.
    pub end_column: u32,
    pub kind: Kind,
    pub message: String,
}

/// What was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A certain finding.
    Error,
    /// A likely finding.
    Warning,
    /// A finding for audits.
    Note,
    /// A step of a trace.
    Step,
}

impl Kind {
    /// The label that asks for this kind.
    pub fn label(self) -> Label {
        match self {
            Self::Error => Label::Error,
            Self::Warning => Label::Warning,
            Self::Note => Label::Note,
            Self::Step => Label::Step,
        }
    }
}

impl Observed {
    /// The columns on its first line, the end left out; at least one, and to the line's end for a range of several lines.
    pub(crate) fn columns(&self) -> std::ops::Range<u32> {
        let end = if self.end_line > self.line { u32::MAX } else { self.end_column.max(self.start_column + 1) };
        self.start_column..end
    }
}

impl Expectation {
    /// Whether the carets stand on `observed`.
    pub(crate) fn touches(&self, observed: &Observed) -> bool {
        let columns = observed.columns();
        self.path == observed.path && self.line == observed.line && self.columns.start < columns.end && columns.start < self.columns.end
    }

    /// Whether `observed` is what the carets ask for.
    fn accepts(&self, observed: &Observed) -> bool {
        let fits = match self.label {
            Label::Error | Label::Warning | Label::Note | Label::Step => {
                observed.kind.label() == self.label && observed.message.contains(&self.text)
            }
            Label::Missed => false,
            Label::Wrong => observed.kind != Kind::Step,
        };
        fits && self.touches(observed)
    }
}

impl Fixture {
    /// Compares what a run reported with the carets. The error is a text for people: what differs, the file with the differences marked,
    /// and caret lines to paste where what was seen is right.
    pub fn compare(&self, observed: &[Observed]) -> Result<(), String> {
        let mismatches = self.mismatches(observed);
        if mismatches.is_empty() { Ok(()) } else { Err(mismatch::describe(self, &mismatches)) }
    }

    fn mismatches<'a>(&'a self, observed: &'a [Observed]) -> Vec<Mismatch<'a>> {
        let pairs = Pairs::new(&self.expectations, observed);
        let mut mismatches = Vec::new();
        // Findings that a `missed` caret explains: told once, as an improvement.
        let mut explained = vec![false; observed.len()];
        for (index, expectation) in self.expectations.iter().enumerate() {
            match expectation.label {
                Label::Step => {
                    if !observed.iter().any(|step| expectation.accepts(step)) {
                        mismatches.push(Mismatch::Absent { expectation, nearest: nearest(expectation, observed, |_| true) });
                    }
                }
                Label::Missed => {
                    let is_open = |at: &usize| observed[*at].kind != Kind::Step && pairs.partner(*at).is_none();
                    let found = (0..observed.len()).filter(is_open).find(|at| expectation.touches(&observed[*at]));
                    if let Some(at) = found {
                        explained[at] = true;
                        mismatches.push(Mismatch::NoLongerMissed { expectation, finding: &observed[at] });
                    }
                }
                Label::Wrong if !pairs.answers(index) => mismatches.push(Mismatch::NoLongerWrong { expectation }),
                Label::Error | Label::Warning | Label::Note if !pairs.answers(index) => {
                    let nearest = nearest(expectation, observed, |at| pairs.partner(at).is_none());
                    mismatches.push(Mismatch::Absent { expectation, nearest });
                }
                Label::Error | Label::Warning | Label::Note | Label::Wrong => {}
            }
        }
        for (at, finding) in observed.iter().enumerate() {
            if finding.kind != Kind::Step && pairs.partner(at).is_none() && !explained[at] {
                mismatches.push(Mismatch::Unexpected { finding });
            }
        }
        mismatches
    }
}

/// What was seen instead: something open at the carets, of the same label if there is one.
fn nearest<'a>(expectation: &Expectation, observed: &'a [Observed], is_open: impl Fn(usize) -> bool) -> Option<&'a Observed> {
    let is_step = expectation.label == Label::Step;
    let candidates =
        observed.iter().enumerate().filter(|(at, seen)| is_open(*at) && (seen.kind == Kind::Step) == is_step && expectation.touches(seen));
    candidates.map(|(_, seen)| seen).max_by_key(|seen| seen.kind.label() == expectation.label)
}

/// Which finding answers which expectation: a largest set of pairs, so that a caret without text never takes the finding that only
/// another caret's text would accept.
struct Pairs {
    /// By finding: the expectation it answers.
    partners: Vec<Option<usize>>,
}

impl Pairs {
    fn new(expectations: &[Expectation], observed: &[Observed]) -> Self {
        let mut pairs = Self { partners: vec![None; observed.len()] };
        let is_exact = |expectation: &Expectation| matches!(expectation.label, Label::Error | Label::Warning | Label::Note);
        // Order: exact expectations first, so `wrong` takes only what they leave; a later pairing never frees an earlier expectation.
        for exact in [true, false] {
            for (index, expectation) in expectations.iter().enumerate() {
                let takes_part = is_exact(expectation) == exact && !matches!(expectation.label, Label::Step | Label::Missed);
                if takes_part {
                    pairs.pair(index, expectations, observed, &mut vec![false; observed.len()]);
                }
            }
        }
        pairs
    }

    /// Finds a finding for `expectation`, moving earlier ones to other findings where that helps.
    fn pair(&mut self, expectation: usize, expectations: &[Expectation], observed: &[Observed], tried: &mut [bool]) -> bool {
        for at in 0..observed.len() {
            if tried[at] || observed[at].kind == Kind::Step || !expectations[expectation].accepts(&observed[at]) {
                continue;
            }
            tried[at] = true;
            let is_free = match self.partners[at] {
                None => true,
                Some(holder) => self.pair(holder, expectations, observed, tried),
            };
            if is_free {
                self.partners[at] = Some(expectation);
                return true;
            }
        }
        false
    }

    fn partner(&self, finding: usize) -> Option<usize> {
        self.partners[finding]
    }

    fn answers(&self, expectation: usize) -> bool {
        self.partners.contains(&Some(expectation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "#- /lib/a.ex\n  call(x)\n  other()\n";

    fn seen(line: u32, columns: std::ops::Range<u32>, kind: Kind, message: &str) -> Observed {
        let (start_column, end_column) = (columns.start, columns.end);
        Observed { path: "lib/a.ex".to_owned(), line, start_column, end_line: line, end_column, kind, message: message.to_owned() }
    }

    fn compare(source: &str, observed: &[Observed]) -> Result<(), String> {
        Fixture::parse(source).compare(observed)
    }

    #[test]
    fn accepts_silence_without_carets() {
        assert_eq!(compare(PLAIN, &[]), Ok(()));
    }

    #[test]
    fn refuses_a_finding_without_carets() {
        let message = compare(PLAIN, &[seen(1, 3..7, Kind::Error, "lost")]).unwrap_err();
        assert!(message.contains("lib/a.ex:1:3: unexpected error: lost"), "{message}");
    }

    #[test]
    fn accepts_steps_without_carets() {
        assert_eq!(compare(PLAIN, &[seen(1, 3..7, Kind::Step, "looks it up")]), Ok(()));
    }

    #[test]
    fn accepts_overlap_and_a_part_of_the_message() {
        let source = "#- /lib/a.ex\n  call(x)\n#    ^^^^^ error: is lost\n";
        for columns in [6..7, 1..7, 9..20] {
            assert_eq!(compare(source, &[seen(1, columns, Kind::Error, "the reply is lost")]), Ok(()));
        }
    }

    #[test]
    fn refuses_ranges_that_only_touch_the_carets_edge() {
        let source = "#- /lib/a.ex\n  call(x)\n#    ^^^ error\n";
        for columns in [3..6, 9..10] {
            assert!(compare(source, &[seen(1, columns, Kind::Error, "lost")]).is_err());
        }
    }

    #[test]
    fn accepts_an_empty_range_as_one_column() {
        assert_eq!(compare("#- /lib/a.ex\n  call(x)\n# ^ error\n", &[seen(1, 3..3, Kind::Error, "lost")]), Ok(()));
    }

    #[test]
    fn reads_a_range_of_several_lines_as_its_first_line() {
        let mut finding = seen(1, 3..4, Kind::Error, "lost");
        (finding.end_line, finding.end_column) = (2, 2);
        assert_eq!(compare("#- /lib/a.ex\n  call(x)\n#      ^ error\n  other()\n", &[finding.clone()]), Ok(()));
        assert!(compare("#- /lib/a.ex\n  call(x)\n  other()\n# ^ error\n", &[finding]).is_err());
    }

    #[test]
    fn refuses_another_line_file_label_or_text() {
        let source = "#- /lib/a.ex\n  call(x)\n# ^^^^ error: lost\n  other()\n#- /lib/b.ex\n  call(x)\n";
        let right = seen(1, 3..7, Kind::Error, "lost");
        assert_eq!(compare(source, std::slice::from_ref(&right)), Ok(()));
        let wrong = [
            Observed { line: 3, end_line: 3, ..right.clone() },
            Observed { path: "lib/b.ex".to_owned(), ..right.clone() },
            Observed { kind: Kind::Warning, ..right.clone() },
            Observed { kind: Kind::Step, ..right.clone() },
            Observed { message: "kept".to_owned(), ..right },
        ];
        for finding in wrong {
            assert!(compare(source, std::slice::from_ref(&finding)).is_err(), "{finding:?}");
        }
    }

    #[test]
    fn asks_for_one_finding_a_caret_line() {
        let source = "#- /lib/a.ex\n  call(x)\n# ^^^^ error\n# ^^^^ error\n";
        let finding = seen(1, 3..7, Kind::Error, "lost");
        assert!(compare(source, std::slice::from_ref(&finding)).is_err());
        assert_eq!(compare(source, &[finding.clone(), finding.clone()]), Ok(()));
        assert!(compare(source, &[finding.clone(), finding.clone(), finding]).is_err());
    }

    #[test]
    fn pairs_the_caret_with_text_first_where_only_that_works() {
        let source = "#- /lib/a.ex\n  call(x)\n# ^^^^ error\n# ^^^^ error: lost\n";
        let observed = [seen(1, 3..7, Kind::Error, "lost"), seen(1, 3..7, Kind::Error, "kept")];
        assert_eq!(compare(source, &observed), Ok(()));
    }

    #[test]
    fn compares_steps_where_a_caret_asks() {
        let source = "#- /lib/a.ex\n  call(x)\n# ^^^^ step: looks\n# ^^^^ step: it up\n";
        assert_eq!(compare(source, &[seen(1, 3..7, Kind::Step, "looks it up")]), Ok(()));
        let message = compare(source, &[]).unwrap_err();
        assert!(message.contains("lib/a.ex:1:3: no step whose message contains \"looks\""), "{message}");
    }

    #[test]
    fn accepts_what_is_still_missed() {
        let source = "#- /lib/a.ex\n  call(x)\n# ^^^^ missed: macros are opaque\n";
        assert_eq!(compare(source, &[]), Ok(()));
        assert_eq!(compare(source, &[seen(1, 3..7, Kind::Step, "looks it up")]), Ok(()));
    }

    #[test]
    fn refuses_missed_once_it_is_reported() {
        let source = "#- /lib/a.ex\n  call(x)\n# ^^^^ missed: macros are opaque\n";
        let message = compare(source, &[seen(1, 3..7, Kind::Warning, "lost")]).unwrap_err();
        assert!(message.contains("now reported, so no longer `missed`: make it `warning`"), "{message}");
        assert!(!message.contains("unexpected"), "{message}");
    }

    #[test]
    fn accepts_missed_beside_a_finding_that_another_caret_takes() {
        let source = "#- /lib/a.ex\n  call(x)\n# ^^^^ missed: second reader\n# ^^^^ error: first\n";
        assert_eq!(compare(source, &[seen(1, 3..7, Kind::Error, "first")]), Ok(()));
    }

    #[test]
    fn accepts_what_is_still_wrong_whatever_its_kind_and_text() {
        let source = "#- /lib/a.ex\n  call(x)\n# ^^^^ wrong: the lock is unknown\n";
        for kind in [Kind::Error, Kind::Warning, Kind::Note] {
            assert_eq!(compare(source, &[seen(1, 3..7, kind, "lost")]), Ok(()));
        }
    }

    #[test]
    fn refuses_wrong_once_it_is_silent() {
        let source = "#- /lib/a.ex\n  call(x)\n# ^^^^ wrong: the lock is unknown\n";
        for observed in [vec![], vec![seen(1, 3..7, Kind::Step, "looks it up")]] {
            let message = compare(source, &observed).unwrap_err();
            assert!(message.contains("no longer reported, so no longer `wrong`: delete this caret line"), "{message}");
        }
    }

    #[test]
    fn leaves_to_exact_carets_what_wrong_could_take() {
        let source = "#- /lib/a.ex\n  call(x)\n# ^^^^ wrong: the lock is unknown\n# ^^^^ error: lost\n";
        assert_eq!(compare(source, &[seen(1, 3..7, Kind::Error, "lost"), seen(1, 3..7, Kind::Note, "kept")]), Ok(()));
        assert!(compare(source, &[seen(1, 3..7, Kind::Error, "lost")]).unwrap_err().contains("no longer `wrong`"));
    }
}
