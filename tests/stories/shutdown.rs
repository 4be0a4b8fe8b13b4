//! Section 6 of the contract: the end of a proxy, in its order.

use crate::harness::{
    Caller, LONG_WAIT, Line, Proxy, Request, ScriptedUpstream, Signal, eventually,
};

async fn start(flags: &[&str], env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let size = if flags.contains(&"--max-size") {
        &[][..]
    } else {
        &["--max-size", "2"]
    };
    let flags = [&LONG_WAIT[..], &["--max-in-flight", "1"], size, flags].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, env).await;
    (proxy, upstream)
}

fn job(id: &str) -> Request {
    Request::job(format!(r#"{{"id":"{id}"}}"#))
}

fn echo(id: &str) -> String {
    format!(r#"{{"id":"{id}","result":null}}"#)
}

async fn readyz_turns_503(proxy: &Proxy) {
    eventually("readyz to turn 503", || async {
        (proxy.admin("GET", "/readyz").await.status == 503).then_some(())
    })
    .await;
}

/// The `done` line is the last one, and its outcomes add up to `answered`.
async fn done(proxy: &Proxy) -> Line {
    let line = proxy.log.last().await;
    assert_eq!(line.message(), "done", "the last line: {line:?}");
    let answered = line.number("answered");
    assert_eq!(answered, line.outcomes().values().sum::<u64>(), "{line:?}");
    let kept = answered + line.number("cancelled");
    assert_eq!(line.number("accepted"), kept, "{line:?}");
    line
}

async fn the_order_of_the_end(signal: Signal) {
    let (mut proxy, mut upstream) = start(&[], &[]).await;
    let mut open = proxy.keep_alive().await;
    let in_flight = [
        proxy.enqueue_request(job("a")).await,
        proxy.enqueue_request(job("b")).await,
    ];
    let busy = upstream.next().await;
    let queued = proxy.enqueue_request(job("c")).await;
    assert_eq!(proxy.admin("GET", "/readyz").await.status, 200);

    proxy.signal(signal);
    proxy.log.nth("draining", 1).await;
    readyz_turns_503(&proxy).await;
    // Alive, though not ready: it must not be killed for that.
    assert_eq!(proxy.admin("GET", "/livez").await.status, 200);
    proxy.drains().await;

    let refused = open.send(job("late")).await;
    let problem = refused.problem(503, "shutting-down", "no");
    problem
        .has("retryable", true)
        .hides("\"a\"")
        .lacks("batch_id");
    assert_eq!(refused.header("connection"), "close");

    // Size and wait no longer matter, the slot still does.
    assert!(upstream.arrived().is_none());
    busy.echo();
    let drained = upstream.next().await;
    assert_eq!(drained.ids(), ["c"]);
    assert_eq!(proxy.log.nth("batch left", 2).await.text("reason"), "drain");
    drained.echo();

    for (caller, id) in in_flight.into_iter().zip(["a", "b"]) {
        caller.answer().await.is_result(&echo(id));
    }
    queued.answer().await.is_result(&echo("c"));
    assert_eq!(proxy.exit_code().await, Some(0));
    let done = done(&proxy).await;
    assert_eq!(done.outcome("ok"), 3, "{done:?}");
    assert_eq!(upstream.peak(), 1);
}

#[tokio::test]
async fn sigterm_drains_in_order() {
    the_order_of_the_end(Signal::TERM).await;
}

#[tokio::test]
async fn sigint_drains_in_order() {
    the_order_of_the_end(Signal::INT).await;
}

#[tokio::test]
async fn an_idle_proxy_ends_at_once() {
    // It must not wait for its timeout, which is longer than this story may
    // take, nor for an open connection that asks nothing.
    let (mut proxy, _upstream) = start(&[], &[]).await;
    let _open = proxy.keep_alive().await;
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    assert_eq!(done(&proxy).await.number("answered"), 0);
}

#[tokio::test]
async fn every_outcome_is_counted_at_the_end() {
    let (mut proxy, mut upstream) = start(&["--max-size", "4"], &[]).await;
    let mut callers = Vec::new();
    for id in ["ok", "bad", "missing", "leaving"] {
        callers.push(proxy.enqueue_request(job(id)).await);
    }
    let call = upstream.next().await;
    callers.pop().expect("the last caller").leave();
    proxy.log.nth("caller left", 1).await;
    call.ok(r#"[{"id":"ok"},{"id":"bad","error":"no"},{"id":"leaving"}]"#);
    for (caller, status) in callers.into_iter().zip([200, 422, 502]) {
        assert_eq!(caller.answer().await.status, status);
    }
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    let done = done(&proxy).await;
    assert_eq!(done.text("outcomes"), "ok=1 job-error=1 result-missing=1");
    let counts = ["accepted", "answered", "cancelled"].map(|field| done.number(field));
    assert_eq!(counts, [4, 3, 1], "{done:?}");
}

#[tokio::test]
async fn jobs_that_wait_at_the_timeout_are_answered() {
    let (mut proxy, mut upstream) = start(&["--shutdown-timeout", "300ms"], &[]).await;
    let in_flight = [
        proxy.enqueue_request(job("a")).await,
        proxy.enqueue_request(job("b")).await,
    ];
    let call = upstream.next().await;
    let queued = proxy.enqueue_request(job("c")).await;
    proxy.signal(Signal::TERM);
    let answer = queued.answer().await;
    answer.problem(503, "shutting-down", "no").has("id", "c");
    for (caller, id) in in_flight.into_iter().zip(["a", "b"]) {
        let answer = caller.answer().await;
        let problem = answer.problem(504, "deadline-exceeded", "unknown");
        problem.has("id", id);
    }
    assert_eq!(proxy.exit_code().await, Some(0));
    assert_eq!(done(&proxy).await.number("answered"), 3);
    drop(call);
}

#[tokio::test]
async fn a_second_signal_exits_at_once() {
    for (first, second) in [
        (Signal::TERM, Signal::TERM),
        (Signal::INT, Signal::INT),
        (Signal::TERM, Signal::INT),
    ] {
        let (mut proxy, mut upstream) = start(&[], &[]).await;
        let _callers = [
            proxy.enqueue_request(job("a")).await,
            proxy.enqueue_request(job("b")).await,
        ];
        let _call = upstream.next().await;
        proxy.signal(first);
        proxy.log.nth("draining", 1).await;
        proxy.signal(second);
        assert_eq!(proxy.exit_code().await, Some(130));
    }
}

#[tokio::test]
async fn during_the_delay_it_serves_though_not_ready() {
    let (mut proxy, mut upstream) = start(&[], &[("MICROBATCH_SHUTDOWN__DELAY", "60s")]).await;
    proxy.signal(Signal::TERM);
    readyz_turns_503(&proxy).await;
    // On a new connection, and batched as ever.
    let callers = [
        proxy.enqueue_request(job("a")).await,
        proxy.enqueue_request(job("b")).await,
    ];
    upstream.next().await.echo();
    for (caller, id) in callers.into_iter().zip(["a", "b"]) {
        caller.answer().await.is_result(&echo(id));
    }
    assert_eq!(proxy.log.nth("batch left", 1).await.text("reason"), "size");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(130));
}

#[tokio::test]
async fn after_the_delay_it_drains() {
    let (mut proxy, mut upstream) = start(&[], &[("MICROBATCH_SHUTDOWN__DELAY", "300ms")]).await;
    let caller = proxy.enqueue_request(job("a")).await;
    proxy.signal(Signal::TERM);
    upstream.next().await.echo();
    caller.answer().await.is_result(&echo("a"));
    assert_eq!(proxy.log.nth("batch left", 1).await.text("reason"), "drain");
    assert_eq!(proxy.exit_code().await, Some(0));
    assert_eq!(done(&proxy).await.outcome("ok"), 1);
}

#[tokio::test]
async fn a_job_that_waits_for_room_is_answered_too() {
    let flags = ["--queue-max-jobs", "1", "--max-size", "1"];
    let (mut proxy, mut upstream) = start(&flags, &[("MICROBATCH_QUEUE__ON_FULL", "wait")]).await;
    let a = proxy.enqueue_request(job("a")).await;
    let busy = upstream.next().await;
    let b = proxy.enqueue_request(job("b")).await;
    let c: Caller = proxy.overflow(job("c")).await;
    proxy.signal(Signal::TERM);
    proxy.log.nth("draining", 1).await;
    busy.echo();
    a.answer().await.is_result(&echo("a"));
    upstream.next().await.echo();
    b.answer().await.is_result(&echo("b"));
    // Let in when there was room, and drained like the others.
    upstream.next().await.echo();
    c.answer().await.is_result(&echo("c"));
    assert_eq!(proxy.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_job_without_room_at_the_timeout_is_refused() {
    let flags = [
        "--queue-max-jobs",
        "1",
        "--max-size",
        "1",
        "--shutdown-timeout",
        "300ms",
    ];
    let (mut proxy, mut upstream) = start(&flags, &[("MICROBATCH_QUEUE__ON_FULL", "wait")]).await;
    let _in_flight = proxy.enqueue_request(job("a")).await;
    let _call = upstream.next().await;
    let _queued = proxy.enqueue_request(job("b")).await;
    let outside = proxy.overflow(job("c")).await;
    proxy.signal(Signal::TERM);
    let answer = outside.answer().await;
    answer.problem(503, "shutting-down", "no").has("id", "c");
    assert_eq!(proxy.exit_code().await, Some(0));
    let done = done(&proxy).await;
    assert_eq!(
        (done.number("accepted"), done.number("refused")),
        (2, 1),
        "{done:?}"
    );
}

/// A caller that the system has taken in and the proxy has not is no less there.
#[tokio::test]
async fn a_caller_connected_when_the_listener_closes_is_answered() {
    let (mut proxy, mut upstream) = start(&["--max-size", "1"], &[]).await;
    let caller = proxy.enqueue_request(job("a")).await;
    let call = upstream.next().await;
    proxy.signal(Signal::STOP);
    let late = Caller::spawn(proxy.jobs_addr, job("late"));
    let connected = || async { late_is_connected(&proxy).await.then_some(()) };
    eventually("the late caller to be connected", connected).await;
    proxy.signal(Signal::TERM);
    proxy.signal(Signal::CONT);
    proxy.log.nth("draining", 1).await;
    call.echo();
    caller.answer().await.is_result(&echo("a"));
    // Taken just before the end or at it, it gets a whole answer.
    let answering = tokio::spawn(late.answer());
    tokio::select! {
        call = upstream.next() => call.echo(),
        code = proxy.exit_code() => assert_eq!(code, Some(0)),
    }
    let answer = answering.await.expect("an answer");
    if answer.status != 200 {
        answer.problem(503, "shutting-down", "no").has("id", "late");
    }
}

/// Whether a connection of another process's making waits to be accepted: the
/// receive queue of the listening socket (Linux, /proc/net/tcp).
async fn late_is_connected(proxy: &Proxy) -> bool {
    let port = format!(":{:04X} ", proxy.jobs_addr.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of sockets");
    let listening = table
        .lines()
        .find(|line| line.contains(&port) && line.contains(" 0A "));
    let queues = listening.and_then(|line| line.split_whitespace().nth(4));
    queues.is_some_and(|queues| !queues.ends_with(":00000000"))
}

#[tokio::test]
async fn a_drain_needs_no_admin_listener() {
    let (mut proxy, mut upstream) = start(&["--admin-listen", ""], &[]).await;
    let caller = proxy.enqueue_request(job("a")).await;
    proxy.signal(Signal::TERM);
    upstream.next().await.echo();
    caller.answer().await.is_result(&echo("a"));
    assert_eq!(proxy.exit_code().await, Some(0));
}

#[tokio::test]
async fn all_routes_are_drained_and_the_last_line_tells_of_each() {
    let (mut upstream, mut others) = (
        ScriptedUpstream::start().await,
        ScriptedUpstream::start().await,
    );
    let url = others.url();
    let env = [
        ("MICROBATCH_ROUTES__OTHER__PATH", "/other"),
        ("MICROBATCH_ROUTES__OTHER__UPSTREAM__URL", &url[..]),
        ("MICROBATCH_ROUTES__OTHER__BATCH__MAX_WAIT", "0"),
    ];
    let flags = [&LONG_WAIT[..], &["--max-size", "1"]].concat();
    let mut proxy = Proxy::start(&upstream.url(), &flags, &env).await;
    let here = proxy.enqueue_request(job("a")).await;
    let at_home = upstream.next().await;
    let there = proxy.enqueue_request(job("b").to("POST", "/other")).await;
    let elsewhere = others.next().await;

    proxy.signal(Signal::TERM);
    proxy.log.nth("draining", 1).await;
    at_home.echo();
    assert_eq!(here.answer().await.status, 200);
    // The other route's job is under way, so that this is not the end.
    elsewhere.echo();
    assert_eq!(there.answer().await.status, 200);

    assert_eq!(proxy.exit_code().await, Some(0));
    let line = done(&proxy).await;
    assert_eq!(line.number("accepted"), 2, "{line:?}");
    let each = "jobs: accepted=1 ok=1; other: accepted=1 ok=1";
    assert_eq!(line.text("routes"), each, "{line:?}");
}
