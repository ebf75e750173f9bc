//! The janitor: the one thread of an incarnation. It follows deaths, answers waiters, reports events and, at the end, dismantles what is left.
//!
//! Nothing depends on how soon it comes: lookups check liveness themselves. It works in small steps, so that deaths and answers take turns and no lock is held for long.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::backlog::Backlog;
use super::entry::{Entry, State};
use super::inbox::{Answer, Downs, Job, Jobs};
use super::pids::{Link, Record};
use super::start::HandOver;
use super::{Event, Notice, Platform, Registry, Status};
use crate::sync::Arc;

/// How many jobs, or recipients of a job, one step serves.
const JOBS_PER_STEP: usize = 64;
/// How many dead processes, or links of one, one step follows.
const LINKS_PER_STEP: usize = 64;

pub struct Janitor<P: Platform> {
    registry: Arc<Registry<P>>,
    jobs: Jobs<P>,
    job: Option<Job<P>>,
    downs: Downs<P>,
    dead: Option<Dead<P>>,
    /// Processes of the pid shard that is being dismantled.
    left: Vec<(P::Pid, Box<Record<P>>)>,
    end: End,
}

/// A process whose links are being followed.
struct Dead<P: Platform> {
    pid: P::Pid,
    record: Box<Record<P>>,
}

/// How far the end has come.
#[derive(Clone, Copy)]
enum End {
    NotYet,
    Keys { next_shard: usize },
    Pids { next_shard: usize },
    Over(Ended),
}

/// What a step came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    Worked,
    /// There was nothing to do.
    Idle,
    Ended(Ended),
}

/// Why the janitor ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    Closed,
    Poisoned,
}

impl<P: Platform> Janitor<P> {
    pub fn new(registry: Arc<Registry<P>>) -> Self {
        Self { registry, jobs: Backlog::new(), job: None, downs: Backlog::new(), dead: None, left: Vec::new(), end: End::NotYet }
    }

    /// Works until the incarnation ends. A panic in foreign code poisons the incarnation and is reported as [`Ended::Poisoned`].
    pub fn run(mut self) -> Ended {
        loop {
            // What a panic interrupted has been taken out of its queue before: the next step does not meet it again.
            match catch_unwind(AssertUnwindSafe(|| self.step())) {
                Ok(Step::Worked) => {}
                Ok(Step::Idle) => self.registry.inbox.wait(),
                Ok(Step::Ended(ended)) => return ended,
                Err(_panic) => self.registry.poison(),
            }
        }
    }

    /// Does a bounded part of what there is to do.
    pub fn step(&mut self) -> Step {
        let registry = Arc::clone(&self.registry);
        registry.guarded(|| match registry.status() {
            Status::Serving | Status::Suspended => {
                let answered = self.serve_jobs();
                let followed = self.follow_downs();
                if answered || followed { Step::Worked } else { Step::Idle }
            }
            Status::Closed | Status::Poisoned => self.dismantle(),
        })
    }

    fn serve_jobs(&mut self) -> bool {
        for served in 0..JOBS_PER_STEP {
            if self.job.is_none() {
                if self.jobs.is_empty() {
                    self.jobs = self.registry.inbox.take_jobs();
                }
                self.job = self.jobs.pop();
            }
            if !self.serve_job() {
                return served > 0;
            }
        }
        true
    }

    /// Serves the event or one recipient of the job in hand. Each is taken out first, and the job stays in hand: a delivery that panics costs nobody else the answer.
    fn serve_job(&mut self) -> bool {
        let registry = &self.registry;
        match self.job.take() {
            None => return false,
            Some(Job::Event(event)) => registry.platform.event(*event),
            Some(Job::Answer(mut answer)) => {
                let Some((_, waiter)) = answer.waiters.pop_first() else { return true };
                let recipient = &waiter.recipient;
                let notice = answer.notice.clone();
                self.job = Some(Job::Answer(answer));
                recipient.answer(|pid, tag| registry.platform.send(pid, tag, notice));
                // Order: the link goes after the answer. While it is there, a waiter that gives up can still silence its recipient.
                registry.pids.unlink(
                    recipient.pid,
                    waiter.link,
                    |link| matches!(link, Link::Wait { recipient: own, .. } if Arc::ptr_eq(own, recipient)),
                );
            }
            Some(Job::Dissolve(mut subscribers)) => {
                let Some(subscriber) = subscribers.pop() else { return true };
                self.job = Some(Job::Dissolve(subscribers));
                let recipient = &subscriber.recipient;
                // Order: silent before the link goes, so that who finds no link to its subscription knows that nothing is sent for it any more.
                recipient.silence();
                let own = |link: &Link<P>| matches!(link, Link::Subscription { recipient: own, .. } if Arc::ptr_eq(own, recipient));
                registry.pids.unlink(recipient.pid, subscriber.link, own);
            }
        }
        true
    }

