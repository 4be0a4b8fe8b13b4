//! Batches of every shape between callers and an upstream that answers as it is told: what
//! goes out, what comes back to whom, and what is learned from it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::Full;
use tokio::time::{Instant, sleep};

use super::options;
use super::outcome::{Failure, JobOutcome, JobResult};
use super::tests::{Proxy, SECOND, Setup};
use crate::aside::LARGE;
use crate::batcher::{Error, Reply};
use crate::code::Code;
use crate::job::{Carried, Job};
use crate::observe::SplitCause;
use crate::shape::{Keys, Limits, Request, Shape};
use crate::upstream::{Call, CallError, Outgoing, Response};

/// What an upstream saw of a call.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    body: String,
    content_type: String,
    size: String,
    captures: String,
    query: Option<String>,
    headers: HeaderMap,
}

/// The head and the body of an answer.
type Says = http::Response<String>;

type Script = dyn Fn(usize, &str) -> (Duration, Says) + Send + Sync;

#[derive(Clone)]
struct Upstream {
    seen: Arc<Mutex<Vec<Seen>>>,
    /// What it says to the nth call, from 0, with this body, and after how long.
    says: Arc<Script>,
}

impl Call for Upstream {
    async fn post(&self, batch: Outgoing<'_>) -> Result<Response, CallError> {
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let seen = Seen {
            body: String::from_utf8(batch.body.concat()).unwrap(),
            content_type: batch.content_type.map_or_else(String::new, text),
            size: text(batch.batch_size),
            captures: batch.captures.join("+"),
            query: batch.query.map(str::to_owned),
            headers: batch.headers.iter().cloned().collect(),
        };
        let number = {
            let mut all = self.seen.lock().unwrap();
            all.push(seen.clone());
            all.len() - 1
        };
        assert!(batch.dispatch.set());
        let (after, says) = (self.says)(number, &seen.body);
        sleep(after).await;
        let deadline = Instant::now() + 60 * SECOND;
        Response::new(
            says.map(Full::from),
            batch.batch_id,
            4 * LARGE,
            deadline,
            Box::new(()),
        )
    }
}

fn says(status: u16, body: impl Into<String>) -> Says {
    let response = http::Response::builder().status(status);
    response.body(body.into()).unwrap()
}

async fn join_all(
    replies: impl IntoIterator<Item = Reply<Job, JobResult>>,
) -> Vec<Result<JobResult, Error>> {
    let mut results = Vec::new();
    for reply in replies {
        results.push(reply.await);
    }
    results
}

struct Route {
    shape: Arc<Shape>,
    proxy: Proxy<Upstream>,
}

/// A route of this shape, whose batches hold all that a test sends at once, and whose
/// circuit one failure opens.
fn route(keys: &str, says: impl Fn(usize, &str) -> Says + Send + Sync + 'static) -> Route {
    slow_route(keys, move |number, body| {
        (Duration::ZERO, says(number, body))
    })
}

fn slow_route(
    keys: &str,
    says: impl Fn(usize, &str) -> (Duration, Says) + Send + Sync + 'static,
) -> Route {
    let mut setup = Setup::default();
    setup.settings.max_size = 100;
    setup.settings.max_in_flight = 9;
    setup.split_on = vec![422];
    with(setup, keys, says)
}

fn with(
    mut setup: Setup,
    keys: &str,
    says: impl Fn(usize, &str) -> (Duration, Says) + Send + Sync + 'static,
) -> Route {
    let keys: Keys = toml::from_str(keys).unwrap();
    let shape = Arc::new(Shape::compile(&keys, &["index"]).unwrap());
    setup.shape = Arc::clone(&shape);
    let upstream = Upstream {
        seen: Arc::default(),
        says: Arc::new(says),
    };
    Route {
        shape,
        proxy: setup.before(upstream),
    }
}

impl Route {
    fn job(&self, body: &str, request: Request<'_>) -> Job {
        let limits = Limits {
            max_depth: 9,
            max_items: 100,
            max_bytes: 1 << 20,
        };
        let body = Bytes::copy_from_slice(body.as_bytes());
        Job::new(self.shape.read(body, request, limits).unwrap())
    }

