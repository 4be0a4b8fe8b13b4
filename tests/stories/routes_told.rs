//! Sections 8 and 9 of the contract: what an operator of several routes is told of each, and
//! of all together.
//!
//! | what is said | story |
//! |---|---|
//! | metrics by route add up at every moment | `every_scrape_adds_up_on_each_route` |
//! | `/live`, of all or of one | the same, `what_waits_is_sent_and_told_by_route` |
//! | `POST /flush?route=`, and 404 | `what_waits_is_sent_and_told_by_route` |
//! | lines, health, advice and readiness | `one_routes_outage_is_told_as_its_own` |

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::harness::{
    Answer, Call, Caller, KeepAlive, Request, Routes, Scrape, ScriptedUpstream, answers, call,
    eventually, route,
};

pub const NAMES: [&str; 3] = ["jobs", "work", "predict"];

/// Two routes beside `jobs`, of which one takes jobs too.
pub fn three() -> String {
    let work = "[routes.work]\npath = \"/work\"\nupstream.url = \"URL/work\"\n";
    [work, &route("predict", "/predict", "kserve-v1", "/predict")].concat()
}

/// A call of the route of this number.
pub fn ask(route: usize, id: usize) -> Request {
    match route {
        0 => call("/jobs", &format!(r#"{{"id":{id}}}"#)),
        1 => call("/work", &format!(r#"{{"id":{id}}}"#)),
        _ => call("/predict", &format!(r#"{{"instances":[{id}]}}"#)),
    }
}

/// The answer that all are content with.
fn well(call: Call) {
    if call.path != "/predict" {
        return call.echo();
    }
    let body: Value = serde_json::from_slice(&call.body).expect("JSON");
    call.ok(format!(r#"{{"predictions":{}}}"#, body["instances"]));
}

/// The sum of a family on a route, of the samples that say this too.
pub fn on(scrape: &Scrape, family: &str, route: &str, also: &str) -> f64 {
    let is_its = |sample: &str| match route {
        "jobs" => !sample.contains("route="),
        route => sample.contains(&format!("route=\"{route}\"")),
    };
    let values = scrape.values.iter().filter(|(sample, _)| {
        sample.split('{').next() == Some(family) && is_its(sample) && sample.contains(also)
    });
    values.map(|(_, value)| value).sum()
}

async fn live(routes: &Routes, of: &str) -> Value {
    let path = format!("/live{of}");
    let answer: Answer = routes.proxy.admin("GET", &path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// The same of all routes, and then of each.
pub async fn lives(routes: &Routes) -> [Value; 4] {
    let all = live(routes, "").await;
    let [one, other, third] = NAMES.map(|name| format!("?route={name}"));
    [
        all,
        live(routes, &one).await,
        live(routes, &other).await,
        live(routes, &third).await,
    ]
}

/// The sum over all seconds of a number, or of all in an object.
pub fn sum(live: &Value, pointer: &str) -> u64 {
    let seconds = live["seconds"].as_array().expect("seconds").iter();
    let of = |it: &Value| match it.pointer(pointer) {
        Some(Value::Object(counts)) => counts.values().filter_map(Value::as_u64).sum(),
        number => number.and_then(Value::as_u64).unwrap_or_default(),
    };
    seconds.map(of).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scrape_adds_up_on_each_route() {
    const CALLERS: [usize; 3] = [2, 3, 5];
    const EACH: usize = 60;
    let settings = format!("[batch]\nmax_size = 3\n{}", three());
    let quick = ["--max-wait", "1ms", "--log-level", "info"];
    let Routes {
        proxy,
        mut upstream,
    } = Routes::start_with(&settings, &quick).await;
    let echo = tokio::spawn(async move {
        for n in 1.. {
            let call = upstream.next_ever().await;
            match n % 7 {
                0 => call.answer(500, &[], ""),
                _ => well(call),
            }
        }
    });
    let mut callers = JoinSet::new();
    for (route, count) in CALLERS.into_iter().enumerate() {
        for caller in 0..count {
            let addr = proxy.jobs_addr;
            callers.spawn(async move {
                let mut connection = KeepAlive::connect(addr).await;
                for n in 0..EACH {
                    let answer = connection.send(ask(route, caller * EACH + n)).await;
                    assert!([200, 500, 502].contains(&answer.status), "{answer:?}");
                }
            });
        }
    }
    let over = Arc::new(AtomicBool::new(false));
    let (ends, proxy) = (Arc::clone(&over), Arc::new(proxy));
    let scraped = Arc::clone(&proxy);
    let scrapes = tokio::spawn(async move {
        let mut scrapes = 0;
        while !ends.load(Relaxed) {
            let scrape = Scrape::of(&scraped).await;
            for (name, callers) in NAMES.into_iter().zip(CALLERS) {
                let here = in_the_house(&scrape, name);
                let waiting = on(&scrape, "queue_jobs", name, "");
                let told = waiting <= here && here <= callers as f64;
                assert!(told, "{name}: {waiting}, {here}: {}", scrape.text);
            }
            scrapes += 1;
        }
        scrapes
    });
    while let Some(caller) = callers.join_next().await {
        caller.expect("a caller who is answered");
    }
    over.store(true, Relaxed);
    assert!(scrapes.await.expect("scrapes that add up") > 1);
    echo.abort();

    let upstream = ScriptedUpstream::start().await;
    let routes = Routes {
        proxy: Arc::into_inner(proxy).expect("nobody else has it"),
        upstream,
    };
    let [all, each @ ..] = lives(&routes).await;
    let scrape = Scrape::of(&routes.proxy).await;
    for ((name, callers), live) in NAMES.into_iter().zip(CALLERS).zip(&each) {
        let accepted = on(&scrape, "jobs_accepted_total", name, "");
        assert_eq!(accepted, (callers * EACH) as f64, "{}", scrape.text);
        assert_eq!(in_the_house(&scrape, name), 0.0, "{}", scrape.text);
        assert_eq!(live["route"], name);
        for (pointer, family) in [
            ("/jobs", "jobs_accepted_total"),
            ("/outcomes", "jobs_total"),
            ("/batches", "batch_size_jobs_count"),
            ("/batch_jobs", "batch_size_jobs_sum"),
        ] {
            let counted = on(&scrape, family, name, "");
            assert_eq!(sum(live, pointer) as f64, counted, "{name} {pointer}");
        }
    }
    // All are the sum of each.
    assert_eq!(all.get("route"), None);
    for pointer in ["/jobs", "/outcomes", "/batches", "/batch_jobs", "/reasons"] {
        let of_each: u64 = each.iter().map(|live| sum(live, pointer)).sum();
        assert_eq!(sum(&all, pointer), of_each, "{pointer}");
    }
}

/// The accepted jobs that were neither answered nor given up by their callers.
fn in_the_house(scrape: &Scrape, route: &str) -> f64 {
    let total = |family| on(scrape, family, route, "");
    total("jobs_accepted_total") - total("jobs_total") - total("jobs_cancelled_total")
}

#[tokio::test]
async fn what_waits_is_sent_and_told_by_route() {
    let mut routes = Routes::start(&three()).await;
    let mut callers = routes.queue("/jobs", &[r#"{"id":1}"#, r#"{"id":2}"#]).await;
    callers.extend(routes.queue("/work", &[r#"{"id":1}"#]).await);
    let instances = [r#"{"instances":[1]}"#; 3];
    callers.extend(routes.queue("/predict", &instances).await);
    // Who leaves is counted where the job was.
    routes.queue_one(ask(1, 7)).await.leave();
    eventually("a caller to leave", async || {
        let scrape = Scrape::of(&routes.proxy).await;
        let left = |name| on(&scrape, "jobs_cancelled_total", name, "when=\"queued\"");
        (NAMES.map(left) == [0.0, 1.0, 0.0]).then_some(())
    })
    .await;

    let waiting = |lives: &[Value; 4]| {
        let of = |live: &Value| live["current"]["queue_jobs"].as_u64().expect("a number");
        lives.each_ref().map(of)
    };
    let told = lives(&routes).await;
    assert_eq!(waiting(&told), [6, 2, 1, 3]);
    let capacities = told.each_ref().map(|it| it["limits"]["queue_jobs"].clone());
    assert_eq!(
        capacities,
        [30_000, 10_000, 10_000, 10_000].map(Value::from)
    );
    for live in &told {
        assert_eq!(
            live["routes"],
            serde_json::json!(["jobs", "predict", "work"])
        );
    }

    let flush = async |routes: &Routes, of: &str| {
        let answer = routes.proxy.admin("POST", &format!("/flush{of}")).await;
        (answer.status, answer.text().to_owned())
    };
    let flushed = flush(&routes, "?route=work").await;
    assert_eq!(flushed, (200, "{\"jobs\":1}\n".to_owned()));
    let sent = routes.upstream.next().await;
    assert_eq!(sent.path, "/work");
    sent.echo();
    assert_eq!(waiting(&lives(&routes).await), [5, 2, 0, 3]);
    assert!(
        routes.upstream.arrived().is_none(),
        "another route was flushed"
    );
    let flushed = flush(&routes, "").await;
    assert_eq!(flushed, (200, "{\"jobs\":5}\n".to_owned()));
    for _ in 0..2 {
        well(routes.upstream.next().await);
    }
    for answer in answers(callers).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    for (method, path) in [("POST", "/flush"), ("GET", "/live"), ("GET", "/advice")] {
        for name in ["", "nothing", "Jobs", "jobs%20"] {
            let path = format!("{path}?route={name}");
            let answer = routes.proxy.admin(method, &path).await;
            let problem = answer.json();
            assert_eq!(
                (answer.status, &problem["code"]),
                (404, &"not-found".into()),
                "{path}"
            );
            let detail = "no such route; there are these: jobs, predict, work";
            assert_eq!(problem["detail"], detail, "{path}");
        }
    }
}

#[tokio::test]
async fn a_connection_is_one_whatever_routes_it_calls() {
    let Routes {
        proxy,
        mut upstream,
    } = Routes::start_with(&three(), &["--max-wait", "0"]).await;
    let mut caller = KeepAlive::connect(proxy.jobs_addr).await;
    for route in [0, 1] {
        let (answer, ()) = tokio::join!(caller.send(ask(route, 1)), async {
            well(upstream.next().await);
        });
        assert_eq!(answer.status, 200);
    }
    let _idle = proxy.keep_alive().await;
    let routes = Routes { proxy, upstream };
    let told = lives(&routes).await;
    let connections = told
        .each_ref()
        .map(|it| it["current"]["connections"].clone());
    assert_eq!(connections, [2, 1, 1, 0].map(Value::from));
    drop(caller);
    eventually("it to be gone", async || {
        let all = live(&routes, "").await;
        (all["current"]["connections"] == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_routes_outage_is_told_as_its_own() {
    let mut routes = Routes::start_with(&three(), &["--max-wait", "0"]).await;
    for (name, status) in [("work", 500), ("predict", 503)] {
        let route = NAMES.iter().position(|it| *it == name).expect("a route");
        // A call of one goes as it came, and a failure is then its caller's own answer.
        let caller = Caller::spawn(routes.proxy.jobs_addr, ask(route, 1));
        routes.upstream.next().await.answer(status, &[], "");
        assert!(caller.answer().await.status >= 500);
        let line = routes.proxy.log.wait_for("a failed batch", |line| {
            line.message() == "batch failed" && line.text("route") == name
        });
        assert_eq!(line.await.number("upstream_status"), u64::from(status));
    }
    let caller = Caller::spawn(routes.proxy.jobs_addr, ask(0, 1));
    routes.upstream.next().await.echo();
    assert_eq!(caller.answer().await.status, 200);

    let [all, jobs, work, predict] = eventually("three answers", async || {
        let told = lives(&routes).await;
        (sum(&told[0], "/outcomes") == 3).then_some(told)
    })
    .await;
    let state = |live: &Value| live["health"]["state"].clone();
    assert_eq!(
        [&jobs, &work, &predict].map(state),
        ["ready", "outage", "outage"]
    );
    // Of two that are as bad the first is told.
    assert_eq!(
        (state(&all), &all["health"]["route"]),
        ("outage".into(), &"predict".into())
    );
    assert!(
        all["health"]["text"]
            .as_str()
            .expect("words")
            .starts_with("predict: "),
        "{all:#}"
    );
    let failed: Vec<_> = all["failures"]
        .as_array()
        .expect("failures")
        .iter()
        .collect();
    assert_eq!(
        failed
            .iter()
            .map(|it| it["route"].clone())
            .collect::<Vec<_>>(),
        ["predict", "work"]
    );
    assert_eq!(jobs["failures"], serde_json::json!([]));
    assert_eq!(work["failures"][0].get("route"), None, "{work:#}");

    let advice = async |of: &str| {
        let answer = routes.proxy.admin("GET", &format!("/advice{of}")).await;
        answer.json()[0].clone()
    };
    let text = |it: &Value| it["text"].as_str().expect("a text").to_owned();
    let of_all = advice("").await;
    assert_eq!(of_all["kind"], "problem");
    let name = of_all["route"].as_str().expect("a route");
    assert!(["work", "predict"].contains(&name), "{of_all}");
    assert!(
        text(&of_all).starts_with(&format!("`{name}`: Nothing gets")),
        "{of_all}"
    );
    let of_work = advice("?route=work").await;
    assert!(
        text(&of_work).starts_with("Nothing gets through"),
        "{of_work}"
    );
    assert_eq!(of_work.get("route"), None);
    assert_ne!(advice("?route=jobs").await["kind"], "problem");

    // The process is well, and takes what is for the others.
    let ready = routes.proxy.admin("GET", "/readyz").await;
    assert_eq!((ready.status, ready.text()), (200, "ready\n"));
}
