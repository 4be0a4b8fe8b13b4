//! The way of a batch: call, and after a failure once more, in halves, or no further.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument;

use super::answer::{self, Answered, Results};
use super::attempt::{Attempt, End};
use super::batch::{Batch, Slot, calls, jobs, size};
use super::budget::{Reservation, RetryBudget};
use super::call::{Failed, Sent, call, discard};
use super::circuit::{Circuit, Permit};
use super::journal::Journal;
use super::learning::Learning;
use super::outcome::{Abandoned, Failure, JobOutcome};
use super::policy::{Phase, Policy};
use super::records::Records;
use super::retry;
use super::run::Run;
use crate::code::Code;
use crate::job::Job;
use crate::later::Later;
use crate::observe::Observer;
use crate::resilience::budget::Budget;
use crate::shape::Shape;
use crate::upstream::{Call, Outgoing, Upstream};

/// Processes batches for one upstream.
#[derive(Debug)]
pub struct Engine<C = Upstream> {
    upstream: C,
    shape: Arc<Shape>,
    policy: Policy,
    budget: RetryBudget,
    circuit: Arc<Circuit>,
    learning: Arc<Learning>,
    journal: Arc<Journal>,
    records: Records,
    phase: watch::Receiver<Phase>,
}

/// What is left to do once a batch needs no more calls.
enum Then {
    /// Its members are answered.
    Done,
    /// Its halves go on.
    Split,
}

impl<C: Call> Engine<C> {
    /// An engine that calls `upstream` with batches in this shape while `circuit` lets it,
    /// and retries within `budget`.
    pub fn new(
        upstream: C,
        shape: Arc<Shape>,
        policy: Policy,
        budget: Budget,
        circuit: Arc<Circuit>,
        phase: watch::Receiver<Phase>,
        observer: Arc<Observer>,
    ) -> Self {
        Self {
            upstream,
            shape,
            budget: RetryBudget::new(budget),
            circuit,
            learning: Arc::new(Learning::new(false, policy.largest, policy.longest_wait)),
            policy,
            journal: Arc::new(Journal::new(observer)),
            records: Records::default(),
            phase,
        }
    }

    /// The same engine, for batches with jobs whose answers are fetched later.
    #[must_use]
    pub fn with_later(mut self, later: Later) -> Self {
        self.records = Records::of(later);
        self
    }

    /// The same engine, which finds out how many batches the upstream bears at
    /// once, and has the batcher keep to it. The batcher must start with
    /// [`limit::START`](crate::resilience::limit::START) slots.
    #[must_use]
    pub fn adaptive(mut self) -> Self {
        let Policy {
            largest,
            longest_wait,
            ..
        } = self.policy;
        self.learning = Arc::new(Learning::new(true, largest, longest_wait));
        self
    }

    /// Takes a batch that has a slot to the upstream and answers each member.
    pub async fn process(self: Arc<Self>, batch: Batch) {
        let run = Run::new(batch, Arc::clone(&self.journal), self.phase.clone());
        let span = run.span();
        self.run(run).instrument(span).await;
    }

