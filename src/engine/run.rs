//! One batch on its way: its members, what it is known by and what it has been
//! through. It answers the members, and its end is told once.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Span;

use super::batch::{Batch, Member, Slot, jobs};
use super::context::BatchContext;
use super::history::History;
use super::journal::Journal;
use super::outcome::{Abandoned, Failure, JobOutcome, JobResult};
use super::policy::Phase;
use crate::code::Code;
use crate::job::{Handle, Job};
use crate::upstream::DispatchFlag;

/// A batch under way.
pub(super) struct Run {
    pub batch: Batch,
    pub context: Arc<BatchContext>,
    pub history: History,
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

    /// A call with this array begins, for the members that are left.
    pub fn begin_call(&mut self, array: &[Bytes]) -> DispatchFlag {
        let dispatch = self.history.call_begins();
        let attempt = self.history.attempts;
        if attempt > 1 || self.batch.len() != self.context.size {
            let context = self.context.for_attempt(self.batch.len(), attempt == 1);
            self.context = Arc::new(context);
        }
        let bytes = array.iter().map(Bytes::len).sum();
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

    /// Puts members for later back to where they waited, until then, unless they have
    /// left before: what those have been through is not to be forgotten. How many there
    /// were.
    pub fn put_back_detached(&mut self, until: Instant) -> usize {
        if self.history.left_told || !self.has_detached() {
            return 0;
        }
        // Before they are there, or they would leave again.
        self.batch.batcher().hold_detached(Some(until));
        let put_back = self.batch.put_back_detached();
        let context = self.context.for_attempt(self.batch.len(), true);
        self.context = Arc::new(context);
        self.journal.put_back(&self.context, put_back);
        put_back
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
            true => Err(Abandoned::Departed),
            false => {
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
    Arc::new(BatchContext::new(traces, reason, left, half_of))
}
