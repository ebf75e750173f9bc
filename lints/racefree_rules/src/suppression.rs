//! `# racefree:allow RULE - reason`: which findings a comment silences, and which comments are themselves a finding.
//!
//! A comment speaks of its own line; standing alone, of the next line of code. `allow-function` and `allow-module` speak of the function or module
//! around them, or, outside of any, of the next one. A comment without a reason works, and is reported: one report, not two. The findings made here cannot be
//! silenced, for the way to be rid of them is to remove the comment.

use racefree_syntax::core::{Allow, AllowScope, File, Function, Module};
use racefree_syntax::span::LineIndex;
use racefree_syntax::{FileId, Span};

use crate::finding::{Finding, Fix, Place, Safety, Severity, Tier};
use crate::fixes::fix;

/// The comment silences nothing, though its rule ran.
pub const UNUSED_ALLOW: &str = "unused_allow";
/// The comment gives no reason.
pub const ALLOW_WITHOUT_REASON: &str = "allow_without_reason";
/// The comment names no rule, or none that exists.
pub const ALLOW_UNKNOWN_RULE: &str = "allow_unknown_rule";

/// What this module reports, sorted: id and page. They are no rules of the program, so they stand in a list of their own.
pub static PAGES: [(&str, &str); 3] = [
    (
        ALLOW_UNKNOWN_RULE,
        "# A comment allows a rule that does not exist\n\n`# racefree:allow RULE - reason` silences the findings of one rule, and this one names none that exists: \
         it silences nothing.\n\n## Instead\n\nWrite the rule's id as the finding shows it; `racefree rules` lists them all.\n",
    ),
    (
        ALLOW_WITHOUT_REASON,
        "# A comment allows a finding and does not say why\n\n`# racefree:allow RULE - reason` tells the next reader why a race is harmless here. \
         Without the reason nobody can tell whether that still holds.\n\n## Instead\n\n```elixir\n# racefree:allow nil_pid_call - the supervisor \
         starts the server before this process\n```\n",
    ),
    (
        UNUSED_ALLOW,
        "# A comment allows a finding that is not there\n\nThe code that `# racefree:allow RULE - reason` spoke of has changed or moved, \
         or the linter has learned to see that it is safe. Left in place, the comment would hide the next race on this line.\n\n## Instead\n\n\
         Remove it.\n",
    ),
];

/// Where a rule named in a comment stands in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is no such rule.
    Unknown,
    /// It was not asked for: nothing can be said about its comments.
    Skipped,
    Ran,
}

/// What is needed to judge comments.
pub struct Comments<'a> {
    /// A file's index is its `FileId`.
    pub files: &'a [File],
    /// The text and lines of a file.
    pub text: &'a dyn Fn(FileId) -> Option<(&'a str, &'a LineIndex)>,
    pub standing: &'a dyn Fn(&str) -> Standing,
    /// The rule that was perhaps meant.
    pub nearest: &'a dyn Fn(&str) -> Option<&'static str>,
}

/// The findings that stay, those about comments among them, and those that a comment silences.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Sorted by place, then rule.
    pub findings: Vec<Finding>,
    /// In the order in which they were found.
    pub allowed: Vec<Allowed>,
}

/// A finding that a comment silences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    pub finding: Finding,
    /// The comment; of several, the first that gives a reason.
    pub comment: Place,
    /// As the comment gives it; empty when it gives none.
    pub reason: String,
}

/// What a comment silences.
#[derive(Debug, Clone, Copy)]
enum Reach {
    Lines { own: u32, next: Option<u32> },
    Span(Span),
    Nothing,
}

struct Judged<'a> {
    file: FileId,
    allow: &'a Allow,
    lines: &'a LineIndex,
    reach: Reach,
    silences: bool,
}

impl Judged<'_> {
    fn covers(&self, finding: &Finding) -> bool {
        if self.file != finding.place.file || self.allow.rule.as_str() != finding.rule {
            return false;
        }
        match self.reach {
            Reach::Lines { own, next } => {
                let line = self.lines.line(finding.place.span.start);
                line == own || Some(line) == next
            }
            Reach::Span(span) => span.contains(finding.place.span),
            Reach::Nothing => false,
        }
    }
}

