//! What the analyser knows of OTP, Elixir and popular libraries: data in `data/*.toml`, never code.
//!
//! For each function: what it returns, what it does to shared state and to which operand, what happens when its target is nil or gone,
//! and when it runs a closure it is given. The analysis and the rules ask this table; neither names a library function itself.

mod returns;
mod schema;
mod table;

pub use returns::Returns;
pub use schema::{
    Behaviour, Callback, ClosureUse, Conventions, Document, EffectKind, ExitReason, Function, ModuleEntry, OnNil, Role, Runs, Test,
    Vocabulary,
};
pub use table::{ModelError, Models};
