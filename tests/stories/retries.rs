//! Section 5 of the contract: what is sent again, how often, and when.

use std::time::{Duration, Instant, SystemTime};

use crate::harness::{
    Answer, Call, Deaf, Line, Play, Proxy, RawUpstream, Request, Reserved, ScriptedUpstream,
};

pub const JOB: &str = r#"{"id":"a"}"#;
pub const ECHO: &str = r#"{"id":"a","result":null}"#;

/// Pauses too short to wait for.
pub const SHORT: [(&str, &str); 2] = [
    ("MICROBATCH_RETRY__BASE", "1ms"),
    ("MICROBATCH_RETRY__CAP", "2ms"),
];

pub const IDEMPOTENT: (&str, &str) = ("MICROBATCH_UPSTREAM__IDEMPOTENT", "true");

pub async fn setup(flags: &[&str], env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let no_wait: &[&str] = match flags.contains(&"--max-wait") {
        true => &[],
        false => &["--max-wait", "0"],
    };
    let flags = [no_wait, flags].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, &[&SHORT, env].concat()).await;
    (proxy, upstream)
}

/// The line of the one batch that failed.
async fn failed(proxy: &Proxy) -> Line {
    proxy.log.nth("batch failed", 1).await
}

/// How often it meant to send a batch again.
pub fn again(proxy: &Proxy) -> usize {
    proxy
        .log
        .count(|line| line.message() == "batch is sent again")
}

#[tokio::test]
async fn a_refused_batch_is_sent_again_until_the_upstream_listens() {
    let env = [
        ("MICROBATCH_RETRY__MAX_ATTEMPTS", "100"),
        ("MICROBATCH_RETRY__BUDGET_MIN", "1000000"),
        ("MICROBATCH_RETRY__CAP", "50ms"),
    ];
    let (proxy, mut upstream) = setup(&[], &env).await;
    upstream.kill().await;
    let caller = proxy.enqueue(JOB).await;
    let first = proxy.log.nth("batch is sent again", 1).await;
    assert_eq!(first.text("outcome"), "upstream-unreachable");
    proxy.log.nth("batch is sent again", 2).await;
    upstream.restart();
    let call = upstream.next().await;
    // Another attempt at the same batch.
    assert_eq!(call.header("x-batch-id"), first.text("batch_id"));
    call.echo();
    let answer = caller.answer().await;
    answer.is_result(ECHO);
    assert_eq!(answer.header("x-batch-id"), first.text("batch_id"));
}

#[tokio::test]
async fn what_never_reached_the_upstream_is_sent_as_often_as_allowed() {
    let nobody = Reserved::new();
    let deaf = Deaf::new().await;
    let garbage = vec![Play::Write(b"220 mail.example ready\r\n".to_vec())];
    let no_tls = RawUpstream::playing(garbage).await;
    for (url, status, code) in [
        (nobody.url(), 502, "upstream-unreachable"),
        (
            "http://upstream.invalid/".to_owned(),
            502,
            "upstream-unreachable",
        ),
        (no_tls.https_url(), 502, "upstream-unreachable"),
        (deaf.url(), 504, "upstream-connect-timeout"),
    ] {
        for attempts in [1, 2, 4] {
            let max = attempts.to_string();
            let max = ("MICROBATCH_RETRY__MAX_ATTEMPTS", &*max);
            // Only silence is to end in a timeout; a name, or TLS, may take its time.
            let timeout = match code {
                "upstream-connect-timeout" => "50ms",
                _ => "30s",
            };
            let timeout = ("MICROBATCH_UPSTREAM__CONNECT_TIMEOUT", timeout);
            let env = [&SHORT[..], &[max, timeout]].concat();
            let proxy = Proxy::start(&url, &["--max-wait", "0"], &env).await;
            let answer = proxy.post(JOB).await;
            answer.problem(status, code, "no").has("id", "a");
            let line = failed(&proxy).await;
            assert_eq!(line.number("attempts"), attempts, "{url}: {line:?}");
            assert_eq!(again(&proxy) as u64, attempts - 1, "{url}");
        }
    }
}

/// What an upstream that took the batch does to it.
type Deed = (&'static str, fn(Call), u16, &'static str, &'static str);

/// Failures after which the batch may have been done.
const SEEN: [Deed; 6] = [
    (
        "429",
        |call| call.answer(429, &[], ""),
        503,
        "upstream-overloaded",
        "yes",
    ),
    (
        "502",
        |call| call.answer(502, &[], ""),
        502,
        "upstream-error",
        "yes",
    ),
    (
        "503",
        |call| call.answer(503, &[], ""),
        503,
        "upstream-overloaded",
        "yes",
    ),
    (
        "504",
        |call| call.answer(504, &[], ""),
        504,
        "upstream-gateway-timeout",
        "unknown",
    ),
    (
        "hang up",
        Call::hang_up,
        502,
        "upstream-disconnected",
        "unknown",
    ),
    // The call is kept for good, which nobody sees.
    (
        "silence",
        std::mem::forget,
        504,
        "upstream-timeout",
        "unknown",
    ),
];

/// Only silence is to be waited out.
fn timeout_for(deed: &str) -> &'static str {
    match deed {
        "silence" => "1s",
        _ => "60s",
    }
}

