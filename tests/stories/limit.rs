//! Section 5 of the contract: `upstream.max_in_flight = "adaptive"`. The bands
//! that the limit settles in are `resilience::limit::tests`' matter; here it is that
//! the proxy keeps to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::harness::{KeepAlive, Line, Proxy, Request, ScriptedUpstream};

const CALLERS: u64 = 40;

/// The proxy before an upstream that bears so many calls at once and answers
/// 429 to the others, with callers that never stop asking.
async fn setup(bears: usize) -> (Proxy, JoinSet<()>) {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = [
        "--max-in-flight",
        "adaptive",
        "--max-size",
        "1",
        "--max-wait",
        "0",
    ];
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    let mut world = JoinSet::new();
    world.spawn(async move {
        let open = Arc::new(AtomicUsize::new(0));
        loop {
            let call = upstream.next_ever().await;
            let open = open.clone();
            if open.fetch_add(1, SeqCst) >= bears {
                open.fetch_sub(1, SeqCst);
                call.answer(429, &[], "");
                continue;
            }
            tokio::spawn(async move {
                // The work it does, long beside any noise of the machine.
                tokio::time::sleep(Duration::from_millis(200)).await;
                open.fetch_sub(1, SeqCst);
                call.echo();
            });
        }
    });
    for id in 0..CALLERS {
        let mut connection = KeepAlive::connect(proxy.jobs_addr).await;
        world.spawn(async move {
            loop {
                let job = Request::job(format!(r#"{{"id":{id}}}"#));
                let answer = connection.send(job).await;
                assert!(matches!(answer.status, 200 | 503), "{answer:?}");
                if answer.status == 503 {
                    // As a caller does that was told to come back later.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    (proxy, world)
}

fn slots(line: &Line) -> Option<u64> {
    (line.message() == "slots changed").then(|| line.number("to"))
}

#[tokio::test]
async fn it_comes_down_to_what_the_upstream_bears() {
    let (proxy, _world) = setup(4).await;
    let low = |line: &Line| slots(line).is_some_and(|slots| slots <= 4);
    proxy.log.wait_for("a limit of 4 or less", low).await;
    // And tries more again, since that may have changed.
    let tries = |line: &Line| slots(line) == Some(5);
    proxy.log.wait_for("a limit of 5", tries).await;
}

#[tokio::test]
async fn it_rises_where_there_is_use_for_more() {
    let (proxy, _world) = setup(1000).await;
    let high = |line: &Line| slots(line).is_some_and(|slots| slots > 20);
    proxy.log.wait_for("a limit above 20", high).await;
}
