//! A thread for one run, as wide as the linter's own, whose end is always an answer.

use std::any::Any;
use std::thread::Builder;

/// As much as each thread of the analysis has; only what is touched takes memory.
const STACK_BYTES: usize = 64 << 20;

/// Runs `work` on a thread of its own and waits for it. A panic, or a thread that cannot start, is a sentence.
pub(crate) fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let thread = Builder::new().name("racefree".to_owned()).stack_size(STACK_BYTES).spawn(work);
    let thread = thread.map_err(|error| format!("cannot start a thread: {error}"))?;
    thread.join().map_err(|payload| format!("internal error, please report it: {}", words(payload.as_ref())))
}

fn words(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}
