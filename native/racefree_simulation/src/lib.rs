//! The proof of the store: a simulated disk that fails as disks do, seeded workloads that run the production code on it, an oracle that judges
//! what is left after each crash, and deliberate bugs that the whole must catch.
//!
//! Development only: nothing that ships depends on this crate. Everything here is decided by one seed; the clock of the machine and its real
//! disk are left out.

pub mod disk;
