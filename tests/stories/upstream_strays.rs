//! Section 5 of the contract: an answer that is another call's gives nobody a
//! result, and what follows on its connection is shifted by it, so that nothing
//! follows.

use crate::harness::{Answer, Caller, Proxy, Request, Wire, WireUpstream};

/// A proxy that sends each job at once, one at a time, and has one connection.
struct Setup {
    proxy: Proxy,
    upstream: WireUpstream,
}

impl Setup {
    async fn open(env: &[(&str, &str)]) -> Self {
        let upstream = WireUpstream::start().await;
        let flags = ["--max-wait", "0", "--max-in-flight", "1"];
        let mut all = vec![
            ("MICROBATCH_SERVER__THREADS", "1"),
            ("MICROBATCH_UPSTREAM__IDLE_TIMEOUT", "1h"),
            ("MICROBATCH_UPSTREAM__MAX_CONNECTION_AGE", "0"),
            ("MICROBATCH_BATCH__MAX_BYTES", "33MiB"),
            ("MICROBATCH_SERVER__MAX_BODY", "32MiB"),
        ];
        all.extend(env);
        let proxy = Proxy::start(&upstream.url(), &flags, &all).await;
        Self { proxy, upstream }
    }

    fn ask(&self, job: impl Into<String>) -> Caller {
        Caller::spawn(self.proxy.jobs_addr, Request::job(job.into()))
    }

    /// One job with this id, answered as it should be: its connection.
    async fn serve(&mut self, id: &str) -> Wire {
        let caller = self.ask(job(id));
        let mut wire = self.upstream.call().await;
        wire.batch().await;
        wire.write(Wire::answer(&results(id))).await;
        caller.answer().await.is_result(&result(id));
        wire
    }

    /// A job on the connection of the one before, to which the upstream says this
    /// instead of an answer of its own. It must not be used again.
    async fn stray(&mut self, id: &str, stray: impl FnOnce(&Wire) -> String) -> Answer {
        let before = self.serve("first").await;
        let peer = before.peer;
        self.upstream.keep(before);
        let caller = self.ask(job(id));
        let mut wire = self.upstream.call().await;
        assert_eq!(wire.peer, peer, "a connection that is kept");
        wire.batch().await;
        wire.write(stray(&wire)).await;
        let answer = caller.answer().await;
        assert_eq!(wire.closed().await, 0, "a batch after another's answer");
        let next = self.serve("next").await;
        assert_ne!(next.peer, peer);
        answer
    }
}

fn job(id: &str) -> String {
    format!(r#"{{"id":"{id}"}}"#)
}

fn result(id: &str) -> String {
    format!(r#"{{"id":"{id}","of":"{id}"}}"#)
}

fn results(id: &str) -> String {
    format!("[{}]", result(id))
}

fn with_status(status: &str, answer: &str) -> String {
    answer.replacen("200 OK", status, 1)
}

#[tokio::test]
async fn an_answer_said_twice_has_no_result_for_the_next_batch() {
    let mut setup = Setup::open(&[]).await;
    let answer = setup.stray("second", |_| Wire::answer(&results("first")));
    answer.await.problem(502, "result-missing", "yes");
}

/// The same id again: nothing but the name of its batch tells it apart.
#[tokio::test]
async fn an_answer_that_names_another_batch_reaches_no_caller() {
    let mut setup = Setup::open(&[]).await;
    for status in ["200 OK", "400 Bad Request", "429 Slow", "500 Oops"] {
        let stray = |_: &Wire| {
            let named = "X-Batch-Id: 01a228a4-0000-7000-8000-000000000000";
            with_status(status, &Wire::answer_with(named, &results("first")))
        };
        let answer = setup.stray("first", stray).await;
        answer.problem(502, "upstream-malformed", "yes");
    }
}

#[tokio::test]
async fn an_answer_that_names_its_own_batch_is_taken() {
    let mut setup = Setup::open(&[]).await;
    let mut peer = None;
    for _ in 0..3 {
        let caller = setup.ask(job("a"));
        let mut wire = setup.upstream.call().await;
        wire.batch().await;
        let named = format!("X-Batch-Id: {}", wire.batch_id);
        wire.write(Wire::answer_with(&named, &results("a"))).await;
        caller.answer().await.is_result(&result("a"));
        assert_eq!(*peer.get_or_insert(wire.peer), wire.peer);
        setup.upstream.keep(wire);
    }
}

/// What servers say on a connection that was idle for too long, a moment after the
/// next batch was sent.
#[tokio::test]
async fn a_408_is_never_the_batchs_own() {
    let mut setup = Setup::open(&[]).await;
    for body in ["", "no"] {
        let said = |_: &Wire| with_status("408 Request Timeout", &Wire::answer(body));
        let answer = setup.stray("second", said).await;
        let problem = answer.problem(502, "upstream-error", "yes");
        problem.has("upstream_status", 408);
    }
}

#[tokio::test]
async fn an_answer_without_any_results_ends_its_connection() {
    let mut setup = Setup::open(&[]).await;
    for body in ["<html>", "{}", "", "[1"] {
        let answer = setup.stray("second", |_| Wire::answer(body)).await;
        answer.problem(502, "upstream-malformed", "yes");
    }
    let answer = setup.stray("second", |_| Wire::answer("[]")).await;
    answer.problem(502, "result-missing", "yes");
}

/// Far more than the system's buffers take, so that it can't have been read.
const LARGE: usize = 16 << 20;

#[tokio::test]
async fn a_whole_answer_before_a_whole_batch_is_that_of_a_call_before() {
    let mut setup = Setup::open(&[]).await;
    let before = setup.serve("a").await;
    let peer = before.peer;
    setup.upstream.keep(before);
    let large = format!(r#"{{"id":"a","body":"{}"}}"#, "x".repeat(LARGE));
    let caller = setup.ask(large);
    let mut wire = setup.upstream.call().await;
    assert_eq!(wire.peer, peer);
    wire.write(Wire::answer(&results("a"))).await;
    let answer = caller.answer().await;
    answer.problem(502, "upstream-malformed", "yes");
    let next = setup.serve("next").await;
    assert_ne!(next.peer, peer);
}

#[tokio::test]
async fn nor_is_it_taken_before_it_is_sent_where_no_results_are_read() {
    let mut setup = Setup::open(&[("MICROBATCH_SHAPE__RESULTS", "none")]).await;
    let caller = setup.ask(job("a"));
    let mut before = setup.upstream.call().await;
    before.batch().await;
    before.write(Wire::answer("")).await;
    assert_eq!(caller.answer().await.status, 204);
    let peer = before.peer;
    setup.upstream.keep(before);
    let large = format!(r#"{{"id":"a","body":"{}"}}"#, "x".repeat(LARGE));
    let caller = setup.ask(large);
    let mut wire = setup.upstream.call().await;
    assert_eq!(wire.peer, peer);
    wire.write(Wire::answer("")).await;
    let answer = caller.answer().await;
    answer.problem(502, "upstream-malformed", "yes");
}

/// What is not read for results can still be named.
#[tokio::test]
async fn without_results_the_name_of_the_batch_counts() {
    let mut setup = Setup::open(&[("MICROBATCH_SHAPE__RESULTS", "none")]).await;
    let caller = setup.ask(job("a"));
    let mut wire = setup.upstream.call().await;
    wire.batch().await;
    wire.write(Wire::answer_with("X-Batch-Id: another", ""))
        .await;
    let answer = caller.answer().await;
    answer.problem(502, "upstream-malformed", "yes");
    assert_eq!(wire.closed().await, 0);
}
