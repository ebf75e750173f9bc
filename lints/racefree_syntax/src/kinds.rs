//! The grammar's node kinds as a small enum, so that the lowering never compares kind names.
//!
//! Delimiters and words such as `do` have no kind of their own: only operators among the anonymous tokens carry meaning.

use std::sync::OnceLock;

/// What a node is. Fits in a byte: the flat tree stores one for each node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Source,
    Block,
    Identifier,
    Alias,
    Integer,
    Float,
    Char,
    Boolean,
    Nil,
    Atom,
    QuotedAtom,
    String,
    Charlist,
    Sigil,
    List,
    Tuple,
    Bitstring,
    Map,
    MapContent,
    Struct,
    Keywords,
    Pair,
    Keyword,
    QuotedKeyword,
    OperatorIdentifier,
    Unary,
    Binary,
    Dot,
    Call,
    Arguments,
    DoBlock,
    AfterBlock,
    RescueBlock,
    CatchBlock,
    ElseBlock,
    AccessCall,
    StabClause,
    Body,
    Fn,
    Interpolation,
    /// What the parser could not place; its children are the pieces it understood.
    Error,
    /// A node the parser made up to go on.
    Missing,
    /// The word `do`, kept below [`Kind::Error`] only: there it tells a head from a body.
    Do,
    /// The word `end`, kept below [`Kind::Error`] only.
    End,
    Comment,
    /// An operator token: folded into its parent's [`Op`].
    Token,
    /// Delimiters and parts of strings: left out of the flat tree.
    Skipped,
}

/// An operator of [`Kind::Unary`] or [`Kind::Binary`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    None,
    Match,
    Pipe,
    And,
    Or,
    Bang,
    Capture,
    At,
    Pin,
    When,
    Bar,
    Arrow,
    LeftArrow,
    Default,
    Type,
    Concat,
    Slash,
    In,
    NotIn,
    Range,
    Step,
    Minus,
    Plus,
    /// Any other: the text tells which.
    Other,
}

/// What the flattening needs to know of one kind id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) op: Op,
    pub(crate) shape: Shape,
}

/// Whether the flattening looks below a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Inner,
    Leaf,
    /// Its text is read as a whole; only interpolations make it an inner node.
    Quoted,
}

/// The entry of each kind id of the grammar, by id.
pub(crate) fn table() -> &'static [Entry] {
    static TABLE: OnceLock<Vec<Entry>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let language = crate::parse::language();
        let count = u16::try_from(language.node_kind_count()).unwrap_or(u16::MAX);
        (0..count)
            .map(|id| {
                let name = language.node_kind_for_id(id).unwrap_or("");
                if language.node_kind_is_named(id) { named(name) } else { anonymous(name) }
            })
            .collect()
    })
}

