//! Ten thousand seeds: the store keeps every promise on a disk that keeps none.

use racefree_simulation::simulation::{self, Settings, Violation};
use racefree_simulation::sweep::{Stop, sweep};

const SEEDS: u64 = 10_000;

/// A wrong complaint of the simulation itself: a trim was heard of as durable after its batch, and taken for a batch of its own.
const SEED_OF_LATE_QUESTION: u64 = 10_132_596;

/// A clean mark that could not be read, was removed, and came back with a loss of power: the log was called damaged behind the place where the next one continues it.
const SEEDS_OF_RETURNED_MARK: [u64; 2] = [20_547_951, 20_688_310];

/// Memory was full of what waited to be written, and the flusher began one log after the other to make room instead of writing it.
const SEED_OF_SWITCH_WITHOUT_END: u64 = 30_525_820;

#[test]
fn keeps_every_promise_for_seeds_that_found_something() {
    for seed in SEEDS_OF_RETURNED_MARK.into_iter().chain([SEED_OF_SWITCH_WITHOUT_END]) {
        let outcome = simulation::run(seed, &Settings::default());
        assert!(outcome.is_ok(), "{:?}", outcome.err().map(|violation| violation.to_string()));
    }
}

#[test]
fn complains_of_nothing_that_is_promised_nowhere() {
    let outcome = simulation::run(SEED_OF_LATE_QUESTION, &Settings::default());
    assert!(outcome.is_ok(), "{:?}", outcome.err().map(|violation| violation.to_string()));
}

#[test]
fn keeps_every_promise_for_ten_thousand_seeds() {
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let found = sweep(0..SEEDS, &Settings::default(), jobs, Stop::AtFirstViolation, |_| {});
    assert!(found.is_clean(), "{}{:?}", found.violations.first().map(Violation::to_string).unwrap_or_default(), found.hung);
    assert_eq!(found.seeds, SEEDS);
    // That all is well means something only if a lot happened.
    let summary = found.summary;
    for (count, what) in [
        (summary.crashes, "crashes"),
        (summary.crashes_in_recovery, "crashes in recovery"),
        (summary.failures, "failures"),
        (summary.damages, "damages"),
        (summary.drains, "drains"),
        (summary.packs, "packs"),
    ] {
        assert!(count > SEEDS / 20, "only {count} {what}");
    }
}
