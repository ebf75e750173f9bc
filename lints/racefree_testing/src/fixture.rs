//! From fixture text to files and expectations. Caret lines stay in the files: they are comments, and line numbers stay as written.

use std::fmt;
use std::ops::Range;

/// The path of text that stands before the first `#- /path` line.
const PATH_DEFAULT: &str = "lib/fixture.ex";

/// A parsed fixture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixture {
    /// In the order of the fixture.
    pub files: Vec<FixtureFile>,
    /// In the order of the fixture.
    pub expectations: Vec<Expectation>,
}

/// One file of a fixture, its caret lines included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixtureFile {
    /// Relative: `#- /lib/jobs.ex` is `lib/jobs.ex`.
    pub path: String,
    pub text: String,
}

/// What one caret line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    pub path: String,
    /// The code line, from 1 within its file.
    pub line: u32,
    /// The line of the carets, from 1 within its file.
    pub caret_line: u32,
    /// Where the carets stand: characters, from 1, the end left out.
    pub columns: Range<u32>,
    pub label: Label,
    /// What the message must contain, or for `missed` and `wrong` the reason; may be empty for the others.
    pub text: String,
}

/// What a caret line says of the code above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// A finding is reported here, and it is certain.
    Error,
    /// A finding is reported here, and it is likely.
    Warning,
    /// A finding is reported here to those who audit.
    Note,
    /// A step of some finding's trace lies here.
    Step,
    /// A known limit: nothing is reported here, though it should be. The text says why.
    Missed,
    /// A known limit: something is reported here, though it should not be. The text says why.
    Wrong,
}

