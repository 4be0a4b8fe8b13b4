//! Section 10 of the contract: what can't be merged goes alone, as it came, and no caller
//! adds to a batch what is not an item of its own.
//!
//! | what is said | story |
//! |---|---|
//! | alone, as it came, and why | `what_can_not_be_merged_goes_alone` |
//! | a body over `server.max_body` | `a_body_over_the_limit_goes_on_from_its_first_byte` |
//! | `Origin` on every route | `a_page_of_another_origin_reaches_no_route` |
//! | no second item, frame or header | `what_one_caller_writes_reaches_no_other`, `what_a_caller_writes_becomes_no_header`, `requests_on_one_connection_stay_apart` |

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::Value;

use crate::harness::{Caller, RawClient, Request, Routes, answers, call};

const PATH: &str = "/v1/models/m";
const CALL: &str = r#"{"instances":[1]}"#;

async fn kserve(settings: &str) -> Routes {
    let route = crate::harness::route("a", "/v1/models/{model}", "kserve-v1", "/up/{model}");
    Routes::start(&format!("{settings}\n{route}")).await
}

#[tokio::test]
async fn what_can_not_be_merged_goes_alone() {
    let mut routes = kserve("[batch]\nmax_size = 3\n[server]\nmax_body = 200\n").await;
    let long = format!(r#"{{"instances":["{}"]}}"#, "x".repeat(300));
    let typed = |kind: &str| {
        Request::untyped(CALL)
            .to("POST", PATH)
            .header("content-type", kind)
    };
    for (why, request) in [
        ("method", call(PATH, CALL).to("PUT", PATH)),
        ("type", typed("text/csv")),
        (
            "type",
            typed("application/json").header("content-type", "application/json"),
        ),
        (
            "type",
            call(PATH, CALL).header("accept", "text/event-stream"),
        ),
        (
            "encoding",
            call(PATH, "\u{1f}\u{8b}").header("content-encoding", "gzip"),
        ),
        ("key", call(PATH, CALL).header("idempotency-key", "k")),
        ("form", call(PATH, "")),
        ("form", call(PATH, "{")),
        ("form", call(PATH, r#"{"instances":[]}"#)),
        ("form", call(PATH, r#"{"instances":{}}"#)),
        ("stream", call(PATH, r#"{"instances":[1],"stream":true}"#)),
        ("size", call(PATH, r#"{"instances":[1,2,3,4]}"#)),
        ("size", call(PATH, &long)),
        (
            "upgrade",
            call(PATH, CALL)
                .header("connection", "upgrade")
                .header("upgrade", "x/1"),
        ),
    ] {
        let request = request.header("x-mine", "yes").header("cookie", "a=b");
        let (passed, caller) = routes.alone(request).await;
        assert_eq!(passed.path, "/up/m", "{why}");
        assert_eq!(passed.header("x-mine"), "yes", "{why}");
        assert_eq!(passed.header("cookie"), "a=b", "{why}");
        assert_eq!(passed.header("x-batch-id"), "", "{why}");
        passed.answer(201, &[("set-cookie", "c=d")], "as it is");
        let answer = caller.answer().await;
        assert_eq!((answer.status, answer.text()), (201, "as it is"), "{why}");
        assert_eq!(answer.header("set-cookie"), "c=d");
        assert_eq!(answer.header("x-batch-id"), "");
    }
}

#[tokio::test]
async fn what_takes_json_among_others_is_merged_and_a_sink_asks_nobody() {
    let sink = crate::harness::route("b", "/events", "ndjson", "/sink");
    let mut routes = kserve(&sink).await;
    let taken = [
        "application/json, text/event-stream",
        "application/vnd.x+json",
        "text/html, */*;q=0.1",
    ];
    let mut callers = Vec::new();
    for accept in taken {
        let request = call(PATH, CALL).header("accept", accept);
        callers.push(routes.queue_one(request).await);
    }
    routes.flushed().await.ok(r#"{"predictions":[1,2,3]}"#);
    for answer in answers(callers).await {
        assert_eq!(answer.header("x-batch-size"), "3", "{answer:?}");
    }
    let request = call("/events", "{}").header("accept", "text/event-stream");
    let caller = routes.queue_one(request).await;
    routes.flushed().await.ok("");
    assert_eq!(caller.answer().await.status, 204);
}

#[tokio::test]
async fn a_body_over_the_limit_goes_on_from_its_first_byte() {
    let mut routes = kserve("[server]\nmax_body = 1000\n").await;
    // In chunks, so that nobody knows before how much it is.
    let body: String = (0..2_000)
        .map(|it: u32| char::from(b'a' + (it % 26) as u8))
        .collect();
    let mut client = RawClient::connect(routes.proxy.jobs_addr).await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    client.write(head).await;
    for piece in body.as_bytes().chunks(300) {
        client.write(format!("{:x}\r\n", piece.len())).await;
        client.write([piece, b"\r\n"].concat()).await;
    }
    client.write("0\r\n\r\n").await;
    let passed = routes.upstream.next().await;
    assert_eq!(passed.body, body);
    passed.answer(200, &[("content-length", "2")], "ok");
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test]
async fn a_page_of_another_origin_reaches_no_route() {
    let mut routes = kserve("").await;
    for (method, kind) in [
        ("POST", "text/plain"),
        ("PUT", "text/plain"),
        ("POST", "text/csv"),
    ] {
        let request = Request::untyped(CALL)
            .to(method, PATH)
            .header("origin", "http://evil");
        let answer = routes
            .proxy
            .send(request.header("content-type", kind))
            .await;
        assert_eq!(answer.status, 415, "{method} {kind}: {answer:?}");
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    }
    let bare = Request::new("GET", PATH).header("origin", "http://evil");
    let (passed, caller) = routes.alone(bare).await;
    passed.ok("1");
    assert_eq!(caller.answer().await.status, 200);
    assert!(routes.upstream.arrived().is_none());
}

/// What an upstream of that form answers: the instances, where the body is what a strict
/// parser takes.
fn predicted(body: &Bytes) -> Option<String> {
    let body: HashMap<String, Value> = serde_json::from_slice(body).ok()?;
    let instances = body.get("instances")?;
    Some(format!(r#"{{"predictions":{instances}}}"#))
}

#[tokio::test]
async fn what_one_caller_writes_reaches_no_other() {
    let long = format!(r#"{{"instances":[{}1]}}"#, "1,".repeat(10_000));
    let deep = format!(
        r#"{{"instances":[{}{}]}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let nasty: [&[u8]; 15] = [
        br#"{"instances":[1],"instances":[2]}"#,
        br#"{"instances":[1],"Instances":[2]}"#,
        br#"{"instances":[1],"inst\u0061nces":[2]}"#,
        br#"{"instances":[1]]}"#,
        br#"{"instances":[1,]}"#,
        br#"{"instances":[1]}{"instances":[2]}"#,
        br#"{"instances":["\ud800"]}"#,
        br#"{"instances":[1e999]}"#,
        br#"{"instances":["\u0000","\"],[\""]}"#,
        b"\xef\xbb\xbf{\"instances\":[1]}",
        b"{\"instances\":[\"\xff\"]}",
        b"{\"instances\":[\"\x01\"]}",
        br#"{"instances":[NaN]}"#,
        long.as_bytes(),
        deep.as_bytes(),
    ];
    for body in nasty {
        let mut routes = kserve("[server]\nmax_body = \"20KB\"\n").await;
        let innocent = routes
            .queue(
                PATH,
                &[r#"{"instances":["a","b"]}"#, r#"{"instances":["c"]}"#],
            )
            .await;
        let request = Request::job(body.to_vec()).to("POST", PATH);
        let mut caller = Caller::spawn(routes.proxy.jobs_addr, request);
        // It goes by itself, or is one of three; then it was taken for an item by all.
        let first = tokio::select! {
            call = routes.upstream.next() => call,
            _ = routes.proxy.log.nth("job queued", 3) => routes.flushed().await,
            answer = caller.answered() => panic!("refused: {answer:?}"),
        };
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
        let was_alone = first.header("x-batch-id").is_empty();
        if was_alone {
            assert_eq!(first.body, body, "{shown}: as it came");
            first.answer(400, &[], "the upstream's own words");
            assert_eq!(caller.answer().await.text(), "the upstream's own words");
            let batch = routes.flushed().await;
            let predicted = predicted(&batch.body).unwrap();
            batch.ok(predicted);
        } else {
            let predicted = predicted(&first.body);
            first.ok(predicted.unwrap_or_else(|| panic!("{shown} spoils a batch")));
            drop(caller);
        }
        let told = answers(innocent).await;
        let bodies: Vec<_> = told.iter().map(|it| it.text()).collect();
        let expected = [r#"{"predictions":["a","b"]}"#, r#"{"predictions":["c"]}"#];
        assert_eq!(bodies, expected, "{shown}");
    }
}

#[tokio::test]
async fn what_a_caller_writes_becomes_no_header() {
    let mut routes = kserve("").await;
    for path in [
        "m%0d%0aX-Evil:%201",
        "m%0D%0A%0D%0AGET%20%2Fevil",
        "m?q=%0d%0aX-Evil:%201",
    ] {
        let path = format!("/v1/models/{path}");
        let callers = routes.queue(&path, &[CALL, CALL]).await;
        let batch = routes.flushed().await;
        assert_eq!(batch.path, path.replace("/v1/models", "/up"));
        assert_eq!(batch.header("x-evil"), "");
        batch.ok(r#"{"predictions":[1,2]}"#);
        for answer in answers(callers).await {
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("x-evil"), "");
        }
    }
    for target in [
        "/v1/models/m\r\nX-Evil: 1",
        "/v1/models/m\nX",
        "/v1/models/m\u{1}",
    ] {
        let mut client = RawClient::connect(routes.proxy.jobs_addr).await;
        let length = CALL.len();
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{CALL}"
        );
        client.write(request).await;
        assert_eq!(client.answer().await.status, 400, "{target:?}");
    }
    assert!(routes.upstream.arrived().is_none());
}

#[tokio::test]
async fn requests_on_one_connection_stay_apart() {
    let mut routes = kserve("[batch]\nmax_size = 1\n").await;
    let mut client = RawClient::connect(routes.proxy.jobs_addr).await;
    let request = |method: &str, headers: &str, body: &str| {
        let length = body.len();
        format!(
            "{method} {PATH} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let inner = request("POST", "X-Evil: 1\r\n", CALL);
    let all = [
        request("POST", "", r#"{"instances":["a"]}"#),
        request("PUT", "", &inner),
        request("POST", "", r#"{"instances":["b"]}"#),
    ];
    client.write(all.concat()).await;
    for (method, body) in [
        ("POST", r#"{"instances":["a"]}"#),
        ("PUT", &*inner),
        ("POST", r#"{"instances":["b"]}"#),
    ] {
        let call = routes.upstream.next().await;
        assert_eq!((&*call.method, &call.body[..]), (method, body.as_bytes()));
        assert_eq!(call.header("x-evil"), "");
        let echoed = call.body.clone();
        call.answer(200, &[("content-length", &body.len().to_string())], echoed);
        assert_eq!(client.answer().await.text(), body);
    }
}

#[tokio::test]
async fn what_the_proxy_says_of_an_answer_no_upstream_says_instead() {
    let mut routes = kserve("").await;
    for status in [200, 400] {
        let mut callers = routes.queue(PATH, &[CALL]).await;
        let batch = routes.flushed().await;
        let id = batch.header("x-batch-id").to_owned();
        let theirs = [
            ("x-batch-id", id.as_str()),
            ("x-batch-size", "99"),
            ("server-timing", "theirs;dur=1"),
            ("x-content-type-options", "theirs"),
            ("content-type", "text/plain"),
            ("x-theirs", "theirs"),
        ];
        batch.answer(status, &theirs, "as it is");
        let answer = callers.remove(0).answer().await;
        assert_eq!((answer.status, answer.text()), (status, "as it is"));
        assert_eq!(answer.header("x-batch-id"), id);
        assert_eq!(answer.header("x-batch-size"), "1");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("server-timing").starts_with("queue;dur="));
        assert_eq!(answer.header("content-type"), "text/plain");
        assert_eq!(answer.header("x-theirs"), "theirs");
    }
}