    /// Boxed, since the halves of a batch that splits come here again.
    fn run(self: Arc<Self>, mut run: Run) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            match self.begin(&mut run).await {
                Ok(Then::Done) => {}
                Ok(Then::Split) => self.split(run).await,
                Err(abandoned) => run.abandon(abandoned),
            }
        })
    }

    /// Two batches of one. Each has its place in line for a slot before the slot of
    /// the whole is free, so that nothing younger goes first.
    async fn split(self: Arc<Self>, run: Run) {
        let (mut earlier, later) = run.split();
        let slot = earlier.batch.slot();
        if !later.batch.is_empty() {
            let (slot, span) = (later.batch.slot(), later.span());
            let later = Arc::clone(&self).run_with(later, slot);
            tokio::spawn(later.instrument(span));
        }
        earlier.batch.park();
        let span = earlier.span();
        self.run_with(earlier, slot).instrument(span).await;
    }

    async fn run_with(self: Arc<Self>, mut run: Run, slot: impl Future<Output = Slot> + Send) {
        match run.resume_with(slot).await {
            Ok(()) => self.run(run).await,
            Err(abandoned) => run.abandon(abandoned),
        }
    }

    /// Calls, if that may be.
    async fn begin(&self, run: &mut Run) -> Result<Then, Abandoned> {
        loop {
            if self.is_too_large(run) {
                run.batch.was_not_sent();
                return Ok(self.split_unsent(run));
            }
            let open = match self.circuit.enter(Instant::now()) {
                Ok(permit) => return self.attempts(run, permit).await,
                Err(open) => open,
            };
            run.batch.was_not_sent();
            self.put_back_until_probe(run);
            if run.batch.is_empty() {
                return run.dissolve().map(|()| Then::Done);
            }
            let failure = Failure::CircuitOpen(open.retry_after);
            if !self.wait_for_probe(run, &failure).await? {
                run.end(failure.code());
                run.fail_all(&failure);
                return Ok(Then::Done);
            }
        }
    }

    /// Whether a batch of several is larger than the upstream takes.
    fn is_too_large(&self, run: &Run) -> bool {
        !self.learning.allows(size(&run.batch))
    }

    fn is_draining(&self) -> bool {
        *self.phase.borrow() != Phase::Running
    }

    /// Members for later wait where they did until the circuit may be probed; the first of
    /// them may be the probe then.
    fn put_back_until_probe(&self, run: &mut Run) {
        if self.is_draining() || !run.may_put_back() {
            return;
        }
        // Before they are there, or they would leave again.
        let batcher = run.batch.batcher();
        batcher.hold_detached(Some(self.circuit.next_probe(Instant::now())));
        run.put_back_detached();
        // It may have closed meanwhile, with nobody to hear of that any more.
        if self.circuit.is_closed() {
            batcher.hold_detached(None);
        }
    }

    /// Members for later that have left before wait in the batch, of which callers have
    /// the failure. False where there are none, or where nothing is waited for any more.
    async fn wait_for_probe(&self, run: &mut Run, failure: &Failure) -> Result<bool, Abandoned> {
        if self.is_draining() || !run.has_detached() {
            return Ok(false);
        }
        run.fail_callers(failure);
        run.history.failure = Some(failure.clone());
        self.records.queued_again(run).await?;
        run.pause(self.circuit.next_probe(Instant::now())).await
    }

    /// Members for later wait where they did until their store may be asked again. Those
    /// that have left before can't, and have the failure that they had.
    fn put_back_until_store(&self, run: &mut Run) {
        if run.may_put_back() {
            // Beside callers nobody waits for a store, and none may have been asked.
            if !run.has_callers() {
                run.batch.batcher().pause_detached(Records::next_try());
            }
            run.put_back_detached();
        }
        if run.has_detached()
            && let Some(failure) = run.history.failure.clone()
        {
            if !run.has_callers() {
                run.end(failure.code());
            }
            run.fail_detached(&failure);
        }
    }

    /// Calls until the members are answered, or until the batch is to be split.
    async fn attempts(&self, run: &mut Run, mut permit: Permit) -> Result<Then, Abandoned> {
        let mut before = None;
        loop {
            let retry = match (self.records.sent(run).await?, before) {
                (true, before) => before.map(|it| it.0),
                (false, None) => {
                    self.put_back_until_store(run);
                    None
                }
                (false, Some((_, failed))) if !run.has_callers() => {
                    self.fail(run, failed).await;
                    return Ok(Then::Done);
                }
                (false, Some((reserved, failed))) => {
                    run.fail_detached(&failed.failure);
                    Some(reserved)
                }
            };
            if run.batch.is_empty() {
                return run.dissolve().map(|()| Then::Done);
            }
            if retry.is_none() {
                self.budget.sent(Instant::now());
            }
            let mut failed = match self.attempt(run, permit, retry).await {
                End::Answered(answered) => return Ok(self.deliver(run, answered).await),
                End::Abandoned(why) => return Err(why),
                End::Split(failed) => {
                    self.journal.split(&run.context, &failed);
                    run.race(discard(failed.response)).await?;
                    return Ok(Then::Split);
                }
                End::Failed(failed) => failed,
            };
            if let Some(pause) = self.pause_after(run, &failed.failure)
                && let Some(reserved) = self.reserve(run)
                && self.pause(run, &mut failed, Instant::now() + pause).await?
            {
                if self.is_too_large(run) {
                    return Ok(self.split_unsent(run));
                }
                // Other batches may have opened the circuit meanwhile.
                if let Some(again) = self.circuit.enter_closed(Instant::now()) {
                    (permit, before) = (again, Some((reserved, failed)));
                    continue;
                }
            }
            self.fail(run, failed).await;
            return Ok(Then::Done);
        }
    }

    /// One call.
    async fn attempt(&self, run: &mut Run, permit: Permit, retry: Option<Reservation<'_>>) -> End {
        let written = self.shape.write(calls(&run.batch), run.first_number);
        let dispatch = run.begin_call(written.body.len());
        let context = Arc::clone(&run.context);
        let attempt = Attempt::begin(&self.learning, &self.journal, &run.batch, permit, retry);
        let sent = Sent {
            shape: &self.shape,
            members: context.members,
            as_is: written.as_is,
        };
        let first = jobs(&run.batch).next();
        // All members have the same, or they would be in other batches.
        let carried = first.and_then(Job::carried).cloned();
        let carried = carried.as_deref();
        let own_type = first.filter(|_| sent.as_is).and_then(content_type);
        let outgoing = Outgoing {
            body: written.body.into_pieces(),
            content_type: Some(own_type.as_ref().unwrap_or(self.shape.content_type())),
            captures: carried.map_or(&[], |it| &it.captures),
            query: carried.and_then(|it| it.query.as_deref()),
            headers: carried.map_or(&[], |it| &it.headers),
            batch_id: &context.id_header,
            batch_size: &context.size_header,
            trace: context.trace.as_ref(),
            dispatch: &dispatch,
            runtime: run.batch.runtime(),
        };
        let called = call(&self.upstream, outgoing, sent);
        let end = match run.race(called).await {
            Err(abandoned) => End::Abandoned(abandoned),
            Ok(answer) => {
                run.history.call_ended();
                let gone = std::mem::take(&mut run.gone);
                let members = (&run.batch, &gone);
                let read = match answer {
                    Ok((response, body)) => {
                        answer::read(sent, run.first_number, members, response, body).await
                    }
                    Err(failed) => Err(failed),
                };
                read.map_or_else(|failed| self.failed(run, failed), End::Answered)
            }
        };
        attempt.end(&end);
        end
    }

    fn failed(&self, run: &mut Run, failed: Failed) -> End {
        let failure = &failed.failure;
        run.history.call_failed(failure.dispatched());
        if run.has_detached() {
            run.history.failure = Some(failure.clone());
        }
        match failed.calls_for_a_split(run.context.members, &self.policy.split_on) {
            true => End::Split(failed),
            false => End::Failed(failed),
        }
    }

    /// Answers each member with its own result, or with the want of it.
    async fn deliver(&self, run: &mut Run, answered: Answered) -> Then {
        let Answered { response, results } = answered;
        let status = response.status();
        if let Results::Each(each) = &results {
            self.journal.read(&run.context, &each.answer, status);
        }
        run.end(Code::Ok);
        match results {
            Results::Each(mut each) => {
                let mut outcomes = std::mem::take(&mut each.answer.outcomes).into_iter();
                let mut outcome = || each.outcome(outcomes.next(), status);
                // Those come first among the members, and go on before more is done.
                run.answer_callers(&mut outcome);
                if !run.batch.is_empty() {
                    tokio::task::yield_now().await;
                    run.answer_all(outcome);
                }
            }
            Results::AsItCame(passthrough) => run.answer_all(|| {
                // There is only one.
                let passthrough = Box::new(passthrough.clone());
                JobOutcome::AsItCame {
                    status,
                    passthrough,
                }
            }),
            Results::None => {
                run.answer_all(|| JobOutcome::Taken);
                // The slot is taken until the call is over.
                response.discard().await;
            }
        }
        Then::Done
    }

    /// The pause before another attempt, where there is to be one: neither after the
    /// drain has begun nor against an open circuit.
    fn pause_after(&self, run: &mut Run, failure: &Failure) -> Option<Duration> {
        // A departed caller is nobody to retry for.
        run.batch.forget_departed();
        if *self.phase.borrow() != Phase::Running || !self.circuit.is_closed() {
            return None;
        }
        let now = Instant::now();
        let last = run.batch.latest_deadline();
        let time_left = last.map(|last| last.saturating_duration_since(now));
        let (attempts, chance) = (run.history.attempts, fastrand::f64());
        retry::pause(&self.policy, failure, attempts, time_left, chance)
    }

    fn reserve(&self, run: &Run) -> Option<Reservation<'_>> {
        let reservation = self.budget.reserve(Instant::now());
        // An operator who has switched retries off knows.
        if reservation.is_none() && !self.budget.is_off() {
            self.journal.budget_exhausted(&run.context);
        }
        reservation
    }

    /// Waits until then, and for a slot. A member that would not live to see that is
    /// answered first. False if the drain has begun.
    async fn pause(
        &self,
        run: &mut Run,
        failed: &mut Failed,
        until: Instant,
    ) -> Result<bool, Abandoned> {
        let attempts = run.history.attempts;
        self.journal.retry(&run.context, attempts, failed, until);
        run.answer_expired(until, &failed.failure);
        run.race(discard(failed.response.take())).await?;
        self.records.queued_again(run).await?;
        run.pause(until).await
    }

    fn split_unsent(&self, run: &Run) -> Then {
        self.journal.split_unsent(&run.context);
        Then::Split
    }

    /// Answers every member with the failure. What the upstream said about it is read
    /// after that, which may take it a moment.
    async fn fail(&self, run: &mut Run, failed: Failed) {
        let (failure, attempts) = (failed.failure.clone(), run.history.attempts);
        run.end(failure.code());
        run.fail_all(&failure);
        let (cause, answer) = failed.told(self.policy.excerpts).await;
        self.journal
            .failed(&run.context, attempts, failure.code(), &cause, answer);
    }
}

/// The type of a job that goes as it came, where it is not that of its shape.
fn content_type(job: &Job) -> Option<HeaderValue> {
    HeaderValue::from_str(job.call().content_type()?).ok()
}
