//! The native half of `Racefree.Registry` and `Racefree.Store`: decode, call the core, encode. No logic of its own.

#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod version;

rustler::init!("Elixir.Racefree.Native");
