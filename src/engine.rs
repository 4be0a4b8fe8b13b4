//! One batch to the answers of its members.
//!
//! The batcher hands a batch over; from then on every member is answered here,
//! whatever happens: by its result, by the batch's failure, or by its deadline,
//! which does not disturb the others. When nobody is left to answer, the call to
//! the upstream is given up.
//!
//! A call that failed may not be the end:
//!
//! ```text
//!             ┌──────────── a pause without a slot, then a slot ◀── retry ─┐
//!             ▼                                                            │
//! slot ──▶ one call ──▶ results, each to its own                           │
//!             │                                                            │
//!             └──▶ failure ──▶ once more? ─────────────────────────────────┤
//!                                │    │                                    │
//!                                │    └── smaller? ──▶ two halves, each a batch of its own
//!                                └─ no ─▶ the same failure for all
//! ```

mod answer;
mod attempt;
#[cfg(test)]
mod attempts_tests;
mod attend;
pub mod correlate;
mod deliver;
pub mod encode;
mod learning;
pub mod outcome;
mod retry;
mod split;
#[cfg(test)]
mod tests;
mod trip;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument;

use crate::batcher;
use crate::code::Code;
use crate::job::Job;
use crate::observe::{FailedAnswer, Observer};
use crate::resilience::backoff::Backoff;
use crate::resilience::budget::Budget;
use crate::resilience::circuit::{Circuit, Permit};
use crate::resilience::size::Size;
use crate::telemetry::Seldom;
use crate::upstream::{Call, Response, Upstream};
use answer::{Answer, Failed};
use attempt::{Attempt, End};
use attend::NobodyLeft;
use learning::Learning;
use outcome::{Failure, JobOutcome, JobResult};
use retry::{Next, Reservation};
use trip::Trip;

/// A batch of jobs.
pub type Batch = batcher::Batch<Job, JobResult>;

type Member = batcher::Member<Job, JobResult>;

/// What the batcher is told of a job that stays until `deadline`.
pub fn options(job: &Job, deadline: Instant) -> batcher::Options {
    let options = batcher::Options::default().key(job.key());
    options.bytes(job.raw().len()).deadline(deadline)
}

/// Whether answers are read for results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Results {
    /// An array of objects, matched by id.
    ById,
    /// None are expected; any 2xx will do.
    None,
}

/// What is done about answers and failures.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether answers are read for results.
    pub results: Results,
    /// Whether a batch may be sent again that the upstream may have seen.
    pub idempotent: bool,
    /// Statuses on which a batch of several is bisected.
    pub split_on: Vec<u16>,
    /// The most times one batch is sent, at least 1.
    pub max_attempts: u32,
    /// The pauses between.
    pub backoff: Backoff,
    /// As long as anybody waits for the upstream: the shorter of the limits on a
    /// call and on a job's stay.
    pub patience: Duration,
    /// The largest batch that is sent.
    pub largest: Size,
    /// Whether the log and the live page show what a failed answer said.
    pub excerpts: bool,
}

/// How far the process's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Jobs are taken.
    Running,
    /// What is in the house is finished, and nothing is retried any more.
    Draining,
    /// Whoever still waits is answered [`Failure::GivenUp`].
    GivingUp,
}

/// Processes batches for one upstream.
#[derive(Debug)]
pub struct Processor<C = Upstream> {
    upstream: C,
    policy: Policy,
    budget: Mutex<Budget>,
    learning: Arc<Learning>,
    phase: watch::Receiver<Phase>,
    observer: Arc<Observer>,
    mismatches: Seldom,
    exhausted: Seldom,
    too_large: Seldom,
}

impl<C: Call> Processor<C> {
    /// A processor that calls `upstream` while `circuit` lets it, and retries
    /// within `budget`.
    pub fn new(
        upstream: C,
        policy: Policy,
        budget: Budget,
        circuit: Arc<Circuit>,
        phase: watch::Receiver<Phase>,
        observer: Arc<Observer>,
    ) -> Self {
        let (largest, patience) = (policy.largest, policy.patience);
        let learning = Learning::new(circuit, Arc::clone(&observer), largest, patience);
        Self {
            upstream,
            policy,
            budget: Mutex::new(budget),
            learning: Arc::new(learning),
            phase,
            observer,
            mismatches: Seldom::default(),
            exhausted: Seldom::default(),
            too_large: Seldom::default(),
        }
    }

    /// The same processor, which finds out how many batches the upstream bears at
    /// once, and has the batcher keep to it. The batcher must start with
    /// [`limit::START`](crate::resilience::limit::START) slots.
    #[must_use]
    pub fn adaptive(mut self) -> Self {
        let (largest, patience) = (self.policy.largest, self.policy.patience);
        let circuit = Arc::clone(&self.learning.circuit);
        let learning = Learning::new(circuit, Arc::clone(&self.observer), largest, patience);
        self.learning = Arc::new(learning.adaptive());
        self
    }

    /// Takes a batch that has a slot to the upstream and answers each member.
    pub async fn process(self: Arc<Self>, batch: Batch) {
        let trip = Trip::first(&batch, &self.observer);
        let span = trip.span(&batch);
        self.travel(batch, trip).instrument(span).await;
    }

