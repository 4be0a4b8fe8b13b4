//! How a job is withdrawn that was given to a lane.

use crate::batcher::Detached;
use crate::engine::outcome::JobResult;
use crate::job::{Job, RouteName};
use crate::later::Withdraw;

impl Withdraw for Detached<Job, JobResult> {
    fn withdraw(&self) {
        Self::withdraw(self);
    }

    fn take_back(&self) -> bool {
        Self::take_back(self)
    }
}

/// A claimed job in its route's lane.
pub(super) struct InLane {
    pub job: Detached<Job, JobResult>,
    pub route: RouteName,
}

impl Withdraw for InLane {
    fn withdraw(&self) {
        self.job.withdraw();
    }

    fn route(&self) -> Option<&RouteName> {
        Some(&self.route)
    }

    fn take_back(&self) -> bool {
        self.job.take_back()
    }
}

/// A job that was answered at once.
pub(super) struct NotQueued;

impl Withdraw for NotQueued {
    fn withdraw(&self) {}
}

/// A claimed job that its lane did not take.
pub(super) struct TakenBack {
    pub route: RouteName,
}

impl Withdraw for TakenBack {
    fn withdraw(&self) {}

    fn route(&self) -> Option<&RouteName> {
        Some(&self.route)
    }

    fn take_back(&self) -> bool {
        true
    }
}
