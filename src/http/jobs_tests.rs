//! A request is counted once, however its handler ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::Context;

use axum::Router;

use super::super::{Answers, Buffered, Caller, HostNames, JobsInner, jobs_router};
use super::*;
use crate::batcher::{Batcher, Settings};
use crate::engine::circuit::Circuit;
use crate::job::RouteName;
use crate::observe::{Bounds, Observer};
use crate::route::Route;
use crate::shape::{Limits, Shape};

fn jobs() -> Jobs {
    let bounds = Bounds {
        max_size: 1,
        max_bytes: 1,
    };
    Jobs::from(JobsInner {
        route: Arc::new(Route {
            name: RouteName::jobs(),
            shape: Arc::clone(Shape::jobs()),
            limits: Limits {
                max_depth: 1,
                max_items: 1,
                max_bytes: 1,
            },
            forward_headers: Box::default(),
            batcher: Batcher::with_batches(Settings::default(), async |_| ()),
            circuit: Arc::new(Circuit::new(0, Duration::ZERO)),
            observer: Arc::new(Observer::new(bounds)),
            idempotent: false,
        }),
        hosts: HostNames::default(),
        buffered: Buffered::new(1_000, 100),
        max_body: 100,
        max_depth: 1,
        request_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(1),
        answers: Answers {
            timing: false,
            idempotent: false,
        },
        phase: tokio::sync::watch::channel(Phase::Running).1,
        later: None,
    })
}

/// A body that the handler panics over.
struct Panics;

impl http_body::Body for Panics {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        panic!("in the handler")
    }
}

#[tokio::test]
async fn a_request_whose_handler_panics_is_counted_once() {
    let jobs = jobs();
    let caller = Caller::new(
        jobs.clone(),
        &jobs.route.batcher,
        jobs_router(jobs.clone()),
        None,
    );
    let request = Request::post("/jobs").header("host", "localhost");
    let answer = caller.serve(request.body(Panics).unwrap()).await;
    assert_eq!(answer.status(), 500);
    let metrics = &jobs.route.observer.metrics;
    assert_eq!(metrics.refusals().to_string(), "internal=1");
    assert_eq!(metrics.outcomes().to_string(), "");
    assert_eq!(jobs.buffered.bytes(), 0);

    let panics = Router::new().fallback(async || -> () { panic!("in a route") });
    let caller = Caller::new(jobs.clone(), &jobs.route.batcher, panics, None);
    let request = Request::get("/nowhere").header("host", "localhost");
    let answer = caller.serve(request.body(Panics).unwrap()).await;
    assert_eq!(answer.status(), 500);
    assert_eq!(metrics.refusals().to_string(), "internal=2");

    // One whose job was taken is the batcher's to count, until it is answered.
    for (stage, outcomes) in [
        (CountedBy::Batcher, ""),
        (CountedBy::Outcome(Instant::now()), "internal=1"),
    ] {
        let jobs = jobs.clone();
        let handler = async move {
            let _uncounted = Uncounted { jobs: &jobs, stage };
            panic!("in the handler")
        };
        let panicked: Result<(), _> = tokio::spawn(handler).await;
        assert!(panicked.unwrap_err().is_panic());
        assert_eq!(metrics.outcomes().to_string(), outcomes);
    }
    drop(Uncounted::new(&jobs));
    assert_eq!(metrics.refusals().to_string(), "internal=2");
}
