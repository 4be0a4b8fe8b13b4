//! One batch on its way: its number and headers, its attempts, and its log lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Span, debug, debug_span};
use uuid::Uuid;

use super::answer::Failed;
use super::attend::NobodyLeft;
use super::outcome::{BatchTag, Dispatched, Failure, JobOutcome, JobResult};
use super::{Batch, Member};
use crate::batcher::{Batcher, FlushReason};
use crate::code::Code;
use crate::fault::Unsound;
use crate::job::Job;
use crate::observe::{Event, FailedAnswer, FailedJobs, Observer, SplitCause};
use crate::trace_context::TraceContext;
use crate::upstream::Sent;

/// What is known of a batch on its way.
pub(super) struct Trip {
    observer: Arc<Observer>,
    batcher: Batcher<Job, JobResult>,
    /// Where it is processed.
    runtime: usize,
    reason: FlushReason,
    tag: Arc<BatchTag>,
    /// How many members the current attempt began with.
    size: usize,
    left: Instant,
    /// Where a member has one.
    trace: Option<TraceContext>,
    /// The attempts made, the current one included.
    attempt: u32,
    /// Whether the upstream may have seen the current one.
    sent: Sent,
    /// Since when the current one is under way.
    calling: Option<Instant>,
    /// How long it took, once it is answered.
    took: Option<Duration>,
    /// How long the upstream had the others.
    called: Duration,
    /// The batch that this one is a half of.
    half_of: Option<Uuid>,
    /// Whether it is told that its members have left, be it in the whole.
    left_told: bool,
    /// Whether it saw one of those before, this batch's or that of the whole which
    /// this one is a half of.
    earlier: Dispatched,
    /// Whether its end is in the log.
    told: AtomicBool,
}

impl Trip {
    /// The trip of members that the upstream saw so much of `earlier`.
    fn new(batch: &Batch, earlier: Dispatched, observer: &Arc<Observer>) -> Self {
        Self {
            observer: Arc::clone(observer),
            batcher: batch.batcher(),
            runtime: batch.runtime(),
            reason: batch.reason(),
            tag: tag(Uuid::now_v7(), batch.len()),
            size: batch.len(),
            left: batch.left(),
            trace: TraceContext::for_batch(batch.members().iter().map(|it| it.item().trace())),
            attempt: 0,
            sent: Sent::default(),
            calling: None,
            took: None,
            called: Duration::ZERO,
            half_of: None,
            left_told: false,
            earlier,
            told: AtomicBool::new(false),
        }
    }

    /// The trip of a batch that leaves for the first time.
    pub fn first(batch: &Batch, observer: &Arc<Observer>) -> Self {
        Self::new(batch, Dispatched::No, observer)
    }

    /// The trip of a half, after so much was seen of the whole.
    pub fn of_half(&self, half: &Batch) -> Self {
        let mut trip = Self::new(half, self.earlier, &self.observer);
        trip.half_of = Some(self.tag.id);
        trip.left_told = self.left_told;
        trip.called = self.called;
        trip
    }

    /// What the log's lines about the batch stand in. Where a member has a trace, it
    /// has the batch's place in its own, and links to those of its members' callers,
    /// which are other traces but for a batch of one.
    pub fn span(&self, batch: &Batch) -> Span {
        let span = debug_span!(
            "batch",
            batch_id = %self.tag.id,
            traceparent = self.trace.as_ref().map(tracing::field::display),
            links = Empty
        );
        if !span.is_disabled() {
            let links = batch.members().iter().filter_map(|it| it.item().trace());
            let links: Vec<_> = links.map(ToString::to_string).collect();
            if !links.is_empty() {
                span.record("links", links.join(","));
            }
        }
        span
    }

