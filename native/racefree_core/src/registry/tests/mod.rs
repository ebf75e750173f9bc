//! Proofs of the registry.

mod driver;
mod incarnations;
mod model;
mod names;
#[cfg(not(loom))]
mod properties;
mod removals;
mod starts;
mod subscriptions;
mod world;
