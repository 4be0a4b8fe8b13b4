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
mod attend;
pub mod correlate;
pub mod encode;
pub mod outcome;
mod trip;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

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
use correlate::{Correlation, NotResults, Outcome, correlate};
use outcome::{Dispatched, Failure, JobOutcome, JobResult};
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
    circuit: Arc<Circuit>,
    /// None where the number of slots is fixed.
    limit: Option<Mutex<Limit>>,
    phase: watch::Receiver<Phase>,
    observer: Arc<Observer>,
    mismatches: Seldom,
    exhausted: Seldom,
    changes: Seldom,
}

/// What is to be done about a failure.
enum Next {
    /// Its members are answered with it.
    Fail,
    /// The batch is sent again, not before then.
    Retry(Instant),
    /// The batch is sent again in halves.
    Split,
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
        let trip = Trip::new(&batch, Dispatched::No, &self.observer);
        self.travel(batch, trip).await;
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
            let mut failed = match self.attempt(batch, trip).await? {
                Ok(leftover) => {
                    pass.tell(Verdict::Answered, Instant::now());
                    return Ok(End::Answered(leftover));
                }
                Err(failed) => failed,
            };
            let verdict = failed.failure.verdict();
            match self.next(batch, trip, &failed.failure, &pass) {
                Next::Retry(at) => {
                    trip.log_retry(&failed, at);
                    // Other batches may have opened the circuit meanwhile.
                    if self.pause(batch, trip, &mut failed, at).await? && self.lets_through(&pass) {
                        continue;
                    }
                }
                Next::Split => {
                    // Where one job may be to blame, its half will tell.
                    if verdict == Verdict::Answered {
                        pass.tell(verdict, Instant::now());
                    }
                    trip.log_split(&failed);
                    self.attend(batch, trip, discard(failed.response)).await?;
                    return Ok(End::Split);
                }
                Next::Fail => {}
            }
            pass.tell(verdict, Instant::now());
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
        trip.set_out(batch, array.len());
        let started = Instant::now();
        let call = answer::call(&self.upstream, trip, array, self.policy.results);
        let answered = match self.attend(batch, trip, call).await? {
            Answer::Results(status, body) => match self.deliver(batch, trip, &body, status) {
                Ok(()) => Ok((status, None)),
                Err(error) => Err(Failed {
                    failure: Failure::Malformed(status),
                    cause: error.to_string(),
                    response: None,
                }),
            },
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

    /// Adapts the number of slots to how a call ended, while it still has its own.
    fn learn(&self, batch: &Batch, started: Instant, outcome: limit::Outcome) {
        let Some(limit) = &self.limit else {
            return;
        };
        let batcher = batch.batcher();
        // Locked to the end, so that the batcher gets the changes in their order.
        let mut limit = limit.lock().unwrap_or_else(PoisonError::into_inner);
        let change = limit.record(limit::Call {
            started,
            ended: Instant::now(),
            in_flight: batcher.snapshot().in_flight,
            outcome,
        });
        let Some(slots) = change else {
            return;
        };
        batcher.set_max_in_flight(slots);
        drop(limit);
        debug!(slots, "limit changed");
        if let Some(silent) = self.changes.now() {
            info!(slots, changes_not_told = silent, "limit");
        }
    }

    /// Decides. A retry is within the attempts, the budget and somebody's time, and
    /// neither against an open circuit nor after the drain has begun.
    fn next(&self, batch: &Batch, trip: &Trip, failure: &Failure, pass: &Pass) -> Next {
        let policy = &self.policy;
        if failure.calls_for_a_split(trip.size(), &policy.split_on) {
            return Next::Split;
        }
        let now = Instant::now();
        let pause = policy
            .backoff
            .pause(trip.attempt(), failure.retry_after(), fastrand::f64());
        let at = now.checked_add(pause);
        let in_time = at.filter(|at| batch.latest_deadline().is_some_and(|last| *at < last));
        match in_time {
            Some(at)
                if failure.may_be_retried(policy.idempotent)
                    && trip.attempt() < policy.max_attempts
                    && *self.phase.borrow() == Phase::Running
                    && self.lets_through(pass)
                    && self.within_budget(trip, now) =>
            {
                Next::Retry(at)
            }
            _ => Next::Fail,
        }
    }

    /// Whether a batch that has its pass may be sent once more.
    fn lets_through(&self, pass: &Pass) -> bool {
        pass.is_probe() || self.circuit.is_closed()
    }

    fn within_budget(&self, trip: &Trip, now: Instant) -> bool {
        let within = self.budget().take(now);
        if !within {
            self.observer.metrics.budget_exhausted();
        }
        if !within && let Some(silent) = self.exhausted.now() {
            warn!(
                batch_id = %trip.id(),
                batches_not_warned_of = silent,
                "retry budget exhausted"
            );
        }
        within
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        // Nothing panics while it is held.
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until then without a slot, and then for a slot. Whoever would not
    /// live to see that is answered first. False if the drain has begun, after
    /// which nothing is retried.
    async fn pause(
        &self,
        batch: &mut Batch,
        trip: &Trip,
        failed: &mut Failed,
        at: Instant,
    ) -> Result<bool, NobodyLeft> {
        batch.answer_expired(at, |member| trip.failed(member, failed.failure.clone()));
        self.attend(batch, trip, discard(failed.response.take()))
            .await?;
        batch.rest();
        let waited = self.attend(batch, trip, self.unless_draining(sleep_until(at)));
        if waited.await?.is_none() {
            return Ok(false);
        }
        let slot = batch.slot();
        let slot = self.attend(batch, trip, self.unless_draining(slot)).await?;
        let Some(slot) = slot else {
            return Ok(false);
        };
        batch.resume(slot);
        if batch.is_empty() {
            return Err(NobodyLeft::Departed);
        }
        Ok(true)
    }

    /// `None` if the drain begins first, or has begun.
    async fn unless_draining<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut phase = self.phase.clone();
        tokio::select! {
            // A drain that has begun goes before a wait that is over.
            biased;
            _ = phase.wait_for(|&phase| phase >= Phase::Draining) => None,
            output = future => Some(output),
        }
    }

    /// Makes two batches of one. Each has its place in line for a slot before the
    /// slot of the whole is free, so that nothing younger goes first.
    async fn split(self: Arc<Self>, mut batch: Batch, trip: &Trip) {
        let slot = batch.slot();
        let half = batch.split();
        if !half.is_empty() {
            let (slot, trip) = (
                half.slot(),
                Trip::new(&half, trip.earlier(), &self.observer),
            );
            tokio::spawn(Arc::clone(&self).travel_with(half, trip, slot));
        }
        batch.rest();
        let trip = Trip::new(&batch, trip.earlier(), &self.observer);
        self.travel_with(batch, trip, slot).await;
    }

    /// Sets out once there is a slot.
    async fn travel_with(
        self: Arc<Self>,
        mut batch: Batch,
        trip: Trip,
        slot: impl Future<Output = batcher::Slot<Job, JobResult>> + Send,
    ) {
        match self.attend(&mut batch, &trip, slot).await {
            Ok(slot) => {
                batch.resume(slot);
                if !batch.is_empty() {
                    self.travel(batch, trip).await;
                }
            }
            Err(nobody_left) => trip.log_nobody_left(nobody_left),
        }
    }

    fn deliver(
        &self,
        batch: &mut Batch,
        trip: &Trip,
        answer: &bytes::Bytes,
        status: u16,
    ) -> Result<(), NotResults> {
        let ids = batch.members().iter().map(|member| member.item().id());
        let correlation = correlate(ids, answer)?;
        self.warn_of_mismatch(trip, batch.len(), &correlation);
        trip.log(Code::Ok, "");
        let mut outcomes = correlation.outcomes.into_iter();
        batch.answer_all(|member| {
            let outcome = match outcomes.next() {
                Some(Outcome::Found(element)) => JobOutcome::Element {
                    raw: element.raw,
                    error: element.error,
                },
                Some(Outcome::Ambiguous) => JobOutcome::Failed(Failure::ResultAmbiguous(status)),
                Some(Outcome::Missing) | None => JobOutcome::Failed(Failure::ResultMissing(status)),
            };
            trip.result(member, outcome)
        });
        Ok(())
    }

    /// An upstream that mixes up its results would flood the log.
    fn warn_of_mismatch(&self, trip: &Trip, members: usize, correlation: &Correlation) {
        let count = |wanted| {
            correlation
                .outcomes
                .iter()
                .filter(|&it| *it == wanted)
                .count()
        };
        let (missing, ambiguous) = (count(Outcome::Missing), count(Outcome::Ambiguous));
        let mut unmatched = correlation.unmatched;
        // The results of members that expired meanwhile are nobody's fault.
        let expired = trip.size() - members;
        unmatched.unknown_id = unmatched.unknown_id.saturating_sub(expired);
        self.observer.metrics.unmatched(&unmatched);
        if missing + ambiguous + unmatched.total() > 0
            && let Some(silent) = self.mismatches.now()
        {
            warn!(
                batch_id = %trip.id(),
                size = trip.size(),
                missing,
                ambiguous,
                unknown_id = unmatched.unknown_id,
                no_id = unmatched.no_id,
                two_ids = unmatched.two_ids,
                not_an_object = unmatched.not_an_object,
                batches_not_warned_of = silent,
                "unmatched results"
            );
        }
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
