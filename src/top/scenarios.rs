//! Made-up proxies for the tests: what `GET /live` answers in a few situations.

use serde_json::{Value, json};

use super::history::{History, SPAN};
use super::wire::{Live, Second};
use crate::ask::advice::Kind;

/// An answer at that second of a proxy that started long ago.
pub(super) fn live(now: u64, seconds: Vec<Second>) -> Live {
    let mut live: Live = serde_json::from_value(document(now)).unwrap();
    live.seconds = seconds;
    live
}

/// A second in which so many jobs came and were answered, ten to a batch, after
/// the wait.
pub(super) fn second(t: u64, jobs: u64) -> Second {
    let batches = jobs.div_ceil(10);
    let second = json!({
        "t": t, "jobs": jobs, "batches": batches, "batch_jobs": batches * 10, "fill": 0.1,
        "wait_p50_ms": 4.8, "wait_p99_ms": 5.2, "upstream_p50_ms": 9.8, "upstream_p99_ms": 20.5,
        "job_p50_ms": 14.9, "job_p99_ms": 25.7,
        "reasons": {"wait": batches}, "outcomes": {"ok": jobs}, "unheard_of": [1],
    });
    serde_json::from_value(second).unwrap()
}

fn document(now: u64) -> Value {
    let sizes = [
        [1, 1, 0],
        [2, 3, 0],
        [4, 7, 0],
        [8, 15, 30],
        [16, 31, 0],
        [32, 63, 0],
        [64, 100, 0],
    ]
    .map(|[from, to, batches]| json!({"from": from, "to": to, "batches": batches}));
    json!({
        "version": "0.1.0", "now": now as f64 + 0.25, "started": 10.0, "ready": true,
        "circuit": "closed", "unheard_of": {},
        "health": {"state": "ready", "kind": "good", "text": "ready"},
        "limits": {"max_size": 100, "max_bytes": 1048576, "max_wait_ms": 5.0, "max_in_flight": 10,
            "adaptive_in_flight": false, "queue_jobs": 10000, "queue_bytes": 67108864},
        "current": {"queue_jobs": 0, "queue_bytes": 0, "in_flight": 0, "connections": 0},
        "seconds": [], "failures": [], "settings": [],
        "sizes": sizes,
        "advice": [],
    })
}

fn problem(live: &mut Live, state: &str, text: &str) {
    (live.health.kind, live.health.state) = (Kind::Problem, state.to_owned());
    live.health.text = text.to_owned();
}

fn advised(live: &mut Live, kind: &str, text: &str) {
    live.advice
        .push(serde_json::from_value(json!({"kind": kind, "text": text})).unwrap());
}

/// It has just started.
pub(super) fn no_jobs_yet() -> History {
    let mut live = live(1000, vec![]);
    live.started = 998.0;
    advised(
        &mut live,
        "hint",
        "No job came in the last minute. Send one.",
    );
    History::new(live)
}

/// A steady trickle that never fills a batch.
pub(super) fn fixed_waits() -> History {
    let jobs = |t: u64| 100 + t % 50;
    let seconds = (1000 - SPAN..=1000).map(|t| second(t, jobs(t)));
    let mut live = live(1000, seconds.collect());
    live.current.connections = 64;
    let off = json!({"key": "circuit.failures", "value": "0"});
    live.settings = vec![serde_json::from_value(off).unwrap()];
    let text = "100 % of batches leave on `wait`, 10 % full: callers pay 5 ms for little company. \
                `batch.wait = \"adaptive\"` would spare it, a longer `batch.max_wait` find more.";
    advised(&mut live, "hint", text);
    advised(
        &mut live,
        "hint",
        "64 connections can never fill batches of 100.",
    );
    History::new(live)
}

/// Jobs for later wait, and nearly fill their store.
pub(super) fn backlog() -> History {
    let seconds = (980..=1000).map(|t| {
        let mut second = second(t, 40);
        let later = json!({"handed_in": 90, "outcomes": {"ok": 50, "upstream-timeout": 3},
            "expired_unread": 1, "free_seats": 12, "backlog": 4064});
        second.later = Some(serde_json::from_value(later).unwrap());
        second
    });
    let mut live = live(1000, seconds.collect());
    let later = json!({"accepted": 100000, "queued": 4000, "sent": 64, "done": 80000, "failed": 12,
        "oldest_queued_ms": 42000.0, "bytes": 1000, "max_jobs": 100000, "max_bytes": 1000000});
    live.later = Some(serde_json::from_value(later).unwrap());
    History::new(live)
}

