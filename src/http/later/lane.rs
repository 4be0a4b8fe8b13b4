//! Where jobs for later wait: their route's batcher, in a lane of its own. What becomes of
//! one is rendered as for a caller that waits, and kept.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::claiming::{Claiming, Unserved};
use super::owed::{From, Owed};
use super::queued::NotQueued;
use crate::engine;
use crate::job::{Job, RouteName};
use crate::later::{self, ClaimingLane, Later, Withdraw};
use crate::route::{Route, Routes};

/// See the module.
#[derive(Clone, Debug)]
pub struct Lane {
    routes: watch::Receiver<Routes>,
    later: Later,
    timing: bool,
}

impl Lane {
    /// A lane of the batchers of the routes in force, whose answers are kept there, and which
    /// tell where their time went or not.
    pub fn new(routes: watch::Receiver<Routes>, later: Later, timing: bool) -> Self {
        Self {
            routes,
            later,
            timing,
        }
    }

    /// Those that are in force.
    fn routes(&self) -> Routes {
        self.routes.borrow().clone()
    }

    fn claiming_of(&self, route: &Arc<Route>) -> Claiming {
        Claiming::new(Arc::clone(route), self.later.clone(), self.timing)
    }
}

impl later::Lane for Lane {
    fn submit(&self, route: &RouteName, job: Job, deadline: Instant) -> Box<dyn Withdraw> {
        let Some(handle) = job.handle() else {
            // Nobody could come for its answer.
            return Box::new(NotQueued);
        };
        let routes = self.routes();
        let found = routes.get(route.as_str());
        let here = Owed {
            later: self.later.clone(),
            route: Arc::clone(found.unwrap_or(routes.first())),
            timing: self.timing,
            handle,
            id: job.id().cloned(),
            from: From::Caller,
            is_given: false,
        };
        let Some(route) = found else {
            // No route of that name is left that could do it.
            return Box::new(NotQueued);
        };
        // Whatever becomes of queueing it, one of both answers.
        let queued = here.again().when_asked();
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

    fn claiming(&self) -> Vec<Arc<dyn ClaimingLane>> {
        let routes = self.routes();
        let lanes = routes
            .all()
            .iter()
            .map(|it| Arc::new(self.claiming_of(it)) as Arc<dyn ClaimingLane>);
        lanes.collect()
    }

    fn unserved(&self, name: RouteName) -> Option<Arc<dyn ClaimingLane>> {
        let answered_by = self.claiming_of(self.routes().first());
        Some(Arc::new(Unserved { name, answered_by }))
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::batcher;
    use crate::job::State;
    use crate::json::MAX_DEPTH;
    use crate::later::backlog::{Backlog as _, Claim, Which};
    use crate::later::lasting::Lasting;
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

    const SETTINGS: Settings = Settings {
        max_jobs: 100,
        max_bytes: 1_000_000,
        keep: Duration::from_secs(3600),
        job_timeout: Duration::from_secs(3600),
        max_wait: Duration::ZERO,
        max_attempts: 3,
    };

    fn later() -> Later {
        let bounds = Bounds {
            max_size: 1,
            max_bytes: 1,
        };
        let observer = Arc::new(Observer::new(bounds));
        let later = Later::new(Arc::new(Memory::new(&SETTINGS)), SETTINGS, [observer]);
        later.start(Arc::new(Nowhere));
        later
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_of_a_route_that_is_gone_is_interrupted() {
        let gone: RouteName = "gone".parse().unwrap();
        let hand_in = |later: &Later| {
            let (later, route) = (later.clone(), gone.clone());
            let job = Job::parse(Bytes::from_static(br#"{"id":1}"#), MAX_DEPTH).unwrap();
            async move {
                let new = HandIn {
                    route,
                    job,
                    stream: None,
                    key: None,
                    frame: crate::later::backlog::NO_FRAME,
                };
                later.hand_in(new).await.unwrap().handle
            }
        };
        let store = Lasting::new(&SETTINGS);
        let next = store.another();
        let before = Later::new(Arc::new(store), SETTINGS, []);
        before.start(Arc::new(Nowhere));
        let sent = hand_in(&before).await;
        let claim = Claim {
            route: gone.clone(),
            max_items: 1,
            max_bytes: 1_000,
            which: Which::Any,
        };
        let claimed = next.claim(claim).await.unwrap();
        assert_eq!(claimed[0].handle, sent);
        let waits = hand_in(&before).await;
        next.crash();
        let later = Later::new(Arc::new(next.another()), SETTINGS, []);
        let routes = watch::Sender::new(route::tests::jobs());
        let lane = Lane::new(routes.subscribe(), later.clone(), false);
        later.start(Arc::new(lane));
        let soon = Instant::now() + Duration::from_secs(10);
        let look = Look::ForAnswer;
        let record = later.fetch_finished(sent, look, soon).await.unwrap();
        assert_eq!(record.answer.unwrap().code().as_str(), "interrupted");
        let record = later.fetch(waits, look).await.unwrap();
        assert_eq!(record.state, State::Queued);
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
            from: From::Caller,
            is_given: false,
        };
        let panics: [Case; 4] = [
            ("an answer", |owed| owed.answer(Err(batcher::Error::Closed))),
            ("rendering", |owed| owed.rendered(|| panic!("on purpose"))),
            ("before", |_owed| panic!("on purpose")),
            ("elsewhere", |owed| {
                let asked = owed.again().when_asked();
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
