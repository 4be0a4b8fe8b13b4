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
#[cfg(test)]
mod attempts_tests;
mod attend;
pub mod correlate;
mod deliver;
pub mod encode;
pub mod outcome;
mod retry;
mod split;
#[cfg(test)]
mod tests;
mod trip;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{Instrument, debug, info};

use crate::batcher;
use crate::code::Code;
use crate::job::Job;
use crate::observer::Observer;
use crate::telemetry::Seldom;
use crate::upstream::backoff::Backoff;
use crate::upstream::budget::Budget;
use crate::upstream::circuit::{Circuit, Pass, Verdict};
use crate::upstream::limit::{self, Limit};
use crate::upstream::{Call, Response, Upstream};
use answer::{Answer, Failed};
use attend::NobodyLeft;
use outcome::{Failure, JobOutcome, JobResult};
use retry::Next;
use trip::Trip;

/// A batch of jobs.
pub type Batch = batcher::Batch<Job, JobResult>;

type Member = batcher::Member<Job, JobResult>;

impl batcher::Item for Job {
    fn key(&self) -> u64 {
        Job::key(self)
    }

    fn bytes(&self) -> usize {
        self.raw().len()
    }
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
}

/// What share of the patience with the upstream is most of it.
const MOST: f64 = 0.8;

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
    circuit: Arc<Circuit>,
    /// None where the number of slots is fixed.
    limit: Option<Mutex<Limit>>,
    phase: watch::Receiver<Phase>,
    observer: Arc<Observer>,
    mismatches: Seldom,
    exhausted: Seldom,
    changes: Seldom,
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
        Self {
            upstream,
            policy,
            budget: Mutex::new(budget),
            circuit,
            limit: None,
            phase,
            observer,
            mismatches: Seldom::default(),
            exhausted: Seldom::default(),
            changes: Seldom::default(),
            too_large: Seldom::default(),
        }
    }

    /// The same processor, which finds out how many batches the upstream bears at
    /// once, and has the batcher keep to it. The batcher must start with
    /// [`limit::START`] slots.
    #[must_use]
    pub fn adaptive(mut self) -> Self {
        self.limit = Some(Mutex::new(Limit::new()));
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
            let pass = match self.circuit.enter(Instant::now()) {
                Ok(pass) => pass,
                Err(open) => {
                    batch.was_not_sent();
                    return trip.fail(&mut batch, &Failure::CircuitOpen(open.retry_after), "");
                }
            };
            self.budget().sent(Instant::now());
            match self.attempts(&mut batch, &mut trip, pass).await {
                // Everybody is answered; the slot is taken until the call is over.
                Ok(End::Answered(response)) => discard(response).await,
                Ok(End::Split) => self.split(batch, &trip).await,
                Err(nobody_left) => trip.log_nobody_left(nobody_left),
            }
        })
    }

    /// Calls until everybody is answered, or until the batch is to be split.
    async fn attempts(
        &self,
        batch: &mut Batch,
        trip: &mut Trip,
        pass: Pass,
    ) -> Result<End, NobodyLeft> {
        loop {
            let mut failed = match self.attempt(batch, trip).await {
                Ok(Ok(leftover)) => {
                    pass.tell(Verdict::Answered, Instant::now());
                    return Ok(End::Answered(leftover));
                }
                Ok(Err(failed)) => failed,
                Err(nobody_left) => {
                    if nobody_left == NobodyLeft::InVain {
                        pass.tell(Verdict::Failed, Instant::now());
                    }
                    return Err(nobody_left);
                }
            };
            match self.next(batch, trip, &failed.failure, &pass) {
                Next::Retry(at) => {
                    trip.log_retry(&failed, at);
                    // Other batches may have opened the circuit meanwhile.
                    if self.pause(batch, trip, &mut failed, at).await? && self.circuit.is_closed() {
                        continue;
                    }
                }
                Next::Split => {
                    // It was answered; whoever is to blame is in one of the halves.
                    pass.tell(Verdict::Answered, Instant::now());
                    self.log_split(trip, &failed);
                    self.attend(batch, trip, discard(failed.response)).await?;
                    return Ok(End::Split);
                }
                Next::Fail => {}
            }
            pass.tell(failed.failure.verdict(), Instant::now());
            trip.fail(batch, &failed.failure, &failed.cause);
            return Ok(End::Answered(failed.response));
        }
    }

    /// One call, and its results to those they belong to. What is left of the
    /// upstream's answer is still to be read then.
    async fn attempt(
        &self,
        batch: &mut Batch,
        trip: &mut Trip,
    ) -> Result<Result<Option<Response>, Failed>, NobodyLeft> {
        let array = encode::array(batch.members().iter().map(Member::item));
        trip.set_out(batch, array.iter().map(Bytes::len).sum());
        let started = Instant::now();
        let call = answer::call(&self.upstream, trip, array, self.policy.results);
        let answer = match self.attend(batch, trip, call).await {
            Ok(answer) => answer,
            Err(nobody_left) => return Err(self.given_up(batch, started, nobody_left)),
        };
        trip.back();
        let answered = match answer {
            Answer::Results(mut response, body) => {
                let status = response.status();
                match self.deliver(batch, trip, &body, &mut response).await {
                    Ok(()) => Ok((status, None)),
                    Err(error) => Err(Failed {
                        failure: Failure::Malformed(status),
                        cause: error.to_string(),
                        response: None,
                    }),
                }
            }
            Answer::Taken(response) => {
                trip.log(Code::Ok, "");
                batch.answer_all(|member| trip.result(member, JobOutcome::Taken));
                Ok((response.status(), Some(response)))
            }
            Answer::Failed(failed) => Err(failed),
        };
        let (outcome, status, load) = match &answered {
            Ok((status, _)) => (Code::Ok, Some(*status), limit::Outcome::Answered),
            Err(Failed { failure, .. }) => {
                trip.came_back(failure.dispatched());
                (failure.code(), failure.status(), failure.load())
            }
        };
        let took = started.elapsed();
        self.observer.metrics.call_ended(outcome, status, took);
        self.learn(batch, started, load);
        Ok(answered.map(|(_, leftover)| leftover))
    }

    /// A call was given up since nobody waits for it any more. Where the upstream
    /// had it for most of the time that anybody may wait, that is a timeout, though
    /// the callers' clocks were a little ahead of the call's. A caller in a hurry
    /// can't make it one.
    fn given_up(&self, batch: &Batch, started: Instant, why: NobodyLeft) -> NobodyLeft {
        let took = started.elapsed();
        if why != NobodyLeft::Expired {
            return why;
        }
        let code = Code::DeadlineExceeded;
        self.observer.metrics.call_ended(code, None, took);
        if took < self.policy.patience.mul_f64(MOST) {
            return why;
        }
        self.learn(batch, started, limit::Outcome::Overloaded);
        NobodyLeft::InVain
    }

    /// Adapts the number of slots to how a call ended, while it still has its own.
    fn learn(&self, batch: &Batch, started: Instant, outcome: limit::Outcome) {
        let Some(limit) = &self.limit else {
            return;
        };
        let batcher = batch.batcher();
        // Locked to the end, so that the batcher gets the changes in their order.
        let mut limit = limit.lock().unwrap_or_else(PoisonError::into_inner);
        let from = limit.current();
        let change = limit.record(limit::Call {
            started,
            ended: Instant::now(),
            in_flight: batcher.snapshot().in_flight,
            outcome,
        });
        let Some(to) = change else {
            return;
        };
        batcher.set_max_in_flight(to);
        drop(limit);
        match self.changes.now() {
            Some(silent) => info!(from, to, changes_not_told = silent, "slots changed"),
            None => debug!(from, to, "slots changed"),
        }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        // Nothing panics while it is held.
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a batch's way ended that not everybody left.
enum End {
    /// Everybody is answered; the rest of the upstream's answer is still to be
    /// read.
    Answered(Option<Response>),
    /// Its halves go on.
    Split,
}

/// Reads what is left of an answer, so that its connection serves again.
async fn discard(response: Option<Response>) {
    if let Some(response) = response {
        response.discard().await;
    }
}
