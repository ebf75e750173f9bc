//! A sign of life on the terminal, when a run takes longer than a person likes to wait without one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::surroundings::{Stream, Surroundings};

const PATIENCE: Duration = Duration::from_secs(1);
const REFRESH: Duration = Duration::from_millis(100);

/// Shared between the workers, who count, and the thread that draws.
#[derive(Debug, Default)]
struct State {
    done: AtomicUsize,
    total: AtomicUsize,
    stage: Mutex<&'static str>,
}

/// Draws on the error output until it is dropped, and leaves nothing behind. Without a terminal it does nothing.
#[derive(Debug)]
pub(crate) struct Progress {
    state: Arc<State>,
    painter: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    pub(crate) fn new(surroundings: &Surroundings) -> Self {
        let state = Arc::new(State::default());
        let painter = (surroundings.error == Stream::Terminal).then(|| {
            let (finished, is_finished) = mpsc::channel();
            let state = Arc::clone(&state);
            (finished, std::thread::spawn(move || paint(&state, &is_finished)))
        });
        Self { state, painter }
    }

    /// Shown to nobody.
    pub(crate) fn none() -> Self {
        Self { state: Arc::default(), painter: None }
    }

    /// Begins a stage of `total` pieces of work; of none when they cannot be counted.
    pub(crate) fn stage(&self, name: &'static str, total: usize) {
        self.state.done.store(0, Ordering::Relaxed);
        self.state.total.store(total, Ordering::Relaxed);
        if let Ok(mut stage) = self.state.stage.lock() {
            *stage = name;
        }
    }

    pub(crate) fn advance(&self) {
        self.state.done.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((finished, painter)) = self.painter.take() {
            drop(finished);
            // The painter only draws: should it have panicked, the report is no worse for it.
            drop(painter.join());
        }
    }
}

fn paint(state: &State, is_finished: &mpsc::Receiver<()>) {
    if is_finished.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = |template| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    let (counted, uncounted) = (style("{spinner} {msg} [{bar:30}] {pos}/{len} files"), style("{spinner} {msg}"));
    while is_finished.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
        let total = state.total.load(Ordering::Relaxed);
        bar.set_length(total as u64);
        bar.set_position(state.done.load(Ordering::Relaxed) as u64);
        bar.set_message(state.stage.lock().map(|stage| *stage).unwrap_or_default());
        // Last: a bar is drawn as soon as its style is set.
        bar.set_style(if total > 0 { counted.clone() } else { uncounted.clone() });
        bar.tick();
    }
    bar.finish_and_clear();
}
