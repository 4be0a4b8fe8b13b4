//! Redis that is gone, slow, restarted, full, of no use or promoted, while proxies are on it.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::{Handed, Request, eventually};
use crate::network::{Network, Weather};
use crate::redis::{LASTING, Redis};
use crate::scene::{
    Env, Scene, callers_notice_nothing, done, heals, is_away, is_done, job, unavailable,
};

/// A step gives up soon, a lease is over soon.
const SOON: &Env<'_> = &[
    ("MICROBATCH_LATER__TIMEOUT", "300ms"),
    ("MICROBATCH_LATER__LEASE", "2s"),
];

/// What a test waits for a step at most that gives up after 300 ms: no expectation of speed.
const LONGEST_STEP: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_gone_is_said_and_comes_back() {
    let Some(mut redis) = Redis::start(&LASTING).await else {
        return;
    };
    let scene = Scene::new().await;
    let store = format!("unix://{}", redis.socket().display());
    let proxy = scene.start(&store, SOON).await;
    let handed = done(&proxy, 0, 100).await;
    for round in 1..4 {
        redis.kill().await;
        is_away(&proxy, &handed, round * 10).await;
        redis.restart().await;
        heals(&proxy, round * 10 + 2).await;
        is_done(&proxy, &handed, 0, 100).await;
    }
    // At a start it is a mistake.
    redis.kill().await;
    let log = scene.refused(&store, SOON).await;
    assert!(log.contains("redis.sock"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_slow_holds_nobody_up() {
    let Some(redis) = Redis::start(&LASTING).await else {
        return;
    };
    let scene = Scene::new().await;
    let network = Network::to(&redis.socket()).await;
    let proxy = scene.start(&network.url(), SOON).await;
    let handed = done(&proxy, 0, 100).await;
    let weathers = [
        Weather::Slow(Duration::from_secs(3)),
        Weather::Silent,
        Weather::NoReplies,
        Weather::Cut,
    ];
    for (round, weather) in (1..).zip(weathers) {
        network.set(weather);
        let begun = Instant::now();
        is_away(&proxy, &handed, round * 10).await;
        let took = begun.elapsed();
        assert!(took < LONGEST_STEP, "{weather:?}: {took:?}");
        network.set(Weather::Clear);
        heals(&proxy, round * 10 + 2).await;
        is_done(&proxy, &handed, 0, 100).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_is_unknown_and_the_key_finds_the_job() {
    let Some(redis) = Redis::start(&LASTING).await else {
        return;
    };
    let scene = Scene::new().await;
    let network = Network::to(&redis.socket()).await;
    let proxy = scene.start(&network.url(), SOON).await;
    done(&proxy, 0, 100).await;
    network.set(Weather::NoReplies);
    let request = Request::later(job(1, 100)).header("idempotency-key", "\"one\"");
    let answer = proxy.send(request.clone()).await;
    unavailable(&answer);
    let problem = answer.json();
    assert_eq!(problem["dispatched"], "unknown", "{problem}");
    assert_eq!(problem["retryable"], true, "{problem}");
    let without = proxy.send(Request::later(job(2, 100))).await;
    unavailable(&without);
    network.set(Weather::Clear);
    let (mut first, mut again) = (String::new(), String::new());
    for location in [&mut first, &mut again] {
        *location = eventually("the store to be back", || async {
            let answer = proxy.send(request.clone()).await;
            (answer.status < 500).then(|| answer.header("location").to_owned())
        })
        .await;
    }
    assert_eq!(first, again);
    let handle = first.rsplit('/').next().expect("a handle").to_owned();
    let handed = Handed {
        location: first,
        handle,
    };
    is_done(&proxy, &handed, 1, 100).await;
    assert_eq!(scene.seen(1), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgets_is_refused_at_start() {
    let evicting = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let lasting = ["--appendonly", "yes"];
    let rows = [
        ("appendonly", ["--appendonly", "no"].to_vec()),
        ("maxmemory-policy", [&lasting[..], &evicting].concat()),
    ];
    let scene = Scene::new().await;
    for (said, settings) in rows {
        let Some(redis) = Redis::start(&settings).await else {
            return;
        };
        let store = format!("unix://{}", redis.socket().display());
        let log = scene.refused(&store, SOON).await;
        for said in [said, "allow_volatile"] {
            assert!(log.contains(said), "no {said} in {log}");
        }
        let allowed = [("MICROBATCH_LATER__ALLOW_VOLATILE", "true")];
        let proxy = scene.start(&store, &[SOON, &allowed].concat()).await;
        done(&proxy, 0, 100).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_full_is_said_and_heals() {
    let Some(redis) = Redis::start(&LASTING).await else {
        return;
    };
    let scene = Scene::new().await;
    let store = format!("unix://{}", redis.socket().display());
    let proxy = scene.start(&store, SOON).await;
    let handed = done(&proxy, 0, 100).await;
    assert_eq!(redis.ask("CONFIG SET maxmemory 1").await, "+OK");
    let refused = proxy.send(Request::later(job(1, 100))).await;
    unavailable(&refused);
    assert_eq!(refused.json()["dispatched"], "no", "{refused:?}");
    callers_notice_nothing(&proxy, 2).await;
    // It can be read, and room can be made.
    is_done(&proxy, &handed, 0, 100).await;
    assert_eq!(redis.ask("CONFIG SET maxmemory 0").await, "+OK");
    heals(&proxy, 3).await;
    assert_eq!(scene.seen(1), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_as_redis_gets_full_finishes_without_room() {
    let Some(redis) = Redis::start(&LASTING).await else {
        return;
    };
    let scene = Scene::new().await;
    let store = format!("unix://{}", redis.socket().display());
    let slowly = [("MICROBATCH_LATER__MAX_WAIT", "2s")];
    let proxy = scene.start(&store, &[SOON, &slowly].concat()).await;
    let mut handed = Vec::new();
    for id in 0..20 {
        handed.push(proxy.hand_in(&job(id, 100)).await);
    }
    assert_eq!(redis.ask("CONFIG SET maxmemory 1").await, "+OK");
    callers_notice_nothing(&proxy, 100).await;
    for (id, handed) in (0..).zip(&handed) {
        is_done(&proxy, handed, id, 100).await;
        assert_eq!(scene.seen(id), 1);
    }
    // There was none all the while.
    unavailable(&proxy.send(Request::later(job(101, 100))).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_redis_takes_over() {
    let Some(first) = Redis::start(&LASTING).await else {
        return;
    };
    let Some(second) = Redis::start(&LASTING).await else {
        return;
    };
    let scene = Scene::new().await;
    let network = Network::to(&first.socket()).await;
    let behind = Network::to(&first.socket()).await;
    let (host, port) = (behind.addr().ip(), behind.addr().port());
    let follow = format!("REPLICAOF {host} {port}");
    assert_eq!(second.ask(&follow).await, "+OK");
    let proxy = scene.start(&network.url(), SOON).await;
    let mut handed = Vec::new();
    for id in 0..10 {
        handed.push(done(&proxy, id, 100).await);
    }
    eventually("the second to follow", || async {
        (first.ask("WAIT 1 1000").await == ":1").then_some(())
    })
    .await;
    // The second leads; the first follows it, and refuses what it is asked on the
    // connections that are open: they do not break by themselves.
    assert_eq!(second.ask("REPLICAOF NO ONE").await, "+OK");
    let before = Network::to(&second.socket()).await;
    let (host, port) = (before.addr().ip(), before.addr().port());
    let follow = format!("REPLICAOF {host} {port}");
    network.lead_to(&second.socket());
    assert_eq!(first.ask(&follow).await, "+OK");
    heals(&proxy, 100).await;
    for (id, handed) in (0..).zip(&handed) {
        is_done(&proxy, handed, id, 100).await;
        assert_eq!(scene.seen(id), 1);
    }
    callers_notice_nothing(&proxy, 101).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_redis_forgot_are_told_again() {
    let Some(redis) = Redis::start(&LASTING).await else {
        return;
    };
    let scene = Scene::new().await;
    let store = format!("unix://{}", redis.socket().display());
    let proxy = scene.start(&store, SOON).await;
    for id in 0..3 {
        done(&proxy, id, 100).await;
        assert_eq!(redis.ask("SCRIPT FLUSH").await, "+OK");
    }
    done(&proxy, 9, 100).await;
}
