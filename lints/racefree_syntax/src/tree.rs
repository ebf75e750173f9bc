//! The syntax tree as one flat vector in preorder.
//!
//! A tree-sitter node costs a library call for each question asked of it. One walk of a cursor copies what the lowering needs; a node's
//! children then lie behind it in memory and `next` leaps over a subtree. The walk is a loop, so the depth of the source does not matter here.
//! Comments do not enter the tree: the ones with a directive are handed to the caller.

use tree_sitter::TreeCursor;

use crate::Span;
use crate::kinds::{self, Entry, Kind, Op, Shape};
use crate::parse::Problem;

/// An index into [`Tree`]; one past the end stands for "no node".
pub(crate) type NodeId = u32;

pub(crate) const NO_NODE: NodeId = NodeId::MAX;

/// Node kind ids of errors, as tree-sitter numbers them.
const ERROR_ID: u16 = u16::MAX;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) op: Op,
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// The node behind this one's subtree.
    pub(crate) next: NodeId,
}

/// Stands in for what is not there, so that reading never fails.
const NOTHING: Node = Node { kind: Kind::Missing, op: Op::None, start: 0, end: 0, next: NO_NODE };

/// A flat tree and the leftovers of building it. Reused from file to file for its memory.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    open: Vec<NodeId>,
    /// Spans of comments that may be directives.
    pub(crate) comments: Vec<Span>,
    /// What the parser had to make up, and where.
    pub(crate) missing: Vec<(Span, &'static str)>,
    /// Reserved words that close or part a block which was never opened.
    torn: Vec<Span>,
    pub(crate) has_errors: bool,
}

impl Tree {
    /// Replaces the content by that of `source`, parsed from `text`.
    pub(crate) fn fill(&mut self, source: &tree_sitter::Tree, text: &str) {
        self.nodes.clear();
        self.open.clear();
        self.comments.clear();
        self.missing.clear();
        self.torn.clear();
        self.has_errors = source.root_node().has_error();
        if self.has_errors { self.walk::<true>(source.walk(), text) } else { self.walk::<false>(source.walk(), text) }
    }

