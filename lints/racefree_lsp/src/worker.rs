//! The thread that analyses. It takes the newest job there is; jobs that were put in its place before it came to them are never done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::analyst::{Analysis, Analyst, Finder, Job};

/// Changes that come this close together are one.
const TOGETHER: Duration = Duration::from_millis(4);
/// When nothing was asked for so long, there is time to keep what is known for the next start.
const REST: Duration = Duration::from_secs(3);

/// A job for one folder, and the state of the documents it was made from.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) folder: PathBuf,
    pub(crate) job: Job,
    /// Grows with each order.
    pub(crate) number: u64,
}

/// How an order ended.
pub(crate) struct Done {
    pub(crate) folder: PathBuf,
    pub(crate) number: u64,
    pub(crate) outcome: Result<Arc<Analysis>, String>,
}

/// The way to the thread.
pub(crate) struct Worker {
    pending: Arc<Mutex<Vec<Order>>>,
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(crate) fn start(finder: Arc<dyn Finder>, done: Sender<Done>) -> Self {
        let pending = Arc::new(Mutex::new(Vec::new()));
        let (wake, woken) = crossbeam_channel::unbounded();
        let desk = Desk { finder, analysts: Vec::new(), pending: Arc::clone(&pending), done };
        let thread = std::thread::spawn(move || desk.work(&woken));
        Self { pending, wake: Some(wake), thread: Some(thread) }
    }

    /// Puts an order in the place of what is waiting for the same folder.
    pub(crate) fn order(&self, mut order: Order) {
        if let Ok(mut pending) = self.pending.lock() {
            if let Some(index) = pending.iter().position(|known| known.folder == order.folder) {
                order.job.reread |= pending.swap_remove(index).job.reread;
            }
            pending.push(order);
        }
        if let Some(wake) = &self.wake {
            // The thread ends with us alone.
            let _ = wake.send(());
        }
    }
}

impl Drop for Worker {
    /// Waits for the job at hand; those that wait are never done.
    fn drop(&mut self) {
        if let Ok(mut pending) = self.pending.lock() {
            pending.clear();
        }
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // It guards against panics itself.
            drop(thread.join());
        }
    }
}

struct Desk {
    finder: Arc<dyn Finder>,
    analysts: Vec<(PathBuf, Box<dyn Analyst>)>,
    pending: Arc<Mutex<Vec<Order>>>,
    done: Sender<Done>,
}

impl Desk {
    fn work(mut self, woken: &Receiver<()>) {
        let mut is_rested = true;
        loop {
            match woken.recv_timeout(if is_rested { Duration::MAX } else { REST }) {
                Ok(()) => {
                    // More may be on its way.
                    while woken.recv_timeout(TOGETHER).is_ok() {}
                    is_rested &= !self.take_orders();
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.rest();
                    is_rested = true;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    if !is_rested {
                        self.rest();
                    }
                    return;
                }
            }
        }
    }

    /// Whether there were any.
    fn take_orders(&mut self) -> bool {
        let orders = self.pending.lock().map(|mut pending| std::mem::take(&mut *pending)).unwrap_or_default();
        let any = !orders.is_empty();
        for Order { folder, job, number } in orders {
            let outcome = catch_unwind(AssertUnwindSafe(|| self.analyse(&folder, &job)));
            let outcome = outcome.unwrap_or_else(|_| {
                // What it was changing is in an unknown state.
                self.analysts.retain(|(known, _)| *known != folder);
                Err("internal error while analysing; the next change starts afresh. Please report it.".to_owned())
            });
            // The server is gone: so are we, soon.
            drop(self.done.send(Done { folder, number, outcome: outcome.map(Arc::new) }));
        }
        any
    }

    fn analyse(&mut self, folder: &PathBuf, job: &Job) -> Result<Analysis, String> {
        if !self.analysts.iter().any(|(known, _)| known == folder) {
            self.analysts.push((folder.clone(), self.finder.open(folder)?));
        }
        match self.analysts.iter_mut().find(|(known, _)| known == folder) {
            Some((_, analyst)) => analyst.analyse(job),
            None => Err(String::new()),
        }
    }

    fn rest(&mut self) {
        self.analysts.retain_mut(|(_, analyst)| catch_unwind(AssertUnwindSafe(|| analyst.rest())).is_ok());
    }
}
