//! The shape of the model files.

use crate::returns::Returns;
use racefree_syntax::Symbol;
use serde::Deserialize;

/// One model file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    #[serde(default)]
    pub module: Vec<ModuleEntry>,
    #[serde(default)]
    pub behaviour: Vec<Behaviour>,
    #[serde(default)]
    pub exit_reason: Vec<ExitReason>,
    #[serde(default)]
    pub vocabulary: Option<Vocabulary>,
    #[serde(default)]
    pub conventions: Option<Conventions>,
}

impl Document {
    /// Whether every entry speaks of arguments that its function has; else what is wrong with the first that does not.
    pub fn check(&self) -> Result<(), String> {
        for module in &self.module {
            for function in &module.functions {
                let operands = [function.target, function.key, function.message, function.options].into_iter().flatten();
                let named = operands.chain(function.closures.iter().map(|closure| closure.arg));
                let last = named.max();
                let fewest = function.arity.iter().min().copied();
                let (module, name) = (&module.name, &function.name);
                match (last, fewest) {
                    (_, None) => return Err(format!("{module}.{name} needs an arity, such as [2]")),
                    (Some(last), Some(arity)) if last as u32 >= arity => {
                        return Err(format!("{module}.{name}/{arity} has no argument {last}: the first one is argument 0"));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleEntry {
    /// `GenServer`, `ets` (Erlang modules without the colon).
    pub name: String,
    pub functions: Vec<Function>,
}

/// What one library function does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    pub name: String,
    /// Every arity this entry speaks of.
    pub arity: Vec<u32>,
    /// What comes back; see [`Returns`]. Anything when absent.
    #[serde(default)]
    pub returns: Returns,
    /// What it does to the world beyond its own process.
    #[serde(default)]
    pub effect: Option<EffectKind>,
    /// The argument that names the state touched: a server, a pid, a table, a registry, a file.
    #[serde(default)]
    pub target: Option<usize>,
    /// The argument that names the part of it: a key, a name.
    #[serde(default)]
    pub key: Option<usize>,
    /// The argument that is sent, called with, or written.
    #[serde(default)]
    pub message: Option<usize>,
    /// The argument that holds options, if it is given.
    #[serde(default)]
    pub options: Option<usize>,
    /// What happens when the target is nil.
    #[serde(default)]
    pub on_nil: OnNil,
    /// An exit leaves it when the process behind the target is not there, or goes away meanwhile.
    #[serde(default)]
    pub exits: bool,
    /// Exceptions it raises when the state touched is missing or an argument is bad.
    #[serde(default)]
    pub raises: Vec<String>,
    /// Closures it is given, and what becomes of them.
    #[serde(default)]
    pub closures: Vec<ClosureUse>,
    /// It reads shared state: its result may be out of date at once. Implied by the reading effects.
    #[serde(default)]
    pub observes: bool,
    /// It names a file by its path and deals with the whole of it; otherwise a file effect works on one held open.
    #[serde(default)]
    pub whole_file: bool,
    /// What adds to the number in a row of two as one step, with a row to begin with: `counter(table, key, {2, step}, row)`.
    #[serde(default)]
    pub counter: Option<String>,
    /// What a true answer says of the first argument.
    #[serde(default)]
    pub tests: Option<Test>,
}

impl Function {
    /// Whether the result is an observation of state that others may change.
    pub fn is_observation(&self) -> bool {
        self.observes || self.effect.is_some_and(EffectKind::observes)
    }
}

/// What a predicate tells of its arguments when it is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// The first argument is nil.
    Nil,
    /// The first argument is no atom.
    NoAtom,
    /// Both are the same.
    Equal,
    /// They differ.
    Different,
    /// The first argument is an element of the second.
    Member,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// Name to process.
    Lookup,
    /// Request and wait for the reply.
    Call,
    /// Request without a reply.
    Cast,
    /// Plain message.
    Send,
    /// Answer to a deferred call.
    Reply,
    Monitor,
    Demonitor,
    Link,
    Unlink,
    /// Exit signal or stop request.
    Stop,
    /// Is it alive?
    Alive,
    /// A process is started.
    Start,
    /// A name or key is bound to a process.
    Register,
    Unregister,
    TableNew,
    TableRead,
    TableWrite,
    /// One key or object goes.
    TableDelete,
    /// All objects, or all that match, go.
    TableClear,
    /// The table itself goes.
    TableDrop,
    TableInfo,
    /// Other shared stores: persistent_term, application environment, agents, counters.
    StoreRead,
    StoreWrite,
    StoreDelete,
    FileRead,
    FileWrite,
    /// Data reaches the disk.
    FileSync,
    FileDelete,
    /// Mutual exclusion around the closure.
    Lock,
    /// `Process.flag(:trap_exit, …)` and the like.
    Flag,
    Timer,
    /// Raises or exits on purpose: never returns.
    Diverge,
}

impl EffectKind {
    /// Reads state that another process may change at any time.
    pub fn observes(self) -> bool {
        matches!(
            self,
            Self::Lookup | Self::Call | Self::Alive | Self::TableRead | Self::TableInfo | Self::FileRead | Self::Start | Self::Register
        )
    }

    /// One bit for each kind, for sets of kinds.
    pub fn bit(self) -> u64 {
        1 << (self as u8)
    }
}

/// What becomes of a call whose target is nil.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNil {
    /// Nothing wrong comes of it, or nothing is known.
    #[default]
    Fine,
    /// The caller exits with `:noproc`.
    Exit,
    /// The caller raises.
    Raise,
    /// The message is dropped without a word.
    Lost,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosureUse {
    /// The argument that is the closure.
    pub arg: usize,
    pub runs: Runs,
    /// What its parameters are.
    #[serde(default)]
    pub params: Vec<Returns>,
    /// The closure is a predicate over its first parameter: the elements kept are those for which it is true (`Some(true)`) or false.
    #[serde(default)]
    pub keeps: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runs {
    /// At most once, here.
    Once,
    /// Once for each element, here.
    Each,
    /// In another process.
    Elsewhere,
    /// Here, with a lock or transaction held.
    Locked,
    /// Inside the process that is the target (Agent).
    AtTarget,
}

/// A behaviour: which of a module's functions the runtime calls, and in which process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    pub name: String,
    /// `use NAME` alone makes the module one.
    #[serde(default)]
    pub by_use: bool,
    /// Its callbacks run in a process that many others talk to.
    #[serde(default)]
    pub server: bool,
    /// Each client has a process of its own.
    #[serde(default)]
    pub many: bool,
    pub callbacks: Vec<Callback>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callback {
    pub name: String,
    pub arity: u32,
    pub role: Role,
    /// The parameter that is the message.
    #[serde(default)]
    pub message: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Init,
    Call,
    Cast,
    Info,
    Continue,
    Terminate,
    /// Another callback inside the server's process.
    Inside,
    /// A callback that any process runs.
    Outside,
}

/// One way a call's exit reason can look when the process called is gone, goes, or stops.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitReason {
    /// As written in Elixir: `{:noproc, _}`.
    pub pattern: String,
    /// When it comes, in words that follow "the process called".
    pub when: String,
    /// The plain way for a process to be gone: code that takes it means to live without that process.
    #[serde(default)]
    pub plain: bool,
    /// The same as a type, to hold against the patterns of a `catch`.
    pub shape: Returns,
}

/// Words that tell what a request is for. Names are a hint, never a proof: what rests on them is `likely` at best.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vocabulary {
    pub removal: Vec<String>,
    pub subscription: Vec<String>,
}

impl Vocabulary {
    /// Whether one of the underscore-separated words of `name` is a removal verb.
    pub fn is_removal(&self, name: Symbol) -> bool {
        has_word(&self.removal, name)
    }

    pub fn is_subscription(&self, name: Symbol) -> bool {
        has_word(&self.subscription, name)
    }
}

fn has_word(words: &[String], name: Symbol) -> bool {
    name.as_str().split(['_', '?', '!']).any(|part| words.iter().any(|word| word == part))
}

/// Names that the runtime's contract with callbacks fixes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conventions {
    /// The module whose functions need no name before them.
    pub prelude: String,
    /// The tag of a callback's answer that carries a reply as its second element.
    pub reply: String,
    /// The tag of a callback's answer without a reply.
    pub no_reply: String,
    /// The tag of a callback's answer that ends the server, with the reason behind it.
    pub stop: String,
    /// The tag of what a callback asks to be run right after it.
    pub go_on: String,
    /// The tag of the message that tells of a monitored process's end.
    pub down: String,
    /// The option of a monitor that changes that tag.
    pub down_option: String,
    /// How many elements that message has.
    pub down_size: usize,
    /// Which of them is the monitor's reference.
    pub down_reference: usize,
    /// Which of them is the process that ended.
    pub down_process: usize,
    /// The option that takes back that message when a monitor is taken back.
    pub flush_option: String,
    /// The option under which a process that is started gets its name.
    pub name_option: String,
    /// The reason why a process is not started: the name has an owner, who comes as the second element of a pair.
    pub already_started: String,
    /// The option that lets every process write to a table.
    pub public_option: String,
    /// Names that the runtime itself registers, for as long as it runs.
    pub permanent_names: Vec<String>,
    /// The exceptions that say "bad argument", by which a missing table shows too.
    pub bad_argument: String,
    /// The exception that stands for any error of Erlang's that has no exception of its own.
    pub erlang_error: String,
    /// The exception of a failed match.
    pub match_error: String,
}
