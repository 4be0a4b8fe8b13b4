//! One batch on its way: its members, what it is known by and what it has been
//! through. It answers the members, and its end is told once.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Span;

use super::batch::{Batch, Member, Slot, jobs};
use super::context::BatchContext;
use super::gone::Gone;
use super::history::History;
use super::journal::Journal;
use super::outcome::{Abandoned, Failure, JobOutcome, JobResult};
use super::policy::Phase;
use crate::code::Code;
use crate::job::{Handle, Job};
use crate::upstream::DispatchFlag;

/// Where the numbers begin that items may have on the wire: of few digits, and enough that
/// no two batches under way have one in common, but for chance.
const NUMBERS: std::ops::Range<u64> = 1..1 << 30;

/// A batch under way.
pub(super) struct Run {
    pub batch: Batch,
    pub context: Arc<BatchContext>,
    pub history: History,
    /// Those that were answered during the current call.
    pub gone: Gone,
    /// Where the numbers of its items begin, if they have any on the wire.
    pub first_number: u64,
    pub phase: watch::Receiver<Phase>,
    journal: Arc<Journal>,
    /// Whether its end is told.
    told: bool,
}

impl Run {
    /// A batch that leaves for the first time.
    pub fn new(batch: Batch, journal: Arc<Journal>, phase: watch::Receiver<Phase>) -> Self {
        Self {
            context: context(&batch, None),
            batch,
            history: History::new(),
            gone: Gone::default(),
            first_number: fastrand::u64(NUMBERS),
            phase,
            journal,
            told: false,
        }
    }

    /// Takes the later half of its members away, and says what is left of it: two
    /// batches of their own.
    pub fn split(mut self) -> (Self, Self) {
        let later = self.batch.split();
        let later = Self {
            context: context(&later, Some(self.context.id)),
            batch: later,
            history: self.history.of_half(),
            gone: Gone::default(),
            first_number: fastrand::u64(NUMBERS),
            phase: self.phase.clone(),
            journal: Arc::clone(&self.journal),
            told: false,
        };
        self.context = context(&self.batch, Some(self.context.id));
        self.history = self.history.of_half();
        self.told = false;
        (self, later)
    }

    /// What the log's lines about it stand in.
    pub fn span(&self) -> Span {
        self.context.span(jobs(&self.batch).filter_map(Job::trace))
    }

    /// A call with a body of so many bytes begins, for the members that are left.
    pub fn begin_call(&mut self, bytes: usize) -> DispatchFlag {
        let dispatch = self.history.call_begins();
        let attempt = self.history.attempts;
        if attempt > 1 || self.batch.len() != self.context.members {
            self.context = self.context_of_attempt(attempt == 1);
        }
        if !std::mem::replace(&mut self.history.left_told, true) {
            let left = self.context.left;
            let callers = self.batch.members().iter().filter(|it| !it.is_detached());
            let waited = callers.map(|it| it.waited(left));
            let counts = self.batch.batcher().observe();
            self.journal.left(&self.context, bytes, waited, counts);
        }
        self.journal.sent(&self.context, attempt, bytes);
        dispatch
    }

    fn context_of_attempt(&self, is_first: bool) -> Arc<BatchContext> {
        let (members, size) = (self.batch.len(), self.batch.weight());
        Arc::new(self.context.for_attempt(members, size, is_first))
    }

    /// Whether members are for later.
    pub fn has_detached(&self) -> bool {
        // Those come last.
        self.batch.members().last().is_some_and(Member::is_detached)
    }

    /// Whether callers wait for members.
    pub fn has_callers(&self) -> bool {
        let mut members = self.batch.members().iter();
        !members.all(Member::is_detached)
    }

    /// The handles of the members for later.
    pub fn handles(&self) -> Vec<Handle> {
        jobs(&self.batch).filter_map(Job::handle).collect()
    }

    /// Whether members for later may go back to where they waited: not if they have left
    /// before, since what those have been through is not to be forgotten.
    pub fn may_put_back(&self) -> bool {
        !self.history.left_told && self.has_detached()
    }

    /// Puts them back there.
    pub fn put_back_detached(&mut self) {
        let put_back = self.batch.put_back_detached();
        self.context = self.context_of_attempt(true);
        self.journal.put_back(&self.context, put_back);
    }

