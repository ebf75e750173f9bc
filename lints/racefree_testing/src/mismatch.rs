//! The text that a failed comparison prints: a list of what differs, the files with the differences marked, and lines to paste.

use crate::comparison::Observed;
use crate::fixture::{Expectation, Fixture, FixtureFile, Label, characters};
use std::fmt::Write;

/// One difference between carets and findings.
pub(crate) enum Mismatch<'a> {
    /// Nothing answers the carets; `nearest` is what stands there instead.
    Absent { expectation: &'a Expectation, nearest: Option<&'a Observed> },
    /// A `missed` caret that the tool has caught up with.
    NoLongerMissed { expectation: &'a Expectation, finding: &'a Observed },
    /// A `wrong` caret that the tool has caught up with.
    NoLongerWrong { expectation: &'a Expectation },
    /// No caret asks for the finding.
    Unexpected { finding: &'a Observed },
}

impl<'a> Mismatch<'a> {
    fn path(&self) -> &'a str {
        match self {
            Self::Absent { expectation, .. } | Self::NoLongerMissed { expectation, .. } | Self::NoLongerWrong { expectation } => {
                &expectation.path
            }
            Self::Unexpected { finding } => &finding.path,
        }
    }

    /// The caret line that must go.
    fn stale(&self) -> Option<u32> {
        match self {
            Self::Absent { expectation, .. } | Self::NoLongerMissed { expectation, .. } | Self::NoLongerWrong { expectation } => {
                Some(expectation.caret_line)
            }
            Self::Unexpected { .. } => None,
        }
    }

    /// The finding that wants a caret line.
    fn unmarked(&self) -> Option<&'a Observed> {
        match self {
            Self::NoLongerMissed { finding, .. } | Self::Unexpected { finding } => Some(finding),
            Self::Absent { expectation, nearest } if expectation.label == Label::Step => *nearest,
            Self::Absent { .. } | Self::NoLongerWrong { .. } => None,
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::Absent { expectation, nearest } => {
                let mut sentence = format!("{}: no {}", place(expectation), expectation.label);
                if !expectation.text.is_empty() {
                    let _ = write!(sentence, " whose message contains {:?}", expectation.text);
                }
                if let Some(seen) = nearest {
                    let _ = write!(sentence, "; seen here: {}: {}", seen.kind.label(), seen.message);
                }
                sentence
            }
            Self::NoLongerMissed { expectation, finding } => {
                let label = finding.kind.label();
                format!("{}: now reported, so no longer `missed`: make it `{label}`: {}", place(expectation), finding.message)
            }
            Self::NoLongerWrong { expectation } => {
                format!("{}: no longer reported, so no longer `wrong`: delete this caret line", place(expectation))
            }
            Self::Unexpected { finding } => {
                let (path, line, column) = (&finding.path, finding.line, finding.start_column);
                format!("{path}:{line}:{column}: unexpected {}: {}", finding.kind.label(), finding.message)
            }
        }
    }
}

fn place(expectation: &Expectation) -> String {
    format!("{}:{}:{}", expectation.path, expectation.line, expectation.columns.start)
}

