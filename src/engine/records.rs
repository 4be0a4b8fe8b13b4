//! Jobs for later among the members of a batch: before a byte of them leaves it is told
//! to their store, and where they can't be sent they go back to where they waited.
//!
//! No caller waits for the store. Where callers are among the members it is asked only if
//! it answers at once, and jobs for later go back if it does not.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::batch::Member;
use super::outcome::Abandoned;
use super::run::Run;
use crate::job::Handle;
use crate::later::Later;
use crate::later::store::StoreError;

/// How long jobs for later wait after their store was away.
const PAUSE: Duration = Duration::from_secs(1);

/// What the engine tells of jobs for later, where there are any.
#[derive(Debug, Default)]
pub(super) struct Records(Option<Later>);

impl Records {
    pub fn of(later: Later) -> Self {
        Self(Some(later))
    }

    /// The members are about to be sent; those that are not to be are dropped from the
    /// batch. False where nothing may be sent of those for later.
    pub async fn sent(&self, run: &mut Run) -> Result<bool, Abandoned> {
        let Some(later) = self.0.as_ref().filter(|_| run.has_detached()) else {
            return Ok(true);
        };
        if run.history.sent_told {
            return Ok(true);
        }
        let told = later.sent(run.handles());
        let told = match run.has_callers() {
            false => run.race(told).await?,
            true if later.commits_at_once() => at_once(told).await,
            true => Err(StoreError::NotCommitted),
        };
        let Ok(mut gone) = told else {
            return Ok(false);
        };
        run.history.sent_told = true;
        if !gone.is_empty() {
            gone.sort_unstable();
            let is_gone = |handle: Handle| gone.binary_search(&handle).is_ok();
            let is_gone = |member: &Member| member.item().handle().is_some_and(is_gone);
            run.batch.dismiss_detached(is_gone);
        }
        Ok(true)
    }

    /// The members wait to be sent again.
    pub async fn queued_again(&self, run: &mut Run) -> Result<(), Abandoned> {
        let Some(later) = self.0.as_ref().filter(|_| run.has_detached()) else {
            return Ok(());
        };
        let told = later.queued_again(run.handles());
        let told = match run.has_callers() {
            false => run.race(told).await?,
            true => at_once(told).await,
        };
        // They are told to be sent already where that is for certain.
        run.history.sent_told = told == Err(StoreError::NotCommitted);
        Ok(())
    }

    /// When to ask a store again that was away.
    pub fn next_try() -> Instant {
        Instant::now() + PAUSE
    }
}

/// What a store says when it is first asked.
async fn at_once<T>(told: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let mut told = pin!(told);
    std::future::poll_fn(|context| {
        let told = told.as_mut().poll(context);
        Poll::Ready(match told {
            Poll::Ready(told) => told,
            Poll::Pending => Err(StoreError::Unanswered),
        })
    })
    .await
}
