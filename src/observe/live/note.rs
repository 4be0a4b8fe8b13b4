//! Events into the second they happen in, and the last five minutes out of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::failures::Failures;
use super::recent::Recent;
use super::ring::{Ring, SECONDS, Times};
use super::second::Second;
use crate::batcher::Snapshot;
use crate::observe::event::{Bounds, BoundsInForce, Event};
use crate::observe::moment::Moment;
use crate::observe::records::Records;

/// What happened lately.
#[derive(Debug)]
pub struct Live {
    /// The process's start on both clocks, to tell the date of a later instant.
    started: (Instant, SystemTime),
    bounds: BoundsInForce,
    times: Times,
    ring: Mutex<Ring>,
}

impl Live {
    /// Nothing has happened yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            started: (Instant::now(), SystemTime::now()),
            bounds: BoundsInForce::new(bounds),
            times: Times::default(),
            ring: Mutex::default(),
        }
    }

    /// Batches are measured against these from here on.
    pub fn bound(&self, bounds: Bounds) {
        self.bounds.set(bounds);
    }

    /// When the process started, in seconds of Unix time.
    pub fn started(&self) -> f64 {
        unix(self.started.1)
    }

    /// Now, in seconds of Unix time.
    fn date(&self) -> f64 {
        let (instant, time) = self.started;
        unix(time) + instant.elapsed().as_secs_f64()
    }

    /// Something has happened. What is counted at that moment is asked for where the
    /// event has a second of its own; what only adds to the counts or to the times of
    /// jobs is seen with the next of those.
    #[inline(always)]
    pub fn note(&self, event: &Event, moment: impl FnOnce(Snapshot) -> Moment) {
        match *event {
            Event::Answered { after, .. } => self.times.job.add(after),
            Event::JobLeft { waited } => self.times.wait.add(waited),
            Event::Refused { batcher, .. } => self.in_second(&moment(batcher), |_| {}),
            Event::BatchLeft {
                jobs,
                items,
                bytes,
                reason,
                batcher,
            } => {
                let fill = self.bounds.fill(items, bytes);
                self.in_second(&moment(batcher), |second| second.left(jobs, fill, reason));
            }
            Event::BatchEnded {
                jobs,
                upstream,
                batcher,
                ..
            } => self.in_second(&moment(batcher), |second| {
                second.upstream.add_all(upstream, jobs);
            }),
            Event::BatchFailed { ref failed, .. } | Event::JobsFailed(ref failed) => {
                let failed = Failures::of(failed, self.date());
                self.lock().failed(failed);
            }
            Event::Found(ref counts) => self.lock().found(counts),
            Event::Recorded(ref counts) => {
                let moment = moment(Snapshot::default());
                let mut ring = self.lock();
                ring.second(self.date() as u64, &moment, &self.times);
                ring.put_down_records(counts);
            }
            Event::StoreFailed { .. } => self.in_second(&moment(Snapshot::default()), |_| {}),
            Event::BatchAbandoned { .. }
            | Event::StoreCommitted { .. }
            | Event::Recovered { .. }
            | Event::Fenced { .. }
            | Event::AttemptEnded { .. }
            | Event::Retried
            | Event::BudgetExhausted
            | Event::Split(_)
            | Event::Unmatched(_)
            | Event::Alone { .. }
            | Event::PassedThrough => {}
        }
    }

    fn in_second(&self, moment: &Moment, note: impl FnOnce(&mut Second)) {
        let mut ring = self.lock();
        note(ring.second(self.date() as u64, moment, &self.times));
    }

    /// The last five minutes, up to a moment. It is asked for while nothing else is
    /// noted, so that the seconds add up to what it says. What the store counted was
    /// asked for before: nobody's lock is taken here.
    pub fn read(&self, records: Option<Records>, moment: impl FnOnce() -> Moment) -> Recent {
        let mut ring = self.lock();
        let moment = moment();
        let date = self.date();
        ring.catch_up(
            date as u64,
            &moment,
            records.as_ref().map(|it| &it.counts),
            &self.times,
        );
        let oldest = (date as u64).saturating_sub(SECONDS as u64);
        Recent {
            date,
            seconds: ring.since(oldest).cloned().collect(),
            failures: ring.failures().cloned().collect(),
            moment,
            records,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Nothing panics while it is held.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
