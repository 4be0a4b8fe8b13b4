//! A request is counted once, however its handler ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::{Buffered, Caller, Connected, ForCallers, HostNames, JobsInner};
use super::*;
use crate::engine::Phase;
use crate::route;
use crate::server::socket::Reached;

fn jobs() -> Jobs {
    let routes = route::tests::jobs();
    Jobs::from(JobsInner {
        observer: Arc::clone(&routes.first().observer),
        routes,
        hosts: HostNames::default(),
        buffered: Buffered::new(1_000, 100),
        connected: Connected::default(),
        max_body: 100,
        request_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(1),
        timing: false,
        phase: tokio::sync::watch::channel(Phase::Running).1,
        later: None,
        passthrough: None,
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
    let route = jobs.routes.first();
    let for_callers = || ForCallers::new(jobs.clone(), vec![[route.batcher.clone()].into()]);
    let connect = |it| Caller::new(watch::channel(Arc::new(it)).1, 0, Reached::Tcp(None));
    let caller = connect(for_callers());
    let request = Request::post("/jobs").header("host", "localhost");
    let answer = caller.serve(request.body(Panics).unwrap()).await;
    assert_eq!(answer.status(), 500);
    let metrics = &route.observer.metrics;
    assert_eq!(metrics.refusals().to_string(), "internal=1");
    assert_eq!(metrics.outcomes().to_string(), "");
    assert_eq!(jobs.buffered.bytes(), 0);

    let panics = Router::new().fallback(async || -> () { panic!("in a route") });
    let caller = connect(ForCallers {
        others: panics,
        ..for_callers()
    });
    let request = Request::get("/nowhere").header("host", "localhost");
    let answer = caller.serve(request.body(Panics).unwrap()).await;
    assert_eq!(answer.status(), 500);
    assert_eq!(metrics.refusals().to_string(), "internal=2");

    // One whose job was taken is the batcher's to count, until it is answered.
    for (stage, outcomes) in [
        (CountedBy::Batcher, ""),
        (CountedBy::Outcome(Instant::now()), "internal=1"),
    ] {
        let route = Arc::clone(route);
        let handler = async move {
            let mut uncounted = Uncounted::new(&*route);
            uncounted.stage = stage;
            panic!("in the handler")
        };
        let panicked: Result<(), _> = tokio::spawn(handler).await;
        assert!(panicked.unwrap_err().is_panic());
        assert_eq!(metrics.outcomes().to_string(), outcomes);
    }
    drop(Uncounted::new(&**route));
    assert_eq!(metrics.refusals().to_string(), "internal=2");
}
