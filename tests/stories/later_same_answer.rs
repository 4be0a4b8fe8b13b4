//! Section 11 of the contract: the delayed answer is the same answer.

use std::collections::BTreeMap;

use crate::harness::{Answer, Call, Caller, Proxy, Request, ScriptedUpstream};

const JOB: &str = r#"{"id":"a","body":[1, 2]}"#;

/// One job, for a caller that waits and for one that comes back, and what the upstream
/// does with each.
struct Setup {
    proxy: Proxy,
    upstream: ScriptedUpstream,
}

impl Setup {
    async fn start(flags: &[&str], env: &[(&str, &str)]) -> Self {
        let upstream = ScriptedUpstream::start().await;
        let env = [
            &[
                ("MICROBATCH_LATER__MAX_WAIT", "0"),
                ("MICROBATCH_RETRY__MAX_ATTEMPTS", "1"),
            ],
            env,
        ]
        .concat();
        let flags = [&["--max-wait", "0"], flags].concat();
        let proxy = Proxy::start(&upstream.url(), &flags, &env).await;
        Self { proxy, upstream }
    }

    /// Both answers, with what the upstream does to each call.
    async fn both(&mut self, does: impl Fn(Call)) -> [Answer; 2] {
        let caller = Caller::spawn(self.proxy.jobs_addr, Request::job(JOB));
        does(self.upstream.next().await);
        let direct = caller.answer().await;
        let handed = self.proxy.hand_in(JOB).await;
        does(self.upstream.next().await);
        let first = self.proxy.finished(&handed).await;
        // Reading removes nothing, and changes nothing.
        let again = self.proxy.fetch(&handed).await;
        assert_eq!(told(&first, true), told(&again, true));
        assert_eq!(first.body, again.body);
        assert_eq!(
            without_body(&self.proxy, &handed.location).await,
            told(&first, true)
        );
        [direct, first]
    }
}

/// The status and headers of `HEAD`, which has no body.
async fn without_body(proxy: &Proxy, location: &str) -> Told {
    let answer = proxy.send(Request::new("HEAD", location)).await;
    assert_eq!(answer.body, "", "{answer:?}");
    told(&answer, true)
}

type Told = (u16, BTreeMap<String, Vec<u8>>);

/// Status and headers, but for what differs from batch to batch.
fn told(answer: &Answer, with_batch: bool) -> Told {
    let headers = answer.lasting_headers().into_iter();
    let headers = headers.filter(|(name, _)| *name != "x-job-state");
    let headers = headers.map(|(name, values)| {
        let value = match name {
            "x-batch-id" | "server-timing" if !with_batch => b"differs".to_vec(),
            _ => values.join(&b'\n'),
        };
        (name.to_owned(), value)
    });
    (answer.status, headers.collect())
}

/// The body, but for the id of the batch.
fn body(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let id = answer.header("x-batch-id");
    match id {
        "" => text.into_owned(),
        id => text.replace(id, "differs"),
    }
}

fn are_the_same([direct, later]: [Answer; 2], status: u16) {
    assert_eq!(direct.status, status, "{direct:?}");
    assert_eq!(told(&direct, false), told(&later, false));
    assert_eq!(body(&direct), body(&later));
    let state = if status < 400 { "done" } else { "failed" };
    assert_eq!(later.header("x-job-state"), state);
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn for_every_kind_of_outcome() {
    let mut setup = Setup::start(&[], &[]).await;
    type Does = fn(Call);
    let table: [(u16, Does); 19] = [
        (200, |call| call.echo()),
        (200, |call| {
            call.ok("[{\"id\":\"a\",\n \"n\":1.00,\"error\":null}]")
        }),
        (422, |call| call.ok(r#"[{"id":"a","error":"no"}]"#)),
        (409, |call| {
            call.ok(r#"[{"id":"a","error":"no","status":409}]"#)
        }),
        (502, |call| call.ok("[]")),
        (502, |call| {
            call.ok(r#"[{"id":"a","n":1},{"id":"a","n":2}]"#)
        }),
        (502, |call| call.ok(r#"[{"id":"a","n":NaN}]"#)),
        (502, |call| call.ok("{}")),
        (400, |call| {
            call.answer(400, &[JSON], "{\"own\": \"words\"}")
        }),
        (418, |call| {
            call.answer(
                418,
                &[("content-type", "text/plain; charset=utf-8")],
                "I am\r\na pot",
            );
        }),
        (404, |call| call.answer(404, &[], "")),
        (413, |call| call.answer(413, &[], "")),
        (502, |call| call.answer(401, &[], "")),
        (503, |call| call.answer(429, &[("retry-after", "7")], "")),
        (503, |call| call.answer(503, &[], "")),
        (504, |call| call.answer(504, &[], "")),
        (502, |call| call.answer(500, &[JSON], "{}")),
        (502, |call| call.answer(302, &[("location", "/x")], "")),
        (502, |call| call.hang_up()),
    ];
    for (status, does) in table {
        are_the_same(setup.both(does).await, status);
    }
}

#[tokio::test]
async fn for_an_upstream_that_gives_no_results() {
    let env = [("MICROBATCH_SHAPE__RESULTS", "none")];
    let mut setup = Setup::start(&[], &env).await;
    let both = setup.both(|call| call.answer(202, &[], "thanks")).await;
    assert_eq!(both[1].header("content-length"), "");
    are_the_same(both, 204);
}

#[tokio::test]
async fn with_other_settings_of_answers() {
    let env = [
        ("MICROBATCH_SERVER__TIMING", "false"),
        ("MICROBATCH_SHAPE__ERROR_STATUS", "599"),
        ("MICROBATCH_UPSTREAM__IDEMPOTENT", "true"),
    ];
    let mut setup = Setup::start(&[], &env).await;
    let both = setup
        .both(|call| call.ok(r#"[{"id":"a","error":1}]"#))
        .await;
    assert_eq!(both[1].header("server-timing"), "");
    are_the_same(both, 599);
    let both = setup.both(|call| call.answer(500, &[], "")).await;
    assert_eq!(both[1].json()["retryable"], true);
    are_the_same(both, 502);
}

#[tokio::test]
async fn for_an_upstream_that_takes_too_long_or_is_not_there() {
    let mut setup = Setup::start(&["--upstream-timeout", "500ms"], &[]).await;
    // Held until the proxy has given each up.
    let held = std::sync::Mutex::new(Vec::new());
    let both = setup.both(|call| held.lock().unwrap().push(call)).await;
    are_the_same(both, 504);
    setup.upstream.kill().await;
    let direct = setup.proxy.post(JOB).await;
    let handed = setup.proxy.hand_in(JOB).await;
    let later = setup.proxy.finished(&handed).await;
    are_the_same([direct, later], 502);
}