    /// An attempt begins, with the members that are left.
    pub fn set_out(&mut self, batch: &Batch, bytes: usize) {
        self.attempt += 1;
        self.calling = Some(Instant::now());
        if self.attempt > 1 {
            self.trace = self.trace.as_ref().map(TraceContext::next_span);
        }
        if batch.len() != self.size {
            self.size = batch.len();
            self.tag = tag(self.tag.id, self.size);
        }
        if !std::mem::replace(&mut self.left_told, true) {
            self.observer.tell(Event::BatchLeft {
                jobs: self.size,
                bytes,
                reason: self.reason,
                batcher: self.batcher.observe(),
            });
            for member in batch.members() {
                let waited = member.waited(self.left);
                self.observer.tell(Event::JobLeft { waited });
            }
        }
        debug!(
            batch_id = %self.tag.id,
            size = self.size,
            bytes,
            reason = batch.reason().as_str(),
            attempt = self.attempt,
            half_of = self.half_of.map(tracing::field::display),
            "batch left"
        );
    }

    /// The attempt is answered, or has failed: the clock stops.
    pub fn back(&mut self) {
        self.took = self.calling.map(|since| since.elapsed());
    }

    /// The attempt has failed; the upstream saw so much of it.
    pub fn came_back(&mut self, dispatched: Dispatched) {
        self.earlier = self.earlier.max(dispatched);
        self.sent = Sent::default();
        self.called = self.upstream_had_it();
        self.calling = None;
        self.took = None;
    }

    pub fn id(&self) -> Uuid {
        self.tag.id
    }

    pub fn tag(&self) -> &BatchTag {
        &self.tag
    }

    pub fn runtime(&self) -> usize {
        self.runtime
    }

