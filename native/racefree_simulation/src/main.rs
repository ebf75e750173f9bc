//! The long lanes, as one program: `bin/soak` builds and calls it. Each sub-command is one lane, and prints what it counted.

mod lanes;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "bin/soak", about = "Long runs that look for what short ones cannot find")]
struct Arguments {
    #[command(subcommand)]
    lane: Lane,
}

#[derive(Subcommand)]
enum Lane {
    /// Run the store on a simulated disk, or replay one seed with all that happened.
    Store(lanes::seeds::Arguments),
    /// Kill a process that writes to a real disk, and compare what it leaves with what it announced.
    Kills(lanes::kills::Arguments),
    /// The process that `kills` kills.
    #[command(hide = true)]
    Worker(lanes::kills::Work),
}

/// 0 all is well, 1 something was found, 2 bad usage (from the parser).
fn main() -> ExitCode {
    let found = match Arguments::parse().lane {
        Lane::Store(arguments) => lanes::seeds::run(&arguments),
        Lane::Kills(arguments) => lanes::kills::run(&arguments),
        Lane::Worker(work) => lanes::kills::work(&work),
    };
    match found {
        lanes::Outcome::Clean => ExitCode::SUCCESS,
        lanes::Outcome::Found => ExitCode::from(1),
    }
}
