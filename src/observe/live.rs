//! The last five minutes, second by second: what the live page shows and what the
//! advice is drawn from.
//!
//! Nothing runs to keep it: whoever makes something happen notes it in the second
//! it happens in, under one short lock per batch. A second in which nothing
//! happened does not exist.

mod answer;
mod failures;
mod second;
mod spread;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::batcher::{FlushReason, Snapshot};
use crate::observe::metrics::Totals;

use spread::{SharedSpread, Taken};

pub use answer::FailedAnswer;
pub use failures::{FAILURES, Failed, Failures};
pub use second::{Second, Size};
pub use spread::Spread;

/// How many seconds are kept.
pub const SECONDS: usize = 300;

/// What happened lately.
#[derive(Debug)]
pub struct Live {
    /// The process's start on both clocks, to tell the date of a later instant.
    started: (Instant, SystemTime),
    /// How long answered jobs were here.
    answered_after: SharedSpread,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    seconds: VecDeque<Second>,
    failures: VecDeque<Failures>,
    seen: Seen,
}

/// What was put down to a second already.
#[derive(Debug, Default)]
struct Seen {
    answered: Vec<u64>,
    answered_after: Taken,
    events: Events,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Events {
    accepted: u64,
    refused: u64,
    queue_full: u64,
    kept_apart: u64,
    departed: u64,
    retries: u64,
    splits: u64,
    splits_too_large: u64,
    log_lines_dropped: u64,
    saturated: Duration,
}

impl Events {
    fn of(now: &Now) -> Self {
        Self {
            accepted: now.batcher.accepted,
            refused: now.totals.refused,
            queue_full: now.totals.queue_full,
            kept_apart: now.batcher.kept_apart,
            departed: now.batcher.cancelled_in_flight,
            retries: now.totals.retries,
            splits: now.totals.splits,
            splits_too_large: now.totals.splits_too_large,
            log_lines_dropped: now.log_lines_dropped,
            saturated: now.batcher.saturated,
        }
    }

    /// The later of two moments: nothing is ever counted down. Threads note what they
    /// counted in another order than they counted it, so a count may be older than
    /// one that was noted before.
    fn max(self, other: Self) -> Self {
        Self {
            accepted: self.accepted.max(other.accepted),
            refused: self.refused.max(other.refused),
            queue_full: self.queue_full.max(other.queue_full),
            kept_apart: self.kept_apart.max(other.kept_apart),
            departed: self.departed.max(other.departed),
            retries: self.retries.max(other.retries),
            splits: self.splits.max(other.splits),
            splits_too_large: self.splits_too_large.max(other.splits_too_large),
            log_lines_dropped: self.log_lines_dropped.max(other.log_lines_dropped),
            saturated: self.saturated.max(other.saturated),
        }
    }
}

/// What is counted elsewhere, at one moment.
#[derive(Clone, Debug)]
pub struct Now {
    /// By the batcher.
    pub batcher: Snapshot,
    /// By the metrics.
    pub totals: Totals,
    /// By the log: lines that it had no room for.
    pub log_lines_dropped: u64,
}

/// The last five minutes as they are at one moment.
#[derive(Clone, Debug)]
pub struct Reading {
    /// What was counted until then.
    pub now: Now,
    /// The oldest first.
    pub seconds: Vec<Second>,
    /// What failed last by its cause, the newest first.
    pub failures: Vec<Failures>,
}

/// A batch that leaves.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// How many jobs are in it.
    pub size: usize,
    /// How full it is, 0 to 1.
    pub fill: f64,
    /// Why it leaves.
    pub reason: FlushReason,
}

