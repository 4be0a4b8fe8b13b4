//! Section 12 of the contract: a thousand reloads in a row, each of which makes every route
//! anew, while callers and jobs for later come to all of them.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::{Handed, KeepAlive, Proxy, Request, Scrape, ScriptedUpstream, call};

const SWAPS: u32 = 1_000;

/// The routes, whose paths and whose upstreams' are their names.
const ROUTES: [&str; 2] = ["jobs", "other"];

/// Somebody who has one job after the other done, as one of so many of a route.
#[derive(Clone, Copy)]
struct Of {
    route: &'static str,
    number: usize,
    /// Comes back for the answer.
    later: bool,
}

/// Those of each route: whether each comes back for its answers.
const CALLERS: [bool; 3] = [false, false, true];

/// What is counted of the jobs of each route, and of those that are come back for.
const COUNTED: [(&str, bool, &str); 4] = [
    ("jobs", false, r#"jobs_total{outcome="ok"}"#),
    ("jobs", true, r#"later_finished_total{outcome="ok"}"#),
    ("other", false, r#"jobs_total{outcome="ok",route="other"}"#),
    (
        "other",
        true,
        r#"later_finished_total{outcome="ok",route="other"}"#,
    ),
];

/// The settings for the nth time: no route is as it was the time before.
fn settings(n: u32, upstream: &str) -> String {
    let (jobs, other) = (n % 3 + 2, n % 4 + 1);
    format!(
        "[upstream]\nurl = \"{upstream}/jobs\"\n\
         [batch]\nmax_size = {jobs}\nmax_wait = \"2ms\"\n\
         [later]\nmax_wait = \"5ms\"\n\
         [routes.other]\npath = \"/other\"\n\
         [routes.other.upstream]\nurl = \"{upstream}/other\"\n\
         [routes.other.batch]\nmax_size = {other}\n"
    )
}

/// Has jobs done until it is to stop: their ids.
async fn calls(of: Of, mut caller: KeepAlive, stopped: watch::Receiver<bool>) -> (Of, Vec<String>) {
    let Of {
        route,
        number,
        later,
    } = of;
    let path = format!("/{route}");
    let mut ids = Vec::new();
    while !*stopped.borrow() {
        let id = format!("{route}-{number}-{}", ids.len());
        let job = format!(r#"{{"id":"{id}","body":"of {id}"}}"#);
        let answer = match later {
            false => caller.send(call(&path, &job)).await,
            true => {
                let hands_in = Request::later(job).to("POST", &path);
                let handed = Handed::of(&caller.send(hands_in).await);
                let fetches = Request::new("GET", &handed.location);
                caller.send(fetches.header("prefer", "wait=60")).await
            }
        };
        answer.is_result(&format!(r#"{{"id":"{id}","result":"of {id}"}}"#));
        ids.push(id);
    }
    (of, ids)
}

fn counts(scrape: &Scrape) -> [f64; 4] {
    COUNTED.map(|(.., sample)| scrape.get(sample))
}

#[tokio::test]
async fn swaps_under_load_lose_nothing() {
    let mut upstream = ScriptedUpstream::start().await;
    let origin = format!("http://{}", upstream.addr());
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("microbatch.toml");
    let write = |n| std::fs::write(&file, settings(n, &origin)).unwrap();
    write(0);
    let flags = ["--config", file.to_str().unwrap(), "--log-level", "info"];
    let proxy = Proxy::start("", &flags, &[]).await;

    // What it was sent, and where.
    let sent: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let told = Arc::clone(&sent);
    let serving = tokio::spawn(async move {
        loop {
            let call = upstream.next_ever().await;
            let ids = call.ids().into_iter();
            let ids = ids.map(|id| (call.path.clone(), id.as_str().unwrap().to_owned()));
            told.lock().unwrap().extend(ids);
            call.echo();
        }
    });
    let (stop, stopped) = watch::channel(false);
    let mut callers = JoinSet::new();
    for route in ROUTES {
        for (number, later) in CALLERS.into_iter().enumerate() {
            let (caller, stopped) = (proxy.keep_alive().await, stopped.clone());
            let of = Of {
                route,
                number,
                later,
            };
            callers.spawn(calls(of, caller, stopped));
        }
    }

    let (begun, mut before) = (Instant::now(), [0.0; 4]);
    for n in 1..=SWAPS {
        write(n);
        let answer = proxy.admin("POST", "/reload").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let changed = &answer.json()["routes"]["changed"];
        assert_eq!(changed, &serde_json::json!(ROUTES));
        if n % 50 == 0 {
            let now = counts(&Scrape::of(&proxy).await);
            let fell = now.iter().zip(&before).any(|(now, before)| now < before);
            assert!(!fell, "{now:?} after {before:?}");
            before = now;
        }
    }
    stop.send_replace(true);
    let done = callers.join_all().await;
    serving.abort();
    let mut answered: Vec<_> = done.iter().flat_map(|(_, ids)| ids.clone()).collect();
    let jobs = answered.len();
    println!("{SWAPS} reloads in {:?} under {jobs} jobs", begun.elapsed());

    let mut sent = std::mem::take(&mut *sent.lock().unwrap());
    for (path, id) in &sent {
        assert!(id.starts_with(&path[1..]), "{id} was sent to {path}");
    }
    sent.sort_unstable_by(|one, other| one.1.cmp(&other.1));
    answered.sort_unstable();
    let sent: Vec<_> = sent.into_iter().map(|(_, id)| id).collect();
    assert!(sent == answered, "each was sent once, and no other");

    let scrape = Scrape::of(&proxy).await;
    let each: [f64; 4] = COUNTED.map(|(route, later, _)| {
        let of = done.iter();
        let of = of.filter(|(of, _)| (of.route, of.later) == (route, later));
        of.map(|(_, ids)| ids.len() as f64).sum()
    });
    assert!(each.iter().all(|&jobs| jobs > 0.0), "{each:?}");
    assert_eq!(counts(&scrape), each);
    assert_eq!(scrape.unanswered(), 0.0);
    for none in ["jobs_refused_total", "jobs_cancelled_total"] {
        assert_eq!(scrape.sum(none), 0.0, "{none}");
    }
    let reloads = scrape.get(r#"config_reloads_total{result="ok"}"#);
    assert_eq!(reloads, f64::from(SWAPS));
}