/// Takes out what comments allow, and adds what is wrong with the comments.
pub fn apply(comments: &Comments, mut findings: Vec<Finding>) -> Outcome {
    let mut judged = judged(comments);
    let mut allowed = Vec::new();
    findings.retain(|finding| {
        let mut covering = Vec::new();
        // Every comment that covers it counts as used: which of two is the superfluous one is not for us to say.
        for comment in judged.iter_mut().filter(|comment| comment.covers(finding)) {
            comment.silences = true;
            covering.push((comment.file, comment.allow));
        }
        let told = covering.iter().find(|(_, allow)| !allow.reason.is_empty()).or(covering.first());
        let Some((file, allow)) = told else { return true };
        let comment = Place { file: *file, span: allow.span };
        allowed.push(Allowed { finding: finding.clone(), comment, reason: allow.reason.to_string() });
        false
    });
    findings.extend(judged.iter().filter_map(|comment| complaint(comments, comment)));
    findings.sort_by(|a, b| (a.place, a.rule, &a.message).cmp(&(b.place, b.rule, &b.message)));
    Outcome { findings, allowed }
}

fn judged<'a>(comments: &Comments<'a>) -> Vec<Judged<'a>> {
    let mut judged = Vec::new();
    for (id, file) in comments.files.iter().enumerate().filter(|(_, file)| !file.allows.is_empty()) {
        let file_id = FileId(id as u32);
        let Some((text, lines)) = (comments.text)(file_id) else { continue };
        judged.extend(file.allows.iter().map(|allow| {
            let reach = reach(file, allow, text, lines);
            Judged { file: file_id, allow, lines, reach, silences: false }
        }));
    }
    judged
}

fn reach(file: &File, allow: &Allow, text: &str, lines: &LineIndex) -> Reach {
    let span = match allow.scope {
        AllowScope::Line => {
            let own = lines.line(allow.span.start);
            let next = if allow.own_line { next_code_line(text, lines, own) } else { None };
            return Reach::Lines { own, next };
        }
        AllowScope::Function => function_of(file, allow.span).map(|(_, function)| function.span),
        AllowScope::Module => module_of(file, allow.span).map(|module| module.span),
    };
    span.map_or(Reach::Nothing, Reach::Span)
}

/// The first line behind `line` that holds code: blank lines and comments are passed over.
fn next_code_line(text: &str, lines: &LineIndex, line: u32) -> Option<u32> {
    (line + 1..=lines.line_count() as u32).find(|line| {
        let span = lines.line_span(text, *line);
        let code = text.get(span.start as usize..span.end as usize).unwrap_or_default().trim();
        !code.is_empty() && !code.starts_with('#')
    })
}

/// The innermost module around `span`, or the next one behind it.
fn module_of(file: &File, span: Span) -> Option<&Module> {
    enclosing_module(file, span)
        .or_else(|| file.modules.iter().filter(|module| module.span.start >= span.end).min_by_key(|module| module.span.start))
}

fn enclosing_module(file: &File, span: Span) -> Option<&Module> {
    let around = file.modules.iter().filter(|module| module.span.contains(span));
    around.min_by_key(|module| module.span.end - module.span.start)
}

/// The function around `span`, or the next one of the same module, with its module.
fn function_of(file: &File, span: Span) -> Option<(&Module, &Function)> {
    enclosing_function(file, span).or_else(|| {
        let module = module_of(file, span)?;
        let behind = module.functions.iter().filter(|function| function.span.start >= span.end);
        behind.min_by_key(|function| function.span.start).map(|function| (module, function))
    })
}

fn enclosing_function(file: &File, span: Span) -> Option<(&Module, &Function)> {
    let module = enclosing_module(file, span)?;
    module.functions.iter().find(|function| function.span.contains(span)).map(|function| (module, function))
}

