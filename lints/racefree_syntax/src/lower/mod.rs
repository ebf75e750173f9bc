//! From the flat tree to the core language, in one walk.
//!
//! [`Lowering`] holds what the walk knows: the lexical scope, the module under construction and the nesting so far. Its methods are
//! spread over the files of this folder by what they lower.

mod call;
mod comment;
mod control;
mod definition;
mod directive;
mod expression;
mod function;
mod module;
mod pattern;
mod quoted;
mod spec;

pub(crate) use comment::allow;

use crate::core::{BlindSpot, BlindSpotKind, Expr, ExprKind, File};
use crate::kinds::{Kind, Op};
use crate::parse::{NESTING_MAX, Problem};
use crate::scope::Scope;
use crate::tree::{NO_NODE, NodeId, Tree};
use crate::words::Words;
use crate::{Span, Symbol, symbol};
use module::Builder;

/// The walk's state for one file.
pub(crate) struct Lowering<'a> {
    text: &'a str,
    tree: &'a Tree,
    words: &'static Words,
    scope: Scope,
    file: File,
    problems: Vec<Problem>,
    module: Builder,
    /// How many expressions, patterns, types and modules enclose the current one.
    depth: usize,
    /// Variables at or above this one are bound in the pattern being lowered.
    pattern_first: u32,
    /// The first parameter of the enclosing `&` capture and how many it has.
    placeholders: Option<(u32, u32)>,
    /// Definitions met inside function bodies, where error recovery (or a test) put them.
    strays: Vec<NodeId>,
    /// Statements outside any module.
    toplevel: Vec<NodeId>,
    /// The text of the `describe` around the current test, with a space behind it.
    describe: String,
    scratch: String,
}

/// The parts of a call node.
#[derive(Debug, Clone, Copy)]
struct Parts {
    target: NodeId,
    arguments: NodeId,
    do_block: NodeId,
}

/// Where a `do`, `else`, `rescue`, `catch` or `after` section stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Absent,
    /// The children of this node are its statements or clauses.
    Container(NodeId),
    /// Keyword form: this node is its value.
    Value(NodeId),
}

/// The sections of a call with a `do` block or `do:` keywords.
#[derive(Debug, Clone, Copy)]
struct Sections {
    body: Part,
    rescue: Part,
    catch: Part,
    else_: Part,
    after: Part,
}

impl<'a> Lowering<'a> {
    pub(crate) fn new(text: &'a str, tree: &'a Tree) -> Self {
        Self {
            text,
            tree,
            words: Words::get(),
            scope: Scope::default(),
            file: File::default(),
            problems: Vec::new(),
            module: Builder::default(),
            depth: 0,
            pattern_first: 0,
            placeholders: None,
            strays: Vec::new(),
            toplevel: Vec::new(),
            describe: String::new(),
            scratch: String::new(),
        }
    }

    pub(crate) fn run(mut self) -> (File, Vec<Problem>) {
        self.toplevel_module();
        (self.file, self.problems)
    }

    fn source(&self, span: Span) -> &'a str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    fn text_of(&self, id: NodeId) -> &'a str {
        self.source(self.tree.node(id).span())
    }

    fn span_of(&self, id: NodeId) -> Span {
        self.tree.node(id).span()
    }

    fn symbol_of(&self, id: NodeId) -> Symbol {
        symbol(self.text_of(id))
    }

    fn blind_spot(&mut self, kind: BlindSpotKind, span: Span) {
        self.file.blind_spots.push(BlindSpot { kind, span });
    }

    fn nil(&self, span: Span) -> Expr {
        Expr { kind: ExprKind::Atom(self.words.nil), span }
    }

    /// One level deeper, or false when there is no room; [`Lowering::ascend`] must follow a true.
    fn descend(&mut self, span: Span) -> bool {
        if self.depth < NESTING_MAX {
            self.depth += 1;
            return true;
        }
        self.too_deep(span);
        false
    }

    fn ascend(&mut self) {
        self.depth -= 1;
    }

    fn too_deep(&mut self, span: Span) {
        self.blind_spot(BlindSpotKind::TooDeep, span);
        let message = format!("nested more than {NESTING_MAX} levels deep: not analysed; the rest of the file is");
        self.problems.push(Problem { span, message });
    }

    fn parts(&self, id: NodeId) -> Parts {
        let mut parts = Parts { target: NO_NODE, arguments: NO_NODE, do_block: NO_NODE };
        for child in self.tree.children(id) {
            match self.tree.kind(child) {
                Kind::Error => {}
                Kind::Arguments => parts.arguments = child,
                Kind::DoBlock => parts.do_block = child,
                _ if parts.target == NO_NODE => parts.target = child,
                _ => {}
            }
        }
        parts
    }

