//! The seconds that are kept, and what of the counts was put down to them already.

use std::collections::VecDeque;
use std::time::Duration;

use super::failures::{Failures, put_down};
use super::for_later::{ForLater, backlog};
use super::second::{Counts, Second};
use crate::observe::by_code::ByCode;
use crate::observe::latency::{SharedLatencyHistogram, Taken};
use crate::observe::moment::Moment;
use crate::observe::records::RecordCounts;

/// How many seconds are kept.
pub const SECONDS: usize = 300;

/// Times of jobs, added without the lock of the ring.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// From a job's arrival to its answer.
    pub job: SharedLatencyHistogram,
    /// From a job's arrival to its batch leaving.
    pub wait: SharedLatencyHistogram,
}

/// The seconds in which something happened, and what failed last.
#[derive(Debug, Default)]
pub(super) struct Ring {
    seconds: VecDeque<Second>,
    failures: VecDeque<Failures>,
    seen: Seen,
}

/// What was put down to a second already.
#[derive(Debug, Default)]
struct Seen {
    answered: ByCode,
    counts: Counts,
    later: ForLater,
    backlog: u64,
    saturated: Duration,
    job: Taken,
    wait: Taken,
}

impl Ring {
    /// The second of that date, in which something happens.
    pub fn second(&mut self, t: u64, moment: &Moment, times: &Times) -> &mut Second {
        self.put_down_answers(moment);
        if self.seconds.back().is_none_or(|newest| newest.t < t) {
            self.put_down_times(times);
            if self.seconds.len() == SECONDS {
                self.seconds.pop_front();
            }
            self.seconds.push_back(Second::new(t));
        }
        self.put_down_counts(moment);
        self.put_down_saturated(moment.batcher.saturated);
        let newest = self.seconds.len() - 1;
        let second = &mut self.seconds[newest];
        second.saw(&moment.batcher);
        second
    }

    /// Puts down what is not put down yet. Only what calls for it makes a second of that
    /// date: answers belong to the last in which something happened.
    pub fn catch_up(
        &mut self,
        t: u64,
        moment: &Moment,
        records: Option<&RecordCounts>,
        times: &Times,
    ) {
        let counts = self.seen.counts.with(&Counts::of(moment), u64::max);
        let saturated = self.seen.saturated.max(moment.batcher.saturated);
        let news = records.filter(|counts| self.is_news(counts));
        if (counts, saturated) == (self.seen.counts, self.seen.saturated) && news.is_none() {
            self.put_down_answers(moment);
        } else {
            self.second(t, moment, times);
        }
        news.into_iter()
            .for_each(|counts| self.put_down_records(counts));
        self.put_down_times(times);
    }

    /// What the store counted before the process is no second's. How long its backlog is
    /// stands in the first that is told.
    pub fn found(&mut self, counts: &RecordCounts) {
        self.seen.later = self.seen.later.with(&ForLater::of(counts), u64::max);
    }

    /// Puts down what the store counted. Its counts come from several threads too.
    pub fn put_down_records(&mut self, counts: &RecordCounts) {
        if let Some(second) = self.seconds.back_mut() {
            let later = self.seen.later.with(&ForLater::of(counts), u64::max);
            let new = later.with(&self.seen.later, |now, before| now - before);
            second.later = second.later.with(&new, |all, new| all + new);
            self.seen.later = later;
            self.seen.backlog = backlog(counts);
            second.saw_backlog(self.seen.backlog);
        }
    }

    /// Whether the store counted what is not put down yet.
    fn is_news(&self, counts: &RecordCounts) -> bool {
        let later = self.seen.later.with(&ForLater::of(counts), u64::max);
        later != self.seen.later || backlog(counts) != self.seen.backlog
    }

    /// Jobs have failed.
    pub fn failed(&mut self, failed: Failures) {
        put_down(&mut self.failures, failed);
    }

    /// The seconds after that one, the oldest first.
    pub fn since(&self, oldest: u64) -> impl Iterator<Item = &Second> {
        self.seconds.iter().filter(move |it| it.t > oldest)
    }

    /// What failed last by its cause, the newest first.
    pub fn failures(&self) -> impl Iterator<Item = &Failures> {
        self.failures.iter()
    }

    /// Answers come in the wake of their batch, so they belong to the second in
    /// which something happened last.
    fn put_down_answers(&mut self, moment: &Moment) {
        if let Some(second) = self.seconds.back_mut() {
            let answered = &moment.totals.answered;
            let new = answered.with(&self.seen.answered, u64::saturating_sub);
            second.outcomes = second.outcomes.with(&new, |all, new| all + new);
            self.seen.answered = self.seen.answered.with(answered, u64::max);
        }
    }

    /// The same with how long jobs were here and have waited; once a second will do.
    fn put_down_times(&mut self, times: &Times) {
        if let Some(second) = self.seconds.back_mut() {
            times.job.take(&mut self.seen.job, &mut second.job);
            times.wait.take(&mut self.seen.wait, &mut second.wait);
        }
    }

    /// All else leads to something that happens now. Nothing is ever counted down, but
    /// threads note what they counted in another order than they counted it, so that a
    /// count may be older than one that was noted before.
    fn put_down_counts(&mut self, moment: &Moment) {
        if let Some(second) = self.seconds.back_mut() {
            let counts = self.seen.counts.with(&Counts::of(moment), u64::max);
            let new = counts.with(&self.seen.counts, |now, before| now - before);
            second.counts = second.counts.with(&new, |all, new| all + new);
            self.seen.counts = counts;
        }
    }

    /// Slots may have been taken for longer than a second: each second that is kept
    /// gets its part of that, from the newest back.
    fn put_down_saturated(&mut self, saturated: Duration) {
        const SECOND: Duration = Duration::from_secs(1);
        let mut time = saturated.saturating_sub(self.seen.saturated);
        self.seen.saturated += time;
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
