//! The steps of claimed jobs: claimed, sent, held on to, and given back.

use std::time::Duration;

use bytes::Bytes;
use redis::Value;
use tokio::time::sleep;

use super::core::Core;
use super::reply;
use super::script::Script;
use crate::job::Handle;
use crate::later::backlog::{Claim, Claimed, Which};
use crate::later::clock::{self, between};
use crate::later::record::Millis;
use crate::later::step::StoreError;

/// Most jobs that are held on to, or given back, in one step.
const MOST: usize = 256;

/// How often leases are looked at, at most.
const OFTEN: Duration = Duration::from_millis(100);

/// What becomes of claimed jobs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Sent,
    Pause,
    Renew,
}

impl Hold {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Pause => "pause",
            Self::Renew => "renew",
        }
    }
}

impl Core {
    /// One at a time for each route, so that what a claim has got whose answer was lost is
    /// got by the next one.
    pub async fn claim(&self, claim: Claim, now: Millis) -> Result<Vec<Claimed>, StoreError> {
        let numbers = self.claims.of(&claim.route);
        let mut numbers = numbers.lock().await;
        numbers.last += 1;
        let (number, unanswered) = (numbers.last, numbers.unanswered);
        let (which, time) = match claim.which {
            Which::Batch { due } => ("batch", i128::from(due)),
            Which::Any => ("any", 0),
            Which::Overdue { now: then } => ("overdue", between(now, then)),
        };
        let answer = self.call(Script::Claim, now, |command| {
            command.arg(claim.route.as_str());
            command.arg(claim.max_items).arg(claim.max_bytes);
            command.arg(which).arg(time).arg(self.bounds().lease);
            command.arg(number);
            command.arg(unanswered.map(|it| it.to_string()).unwrap_or_default());
        });
        let claimed = answer
            .await
            .and_then(|it| claimed(it, now).ok_or(StoreError::Unanswered));
        match claimed {
            Ok((token, claimed)) => {
                numbers.unanswered = None;
                self.views.claimed(&claim.route, true);
                let until = now.saturating_add(self.bounds().lease);
                let handles = claimed.iter().map(|it| it.handle);
                self.held.claimed(handles, &token, until);
                Ok(claimed)
            }
            Err(error) => {
                if error == StoreError::Unanswered {
                    numbers.unanswered.get_or_insert(number);
                    self.views.claimed(&claim.route, false);
                }
                Err(error)
            }
        }
    }

    /// Those that are not this process's to send are returned.
    pub async fn hold(
        &self,
        what: Hold,
        handles: &[Handle],
        now: Millis,
    ) -> Result<Vec<Handle>, StoreError> {
        let until = now.saturating_add(self.bounds().lease);
        let mut all_gone = Vec::new();
        for handles in handles.chunks(MOST) {
            let tokens = self.held.tokens(handles);
            let answer = self.call(Script::Hold, now, |command| {
                command.arg(what.as_str()).arg(self.bounds().lease);
                for (handle, token) in handles.iter().zip(&tokens) {
                    command.arg(handle.to_string()).arg(&**token);
                }
            });
            let gone = reply::handles(answer.await?).ok_or(StoreError::Unanswered)?;
            // Redis is to be told when one goes on after its pause.
            let asks = what != Hold::Renew;
            self.held.renewed(handles, &gone, until, asks);
            all_gone.extend(gone);
        }
        Ok(all_gone)
    }

    pub async fn release(&self, handles: Vec<Handle>, now: Millis) -> Result<(), StoreError> {
        for handles in handles.chunks(MOST) {
            let tokens = self.held.tokens(handles);
            let mut held = handles.iter().zip(&tokens).filter(|it| !it.1.is_empty());
            if held.clone().next().is_none() {
                continue;
            }
            let answer = self.call(Script::Release, now, |command| {
                held.by_ref().for_each(|(handle, token)| {
                    command.arg(handle.to_string()).arg(&**token);
                });
            });
            answer.await?;
            self.held.done(handles.iter().copied());
        }
        Ok(())
    }

    /// How often leases are to be renewed, so that a job that waits here can always be sent
    /// without asking: half of what the lease is longer than it may take, and a third of
    /// it at most.
    pub fn renewal(&self) -> Duration {
        let (lease, longest) = (self.bounds().lease, self.bounds().upstream_timeout);
        let often = (lease / 3).min(lease.saturating_sub(longest) / 2);
        Duration::from_millis(often).max(OFTEN)
    }

    /// Renews leases. Runs for ever.
    pub async fn renew(&self) {
        let often = self.renewal();
        loop {
            sleep(often).await;
            let (now, lease) = (clock::now(), self.bounds().lease);
            // What would not outlast the next pause, and another one that fails.
            let before = now
                .saturating_add(lease)
                .saturating_sub(clock::millis(often) / 2);
            let due = self.held.due(before, now, lease);
            // Told by the link; it is tried again after the pause.
            let _away = self.hold(Hold::Renew, &due, now).await;
        }
    }
}

/// What a claim that was made at this time here has got.
fn claimed(answer: Value, now: Millis) -> Option<(String, Vec<Claimed>)> {
    let [token, claimed] = reply::parts(answer)?;
    let claimed = reply::list(claimed)?.into_iter().map(|claimed| {
        let [handle, job, left, interrupted] = reply::parts(claimed)?;
        let left: f64 = reply::read(left)?;
        Some(Claimed {
            handle: reply::parsed(handle)?,
            job: Bytes::from(reply::bytes(job)?),
            deadline: now.saturating_add_signed(left as i64),
            interrupted: reply::read(interrupted)?,
        })
    });
    Some((reply::read(token)?, claimed.collect::<Option<_>>()?))
}
