//! Proofs of the registry.

mod incarnations;
mod names;
mod removals;
mod starts;
mod subscriptions;
mod world;