    fn submit(&self, job: Job, stays: Duration) -> Reply<Job, JobResult> {
        let options = options(&self.shape, &job, Instant::now() + stays);
        self.proxy.batcher.submit_with(job, options).unwrap()
    }

    fn send(&self, body: &str) -> Reply<Job, JobResult> {
        self.submit(self.job(body, Request::default()), 50 * SECOND)
    }

    /// What these calls come to that are sent at once, in words.
    async fn outcomes(&self, bodies: &[&str]) -> Vec<String> {
        let replies: Vec<_> = bodies.iter().map(|body| self.send(body)).collect();
        let results = join_all(replies).await;
        results
            .into_iter()
            .map(|it| told(&it.unwrap().outcome))
            .collect()
    }

    fn seen(&self) -> Vec<Seen> {
        self.proxy.script.seen.lock().unwrap().clone()
    }

    fn bodies(&self) -> Vec<String> {
        self.seen().into_iter().map(|it| it.body).collect()
    }
}

fn told(outcome: &JobOutcome) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match outcome {
        JobOutcome::Reply { reply, .. } => {
            format!("{} {}", reply.status, text(&reply.body.pieces().concat()))
        }
        JobOutcome::AsItCame {
            status,
            passthrough,
        } => format!("{status} as it came: {}", text(&passthrough.bytes)),
        JobOutcome::Taken => "taken".to_owned(),
        JobOutcome::Failed(failure) => failure.code().to_string(),
    }
}

const KSERVE: &str = "like = 'kserve-v1'";
const GRAPHQL: &str = "like = 'graphql'\nanswers = ['2xx', 400, 500]";
const JSON_RPC: &str = "like = 'json-rpc'";

