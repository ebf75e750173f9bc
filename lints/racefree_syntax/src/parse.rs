//! Text in, lowered file out.

use tree_sitter::{ParseOptions, ParseState};

use crate::core::File;
use crate::depth;
use crate::lower::{self, Lowering};
use crate::repair;
use crate::span::{LineIndex, Span};
use crate::tree::Tree;

/// A larger file is reported as a problem and not parsed.
pub const SOURCE_BYTES_MAX: usize = 16 << 20;

/// Expressions, patterns, types and modules may nest this deep. The bound keeps every recursion over the core language, dropping it
/// included, within a thread's stack of 2 MiB.
pub const NESTING_MAX: usize = 256;

/// No more problems than this are kept for one file.
const PROBLEMS_MAX: usize = 20;

/// What a file's text came to.
#[derive(Debug, Default)]
pub struct Parsed {
    pub file: File,
    /// In source order.
    pub problems: Vec<Problem>,
    pub lines: LineIndex,
}

/// Text that could not be read. The rest of the file was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub span: Span,
    pub message: String,
}

/// The grammar.
pub fn language() -> tree_sitter::Language {
    tree_sitter_elixir::LANGUAGE.into()
}

/// Parses and lowers `text`. To parse many files, keep a [`Parser`].
pub fn parse(text: &str) -> Parsed {
    Parser::new().parse(text)
}

/// The syntax tree alone, to compare the cost of lowering with.
pub fn tree(text: &str) -> Option<tree_sitter::Tree> {
    Parser::new().tree(text)
}

/// A parser with the memory it reuses. One per thread.
pub struct Parser {
    /// `None` when the grammar and the library do not fit together, which a test rules out.
    parser: Option<tree_sitter::Parser>,
    tree: Tree,
    interrupt: Option<Box<dyn FnMut() -> bool + Send>>,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    pub fn new() -> Self {
        let mut parser = tree_sitter::Parser::new();
        let parser = parser.set_language(&language()).is_ok().then_some(parser);
        Self { parser, tree: Tree::default(), interrupt: None }
    }

    /// Asks `interrupt` now and then while parsing; when it says true, the file at hand is given up with a problem. There are texts, none of
    /// them programs, on which the grammar's parser takes quadratic time: who must answer in time brings a clock, which this crate has not.
    pub fn interrupt_with(&mut self, interrupt: impl FnMut() -> bool + Send + 'static) {
        self.interrupt = Some(Box::new(interrupt));
    }

    /// Never fails and never panics, whatever `text` is: what could not be read is in [`Parsed::problems`].
    pub fn parse(&mut self, text: &str) -> Parsed {
        let lines = LineIndex::new(text);
        if text.len() > SOURCE_BYTES_MAX {
            return unread(text, lines, format!("larger than {} MiB: not analysed", SOURCE_BYTES_MAX >> 20));
        }
        if depth::is_excessive(text) {
            return unread(text, lines, "blocks nested too deep: not analysed".to_owned());
        }
        let Some(source) = self.tree(text) else {
            return unread(text, lines, "takes too long to parse: not analysed".to_owned());
        };
        let (mut file, mut problems) = self.lower(&source, text);
        if self.tree.has_errors {
            problems.extend(self.tree.problems(text));
            (file, problems) = self.repaired(text, source, file, problems);
        }
        Parsed { file, problems: merged(problems), lines }
    }

    fn lower(&mut self, source: &tree_sitter::Tree, text: &str) -> (File, Vec<Problem>) {
        self.tree.fill(source, text);
        let (mut file, problems) = Lowering::new(text, &self.tree).run();
        file.allows = self.tree.comments.iter().filter_map(|span| lower::allow(text, *span)).collect();
        (file, problems)
    }

    /// The better of two readings of a broken file: the parser's own recovery, given here, and that of its parts.
    fn repaired(&mut self, text: &str, source: tree_sitter::Tree, file: File, problems: Vec<Problem>) -> (File, Vec<Problem>) {
        // Most files are one module, and this one part is parsed before, during and after the repair: it is the part that takes longest.
        let mut whole = (text.as_bytes().to_vec(), source);
        let repaired = repair::repair(text, &mut |part| {
            if part.len() != text.len() {
                return self.bytes_tree(part);
            }
            if part != whole.0 {
                whole = (part.to_vec(), self.bytes_tree(part)?);
            }
            Some(whole.1.clone())
        });
        let Some(repaired) = repaired else { return (file, problems) };
        let source = if repaired.text.as_bytes() == whole.0 { Some(whole.1) } else { self.tree(&repaired.text) };
        let Some(source) = source else { return (file, problems) };
        let (mended_file, mut mended_problems) = self.lower(&source, &repaired.text);
        if mended_file.clauses < file.clauses {
            return (file, problems);
        }
        if repaired.problems.is_empty() {
            mended_problems.extend(self.tree.problems(text));
        } else {
            // What is missing was said already, and closer to where it should be.
            mended_problems.extend(self.tree.unread(text));
            mended_problems.extend(repaired.problems);
        }
        (mended_file, mended_problems)
    }

    /// The syntax tree alone; `None` when the text is too costly to parse.
    pub fn tree(&mut self, text: &str) -> Option<tree_sitter::Tree> {
        self.bytes_tree(text.as_bytes())
    }

    fn bytes_tree(&mut self, bytes: &[u8]) -> Option<tree_sitter::Tree> {
        let parser = self.parser.as_mut()?;
        let interrupt = &mut self.interrupt;
        // A budget in steps and not in time: the same text gives the same answer on every machine.
        let mut steps_left = STEPS_MIN + bytes.len() / STEP_BYTES;
        let mut progress = |_: &ParseState| {
            steps_left = steps_left.saturating_sub(1);
            steps_left == 0 || interrupt.as_mut().is_some_and(|interrupt| interrupt())
        };
        let mut read = |offset: usize, _| bytes.get(offset..).unwrap_or(&[]);
        let tree = parser.parse_with_options(&mut read, None, Some(ParseOptions::new().progress_callback(&mut progress)));
        if tree.is_none() {
            parser.reset();
        }
        tree
    }
}

/// The parser reports progress every hundred operations, which is once in 15 bytes at the most in what parses. The budget is far above.
const STEPS_MIN: usize = 10_000;
const STEP_BYTES: usize = 2;

fn unread(text: &str, lines: LineIndex, message: String) -> Parsed {
    let problem = Problem { span: Span::new(0, text.len().min(u32::MAX as usize)), message };
    Parsed { file: File::default(), problems: vec![problem], lines }
}

/// In source order, touching ones of the same kind as one, and not too many.
fn merged(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| (a.span, &a.message).cmp(&(b.span, &b.message)));
    let mut kept: Vec<Problem> = Vec::new();
    for problem in problems {
        if let Some(last) = kept.last_mut().filter(|last| problem.span.start <= last.span.end) {
            last.span = last.span.to(problem.span);
        } else if kept.len() < PROBLEMS_MAX {
            kept.push(problem);
        } else {
            break;
        }
    }
    kept
}
