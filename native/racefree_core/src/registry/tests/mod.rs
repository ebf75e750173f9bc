//! Proofs of the registry that need its inside or loom; those that need neither are under the crate's `tests/`.

mod names;
mod world;