/// One prediction for each instance of a batch: itself.
fn predicts(body: &str) -> Says {
    says(200, body.replace("instances", "predictions"))
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_places_can_not_be_right_is_for_nobody() {
    let embeddings = "like = 'openai-embeddings'\nid = '/id'";
    let texts = [r#"{"input":"a"}"#, r#"{"input":["b","c"]}"#];
    let instances = [r#"{"instances":[1]}"#, r#"{"instances":[2,3]}"#];
    let ids = ["call = 'item'\nmatch = 'position'", "", ""];
    for (keys, calls, answer) in [
        (KSERVE, instances, r#"{"predictions":[1,2]}"#),
        (KSERVE, instances, r#"{"predictions":[1,2,3,4]}"#),
        (KSERVE, instances, r#"{"predictions":[]}"#),
        (
            embeddings,
            texts,
            r#"{"data":[{"index":0},{"index":1},{"index":1}]}"#,
        ),
        (
            embeddings,
            texts,
            r#"{"data":[{"index":0},{"index":1},{}]}"#,
        ),
        (
            embeddings,
            texts,
            r#"{"data":[{"index":0},{"index":1},{"index":3}]}"#,
        ),
        (
            embeddings,
            texts,
            r#"{"data":[{"index":0},{"index":1},{"index":1.5}]}"#,
        ),
        (
            ids[0],
            [r#"{"id":1}"#, r#"{"id":2}"#],
            r#"[{"id":2},{"id":1}]"#,
        ),
    ] {
        let route = route(keys, move |_, _| says(200, answer));
        let outcomes = route.outcomes(&calls).await;
        assert_eq!(
            outcomes,
            ["result-count", "result-count"],
            "{keys}: {answer}"
        );
        // It is no outage, and nothing that is sent again or in halves.
        assert_eq!(route.seen().len(), 1, "{answer}");
        assert_eq!(route.proxy.circuit.state(), "closed", "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_call_gets_its_own_items_results_in_its_own_frame() {
    let route = route(KSERVE, |_, body| predicts(body));
    let calls = [
        r#"{"instances":[1,2],"p":7}"#,
        r#"{"instances":[3],"p":7}"#,
        r#"{"instances":[4]}"#,
    ];
    let outcomes = route.outcomes(&calls).await;
    let expected = [
        r#"200 {"predictions":[1,2]}"#,
        r#"200 {"predictions":[3]}"#,
        // Alone in its frame, so as it came.
        r#"200 as it came: {"predictions":[4]}"#,
    ];
    assert_eq!(outcomes, expected);
    let mut bodies = route.bodies();
    bodies.sort_unstable();
    assert_eq!(
        bodies,
        [r#"{"instances":[1,2,3],"p":7}"#, r#"{"instances":[4]}"#]
    );
    let mut sizes: Vec<_> = route.seen().into_iter().map(|it| it.size).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, ["1", "3"]);
}

#[tokio::test(start_paused = true)]
async fn results_by_place_find_the_others_when_a_member_expires_meanwhile() {
    // The first, one in the middle, and the last, at different moments.
    for hasty in [vec![0], vec![1], vec![3], vec![0, 2], vec![2, 0, 3]] {
        for keys in [KSERVE, "call = 'item'\nids = 'rewrite'\nlone = 'as-is'"] {
            let route = slow_route(keys, |_, body| (20 * SECOND, predicts(body)));
            let body = |n: usize| match keys {
                KSERVE => format!(r#"{{"instances":[{n},"{n}"]}}"#),
                _ => format!(r#"{{"id":7,"n":{n}}}"#),
            };
            let sent = |n: usize| {
                let place = hasty.iter().position(|it| *it == n);
                let stays = place.map_or(50, |at| 2 + at as u32) * SECOND;
                route.submit(route.job(&body(n), Request::default()), stays)
            };
            let results = join_all((0..4).map(sent).collect::<Vec<_>>()).await;
            assert_eq!(route.seen().len(), 1);
            for (n, result) in results.into_iter().enumerate() {
                let expected = match hasty.contains(&n) {
                    true => "deadline-exceeded".to_owned(),
                    false => format!("200 {}", body(n).replace("instances", "predictions")),
                };
                assert_eq!(told(&result.unwrap().outcome), expected, "{n} of {hasty:?}");
            }
        }
    }
}

/// Calls of two, three, one and four items.
const SEVERAL: [&str; 4] = [
    r#"{"instances":[1,2]}"#,
    r#"{"instances":[3,4,5]}"#,
    r#"{"instances":[6]}"#,
    r#"{"instances":[7,8,9,10]}"#,
];

#[tokio::test(start_paused = true)]
async fn a_batch_is_cut_between_calls_and_never_inside_one() {
    // What is too large, and what spoils a batch.
    for (status, keys) in [(413, KSERVE), (422, KSERVE)] {
        let route = route(keys, move |_, body| match body.contains('3') {
            true => says(status, "no"),
            false => predicts(body),
        });
        let outcomes = route.outcomes(&SEVERAL).await;
        let code = [Code::UpstreamTooLarge, Code::UpstreamRejectedJob];
        let code = code[usize::from(status == 422)].as_str();
        assert_eq!(outcomes[1], code);
        for (at, call) in SEVERAL.iter().enumerate().filter(|it| it.0 != 1) {
            let results = call.replace("instances", "predictions");
            assert!(outcomes[at].ends_with(&results), "{outcomes:?}");
        }
        for body in route.bodies() {
            // Each call is in it whole, or not at all.
            let items = body
                .trim_start_matches("{\"instances\":[")
                .trim_end_matches("]}");
            let mut rest = format!("{items},");
            for call in SEVERAL {
                let own = call
                    .trim_start_matches("{\"instances\":[")
                    .trim_end_matches("]}");
                rest = rest.replacen(&format!("{own},"), "", 1);
            }
            assert_eq!(rest, "", "{body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_error_for_several_halves_the_batch_and_teaches_no_size() {
    let rpc = |n: usize| format!(r#"{{"jsonrpc":"2.0","id":{n},"method":"m"}}"#);
    let refuses_several = |_: usize, body: &str| {
        let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600}}"#;
        match body.starts_with('[') {
            true => says(200, error),
            false => says(200, body.replace("method", "result")),
        }
    };
    let route = route(JSON_RPC, refuses_several);
    let calls: Vec<String> = (1..=4).map(rpc).collect();
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    for _ in 0..2 {
        let outcomes = route.outcomes(&calls).await;
        for (call, outcome) in calls.iter().zip(outcomes) {
            let result = call.replace("method", "result");
            assert_eq!(outcome, format!("200 as it came: {result}"));
        }
    }
    assert_eq!(route.proxy.circuit.state(), "closed");
    // One of four, two of two, four alone; and the second time as the first.
    let mut sizes: Vec<_> = route.seen().into_iter().map(|it| it.size).collect();
    assert_eq!(sizes.len(), 14);
    let second = sizes.split_off(7);
    assert_eq!((&*sizes[0], &*second[0]), ("4", "4"));
    let mut splits = route.proxy.observer.metrics.splits();
    assert!(splits.any(|it| it == (SplitCause::Refused, 6)));
}

#[tokio::test(start_paused = true)]
async fn a_status_that_holds_results_is_read_for_them_first() {
    let calls = [r#"{"query":"a"}"#, r#"{"query":"b"}"#];
    let results = r#"[{"data":1},{"data":2}]"#;
    let replies = ["200 {\"data\":1}", "200 {\"data\":2}"];
    let rejected = ["upstream-rejected-batch"; 2];
    let split = "like = 'graphql'\nanswers = ['2xx', 413, 422]";
    for (keys, status, body, expected, sent, circuit) in [
        (GRAPHQL, 200, results, replies, 1, "closed"),
        (GRAPHQL, 400, results, replies, 1, "closed"),
        (GRAPHQL, 500, results, replies, 1, "closed"),
        (GRAPHQL, 404, results, rejected, 1, "closed"),
        // Without results a status means what it means.
        (GRAPHQL, 400, r#"{"errors":[]}"#, rejected, 1, "closed"),
        (GRAPHQL, 500, "<html>", ["upstream-error"; 2], 1, "open"),
        (GRAPHQL, 503, results, ["upstream-overloaded"; 2], 3, "open"),
        (GRAPHQL, 200, "<html>", ["upstream-malformed"; 2], 1, "open"),
        (GRAPHQL, 500, "[{}]", ["result-count"; 2], 1, "closed"),
        // Results win over being too large, and over the settings.
        (split, 413, results, replies, 1, "closed"),
        (split, 422, results, replies, 1, "closed"),
        // A success that is none of those.
        (
            "like = 'graphql'\nanswers = [200]",
            202,
            results,
            ["upstream-malformed"; 2],
            1,
            "open",
        ),
    ] {
        let mut setup = Setup::default();
        setup.settings.max_size = 100;
        setup.split_on = vec![422];
        // A 503 is sent again, and the third in a row is the last.
        setup.failures = if status == 503 { 3 } else { 1 };
        let route = with(setup, keys, move |_, _| {
            (Duration::ZERO, says(status, body))
        });
        assert_eq!(route.outcomes(&calls).await, expected, "{status} {body}");
        assert_eq!(route.seen().len(), sent, "{status} {body}");
        assert_eq!(route.proxy.circuit.state(), circuit, "{status} {body}");
    }
    // Without them in halves.
    let route = route(split, |_, _| says(422, "no"));
    let outcomes = route.outcomes(&calls).await;
    assert_eq!(
        (outcomes, route.seen().len()),
        (vec!["upstream-rejected-job".into(); 2], 3)
    );
}

#[tokio::test(start_paused = true)]
async fn where_there_are_no_results_any_success_is_one() {
    for status in [200, 202, 204] {
        let route = route("like = 'ndjson'", move |_, _| says(status, "not read"));
        assert_eq!(route.outcomes(&["1", "{\n}"]).await, ["taken", "taken"]);
        let seen = &route.seen()[0];
        assert_eq!(
            (&*seen.body, &*seen.content_type),
            ("1\n{ }\n", "application/x-ndjson")
        );
    }
    let route = route("like = 'ndjson'", |_, _| says(400, "no"));
    assert_eq!(
        route.outcomes(&["1", "2"]).await,
        ["upstream-rejected-batch"; 2]
    );
}

#[tokio::test(start_paused = true)]
async fn equal_ids_share_a_batch_where_nobody_tells_by_them() {
    for (keys, batches) in [
        ("", 2),
        ("results = 'none'", 1),
        ("ids = 'rewrite'", 1),
        ("match = 'position'\nid = ''", 1),
    ] {
        let route = route(keys, |_, body| says(200, body));
        let outcomes = route
            .outcomes(&[r#"{"id":1,"n":1}"#, r#"{"id":1,"n":2}"#])
            .await;
        assert_eq!(route.seen().len(), batches, "{keys}");
        if batches == 1 && !keys.contains("none") {
            assert_eq!(
                outcomes,
                [r#"200 {"id":1,"n":1}"#, r#"200 {"id":1,"n":2}"#],
                "{keys}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_its_numbers_on_the_wire_for_all_its_attempts_and_no_others() {
    let route = route(
        "call = 'item'\nids = 'rewrite'",
        |number, body| match number {
            0 => says(429, ""),
            _ => says(200, body),
        },
    );
    let ids = [r#"{"id":"a"}"#, r#"{"id":"a"}"#];
    for _ in 0..2 {
        assert_eq!(
            route.outcomes(&ids).await,
            ids.map(|it| format!("200 {it}"))
        );
    }
    let bodies = route.bodies();
    assert_eq!(bodies[0], bodies[1]);
    assert_ne!(bodies[1], bodies[2]);
}

#[tokio::test(start_paused = true)]
async fn callers_get_the_headers_that_the_shape_names() {
    let keys = "like = 'elasticsearch-index'";
    let item = r#"{"index":{"status":201,"x":1}}"#;
    for header in [true, false] {
        let route = route(keys, move |_, _| {
            let mut says = says(200, format!(r#"{{"items":[{item},{item}]}}"#));
            let headers = says.headers_mut();
            headers.insert("x-other", HeaderValue::from_static("secret"));
            if header {
                headers.insert("x-elastic-product", HeaderValue::from_static("E"));
            }
            says
        });
        let (path, content_type) = (["a"], None);
        let replies = ["{}", "{\"a\":1}"].map(|body| {
            let request = Request {
                content_type,
                captures: &path,
            };
            route.submit(route.job(body, request), 50 * SECOND)
        });
        for result in join_all(replies).await {
            let JobOutcome::Reply { reply, headers } = result.unwrap().outcome else {
                panic!("no reply");
            };
            assert_eq!(reply.status, 201);
            let expected = [("x-elastic-product", "E")];
            let headers = headers.map(|it| {
                let all = it.iter();
                let all = all.map(|(name, value)| format!("{name} {}", value.to_str().unwrap()));
                all.collect::<Vec<_>>()
            });
            let expected = header.then(|| expected.map(|it| format!("{} {}", it.0, it.1)).to_vec());
            assert_eq!(headers, expected);
        }
        assert!(
            route.seen()[0]
                .body
                .starts_with("{\"index\":{\"_index\":\"a\"}}\n{}\n")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_with_an_error_has_the_status_of_the_shape() {
    let answer = r#"[{"id":1,"error":"no"},{"id":2,"error":"no","status":404}]"#;
    let route = route("error_status = 418", move |_, _| says(200, answer));
    let outcomes = route.outcomes(&[r#"{"id":1}"#, r#"{"id":2}"#]).await;
    let expected = [
        r#"418 {"id":1,"error":"no"}"#,
        r#"404 {"id":2,"error":"no","status":404}"#,
    ];
    assert_eq!(outcomes, expected);
}

/// An answer with headers of every kind.
fn dressed(status: u16, body: &str) -> Says {
    let mut says = says(status, body);
    let headers = says.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "image/x-y"),
        (SET_COOKIE, "a=b"),
        (CONNECTION, "x-hop, close"),
        (HeaderName::from_static("x-hop"), "1"),
        (HeaderName::from_static("keep-alive"), "timeout=1"),
        (HeaderName::from_static("content-length"), "9"),
        (HeaderName::from_static("location"), "/there"),
        (HeaderName::from_static("etag"), "\"e\""),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    says
}

const KEPT: [&str; 3] = ["content-type: image/x-y", "etag: \"e\"", "location: /there"];

fn lines(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.iter();
    let lines = lines.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    lines
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_lone_call_that_went_as_it_came_is_its_callers_as_it_is() {
    let call = r#"{"query":"a","x":[1]}"#;
    for status in [200, 201, 299] {
        let route = route(GRAPHQL, move |_, _| dressed(status, "no {JSON"));
        let result = route.send(call).await.unwrap();
        assert_eq!(route.bodies(), [call]);
        assert_eq!(
            told(&result.outcome),
            format!("{status} as it came: no {{JSON")
        );
        let JobOutcome::AsItCame { passthrough, .. } = result.outcome else {
            panic!("no success");
        };
        assert_eq!(lines(&passthrough.headers), KEPT);
    }
    for (status, code, calls) in [
        (302, Code::UpstreamError, 1),
        (400, Code::UpstreamRejectedJob, 1),
        (401, Code::UpstreamAuth, 1),
        (404, Code::UpstreamRejectedJob, 1),
        (413, Code::UpstreamTooLarge, 1),
        (422, Code::UpstreamRejectedJob, 1),
        // Sent again, since that does no harm, and then handed on.
        (429, Code::UpstreamOverloaded, 3),
        (503, Code::UpstreamOverloaded, 3),
        (500, Code::UpstreamError, 1),
    ] {
        let setup = Setup {
            failures: 0,
            split_on: vec![422],
            ..Setup::default()
        };
        let large = "x".repeat(100_000);
        let says = move |_: usize, _: &str| (Duration::ZERO, dressed(status, &large));
        let route = with(setup, GRAPHQL, says);
        let JobOutcome::Failed(Failure::Status(refusal)) = route.send(call).await.unwrap().outcome
        else {
            panic!("{status} is no refusal");
        };
        assert_eq!((refusal.status, refusal.code), (status, code));
        let body = refusal.body.as_ref().unwrap();
        assert_eq!(
            (body.bytes.len(), lines(&body.headers)),
            (100_000, KEPT.map(Into::into).to_vec())
        );
        assert_eq!(route.seen().len(), calls, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_call_is_answered_by_its_own_answer_within_the_limit() {
    let route = route(GRAPHQL, |number, _| match number {
        0 => {
            let mut says = says(200, "{}");
            let other = HeaderValue::from_static("018f0000-0000-7000-8000-000000000000");
            says.headers_mut().insert("x-batch-id", other);
            says
        }
        1 => says(200, "x".repeat(5 * LARGE)),
        _ => says(400, "x".repeat(5 * LARGE)),
    });
    let call = r#"{"query":"a"}"#;
    assert_eq!(
        told(&route.send(call).await.unwrap().outcome),
        "upstream-malformed"
    );
    sleep(6 * SECOND).await;
    let too_large = route.send(call).await.unwrap().outcome;
    assert_eq!(told(&too_large), "upstream-response-too-large");
    // What can't be handed on is told in the proxy's words.
    let JobOutcome::Failed(Failure::Status(refusal)) = route.send(call).await.unwrap().outcome
    else {
        panic!("no refusal");
    };
    assert!(refusal.body.is_none());
    assert_eq!(refusal.status, 400);
}

#[tokio::test(start_paused = true)]
async fn a_lone_call_has_a_type_of_its_own() {
    let keys = "like = 'graphql'\naccept = ['application/json', 'application/x-q+json']";
    let route = route(keys, |_, body| says(200, body));
    let request = Request {
        content_type: Some("application/x-q+json; v=1"),
        captures: &[],
    };
    for (calls, expected) in [(1, "application/x-q+json; v=1"), (2, "application/json")] {
        let job = |n| route.job(&format!(r#"{{"query":"{n}"}}"#), request);
        let replies: Vec<_> = (0..calls)
            .map(|n| route.submit(job(n), 50 * SECOND))
            .collect();
        join_all(replies).await;
        assert_eq!(route.seen().last().unwrap().content_type, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_calls_carry_goes_with_their_batch_and_keeps_others_out_of_it() {
    let route = route("", |_, body| says(200, body));
    let carried = |query: Option<&str>, tenant: &'static str, capture: &str| Carried {
        captures: [capture.into()].into(),
        query: query.map(Into::into),
        headers: [(
            HeaderName::from_static("x-tenant"),
            HeaderValue::from_static(tenant),
        )]
        .into(),
    };
    let all = [
        carried(Some("a=1"), "t", "m"),
        carried(Some("a=2"), "t", "m"),
        carried(None, "t", "m"),
        carried(Some("a=1"), "u", "m"),
        carried(Some("a=1"), "t", "n"),
    ];
    let jobs = (0..10).map(|n| {
        let job = route.job(&format!(r#"{{"id":{n}}}"#), Request::default());
        let carried = all[n % 5].clone();
        route.submit(job.with_carried(Some(Arc::new(carried))), 50 * SECOND)
    });
    join_all(jobs.collect::<Vec<_>>()).await;
    let mut seen = route.seen();
    seen.sort_unstable_by(|one, other| one.body.cmp(&other.body));
    let expected = all.into_iter().enumerate().map(|(n, carried)| Seen {
        body: format!(r#"[{{"id":{n}}},{{"id":{}}}]"#, n + 5),
        content_type: "application/json".to_owned(),
        size: "2".to_owned(),
        captures: carried.captures.join("+"),
        query: carried.query.map(Into::into),
        headers: carried.headers.into_iter().collect(),
    });
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn large_answers_are_read_by_the_same_shape() {
    let long = "x".repeat(LARGE);
    let route = route(KSERVE, |_, body| predicts(body));
    let calls = ["1", "2"].map(|n| format!(r#"{{"instances":["{n}","{long}"]}}"#));
    let outcomes = route.outcomes(&calls.each_ref().map(|it| &**it)).await;
    for (call, outcome) in calls.iter().zip(outcomes) {
        assert_eq!(
            outcome,
            format!("200 {}", call.replace("instances", "predictions"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn batches_are_as_large_as_their_items() {
    let mut setup = Setup::default();
    setup.settings.max_size = 4;
    setup.settings.max_in_flight = 9;
    let route = with(setup, KSERVE, |_, body| (Duration::ZERO, predicts(body)));
    let outcomes = route.outcomes(&SEVERAL).await;
    for (call, outcome) in SEVERAL.iter().zip(outcomes) {
        let results = call.replace("instances", "predictions");
        assert!(outcome.ends_with(&results), "{outcome}");
    }
    let sizes = route.seen().into_iter().map(|it| it.size.parse::<usize>());
    let sizes: Vec<_> = sizes.map(Result::unwrap).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 10);
    assert!(sizes.iter().all(|it| *it <= 4), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn the_id_of_any_item_keeps_its_call_apart() {
    let keys = "call = '/docs'\nresults = '/docs'\nreply = '{\"docs\":[$results]}'";
    let route = route(keys, |_, body| says(200, body));
    let calls = [
        r#"{"docs":[{"id":1},{"id":2}]}"#,
        r#"{"docs":[{"id":3},{"id":2}]}"#,
        r#"{"docs":[{"id":4}]}"#,
    ];
    let outcomes = route.outcomes(&calls).await;
    for (call, outcome) in calls.iter().zip(outcomes) {
        assert!(outcome.ends_with(call), "{outcome}");
    }
    for body in route.bodies() {
        assert_eq!(body.matches(r#"{"id":2}"#).count(), 1, "{body}");
    }
    assert_eq!(route.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_lone_call_is_answered_in_the_shapes_words_says_nothing_against_the_upstream() {
    let setup = Setup {
        failures: 1,
        ..Setup::default()
    };
    let errors = r#" {"errors":[{"message":"m"}]}"#;
    let route = with(setup, GRAPHQL, move |_: usize, _: &str| {
        (Duration::ZERO, says(500, errors))
    });
    for _ in 0..2 {
        let result = route.send(r#"{"query":"a"}"#).await.unwrap();
        assert_eq!(told(&result.outcome), format!("500 as it came: {errors}"));
    }
    assert_eq!(route.proxy.circuit.state(), "closed");
}