impl Live {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self {
            started: (Instant::now(), SystemTime::now()),
            answered_after: SharedSpread::default(),
            ring: Mutex::default(),
        }
    }

    /// When the process started, in seconds of Unix time.
    pub fn started(&self) -> f64 {
        unix(self.started.1)
    }

    /// Now, in seconds of Unix time.
    pub fn date(&self) -> f64 {
        let (instant, time) = self.started;
        unix(time) + instant.elapsed().as_secs_f64()
    }

    /// A batch leaves for the first time; its members have waited so long.
    pub fn batch_left(&self, left: Left, waited: impl Iterator<Item = Duration>, now: &Now) {
        let mut ring = self.lock();
        let second = self.note_in(&mut ring, now);
        second.left(left);
        waited.for_each(|waited| second.wait.add(waited));
    }

    /// A batch was answered; the upstream had it so long.
    pub fn batch_ended(&self, jobs: usize, took: Duration, now: &Now) {
        let mut ring = self.lock();
        let second = self.note_in(&mut ring, now);
        second.upstream.add_all(took, jobs);
    }

    /// A batch has failed, or jobs of one have.
    pub fn failed(&self, failed: Failed) {
        let t = self.date();
        failures::put_down(&mut self.lock().failures, failed, t);
    }

    /// A job was answered, so long after it came.
    pub fn answered(&self, after: Duration) {
        self.answered_after.add(after);
    }

    /// Something else has happened that the totals tell of.
    pub fn note(&self, now: &Now) {
        self.note_in(&mut self.lock(), now);
    }

    /// The second in which something happens.
    fn note_in<'a>(&self, ring: &'a mut Ring, now: &Now) -> &'a mut Second {
        let t = self.second();
        if ring.seconds.back().is_some_and(|newest| newest.t < t) {
            ring.put_down_durations(&self.answered_after);
        }
        ring.note(t, now)
    }

    /// The last five minutes, up to the moment that `now` tells of. It is asked while
    /// nothing else is noted, so that the seconds add up to what it says.
    pub fn read(&self, now: impl FnOnce() -> Now) -> Reading {
        let mut ring = self.lock();
        let now = now();
        if ring.seen.events == ring.seen.events.max(Events::of(&now)) {
            ring.put_down_answers(&now.totals);
        } else {
            self.note_in(&mut ring, &now);
        }
        ring.put_down_durations(&self.answered_after);
        let oldest = self.second().saturating_sub(SECONDS as u64);
        let seconds = ring.seconds.iter().filter(|it| it.t > oldest).cloned();
        Reading {
            seconds: seconds.collect(),
            failures: ring.failures.iter().cloned().collect(),
            now,
        }
    }

    fn second(&self) -> u64 {
        self.date() as u64
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Nothing panics while it is held.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

fn unix(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

impl Ring {
    /// The second in which something happens.
    fn note(&mut self, t: u64, now: &Now) -> &mut Second {
        self.put_down_answers(&now.totals);
        if self.seconds.back().is_none_or(|newest| newest.t < t) {
            if self.seconds.len() == SECONDS {
                self.seconds.pop_front();
            }
            self.seconds.push_back(Second::new(t));
        }
        self.put_down_events(now);
        let newest = self.seconds.len() - 1;
        let second = &mut self.seconds[newest];
        second.queue_jobs = second.queue_jobs.max(now.batcher.most_queued);
        let room = now.batcher.most_waiting_for_room;
        second.waiting_for_room = second.waiting_for_room.max(room);
        second.in_flight = second.in_flight.max(now.batcher.most_in_flight);
        second
    }

    /// Answers come in the wake of their batch, so they belong to the second in
    /// which something happened last.
    fn put_down_answers(&mut self, totals: &Totals) {
        let Some(second) = self.seconds.back_mut() else {
            return;
        };
        self.seen.answered.resize(totals.answered.len(), 0);
        for ((outcome, seen), now) in second
            .outcomes
            .iter_mut()
            .zip(&mut self.seen.answered)
            .zip(&totals.answered)
        {
            *outcome += now.saturating_sub(*seen);
            *seen = (*seen).max(*now);
        }
    }

    /// The same with how long the answered jobs were here; once a second will do.
    fn put_down_durations(&mut self, answered_after: &SharedSpread) {
        if let Some(second) = self.seconds.back_mut() {
            answered_after.take(&mut self.seen.answered_after, &mut second.job);
        }
    }

    /// All else leads to something that happens now.
    fn put_down_events(&mut self, now: &Now) {
        let Some(second) = self.seconds.back_mut() else {
            return;
        };
        let before = self.seen.events;
        let now = before.max(Events::of(now));
        second.jobs += now.accepted - before.accepted;
        second.refused += now.refused - before.refused;
        second.queue_full += now.queue_full - before.queue_full;
        second.kept_apart += now.kept_apart - before.kept_apart;
        second.departed += now.departed - before.departed;
        second.retries += now.retries - before.retries;
        second.splits += now.splits - before.splits;
        second.splits_too_large += now.splits_too_large - before.splits_too_large;
        second.log_lines_dropped += now.log_lines_dropped - before.log_lines_dropped;
        self.seen.events = now;
        self.put_down_saturated(now.saturated - before.saturated);
    }

    /// Slots may have been taken for longer than a second: each second that is kept
    /// gets its part of that, from the newest back.
    fn put_down_saturated(&mut self, mut time: Duration) {
        const SECOND: Duration = Duration::from_secs(1);
        for second in self.seconds.iter_mut().rev() {
            let part = time.min(SECOND.saturating_sub(second.saturated));
            second.saturated += part;
            time -= part;
            if time.is_zero() {
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
