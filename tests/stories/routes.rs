//! Section 9 of the contract: routes.
//!
//! | what is said | story |
//! |---|---|
//! | who may share a batch | `calls_of_one_frame_share_a_batch_and_no_others` |
//! | a header of `forward_headers` twice | `a_header_that_travels_is_sent_once` |
//! | one route's outage costs another nothing | `a_route_that_is_stuck_holds_up_no_other` |
//! | our own paths, then routes, then nothing | `the_proxys_own_paths_come_before_what_a_route_captures` |
//! | without `upstream.url` no route `jobs` | `without_a_route_jobs_nobody_posts_jobs` |
//! | a drain is of all routes | `a_drain_is_of_every_route_and_told_in_its_form` |
//! | what a path captures | `nobody_walks_up_the_paths_of_an_upstream` |

use std::collections::BTreeSet;

use crate::harness::{Caller, KeepAlive, Request, Routes, Scrape, Signal, answers, call, route};

const PREDICT: &str = "/v1/models/{model}";

/// Two routes of models, whose callers are told apart by their credentials.
fn predict() -> String {
    route("predict", PREDICT, "kserve-v1", "/up/{model}?of=ours").replace(
        "[routes.predict]",
        "[routes.predict]\nforward_headers = [\"authorization\"]",
    )
}

