//! Section 5 of the contract: an upstream that fails and fails is left alone.

use crate::harness::{
    Answer, Call, Line, Proxy, Routes, ScriptedUpstream, Signal, answers, call, eventually, route,
};

const JOB: &str = r#"{"id":"a"}"#;

struct Setup {
    proxy: Proxy,
    upstream: ScriptedUpstream,
}

impl Setup {
    /// Two failures in a row open the circuit, for so long.
    async fn start(open_for: &str, flags: &[&str]) -> Self {
        let upstream = ScriptedUpstream::start().await;
        let flags = [&["--max-wait", "0", "--max-size", "1"], flags].concat();
        let env = [
            ("MICROBATCH_CIRCUIT__FAILURES", "2"),
            ("MICROBATCH_CIRCUIT__OPEN_FOR", open_for),
            ("MICROBATCH_RETRY__MAX_ATTEMPTS", "1"),
        ];
        let proxy = Proxy::start(&upstream.url(), &flags, &env).await;
        Self { proxy, upstream }
    }

    /// One job that reaches the upstream, which does this.
    async fn job(&mut self, does: impl FnOnce(Call)) -> Answer {
        let caller = self.proxy.enqueue(JOB).await;
        does(self.upstream.next().await);
        caller.answer().await
    }

    async fn fails(&mut self) {
        let answer = self.job(|call| call.answer(500, &[], "")).await;
        answer.problem(502, "upstream-error", "yes");
    }

    async fn opens(&mut self) {
        self.fails().await;
        self.fails().await;
        self.proxy.log.nth("circuit open", 1).await;
    }

    async fn is_refused(&self) -> u64 {
        let answer = self.proxy.post(JOB).await;
        let problem = answer.problem(503, "circuit-open", "no");
        problem.has("id", "a").lacks("batch_id");
        answer.header("retry-after").parse().expect("seconds")
    }

    /// A caller whose job is taken once the circuit lets a probe through, and its
    /// call.
    async fn probe(&mut self) -> (crate::harness::Caller, Call) {
        let caller = eventually("a probe to be let through", || async {
            let request = crate::harness::Request::job(JOB);
            let mut caller = crate::harness::Caller::spawn(self.proxy.jobs_addr, request);
            let queued = |line: &Line| line.message() == "job queued";
            let before = self.proxy.log.count(queued);
            tokio::select! {
                _ = self.proxy.log.wait_for_nth("queued", before + 1, queued) => Some(caller),
                _ = caller.refused() => None,
            }
        });
        (caller.await, self.upstream.next().await)
    }
}

