//! What all steps share: the way to Redis, what is known here, and what was claimed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::Mutex as AsyncMutex;
use tracing::warn;

use super::held::Held;
use super::link::Link;
use super::message::Message;
use super::reply;
use super::script::Script;
use super::views::Views;
use crate::job::RouteName;
use crate::later::clock;
use crate::later::record::Millis;
use crate::later::settings::Settings;
use crate::later::step::StoreError;

/// Whose clock says when a lease has run out and a record has expired.
#[derive(Clone, Copy)]
pub(super) struct Time {
    /// What scripts are told of the time here.
    pub told: fn(Millis) -> String,
    /// By what Redis' clock is compared with the one here, if it is another.
    pub compared: fn(Millis) -> Option<Millis>,
}

impl Time {
    /// Redis', which is that of all replicas.
    pub const SERVERS: Self = Self {
        told: |_| String::new(),
        compared: Some,
    };

    /// The caller's, in tests of one process whose time is made.
    #[cfg(test)]
    pub const CALLERS: Self = Self {
        told: |now| now.to_string(),
        compared: |_| None,
    };

    /// Whether it goes on by itself.
    pub fn goes_on(self) -> bool {
        (self.compared)(0).is_some()
    }
}

/// All of it.
pub(super) struct Core {
    pub link: Link,
    pub views: Arc<Views>,
    pub held: Arc<Held>,
    pub me: String,
    pub time: Time,
    /// They may be others from one step to the next.
    pub set: RwLock<Bounds>,
    pub claims: Claims,
    pub late: Late,
}

/// What is set, as scripts are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub max_jobs: usize,
    pub max_bytes: usize,
    pub keep: Millis,
    pub lease: Millis,
    /// The longest that a claimed job may take once it is sent.
    pub upstream_timeout: Millis,
}

/// How much longer than a job may take its lease is to be, in milliseconds: what is claimed
/// is to be sent without asking again, though it waits for a slot or Redis is slow.
const SPARE: Millis = 1000;

impl Bounds {
    /// What these settings come to.
    pub fn new(settings: &Settings, lease: Millis, longest_call: Duration) -> Self {
        Self {
            max_jobs: settings.max_jobs,
            max_bytes: settings.max_bytes,
            keep: clock::millis(settings.keep),
            lease,
            upstream_timeout: clock::millis(longest_call),
        }
    }

    /// Says so where that is not so.
    pub fn warn(&self) {
        if !self.are_promises_kept() {
            warn!(
                later.lease = ?Duration::from_millis(self.lease),
                upstream.timeout = ?Duration::from_millis(self.upstream_timeout),
                "later.lease is hardly longer than upstream.timeout: batches wait for Redis once \
                 more before they are sent, and jobs for later don't fill batches of callers; \
                 let it be longer by a second at least"
            );
        }
    }

    /// Whether claimed jobs can be held on to well enough to be sent without asking again.
    pub fn are_promises_kept(&self) -> bool {
        self.lease >= self.upstream_timeout.saturating_add(SPARE)
    }
}

impl Core {
    /// What is set by now.
    pub fn bounds(&self) -> Bounds {
        // Nothing panics while it is held.
        *self.set.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// These bounds hold from here on; the lease stays as it is.
    pub fn set(&self, settings: &Settings, longest_call: Duration) {
        let mut bounds = self.set.write().unwrap_or_else(PoisonError::into_inner);
        *bounds = Bounds::new(settings, bounds.lease, longest_call);
    }

    /// Asks for a script at this time here; what it answers.
    pub async fn call(
        &self,
        script: Script,
        now: Millis,
        fill: impl FnOnce(&mut Cmd),
    ) -> Result<Value, StoreError> {
        let answer = self.link.call(script, |command| {
            command.arg((self.time.told)(now)).arg(&self.me);
            fill(command);
        });
        let [message, answer] = reply::parts(answer.await?).ok_or(StoreError::Unanswered)?;
        let message = reply::bytes(message).and_then(|it| Message::read(&it));
        if let Some(message) = message {
            // Not before it: what is said to be over here is over there too.
            self.views.told(message, (self.time.compared)(clock::now()));
        }
        Ok(answer)
    }
}

/// Answers that were dropped since others had the job by then, of each route.
#[derive(Debug, Default)]
pub(super) struct Late(Mutex<BTreeMap<RouteName, usize>>);

impl Late {
    pub fn add(&self, routes: impl Iterator<Item = RouteName>) {
        let mut late = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        routes.for_each(|route| *late.entry(route).or_default() += 1);
    }

    /// Those since this was last asked.
    pub fn take(&self) -> Vec<(RouteName, usize)> {
        let mut late = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *late).into_iter().collect()
    }
}

/// The claims of each route: one at a time.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<RouteName, Arc<AsyncMutex<Numbers>>>>);

/// The numbers of a route's claims.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// The last one.
    pub last: u64,
    /// The first one of those whose answer never came, since one came.
    pub unanswered: Option<u64>,
}

impl Claims {
    pub fn of(&self, route: &RouteName) -> Arc<AsyncMutex<Numbers>> {
        // Nothing panics while it is held.
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(claims.entry(route.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_longer_than_a_job_may_take_by_something() {
        for (lease, upstream_timeout, expected) in [
            (30_000, 10_000, true),
            (11_000, 10_000, true),
            (10_999, 10_000, false),
            (10_001, 10_000, false),
        ] {
            let bounds = Bounds {
                max_jobs: 1,
                max_bytes: 1,
                keep: 1,
                lease,
                upstream_timeout,
            };
            assert_eq!(bounds.are_promises_kept(), expected, "{lease}");
        }
    }
}
