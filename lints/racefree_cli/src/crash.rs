//! What happens when the linter itself has a bug: a sentence that can be reported, and as much of the run as is left.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;

/// Where the latest panic happened; the payload does not know.
static PLACE: Mutex<String> = Mutex::new(String::new());

/// Replaces the backtrace that a panic prints by a note for [`guard`]; with `RUST_BACKTRACE` set, the backtrace stays.
pub fn keep_quiet() {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    panic::set_hook(Box::new(|info| {
        if let (Some(location), Ok(mut place)) = (info.location(), PLACE.lock()) {
            *place = format!(" ({}:{})", location.file(), location.line());
        }
    }));
}

/// Runs `work`; a panic in it becomes one line of text. What `work` was changing must not be used afterwards.
pub(crate) fn guard<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| describe(payload.as_ref()))
}

/// What to ask of a person who met a bug.
pub(crate) fn plea(report: &str) -> String {
    format!("internal error, please report it: {report}")
}

fn describe(payload: &(dyn Any + Send)) -> String {
    let words = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = PLACE.lock().map(|place| place.clone()).unwrap_or_default();
    format!("{}{place}", words.unwrap_or("a panic without words"))
}
