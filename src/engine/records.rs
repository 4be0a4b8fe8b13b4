//! Jobs for later among the members of a batch: before a byte of them leaves it is told
//! to their store, and where they can't be sent they go back to where they waited.
//!
//! No caller waits for the store: where callers are among the members it is asked only if
//! it answers at once, and jobs for later go back if it does not. Nor does anybody wait for
//! it where the upstream is idempotent, so that a job which is sent again does no harm.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::batch::Member;
use super::outcome::Abandoned;
use super::run::Run;
use crate::job::Handle;
use crate::later::Later;
use crate::later::store::StoreError;

/// How long jobs for later wait after their store was away.
const PAUSE: Duration = Duration::from_secs(1);

/// So long before the end of a pause a store is asked in it.
const AHEAD: Duration = Duration::from_millis(500);

/// What the engine tells of jobs for later, where there are any.
#[derive(Debug, Default)]
pub(super) struct Records {
    later: Option<Later>,
    is_idempotent: bool,
}

/// What a store says within a pause. Dropped, it is not asked any more.
pub(super) struct Asked(JoinSet<Result<Vec<Handle>, StoreError>>);

impl Records {
    pub fn of(later: Later, is_idempotent: bool) -> Self {
        Self {
            later: Some(later),
            is_idempotent,
        }
    }

    /// The members are about to be sent; those that are not to be are dropped from the
    /// batch. False where nothing may be sent of those for later.
    pub async fn sent(&self, run: &mut Run) -> Result<bool, Abandoned> {
        let Some(later) = self.of_members(run).filter(|_| !run.history.sent_told) else {
            return Ok(true);
        };
        let (later, handles) = (later.clone(), run.handles());
        let told = async move { later.sent(handles).await };
        let Ok(gone) = self.tell(run, told).await? else {
            return Ok(false);
        };
        told_sent(run, gone);
        Ok(true)
    }

    /// The members wait to be sent again. Beside callers those of a store that lasts stay
    /// as they are, so that nobody waits for it: it is [asked](Self::ask_within) in the
    /// pause.
    pub async fn queued_again(&self, run: &mut Run) -> Result<(), Abandoned> {
        let Some(later) = self.of_members(run).filter(|_| run.history.sent_told) else {
            return Ok(());
        };
        if later.lasts() && run.has_callers() {
            run.history.sent_told = false;
            return Ok(());
        }
        let (later, handles) = (later.clone(), run.handles());
        let told = async move { later.queued_again(handles).await };
        let told = self.tell(run, told).await?;
        // They are told to be sent already where that is for certain.
        run.history.sent_told = told == Err(StoreError::NotCommitted);
        Ok(())
    }

    /// Asks a store that lasts, in a pause until then, whether members may be sent again
    /// that go beside callers.
    pub fn ask_within(&self, run: &Run, until: Instant) -> Asked {
        let mut asked = JoinSet::new();
        if let Some(later) = self.of_members(run).filter(|it| it.lasts())
            && run.has_callers()
            && !self.is_idempotent
        {
            let (later, handles) = (later.clone(), run.handles());
            asked.spawn(async move {
                let ahead = until.checked_sub(AHEAD).unwrap_or(until);
                sleep_until(ahead).await;
                later.sent(handles).await
            });
        }
        Asked(asked)
    }

    /// The pause is over.
    pub fn heard(&self, run: &mut Run, mut asked: Asked) {
        if let Some(Ok(Ok(gone))) = asked.0.try_join_next() {
            told_sent(run, gone);
        }
    }

    /// It is a half of a batch, which has waited for its slot: a store that lasts is asked
    /// again whether its members are still to be sent; beside callers nobody waits for that.
    pub fn ask_again(&self, run: &mut Run) {
        if self.of_members(run).is_some_and(Later::lasts) && !run.has_callers() {
            run.history.sent_told = false;
        }
    }

    /// The process ends: members whose store lasts wait there, and are dropped from the
    /// batch without an answer.
    pub fn release(&self, run: &mut Run) {
        if let Some(later) = self.of_members(run).filter(|it| it.lasts()) {
            let handles = run.handles();
            run.batch.dismiss_detached(|_| true);
            later.release(handles);
        }
    }

    /// When to ask a store again that was away.
    pub fn next_try() -> Instant {
        Instant::now() + PAUSE
    }

    fn of_members(&self, run: &Run) -> Option<&Later> {
        self.later.as_ref().filter(|_| run.has_detached())
    }

    /// What a store says of it, as far as that is waited for.
    async fn tell<T: Default + Send + 'static>(
        &self,
        run: &mut Run,
        told: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<Result<T, StoreError>, Abandoned> {
        let mut told: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(told);
        let at_once = std::future::poll_fn(|context| Poll::Ready(told.as_mut().poll(context)));
        if let Poll::Ready(told) = at_once.await {
            return Ok(told);
        }
        if self.is_idempotent {
            // It is written all the same.
            drop(tokio::spawn(told));
            return Ok(Ok(T::default()));
        }
        match run.has_callers() {
            false => run.race(told).await,
            true => Ok(Err(StoreError::Unanswered)),
        }
    }
}

/// They are told to be sent, but for those that are gone.
fn told_sent(run: &mut Run, mut gone: Vec<Handle>) {
    run.history.sent_told = true;
    if !gone.is_empty() {
        gone.sort_unstable();
        let is_gone = |handle: Handle| gone.binary_search(&handle).is_ok();
        let is_gone = |member: &Member| member.item().handle().is_some_and(is_gone);
        run.batch.dismiss_detached(is_gone);
    }
}
