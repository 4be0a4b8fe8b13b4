//! A store that outlives the process, as jobs are claimed from it.
//!
//! In such a store jobs wait to be sent; the lanes of the batchers hold only those that were
//! claimed. A claim is what [`sent`](super::store::Store::sent) is of a job that waits in a
//! lane: it is committed before the first byte leaves, for a batch in one step. From then on
//! the job is this process's, until it is finished, deleted, or
//! [released](Backlog::release); where processes share a store, until its lease runs out.

use bytes::Bytes;

use super::record::{FrameKey, Millis, StreamName};
use super::step::{Pending, StoreError};
use crate::job::{Handle, RouteName};

/// What a store can do that lasts.
pub trait Backlog: Send + Sync {
    /// Claims jobs of one route and one frame that wait, the oldest first; none where there
    /// are none that are asked for. A job that was claimed by a process that is gone comes
    /// before all others and by itself.
    fn claim(&self, claim: Claim) -> Pending<'_, Result<Vec<Claimed>, StoreError>>;

    /// Jobs that were claimed here and not sent wait again, in their old places.
    fn release(&self, handles: Vec<Handle>) -> Pending<'_, Result<(), StoreError>>;

    /// What waits of a route, as far as it is known here without asking.
    fn waiting(&self, route: &RouteName) -> Waiting;

    /// The routes that jobs may wait of, as far as it is known here.
    fn routes(&self) -> Vec<RouteName>;

    /// Returns as soon as there is something new since it last returned: of the backlog, or
    /// of what other processes have done. One task asks.
    fn news(&self) -> Pending<'_, News>;
}

/// Which jobs are claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Of which route.
    pub route: RouteName,
    /// How many items at most, unless the first has more.
    pub max_items: usize,
    /// How many bytes of jobs at most, unless the first has more.
    pub max_bytes: usize,
    /// Which of those that wait.
    pub which: Which,
}

/// Which of the jobs that wait are claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// A batch: of a frame that fills one, or of the one with the oldest job, if that was
    /// handed in at this time or before.
    Batch {
        /// In milliseconds since the epoch.
        due: Millis,
    },
    /// Those of the frame with the oldest job, however few and young.
    Any,
    /// Those whose time to be answered is over by then.
    Overdue {
        /// In milliseconds since the epoch.
        now: Millis,
    },
}

/// A job that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Its record's address.
    pub handle: Handle,
    /// The job, as [`Kept`](super::kept::Kept) reads it.
    pub job: Bytes,
    /// When it is answered at the latest.
    pub deadline: Millis,
    /// How often it was claimed to be sent by a process that is gone: the upstream may
    /// have it from one of those.
    pub interrupted: u32,
}

/// What waits of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many jobs.
    pub jobs: u64,
    /// The items of the frame that has most: whether it fills a batch.
    pub items: u64,
    /// The bytes of the frame that has most.
    pub bytes: u64,
    /// When the oldest job was handed in.
    pub oldest: Option<Millis>,
    /// When the first of them is answered at the latest.
    pub deadline: Option<Millis>,
    /// From when on a job can be claimed again that another process has; at once where that
    /// is over.
    pub lapses: Option<Millis>,
}

/// What is new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Records that other processes have finished.
    pub finished: Vec<Handle>,
    /// Streams that they were told on.
    pub streams: Vec<StreamName>,
    /// Records that other processes have deleted.
    pub deleted: Vec<Handle>,
    /// Whether something of it may have been missed: whoever waits looks for itself.
    pub missed: bool,
}

/// The key of jobs that have no frame: they may share a batch with each other.
pub const NO_FRAME: FrameKey = [0; 16];
