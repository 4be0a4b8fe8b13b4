//! The lane of a route as jobs are claimed for it from a store that lasts: they are read
//! again as they were when they came, by what the route's settings are by then.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::time::Instant;
use tracing::warn;

use super::super::problem::Problem;
use super::owed::{From, Owed};
use super::queued::{NotQueued, TakenBack};
use crate::batcher::{self, Options};
use crate::engine::{self, outcome::Failure};
use crate::job::{Handle, Job, RouteName};
use crate::later::backlog::Claimed;
use crate::later::kept::{Kept, NotKept};
use crate::later::store::Pending;
use crate::later::{BatchSize, ClaimingLane, Later, Leaves, NotSent, Wanted, Withdraw, clock};
use crate::route::Route;
use crate::shape::{NotMerged, Request};
use crate::throttle::LogThrottle;

/// Most lines about unreadable jobs of one route, within [`LogThrottle::SPAN`].
const LINES: u32 = 1;

/// `Retry-After` of an answer that was not sent in time: what else should be waited for is
/// not known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Claiming {
    pub route: Arc<Route>,
    pub later: Later,
    pub timing: bool,
    unreadable: LogThrottle,
}

/// Why a job can't be read again.
#[derive(Debug, Error)]
enum Unreadable {
    #[error("what is kept of the job can't be read; it may have been written by another version")]
    NotKept(#[from] NotKept),
    #[error("the job is none by the settings that its route has since: {}", reason(.0))]
    NoJob(NotMerged),
}

fn reason(why: &NotMerged) -> String {
    match why {
        NotMerged::NoJob(error) => error.to_string(),
        NotMerged::Alone(_) => "it would go alone".to_owned(),
    }
}

impl Claiming {
    pub fn new(route: Arc<Route>, later: Later, timing: bool) -> Self {
        Self {
            unreadable: route.observer.throttle(LINES),
            route,
            later,
            timing,
        }
    }

    fn owed(&self, claimed: &Claimed) -> Owed {
        Owed {
            later: self.later.clone(),
            route: Arc::clone(&self.route),
            timing: self.timing,
            handle: claimed.handle,
            id: None,
            from: From::Store {
                once_sent: claimed.interrupted > 0,
            },
            is_given: false,
        }
    }

    fn read(&self, handle: Handle, bytes: &Bytes) -> Result<Job, Unreadable> {
        let Kept {
            body,
            content_type,
            carried,
            trace,
        } = Kept::from_bytes(bytes)?;
        let captures = carried.iter().flat_map(|it| &it.captures);
        let captures = captures.map(|it| percent_decode_str(it).decode_utf8_lossy());
        let captures: Vec<_> = captures.collect();
        let captures: Vec<&str> = captures.iter().map(|it| &**it).collect();
        let request = Request {
            content_type: content_type.as_deref(),
            captures: &captures,
        };
        let call = self.route.shape.read(body, request, self.route.limits);
        let job = Job::new(call.map_err(Unreadable::NoJob)?);
        Ok(job
            .with_trace(trace.map(|it| *it))
            .with_carried(carried)
            .for_later(handle))
    }

    fn options(&self, job: &Job, claimed: &Claimed, leaves: Leaves) -> Options {
        let deadline = clock::instant_at(claimed.deadline);
        let options = engine::options(&self.route.shape, job, deadline);
        // No later than by a clock that was set back since.
        let handed_in = clock::instant_at(claimed.handle.millis()).min(Instant::now());
        match leaves {
            Leaves::InTime => options.arrived(handed_in),
            Leaves::AtOnce => {
                let now = Instant::now();
                let due = now.checked_sub(self.batch().max_wait);
                options.arrived(handed_in.min(due.unwrap_or(now)))
            }
            Leaves::Alone => options.arrived(handed_in).alone(),
        }
    }

