//! Section 5 of the contract: how long a connection to the upstream is kept, idle
//! and busy.

use crate::harness::{Proxy, Wire, WireUpstream, within};

const JOB: &str = r#"{"id":"a"}"#;
const RESULTS: &str = r#"[{"id":"a"}]"#;

/// A proxy that sends each job at once, one at a time.
async fn setup(idle_timeout: &str, max_connection_age: &str) -> (Proxy, WireUpstream) {
    let upstream = WireUpstream::start().await;
    let flags = ["--max-wait", "0", "--max-in-flight", "1"];
    let env = [
        ("MICROBATCH_SERVER__THREADS", "1"),
        ("MICROBATCH_UPSTREAM__IDLE_TIMEOUT", idle_timeout),
        (
            "MICROBATCH_UPSTREAM__MAX_CONNECTION_AGE",
            max_connection_age,
        ),
    ];
    let proxy = Proxy::start(&upstream.url(), &flags, &env).await;
    (proxy, upstream)
}

/// One job, answered like that: its connection.
async fn job(proxy: &Proxy, upstream: &mut WireUpstream, answer: &str) -> Wire {
    let caller = proxy.enqueue(JOB).await;
    let mut wire = upstream.call().await;
    wire.batch().await;
    wire.write(answer).await;
    caller.answer().await.is_result(JOB);
    wire
}

#[tokio::test]
async fn a_connection_serves_batch_after_batch() {
    let (proxy, mut upstream) = setup("1h", "0").await;
    let mut peer = None;
    for _ in 0..50 {
        let wire = job(&proxy, &mut upstream, &Wire::answer(RESULTS)).await;
        assert_eq!(*peer.get_or_insert(wire.peer), wire.peer);
        upstream.keep(wire);
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_idle_timeout() {
    let (proxy, mut upstream) = setup("20ms", "0").await;
    let mut wire = job(&proxy, &mut upstream, &Wire::answer(RESULTS)).await;
    assert_eq!(wire.closed().await, 0);
    job(&proxy, &mut upstream, &Wire::answer(RESULTS)).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_before_its_announced_end() {
    let (proxy, mut upstream) = setup("1h", "0").await;
    for announced in ["timeout=1", "timeout=1, max=100", "timeout=0"] {
        let answer = Wire::answer_with(&format!("Keep-Alive: {announced}"), RESULTS);
        let mut wire = job(&proxy, &mut upstream, &answer).await;
        // By the proxy, not by the upstream, which leaves its end open.
        assert_eq!(wire.closed().await, 0);
    }
}

#[tokio::test]
async fn a_busy_connection_is_renewed_within_its_greatest_age() {
    let (proxy, mut upstream) = setup("1h", "300ms").await;
    let first = job(&proxy, &mut upstream, &Wire::answer(RESULTS)).await;
    let peer = first.peer;
    upstream.keep(first);
    let renewed = async {
        loop {
            let wire = job(&proxy, &mut upstream, &Wire::answer(RESULTS)).await;
            if wire.peer != peer {
                break;
            }
            upstream.keep(wire);
        }
    };
    within("a new connection", renewed).await;
}
