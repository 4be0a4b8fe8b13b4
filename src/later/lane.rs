//! Where accepted jobs wait to be sent: what `later` asks of it.

use tokio::time::Instant;

use super::backlog::Claimed;
use super::step::Pending;
use crate::code::Code;
use crate::job::{Job, RouteName};

/// Where jobs wait that were accepted.
pub trait Lane: Send + Sync + 'static {
    /// Has a job of that route queued whose record is committed. It is answered by
    /// [`Later::answered`](super::Later::answered), once and whatever happens; also where
    /// it can't be queued, and possibly before this returns.
    fn submit(&self, route: &RouteName, job: Job, deadline: Instant) -> Box<dyn Withdraw>;
}

/// The lane of one route, as jobs are claimed for it from a store that lasts.
pub trait ClaimingLane: Send + Sync + 'static {
    /// The route's name.
    fn route(&self) -> &RouteName;

    /// What fills a batch.
    fn batch(&self) -> BatchSize;

    /// Whether a job may be sent twice.
    fn is_idempotent(&self) -> bool;

    /// Returns as soon as jobs are to be claimed: a batch, where one waits that is `ready`
    /// and the lane is empty, or so many that callers' batches had free places for.
    fn wanted(&self, ready: bool) -> Pending<'_, Wanted>;

    /// Has a claimed job queued, which has waited since its handle's time; `alone` in a
    /// batch of its own. It is answered as one that was submitted, also where its route
    /// can't read it.
    fn take(&self, job: Claimed, alone: bool) -> Box<dyn Withdraw>;

    /// Answers a claimed job that is not sent.
    fn fail(&self, job: Claimed, why: Code);
}

/// What fills a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize {
    /// Items.
    pub items: usize,
    /// Bytes of jobs.
    pub bytes: usize,
    /// The longest that a job waits until it does.
    pub max_wait: std::time::Duration,
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

    /// Takes it back if it was never sent, so that it is not sent any more and not answered
    /// either: whether it was so.
    fn take_back(&self) -> bool {
        false
    }
}
