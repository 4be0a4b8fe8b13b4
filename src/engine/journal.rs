//! What is told about batches and calls: to the observer, which counts it, and to the
//! log. Whatever the engine tells, it tells here.
//!
//! Lines that an upstream could provoke without end are throttled.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::call::Failed;
use super::context::BatchContext;
use super::outcome::Abandoned;
use crate::batcher::Snapshot;
use crate::code::Code;
use crate::fault::Unsound;
use crate::observe::spans::{CallAbout, CallSpan, Described, Span};
use crate::observe::{Event, FailedAnswer, FailedJobs, Observer, SplitCause};
use crate::shape::{Answer, Outcome};
use crate::throttle::LogThrottle;
use crate::trace_context::TraceContext;

/// What is told, and how often.
#[derive(Debug)]
pub(super) struct Journal {
    observer: Arc<Observer>,
    described: Arc<Described>,
    mismatches: LogThrottle,
    exhausted: LogThrottle,
    too_large: LogThrottle,
    slots: LogThrottle,
}

/// A call under way that somebody wants to hear of.
pub(super) struct Traced {
    place: TraceContext,
    about: CallAbout,
}

impl Journal {
    pub fn new(observer: Arc<Observer>) -> Self {
        Self {
            mismatches: observer.throttle(1),
            exhausted: observer.throttle(1),
            too_large: observer.throttle(1),
            slots: observer.throttle(1),
            observer,
            described: Arc::default(),
        }
    }

    /// The same of a route that is so described in spans.
    pub fn described(&self, described: Arc<Described>) -> Self {
        Self {
            described,
            ..Self::new(Arc::clone(&self.observer))
        }
    }

    /// The members leave for the first time, in a body of so many bytes; those that
    /// callers wait for have waited so long.
    pub fn left(
        &self,
        context: &BatchContext,
        bytes: usize,
        waited: impl Iterator<Item = Duration>,
        batcher: Snapshot,
    ) {
        self.observer.tell(Event::BatchLeft {
            jobs: context.members,
            items: context.size,
            bytes,
            reason: context.reason,
            batcher,
        });
        waited.for_each(|waited| self.observer.tell(Event::JobLeft { waited }));
    }

    /// Members for later were put back to where they waited; the context is that of the
    /// others.
    pub fn put_back(&self, context: &BatchContext, put_back: usize) {
        let (batch_id, size) = (context.id, context.size);
        debug!(route = self.observer.route(), %batch_id, size, put_back, "jobs for later wait again");
    }

    /// A call begins.
    pub fn sent(&self, context: &BatchContext, attempt: u32, bytes: usize) {
        debug!(
            route = self.observer.route(),
            batch_id = %context.id,
            size = context.size,
            bytes,
            reason = context.reason.as_str(),
            attempt,
            half_of = context.half_of.map(tracing::field::display),
            "batch left"
        );
    }