fn named(name: &str) -> Entry {
    let (kind, shape) = match name {
        "source" => (Kind::Source, Shape::Inner),
        "block" => (Kind::Block, Shape::Inner),
        "identifier" => (Kind::Identifier, Shape::Leaf),
        "alias" => (Kind::Alias, Shape::Leaf),
        "integer" => (Kind::Integer, Shape::Leaf),
        "float" => (Kind::Float, Shape::Leaf),
        "char" => (Kind::Char, Shape::Leaf),
        "boolean" => (Kind::Boolean, Shape::Leaf),
        "nil" => (Kind::Nil, Shape::Leaf),
        "atom" => (Kind::Atom, Shape::Leaf),
        "quoted_atom" => (Kind::QuotedAtom, Shape::Quoted),
        "string" => (Kind::String, Shape::Quoted),
        "charlist" => (Kind::Charlist, Shape::Quoted),
        "sigil" => (Kind::Sigil, Shape::Quoted),
        "list" => (Kind::List, Shape::Inner),
        "tuple" => (Kind::Tuple, Shape::Inner),
        "bitstring" => (Kind::Bitstring, Shape::Inner),
        "map" => (Kind::Map, Shape::Inner),
        "map_content" => (Kind::MapContent, Shape::Inner),
        "struct" => (Kind::Struct, Shape::Inner),
        "keywords" => (Kind::Keywords, Shape::Inner),
        "pair" => (Kind::Pair, Shape::Inner),
        "keyword" => (Kind::Keyword, Shape::Leaf),
        "quoted_keyword" => (Kind::QuotedKeyword, Shape::Quoted),
        "operator_identifier" => (Kind::OperatorIdentifier, Shape::Leaf),
        "unary_operator" => (Kind::Unary, Shape::Inner),
        "binary_operator" => (Kind::Binary, Shape::Inner),
        "dot" => (Kind::Dot, Shape::Inner),
        "call" => (Kind::Call, Shape::Inner),
        "arguments" => (Kind::Arguments, Shape::Inner),
        "do_block" => (Kind::DoBlock, Shape::Inner),
        "after_block" => (Kind::AfterBlock, Shape::Inner),
        "rescue_block" => (Kind::RescueBlock, Shape::Inner),
        "catch_block" => (Kind::CatchBlock, Shape::Inner),
        "else_block" => (Kind::ElseBlock, Shape::Inner),
        "access_call" => (Kind::AccessCall, Shape::Inner),
        "stab_clause" => (Kind::StabClause, Shape::Inner),
        "body" => (Kind::Body, Shape::Inner),
        "anonymous_function" => (Kind::Fn, Shape::Inner),
        "interpolation" => (Kind::Interpolation, Shape::Inner),
        "comment" => (Kind::Comment, Shape::Leaf),
        _ => (Kind::Skipped, Shape::Leaf),
    };
    Entry { kind, op: Op::None, shape }
}

fn anonymous(name: &str) -> Entry {
    let kind = match name {
        "do" => Kind::Do,
        "end" => Kind::End,
        _ => Kind::Token,
    };
    let op = match name {
        "=" => Op::Match,
        "|>" => Op::Pipe,
        "&&" | "and" => Op::And,
        "||" | "or" => Op::Or,
        "!" | "not" => Op::Bang,
        "&" => Op::Capture,
        "@" => Op::At,
        "^" => Op::Pin,
        "when" => Op::When,
        "|" => Op::Bar,
        "=>" => Op::Arrow,
        "<-" => Op::LeftArrow,
        "\\\\" => Op::Default,
        "::" => Op::Type,
        "<>" => Op::Concat,
        "/" => Op::Slash,
        "in" => Op::In,
        "not in" => Op::NotIn,
        ".." => Op::Range,
        "//" => Op::Step,
        "-" => Op::Minus,
        "+" => Op::Plus,
        _ if is_other_operator(name) => Op::Other,
        _ => Op::None,
    };
    let kind = if op == Op::None && kind == Kind::Token { Kind::Skipped } else { kind };
    Entry { kind, op, shape: Shape::Leaf }
}

fn is_other_operator(name: &str) -> bool {
    const OTHER: &[&str] = &[
        "|||", "&&&", "==", "!=", "=~", "===", "!==", "<", ">", "<=", ">=", "<<<", ">>>", "<<~", "~>>", "<~", "~>", "<~>", "<|>", "^^^",
        "++", "--", "+++", "---", "*", "**", "~~~",
    ];
    OTHER.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::{Kind, table};

    #[test]
    fn accepts_every_named_kind_of_the_grammar() {
        let language = crate::parse::language();
        for id in 0..u16::try_from(language.node_kind_count()).unwrap() {
            let name = language.node_kind_for_id(id).unwrap();
            let known_parts = ["quoted_content", "escape_sequence", "sigil_name", "sigil_modifiers", "ERROR", "end"];
            if language.node_kind_is_named(id) && language.node_kind_is_visible(id) && !known_parts.contains(&name) {
                assert_ne!(table()[id as usize].kind, Kind::Skipped, "{name}");
            }
        }
    }
}