    fn walk<const ERRORS: bool>(&mut self, mut cursor: TreeCursor<'_>, text: &str) {
        let table = kinds::table();
        loop {
            if self.enter::<ERRORS>(&cursor.node(), table, text) {
                if cursor.goto_first_child() {
                    continue;
                }
                self.leave();
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return;
                }
                self.leave();
            }
        }
    }

    /// Copies `node`; true when its children are to be visited, and then [`Tree::leave`] must follow.
    fn enter<const ERRORS: bool>(&mut self, node: &tree_sitter::Node<'_>, table: &[Entry], text: &str) -> bool {
        let id = node.kind_id();
        let entry = match table.get(id as usize) {
            Some(entry) => *entry,
            None if id == ERROR_ID => Entry { kind: Kind::Error, op: Op::None, shape: Shape::Inner },
            None => Entry { kind: Kind::Skipped, op: Op::None, shape: Shape::Leaf },
        };
        // A made-up name stands below a node for names, of no length either.
        if ERRORS && (node.is_missing() || entry.kind == Kind::Identifier && node.start_byte() == node.end_byte()) {
            self.missing.push((span(node), node.kind()));
            if node.is_named() {
                self.push(Kind::Missing, node);
            }
            return false;
        }
        match entry.kind {
            Kind::Skipped => return false,
            Kind::Token => {
                self.fold_operator(entry.op);
                return false;
            }
            Kind::Do | Kind::End => {
                if ERRORS && self.parent_kind() == Kind::Error {
                    self.push(entry.kind, node);
                }
                return false;
            }
            Kind::Comment => {
                let span = span(node);
                if is_directive(text, span) {
                    self.comments.push(span);
                }
                return false;
            }
            _ => {}
        }
        let at = self.push(entry.kind, node);
        if entry.kind == Kind::StabClause {
            self.end_with_code(at, text);
        }
        if entry.kind == Kind::Identifier && self.parent_kind() != Kind::Dot && is_reserved(bytes(text, span(node))) {
            // The grammar reads a reserved word as a name where it fits nowhere else.
            self.has_errors = true;
            self.torn.push(span(node));
        }
        let inner = match entry.shape {
            Shape::Inner => true,
            Shape::Leaf => false,
            Shape::Quoted => ERRORS || has_interpolation(text, span(node)),
        };
        if inner {
            self.open.push(at);
        }
        inner
    }

    fn fold_operator(&mut self, op: Op) {
        if let Some(parent) = self.open.last().and_then(|at| self.nodes.get_mut(*at as usize))
            && matches!(parent.kind, Kind::Unary | Kind::Binary)
            && parent.op == Op::None
        {
            parent.op = op;
        }
    }

    fn parent_kind(&self) -> Kind {
        self.open.last().map_or(Kind::Source, |at| self.node(*at).kind)
    }

    fn push(&mut self, kind: Kind, node: &tree_sitter::Node<'_>) -> NodeId {
        let at = self.nodes.len() as NodeId;
        let Span { start, end } = span(node);
        self.nodes.push(Node { kind, op: Op::None, start, end, next: at + 1 });
        at
    }

    /// The grammar has a clause reach to the word behind it, which is on another line.
    fn end_with_code(&mut self, at: NodeId, text: &str) {
        if let Some(node) = self.nodes.get_mut(at as usize) {
            let blanks = bytes(text, node.span()).iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
            node.end -= blanks as u32;
        }
    }

    fn leave(&mut self) {
        let next = self.nodes.len() as NodeId;
        if let Some(node) = self.open.pop().and_then(|at| self.nodes.get_mut(at as usize)) {
            node.next = next;
        }
    }

    pub(crate) fn node(&self, id: NodeId) -> Node {
        self.nodes.get(id as usize).copied().unwrap_or(NOTHING)
    }

    pub(crate) fn kind(&self, id: NodeId) -> Kind {
        self.node(id).kind
    }

    pub(crate) fn children(&self, id: NodeId) -> Children<'_> {
        if id == NO_NODE {
            return Children { tree: self, at: 0, end: 0 };
        }
        Children { tree: self, at: id + 1, end: self.node(id).next }
    }

    /// The `index`-th child that is no [`Kind::Error`], or [`NO_NODE`].
    pub(crate) fn child(&self, id: NodeId, index: usize) -> NodeId {
        self.children(id).filter(|child| self.kind(*child) != Kind::Error).nth(index).unwrap_or(NO_NODE)
    }

    /// What the parser could not read or had to make up.
    pub(crate) fn problems<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Problem> + 't {
        let missing = self
            .missing
            .iter()
            .map(|(span, kind)| Problem { span: *span, message: format!("`{kind}` is missing here; the rest of the file is analysed") });
        let torn = self.torn.iter().map(|span| Problem {
            span: *span,
            message: format!("`{}` belongs to nothing here; the rest of the file is analysed", excerpt(text, *span)),
        });
        self.unread(text).chain(missing).chain(torn)
    }

    /// What the parser could not read.
    pub(crate) fn unread<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Problem> + 't {
        let mut end = 0;
        let errors = self.nodes.iter().enumerate().filter(move |(at, node)| {
            // An error inside an error is part of the same trouble.
            let is_outer = node.kind == Kind::Error && *at as NodeId >= end;
            if is_outer {
                end = node.next;
            }
            is_outer
        });
        errors.map(move |(_, node)| Problem {
            span: node.span(),
            message: format!("`{}` cannot be parsed; the rest of the file is analysed", excerpt(text, node.span())),
        })
    }

    /// All nodes below `id`, in preorder.
    pub(crate) fn below(&self, id: NodeId) -> std::ops::Range<NodeId> {
        if id == NO_NODE { 0..0 } else { id + 1..self.node(id).next }
    }
}

impl Node {
    pub(crate) fn span(self) -> Span {
        Span { start: self.start, end: self.end }
    }
}

/// The children of one node.
#[derive(Clone)]
pub(crate) struct Children<'a> {
    tree: &'a Tree,
    at: NodeId,
    end: NodeId,
}

impl Iterator for Children<'_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        if self.at >= self.end {
            return None;
        }
        let at = self.at;
        self.at = self.tree.node(at).next;
        Some(at)
    }
}

fn span(node: &tree_sitter::Node<'_>) -> Span {
    Span::new(node.start_byte(), node.end_byte())
}

pub(crate) fn is_reserved(word: &[u8]) -> bool {
    matches!(word, b"end" | b"else" | b"rescue" | b"catch" | b"after" | b"do")
}

fn has_interpolation(text: &str, span: Span) -> bool {
    bytes(text, span).windows(2).any(|pair| pair == b"#{")
}

/// The beginning of the first line of `span`.
pub(crate) fn excerpt(text: &str, span: Span) -> &str {
    const CHARS_MAX: usize = 40;
    let whole = text.get(span.start as usize..span.end as usize).unwrap_or("");
    let line = whole.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    line.char_indices().nth(CHARS_MAX).and_then(|(end, _)| line.get(..end)).unwrap_or(line)
}

fn is_directive(text: &str, span: Span) -> bool {
    let comment = bytes(text, span);
    comment.windows(9).take(8).any(|window| window == b"racefree:")
}

fn bytes(text: &str, span: Span) -> &[u8] {
    text.as_bytes().get(span.start as usize..span.end as usize).unwrap_or(&[])
}
