//! Ten thousand seeds: the store keeps every promise on a disk that keeps none.

use racefree_simulation::simulation::{Settings, Violation};
use racefree_simulation::sweep::{Stop, sweep};

const SEEDS: u64 = 10_000;

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
