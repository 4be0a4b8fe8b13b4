//! Section 2 of the contract: slots, and batches whose members are chosen when
//! a slot is there for them.

use std::time::{Duration, Instant};

use crate::harness::{Caller, LONG_WAIT, Proxy, Request, ScriptedUpstream};

async fn setup(flags: &[&str], env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), flags, env).await;
    (proxy, upstream)
}

async fn enqueue<const N: usize>(proxy: &Proxy, ids: [&str; N]) -> Vec<Caller> {
    let mut callers = Vec::new();
    for id in ids {
        callers.push(proxy.enqueue(&format!(r#"{{"id":"{id}"}}"#)).await);
    }
    callers
}

async fn all_ok(callers: Vec<Caller>) {
    for caller in callers {
        let answer = caller.answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn never_more_batches_at_once_than_slots() {
    let flags = ["--max-wait", "0", "--max-size", "1", "--max-in-flight", "3"];
    let (proxy, mut upstream) = setup(&flags, &[]).await;
    let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let callers = enqueue(&proxy, ids).await;
    // All three slots are used at once, and each freed one again.
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(upstream.next().await);
    }
    assert!(upstream.arrived().is_none());
    for _ in 3..ids.len() {
        open.remove(0).echo();
        open.push(upstream.next().await);
    }
    open.into_iter().for_each(crate::harness::Call::echo);
    all_ok(callers).await;
    assert_eq!(upstream.peak(), 3);
}

#[tokio::test]
async fn while_every_slot_is_busy_the_queue_grows_into_full_batches() {
    let flags = [&LONG_WAIT[..], &["--max-size", "3", "--max-in-flight", "1"]].concat();
    let (proxy, mut upstream) = setup(&flags, &[]).await;
    let first = enqueue(&proxy, ["x", "y", "z"]).await;
    let busy = upstream.next().await;
    let callers = enqueue(&proxy, ["a", "b", "c", "d", "e", "f"]).await;
    assert_eq!(proxy.log.count(|line| line.message() == "batch left"), 1);
    busy.echo();
    for ids in [["a", "b", "c"], ["d", "e", "f"]] {
        let call = upstream.next().await;
        assert_eq!(call.ids(), ids);
        call.echo();
    }
    all_ok(first).await;
    all_ok(callers).await;
    assert_eq!(upstream.peak(), 1);
}

#[tokio::test]
async fn overdue_jobs_of_a_busy_time_leave_together() {
    let flags = ["--max-wait", "0", "--max-in-flight", "1"];
    let (proxy, mut upstream) = setup(&flags, &[]).await;
    let first = enqueue(&proxy, ["x"]).await;
    let busy = upstream.next().await;
    let callers = enqueue(&proxy, ["a", "b", "c", "d"]).await;
    busy.echo();
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["a", "b", "c", "d"]);
    call.echo();
    all_ok(first).await;
    all_ok(callers).await;
    let left = proxy.log.nth("batch left", 2).await;
    assert_eq!((left.text("reason"), left.number("size")), ("wait", 4));
}

#[tokio::test]
async fn the_place_of_a_caller_that_left_is_filled() {
    let flags = [&LONG_WAIT[..], &["--max-size", "3", "--max-in-flight", "1"]].concat();
    let (proxy, mut upstream) = setup(&flags, &[]).await;
    let first = enqueue(&proxy, ["x", "y", "z"]).await;
    let busy = upstream.next().await;
    let mut callers = enqueue(&proxy, ["a", "b", "c", "d"]).await;
    callers.remove(1).leave();
    let gone = proxy.log.nth("caller left", 1).await;
    assert_eq!((gone.text("id"), gone.text("when")), ("\"b\"", "queued"));
    busy.echo();
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["a", "c", "d"]);
    call.echo();
    all_ok(first).await;
    all_ok(callers).await;
}

#[tokio::test]
async fn the_place_of_an_expired_job_is_filled() {
    let flags = [&LONG_WAIT[..], &["--max-size", "3", "--max-in-flight", "1"]].concat();
    let (proxy, mut upstream) = setup(&flags, &[]).await;
    let first = enqueue(&proxy, ["x", "y", "z"]).await;
    let busy = upstream.next().await;
    let a = enqueue(&proxy, ["a"]).await;
    let hasty = Request::job(r#"{"id":"hasty"}"#).header("prefer", "wait=1");
    let hasty = proxy.enqueue_request(hasty).await;
    let others = enqueue(&proxy, ["c", "d"]).await;
    hasty
        .answer()
        .await
        .problem(503, "queue-timeout", "no")
        .has("id", "hasty");
    busy.echo();
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["a", "c", "d"]);
    call.echo();
    for callers in [first, a, others] {
        all_ok(callers).await;
    }
}

#[tokio::test]
async fn a_size_that_only_the_departed_made_up_lets_nothing_leave() {
    let flags = [&LONG_WAIT[..], &["--max-size", "2"]].concat();
    let (proxy, mut upstream) = setup(&flags, &[]).await;
    let mut gone = enqueue(&proxy, ["a"]).await;
    gone.remove(0).leave();
    proxy.log.nth("caller left", 1).await;
    let callers = enqueue(&proxy, ["b"]).await;
    assert_eq!(proxy.log.count(|line| line.message() == "batch left"), 0);
    let last = enqueue(&proxy, ["c"]).await;
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["b", "c"]);
    call.echo();
    all_ok(callers).await;
    all_ok(last).await;
}

#[tokio::test]
async fn a_slow_batch_holds_up_no_other() {
    let flags = ["--max-wait", "0", "--max-in-flight", "2"];
    let (proxy, mut upstream) = setup(&flags, &[]).await;
    let slow = enqueue(&proxy, ["slow"]).await;
    let slow_call = upstream.next().await;
    for _ in 0..5 {
        let quick = enqueue(&proxy, ["quick"]).await;
        upstream.next().await.echo();
        all_ok(quick).await;
    }
    slow_call.echo();
    all_ok(slow).await;
}

#[tokio::test]
async fn min_interval_lies_between_any_two_batches() {
    let flags = ["--max-wait", "0", "--max-size", "1"];
    let (proxy, mut upstream) =
        setup(&flags, &[("MICROBATCH_UPSTREAM__MIN_INTERVAL", "200ms")]).await;
    let start = Instant::now();
    let callers = enqueue(&proxy, ["a", "b", "c", "d"]).await;
    for _ in 0..4 {
        upstream.next().await.echo();
    }
    // The first left after the start, and three intervals had to pass since.
    assert!(
        start.elapsed() >= Duration::from_millis(600),
        "{:?}",
        start.elapsed()
    );
    all_ok(callers).await;
}

#[tokio::test]
async fn while_an_interval_lasts_the_queue_grows() {
    let (proxy, mut upstream) = setup(
        &["--max-wait", "0"],
        &[("MICROBATCH_UPSTREAM__MIN_INTERVAL", "1s")],
    )
    .await;
    let start = Instant::now();
    let mut callers = enqueue(&proxy, ["a"]).await;
    upstream.next().await.echo();
    callers.extend(enqueue(&proxy, ["b", "c", "d"]).await);
    let call = upstream.next().await;
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    // On a machine so slow that the interval ended meanwhile, it may be fewer.
    let ids = call.ids();
    call.echo();
    if ids.len() < 3 {
        return;
    }
    assert_eq!(ids, ["b", "c", "d"]);
    all_ok(callers).await;
}