/// What is wrong with `comment`, the worst first: a comment never gets two findings.
fn complaint(comments: &Comments, comment: &Judged) -> Option<Finding> {
    let rule = comment.allow.rule.as_str();
    let standing = (comments.standing)(rule);
    let (id, message, harm, help) = if rule.is_empty() {
        let message = "this comment allows no rule in particular".to_owned();
        (ALLOW_UNKNOWN_RULE, message, NOTHING_SILENCED, format!("Write it as `# {} RULE - reason`.", word(comment.allow.scope)))
    } else if standing == Standing::Unknown {
        let help = match (comments.nearest)(rule) {
            Some(near) => format!("Perhaps `{near}` is meant; `racefree rules` lists them all."),
            None => "`racefree rules` lists them all.".to_owned(),
        };
        (ALLOW_UNKNOWN_RULE, format!("there is no rule `{rule}`"), NOTHING_SILENCED, help)
    } else if !comment.silences && standing == Standing::Ran {
        let message = format!("nothing to allow: `{rule}` finds no race {}", whereabouts(comment.reach));
        (UNUSED_ALLOW, message, "It would hide the next race here.", "Remove the comment.".to_owned())
    } else if comment.allow.reason.is_empty() {
        let help = format!("Write why it is harmless here: `# {} {rule} - reason`.", word(comment.allow.scope));
        (ALLOW_WITHOUT_REASON, format!("`{rule}` is allowed without a reason"), "Nobody can tell whether it is still harmless.", help)
    } else {
        return None;
    };
    let file = comments.files.get(comment.file.0 as usize)?;
    let fixes = if id == UNUSED_ALLOW { removal(comments, comment).into_iter().collect() } else { Vec::new() };
    Some(Finding {
        rule: id,
        tier: Tier::Likely,
        severity: Severity::Warning,
        place: Place { file: comment.file, span: comment.allow.span },
        message,
        harm: harm.to_owned(),
        trace: Vec::new(),
        help,
        function: enclosing_function(file, comment.allow.span).map(name).unwrap_or_default(),
        fixes,
        sketches: Vec::new(),
    })
}

/// Takes the comment out, with the blanks before it; a comment on a line of its own goes with its line.
fn removal(comments: &Comments, comment: &Judged) -> Option<Fix> {
    let (text, _) = (comments.text)(comment.file)?;
    let Span { start, end } = comment.allow.span;
    let before = text.get(..start as usize)?;
    let start = before.trim_end_matches([' ', '\t']).len();
    let line_feed = text.get(end as usize..).filter(|rest| rest.starts_with('\n')).map_or(0, |_| 1);
    let end = if comment.allow.own_line { end + line_feed } else { end };
    let place = Place { file: comment.file, span: Span { start: start as u32, end } };
    Some(fix("Remove the comment", Safety::Safe, place, ""))
}

const NOTHING_SILENCED: &str = "It silences nothing.";

fn whereabouts(reach: Reach) -> &'static str {
    match reach {
        Reach::Lines { next: None, .. } => "on this line",
        Reach::Lines { next: Some(_), .. } => "on the next line of code",
        Reach::Span(_) | Reach::Nothing => "in the code it speaks of",
    }
}

fn word(scope: AllowScope) -> &'static str {
    match scope {
        AllowScope::Line => "racefree:allow",
        AllowScope::Function => "racefree:allow-function",
        AllowScope::Module => "racefree:allow-module",
    }
}

