//! The proof of the store: a simulated disk that fails as disks do, seeded workloads that run the production code on it, an oracle that judges
//! what is left after each crash, and deliberate bugs that the whole must catch.
//!
//! Development only: nothing that ships depends on this crate. The simulation is decided by one seed; only [`process`] knows the machine's clock,
//! its real disk and its real processes.

mod client;
mod damage;
pub mod disk;
pub mod oracle;
pub mod process;
mod profile;
pub mod robustness;
pub mod simulation;
pub mod sweep;