#[tokio::test]
async fn what_the_upstream_may_have_done_is_not_sent_again() {
    for (deed, does, status, code, dispatched) in SEEN {
        let (proxy, mut upstream) = setup(&["--upstream-timeout", timeout_for(deed)], &[]).await;
        let caller = proxy.enqueue(JOB).await;
        does(upstream.next().await);
        let answer = tokio::select! {
            answer = caller.answer() => answer,
            _ = upstream.next() => panic!("sent again after: {deed}"),
        };
        answer.problem(status, code, dispatched);
        let line = failed(&proxy).await;
        assert_eq!(line.number("attempts"), 1, "{deed}: {line:?}");
        assert!(upstream.arrived().is_none(), "{deed}");
    }
}

#[tokio::test]
async fn where_twice_does_no_harm_it_is() {
    for (deed, does, ..) in SEEN {
        let (proxy, mut upstream) =
            setup(&["--upstream-timeout", timeout_for(deed)], &[IDEMPOTENT]).await;
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let request = Request::job(JOB).header("traceparent", parent);
        let caller = proxy.enqueue_request(request).await;
        let first = upstream.next().await;
        let id = first.header("x-batch-id").to_owned();
        let trace = first.header("traceparent").to_owned();
        does(first);
        let second = upstream.next().await;
        assert_eq!(second.header("x-batch-id"), id, "{deed}");
        assert_eq!(second.ids(), ["a"], "{deed}");
        // The same trace, and a span of its own.
        let other = second.header("traceparent");
        assert_eq!(trace[..36], other[..36], "{deed}");
        assert_ne!(trace[36..], other[36..], "{deed}");
        second.echo();
        caller.answer().await.is_result(ECHO);
    }
}

#[tokio::test]
async fn after_the_last_attempt_the_caller_gets_the_last_failure() {
    for (deed, does, status, code, dispatched) in SEEN {
        let env = [IDEMPOTENT, ("MICROBATCH_RETRY__MAX_ATTEMPTS", "2")];
        let (proxy, mut upstream) = setup(&["--upstream-timeout", timeout_for(deed)], &env).await;
        let caller = proxy.enqueue(JOB).await;
        does(upstream.next().await);
        does(upstream.next().await);
        let answer = caller.answer().await;
        answer.idempotent_problem(status, code, dispatched);
        assert_eq!(failed(&proxy).await.number("attempts"), 2);
    }
}

#[tokio::test]
async fn what_would_fail_again_is_never_sent_again() {
    let (proxy, mut upstream) = setup(&[], &[IDEMPOTENT]).await;
    for (said, status, code) in [
        (400, 400, "upstream-rejected-job"),
        (401, 502, "upstream-auth"),
        (413, 413, "upstream-too-large"),
        (500, 502, "upstream-error"),
        (302, 502, "upstream-error"),
        (200, 502, "upstream-malformed"),
    ] {
        let caller = proxy.enqueue(JOB).await;
        upstream.next().await.answer(said, &[], "");
        let answer = caller.answer().await;
        answer.idempotent_problem(status, code, "yes");
        assert!(upstream.arrived().is_none(), "{code}");
    }
    assert_eq!(again(&proxy), 0);
}

#[tokio::test]
async fn a_failure_says_what_an_earlier_attempt_may_have_done() {
    let env = [IDEMPOTENT, ("MICROBATCH_RETRY__MAX_ATTEMPTS", "2")];
    for hang_up in [true, false] {
        let (proxy, mut upstream) = setup(&[], &env).await;
        let caller = proxy.enqueue(JOB).await;
        let call = upstream.next().await;
        if hang_up {
            // The connection breaks because the upstream goes.
            upstream.kill().await;
            drop(call);
        } else {
            // It says so before it goes: the pause is long enough.
            call.answer(503, &[("retry-after", "3")], "");
            proxy.log.nth("batch is sent again", 1).await;
            upstream.kill().await;
        }
        let answer = caller.answer().await;
        let dispatched = if hang_up { "unknown" } else { "yes" };
        answer.idempotent_problem(502, "upstream-unreachable", dispatched);
        let problem = answer.json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(!detail.contains("nothing was sent"), "{detail}");
    }
}