/// The whole text. `-` marks a caret line that nothing answers, `+` one that would be needed.
pub(crate) fn describe(fixture: &Fixture, mismatches: &[Mismatch<'_>]) -> String {
    let count = mismatches.len();
    let plural = if count == 1 { "" } else { "s" };
    let mut text = format!("the carets and the findings differ in {count} place{plural}\n\n");
    for mismatch in mismatches {
        let _ = writeln!(text, "  {}", mismatch.sentence());
    }
    for file in &fixture.files {
        let here: Vec<_> = mismatches.iter().filter(|mismatch| mismatch.path() == file.path).collect();
        if !here.is_empty() {
            describe_file(&mut text, fixture, file, &here);
        }
    }
    for mismatch in mismatches.iter().filter(|mismatch| fixture.file(mismatch.path()).is_none()) {
        let _ = writeln!(text, "\n{} is not a file of the fixture", mismatch.path());
    }
    describe_pastes(&mut text, fixture, mismatches);
    text
}

fn describe_file(text: &mut String, fixture: &Fixture, file: &FixtureFile, mismatches: &[&Mismatch<'_>]) {
    let _ = writeln!(text, "\n{} (`-` expected, not seen; `+` seen, not expected)", file.path);
    let lines: Vec<&str> = file.text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let number = index as u32 + 1;
        let mark = if mismatches.iter().any(|mismatch| mismatch.stale() == Some(number)) { '-' } else { ' ' };
        let _ = writeln!(text, "{number:>4} {mark} | {}", line.trim_end());
        for finding in mismatches.iter().filter_map(|mismatch| mismatch.unmarked()) {
            // Below the code line and the caret lines it has already, where a reader would put the next one.
            if last_caret_line(fixture, finding) == number {
                let _ = writeln!(text, "     + | {}", caret_line(lines.get(finding.line as usize - 1), finding));
            }
        }
    }
    for finding in mismatches.iter().filter_map(|mismatch| mismatch.unmarked()) {
        if finding.line == 0 || finding.line as usize > lines.len() {
            let _ = writeln!(text, "       | line {} is outside the file: {}", finding.line, finding.message);
        }
    }
}

fn describe_pastes(text: &mut String, fixture: &Fixture, mismatches: &[Mismatch<'_>]) {
    let mut is_first = true;
    for finding in mismatches.iter().filter_map(Mismatch::unmarked) {
        let Some(file) = fixture.file(&finding.path) else { continue };
        let Some(code) = file.text.lines().nth((finding.line as usize).wrapping_sub(1)) else { continue };
        if is_first {
            text.push_str("\nIf the finding is right, paste:\n");
            is_first = false;
        }
        let _ = writeln!(text, "\n{code}\n{}", caret_line(Some(&code), finding));
    }
}

/// The last of the code line of `finding` and the caret lines below it.
fn last_caret_line(fixture: &Fixture, finding: &Observed) -> u32 {
    let carets = fixture.expectations.iter().filter(|e| e.path == finding.path && e.line == finding.line);
    carets.map(|expectation| expectation.caret_line).max().unwrap_or(finding.line)
}

/// The caret line that would expect `finding` below `code`.
fn caret_line(code: Option<&&str>, finding: &Observed) -> String {
    let code_end = code.map_or(0, |code| characters(code.trim_end())) + 1;
    let columns = finding.columns();
    // The `#` needs column 1, so the carets begin in column 2 at the earliest.
    let start = columns.start.max(2);
    let end = columns.end.min(code_end).max(start + 1);
    let hash = if start > 2 { format!("{}# ", " ".repeat(start as usize - 3)) } else { "#".to_owned() };
    let carets = "^".repeat((end - start) as usize);
    format!("{hash}{carets} {}: {}", finding.kind.label(), finding.message)
}

#[cfg(test)]
mod tests {
    use crate::{Fixture, Kind, Observed};

    fn seen(path: &str, line: u32, columns: std::ops::Range<u32>, kind: Kind, message: &str) -> Observed {
        let (start_column, end_column) = (columns.start, columns.end);
        Observed { path: path.to_owned(), line, start_column, end_line: line, end_column, kind, message: message.to_owned() }
    }

    #[test]
    fn shows_the_file_with_what_was_expected_and_what_was_seen() {
        let fixture =
            Fixture::parse("#- /lib/a.ex\ndef run(x) do\n  call(x)\n# ^^^^^^^ error: lost\n  cast(x)\nend\n#- /lib/b.ex\nquiet()\n");
        let observed = [seen("lib/a.ex", 2, 3..10, Kind::Error, "kept"), seen("lib/a.ex", 4, 3..10, Kind::Warning, "dropped")];
        let expected = "\
the carets and the findings differ in 3 places

  lib/a.ex:2:3: no error whose message contains \"lost\"; seen here: error: kept
  lib/a.ex:2:3: unexpected error: kept
  lib/a.ex:4:3: unexpected warning: dropped

lib/a.ex (`-` expected, not seen; `+` seen, not expected)
   1   | def run(x) do
   2   |   call(x)
   3 - | # ^^^^^^^ error: lost
     + | # ^^^^^^^ error: kept
   4   |   cast(x)
     + | # ^^^^^^^ warning: dropped
   5   | end

If the finding is right, paste:

  call(x)
# ^^^^^^^ error: kept

  cast(x)
# ^^^^^^^ warning: dropped
";
        assert_eq!(fixture.compare(&observed).unwrap_err(), expected);
    }

    /// What it offers to paste must be accepted when pasted, also where the `#` has no room and where the range has several lines.
    #[test]
    fn offers_caret_lines_that_are_accepted() {
        let mut long = seen("lib/a.ex", 1, 5..6, Kind::Note, "long");
        (long.end_line, long.end_column) = (3, 4);
        let findings = [
            seen("lib/a.ex", 1, 1..5, Kind::Error, "first column"),
            seen("lib/a.ex", 1, 2..5, Kind::Error, "second column"),
            seen("lib/a.ex", 1, 7..9, Kind::Warning, "é"),
            seen("lib/a.ex", 1, 12..13, Kind::Warning, "last column"),
            long,
        ];
        for finding in findings {
            let code = "éall(x, y) do";
            let observed = std::slice::from_ref(&finding);
            let message = Fixture::parse(&format!("#- /lib/a.ex\n{code}\n")).compare(observed).unwrap_err();
            let (_, paste) = message.split_once("paste:\n\n").expect("there is something to paste");
            assert_eq!(Fixture::parse(&format!("#- /lib/a.ex\n{paste}")).compare(observed), Ok(()), "{paste}");
        }
    }

    #[test]
    fn names_findings_outside_the_fixture() {
        let fixture = Fixture::parse("#- /lib/a.ex\ncall()\n");
        let message = fixture.compare(&[seen("lib/b.ex", 1, 1..2, Kind::Error, "lost")]).unwrap_err();
        assert!(message.contains("lib/b.ex is not a file of the fixture"), "{message}");
        let message = fixture.compare(&[seen("lib/a.ex", 9, 1..2, Kind::Error, "lost")]).unwrap_err();
        assert!(message.contains("line 9 is outside the file: lost"), "{message}");
    }

    #[test]
    fn shows_the_step_that_was_seen_instead() {
        let fixture = Fixture::parse("#- /lib/a.ex\n  call()\n# ^^^^ step: looks it up\n");
        let message = fixture.compare(&[seen("lib/a.ex", 1, 3..7, Kind::Step, "waits")]).unwrap_err();
        assert!(message.contains("no step whose message contains \"looks it up\"; seen here: step: waits"), "{message}");
        assert!(message.contains("     + | # ^^^^ step: waits"), "{message}");
    }
}