    fn tell_unreadable(&self, why: &Unreadable) {
        if let Some(untold) = self.unreadable.admit() {
            warn!(
                route = self.route.name.as_str(),
                error = %why,
                untold,
                "a job for later can't be read again, and is answered so"
            );
        }
    }
}

impl ClaimingLane for Claiming {
    fn route(&self) -> &RouteName {
        &self.route.name
    }

    fn batch(&self) -> BatchSize {
        let settings = self.route.batcher.settings();
        BatchSize {
            items: settings.max_size,
            bytes: settings.max_bytes,
            max_wait: settings.detached_max_wait,
        }
    }

    fn is_idempotent(&self) -> bool {
        self.route.idempotent
    }

    fn wanted(&self, ready: bool) -> Pending<'_, Wanted> {
        Box::pin(async move {
            match self.route.batcher.detached_wanted(ready).await {
                batcher::Wanted::Batch => Wanted::Batch,
                batcher::Wanted::Riders(items) => Wanted::Riders(items.get()),
            }
        })
    }

    fn take(&self, claimed: Claimed, leaves: Leaves) -> Box<dyn Withdraw> {
        let mut here = self.owed(&claimed);
        let job = match self.read(claimed.handle, &claimed.job) {
            Ok(job) => job,
            Err(why) => {
                self.tell_unreadable(&why);
                here.problem(match &why {
                    Unreadable::NotKept(_) => Problem::unreadable_kept(why.to_string()),
                    Unreadable::NoJob(_) => Problem::no_job_any_more(why.to_string()),
                });
                return Box::new(NotQueued);
            }
        };
        here.id = job.id().cloned();
        let options = self.options(&job, &claimed, leaves);
        // Whatever becomes of queueing it, one of both answers.
        let queued = here.again().when_asked();
        match self.route.batcher.submit_detached(job, options, queued) {
            Ok(detached) => {
                here.given_elsewhere();
                Box::new(detached)
            }
            Err((_, batcher::Error::Closed)) => {
                here.given_elsewhere();
                Box::new(TakenBack)
            }
            Err((_, error)) => {
                here.answer(Err(error));
                Box::new(NotQueued)
            }
        }
    }

    fn fail(&self, claimed: Claimed, why: NotSent) {
        let mut owed = self.owed(&claimed);
        // By its id, which it may not be known by, where it can't be read.
        let job = self.read(claimed.handle, &claimed.job);
        owed.id = job.ok().and_then(|it| it.id().cloned());
        owed.problem(problem(why));
    }
}

/// What a job is answered that is not sent.
fn problem(why: NotSent) -> Problem {
    match why {
        NotSent::Overdue => {
            let room_in = RETRY_AFTER;
            Problem::from(batcher::Error::Expired { room_in })
        }
        // Only what does no harm is ever to be sent again.
        NotSent::OverdueOnceSent => {
            Problem::from(&Failure::DeadlineExceeded { sent: true }).idempotent()
        }
        NotSent::Interrupted => Problem::interrupted(),
        NotSent::AttemptsExhausted => Problem::attempts_exhausted(),
    }
}

/// That of a route which is not served: its jobs wait until their time is over, but for
/// those that were sent by a process which is gone.
pub(super) struct Unserved {
    pub name: RouteName,
    /// Which they are answered by, for want of their own.
    pub answered_by: Claiming,
}

impl ClaimingLane for Unserved {
    fn route(&self) -> &RouteName {
        &self.name
    }

    fn batch(&self) -> BatchSize {
        self.answered_by.batch()
    }

    /// Nobody knows: those that were sent are not sent again.
    fn is_idempotent(&self) -> bool {
        false
    }

    fn wanted(&self, _ready: bool) -> Pending<'_, Wanted> {
        Box::pin(std::future::pending())
    }

    /// It waits again.
    fn take(&self, claimed: Claimed, _leaves: Leaves) -> Box<dyn Withdraw> {
        self.answered_by.later.release(vec![claimed.handle]);
        Box::new(NotQueued)
    }

    fn fail(&self, claimed: Claimed, why: NotSent) {
        self.answered_by.fail(claimed, why);
    }
}
