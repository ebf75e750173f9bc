//! A small program and what the analysis says of it, in words short enough to compare.

use racefree_analysis::program::Program;
use racefree_analysis::summary::{FunctionId, Item, ModuleId, ScopeKind, Summary};
use racefree_analysis::term::{Term, TermKind};
use racefree_analysis::value::{Alt, Origin, OriginKind, Shape, Value};
use racefree_models::Models;
use racefree_syntax::core::File;
use racefree_syntax::{Span, parse, symbol};
use std::ops::Deref;
use std::sync::OnceLock;

pub(crate) struct Code {
    text: String,
    program: Program<'static>,
}

impl Deref for Code {
    type Target = Program<'static>;

    fn deref(&self) -> &Program<'static> {
        &self.program
    }
}

pub(crate) fn models() -> &'static Models {
    static MODELS: OnceLock<Models> = OnceLock::new();
    MODELS.get_or_init(|| Models::shipped().unwrap())
}

impl Code {
    /// Analyses `text`: whole modules, or the definitions of one that is called `M`.
    pub(crate) fn new(text: &str) -> Self {
        Self::of_kind(text, false)
    }

    pub(crate) fn of_kind(text: &str, is_test: bool) -> Self {
        let text = if text.contains("defmodule ") { text.to_owned() } else { format!("defmodule M do\n{text}\nend\n") };
        let parsed = parse::parse(&text);
        assert!(parsed.problems.is_empty(), "{:?}\n{text}", parsed.problems);
        let mut file = parsed.file;
        file.is_test = is_test;
        // A test's process ends soon: its programs are never given back.
        let files: &'static [File] = Vec::leak(vec![file]);
        Self { text, program: Program::new(files, models()) }
    }

    /// `f/1` of module `M`, or `Other.f/1`.
    pub(crate) fn id(&self, name: &str) -> FunctionId {
        let full = if name.starts_with(char::is_uppercase) { name.to_owned() } else { format!("M.{name}") };
        let found = self.functions().map(|(id, _)| id).find(|id| self.full_name(*id) == full);
        found.unwrap_or_else(|| panic!("no {full} in\n{}", self.text))
    }

    pub(crate) fn module_id(&self, name: &str) -> ModuleId {
        self.modules().find(|(_, entry)| entry.module.name == symbol(name)).unwrap().0
    }

    pub(crate) fn summary_of(&self, name: &str) -> &Summary {
        self.summary(self.id(name))
    }

    /// What each clause returns.
    pub(crate) fn clauses(&self, name: &str) -> Vec<String> {
        let clause = |clause: &racefree_analysis::summary::ClauseSummary| {
            if clause.diverges { "diverges".to_owned() } else { show(&clause.returns) }
        };
        self.summary_of(name).clauses.iter().map(clause).collect()
    }

    /// What the function's only clause returns.
    #[track_caller]
    pub(crate) fn returned(&self, name: &str) -> String {
        let clauses = self.clauses(name);
        let [only] = clauses.as_slice() else { panic!("{name} has clauses {clauses:?}") };
        only.clone()
    }

    /// The items, as they are written in the source.
    pub(crate) fn items(&self, name: &str) -> Vec<&str> {
        self.summary_of(name).items.iter().map(|item| self.at(item.span)).collect()
    }

    /// The item whose call starts like this.
    #[track_caller]
    pub(crate) fn item(&self, name: &str, start: &str) -> &Item {
        let found = self.summary_of(name).items.iter().find(|item| self.at(item.span).starts_with(start));
        found.unwrap_or_else(|| panic!("no item {start} among {:?}", self.items(name)))
    }

    /// The scopes around an item, inmost first.
    #[track_caller]
    pub(crate) fn scopes(&self, name: &str, start: &str) -> Vec<ScopeKind> {
        let summary = self.summary_of(name);
        summary.scope_chain(self.item(name, start).scope).collect()
    }

    pub(crate) fn at(&self, span: Span) -> &str {
        &self.text[span.start as usize..span.end as usize]
    }