    fn follow_downs(&mut self) -> bool {
        for followed in 0..LINKS_PER_STEP {
            if let Some(dead) = &mut self.dead {
                match dead.record.links.pop() {
                    Some(link) => follow(&self.registry, link),
                    None => self.dead = None,
                }
                continue;
            }
            if self.downs.is_empty() {
                self.downs = self.registry.inbox.take_downs();
            }
            let Some((pid, monitor)) = self.downs.pop() else { return followed > 0 };
            // A shard that cannot be trusted any more: the next step sees the status.
            let Ok(record) = self.registry.pids.take(pid, monitor) else { return true };
            self.dead = record.map(|record| Dead { pid, record });
        }
        true
    }

    /// One part of the end: what is owed, then the entries, then what they owed, then the processes.
    fn dismantle(&mut self) -> Step {
        match self.end {
            End::NotYet => {
                if !self.serve_jobs() {
                    self.end = End::Keys { next_shard: 0 };
                }
            }
            End::Keys { next_shard } => {
                self.end = End::Keys { next_shard: next_shard + 1 };
                let slots = self.registry.shards.get(next_shard).map(|shard| shard.dismantle());
                match slots {
                    Some(slots) => slots.into_iter().for_each(|slot| self.dissolve(*slot.entry)),
                    // Order: no operation pushes a job once its shard was taken, since it reads the status under that lock. So these are the last.
                    None if self.serve_jobs() => {}
                    None => self.end = End::Pids { next_shard: 0 },
                }
            }
            End::Pids { next_shard } => {
                if let Some(dead) = self.dead.take() {
                    release(&self.registry, dead.pid, *dead.record);
                } else if let Some((pid, record)) = self.left.pop() {
                    let monitor = record.monitor;
                    release(&self.registry, pid, *record);
                    self.registry.platform.demonitor(next_shard.saturating_sub(1), monitor);
                } else if next_shard < self.registry.shards() {
                    self.end = End::Pids { next_shard: next_shard + 1 };
                    self.left = self.registry.pids.dismantle(next_shard);
                } else {
                    self.finish();
                }
            }
            End::Over(ended) => return Step::Ended(ended),
        }
        Step::Worked
    }

    fn dissolve(&mut self, entry: Entry<P>) {
        match entry.state {
            State::Starting(starting) if !starting.waiters.is_empty() => {
                self.jobs.push(Job::Answer(Box::new(Answer { waiters: starting.waiters, notice: Notice::Closed })));
            }
            State::Live { subscribers, .. } if !subscribers.is_empty() => self.jobs.push(Job::Dissolve(subscribers)),
            _ => {}
        }
    }

    fn finish(&mut self) {
        self.registry.inbox.end();
        self.downs = Backlog::new();
        let ended = if self.registry.status() == Status::Poisoned { Ended::Poisoned } else { Ended::Closed };
        // Order: over before the report, so that a report that panics is not repeated.
        self.end = End::Over(ended);
        if ended == Ended::Poisoned {
            self.registry.platform.event(Event::Poisoned);
        }
    }
}

/// Ends one role of a process that died.
fn follow<P: Platform>(registry: &Registry<P>, link: Link<P>) {
    match link {
        // A life has one holder or remover: with the generation, the role is the one that was linked.
        Link::Key { hash, generation } | Link::Removal { hash, generation } => {
            let Ok(mut table) = registry.settle(hash) else { return };
            let gone = registry.bury_holder(&mut table, hash, generation);
            drop(table);
            drop(gone);
        }
        Link::Lead { hash, generation, lead } => registry.forget_waiter(hash, generation, lead, HandOver::Died),
        Link::Wait { hash, generation, recipient } => {
            recipient.silence();
            registry.forget_waiter(hash, generation, recipient.stamp, HandOver::Died);
        }
        Link::Subscription { hash, generation, slot, recipient } => registry.leave(hash, generation, slot, &recipient),
    }
}

/// Nothing is sent to this process any more, even by a broadcast under way. Nearly all waiters have their answer; who was lost in a section that panicked gets it here.
fn release<P: Platform>(registry: &Registry<P>, pid: P::Pid, mut record: Record<P>) {
    while let Some(link) = record.links.pop() {
        match link {
            Link::Subscription { recipient, .. } => {
                recipient.silence();
            }
            Link::Wait { recipient, .. } => recipient.answer(|_, tag| registry.platform.send(pid, tag, Notice::Closed)),
            Link::Key { .. } | Link::Lead { .. } | Link::Removal { .. } => {}
        }
    }
}
