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
use crate::observe::spans::Described;
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
        self.records = Records::of(later, self.policy.idempotent);
        self
    }

    /// The same engine of a route that is so described in spans.
    #[must_use]
    pub fn described(mut self, described: Arc<Described>) -> Self {
        self.journal = Arc::new(self.journal.described(described));
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
        let (mut earlier, mut later) = run.split();
        self.records.ask_again(&mut earlier);
        self.records.ask_again(&mut later);
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
            let open = match self.circuit.admit(Instant::now()) {
                Ok(()) => match self.attempts(run).await? {
                    Some(then) => return Ok(then),
                    None => continue,
                },
                Err(open) => open,
            };
            run.batch.was_not_sent();
            self.put_back_until_probe(run).await?;
            if run.batch.is_empty() {
                return run.dissolve().map(|()| Then::Done);
            }
            let failure = Failure::CircuitOpen(open.retry_after);
            if !self.wait_for_probe(run, &failure).await? {
                self.release_at_drain(run);
                if run.batch.is_empty() {
                    return run.dissolve().map(|()| Then::Done);
                }
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
    async fn put_back_until_probe(&self, run: &mut Run) -> Result<(), Abandoned> {
        if self.is_draining() || !run.may_put_back() {
            return Ok(());
        }
        // Another has become the probe since it was told that they are sent.
        self.records.queued_again(run).await?;
        // Before they are there, or they would leave again.
        let batcher = run.batch.batcher();
        batcher.hold_detached(Some(self.circuit.next_probe(Instant::now())));
        run.put_back_detached();
        // It may have closed meanwhile, with nobody to hear of that any more.
        if self.circuit.is_closed() {
            batcher.hold_detached(None);
        }
        Ok(())
    }

    /// At a drain members for later that are not under way go back to a store that lasts.
    fn release_at_drain(&self, run: &mut Run) {
        if self.is_draining() {
            self.records.release(run);
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
        self.release_at_drain(run);
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

    /// Calls until the members are answered, or until the batch is to be split; `None` where
    /// the circuit is open meanwhile, for what may wait for it.
    async fn attempts(&self, run: &mut Run) -> Result<Option<Then>, Abandoned> {
        let mut before: Option<(Reservation<'_>, Failed)> = None;
        loop {
            let told = self.records.sent(run).await?;
            let (retry, earlier) = before.take().unzip();
            match earlier {
                None if !told => self.put_back_until_store(run),
                Some(failed) if !told && !run.has_callers() => {
                    self.fail(run, failed).await;
                    return Ok(Some(Then::Done));
                }
                Some(ref failed) if !told => run.fail_detached(&failed.failure),
                _ => {}
            }
            if run.batch.is_empty() {
                return run.dissolve().map(|()| Some(Then::Done));
            }
            // No sooner than that: a probe is not to wait for a store.
            let permit = match earlier {
                None => self.circuit.enter(Instant::now()).ok(),
                Some(_) => self.circuit.enter_closed(Instant::now()),
            };
            let permit = match (permit, earlier) {
                (Some(permit), _) => permit,
                (None, Some(failed)) => return self.refused(run, failed).await,
                (None, None) => return Ok(None),
            };
            if retry.is_none() {
                self.budget.sent(Instant::now());
            }
            let mut failed = match self.attempt(run, permit, retry).await {
                End::Answered(answered) => return Ok(Some(self.deliver(run, answered).await)),
                End::Abandoned(why) => return Err(why),
                End::Split(failed) => {
                    self.journal.split(&run.context, &failed);
                    run.race(discard(failed.response)).await?;
                    return Ok(Some(Then::Split));
                }
                End::Failed(failed) => failed,
            };
            let Some(pause) = self.pause_after(run, &failed.failure) else {
                self.fail(run, failed).await;
                return Ok(Some(Then::Done));
            };
            if self.is_draining() || !self.circuit.is_closed() {
                return self.refused(run, failed).await;
            }
            let Some(reserved) = self.reserve(run) else {
                self.fail(run, failed).await;
                return Ok(Some(Then::Done));
            };
            let goes_on = self.pause(run, &mut failed, Instant::now() + pause).await?;
            if goes_on && self.is_too_large(run) {
                return Ok(Some(self.split_unsent(run)));
            }
            // Other batches may have opened the circuit meanwhile.
            if !goes_on || !self.circuit.is_closed() {
                return self.refused(run, failed).await;
            }
            before = Some((reserved, failed));
        }
    }

    /// It may not be sent again, though its failure alone would allow it: nothing is any
    /// more, or the circuit is open, for which members for later wait.
    async fn refused(&self, run: &mut Run, mut failed: Failed) -> Result<Option<Then>, Abandoned> {
        self.release_at_drain(run);
        if run.batch.is_empty() {
            return run.dissolve().map(|()| Some(Then::Done));
        }
        if self.is_draining() || !run.has_detached() {
            self.fail(run, failed).await;
            return Ok(Some(Then::Done));
        }
        let probe = self.circuit.next_probe(Instant::now());
        let attempts = run.history.attempts;
        self.journal.retry(&run.context, attempts, &failed, probe);
        run.fail_callers(&failed.failure);
        run.race(discard(failed.response.take())).await?;
        Ok(None)
    }

    /// One call.
    async fn attempt(&self, run: &mut Run, permit: Permit, retry: Option<Reservation<'_>>) -> End {
        let written = self.shape.write(calls(&run.batch), run.first_number);
        let bytes = written.body.len();
        let dispatch = run.begin_call(bytes);
        let context = Arc::clone(&run.context);
        let places = jobs(&run.batch).filter_map(Job::trace);
        let traced = self
            .journal
            .traced(&context, run.history.attempts, bytes, places);
        let attempt = Attempt::begin(&self.learning, &self.journal, &run.batch, permit, retry);
        let attempt = attempt.traced(traced);
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
        // By itself, or every batch's future would be moved with what a call needs.
        let called = Box::pin(call(&self.upstream, outgoing, sent));
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

    /// The pause before another attempt, where there may be one after this failure.
    fn pause_after(&self, run: &mut Run, failure: &Failure) -> Option<Duration> {
        // A departed caller is nobody to retry for.
        run.batch.forget_departed();
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
        let asked = self.records.ask_within(run, until);
        let goes_on = run.pause(until).await?;
        self.records.heard(run, asked);
        Ok(goes_on)
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
