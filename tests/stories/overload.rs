//! Section 6 of the contract: a queue that is full.

use crate::harness::{
    Answer, Caller, LONG_WAIT, Problem, Proxy, Request, Scrape, ScriptedUpstream,
};

async fn start(flags: &[&str], env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), flags, env).await;
    (proxy, upstream)
}

/// One slot, one place in the queue, and no refusal: the rest waits for room.
async fn narrow() -> (Proxy, ScriptedUpstream) {
    let flags = ["--max-wait", "0", "--max-size", "1", "--max-in-flight", "1"];
    let flags = [&flags[..], &["--queue-max-jobs", "1"]].concat();
    start(&flags, &[("MICROBATCH_QUEUE__ON_FULL", "wait")]).await
}

fn job(id: &str) -> Request {
    Request::job(format!(r#"{{"id":"{id}"}}"#))
}

async fn enqueue<const N: usize>(proxy: &Proxy, ids: [&str; N]) -> Vec<Caller> {
    let mut callers = Vec::new();
    for id in ids {
        callers.push(proxy.enqueue_request(job(id)).await);
    }
    callers
}

async fn all_ok(callers: Vec<Caller>) {
    for caller in callers {
        let answer = caller.answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// A refusal for want of room, whose `Retry-After` is 1 to 60 seconds.
fn full(answer: &Answer, id: &str) -> Problem {
    let problem = answer.problem(503, "queue-full", "no");
    problem
        .has("id", id)
        .has("retryable", true)
        .lacks("batch_id")
        .lacks("pointer");
    problem
}

#[tokio::test]
async fn queue_full_of_jobs() {
    let flags = [&LONG_WAIT[..], &["--queue-max-jobs", "2"]].concat();
    let (proxy, mut upstream) = start(&flags, &[]).await;
    let callers = enqueue(&proxy, ["a", "b"]).await;
    for _ in 0..3 {
        full(&proxy.send(job("over")).await, "over").hides("\"a\"");
    }
    // Nobody who waits was harmed, and room comes back with the batch.
    assert_eq!(proxy.flush().await, 2);
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["a", "b"]);
    call.echo();
    all_ok(callers).await;
    let again = enqueue(&proxy, ["c", "d"]).await;
    full(&proxy.send(job("over")).await, "over");
    proxy.flush().await;
    upstream.next().await.echo();
    all_ok(again).await;
}

#[tokio::test]
async fn what_is_in_flight_takes_no_place_in_the_queue() {
    let flags = [
        "--max-size",
        "2",
        "--queue-max-jobs",
        "2",
        "--max-in-flight",
        "1",
    ];
    let (proxy, mut upstream) = start(&[&LONG_WAIT[..], &flags].concat(), &[]).await;
    let first = enqueue(&proxy, ["a", "b"]).await;
    let busy = upstream.next().await;
    let second = enqueue(&proxy, ["c", "d"]).await;
    full(&proxy.send(job("over")).await, "over");
    busy.echo();
    upstream.next().await.echo();
    all_ok(first).await;
    all_ok(second).await;
}

#[tokio::test]
async fn queue_full_of_bytes() {
    let flags = [&LONG_WAIT[..], &["--max-body", "90"]].concat();
    let (proxy, mut upstream) = start(&flags, &[("MICROBATCH_QUEUE__MAX_BYTES", "100")]).await;
    let sized =
        |id: u32, bytes: usize| format!(r#"{{"id":{id},"body":"{}"}}"#, "x".repeat(bytes - 18));
    let first = proxy.enqueue(&sized(1, 60)).await;
    let answer = proxy.post(sized(2, 41)).await;
    answer.problem(503, "queue-full", "no").has("id", 2);
    // A smaller one still fits, to the last byte.
    let second = proxy.enqueue(&sized(3, 40)).await;
    proxy
        .post(sized(4, 18))
        .await
        .problem(503, "queue-full", "no")
        .has("id", 4);
    assert_eq!(proxy.flush().await, 2);
    upstream.next().await.echo();
    all_ok(vec![first, second]).await;
    let again = proxy.enqueue(&sized(5, 90)).await;
    proxy.flush().await;
    upstream.next().await.echo();
    all_ok(vec![again]).await;
}

#[tokio::test]
async fn a_caller_that_leaves_gives_its_place_back_at_once() {
    let flags = [&LONG_WAIT[..], &["--queue-max-jobs", "1"]].concat();
    let (proxy, mut upstream) = start(&flags, &[]).await;
    // No batch leaves meanwhile: only the leaving itself makes room.
    for n in 1..=20 {
        let caller = proxy.enqueue_request(job("leaving")).await;
        full(&proxy.send(job("over")).await, "over");
        caller.leave();
        let left = proxy.log.nth("caller left", n).await;
        assert_eq!(left.text("when"), "queued", "{left:?}");
    }
    let staying = enqueue(&proxy, ["staying"]).await;
    assert_eq!(proxy.flush().await, 1);
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["staying"]);
    call.echo();
    all_ok(staying).await;
}

#[tokio::test]
async fn an_expired_job_gives_its_place_back() {
    let flags = ["--max-in-flight", "1", "--queue-max-jobs", "1"];
    let (proxy, mut upstream) = start(&flags, &[]).await;
    let first = enqueue(&proxy, ["first"]).await;
    let busy = upstream.next().await;
    let answer = proxy.send(job("hasty").header("prefer", "wait=1")).await;
    answer.problem(503, "queue-timeout", "no");
    let next = enqueue(&proxy, ["next"]).await;
    busy.echo();
    upstream.next().await.echo();
    all_ok(first).await;
    all_ok(next).await;
}

#[tokio::test]
async fn jobs_of_one_id_leave_room_for_others() {
    for on_full in ["reject", "wait"] {
        let flags = ["--max-size", "2", "--queue-max-jobs", "50"];
        let flags = [&LONG_WAIT[..], &flags, &["--max-in-flight", "1"]].concat();
        let (proxy, mut upstream) = start(&flags, &[("MICROBATCH_QUEUE__ON_FULL", on_full)]).await;
        let first = enqueue(&proxy, ["x", "y"]).await;
        let busy = upstream.next().await;
        // One leads them, and a tenth of the queue may follow.
        let same = enqueue(&proxy, ["same"; 6]).await;
        let problem = full(&proxy.send(job("same")).await, "same");
        let detail = problem.get("detail").as_str().unwrap();
        assert!(detail.contains("an id of its own"), "{detail}");
        let others = enqueue(&proxy, ["a", "b", "c"]).await;
        busy.echo();
        all_ok(first).await;
        // Each batch has one of them, and the others are passed.
        for ids in [["same", "a"], ["same", "b"], ["same", "c"]] {
            let call = upstream.next().await;
            assert_eq!(call.ids(), ids);
            call.echo();
        }
        all_ok(others).await;
        proxy.flush().await;
        for _ in 0..3 {
            upstream.next().await.echo();
        }
        all_ok(same).await;
        let kept_apart = Scrape::of(&proxy).await.get("jobs_kept_apart_total");
        assert_eq!(kept_apart, 5.0);
    }
}

#[tokio::test]
async fn jobs_that_wait_for_room_are_shown() {
    let (proxy, mut upstream) = narrow().await;
    let mut callers = enqueue(&proxy, ["a"]).await;
    let busy = upstream.next().await;
    callers.extend(enqueue(&proxy, ["b"]).await);
    for (id, n) in [("c", 1), ("d", 2)] {
        callers.push(Caller::spawn(proxy.jobs_addr, job(id)));
        proxy.log.nth("job waits for room", n).await;
    }
    let gauge = || async { Scrape::of(&proxy).await.get("queue_waiting_for_room_jobs") };
    assert_eq!(gauge().await, 2.0);
    busy.echo();
    for _ in 0..3 {
        upstream.next().await.echo();
    }
    all_ok(callers).await;
    assert_eq!(gauge().await, 0.0);
}

#[tokio::test]
async fn on_full_wait_enters_in_order_when_there_is_room() {
    let (proxy, mut upstream) = narrow().await;
    let mut callers = enqueue(&proxy, ["a"]).await;
    let mut call = upstream.next().await;
    callers.extend(enqueue(&proxy, ["b"]).await);
    for id in ["c", "d", "e"] {
        callers.push(proxy.overflow(job(id)).await);
    }
    for (n, id) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        assert_eq!(call.ids(), [id]);
        call.echo();
        if n == 4 {
            break;
        }
        call = upstream.next().await;
    }
    all_ok(callers).await;
    assert_eq!(upstream.peak(), 1);
}

#[tokio::test]
async fn on_full_wait_refuses_at_the_deadline() {
    let (proxy, mut upstream) = narrow().await;
    let mut callers = enqueue(&proxy, ["a"]).await;
    let busy = upstream.next().await;
    callers.extend(enqueue(&proxy, ["b"]).await);
    let hasty = proxy
        .overflow(job("hasty").header("prefer", "wait=1"))
        .await;
    callers.push(proxy.overflow(job("d")).await);
    full(&hasty.answer().await, "hasty");
    // Who waited behind it moves up.
    busy.echo();
    for id in ["b", "d"] {
        let call = upstream.next().await;
        assert_eq!(call.ids(), [id]);
        call.echo();
    }
    all_ok(callers).await;
}

#[tokio::test]
async fn departed_caller_never_enters_the_queue() {
    let (proxy, mut upstream) = narrow().await;
    let mut callers = enqueue(&proxy, ["a"]).await;
    let busy = upstream.next().await;
    callers.extend(enqueue(&proxy, ["b"]).await);
    let leaving = proxy.overflow(job("leaving")).await;
    callers.push(proxy.overflow(job("d")).await);
    leaving.leave();
    proxy
        .log
        .wait_for("caller left", |line| {
            line.text("id") == "\"leaving\"" && line.message() == "caller left"
        })
        .await;
    busy.echo();
    for id in ["b", "d"] {
        let call = upstream.next().await;
        assert_eq!(call.ids(), [id]);
        call.echo();
    }
    all_ok(callers).await;
}

#[tokio::test]
async fn departed_callers_place_goes_to_the_next_that_waits_for_room() {
    let flags = [&LONG_WAIT[..], &["--queue-max-jobs", "1"]].concat();
    let (proxy, mut upstream) = start(&flags, &[("MICROBATCH_QUEUE__ON_FULL", "wait")]).await;
    let leaving = proxy.enqueue_request(job("leaving")).await;
    let waiting = proxy.overflow(job("waiting")).await;
    leaving.leave();
    // No batch left: the leaving alone made the room.
    proxy.log.nth("caller left", 1).await;
    assert_eq!(proxy.flush().await, 1);
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["waiting"]);
    call.echo();
    all_ok(vec![waiting]).await;
}