    /// Boxed, since the halves of a batch that splits come here again.
    fn travel(
        self: Arc<Self>,
        mut batch: Batch,
        mut trip: Trip,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            if !self.learning.allows(size(&batch)) {
                batch.was_not_sent();
                trip.log_split_unsent();
                return self.split(batch, &trip).await;
            }
            let permit = match self.learning.circuit.enter(Instant::now()) {
                Ok(permit) => permit,
                Err(open) => {
                    batch.was_not_sent();
                    let failure = Failure::CircuitOpen(open.retry_after);
                    return trip.fail(&mut batch, &failure);
                }
            };
            self.budget_sent();
            match self.attempts(&mut batch, &mut trip, permit).await {
                // Everybody is answered; the slot is taken until the call is over.
                Ok(Way::Answered(response)) => discard(response).await,
                Ok(Way::Split) => self.split(batch, &trip).await,
                Err(nobody_left) => trip.log_nobody_left(nobody_left),
            }
        })
    }

    /// Calls until everybody is answered, or until the batch is to be split.
    async fn attempts(
        &self,
        batch: &mut Batch,
        trip: &mut Trip,
        permit: Permit,
    ) -> Result<Way, NobodyLeft> {
        let (mut permit, mut retry) = (permit, None);
        loop {
            let mut failed = match self.attempt(batch, trip, permit, retry).await? {
                Ok(leftover) => return Ok(Way::Answered(leftover)),
                Err(failed) => failed,
            };
            match self.next(batch, trip, &failed.failure) {
                Next::Retry(at, reservation) => {
                    trip.log_retry(&failed, at);
                    if self.pause(batch, trip, &mut failed, at).await? {
                        if !self.learning.allows(size(batch)) {
                            trip.log_split_unsent();
                            return Ok(Way::Split);
                        }
                        // Other batches may have opened the circuit meanwhile.
                        if let Some(again) = self.learning.circuit.enter_closed(Instant::now()) {
                            (permit, retry) = (again, Some(reservation));
                            continue;
                        }
                    }
                }
                Next::Split => {
                    self.log_split(trip, &failed);
                    self.attend(batch, trip, discard(failed.response)).await?;
                    return Ok(Way::Split);
                }
                Next::Fail => {}
            }
            self.fail(batch, trip, failed).await;
            return Ok(Way::Answered(None));
        }
    }

    /// One call, and its results to those they belong to. What is left of the
    /// upstream's answer is still to be read then.
    async fn attempt(
        &self,
        batch: &mut Batch,
        trip: &mut Trip,
        permit: Permit,
        retry: Option<Reservation<'_>>,
    ) -> Result<Result<Option<Response>, Failed>, NobodyLeft> {
        let array = encode::array(batch.members().iter().map(Member::item));
        trip.set_out(batch, array.iter().map(Bytes::len).sum());
        let attempt = Attempt::begin(&self.learning, batch.batcher(), size(batch), permit, retry);
        let call = answer::call(&self.upstream, trip, array, self.policy.results);
        let answer = match self.attend(batch, trip, call).await {
            Ok(answer) => answer,
            Err(nobody_left) => {
                attempt.end(End::Abandoned(nobody_left));
                return Err(nobody_left);
            }
        };
        trip.back();
        let answered = match answer {
            Answer::Results(mut response, body) => {
                let status = response.status();
                match self.deliver(batch, trip, &body, &mut response).await {
                    Ok(()) => Ok((status, None)),
                    Err(error) => Err(Failed::malformed(&response, &body, &error)),
                }
            }
            Answer::Taken(response) => {
                trip.log(Code::Ok);
                batch.answer_all(|member| trip.result(member, JobOutcome::Taken));
                Ok((response.status(), Some(response)))
            }
            Answer::Failed(failed) => Err(failed),
        };
        match &answered {
            Ok((status, _)) => attempt.end(End::Answered(*status)),
            Err(Failed { failure, .. }) => {
                trip.came_back(failure.dispatched());
                attempt.end(match self.splits(trip, failure) {
                    true => End::Split(failure),
                    false => End::Failed(failure),
                });
            }
        }
        Ok(answered.map(|(_, leftover)| leftover))
    }

    /// Answers everyone with the failure. What the upstream said about it is read
    /// after that, which may take it a moment.
    async fn fail(&self, batch: &mut Batch, trip: &Trip, failed: Failed) {
        let Failed {
            failure,
            cause,
            answer,
            response,
        } = failed;
        trip.count(failure.code());
        batch.answer_all(|member| trip.failed(member, failure.clone()));
        let beginning = match response {
            Some(response) => response.beginning(FailedAnswer::BYTES).await,
            None => Bytes::new(),
        };
        let answer = answer.map(|answer| match self.policy.excerpts {
            true => answer.with_body(&beginning),
            false => answer.without_body(),
        });
        trip.log_failed(failure.code(), &cause, answer);
    }
}

/// How a batch's way ended that not everybody left.
enum Way {
    /// Everybody is answered; the rest of the upstream's answer is still to be
    /// read.
    Answered(Option<Response>),
    /// Its halves go on.
    Split,
}

/// How large a batch is, as the batcher counts it.
fn size(batch: &Batch) -> Size {
    let bytes = batch.members().iter().map(|it| it.item().raw().len());
    Size {
        jobs: batch.len(),
        bytes: bytes.map(|bytes| bytes + encode::BYTES_PER_JOB).sum(),
    }
}

/// Reads what is left of an answer, so that its connection serves again.
async fn discard(response: Option<Response>) {
    if let Some(response) = response {
        response.discard().await;
    }
}
