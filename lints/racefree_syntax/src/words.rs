//! Names with a meaning of their own: special forms, definitions, and the atoms the lowering makes itself.

use std::sync::OnceLock;

use ustr::UstrMap;

use crate::core::Visibility;
use crate::{Symbol, symbol};

/// What a local call of a reserved name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Alias,
    Import,
    Require,
    Use,
    Module,
    Protocol,
    Implementation,
    Function(Visibility),
    Macro,
    Guard,
    Delegate,
    Struct,
    Exception,
    Record,
    If,
    Unless,
    Case,
    Cond,
    With,
    For,
    Try,
    Receive,
    Quote,
    Apply,
    /// `match?(pattern, value)`
    Matches,
    /// `assert_receive pattern` and `assert_received`
    AssertReceive,
    /// `refute_receive pattern` and `refute_received`
    RefuteReceive,
    /// `var!(name)`
    Var,
    /// `test "…"`, `setup`: a body at module level that takes a context.
    Test,
    /// `describe "…"`: groups tests.
    Describe,
}

/// Symbols compared against or produced often.
#[derive(Debug)]
pub(crate) struct Words {
    forms: UstrMap<Form>,
    pub(crate) nil: Symbol,
    pub(crate) true_: Symbol,
    pub(crate) false_: Symbol,
    pub(crate) empty: Symbol,
    pub(crate) underscore: Symbol,
    pub(crate) module: Symbol,
    pub(crate) do_: Symbol,
    pub(crate) else_: Symbol,
    pub(crate) rescue: Symbol,
    pub(crate) catch: Symbol,
    pub(crate) after: Symbol,
    pub(crate) kernel: Symbol,
    pub(crate) erlang: Symbol,
    pub(crate) apply: Symbol,
    pub(crate) access: Symbol,
    pub(crate) get: Symbol,
    pub(crate) in_: Symbol,
    pub(crate) range: Symbol,
    pub(crate) step: Symbol,
    pub(crate) unquote: Symbol,
    pub(crate) struct_key: Symbol,
    pub(crate) toplevel: Symbol,
    pub(crate) using: Symbol,
    /// `&1` and its like.
    pub(crate) placeholder: Symbol,
}

impl Words {
    pub(crate) fn get() -> &'static Words {
        static WORDS: OnceLock<Words> = OnceLock::new();
        WORDS.get_or_init(Words::new)
    }

    pub(crate) fn form(&self, name: Symbol) -> Option<Form> {
        self.forms.get(&name).copied()
    }

    fn new() -> Self {
        Words {
            forms: forms().iter().map(|(name, form)| (symbol(name), *form)).collect(),
            nil: symbol("nil"),
            true_: symbol("true"),
            false_: symbol("false"),
            empty: symbol(""),
            underscore: symbol("_"),
            module: symbol("__MODULE__"),
            do_: symbol("do"),
            else_: symbol("else"),
            rescue: symbol("rescue"),
            catch: symbol("catch"),
            after: symbol("after"),
            kernel: symbol("Kernel"),
            erlang: symbol("erlang"),
            apply: symbol("apply"),
            access: symbol("Access"),
            get: symbol("get"),
            in_: symbol("in"),
            range: symbol(".."),
            step: symbol("..//"),
            unquote: symbol("unquote"),
            struct_key: symbol("__struct__"),
            toplevel: symbol("__toplevel__"),
            using: symbol("__using__"),
            placeholder: symbol("&"),
        }
    }
}

fn forms() -> &'static [(&'static str, Form)] {
    &[
        ("alias", Form::Alias),
        ("import", Form::Import),
        ("require", Form::Require),
        ("use", Form::Use),
        ("defmodule", Form::Module),
        ("defprotocol", Form::Protocol),
        ("defimpl", Form::Implementation),
        ("def", Form::Function(Visibility::Public)),
        ("defp", Form::Function(Visibility::Private)),
        ("defmacro", Form::Macro),
        ("defmacrop", Form::Macro),
        ("defguard", Form::Guard),
        ("defguardp", Form::Guard),
        ("defdelegate", Form::Delegate),
        ("defstruct", Form::Struct),
        ("defexception", Form::Exception),
        ("defrecord", Form::Record),
        ("defrecordp", Form::Record),
        ("if", Form::If),
        ("unless", Form::Unless),
        ("case", Form::Case),
        ("cond", Form::Cond),
        ("with", Form::With),
        ("for", Form::For),
        ("try", Form::Try),
        ("receive", Form::Receive),
        ("quote", Form::Quote),
        ("apply", Form::Apply),
        ("match?", Form::Matches),
        ("assert_receive", Form::AssertReceive),
        ("assert_received", Form::AssertReceive),
        ("refute_receive", Form::RefuteReceive),
        ("refute_received", Form::RefuteReceive),
        ("var!", Form::Var),
        ("test", Form::Test),
        ("setup", Form::Test),
        ("setup_all", Form::Test),
        ("property", Form::Test),
        ("describe", Form::Describe),
    ]
}
