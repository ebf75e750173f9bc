//! Many seeds, on all cores, with an eye on those that never end.

use crate::simulation::{self, Settings, Summary, Violation};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A seed takes milliseconds. One that takes this long waits for something that never comes.
const SEED_DURATION_MAX: Duration = Duration::from_secs(120);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// When to stop looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    AtFirstViolation,
    AfterAllSeeds,
}

/// What a sweep found.
#[derive(Debug, Default)]
pub struct Sweep {
    pub seeds: u64,
    pub summary: Summary,
    pub violations: Vec<Violation>,
    /// Was still running when it should long have been done. Its thread is lost.
    pub hung: Option<u64>,
}

impl Sweep {
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.hung.is_none()
    }
}

struct Worker {
    seed: AtomicU64,
    started: AtomicU64,
}

/// Runs `seeds` on `jobs` threads. `report` hears now and then how many are done.
pub fn sweep(seeds: Range<u64>, settings: &Settings, jobs: usize, stop: Stop, mut report: impl FnMut(u64)) -> Sweep {
    let begun = Instant::now();
    let next = std::sync::Arc::new(AtomicU64::new(seeds.start));
    let is_stopped = std::sync::Arc::new(AtomicBool::new(false));
    let (results, inbox) = channel();
    let workers: Vec<std::sync::Arc<Worker>> = (0..jobs.max(1))
        .map(|_| {
            let worker = std::sync::Arc::new(Worker { seed: AtomicU64::new(seeds.start), started: AtomicU64::new(0) });
            let (own, next, is_stopped, results, settings) =
                (worker.clone(), next.clone(), is_stopped.clone(), results.clone(), settings.clone());
            let end = seeds.end;
            std::thread::spawn(move || {
                while !is_stopped.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    own.seed.store(seed, Ordering::Relaxed);
                    own.started.store(milliseconds(begun.elapsed()), Ordering::Relaxed);
                    if results.send(simulation::run(seed, &settings)).is_err() {
                        break;
                    }
                }
                own.started.store(u64::MAX, Ordering::Relaxed);
            });
            worker
        })
        .collect();
    drop(results);
    let mut sweep = Sweep::default();
    let mut told = Instant::now();
    loop {
        match inbox.recv_timeout(PROGRESS_INTERVAL) {
            Ok(outcome) => {
                sweep.seeds += 1;
                match outcome {
                    Ok(summary) => sweep.summary += summary,
                    Err(violation) => {
                        sweep.violations.push(violation);
                        is_stopped.store(stop == Stop::AtFirstViolation, Ordering::Relaxed);
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            report(sweep.seeds);
            let now = milliseconds(begun.elapsed());
            let is_hung = |worker: &&std::sync::Arc<Worker>| {
                now.saturating_sub(worker.started.load(Ordering::Relaxed)) > milliseconds(SEED_DURATION_MAX)
            };
            if let Some(worker) = workers.iter().find(is_hung) {
                sweep.hung = Some(worker.seed.load(Ordering::Relaxed));
                break;
            }
        }
    }
    sweep.violations.sort_by_key(|violation| violation.seed);
    sweep
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX - 1)
}