    /// What is to be told of a call that begins, at its end, where somebody keeps that: its
    /// place, and what it is about. Its members have these places.
    pub fn traced<'a>(
        &self,
        context: &BatchContext,
        attempt: u32,
        bytes: usize,
        places: impl Iterator<Item = &'a TraceContext>,
    ) -> Option<Box<Traced>> {
        let place = context.trace.as_ref();
        let place = place.filter(|_| self.observer.spans().wants(place))?;
        let about = CallAbout {
            batch_id: context.id,
            half_of: context.half_of,
            jobs: context.members,
            items: context.size,
            bytes,
            reason: context.reason,
            attempt,
            links: Vec::new(),
            more_links: 0,
        };
        Some(Box::new(Traced {
            place: place.clone(),
            about: about.linked(places),
        }))
    }

    /// A call that is a retry begins.
    pub fn retried(&self) {
        self.observer.tell(Event::Retried);
    }

    /// A call is over.
    pub fn call_ended(
        &self,
        outcome: Option<Code>,
        status: Option<u16>,
        took: Duration,
        traced: Option<Box<Traced>>,
    ) {
        self.observer.tell(Event::AttemptEnded {
            outcome,
            status,
            took,
        });
        if let Some(traced) = traced {
            let Traced { place, about } = *traced;
            self.observer.spans().tell(Span::Call(Box::new(CallSpan {
                place,
                of: Arc::clone(&self.described),
                ended: SystemTime::now(),
                took,
                outcome,
                status,
                about,
            })));
        }
    }

    /// The members of a batch are about to be answered: it came to this after so many
    /// attempts, and the upstream had it for so long. Why it failed is told apart, but
    /// for batches that an open circuit holds back: those would flood the log, and hide
    /// on the live page why it is open. What failed before them tells that.
    pub fn ended(
        &self,
        context: &BatchContext,
        outcome: Code,
        (attempts, upstream): (u32, Duration),
        batcher: Snapshot,
    ) {
        self.observer.tell(Event::BatchEnded {
            jobs: context.members,
            reason: context.reason,
            outcome,
            upstream,
            batcher,
        });
        let (batch_id, size, name) = (context.id, context.size, outcome.as_str());
        match outcome {
            Code::Ok => {
                let duration_ms = context.duration_ms();
                debug!(route = self.observer.route(), %batch_id, size, outcome = name, attempts, duration_ms, "batch done");
            }
            Code::CircuitOpen => {
                debug!(route = self.observer.route(), %batch_id, size, outcome = name, "batch not sent")
            }
            _ => {}
        }
    }

    /// A batch has failed, after so many attempts.
    pub fn failed(
        &self,
        context: &BatchContext,
        attempts: u32,
        outcome: Code,
        cause: &str,
        answer: Option<FailedAnswer>,
    ) {
        let (jobs, cause) = (context.members, cause.to_owned());
        let failed = failed_jobs(context, jobs, outcome, cause, answer);
        self.observer.tell(Event::BatchFailed { failed, attempts });
    }

    /// No member of a batch waits any more.
    pub fn abandoned(&self, context: &BatchContext, attempts: u32, why: Abandoned) {
        let Some(outcome) = why.code() else {
            let reason = context.reason;
            self.observer.tell(Event::BatchAbandoned { reason });
            let (batch_id, size) = (context.id, context.size);
            return debug!(route = self.observer.route(), %batch_id, size, outcome = "abandoned", "batch done");
        };
        let cause = match why {
            Abandoned::Expired => "every member's deadline passed",
            _ => "shutdown.timeout",
        };
        self.failed(context, attempts, outcome, cause, None);
    }

    /// A batch will be sent again, then.
    pub fn retry(&self, context: &BatchContext, attempt: u32, failed: &Failed, at: Instant) {
        let pause = at.saturating_duration_since(Instant::now());
        debug!(
            route = self.observer.route(),
            batch_id = %context.id,
            size = context.size,
            outcome = failed.failure.code().as_str(),
            attempt,
            pause_ms = pause.as_micros() as f64 / 1e3,
            cause = failed.cause,
            "batch is sent again"
        );
    }

    /// A batch would be sent again, were there budget for it.
    pub fn budget_exhausted(&self, context: &BatchContext) {
        self.observer.tell(Event::BudgetExhausted);
        if let Some(untold) = self.exhausted.admit() {
            warn!(
                route = self.observer.route(),
                batch_id = %context.id,
                batches_not_warned_of = untold,
                "retry budget exhausted"
            );
        }
    }

    /// A batch goes on in halves after this. Now and then that is said aloud of an
    /// upstream that takes no batch of this size: each costs it two calls more.
    pub fn split(&self, context: &BatchContext, failed: &Failed) {
        let status = failed.failure.status();
        let cause = match failed.refuses_all {
            true => SplitCause::Refused,
            false => SplitCause::of(status),
        };
        self.observer.tell(Event::Split(cause));
        debug!(
            route = self.observer.route(),
            batch_id = %context.id,
            size = context.size,
            outcome = failed.failure.code().as_str(),
            duration_ms = context.duration_ms(),
            cause = failed.cause,
            "batch is split"
        );
        if status == Some(413)
            && let Some(untold) = self.too_large.admit()
        {
            warn!(
                route = self.observer.route(),
                batch_id = %context.id,
                size = context.size,
                batches_not_warned_of = untold,
                "the upstream answered 413 to a batch, which goes on in halves; lower \
                 batch.max_size or batch.max_bytes"
            );
        }
    }

    /// A batch goes on in halves without a call, since its size was refused meanwhile.
    pub fn split_unsent(&self, context: &BatchContext) {
        self.observer.tell(Event::Split(SplitCause::TooLarge));
        let (batch_id, size) = (context.id, context.size);
        debug!(route = self.observer.route(), %batch_id, size, "batch is split before it is sent: larger ones were refused");
    }

    /// There are other slots than before.
    pub fn slots_changed(&self, from: usize, to: usize) {
        match self.slots.admit() {
            Some(untold) => info!(
                route = self.observer.route(),
                from,
                to,
                changes_not_told = untold,
                "slots changed"
            ),
            None => debug!(route = self.observer.route(), from, to, "slots changed"),
        }
    }

    /// What an answer of this status holds for the members. Tells of jobs without a sound
    /// result and of results that belong to nobody; an upstream that mixes them up would
    /// flood the log.
    pub fn read(&self, context: &BatchContext, answer: &Answer, status: u16) {
        let mut jobs = [0; Unsound::ALL.len()];
        for why in answer.outcomes.iter().filter_map(Outcome::unsound) {
            jobs[why as usize] += 1;
        }
        for (why, jobs) in Unsound::ALL.into_iter().zip(jobs).filter(|it| it.1 > 0) {
            let answer = FailedAnswer {
                upstream_status: status,
                ..FailedAnswer::default()
            };
            let (outcome, cause) = (why.code(), why.to_string());
            let failed = failed_jobs(context, jobs, outcome, cause, Some(answer));
            self.observer.tell(Event::JobsFailed(failed));
        }
        let unmatched = answer.unmatched;
        self.observer.tell(Event::Unmatched(unmatched));
        let unsound: usize = jobs.iter().sum();
        if unsound + unmatched.total() > 0
            && let Some(untold) = self.mismatches.admit()
        {
            let number = |why: Unsound| jobs[why as usize];
            let most = Unsound::ALL.into_iter().zip(jobs).max_by_key(|it| it.1);
            let cause = most.filter(|it| it.1 > 0).map(|it| it.0.to_string());
            warn!(
                route = self.observer.route(),
                batch_id = %context.id,
                size = context.size,
                cause,
                missing = number(Unsound::Missing) + number(Unsound::OtherType),
                id_of_another_type = number(Unsound::OtherType),
                ambiguous = number(Unsound::Ambiguous),
                malformed = number(Unsound::Malformed) + unmatched.malformed,
                unknown_id = unmatched.unknown_id,
                no_id = unmatched.no_id,
                two_ids = unmatched.two_ids,
                not_an_object = unmatched.not_an_object,
                batches_not_warned_of = untold,
                "unmatched results"
            );
        }
    }
}

fn failed_jobs(
    context: &BatchContext,
    jobs: usize,
    outcome: Code,
    cause: String,
    answer: Option<FailedAnswer>,
) -> FailedJobs {
    FailedJobs {
        outcome,
        cause,
        answer,
        jobs,
        batch_id: context.id,
        size: context.size,
        took: context.left.elapsed(),
    }
}
