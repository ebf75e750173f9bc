//! The native half of `Racefree.Registry` and `Racefree.Store`: decode, call the core, encode. No logic of its own.
//!
//! Invariant: no panic leaves a call, a `down` or a thread unreported. rustler would raise the first in the caller and drop the others without a word;
//! here each ends the incarnation it happened in, whose owner process stops and is restarted.
//! Left out on purpose: an upgrade callback. Loading the module a second time is refused by the machine, and the code that runs stays.

#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod atoms;
mod beam;
mod broadcast;
mod fault;
mod ids;
mod incarnation;
mod kept_terms;
mod registry;
mod store;
mod term_key;
mod version;
mod words;

rustler::init!("Elixir.Racefree.Native");
