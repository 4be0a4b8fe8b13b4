//! What happens in the proxy, told once, where it happens.
//!
//! [`Observer::tell`] is the one place that hears of an [`Event`]; the metrics count it,
//! the last five minutes keep it, and the failure log puts it into a line. The advice is
//! drawn from those five minutes. Nothing here knows who tells, nor who asks.

pub mod advice;
mod by_code;
mod certificate;
mod event;
mod failed_answer;
mod failure_log;
mod forms;
pub mod health;
mod latency;
pub mod live;
pub mod metrics;
mod moment;
mod process;
mod records;
pub mod spans;
mod words;

use std::sync::Arc;

use crate::batcher::Snapshot;
use crate::observe::failure_log::FailureLog;
use crate::observe::forms::Forms;
use crate::observe::live::{Live, Recent};
use crate::observe::metrics::Metrics;
use crate::observe::spans::Spans;
use crate::throttle::LogThrottle;

pub use by_code::ByCode;
pub use certificate::{Certificate, Trouble};
pub use event::{ALONE, Bounds, Event, FailedJobs, SplitCause};
pub use failed_answer::FailedAnswer;
pub use forms::Counted;
pub use moment::{Moment, Totals};
pub use process::{HANDSHAKE_FAILURES, Process, ProcessEvent, Reloaded};
pub use records::{CountsByRoute, RecordBounds, RecordCounts, Records, Recovered, StoreStep};

/// What has happened on one route.
#[derive(Debug)]
pub struct Observer {
    route: Arc<str>,
    forms: Forms,
    /// From the start on.
    pub metrics: Metrics,
    /// Lately.
    pub live: Live,
    failures: FailureLog,
    lines: Arc<LogThrottle>,
    process: Arc<Process>,
    log_lines_dropped: fn() -> u64,
    spans: Spans,
}

/// How many lines the throttles of all routes let through in
/// [`LogThrottle::SPAN`], beside those of failed batches: more than one route has use for.
const LINES: u32 = 20;

/// How often a moment is looked for in which no answer is counted. There are some
/// microseconds between two answers of the busiest proxy; each look takes one or two.
const MOMENTS: usize = 1_000;

