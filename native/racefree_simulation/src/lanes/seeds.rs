//! Seeds of the simulation: many of them, or one with its trace.

use super::{Outcome, say};
use racefree_simulation::simulation::{self, Settings, Trace};
use racefree_simulation::sweep::{Stop, sweep};
use std::num::NonZero;
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this seed alone and print each step.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Threads; all cores if not given.
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    // A panic is a finding like any other: it is told with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    match arguments.seed {
        Some(seed) => replay(seed),
        None => run_all(arguments),
    }
}

fn replay(seed: u64) -> Outcome {
    match simulation::run(seed, &Settings { trace: Trace::Yes, ..Settings::default() }) {
        Ok(summary) => {
            say(format_args!("seed {seed}: nothing found. {summary:?}"));
            Outcome::Clean
        }
        Err(violation) => {
            for line in &violation.trace {
                say(line);
            }
            say(&violation);
            Outcome::Found
        }
    }
}

fn run_all(arguments: &Arguments) -> Outcome {
    let jobs = arguments.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let begun = Instant::now();
    let end = arguments.from.saturating_add(arguments.seeds);
    say(format_args!("seeds {} to {end}, {jobs} jobs", arguments.from));
    let found = sweep(arguments.from..end, &Settings::default(), jobs, Stop::AfterAllSeeds, |done| say(format_args!("{done} done")));
    for violation in found.violations.iter().take(20) {
        say(violation);
    }
    if let Some(seed) = found.hung {
        say(format_args!("seed {seed} does not end\nreplay it with: bin/soak store --seed {seed}"));
    }
    say(format_args!(
        "{} seeds in {:.1} s, {} violations\n{:?}",
        found.seeds,
        begun.elapsed().as_secs_f64(),
        found.violations.len(),
        found.summary
    ));
    if found.is_clean() { Outcome::Clean } else { Outcome::Found }
}
