//! Proofs of the registry.

#![cfg_attr(loom, allow(dead_code, reason = "loom's tests need a part of what the others share"))]

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