    /// The name of a local call's target, when `id` is a local call.
    fn local_name(&self, id: NodeId) -> Option<Symbol> {
        if self.tree.kind(id) != Kind::Call {
            return None;
        }
        let target = self.tree.child(id, 0);
        (self.tree.kind(target) == Kind::Identifier).then(|| self.symbol_of(target))
    }

    /// Arguments that are no trailing keywords.
    fn positional(&self, arguments: NodeId) -> impl Iterator<Item = NodeId> + 'a {
        let tree = self.tree;
        tree.children(arguments).filter(move |child| !matches!(tree.kind(*child), Kind::Keywords | Kind::Error))
    }

    /// The trailing keywords of a call or list, or [`NO_NODE`].
    fn keywords(&self, arguments: NodeId) -> NodeId {
        self.tree.children(arguments).filter(|child| self.tree.kind(*child) == Kind::Keywords).last().unwrap_or(NO_NODE)
    }

    /// Key and value of each pair of `keywords`.
    fn pairs(&self, keywords: NodeId) -> impl Iterator<Item = (NodeId, NodeId)> + 'a {
        let tree = self.tree;
        tree.children(keywords)
            .filter(move |pair| tree.kind(*pair) == Kind::Pair)
            .map(move |pair| (tree.child(pair, 0), tree.child(pair, 1)))
    }

    /// The value of plain key `name` among `keywords`.
    fn keyword(&self, keywords: NodeId, name: &str) -> Option<NodeId> {
        self.pairs(keywords).find(|(key, _)| self.keyword_text(*key) == name).map(|(_, value)| value)
    }

    fn keyword_text(&self, key: NodeId) -> &'a str {
        let text = self.text_of(key).trim_end();
        text.strip_suffix(':').unwrap_or(text)
    }

    fn sections(&self, parts: Parts) -> Sections {
        let mut sections =
            Sections { body: Part::Absent, rescue: Part::Absent, catch: Part::Absent, else_: Part::Absent, after: Part::Absent };
        if parts.do_block != NO_NODE {
            sections.body = Part::Container(parts.do_block);
            for child in self.tree.children(parts.do_block) {
                match self.tree.kind(child) {
                    Kind::RescueBlock => sections.rescue = Part::Container(child),
                    Kind::CatchBlock => sections.catch = Part::Container(child),
                    Kind::ElseBlock => sections.else_ = Part::Container(child),
                    Kind::AfterBlock => sections.after = Part::Container(child),
                    _ => {}
                }
            }
            return sections;
        }
        for (key, value) in self.pairs(self.keywords(parts.arguments)) {
            let part = Part::Value(value);
            match self.keyword_text(key) {
                "do" => sections.body = part,
                "rescue" => sections.rescue = part,
                "catch" => sections.catch = part,
                "else" => sections.else_ = part,
                "after" => sections.after = part,
                _ => {}
            }
        }
        sections
    }

    /// The operator of a unary or binary node: its name and place.
    fn operator(&self, id: NodeId) -> (Symbol, Span) {
        let node = self.tree.node(id);
        if node.kind == Kind::Unary {
            let name = match (node.op, self.text_of(id).starts_with('n')) {
                (Op::Bang, true) => "not",
                (Op::Bang, false) => "!",
                (Op::Minus, _) => "-",
                (Op::Plus, _) => "+",
                (Op::Pin, _) => "^",
                (Op::At, _) => "@",
                (Op::Capture, _) => "&",
                _ => "~~~",
            };
            return (symbol(name), Span { start: node.start, end: node.start + name.len() as u32 });
        }
        let left = self.span_of(self.tree.child(id, 0));
        let right = self.span_of(self.tree.child(id, 1));
        let (name, offset) = operator_text(self.source(Span { start: left.end, end: right.start }));
        let start = left.end + offset as u32;
        let name = if node.op == Op::NotIn { "not in" } else { name };
        (symbol(name), Span { start, end: start + name.len() as u32 })
    }
}

impl Sections {
    /// Whether the body is guarded by anything.
    fn is_try(&self) -> bool {
        [self.rescue, self.catch, self.else_, self.after].iter().any(|part| *part != Part::Absent)
    }
}

/// The first word of `gap` that is no comment, and where it starts.
fn operator_text(gap: &str) -> (&str, usize) {
    let mut rest = gap;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\\' && !rest.starts_with("\\\\"));
        match rest.strip_prefix('#') {
            Some(comment) => rest = comment.split_once('\n').map_or("", |(_, after)| after),
            None => break,
        }
    }
    let end = rest.find(|c: char| c.is_whitespace() || c == '#').unwrap_or(rest.len());
    (rest.get(..end).unwrap_or(""), gap.len() - rest.len())
}