#[tokio::test]
async fn calls_of_one_frame_share_a_batch_and_no_others() {
    let mut routes = Routes::start(&predict()).await;
    let key = |request: Request, key: &str| request.header("authorization", key);
    let mut callers = Vec::new();
    for (path, body, who) in [
        ("/v1/models/m:predict", r#"{"instances":[1]}"#, "a"),
        ("/v1/models/m:predict", r#"{"instances":[2,3]}"#, "a"),
        // Another tenant, another model, another query, other parameters.
        ("/v1/models/m:predict", r#"{"instances":[4]}"#, "b"),
        ("/v1/models/n:predict", r#"{"instances":[5]}"#, "a"),
        ("/v1/models/m:predict?x=1", r#"{"instances":[6]}"#, "a"),
        ("/v1/models/m:predict", r#"{"instances":[7],"k":1}"#, "a"),
        ("/v1/models/m%3apredict", r#"{"instances":[8]}"#, "a"),
    ] {
        callers.push(routes.queue_one(key(call(path, body), who)).await);
    }
    assert_eq!(routes.proxy.flush().await, 7);
    let mut seen = BTreeSet::new();
    for _ in 0..6 {
        let call = routes.upstream.next().await;
        let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
        seen.insert(format!(
            "{} {} {}",
            call.path,
            call.header("authorization"),
            body["instances"]
        ));
        call.ok(format!(r#"{{"predictions":{}}}"#, body["instances"]));
    }
    let expected = [
        "/up/m:predict?of=ours a [1,2,3]",
        "/up/m:predict?of=ours b [4]",
        "/up/n:predict?of=ours a [5]",
        "/up/m:predict?of=ours&x=1 a [6]",
        "/up/m:predict?of=ours a [7]",
        "/up/m%3apredict?of=ours a [8]",
    ];
    let expected: BTreeSet<_> = expected.map(str::to_owned).into();
    assert_eq!(seen, expected);
    let told = answers(callers).await;
    let told: Vec<_> = told
        .iter()
        .map(|it| it.json()["predictions"].to_string())
        .collect();
    assert_eq!(told, ["[1]", "[2,3]", "[4]", "[5]", "[6]", "[7]", "[8]"]);
}

#[tokio::test]
async fn a_header_that_travels_is_sent_once() {
    let settings = [
        &predict(),
        "[routes.work]\npath = \"/work\"\nforward_headers = [\"X-Tenant\"]\n",
        "[routes.work.upstream]\nurl = \"URL/work\"\n",
    ]
    .concat();
    let mut routes = Routes::start(&settings).await;
    let twice = |request: Request, name| request.header(name, "a").header(name, "b");
    let request = call("/v1/models/m", r#"{"instances":[1]}"#);
    let (passed, caller) = routes.alone(twice(request, "authorization")).await;
    let values: Vec<_> = passed.headers.get_all("authorization").iter().collect();
    assert_eq!(values, ["a", "b"]);
    passed.ok("{}");
    assert_eq!(caller.answer().await.text(), "{}");

    let request = call("/work?q=1", r#"{"id":1}"#);
    let answer = routes.proxy.send(twice(request.clone(), "x-tenant")).await;
    answer.problem(400, "invalid-request", "no");
    let caller = routes.queue_one(request.header("x-tenant", "a")).await;
    let sent = routes.flushed().await;
    assert_eq!((&*sent.path, sent.header("x-tenant")), ("/work?q=1", "a"));
    sent.echo();
    assert_eq!(caller.answer().await.status, 200);
}

#[tokio::test]
async fn a_route_that_is_stuck_holds_up_no_other() {
    let settings = [
        "[batch]\nmax_size = 1\n",
        &route("slow", "/slow", "ndjson", "/slow"),
        "max_in_flight = 1\n[routes.slow.queue]\nmax_jobs = 1\n",
        "[routes.gone]\npath = \"/gone\"\nshape = \"kserve-v1\"\n",
        "[routes.gone.circuit]\nfailures = 1\nopen_for = \"1h\"\n",
        "[routes.gone.upstream]\nurl = \"http://127.0.0.1:1/\"\n",
    ]
    .concat();
    let mut routes = Routes::start(&settings).await;
    let first = routes.queue_one(call("/slow", "1")).await;
    let stuck = routes.upstream.next().await;
    let second = routes.queue_one(call("/slow", "2")).await;
    let full = routes.proxy.send(call("/slow", "3")).await;
    full.problem(503, "queue-full", "no");
    let instances = r#"{"instances":[1]}"#;
    let gone = routes.proxy.send(call("/gone", instances)).await;
    assert_eq!(gone.status, 502, "{gone:?}");
    let gone = routes.proxy.send(call("/gone", instances)).await;
    assert_eq!(gone.status, 503, "{gone:?}");
    // All this is nothing to the route `jobs`.
    let caller = Caller::spawn(routes.proxy.jobs_addr, Request::job(r#"{"id":1}"#));
    routes.upstream.next().await.echo();
    caller.answer().await.is_result(r#"{"id":1,"result":null}"#);
    stuck.answer(200, &[], "");
    routes.upstream.next().await.answer(200, &[], "");
    for answer in answers(vec![first, second]).await {
        assert_eq!(answer.status, 204);
    }
}

#[tokio::test]
async fn the_proxys_own_paths_come_before_what_a_route_captures() {
    let settings = [
        route("one", "/{a}", "ndjson", "/one"),
        route("two", "/{a}/{b}", "ndjson", "/two"),
    ]
    .concat();
    let mut routes = Routes::start(&settings).await;
    let alive = routes.proxy.send(Request::new("GET", "/healthz")).await;
    assert_eq!(alive.text(), "alive\n");
    let unknown = routes.proxy.send(Request::new("GET", "/jobs/x")).await;
    assert_eq!(unknown.json()["code"], "job-unknown");
    let refused = routes.proxy.send(Request::new("GET", "/jobs")).await;
    refused.problem(405, "method-not-allowed", "no");
    assert_eq!(refused.header("allow"), "POST");
    let nowhere = routes.proxy.send(Request::new("GET", "/a/b/c")).await;
    nowhere.problem(404, "not-found", "no");
    // Another method on another route is the upstream's to answer.
    for (path, to) in [("/x", "/one"), ("/x/y?z", "/two?z"), ("/healthz/x", "/two")] {
        let (passed, caller) = routes.alone(Request::new("GET", path)).await;
        assert_eq!((&*passed.method, &*passed.path), ("GET", to));
        passed.answer(405, &[("allow", "PUT")], "no");
        let answer = caller.answer().await;
        assert_eq!(
            (answer.status, answer.header("allow"), answer.text()),
            (405, "PUT", "no")
        );
    }
}

#[tokio::test]
async fn nobody_walks_up_the_paths_of_an_upstream() {
    let mut routes = Routes::start(&predict()).await;
    let instances = r#"{"instances":[1]}"#;
    for path in [
        "..",
        ".",
        "%2e%2E",
        ".%2e",
        "..%2Fadmin",
        "a%2f..%5cb",
        "..%5C",
    ] {
        for method in ["POST", "GET"] {
            let path = format!("/v1/models/{path}");
            let answer = routes
                .proxy
                .send(call("", instances).to(method, &path))
                .await;
            assert_eq!(answer.status, 404, "{path}: {answer:?}");
            let told = answer.json();
            assert!(told["error"].as_str().unwrap().contains(".."), "{told}");
        }
    }
    assert!(routes.upstream.arrived().is_none());
    // What is no segment of that name is a name like any other.
    for (path, to) in [
        ("...", "/up/..."),
        ("a..", "/up/a.."),
        ("%252e%252e", "/up/%252e%252e"),
    ] {
        let call = call(&format!("/v1/models/{path}"), instances);
        let caller = routes.queue_one(call).await;
        let sent = routes.flushed().await;
        assert_eq!(sent.path, format!("{to}?of=ours"));
        sent.ok(r#"{"predictions":[1]}"#);
        assert_eq!(caller.answer().await.status, 200);
    }
}

#[tokio::test]
async fn without_a_route_jobs_nobody_posts_jobs() {
    let settings = route("a", "/a", "kserve-v1", "/up");
    let mut routes = Routes::without_jobs(&settings).await;
    let answer = routes.proxy.post(r#"{"id":1}"#).await;
    answer.problem(404, "not-found", "no");
    assert!(answer.text().contains("none of a route"), "{answer:?}");
    let callers = routes.queue("/a", &[r#"{"instances":[1]}"#]).await;
    routes.flushed().await.ok(r#"{"predictions":[1]}"#);
    assert_eq!(answers(callers).await[0].status, 200);
    let scrape = Scrape::of(&routes.proxy).await;
    let (mine, others) = ("route=\"a\"", "route=\"jobs\"");
    assert!(scrape.text.contains(mine) && !scrape.text.contains(others));
    for path in ["/readyz", "/live", "/advice", "/config", "/"] {
        let answer = routes.proxy.admin("GET", path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_drain_is_of_every_route_and_told_in_its_form() {
    let settings = [
        route("predict", "/predict", "kserve-v1", "/predict"),
        route("rpc", "/rpc", "json-rpc", "/rpc"),
    ];
    let mut routes = Routes::start(&settings.concat()).await;
    let predict = |n: u8| call("/predict", &format!(r#"{{"instances":[{n}]}}"#));
    let rpc = call("/rpc", r#"{"jsonrpc":"2.0","id":7,"method":"m"}"#);
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(routes.proxy.keep_alive().await);
    }
    let waiting = [
        routes.queue_one(predict(1)).await,
        routes.queue_one(predict(2)).await,
        routes.queue_one(rpc.clone()).await,
        routes.queue_one(Request::job(r#"{"id":"a"}"#)).await,
    ];
    routes.proxy.signal(Signal::TERM);
    routes.proxy.drains().await;
    // What comes now is refused, by each route in the words of its callers.
    for (connection, request, status, place) in [
        (open.pop(), predict(3), 503, "/error"),
        (open.pop(), rpc, 200, "/error/data/detail"),
    ] {
        let mut connection: KeepAlive = connection.unwrap();
        let answer = connection.send(request).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let told = answer.json().pointer(place).cloned();
        let told = told.unwrap_or_default().to_string();
        assert!(told.contains("shutting down"), "{answer:?}");
        assert_eq!(answer.header("connection"), "close");
    }
    for _ in 0..3 {
        let call = routes.upstream.next().await;
        match &*call.path {
            "/predict" => call.ok(r#"{"predictions":[1,2]}"#),
            "/rpc" => call.ok(r#"{"jsonrpc":"2.0","id":7,"result":1}"#),
            _ => call.ok(r#"[{"id":"a"}]"#),
        }
    }
    for answer in answers(waiting.into()).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(routes.proxy.exit_code().await, Some(0));
}