    /// Answers the members that callers wait for, with a failure.
    pub fn fail_callers(&mut self, failure: &Failure) {
        self.answer_callers(|| JobOutcome::Failed(failure.clone()));
    }

    /// Answers the members for later with a failure.
    pub fn fail_detached(&mut self, failure: &Failure) {
        let result = self.result();
        let failed = |member: &Member| result(member, JobOutcome::Failed(failure.clone()));
        self.batch.answer_detached(failed);
    }

    /// No member is left to be sent. Of a batch that had not left before nothing is told.
    ///
    /// # Errors
    /// Of one that had.
    pub fn dissolve(&mut self) -> Result<(), Abandoned> {
        match self.history.left_told {
            // Of whom it is told that they have failed.
            true if self.told => Ok(()),
            true => Err(Abandoned::Departed),
            false => {
                self.batch.was_not_sent();
                self.told = true;
                Ok(())
            }
        }
    }

    /// Goes on with a slot, without the members that departed or expired by then.
    ///
    /// # Errors
    /// Where none is left.
    pub fn resume(&mut self, slot: Slot) -> Result<(), Abandoned> {
        self.batch.resume(slot);
        if self.batch.is_empty() {
            return Err(Abandoned::Departed);
        }
        let sent = self.history.may_be_seen();
        self.answer_expired(Instant::now(), &Failure::DeadlineExceeded { sent });
        match self.batch.is_empty() {
            true => Err(Abandoned::Expired),
            false => Ok(()),
        }
    }

    /// Answers each member that a caller waits for, in their order.
    pub fn answer_callers(&mut self, mut outcome: impl FnMut() -> JobOutcome) {
        let result = self.result();
        self.batch
            .answer_callers(|member| result(member, outcome()));
    }

    /// Answers each member, in their order.
    pub fn answer_all(&mut self, mut outcome: impl FnMut() -> JobOutcome) {
        let result = self.result();
        self.batch.answer_all(|member| result(member, outcome()));
    }

    /// Answers every member with the same failure.
    pub fn fail_all(&mut self, failure: &Failure) {
        self.answer_all(|| JobOutcome::Failed(failure.clone()));
    }

    /// Answers the members whose deadline has come by then with a failure.
    pub fn answer_expired(&mut self, then: Instant, failure: &Failure) {
        if self.history.is_calling() {
            let expires = |member: &Member| member.deadline().is_some_and(|it| it <= then);
            self.gone.add(&self.batch, expires);
        }
        let result = self.result();
        let failed = |member: &Member| result(member, JobOutcome::Failed(failure.clone()));
        self.batch.answer_expired(then, failed);
    }

    fn result(&self) -> impl Fn(&Member, JobOutcome) -> JobResult + use<> {
        let batch = Arc::clone(&self.context);
        let (earlier, upstream) = (self.history.earlier, self.history.upstream_time());
        move |member, outcome| JobResult {
            outcome,
            earlier,
            queued: member.waited(batch.left),
            batch: Arc::clone(&batch),
            upstream,
        }
    }

    /// Tells that it ends with this, before its members are answered.
    pub fn end(&mut self, outcome: Code) {
        self.told = true;
        let calls = (self.history.attempts, self.history.upstream_time());
        let counts = self.batch.batcher().observe();
        self.journal.ended(&self.context, outcome, calls, counts);
    }

    /// Tells that no member waits any more.
    pub fn abandon(&mut self, why: Abandoned) {
        match why.code() {
            Some(outcome) => self.end(outcome),
            None => self.told = true,
        }
        let attempts = self.history.attempts;
        self.journal.abandoned(&self.context, attempts, why);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A batch whose processing panicked has failed like any other.
        if !self.told && std::thread::panicking() {
            self.end(Code::Internal);
            let cause = "its processing panicked";
            let attempts = self.history.attempts;
            let context = &self.context;
            self.journal
                .failed(context, attempts, Code::Internal, cause, None);
        }
    }
}

fn context(batch: &Batch, half_of: Option<uuid::Uuid>) -> Arc<BatchContext> {
    let traces = jobs(batch).map(Job::trace);
    let (reason, left) = (batch.reason(), batch.left());
    Arc::new(BatchContext::new(
        batch.weight(),
        traces,
        reason,
        left,
        half_of,
    ))
}
