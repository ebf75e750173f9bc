//! Every mechanism of the store, taken away, is missed: each planted bug is caught within so many seeds. That none is caught without a bug is the
//! business of `seeds.rs`, which runs the same build.

#![expect(clippy::explicit_write, reason = "the printing macros are denied in this workspace, and what was caught must be seen")]

use racefree_core::store::planted::{self, Planted};
use racefree_simulation::disk::Lie;
use racefree_simulation::simulation::Settings;
use racefree_simulation::sweep::{Stop, sweep};
use std::io::Write;

const SEEDS_MAX: u64 = 10_000;

/// The first seed that catches it, and what it says.
fn catch(name: &str, settings: &Settings) -> Option<u64> {
    // One thread: the first seed is the same on every machine.
    let found = sweep(0..SEEDS_MAX, settings, 1, Stop::AtFirstViolation, |_| {});
    let caught = found
        .violations
        .first()
        .map(|violation| (violation.seed, violation.problem.clone()))
        .or(found.hung.map(|seed| (seed, "it hangs".to_owned())));
    let told = caught.as_ref().map_or("NOT CAUGHT".to_owned(), |(seed, problem)| format!("seed {seed}: {problem}"));
    let told: String = told.chars().take(160).collect();
    writeln!(std::io::stderr(), "{name}: {told}").unwrap();
    caught.map(|(seed, _)| seed)
}

#[test]
fn catches_every_planted_bug() {
    const { assert!(planted::IS_POSSIBLE, "the feature is on in tests") };
    std::panic::set_hook(Box::new(|_| {}));
    let missed: Vec<Planted> = planted::IN_ONE_THREAD
        .into_iter()
        .filter(|bug| catch(&format!("{bug:?}"), &Settings { planted: Some(*bug), ..Settings::default() }).is_none())
        .collect();
    drop(std::panic::take_hook());
    assert_eq!(missed, []);
}

#[test]
fn catches_every_answer_of_the_disk_that_is_ignored() {
    let data = |part: &str| Lie::SyncData(part.to_owned());
    let missed: Vec<Lie> = [data(".wal"), data(".pack"), data("MANIFEST"), Lie::SyncDir, Lie::FullDisk, Lie::Lock]
        .into_iter()
        .filter(|lie| catch(&format!("{lie:?}"), &Settings { lies: vec![lie.clone()], ..Settings::default() }).is_none())
        .collect();
    assert_eq!(missed, []);
}