impl Observer {
    /// Nothing has happened yet on the route `jobs`, in a process that has no other.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            route: "jobs".into(),
            forms: Forms::default(),
            metrics: Metrics::new(bounds),
            live: Live::new(bounds),
            failures: FailureLog::default(),
            lines: Arc::new(LogThrottle::new(LINES)),
            process: Arc::default(),
            log_lines_dropped: || 0,
            spans: Spans::default(),
        }
    }

    /// The same, which asks the log how many lines it had no room for.
    #[must_use]
    pub fn with_log(mut self, lines_dropped: fn() -> u64) -> Self {
        self.log_lines_dropped = lines_dropped;
        self
    }

    /// The same, which has who keeps spans.
    #[must_use]
    pub fn with_spans(mut self, spans: Spans) -> Self {
        self.spans = spans;
        self
    }

    /// That of a route of this name in the same process, on which nothing has happened yet.
    /// Both have the same log, which has no more lines for it, and the same [`Process`].
    #[must_use]
    pub fn beside(&self, route: &str, bounds: Bounds) -> Self {
        Self {
            route: route.into(),
            failures: self.failures.clone(),
            lines: Arc::clone(&self.lines),
            process: Arc::clone(&self.process),
            log_lines_dropped: self.log_lines_dropped,
            spans: self.spans.clone(),
            ..Self::new(bounds)
        }
    }

    /// Bounds lines of one kind about this route: at most so many in
    /// [`LogThrottle::SPAN`], and not too many with those of all routes of the process.
    pub fn throttle(&self, most: u32) -> LogThrottle {
        LogThrottle::new(most).within(&self.lines)
    }

    /// What happens in the process on no route.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The route's batches are measured against these from here on. The buckets of their
    /// histograms stay as they were at first.
    pub fn bound(&self, bounds: Bounds) {
        self.metrics.bound(bounds);
        self.live.bound(bounds);
    }

    /// A batcher takes the route's jobs from here on, see [`leaves`](Self::leaves).
    pub fn begins(&self, batcher: Arc<dyn Counted>) {
        self.forms.begins(batcher);
    }

    /// The batcher that took the route's jobs takes none that come from here on. What it counts
    /// still counts, until [it is through](Self::ended).
    pub fn leaves(&self) -> Option<Arc<dyn Counted>> {
        self.forms.leaves()
    }

    /// A batcher that has left counts nothing any more.
    pub fn ended(&self, batcher: &Arc<dyn Counted>) {
        self.forms.ended(batcher);
    }

    /// What the route's batchers have counted.
    pub fn batchers(&self) -> Snapshot {
        self.forms.snapshot()
    }

    /// The name of the route.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// Something has happened. Which of the events it is is known where it is told, so that
    /// nothing but what that one comes to is left of this where it is told.
    #[inline(always)]
    pub fn tell(&self, event: Event) {
        self.metrics.count(&event);
        self.live.note(&event, |batcher| self.moment(batcher));
        if let Event::BatchFailed { failed, attempts } = &event {
            self.failures.tell(&self.route, failed, *attempts);
        }
    }

    /// Tells the log of failures that were only counted so far: the process ends.
    pub fn tell_rest(&self) {
        self.failures.tell_rest();
    }

    /// The last five minutes, up to one moment; with what the store of jobs for later
    /// counts, if there is one.
    pub fn recent(&self, batcher: impl Fn() -> Snapshot, records: Option<Records>) -> Recent {
        self.live.read(records, || self.one_moment(batcher))
    }

    /// What is counted at one moment, here and in the batcher: the accepted jobs are
    /// those that were answered, those whose callers left, and those that are in flight
    /// or wait.
    ///
    /// Answers are counted by their callers' tasks, outside of the batcher's lock. Where
    /// as many were counted before the batcher was asked as after, all of it held when
    /// it was asked, since no count ever falls.
    pub fn one_moment(&self, batcher: impl Fn() -> Snapshot) -> Moment {
        let mut totals = self.metrics.totals();
        let mut moment = self.moment(Snapshot::default());
        for _ in 0..MOMENTS {
            moment.batcher = self.forms.whole(batcher()).with_most_of(moment.batcher);
            moment.totals = totals;
            totals = self.metrics.totals();
            if totals.answered == moment.totals.answered {
                break;
            }
        }
        moment
    }

    /// Who keeps spans.
    pub fn spans(&self) -> &Spans {
        &self.spans
    }

    /// How many lines the log of the process had no room for.
    pub fn log_lines_dropped(&self) -> u64 {
        (self.log_lines_dropped)()
    }

    /// The same with what the batcher has held just now.
    fn moment(&self, batcher: Snapshot) -> Moment {
        Moment {
            batcher: self.forms.whole(batcher),
            totals: self.metrics.totals(),
            log_lines_dropped: self.log_lines_dropped(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;
    use crate::batcher::FlushReason;
    use crate::code::Code;

    const BOUNDS: Bounds = Bounds {
        max_size: 1,
        max_bytes: 1,
    };

    /// Answers are counted without the batcher's lock, one after each look at it.
    #[test]
    fn a_moment_is_one_moment_whatever_is_answered_meanwhile() {
        for busy in [0, 1, 5, u64::MAX] {
            let observer = Observer::new(BOUNDS);
            let looks = Cell::new(0);
            let moment = observer.one_moment(|| {
                looks.set(looks.get() + 1);
                if looks.get() <= busy {
                    observer.tell(Event::Answered {
                        outcome: Code::Ok,
                        after: Duration::ZERO,
                    });
                }
                Snapshot {
                    accepted: 2 + looks.get().min(busy),
                    most_queued: if looks.get() == 1 { 7 } else { 0 },
                    ..Snapshot::default()
                }
            });
            let unanswered = moment.batcher.accepted - moment.totals.answered.sum();
            // Where it never comes to rest, a job that was answered counts as in
            // flight, and none as answered that was not accepted.
            let expected = if busy == u64::MAX { 3 } else { 2 };
            assert_eq!(unanswered, expected, "{busy}");
            assert_eq!(moment.batcher.most_queued, 7, "{busy}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn batches_are_measured_against_the_bounds_in_force() {
        let observer = Observer::new(BOUNDS);
        let left = || {
            observer.tell(Event::BatchLeft {
                jobs: 1,
                items: 1,
                bytes: 1,
                reason: FlushReason::Size,
                batcher: Snapshot::default(),
            });
            let recent = observer.recent(Snapshot::default, None);
            let [second] = &recent.seconds[..] else {
                panic!("{recent:?}");
            };
            second.mean_fill()
        };
        assert_eq!(left(), 1.0);
        observer.bound(Bounds {
            max_size: 2,
            max_bytes: 2,
        });
        assert_eq!(left(), 0.75);
    }

    /// Long polls and fetches end so where a record was deleted: nobody is in trouble.
    #[test]
    fn who_asks_for_a_job_that_is_gone_is_not_refused_one() {
        let observer = Observer::new(BOUNDS);
        for code in [Code::JobUnknown, Code::StoreFull, Code::QueueFull] {
            let batcher = Snapshot::default();
            observer.tell(Event::Refused { code, batcher });
        }
        for step in [StoreStep::Accept, StoreStep::Fetch] {
            observer.tell(Event::StoreFailed { step });
        }
        let Totals {
            refused,
            store_full,
            store_errors,
            ..
        } = observer.metrics.totals();
        assert_eq!((refused, store_full, store_errors), (2, 1, 2));
        assert_eq!(observer.metrics.total_refused(), 3);
        let recent = observer.recent(Snapshot::default, None);
        let [second] = &recent.seconds[..] else {
            panic!("{recent:?}");
        };
        assert_eq!((second.counts.refused, second.counts.store_errors), (2, 2));
    }
}
