//! Where jobs for later wait: their route's batcher, in a lane of its own. What becomes of
//! one is rendered as for a caller that waits, and kept.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::trace;

use super::super::reply::Rendered;
use crate::batcher::{self, Detached, OnAnswer};
use crate::engine;
use crate::engine::outcome::JobResult;
use crate::job::{Handle, Job, RouteName};
use crate::job_id::JobId;
use crate::later::{self, Later, Withdraw};
use crate::route::{Route, Routes};

/// See the module.
#[derive(Clone, Debug)]
pub struct Lane {
    routes: Routes,
    later: Later,
    timing: bool,
}

impl Lane {
    /// A lane of each of these routes' batchers, whose answers are kept there, and which
    /// tell where their time went or not.
    pub fn new(routes: Routes, later: Later, timing: bool) -> Self {
        Self {
            routes,
            later,
            timing,
        }
    }
}

impl later::Lane for Lane {
    fn submit(&self, route: &RouteName, job: Job, deadline: Instant) -> Box<dyn Withdraw> {
        let Some(handle) = job.handle() else {
            // Nobody could come for its answer.
            return Box::new(NotQueued);
        };
        let found = self.routes.get(route.as_str());
        let owed = || Owed {
            later: self.later.clone(),
            route: Arc::clone(found.unwrap_or(self.routes.first())),
            timing: self.timing,
            handle,
            id: job.id().cloned(),
            is_given: false,
        };
        let Some(route) = found else {
            // No route of that name is left that could do it.
            drop(owed());
            return Box::new(NotQueued);
        };
        // Whatever becomes of queueing it, one of both answers.
        let (here, queued) = (owed(), owed().when_asked());
        let options = engine::options(&route.shape, &job, deadline);
        match route.batcher.submit_detached(job, options, queued) {
            Ok(detached) => {
                here.given_elsewhere();
                Box::new(detached)
            }
            Err((_, error)) => {
                here.answer(Err(error));
                Box::new(NotQueued)
            }
        }
    }
}

/// An answer that somebody has to be given. Dropped, it is `internal`: whatever panics
/// between a result and its being kept, its record is answered.
struct Owed {
    later: Later,
    route: Arc<Route>,
    timing: bool,
    handle: Handle,
    id: Option<JobId>,
    is_given: bool,
}

impl Owed {
    /// What the batcher calls. It is owed from that call on: one that is never made is
    /// that of a job whose record is gone.
    fn when_asked(mut self) -> OnAnswer<JobResult> {
        self.is_given = true;
        Box::new(move |answer| {
            self.is_given = false;
            self.answer(answer);
        })
    }

    /// It is given by another.
    fn given_elsewhere(mut self) {
        self.is_given = true;
    }

    fn answer(self, answer: Result<JobResult, batcher::Error>) {
        let (route, timing, id) = (Arc::clone(&self.route), self.timing, self.id.clone());
        self.rendered(|| Rendered::of(&route, timing, id.as_ref(), answer));
    }

    fn rendered(mut self, render: impl FnOnce() -> Rendered) {
        self.keep(render());
        self.is_given = true;
    }

    fn keep(&self, rendered: Rendered) {
        let (handle, code) = (self.handle, rendered.code);
        let id = self.id.as_ref().map(tracing::field::display);
        trace!(id, ?handle, outcome = %code, "job for later answered");
        self.later.answered(handle, rendered.into_kept());
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if !self.is_given {
            let internal = Err(batcher::Error::Dropped);
            let (route, id) = (&self.route, self.id.as_ref());
            self.keep(Rendered::of(route, self.timing, id, internal));
        }
    }
}

impl Withdraw for Detached<Job, JobResult> {
    fn withdraw(&self) {
        Self::withdraw(self);
    }
}

/// A job that was answered at once.
struct NotQueued;

impl Withdraw for NotQueued {
    fn withdraw(&self) {}
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::json::MAX_DEPTH;
    use crate::later::memory::Memory;
    use crate::later::{HandIn, Look, Settings};
    use crate::observe::{Bounds, Observer};
    use crate::route;

    type Case = (&'static str, fn(Owed));

    /// Jobs that nobody does.
    struct Nowhere;

    impl later::Lane for Nowhere {
        fn submit(&self, _: &RouteName, _: Job, _: Instant) -> Box<dyn Withdraw> {
            Box::new(NotQueued)
        }
    }

    fn later() -> Later {
        let settings = Settings {
            max_jobs: 100,
            max_bytes: 1_000_000,
            keep: Duration::from_secs(3600),
            job_timeout: Duration::from_secs(3600),
            max_wait: Duration::ZERO,
            max_attempts: 3,
        };
        let bounds = Bounds {
            max_size: 1,
            max_bytes: 1,
        };
        let observer = Arc::new(Observer::new(bounds));
        let later = Later::new(Arc::new(Memory::new(&settings)), settings, [observer]);
        later.start(Arc::new(Nowhere));
        later
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_panics_a_record_is_answered_once() {
        let (later, routes) = (later(), route::tests::jobs());
        let owed = |handle, id| Owed {
            later: later.clone(),
            route: Arc::clone(routes.first()),
            timing: false,
            handle,
            id,
            is_given: false,
        };
        let panics: [Case; 4] = [
            ("an answer", |owed| owed.answer(Err(batcher::Error::Closed))),
            ("rendering", |owed| owed.rendered(|| panic!("on purpose"))),
            ("before", |_owed| panic!("on purpose")),
            ("elsewhere", |owed| {
                let again = Owed {
                    later: owed.later.clone(),
                    route: Arc::clone(&owed.route),
                    id: owed.id.clone(),
                    ..owed
                };
                let asked = again.when_asked();
                owed.given_elsewhere();
                asked(Err(batcher::Error::Dropped));
            }),
        ];
        for (case, panics) in panics {
            let job = Job::parse(Bytes::from_static(br#"{"id":1}"#), MAX_DEPTH).unwrap();
            let id = job.id().cloned();
            let (stream, key) = (None, None);
            let record = later
                .hand_in(HandIn {
                    route: RouteName::jobs(),
                    job,
                    stream,
                    key,
                    frame: crate::later::backlog::NO_FRAME,
                })
                .await
                .unwrap();
            let owed = owed(record.handle, id);
            let panicked = catch_unwind(AssertUnwindSafe(|| panics(owed)));
            let soon = Instant::now() + Duration::from_secs(1);
            let record = later
                .fetch_finished(record.handle, Look::ForAnswer, soon)
                .await
                .unwrap();
            let (status, code) = match case {
                "an answer" => (503, "shutting-down"),
                _ => (500, "internal"),
            };
            let answer = record.answer.expect(case);
            assert_eq!(answer.status(), status, "{case}");
            assert_eq!(answer.code().as_str(), code, "{case}");
            let problem: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
            assert_eq!(problem["id"], 1, "{case}: {problem}");
            assert_eq!(
                panicked.is_err(),
                ["rendering", "before"].contains(&case),
                "{case}"
            );
        }
        // A job whose record is gone is owed nothing.
        assert_eq!(
            later
                .counts()
                .total()
                .finished
                .iter()
                .map(|it| it.1)
                .sum::<u64>(),
            4
        );
    }
}
