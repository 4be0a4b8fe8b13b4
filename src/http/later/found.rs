//! The lane of a route as a request has found it: a job is queued there that was read by the
//! route's form of then, whatever the route is by the time that its record is committed.

use std::sync::Arc;

use tokio::time::Instant;

use super::owed::{From, Owed};
use super::queued::NotQueued;
use crate::batcher;
use crate::engine;
use crate::job::{Handle, Job};
use crate::job_id::JobId;
use crate::later::{FoundLane, Later, Withdraw};
use crate::route::Route;

/// See the module.
pub(super) struct Found {
    pub route: Arc<Route>,
    pub later: Later,
    pub timing: bool,
}

impl Found {
    /// The answer that this job is to be given.
    pub fn owed(&self, handle: Handle, id: Option<JobId>) -> Owed {
        Owed {
            later: self.later.clone(),
            route: Arc::clone(&self.route),
            timing: self.timing,
            handle,
            id,
            from: From::Caller,
            is_given: false,
        }
    }
}

impl FoundLane for Found {
    fn submit(&self, job: Job, deadline: Instant) -> Result<Box<dyn Withdraw>, Box<Job>> {
        let Some(handle) = job.handle() else {
            // Nobody could come for its answer.
            return Ok(Box::new(NotQueued));
        };
        let here = self.owed(handle, job.id().cloned());
        // Whatever becomes of queueing it, one of both answers.
        let queued = here.again().when_asked();
        let options = engine::options(&self.route.shape, &job, deadline);
        match self.route.batcher.submit_detached(job, options, queued) {
            Ok(detached) => {
                here.given_elsewhere();
                Ok(Box::new(detached))
            }
            Err((job, batcher::Error::Closed)) => {
                here.given_elsewhere();
                Err(Box::new(job))
            }
            Err((_, error)) => {
                here.answer(Err(error));
                Ok(Box::new(NotQueued))
            }
        }
    }
}
