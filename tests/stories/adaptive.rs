//! Section 2 of the contract: `batch.wait = "adaptive"`, which never waits for
//! somebody who cannot come.

use crate::harness::{
    KeepAlive, LONG_WAIT, Peer, PeerUpstream, Proxy, Request, Routes, ScriptedUpstream, call, route,
};

async fn start() -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let flags = [&LONG_WAIT[..], &["--wait", "adaptive"]].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    (proxy, upstream)
}

/// Asserts the `n`-th batch's reason and size.
async fn left(proxy: &Proxy, n: usize, reason: &str, size: u64) {
    let line = proxy.log.nth("batch left", n).await;
    assert_eq!(
        (line.text("reason"), line.number("size")),
        (reason, size),
        "{line:?}"
    );
}

/// A job on an open connection, which stays open.
struct Asking(tokio::task::JoinHandle<KeepAlive>);

impl Asking {
    fn post(mut connection: KeepAlive, id: &str) -> Self {
        let job = format!(r#"{{"id":"{id}"}}"#);
        Self(tokio::spawn(async move {
            let answer = connection.send(Request::job(job)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            connection
        }))
    }

    async fn done(self) -> KeepAlive {
        self.0.await.expect("an answer")
    }
}

async fn queued(proxy: &Proxy, n: usize) {
    proxy.log.nth("job queued", n).await;
}

#[tokio::test]
async fn a_lone_callers_job_leaves_at_once() {
    let (proxy, mut upstream) = start().await;
    let mut connection = proxy.keep_alive().await;
    for n in 1..=3 {
        let asking = Asking::post(connection, "a");
        upstream.next().await.echo();
        connection = asking.done().await;
        left(&proxy, n, "idle", 1).await;
    }
}

#[tokio::test]
async fn a_job_waits_for_the_other_open_connection() {
    let (proxy, mut upstream) = start().await;
    let (one, other) = (proxy.keep_alive().await, proxy.keep_alive().await);
    let one = Asking::post(one, "a");
    queued(&proxy, 1).await;
    assert_eq!(proxy.log.count(|line| line.message() == "batch left"), 0);
    let other = Asking::post(other, "b");
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["a", "b"]);
    call.echo();
    left(&proxy, 1, "idle", 2).await;
    one.done().await;
    other.done().await;
}

#[tokio::test]
async fn a_job_no_longer_waits_for_a_connection_that_closes() {
    let (proxy, mut upstream) = start().await;
    let (one, other) = (proxy.keep_alive().await, proxy.keep_alive().await);
    let one = Asking::post(one, "a");
    queued(&proxy, 1).await;
    assert_eq!(proxy.log.count(|line| line.message() == "batch left"), 0);
    drop(other);
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["a"]);
    call.echo();
    left(&proxy, 1, "idle", 1).await;
    one.done().await;
}

#[tokio::test]
async fn callers_with_jobs_in_flight_are_not_waited_for() {
    let (proxy, mut upstream) = start().await;
    let (one, other) = (proxy.keep_alive().await, proxy.keep_alive().await);
    let one = Asking::post(one, "a");
    queued(&proxy, 1).await;
    let other = Asking::post(other, "b");
    let in_flight = upstream.next().await;
    assert_eq!(in_flight.ids(), ["a", "b"]);
    // Both open connections have their job in: a third waits for neither.
    let third = proxy.enqueue(r#"{"id":"c"}"#).await;
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["c"]);
    call.echo();
    left(&proxy, 2, "idle", 1).await;
    assert_eq!(third.answer().await.status, 200);
    in_flight.echo();
    one.done().await;
    other.done().await;
}

#[tokio::test]
async fn size_still_lets_a_batch_leave() {
    let upstream = &mut ScriptedUpstream::start().await;
    let flags = [&LONG_WAIT[..], &["--wait", "adaptive", "--max-size", "2"]].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    let _idle = proxy.keep_alive().await;
    let (one, other) = (proxy.keep_alive().await, proxy.keep_alive().await);
    let one = Asking::post(one, "a");
    queued(&proxy, 1).await;
    let other = Asking::post(other, "b");
    upstream.next().await.echo();
    left(&proxy, 1, "size", 2).await;
    one.done().await;
    other.done().await;
}

#[tokio::test]
async fn nobody_waits_for_a_connection_that_takes_what_is_passed_through() {
    let elsewhere = PeerUpstream::start().await;
    let url = elsewhere.url("/");
    let mut upstream = ScriptedUpstream::start().await;
    let flags = [&LONG_WAIT[..], &["--wait", "adaptive"]].concat();
    let passthrough = [("MICROBATCH_PASSTHROUGH__URL", &*url)];
    let proxy = Proxy::start(&upstream.url(), &flags, &passthrough).await;
    let mut one = Peer::connect(proxy.jobs_addr).await;
    one.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let mut wire = elsewhere.accept().await;
    wire.head().await;
    wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        .await;
    one.until("a\r\n").await;
    let asking = Asking::post(proxy.keep_alive().await, "a");
    upstream.next().await.echo();
    asking.done().await;
    drop((one, wire));
}

#[tokio::test]
async fn nobody_waits_for_a_connection_that_takes_an_answer_to_a_call_alone() {
    const CALL: &str = r#"{"instances":[1]}"#;
    let elsewhere = PeerUpstream::start().await;
    let settings = route("a", "/a", "kserve-v1", "/a");
    let alone = format!("alone_url = \"{}\"\n", elsewhere.url("/"));
    let settings = format!("[batch]\nwait = \"adaptive\"\n{settings}{alone}");
    let mut routes = Routes::start(&settings).await;
    let post = async |connection: &mut KeepAlive| {
        let answer = connection.send(call("/a", CALL)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    // Both use the route.
    let mut one = Peer::connect(routes.proxy.jobs_addr).await;
    let length = CALL.len();
    one.write(format!(
        "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{CALL}"
    ))
    .await;
    routes.upstream.next().await.ok(r#"{"predictions":[1]}"#);
    one.until("}").await;
    one.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let mut wire = elsewhere.accept().await;
    wire.head().await;
    wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        .await;
    one.until("a\r\n").await;
    let mut other = routes.proxy.keep_alive().await;
    let (upstream, asking) = (&mut routes.upstream, post(&mut other));
    tokio::join!(asking, async {
        upstream.next().await.ok(r#"{"predictions":[1]}"#);
    });
    drop((one, wire));
}
