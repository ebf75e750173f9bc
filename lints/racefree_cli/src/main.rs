//! The `racefree` command: gathers what surrounds the process, and leaves with an exit status. Everything else is in the library.

#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::io::{self, BufWriter};

use racefree_cli::{Surroundings, crash};

/// Analysis makes many small, long-lived values on many threads at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    crash::keep_quiet();
    let surroundings = Surroundings::of_this_process();
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    // Not locked: the thread that shows progress writes there too.
    let mut err = io::stderr();
    let status = racefree_cli::run(std::env::args_os(), &surroundings, &mut out, &mut err);
    // Leaves without running destructors: what the run had to say is flushed, and giving back memory piece by piece takes time.
    std::process::exit(status.code());
}
