//! The core language: what is left of Elixir when its sugar is gone.
//!
//! Pipes, captures with `&1`, `unless`, `cond`, `|> case do`, default arguments, `defdelegate`, keyword blocks and aliases do not exist here.
//! Every variable of a function clause has a [`VarId`] of its own: rebinding makes a new one, so an environment is a flat vector and
//! each id has one binding site. Macros of the program are not expanded; a call to one is a plain [`Callee::Local`] or [`Callee::Remote`].
//!
//! Atoms: `nil`, `true`, `:ok` are `Atom("nil")`, `Atom("true")`, `Atom("ok")`. An alias such as `Foo.Bar` is `Atom("Foo.Bar")`, fully resolved:
//! it starts with a capital letter, as no Erlang module's name does. `__MODULE__` is the enclosing module's atom.

use crate::Symbol;
use crate::span::Span;

/// One source file, lowered.
#[derive(Debug, Default)]
pub struct File {
    /// In source order; a nested module stands after the one that holds it.
    pub modules: Vec<Module>,
    /// `# racefree:allow RULE - reason` comments, in source order.
    pub allows: Vec<Allow>,
    /// How many function clauses were lowered.
    pub clauses: usize,
    /// Calls through a value or a computed module, macros' bodies: what later stages cannot see, for `coverage`.
    pub blind_spots: Vec<BlindSpot>,
    /// Set by who knows the path: a file of tests uses the code in ways the program itself does not.
    pub is_test: bool,
}