    pub fn size(&self) -> usize {
        self.size
    }

    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    pub fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_ref()
    }

    pub fn sent(&self) -> &Sent {
        &self.sent
    }

    /// Whether the upstream may have seen a member that leaves the others here. A
    /// call that goes on for them has it on board, and may yet get through.
    pub fn may_be_seen(&self) -> bool {
        self.calling.is_some() || self.earlier > Dispatched::No
    }

    /// The same where nobody is left, so that the call is given up.
    pub fn may_have_been_seen(&self) -> bool {
        let sent = self.calling.is_some() && !self.sent.withdraw();
        sent || self.earlier > Dispatched::No
    }

    pub fn result(&self, member: &Member, outcome: JobOutcome) -> JobResult {
        JobResult {
            outcome,
            earlier: self.earlier,
            batch: Arc::clone(&self.tag),
            queued: member.waited(self.left),
            upstream: self.upstream_had_it(),
        }
    }

    /// The time of all attempts, without the pauses between them.
    fn upstream_had_it(&self) -> Duration {
        let current = || self.calling.map(|since| since.elapsed());
        self.called + self.took.or_else(current).unwrap_or_default()
    }

    pub fn failed(&self, member: &Member, failure: Failure) -> JobResult {
        self.result(member, JobOutcome::Failed(failure))
    }

    /// Answers everyone with a failure for which nothing was sent.
    pub fn fail(&self, batch: &mut Batch, failure: &Failure) {
        self.log(failure.code());
        batch.answer_all(|member| self.failed(member, failure.clone()));
    }

    /// Counts the batch's end, once.
    pub fn count(&self, outcome: Code) {
        self.told.store(true, Ordering::Relaxed);
        self.observer.tell(Event::BatchEnded {
            jobs: self.size,
            reason: self.reason,
            outcome,
            upstream: self.upstream_had_it(),
            batcher: self.batcher.observe(),
        });
    }

    /// Counts the end of a batch that did not fail by itself, and logs it. Batches
    /// that an open circuit holds back would flood the log, and hide on the live page
    /// why it is open: what failed before them tells that.
    pub fn log(&self, outcome: Code) {
        self.count(outcome);
        let (batch_id, size, attempts) = (self.tag.id, self.size, self.attempt);
        let (name, duration_ms) = (outcome.as_str(), self.duration_ms());
        match outcome {
            Code::Ok => {
                debug!(%batch_id, size, outcome = name, attempts, duration_ms, "batch done");
            }
            Code::CircuitOpen => {
                debug!(%batch_id, size, outcome = name, "batch not sent");
            }
            _ => self.log_failed(outcome, "", None),
        }
    }

    /// Logs a batch that failed, whose end is counted.
    pub fn log_failed(&self, outcome: Code, cause: &str, answer: Option<FailedAnswer>) {
        let cause = cause.to_owned();
        let failed = self.failed_jobs(self.size, outcome, cause, answer);
        self.observer.tell(Event::BatchFailed(failed));
    }

    /// So many jobs of the batch have failed for themselves, by an answer of this
    /// status.
    pub fn jobs_failed(&self, why: Unsound, jobs: usize, status: u16) {
        let answer = FailedAnswer {
            upstream_status: status,
            ..FailedAnswer::default()
        };
        let failed = self.failed_jobs(jobs, why.code(), why.to_string(), Some(answer));
        self.observer.tell(Event::JobsFailed(failed));
    }

    fn failed_jobs(
        &self,
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
            batch_id: self.tag.id,
            size: self.size,
            attempts: self.attempt,
            took: self.left.elapsed(),
        }
    }

    pub fn log_nobody_left(&self, why: NobodyLeft) {
        let (outcome, cause) = match why {
            NobodyLeft::Expired => (Code::DeadlineExceeded, "every member's deadline passed"),
            NobodyLeft::GivenUp { sent } => {
                let failure = Failure::GivenUp { sent };
                (failure.code(), "shutdown.timeout")
            }
            NobodyLeft::Departed => {
                self.told.store(true, Ordering::Relaxed);
                let reason = self.reason;
                self.observer.tell(Event::BatchAbandoned { reason });
                let (batch_id, size) = (self.tag.id, self.size);
                debug!(%batch_id, size, outcome = "abandoned", "batch done");
                return;
            }
        };
        self.count(outcome);
        self.log_failed(outcome, cause, None);
    }

    pub fn log_retry(&self, failed: &Failed, at: Instant) {
        let pause = at.saturating_duration_since(Instant::now());
        debug!(
            batch_id = %self.tag.id,
            size = self.size,
            outcome = failed.failure.code().as_str(),
            attempt = self.attempt,
            pause_ms = pause.as_micros() as f64 / 1e3,
            cause = failed.cause,
            "batch is sent again"
        );
    }

    pub fn log_split(&self, failed: &Failed) {
        self.told.store(true, Ordering::Relaxed);
        let cause = SplitCause::of(failed.failure.status());
        self.observer.tell(Event::Split(cause));
        debug!(
            batch_id = %self.tag.id,
            size = self.size,
            outcome = failed.failure.code().as_str(),
            duration_ms = self.duration_ms(),
            cause = failed.cause,
            "batch is split"
        );
    }

    /// Its size was refused meanwhile, so that it goes on in halves without a call.
    pub fn log_split_unsent(&self) {
        self.told.store(true, Ordering::Relaxed);
        self.observer.tell(Event::Split(SplitCause::TooLarge));
        let (batch_id, size) = (self.tag.id, self.size);
        debug!(%batch_id, size, "batch is split before it is sent: larger ones were refused");
    }

    /// To the microsecond; more digits are noise.
    fn duration_ms(&self) -> f64 {
        self.left.elapsed().as_micros() as f64 / 1e3
    }
}

impl Drop for Trip {
    fn drop(&mut self) {
        // A batch whose processing panicked has failed like any other.
        if !self.told.load(Ordering::Relaxed) && std::thread::panicking() {
            self.count(Code::Internal);
            self.log_failed(Code::Internal, "its processing panicked", None);
        }
    }
}

fn tag(id: Uuid, size: usize) -> Arc<BatchTag> {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let text = id.hyphenated().encode_lower(&mut text);
    Arc::new(BatchTag {
        id,
        id_header: header(text),
        size_header: HeaderValue::from(size),
    })
}

#[expect(
    clippy::expect_used,
    reason = "hexadecimal digits and hyphens are allowed in headers"
)]
fn header(id: &str) -> HeaderValue {
    HeaderValue::from_str(id).expect("an id that a header may hold")
}