fn name((module, function): (&Module, &Function)) -> String {
    format!("{}.{}/{}", module.name, function.name, function.arity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use racefree_syntax::parse::{Parsed, parse};

    /// Judges the comments of `text`, with one finding of `nil_pid_call` at each `:found`.
    fn verdicts(text: &str) -> (Vec<String>, usize) {
        let Parsed { file, lines, .. } = parse(text);
        let findings = text.match_indices(":found").map(|(start, code)| finding(Span::new(start, start + code.len()))).collect();
        let comments = Comments {
            files: &[file],
            text: &|_| Some((text, &lines)),
            standing: &|rule| match rule {
                "nil_pid_call" => Standing::Ran,
                "get_then_put" => Standing::Skipped,
                _ => Standing::Unknown,
            },
            nearest: &|_| Some("nil_pid_call"),
        };
        let outcome = apply(&comments, findings);
        let verdict = |finding: &Finding| format!("{}: {}", lines.line(finding.place.span.start), finding.rule);
        (outcome.findings.iter().map(verdict).collect(), outcome.allowed.len())
    }

    fn finding(span: Span) -> Finding {
        Finding {
            rule: "nil_pid_call",
            tier: Tier::Certain,
            severity: Severity::Error,
            place: Place { file: FileId(0), span },
            message: String::new(),
            harm: String::new(),
            trace: Vec::new(),
            help: String::new(),
            function: String::new(),
            fixes: Vec::new(),
            sketches: Vec::new(),
        }
    }

    #[test]
    fn silences_its_own_line() {
        assert_eq!(verdicts("f(:found) # racefree:allow nil_pid_call - why\nf(:found)\n"), (vec!["2: nil_pid_call".into()], 1));
    }

    #[test]
    fn silences_the_next_line_of_code_when_it_stands_alone() {
        assert_eq!(
            verdicts("# racefree:allow nil_pid_call - why\n\n# more words\nf(:found)\nf(:found)\n"),
            (vec!["5: nil_pid_call".into()], 1)
        );
    }

    #[test]
    fn reports_a_comment_that_silences_nothing() {
        assert_eq!(
            verdicts("x # racefree:allow nil_pid_call - why\nf(:found)\n"),
            (vec!["1: unused_allow".into(), "2: nil_pid_call".into()], 0)
        );
    }

    #[test]
    fn reports_a_missing_reason_and_silences_all_the_same() {
        assert_eq!(verdicts("f(:found) # racefree:allow nil_pid_call\n"), (vec!["1: allow_without_reason".into()], 1));
    }

    #[test]
    fn reports_an_unknown_rule() {
        assert_eq!(verdicts("x # racefree:allow nil_pid_cal - why\n"), (vec!["1: allow_unknown_rule".into()], 0));
    }

    #[test]
    fn accepts_a_comment_on_a_rule_that_did_not_run() {
        assert_eq!(verdicts("x # racefree:allow get_then_put - why\n"), (vec![], 0));
    }

    #[test]
    fn silences_the_function_around_it_or_the_next_one() {
        let code = "defmodule A do
  def a, do: :found
  # racefree:allow-function nil_pid_call - why
  @doc false
  def b(1), do: :found
  def b(2), do: :found
  def c do
    # racefree:allow-function nil_pid_call - why
    :found
  end
  def d, do: :found
end
";
        assert_eq!(verdicts(code), (vec!["2: nil_pid_call".into(), "11: nil_pid_call".into()], 3));
    }

    #[test]
    fn silences_the_module_around_it_or_the_next_one() {
        let code = "# racefree:allow-module nil_pid_call - why
defmodule A do
  def a, do: :found
end
defmodule B do
  defmodule C do
    # racefree:allow-module nil_pid_call - why
    def c, do: :found
  end
  def b, do: :found
end
";
        assert_eq!(verdicts(code), (vec!["10: nil_pid_call".into()], 2));
    }

    #[test]
    fn reports_a_wide_comment_that_has_nothing_around_it() {
        let code = "defmodule A do
  def a, do: :found
end
# racefree:allow-module nil_pid_call - why
# racefree:allow-function nil_pid_call - why
";
        assert_eq!(verdicts(code), (vec!["2: nil_pid_call".into(), "4: unused_allow".into(), "5: unused_allow".into()], 0));
    }

    #[test]
    fn a_comment_that_silences_nothing_can_be_removed() {
        for (text, without) in
            [("x # racefree:allow nil_pid_call - why\ny\n", "x\ny\n"), ("x\n  # racefree:allow nil_pid_call - why\ny\n", "x\ny\n")]
        {
            let Parsed { file, lines, .. } = parse(text);
            let comments = Comments { files: &[file], text: &|_| Some((text, &lines)), standing: &|_| Standing::Ran, nearest: &|_| None };
            let outcome = apply(&comments, Vec::new());
            assert_eq!(outcome.findings[0].fixes[0].applied(text).as_deref(), Some(without));
        }
    }

    #[test]
    fn pages_are_sorted_and_titled() {
        assert!(PAGES.is_sorted());
        assert!(PAGES.iter().all(|(_, page)| page.starts_with("# ")));
    }
}