    /// A value's way, from the observation on: what was done and where.
    pub(crate) fn way(&self, origin: &Origin) -> Vec<String> {
        let step = |step: &&Origin| {
            let place = self.at(step.place.span);
            match &step.kind {
                OriginKind::Observed { module, name, .. } => format!("{module}.{name} at {place}"),
                OriginKind::Chosen => format!("chosen: {place}"),
                OriginKind::Rescued => format!("rescued: {place}"),
                OriginKind::Returned { module, name } => format!("{module}.{name} returned at {place}"),
                OriginKind::Replied { module } => format!("{module} replied: {}", place.lines().next().unwrap()),
            }
        };
        origin.steps().iter().map(step).collect()
    }

    /// The way of the nil that the function's only clause may return.
    #[track_caller]
    pub(crate) fn way_of_nil(&self, name: &str) -> Vec<String> {
        let [clause] = self.summary_of(name).clauses.as_slice() else { panic!("{name} has several clauses") };
        self.way(clause.returns.observed_nil().unwrap_or_else(|| panic!("no nil in {}", show(&clause.returns))))
    }
}

/// The alternatives, sorted: `:ok`, `pid`, `{:ok, any}`, `[nil]`, `%{a: any}`. `!` marks what was observed, `arg(0)` what the caller gave,
/// `some(arg(0))` the same when it is no nil.
pub(crate) fn show(value: &Value) -> String {
    let mut alts: Vec<String> = value.alts.iter().map(show_alt).collect();
    alts.sort();
    if alts.is_empty() { "never".to_owned() } else { alts.join(" | ") }
}

fn show_alt(alt: &Alt) -> String {
    let shape = match &alt.shape {
        Shape::Any => "any".to_owned(),
        Shape::Atom(name) => show_atom(name.as_str()),
        Shape::Pid => "pid".to_owned(),
        Shape::Ref => "ref".to_owned(),
        Shape::Number => "number".to_owned(),
        Shape::Text => "text".to_owned(),
        Shape::Tuple(parts) => format!("{{{}}}", parts.iter().map(show).collect::<Vec<_>>().join(", ")),
        Shape::List(element) => format!("[{}]", show(element)),
        Shape::Map(map) => {
            let mut fields: Vec<String> = map.fields.iter().map(|(name, value)| format!("{name}: {}", show(value))).collect();
            fields.sort();
            format!("%{}{{{}}}", map.struct_name.map_or("", |name| name.as_str()), fields.join(", "))
        }
        Shape::Closure(_) => "fn".to_owned(),
        Shape::Function { module, name, arity } => format!("&{module}.{name}/{arity}"),
        Shape::Symbolic { term, not_nil: false } => show_term(term),
        Shape::Symbolic { term, not_nil: true } => format!("some({})", show_term(term)),
    };
    format!("{shape}{}", if alt.origin.is_some() { "!" } else { "" })
}

fn show_atom(name: &str) -> String {
    let plain = matches!(name, "nil" | "true" | "false") || name.starts_with(char::is_uppercase);
    if plain { name.to_owned() } else { format!(":{name}") }
}

pub(crate) fn show_term(term: &Term) -> String {
    let list = |terms: &[Term]| terms.iter().map(show_term).collect::<Vec<_>>().join(", ");
    match term.kind() {
        TermKind::Atom(name) => show_atom(name.as_str()),
        TermKind::Integer(number) => number.to_string(),
        TermKind::Text(text) => format!("{:?}", text.as_str()),
        TermKind::SelfPid => "self".to_owned(),
        TermKind::Param(index) => format!("arg({index})"),
        TermKind::Item(base, index) => format!("{}[{index}]", show_term(base)),
        TermKind::Field(base, name) => format!("{}.{name}", show_term(base)),
        TermKind::Element(base) => format!("each {}", show_term(base)),
        TermKind::Result(base) => format!("{}()", show_term(base)),
        TermKind::Tuple(parts) => format!("{{{}}}", list(parts)),
        TermKind::Apply { module, name, args } => format!("{module}.{name}({})", list(args)),
        TermKind::Join(text, parts) => format!("{:?} of {}", text.as_str(), list(parts)),
        TermKind::Site(..) => "new".to_owned(),
        TermKind::Cut(_) => "cut".to_owned(),
    }
}
