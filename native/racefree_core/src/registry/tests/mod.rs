//! Proofs of the registry.

#[cfg(not(loom))]
mod driver;
#[cfg(not(loom))]
mod incarnations;
#[cfg(not(loom))]
mod late_links;
#[cfg(not(loom))]
mod linearizability;
mod links;
#[cfg(loom)]
mod loom;
#[cfg(not(loom))]
mod model;
#[cfg(not(loom))]
mod names;
#[cfg(not(loom))]
mod properties;
#[cfg(not(loom))]
mod removals;
#[cfg(not(loom))]
mod starts;
#[cfg(not(loom))]
mod subscriptions;
mod world;