/// Something the lowering met and could not look into.
#[derive(Debug, Clone)]
pub struct BlindSpot {
    pub kind: BlindSpotKind,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlindSpotKind {
    /// `module.function(…)` where the module is computed.
    DynamicModule,
    /// `apply(m, f, args)` with parts that are no literals.
    DynamicApply,
    /// The body of a `defmacro`, of `quote`, or a definition whose name is computed (`def unquote(name)()`).
    Macro,
    /// Nesting beyond `parse::NESTING_MAX`: replaced by [`ExprKind::Opaque`].
    TooDeep,
}

/// A suppression comment.
#[derive(Debug, Clone)]
pub struct Allow {
    /// The whole comment.
    pub span: Span,
    pub scope: AllowScope,
    /// The rule named, as written; empty when none is.
    pub rule: Symbol,
    /// The text behind the dash, trimmed; empty when missing.
    pub reason: String,
    /// True when nothing but white space stands before the comment on its line: then it speaks of the next line of code as well.
    pub own_line: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowScope {
    /// `racefree:allow`
    Line,
    /// `racefree:allow-function`
    Function,
    /// `racefree:allow-module`
    Module,
}

#[derive(Debug)]
pub struct Module {
    /// Full name, `Foo.Bar`. For `defimpl P, for: T` it is `P.T`; for `defprotocol` its own.
    pub name: Symbol,
    pub kind: ModuleKind,
    pub span: Span,
    /// `use X, opts`, resolved, in order.
    pub uses: Vec<Use>,
    /// Modules named by `@behaviour`.
    pub behaviours: Vec<Symbol>,
    pub imports: Vec<Import>,
    /// `@name value`, the last one written of each name; only those set at the module's top level. Not the documentation, spec, type and `impl` ones.
    pub attributes: Vec<(Symbol, Expr)>,
    /// One entry for each name and arity, defaults and delegates included, in source order of the first clause.
    pub functions: Vec<Function>,
    /// `defrecord` and `defrecordp`: name and field names.
    pub records: Vec<Record>,
    /// `defstruct`: field and default (`nil` when none is given).
    pub struct_fields: Vec<(Symbol, Expr)>,
    /// Names of `defmacro(p)`, `defguard(p)` with their arities.
    pub macros: Vec<(Symbol, u32)>,
    /// What the `__using__` macro's quoted block brings to a module that uses this one: `use`, `@behaviour`, `import` found anywhere in it.
    pub using: Option<Using>,
    /// `@type name :: type` and `@typep`: for reading specs.
    pub types: Vec<(Symbol, Type)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleKind {
    Module,
    Protocol,
    Implementation,
}

#[derive(Debug)]
pub struct Use {
    pub module: Symbol,
    pub options: Option<Expr>,
    pub span: Span,
}

#[derive(Debug, Default)]
pub struct Using {
    pub uses: Vec<Symbol>,
    pub behaviours: Vec<Symbol>,
    pub imports: Vec<Symbol>,
    /// Names and arities of the functions defined in the quoted block.
    pub defines: Vec<(Symbol, u32)>,
}

#[derive(Debug, Clone)]
pub struct Import {
    pub module: Symbol,
    /// `only: [name: arity]`; `None` when everything (or `only: :functions`) is imported.
    pub only: Option<Vec<(Symbol, u32)>>,
    pub except: Vec<(Symbol, u32)>,
}

#[derive(Debug)]
pub struct Record {
    pub name: Symbol,
    pub fields: Vec<Symbol>,
    pub span: Span,
}

#[derive(Debug)]
pub struct Function {
    pub name: Symbol,
    pub arity: u32,
    pub visibility: Visibility,
    pub origin: FunctionOrigin,
    /// From the first clause's `def` to the last clause's end.
    pub span: Span,
    /// The first clause's name, where a person would point.
    pub name_span: Span,
    /// `@impl` stands before it (`@impl false` does not count).
    pub is_impl: bool,
    pub clauses: Vec<Clause>,
    pub specs: Vec<Spec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    Public,
    Private,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionOrigin {
    Written,
    /// A lower arity of a function with default arguments: one clause that calls the full one.
    Default,
    /// `defdelegate`: one clause that makes the remote call.
    Delegate,
}

/// A clause of a function, or of an anonymous one. A clause body with `rescue`, `catch`, `else` or `after` is an [`ExprKind::Try`].
#[derive(Debug, Clone)]
pub struct Clause {
    pub span: Span,
    pub params: Vec<Pattern>,
    pub guard: Option<Expr>,
    pub body: Expr,
    /// How many variables the clause of a *named* function has, those of closures inside it included: ids are below this. 0 in a closure's clause,
    /// whose variables are numbered in the named function's clause that holds it.
    pub variables: u32,
    /// The variables' names, by id; empty in a closure's clause.
    pub names: Vec<Symbol>,
}

/// A variable's number within its function clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VarId(pub u32);

#[derive(Debug, Clone)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum ExprKind {
    /// An atom or an alias; see the head of this file.
    Atom(Symbol),
    Integer(Option<i64>),
    Float,
    /// A string without interpolation.
    String(Symbol),
    /// A string, charlist, sigil or atom put together at run time: its interpolated parts in order. `text` is the literal skeleton, with `{}` for each part.
    Interpolated {
        kind: InterpolatedKind,
        text: Symbol,
        parts: Vec<Expr>,
    },
    Var(VarId),
    Tuple(Vec<Expr>),
    List {
        items: Vec<Expr>,
        tail: Option<Box<Expr>>,
    },
    /// `%{}`, `%S{}`, `%{base | …}`, `%S{base | …}`.
    Map {
        base: Option<Box<Expr>>,
        struct_name: Option<Symbol>,
        pairs: Vec<(Expr, Expr)>,
    },
    /// `<<…>>`: the segments' values.
    Binary(Vec<Expr>),
    Call(Call),
    /// `base.name` without parentheses: a map field, or a call of a function without arguments when `base` is an atom
    /// (then it is lowered to [`ExprKind::Call`] instead).
    Field {
        base: Box<Expr>,
        name: Symbol,
    },
    /// `@name`, read.
    Attribute(Symbol),
    Match {
        pattern: Box<Pattern>,
        value: Box<Expr>,
    },
    Block(Vec<Expr>),
    /// `if`, `unless` (branches swapped), `cond` (nested; a missing last branch raises: `else_` is [`ExprKind::NoClause`]). A missing `else` is `nil`.
    If {
        condition: Box<Expr>,
        then: Box<Expr>,
        else_: Box<Expr>,
    },
    /// `&&` and `and`: the value of the right side when the left one is true.
    And(Box<Expr>, Box<Expr>),
    /// `||` and `or`: the left value unless it is nil or false.
    Or(Box<Expr>, Box<Expr>),
    /// `!` and `not`.
    Not(Box<Expr>),
    Case {
        subject: Box<Expr>,
        clauses: Vec<CaseClause>,
    },
    With {
        steps: Vec<WithStep>,
        body: Box<Expr>,
        else_: Vec<CaseClause>,
    },
    /// `for`. `into` and `reduce` are exclusive; with neither, the value is a list.
    For(Box<For>),
    Fn {
        clauses: Vec<Clause>,
    },
    /// `&Mod.fun/1`, `&fun/1`.
    Capture {
        module: Option<Symbol>,
        name: Symbol,
        arity: u32,
    },
    Try(Box<Try>),
    Receive {
        clauses: Vec<CaseClause>,
        after: Option<Box<(Expr, Expr)>>,
    },
    /// No clause matches: raises.
    NoClause,
    /// Quoted code, what did not parse, what nests too deep: any value; the parts are evaluated in order.
    Opaque(Vec<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterpolatedKind {
    String,
    Atom,
    Sigil,
}

#[derive(Debug, Clone)]
pub struct Call {
    pub callee: Callee,
    pub args: Vec<Expr>,
    /// Where the callee's name stands.
    pub name_span: Span,
}

#[derive(Debug, Clone)]
pub enum Callee {
    /// A function or macro of this module, of an import, or of `Kernel`. Operators are locals too: `==`, `<>`, `in`, `|||`, unary `-`.
    Local(Symbol),
    Remote {
        module: Symbol,
        name: Symbol,
    },
    /// `expr.name(…)` where `expr` is no alias or atom. `apply/3` with a literal name is one too.
    Dynamic {
        module: Box<Expr>,
        name: Symbol,
    },
    /// `f.(…)`.
    Value(Box<Expr>),
}

#[derive(Debug, Clone)]
pub struct CaseClause {
    pub span: Span,
    pub pattern: Pattern,
    pub guard: Option<Expr>,
    pub body: Expr,
}

#[derive(Debug, Clone)]
pub enum WithStep {
    /// `pattern <- value`, guard included.
    Bind { pattern: Pattern, guard: Option<Expr>, value: Expr },
    /// A plain expression (`x = f()` is an [`ExprKind::Match`]).
    Plain(Expr),
}

#[derive(Debug, Clone)]
pub struct For {
    pub steps: Vec<ForStep>,
    pub into: Option<Expr>,
    /// `reduce: initial` with the clauses of the body; the clause's pattern is the accumulator.
    pub reduce: Option<(Expr, Vec<CaseClause>)>,
    /// Unused (an empty block) when `reduce` is there.
    pub body: Expr,
}

#[derive(Debug, Clone)]
pub enum ForStep {
    /// `pattern <- enumerable`; what does not match is skipped.
    Generate {
        pattern: Pattern,
        guard: Option<Expr>,
        source: Expr,
    },
    /// `<<pattern <- binary>>`.
    Bits {
        pattern: Pattern,
        source: Expr,
    },
    Filter(Expr),
}

#[derive(Debug, Clone)]
pub struct Try {
    pub body: Expr,
    pub rescues: Vec<Rescue>,
    pub catches: Vec<Catch>,
    pub else_: Vec<CaseClause>,
    pub after: Option<Expr>,
    /// True for a function-level `rescue`/`catch`/`after`, without the word `try`.
    pub implicit: bool,
}

#[derive(Debug, Clone)]
pub struct Rescue {
    pub span: Span,
    /// Empty means every exception. `e in [A, B]`, `e in A`, `A` name them.
    pub exceptions: Vec<Symbol>,
    pub variable: Option<VarId>,
    pub body: Expr,
}

#[derive(Debug, Clone)]
pub struct Catch {
    pub span: Span,
    /// `None` for a bare `catch pattern ->`, which takes throws only.
    pub kind: Option<Pattern>,
    pub pattern: Pattern,
    pub guard: Option<Expr>,
    pub body: Expr,
}

#[derive(Debug, Clone)]
pub struct Pattern {
    pub kind: PatternKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum PatternKind {
    /// `_`; a variable that begins with an underscore is a binding.
    Wild,
    Bind(VarId),
    /// `^x`, or a second use of a variable bound in the same pattern.
    Pin(Box<Expr>),
    Atom(Symbol),
    Integer(Option<i64>),
    String(Symbol),
    /// Float, sigil and others that are compared with.
    Literal,
    Tuple(Vec<Pattern>),
    List {
        items: Vec<Pattern>,
        tail: Option<Box<Pattern>>,
    },
    Map {
        struct_name: Option<Symbol>,
        pairs: Vec<(Expr, Pattern)>,
    },
    /// A macro used as a pattern: `name(field: pattern)` is a record's most of the time; other arguments are in `args`.
    Macro {
        name: Symbol,
        fields: Vec<(Symbol, Pattern)>,
        args: Vec<Pattern>,
    },
    /// `<<…>>` and `"prefix" <> rest`: the variables bound within.
    Binary(Vec<Pattern>),
    /// `a = b`.
    Both(Box<Pattern>, Box<Pattern>),
}

/// `@spec name(args) :: result when variables`.
#[derive(Debug, Clone)]
pub struct Spec {
    pub params: Vec<Type>,
    pub result: Type,
}

#[derive(Debug, Clone)]
pub enum Type {
    Any,
    Atom(Symbol),
    Integer(i64),
    Tuple(Vec<Type>),
    List(Box<Type>),
    Map,
    Union(Vec<Type>),
    /// `(a, b -> c)`; `(... -> c)` has no params.
    Fun {
        params: Vec<Type>,
        result: Box<Type>,
    },
    /// `pid()`, `integer()`, `Foo.t()`, `t()`: module (empty for a local or built-in one) and name.
    Named {
        module: Option<Symbol>,
        name: Symbol,
        args: Vec<Type>,
    },
    /// A variable introduced by `when`.
    Variable(Symbol),
}
