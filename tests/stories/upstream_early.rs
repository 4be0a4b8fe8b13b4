//! Section 4 of the contract: an upstream that answers before it has heard the
//! whole batch.

use crate::harness::{Answer, Caller, Proxy, Request, Wire, WireUpstream, eventually};

/// Far more than the system's buffers between the proxy and the upstream take
/// in, so that the proxy is still sending whenever the upstream has not read.
const LARGE: usize = 16 << 20;

/// A proxy for large jobs, each sent at once.
async fn setup() -> (Proxy, WireUpstream) {
    let upstream = WireUpstream::start().await;
    let flags = [
        "--max-wait",
        "0",
        "--max-body",
        "32MiB",
        "--upstream-timeout",
        "1s",
    ];
    let env = [
        ("MICROBATCH_BATCH__MAX_BYTES", "33MiB"),
        ("MICROBATCH_SERVER__READ_TIMEOUT", "30s"),
    ];
    let proxy = Proxy::start(&upstream.url(), &flags, &env).await;
    (proxy, upstream)
}

fn large_job() -> Request {
    Request::job(format!(r#"{{"id":"a","body":"{}"}}"#, "x".repeat(LARGE)))
}

/// A large job of which the upstream has read the head alone.
async fn half_sent(proxy: &Proxy, upstream: &mut WireUpstream) -> (Caller, Wire) {
    let caller = Caller::spawn(proxy.jobs_addr, large_job());
    let wire = upstream.call().await;
    assert!(wire.length > LARGE);
    (caller, wire)
}

/// What comes after is served well, on another connection.
async fn goes_on(proxy: &Proxy, upstream: &mut WireUpstream) {
    let caller = Caller::spawn(proxy.jobs_addr, Request::job(r#"{"id":"b"}"#));
    let mut wire = upstream.call().await;
    assert_eq!(wire.batch().await, r#"[{"id":"b"}]"#);
    wire.write(Wire::answer(r#"[{"id":"b"}]"#)).await;
    caller.answer().await.is_result(r#"{"id":"b"}"#);
    upstream.keep(wire);
}

const EARLY: &str = r#"{"id":"a","early":true}"#;

fn answer_200() -> String {
    Wire::answer(&format!("[{EARLY}]"))
}

fn answer_413() -> String {
    Wire::answer("too large").replacen("200 OK", "413 Content Too Large", 1)
}

fn too_large(answer: &Answer) {
    let problem = answer.problem(413, "upstream-too-large", "yes");
    problem.has("id", "a").has("upstream_status", 413);
}

#[tokio::test]
async fn an_early_200_or_413_is_the_answer() {
    let (proxy, mut upstream) = setup().await;
    let (caller, mut wire) = half_sent(&proxy, &mut upstream).await;
    wire.write(answer_200()).await;
    caller.answer().await.is_result(EARLY);
    // Whatever the proxy is still sending there is in nobody's way.
    goes_on(&proxy, &mut upstream).await;
    let (caller, mut wire) = half_sent(&proxy, &mut upstream).await;
    wire.write(answer_413()).await;
    too_large(&caller.answer().await);
    goes_on(&proxy, &mut upstream).await;
}

/// As a server does that refuses by the head alone: what it said is on its way when
/// the rest of the batch meets a reset.
#[tokio::test]
async fn a_refusal_unread_and_a_closed_connection_are_that_refusal() {
    let (proxy, mut upstream) = setup().await;
    for (status, code, answered) in [
        ("413 Content Too Large", "upstream-too-large", 413),
        ("401 Unauthorized", "upstream-auth", 502),
        ("429 Too Many Requests", "upstream-overloaded", 503),
        ("503 Service Unavailable", "upstream-overloaded", 503),
    ] {
        for close in ["", "Connection: close"] {
            for _ in 0..3 {
                let (caller, mut wire) = half_sent(&proxy, &mut upstream).await;
                let said = match close {
                    "" => Wire::answer("no"),
                    close => Wire::answer_with(close, "no"),
                };
                wire.write(said.replacen("200 OK", status, 1)).await;
                // With all of the batch unread.
                drop(wire);
                caller.answer().await.problem(answered, code, "yes");
            }
        }
    }
    goes_on(&proxy, &mut upstream).await;
}

/// Nothing is said before it closes.
#[tokio::test]
async fn a_connection_closed_unread_is_lost() {
    let (proxy, mut upstream) = setup().await;
    let (caller, wire) = half_sent(&proxy, &mut upstream).await;
    drop(wire);
    let answer = caller.answer().await;
    answer.problem(502, "upstream-disconnected", "unknown");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_early_answer_and_no_more_reading_hold_no_connection() {
    let (proxy, mut upstream) = setup().await;
    // Nobody is connected yet.
    let before = proxy.open_files();
    let mut wires = Vec::new();
    for said in [answer_200(), answer_413()] {
        let (caller, mut wire) = half_sent(&proxy, &mut upstream).await;
        wire.write(said).await;
        assert_ne!(caller.answer().await.status, 502);
        wires.push(wire);
    }
    // Nothing is read, and nothing closed.
    eventually("the connections to be given up", || async {
        (proxy.open_files() <= before).then_some(())
    })
    .await;
}
