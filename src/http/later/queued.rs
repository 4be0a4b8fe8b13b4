//! How a job is withdrawn that was given to a lane.

use crate::batcher::Detached;
use crate::engine::outcome::JobResult;
use crate::job::Job;
use crate::later::Withdraw;

impl Withdraw for Detached<Job, JobResult> {
    fn withdraw(&self) {
        Self::withdraw(self);
    }

    fn take_back(&self) -> bool {
        Self::take_back(self)
    }
}

/// A job that was answered at once.
pub(super) struct NotQueued;

impl Withdraw for NotQueued {
    fn withdraw(&self) {}
}

/// A claimed job that its lane did not take.
pub(super) struct TakenBack;

impl Withdraw for TakenBack {
    fn withdraw(&self) {}

    fn take_back(&self) -> bool {
        true
    }
}