impl Label {
    pub const ALL: [Self; 6] = [Self::Error, Self::Warning, Self::Note, Self::Step, Self::Missed, Self::Wrong];

    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
            Self::Step => "step",
            Self::Missed => "missed",
            Self::Wrong => "wrong",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|label| label.name() == name)
    }

    fn is_known_limit(self) -> bool {
        matches!(self, Self::Missed | Self::Wrong)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl Fixture {
    /// Reads a fixture that a test carries.
    ///
    /// # Panics
    /// When the fixture is malformed: a test's own mistake, told as [`Fixture::try_parse`] tells it.
    #[track_caller]
    pub fn parse(source: &str) -> Self {
        match Self::try_parse(source) {
            Ok(fixture) => fixture,
            Err(problems) => panic!("malformed fixture\n{problems}"),
        }
    }

    /// Reads a fixture, or says which of its lines to mend and how, one problem a line.
    pub fn try_parse(source: &str) -> Result<Self, String> {
        let mut reader = Reader::default();
        for (index, line) in source.split_inclusive('\n').enumerate() {
            reader.line(index + 1, line);
        }
        reader.finish()
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&FixtureFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// A comment of carets, not yet understood.
struct CaretComment<'a> {
    columns: Range<u32>,
    /// What follows the carets.
    rest: &'a str,
}

impl<'a> CaretComment<'a> {
    /// `None` for any other line.
    fn find(line: &'a str) -> Option<Self> {
        let comment = line.trim_start().strip_prefix('#')?.trim_start();
        let rest = comment.trim_start_matches('^');
        if rest.len() == comment.len() {
            return None;
        }
        let before = &line[..line.len() - comment.len()];
        let start = characters(before) + 1;
        let count = (comment.len() - rest.len()) as u32;
        Some(Self { columns: start..start + count, rest: rest.trim() })
    }

    /// The label and the text after it, or what to do about a label that is none.
    fn label(&self) -> Result<(Label, &'a str), String> {
        let (name, text) = self.rest.split_once(':').unwrap_or((self.rest, ""));
        let (name, text) = (name.trim(), text.trim());
        let names = Label::ALL.map(Label::name).join(", ");
        let Some(label) = Label::from_name(name) else {
            return Err(match name {
                "" => format!("the carets have no label: add one of {names}"),
                _ => format!("unknown label `{name}`: write `label: text` with one of {names}"),
            });
        };
        if label.is_known_limit() && text.is_empty() {
            return Err(format!("`{label}` without a reason: write `{label}: ` and why the tool cannot do better yet"));
        }
        Ok((label, text))
    }
}

/// The state of reading a fixture line by line.
#[derive(Default)]
struct Reader {
    files: Vec<FixtureFile>,
    expectations: Vec<Expectation>,
    problems: Vec<String>,
    /// Lines read of the last file.
    line_count: u32,
    /// The last line that is neither blank nor carets, of the last file: its number and its length in characters.
    code: Option<(u32, u32)>,
}

impl Reader {
    /// Takes the line `number` of the fixture, its newline included.
    fn line(&mut self, number: usize, line: &str) {
        if let Some(path) = line.trim_start().strip_prefix("#- ") {
            self.drop_blank_default();
            return match self.new_path(path.trim()) {
                Ok(path) => self.start_file(path),
                Err(problem) => self.problem(number, line, &problem),
            };
        }
        if self.files.is_empty() {
            self.start_file(PATH_DEFAULT.to_owned());
        }
        self.line_count += 1;
        if let Some(file) = self.files.last_mut() {
            file.text.push_str(line);
        }
        if let Some(carets) = CaretComment::find(line) {
            if let Err(problem) = self.expect(&carets) {
                self.problem(number, line, &problem);
            }
        } else if !line.trim().is_empty() {
            self.code = Some((self.line_count, characters(line.trim_end())));
        }
    }

    /// The relative path that the text after `#- ` names.
    fn new_path(&self, written: &str) -> Result<String, String> {
        let Some(path) = written.strip_prefix('/') else {
            return Err(format!("a file starts with a slash: write `#- /{written}`"));
        };
        if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err("the path has an empty, `.` or `..` segment: write a plain one such as `#- /lib/jobs.ex`".to_owned());
        }
        if self.files.iter().any(|file| file.path == path) {
            return Err(format!("`{path}` is there already: give each file its own path"));
        }
        Ok(path.to_owned())
    }

    fn start_file(&mut self, path: String) {
        self.files.push(FixtureFile { path, text: String::new() });
        self.line_count = 0;
        self.code = None;
    }

    fn expect(&mut self, carets: &CaretComment<'_>) -> Result<(), String> {
        let (label, text) = carets.label()?;
        let Some((line, length)) = self.code else {
            return Err("carets without a code line: put them below the line they speak of, in the same file".to_owned());
        };
        if carets.columns.start > length {
            return Err("the carets begin right of the code line's end: move them below the code they speak of".to_owned());
        }
        let path = self.files.last().map_or(PATH_DEFAULT, |file| &file.path).to_owned();
        let columns = carets.columns.clone();
        self.expectations.push(Expectation { path, line, caret_line: self.line_count, columns, label, text: text.to_owned() });
        Ok(())
    }

    fn problem(&mut self, number: usize, line: &str, problem: &str) {
        self.problems.push(format!("line {number}: {problem}\n    {}", line.trim_end()));
    }

    /// A raw string opens with a newline; that alone makes no file.
    fn drop_blank_default(&mut self) {
        let is_blank = |file: &FixtureFile| file.path == PATH_DEFAULT && file.text.trim().is_empty();
        if self.files.len() == 1 && is_blank(&self.files[0]) {
            self.files.clear();
        }
    }

    fn finish(mut self) -> Result<Fixture, String> {
        self.drop_blank_default();
        if self.problems.is_empty() && self.files.is_empty() {
            self.problems.push("the fixture is empty: write some source, or `#- /lib/jobs.ex` and some source".to_owned());
        }
        if self.problems.is_empty() {
            return Ok(Fixture { files: self.files, expectations: self.expectations });
        }
        Err(self.problems.join("\n"))
    }
}

pub(crate) fn characters(text: &str) -> u32 {
    text.chars().count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(source: &str) -> String {
        Fixture::try_parse(source).expect_err("the fixture is malformed")
    }

    #[test]
    fn reads_files_and_drops_the_leading_slash() {
        let fixture = Fixture::parse("\n#- /lib/a.ex\na()\n#- /lib/b/c.ex\nb()\n\nc()\n");
        let files: Vec<_> = fixture.files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
        assert_eq!(files, [("lib/a.ex", "a()\n"), ("lib/b/c.ex", "b()\n\nc()\n")]);
    }

    #[test]
    fn reads_text_before_the_first_marker_as_the_default_file() {
        let fixture = Fixture::parse("\nfirst()\n#- /lib/a.ex\na()");
        let files: Vec<_> = fixture.files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
        assert_eq!(files, [("lib/fixture.ex", "\nfirst()\n"), ("lib/a.ex", "a()")]);
    }

    #[test]
    fn accepts_the_default_path_written_out() {
        let fixture = Fixture::parse("\n#- /lib/fixture.ex\na()\n");
        assert_eq!(fixture.files, [FixtureFile { path: "lib/fixture.ex".to_owned(), text: "a()\n".to_owned() }]);
    }

    #[test]
    fn keeps_an_empty_file_that_is_marked() {
        assert_eq!(Fixture::parse("#- /lib/a.ex\n#- /lib/b.ex\nb()\n").files.len(), 2);
    }

    #[test]
    fn reads_a_caret_line_at_its_columns() {
        let fixture = Fixture::parse("#- /lib/a.ex\n  call(x)\n# ^^^^ warning: lost: twice\n");
        let expected = Expectation {
            path: "lib/a.ex".to_owned(),
            line: 1,
            caret_line: 2,
            columns: 3..7,
            label: Label::Warning,
            text: "lost: twice".to_owned(),
        };
        assert_eq!(fixture.expectations, [expected]);
        assert_eq!(fixture.files[0].text, "  call(x)\n# ^^^^ warning: lost: twice\n");
    }

    #[test]
    fn reads_several_caret_lines_and_blank_lines_below_one_code_line() {
        let fixture = Fixture::parse("a(b)\n#^ step\n\n# ^ error\nc()\n#^ note: n\n");
        let places: Vec<_> = fixture.expectations.iter().map(|e| (e.line, e.columns.clone(), e.label)).collect();
        assert_eq!(places, [(1, 2..3, Label::Step), (1, 3..4, Label::Error), (5, 2..3, Label::Note)]);
    }

    #[test]
    fn counts_characters_not_bytes() {
        let fixture = Fixture::parse("é = call()\n  # ^^^^ error\n");
        assert_eq!(fixture.expectations[0].columns, 5..9);
    }

    #[test]
    fn reads_windows_line_ends() {
        let fixture = Fixture::parse("#- /lib/a.ex\r\ncall()\r\n# ^^ error\r\n");
        assert_eq!(fixture.files[0].path, "lib/a.ex");
        assert_eq!(fixture.expectations[0].text, "");
    }

    #[test]
    fn leaves_other_comments_alone() {
        assert_eq!(Fixture::parse("call()\n# plain, with a ^ in it\n#-----\n").expectations, []);
    }

    #[test]
    fn reads_a_plain_comment_as_a_code_line() {
        let fixture = Fixture::parse("# racefree:allow\n# ^^^^^^^^^^^^^^ error: reason\n");
        assert_eq!(fixture.expectations[0].line, 1);
    }

    #[test]
    fn refuses_an_unknown_label() {
        let problem = problem("call()\n# ^^ fatal: no\n");
        assert_eq!(
            problem,
            "line 2: unknown label `fatal`: write `label: text` with one of error, warning, note, step, missed, wrong\n    # ^^ fatal: no"
        );
    }

    #[test]
    fn refuses_carets_without_a_label() {
        assert!(problem("call()\n# ^^\n").contains("no label: add one of error"));
    }

    #[test]
    fn refuses_two_runs_of_carets_in_a_line() {
        assert!(problem("call() call()\n# ^^  ^^ error\n").contains("unknown label `^^ error`"));
    }

    #[test]
    fn refuses_carets_without_a_code_line() {
        let problem = problem("#- /lib/a.ex\na()\n#- /lib/b.ex\n\n# ^^ error\n");
        assert!(problem.starts_with("line 5: carets without a code line: put them below"), "{problem}");
    }

    #[test]
    fn refuses_carets_beyond_the_code_line() {
        assert!(problem("call()\n       # ^^ error\n").contains("right of the code line's end"));
    }

    #[test]
    fn refuses_a_known_limit_without_a_reason() {
        assert!(problem("call()\n# ^^ missed\n").contains("`missed` without a reason: write `missed: ` and why"));
        assert!(problem("call()\n# ^^ wrong:  \n").contains("`wrong` without a reason"));
    }

    #[test]
    fn refuses_bad_paths() {
        assert!(problem("#- lib/a.ex\na()\n").contains("write `#- /lib/a.ex`"));
        assert!(problem("#- /lib/../a.ex\na()\n").contains("write a plain one"));
        assert!(problem("#- /\na()\n").contains("write a plain one"));
        assert!(problem("#- /lib/a.ex\na()\n#- /lib/a.ex\n").contains("line 3: `lib/a.ex` is there already"));
    }

    #[test]
    fn refuses_an_empty_fixture() {
        assert!(problem("\n  \n").contains("the fixture is empty: write some source"));
    }

    #[test]
    fn tells_all_problems_at_once() {
        assert_eq!(problem("call()\n# ^^ fatal\n# ^^ missed\n").matches("line ").count(), 2);
    }

    #[test]
    #[should_panic(expected = "malformed fixture\nline 2: unknown label")]
    fn panics_on_a_malformed_fixture() {
        let _ = Fixture::parse("call()\n# ^^ fatal\n");
    }
}