/// The answer to a job after the upstream said 503 with this `Retry-After`, and
/// how long it took until the next call, if one came.
async fn after_503(retry_after: impl FnOnce() -> String) -> (Answer, Option<Duration>) {
    let (proxy, mut upstream) = setup(&[], &[IDEMPOTENT]).await;
    let caller = proxy.enqueue(JOB).await;
    let call = upstream.next().await;
    let start = Instant::now();
    call.answer(503, &[("retry-after", &retry_after())], "");
    let mut answer = std::pin::pin!(caller.answer());
    tokio::select! {
        answer = &mut answer => (answer, None),
        call = upstream.next() => {
            let waited = start.elapsed();
            call.echo();
            (answer.await, Some(waited))
        }
    }
}

#[tokio::test]
async fn retry_after_is_honoured_in_seconds_and_as_a_date() {
    let (answer, waited) = after_503(|| "1".to_owned()).await;
    answer.is_result(ECHO);
    assert!(waited >= Some(Duration::from_secs(1)), "{waited:?}");
    // A date has whole seconds: three from now are more than two.
    let date = || httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3));
    let (answer, waited) = after_503(date).await;
    answer.is_result(ECHO);
    assert!(waited >= Some(Duration::from_secs(1)), "{waited:?}");
    // A date that has passed is now.
    let (answer, _) = after_503(|| "Thu, 01 Jan 1970 00:00:00 GMT".to_owned()).await;
    answer.is_result(ECHO);
}

#[tokio::test]
async fn a_job_does_not_wait_for_a_retry_past_its_deadline() {
    let (answer, waited) = after_503(|| "3600".to_owned()).await;
    assert_eq!(waited, None);
    answer.idempotent_problem(503, "upstream-overloaded", "yes");
    assert_eq!(answer.header("retry-after"), "3600");
}

#[tokio::test]
async fn pauses_are_as_short_as_they_are_set() {
    let nobody = Reserved::new();
    // The bound of every first pause, and of every later one.
    for (cap, attempts) in [("1h", "2"), ("1ms", "12")] {
        let env = [
            ("MICROBATCH_RETRY__BASE", "1ms"),
            ("MICROBATCH_RETRY__CAP", cap),
            ("MICROBATCH_RETRY__MAX_ATTEMPTS", attempts),
            ("MICROBATCH_RETRY__BUDGET_MIN", "1000"),
        ];
        let proxy = Proxy::start(&nobody.url(), &["--max-wait", "0"], &env).await;
        for _ in 0..10 {
            let answer = proxy.post(JOB).await;
            answer.problem(502, "upstream-unreachable", "no");
        }
        for n in 1..=again(&proxy) {
            let line = proxy.log.nth("batch is sent again", n).await;
            let pause = line.0["pause_ms"].as_f64().unwrap();
            assert!(pause <= 1.0, "{line:?}");
        }
    }
}

#[tokio::test]
async fn retries_are_within_a_budget() {
    let env = [
        ("MICROBATCH_RETRY__MAX_ATTEMPTS", "10"),
        ("MICROBATCH_RETRY__BUDGET", "0"),
        ("MICROBATCH_RETRY__BUDGET_MIN", "2"),
    ];
    let nobody = Reserved::new();
    let env = [&SHORT[..], &env].concat();
    let proxy = Proxy::start(&nobody.url(), &["--max-wait", "0"], &env).await;
    let mut attempts = Vec::new();
    for n in 1..=3 {
        let answer = proxy.post(JOB).await;
        answer.problem(502, "upstream-unreachable", "no");
        let line = proxy.log.nth("batch failed", n).await;
        attempts.push(line.number("attempts"));
    }
    assert_eq!(attempts, [3, 1, 1]);
    proxy.log.nth("retry budget exhausted", 1).await;
    // One warning tells of all.
    let told = |line: &Line| line.message() == "retry budget exhausted";
    assert_eq!(proxy.log.count(told), 1);
}

#[tokio::test]
async fn the_budget_grows_with_the_batches() {
    let env = [
        ("MICROBATCH_RETRY__BUDGET", "0.5"),
        ("MICROBATCH_RETRY__BUDGET_MIN", "0"),
        ("MICROBATCH_RETRY__MAX_ATTEMPTS", "2"),
    ];
    let (proxy, mut upstream) = setup(&[], &env).await;
    for _ in 0..3 {
        let caller = proxy.enqueue(JOB).await;
        upstream.next().await.echo();
        caller.answer().await.is_result(ECHO);
    }
    upstream.kill().await;
    // Of 4, 5, 6 and 7 batches half are 2, 2, 3 and 3.
    let mut attempts = Vec::new();
    for n in 1..=4 {
        let answer = proxy.post(JOB).await;
        answer.problem(502, "upstream-unreachable", "no");
        let line = proxy.log.nth("batch failed", n).await;
        attempts.push(line.number("attempts"));
    }
    assert_eq!(attempts, [2, 2, 2, 1]);
}
