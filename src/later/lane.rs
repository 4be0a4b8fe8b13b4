//! Where accepted jobs wait to be sent: what `later` asks of it.

use tokio::time::Instant;

use crate::job::{Job, RouteName};

/// Where jobs wait that were accepted.
pub trait Lane: Send + Sync + 'static {
    /// Has a job of that route queued whose record is committed. It is answered by
    /// [`Later::answered`](super::Later::answered), once and whatever happens; also where
    /// it can't be queued, and possibly before this returns.
    fn submit(&self, route: &RouteName, job: Job, deadline: Instant) -> Box<dyn Withdraw>;
}

/// A job that was queued.
pub trait Withdraw: Send + Sync {
    /// Its record is gone: it is not sent any more, or its result is nobody's. Of a job
    /// that is answered nothing happens.
    fn withdraw(&self);
}