/// The same after the process before this one was killed.
pub(super) fn recovered() -> History {
    let mut history = backlog();
    let mut last = second(1000, 40);
    let later = json!({"recovered": {"interrupted": 3, "queued_again": 12}, "fenced": 2});
    last.later = Some(serde_json::from_value(later).unwrap());
    let mut live = history.live.clone();
    live.seconds = vec![last];
    history.take(live);
    history
}

/// More comes in than the upstream takes.
pub(super) fn saturated() -> History {
    let seconds = (900..=1000).map(|t| {
        let mut second = second(t, 12_345);
        second.refused = 678;
        second.slots_busy = 1.0;
        second.fill = 1.0;
        second.reasons = [("size".to_owned(), 123)].into();
        second.wait_p50_ms = Some(812.0);
        second.wait_p99_ms = Some(1500.0);
        second.outcomes.insert("queue-timeout".to_owned(), 12);
        second
    });
    let mut live = live(1000, seconds.collect());
    (live.current.queue_jobs, live.current.in_flight) = (10_000, 10);
    live.limits.adaptive_in_flight = true;
    problem(&mut live, "failing", "5 % of jobs fail or are refused");
    advised(
        &mut live,
        "problem",
        "10000 jobs waited at once, 100 % of `queue.max_jobs`.",
    );
    advised(&mut live, "problem", &"All 10 slots are taken. ".repeat(20));
    History::new(live)
}

/// Two routes, of which one fails: both together, or one of them.
pub(super) fn two_routes(route: Option<&str>) -> History {
    let History { mut live, .. } = failing();
    live.seconds = (980..=1000).map(|t| second(t, 40)).collect();
    live.routes = ["jobs", "predict"].map(str::to_owned).into();
    live.route = route.map(str::to_owned);
    for failure in &mut live.failures {
        failure.route = route.is_none().then(|| "predict".to_owned());
    }
    let settings = [
        ("circuit.failures", "0"),
        ("routes.predict.circuit.failures", "5"),
    ];
    let settings = settings.map(|(key, value)| json!({"key": key, "value": value}));
    live.settings = serde_json::from_value(settings.into()).unwrap();
    (live.circuit, live.ready) = ("closed".to_owned(), true);
    (live.health, live.advice) = Default::default();
    History::new(live)
}

/// The upstream is gone, and then the proxy too.
pub(super) fn failing() -> History {
    let seconds = (980..=1000).map(|t| {
        let mut second = second(t, 40);
        let codes = [
            "upstream-timeout",
            "upstream-disconnected",
            "upstream-gateway-timeout",
        ];
        let codes = codes
            .into_iter()
            .chain(["upstream-overloaded", "circuit-open"]);
        second.outcomes = codes.map(|code| (code.to_owned(), 8)).collect();
        second.reasons.insert("unheard-of".to_owned(), 1);
        second
    });
    let mut live = live(1000, seconds.collect());
    (live.circuit, live.ready) = ("open".to_owned(), false);
    problem(&mut live, "circuit-open", "circuit open, jobs are refused");
    let failure = |at: u32| {
        json!({"t": 999.5 - f64::from(at), "batch_id": "01a1fc49-34f1-74a1-8e29-811633df5a82",
            "size": 64, "outcome": "upstream-malformed", "duration_ms": 12.2, "count": 9, "jobs": 500,
            "first": 980.0, "upstream_status": 200, "content_type": "application/json",
            "cause": "an object with an array in it", "excerpt": format!("{{\"results {at}")})
    };
    live.failures = (0..20)
        .map(|at| serde_json::from_value(failure(at)).unwrap())
        .collect();
    advised(
        &mut live,
        "problem",
        "The circuit is open. Look at the last failed batches.",
    );
    History::new(live)
}
