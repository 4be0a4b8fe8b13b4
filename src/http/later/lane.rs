//! Where jobs for later wait: their route's batcher, in a lane of its own. What becomes of
//! one is rendered as for a caller that waits, and kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::claiming::{Claiming, Unserved};
use super::found::Found;
use super::queued::NotQueued;
use super::reading::read;
use crate::batcher;
use crate::job::{Job, RouteName};
use crate::later::kept::Kept;
use crate::later::{self, ClaimingLane, FoundLane as _, Later, Withdraw};
use crate::observe::Observer;
use crate::route::{Route, Routes};

/// See the module.
pub struct Lane {
    routes: watch::Receiver<Routes>,
    later: Later,
    timing: AtomicBool,
    /// Those of the routes, each as long as its route does not change.
    claiming: Mutex<Vec<Arc<Claiming>>>,
}

impl Lane {
    /// A lane of the batchers of the routes in force, whose answers are kept there, and which
    /// tell where their time went or not.
    pub fn new(routes: watch::Receiver<Routes>, later: Later, timing: bool) -> Self {
        Self {
            routes,
            later,
            timing: AtomicBool::new(timing),
            claiming: Mutex::default(),
        }
    }

    /// Others may be in force: jobs for later follow them from here on. What waits in the lane
    /// of a batcher that none of them has leaves from there, but for what was claimed.
    /// `observers` are told of them, see [`Later::follow`].
    ///
    /// # Panics
    /// Outside of a tokio runtime, where there is a new route.
    pub fn follow(&self, observers: impl Into<Vec<Arc<Observer>>>, timing: bool) {
        self.timing.store(timing, Ordering::Relaxed);
        self.later.follow(observers);
    }

    /// Those that are in force.
    fn routes(&self) -> Routes {
        self.routes.borrow().clone()
    }

    fn found(&self, route: &Arc<Route>) -> Found {
        Found {
            route: Arc::clone(route),
            later: self.later.clone(),
            timing: self.timing.load(Ordering::Relaxed),
        }
    }

    fn claiming_of(&self, route: &Arc<Route>) -> Claiming {
        let Found {
            route,
            later,
            timing,
        } = self.found(route);
        Claiming::new(route, later, timing)
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

impl later::Lane for Lane {
    /// The job was read by a form of its route that takes nothing more, and is read again.
    fn submit(&self, name: &RouteName, job: Job, deadline: Instant) -> Box<dyn Withdraw> {
        let Some(handle) = job.handle() else {
            // Nobody could come for its answer.
            return Box::new(NotQueued);
        };
        let (id, kept) = (job.id().cloned(), Kept::of(&job));
        let mut tried: Option<Arc<Route>> = None;
        while let Some(route) = self.routes().get(name.as_str())
            && (tried.as_ref()).is_none_or(|it| !Arc::ptr_eq(it, route))
        {
            let found = self.found(route);
            let job = match read(&found.route, handle, kept.clone()) {
                Ok(job) => job,
                Err(why) => {
                    found.owed(handle, id).problem(why.problem());
                    return Box::new(NotQueued);
                }
            };
            match found.submit(job, deadline) {
                Ok(queued) => return queued,
                Err(_) => tried = Some(found.route),
            }
        }
        // The process ends, or no route of that name is left that could do it.
        let route = tried.unwrap_or_else(|| Arc::clone(self.routes().first()));
        let owed = self.found(&route).owed(handle, id);
        owed.answer(Err(batcher::Error::Closed));
        Box::new(NotQueued)
    }

    fn claiming(&self) -> Vec<Arc<dyn ClaimingLane>> {
        // Nothing panics while it is held.
        let mut before = self.claiming.lock().unwrap_or_else(PoisonError::into_inner);
        let routes = self.routes();
        let each = routes.all().iter().map(|route| {
            let made = self.claiming_of(route);
            let same = before.iter().find(|it| it.is_like(&made));
            same.cloned().unwrap_or_else(|| Arc::new(made))
        });
        let now: Vec<_> = each.collect();
        let gone = std::mem::replace(&mut *before, now.clone());
        drop(before);
        // Its routes may be the last of their kind.
        drop(gone);
        let lanes = now.into_iter();
        lanes.map(|it| it as Arc<dyn ClaimingLane>).collect()
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

    use super::super::owed::{From, Owed};
    use super::*;
    use crate::batcher;
    use crate::job::State;
    use crate::json::MAX_DEPTH;
    use crate::later::backlog::{Backlog as _, Claim, Which};
    use crate::later::lasting::Lasting;
    use crate::later::memory::Memory;
    use crate::later::{HandIn, Look, Settings};
    use crate::observe::Bounds;
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
                    lane: None,
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
                    lane: None,
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
