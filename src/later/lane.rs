//! Where accepted jobs wait to be sent: what `later` asks of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::backlog::Claimed;
use super::step::Pending;
use crate::job::{Job, RouteName};

/// Where jobs wait that were accepted.
pub trait Lane: Send + Sync + 'static {
    /// Has a job of that route queued whose record is committed, as the route is served at
    /// the moment. It is answered by [`Later::answered`](super::Later::answered), once and
    /// whatever happens; also where it can't be queued, and possibly before this returns.
    fn submit(&self, route: &RouteName, job: Job, deadline: Instant) -> Box<dyn Withdraw>;

    /// The lane of each route that is served, as jobs are claimed for it from a store that
    /// lasts: the same as before, unless its route has changed. None where jobs are never
    /// claimed.
    fn claiming(&self) -> Vec<Arc<dyn ClaimingLane>> {
        Vec::new()
    }

    /// That of a route which is not served: it never wants a job. None where jobs are never
    /// claimed.
    fn unserved(&self, _route: RouteName) -> Option<Arc<dyn ClaimingLane>> {
        None
    }
}

/// The lane of a job's route as its caller has found it, whatever became of the route since.
pub trait FoundLane: Send + Sync + 'static {
    /// As [`Lane::submit`]; the job, where this lane takes nothing more.
    ///
    /// # Errors
    /// With the job, which is not answered then.
    fn submit(&self, job: Job, deadline: Instant) -> Result<Box<dyn Withdraw>, Box<Job>>;
}

/// The lane of one route, as jobs are claimed for it from a store that lasts.
pub trait ClaimingLane: Send + Sync + 'static {
    /// The route's name.
    fn route(&self) -> &RouteName;

    /// Whether there is such a route in the settings.
    fn is_served(&self) -> bool {
        true
    }

    /// What fills a batch.
    fn batch(&self) -> BatchSize;

    /// Whether a job may be sent twice.
    fn is_idempotent(&self) -> bool;

    /// Returns as soon as jobs are to be claimed: a batch, where one waits that is `ready`
    /// and the lane has none, or so many that callers' batches had free places for.
    fn wanted(&self, ready: bool) -> Pending<'_, Wanted>;

    /// Has a claimed job queued, which has waited since its handle's time. It is answered
    /// as one that was submitted, also where its route can't read it; or, where it was not
    /// sent since the process ends, [released](super::Later::release). Where its route is
    /// served otherwise by then it is taken back.
    fn take(&self, job: Claimed, leaves: Leaves) -> Box<dyn Withdraw>;

    /// Answers a claimed job that is not sent.
    fn fail(&self, job: Claimed, why: NotSent);
}

/// Why a claimed job is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// Its time was over before it was sent.
    Overdue,
    /// It was sent by a process that ended meanwhile, and its time was over before it could
    /// be sent again.
    OverdueOnceSent,
    /// It was sent by a process that ended meanwhile, and must not be sent twice.
    Interrupted,
    /// It was sent by as many processes that ended meanwhile as may be.
    AttemptsExhausted,
}

/// When a claimed job leaves its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// With a batch that is full or due, or beside callers.
    InTime,
    /// As if it had waited for company long enough.
    AtOnce,
    /// In a batch of its own.
    Alone,
}

/// What fills a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize {
    /// Items.
    pub items: usize,
    /// Bytes of jobs.
    pub bytes: usize,
    /// The longest that a job waits until it does.
    pub max_wait: Duration,
}

/// What a lane wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A batch, which leaves by itself.
    Batch,
    /// So many items, to go with callers' batches.
    Riders(usize),
}

/// A job that was queued.
pub trait Withdraw: Send + Sync {
    /// Its record is gone: it is not sent any more, or its result is nobody's. Of a job
    /// that is answered nothing happens.
    fn withdraw(&self);

    /// The route that it was claimed for; none of a job that was submitted to its lane.
    fn route(&self) -> Option<&RouteName> {
        None
    }

    /// Takes it back if it was never sent, so that it is not sent any more and not answered
    /// either: whether it was so.
    fn take_back(&self) -> bool {
        false
    }
}
