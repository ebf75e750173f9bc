//! Kills of a real process on a real disk.

use super::{Outcome, say};
use racefree_simulation::process::kills::{Kills, folder};
use racefree_simulation::process::worker;
use std::path::PathBuf;
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How often to kill.
    #[arg(long, default_value_t = 2000)]
    count: u64,
    /// Decides what is written and when the kills come, as far as a clock can be decided.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to make the store's folder; the current folder if not given.
    #[arg(long, default_value = ".")]
    parent: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct Work {
    dir: PathBuf,
    seed: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let begun = Instant::now();
    let counted = std::env::current_exe().and_then(|program| Ok((program, folder(&arguments.parent)?)));
    let (program, parent) = match counted {
        Ok(found) => found,
        Err(error) => {
            say(format_args!("cannot start: {error}"));
            return Outcome::Found;
        }
    };
    let kills = Kills { program, arguments: vec!["worker".to_owned()], dir: parent.path().join("store"), seed: arguments.seed };
    let outcome = kills.run(arguments.count, |count| {
        if count.kills.is_multiple_of(100) {
            say(format_args!("{count:?}"));
        }
    });
    match outcome {
        Ok(count) => {
            say(format_args!("{} kills in {:.1} s, nothing lost: {count:?}", count.kills, begun.elapsed().as_secs_f64()));
            Outcome::Clean
        }
        Err(problem) => {
            let kept = parent.keep();
            say(format_args!("{problem}\nthe store is kept in {}", kept.display()));
            Outcome::Found
        }
    }
}

pub(crate) fn work(work: &Work) -> Outcome {
    worker::work(&work.dir, work.seed);
    Outcome::Found
}