#[tokio::test]
async fn so_many_failures_in_a_row_open_it_and_jobs_are_refused_at_once() {
    let mut setup = Setup::start("50s", &[]).await;
    setup.fails().await;
    setup
        .job(Call::echo)
        .await
        .is_result(r#"{"id":"a","result":null}"#);
    setup.opens().await;
    for _ in 0..3 {
        // So long as it is set, less the time that this story took.
        let retry_after = setup.is_refused().await;
        assert!((20..=50).contains(&retry_after), "{retry_after}");
    }
    assert!(setup.upstream.arrived().is_none());
    // Health is not the upstream's.
    assert_eq!(setup.proxy.admin("GET", "/readyz").await.status, 200);
}

#[tokio::test]
async fn what_counts_as_a_failure() {
    // With the upstream's timeout: only silence is to end in one.
    type Deed = (fn(Call), &'static str);
    let failures: [Deed; 5] = [
        (|call| call.answer(500, &[], ""), "60s"),
        (|call| call.answer(503, &[], ""), "60s"),
        (Call::hang_up, "60s"),
        (|call| call.ok("not json"), "60s"),
        (std::mem::forget, "1s"),
    ];
    for (failure, timeout) in failures {
        let mut setup = Setup::start("50s", &["--upstream-timeout", timeout]).await;
        setup.job(failure).await;
        setup.job(failure).await;
        setup.proxy.log.nth("circuit open", 1).await;
        setup.is_refused().await;
    }
    let mut setup = Setup::start("50s", &[]).await;
    setup.upstream.kill().await;
    for _ in 0..2 {
        let answer = setup.proxy.post(JOB).await;
        answer.problem(502, "upstream-unreachable", "no");
    }
    setup.proxy.log.nth("circuit open", 1).await;
    setup.is_refused().await;
}

#[tokio::test]
async fn a_refusal_is_no_failure() {
    let mut setup = Setup::start("50s", &[]).await;
    for status in [400, 401, 404, 413, 422, 429, 301] {
        for _ in 0..3 {
            let answer = setup.job(|call| call.answer(status, &[], "")).await;
            assert_ne!(answer.status, 200);
            assert_ne!(answer.header("x-batch-id"), "", "{answer:?}");
        }
    }
    setup.job(|call| call.ok("[]")).await;
    setup.job(|call| call.ok("[]")).await;
    setup
        .job(Call::echo)
        .await
        .is_result(r#"{"id":"a","result":null}"#);
}

#[tokio::test]
async fn what_is_queued_when_it_opens_is_refused_too() {
    let mut setup = Setup::start("50s", &["--max-in-flight", "1"]).await;
    setup.fails().await;
    let last = setup.proxy.enqueue(JOB).await;
    let call = setup.upstream.next().await;
    let queued = [
        setup.proxy.enqueue(r#"{"id":"b"}"#).await,
        setup.proxy.enqueue(r#"{"id":"c"}"#).await,
    ];
    call.answer(500, &[], "");
    last.answer().await.problem(502, "upstream-error", "yes");
    for caller in queued {
        let answer = caller.answer().await;
        answer.problem(503, "circuit-open", "no");
    }
    assert!(setup.upstream.arrived().is_none());
}

#[tokio::test]
async fn a_batch_that_pauses_when_it_opens_is_not_sent_again() {
    let upstream = ScriptedUpstream::start().await;
    // The call before the pause is one of them.
    let env = [
        ("MICROBATCH_CIRCUIT__FAILURES", "3"),
        ("MICROBATCH_CIRCUIT__OPEN_FOR", "50s"),
        ("MICROBATCH_UPSTREAM__IDEMPOTENT", "true"),
    ];
    let flags = ["--max-wait", "0", "--max-size", "1"];
    let proxy = Proxy::start(&upstream.url(), &flags, &env).await;
    let mut setup = Setup { proxy, upstream };
    let pausing = setup.proxy.enqueue(JOB).await;
    let call = setup.upstream.next().await;
    call.answer(503, &[("retry-after", "3")], "");
    setup.proxy.log.nth("batch is sent again", 1).await;
    for _ in 0..2 {
        let answer = setup.job(|call| call.answer(500, &[], "")).await;
        answer.idempotent_problem(502, "upstream-error", "yes");
    }
    setup.proxy.log.nth("circuit open", 1).await;
    let answer = tokio::select! {
        answer = pausing.answer() => answer,
        call = setup.upstream.next() => panic!("sent again: {:?}", call.ids()),
    };
    answer.idempotent_problem(503, "upstream-overloaded", "yes");
}

#[tokio::test]
async fn one_probe_closes_it() {
    let mut setup = Setup::start("300ms", &[]).await;
    setup.opens().await;
    let (caller, call) = setup.probe().await;
    // Until that is decided nobody else is let through.
    assert_eq!(setup.is_refused().await, 1);
    call.echo();
    assert_eq!(caller.answer().await.status, 200);
    setup.proxy.log.nth("circuit closed", 1).await;
    setup
        .job(Call::echo)
        .await
        .is_result(r#"{"id":"a","result":null}"#);
    // It counts anew.
    setup.fails().await;
    setup
        .job(Call::echo)
        .await
        .is_result(r#"{"id":"a","result":null}"#);
}

#[tokio::test]
async fn a_probe_that_fails_leaves_it_open() {
    let mut setup = Setup::start("300ms", &[]).await;
    setup.opens().await;
    let (caller, call) = setup.probe().await;
    call.answer(500, &[], "");
    caller.answer().await.problem(502, "upstream-error", "yes");
    setup
        .proxy
        .log
        .nth("circuit stays open: the probe failed", 1)
        .await;
    let (caller, call) = setup.probe().await;
    call.echo();
    assert_eq!(caller.answer().await.status, 200);
    setup.proxy.log.nth("circuit closed", 1).await;
}

#[tokio::test]
async fn a_probe_whose_caller_departs_decides_nothing() {
    let mut setup = Setup::start("300ms", &[]).await;
    setup.opens().await;
    let (caller, mut call) = setup.probe().await;
    caller.leave();
    call.caller_gone().await;
    let (caller, call) = setup.probe().await;
    call.echo();
    assert_eq!(caller.answer().await.status, 200);
}

#[tokio::test]
async fn by_default_there_is_none() {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &[]).await;
    let mut setup = Setup { proxy, upstream };
    for _ in 0..30 {
        setup.fails().await;
    }
    setup
        .job(Call::echo)
        .await
        .is_result(r#"{"id":"a","result":null}"#);
}

#[tokio::test]
async fn a_proxy_that_shuts_down_says_that_and_not_that_it_is_open() {
    let mut setup = Setup::start("50s", &[]).await;
    // From the signal on each is good for one answer more.
    let mut connections = Vec::new();
    for _ in 0..50 {
        connections.push(setup.proxy.keep_alive().await);
    }
    // Keeps the process until the story is told.
    let held = setup.proxy.enqueue(r#"{"id":"held"}"#).await;
    let call = setup.upstream.next().await;
    setup.opens().await;
    let answer = connections[0].post(JOB).await;
    answer.problem(503, "circuit-open", "no");
    setup.proxy.signal(Signal::TERM);
    setup.proxy.log.nth("draining", 1).await;
    // It takes a moment until no more jobs are taken.
    let mut answer = None;
    for mut connection in connections {
        let told = connection.post(JOB).await;
        if told.json()["code"] != "circuit-open" {
            answer = Some(told);
            break;
        }
    }
    let answer = answer.expect("the word that it shuts down");
    answer.problem(503, "shutting-down", "no");
    assert_eq!(answer.header("connection"), "close");
    call.echo();
    assert_eq!(held.answer().await.status, 200);
    assert_eq!(setup.proxy.exit_code().await, Some(0));
}

#[tokio::test]
async fn no_caller_opens_it_by_a_path_that_is_too_long_to_ask_for() {
    let settings = [
        "[circuit]\nfailures = 1\n[retry]\nmax_attempts = 1\n",
        &route("a", "/v1/{model}", "kserve-v1", &"/{model}".repeat(7)),
        &route("b", "/b/{x}", "jobs", &"/{x}".repeat(3)),
    ];
    let mut routes = Routes::start(&settings.concat()).await;
    for (path, body, told) in [
        // A head has 16 KB.
        (
            format!("/v1/{}", "m".repeat(12_000)),
            r#"{"instances":[1]}"#,
            "/error",
        ),
        // As it is encoded.
        (format!("/b/{}", "^".repeat(12_000)), JOB, "/detail"),
    ] {
        let answer = routes.proxy.send(call(&path, body)).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        let told = answer.json().pointer(told).cloned();
        let told = told.unwrap_or_default().to_string();
        assert!(told.contains("longer than"), "{answer:?}");
    }
    for (path, body, answer) in [
        ("/v1/m", r#"{"instances":[1]}"#, r#"{"predictions":[1]}"#),
        ("/b/m", JOB, r#"[{"id":"a"}]"#),
    ] {
        let callers = routes.queue(path, &[body]).await;
        routes.flushed().await.ok(answer);
        assert_eq!(answers(callers).await[0].status, 200);
    }
}
