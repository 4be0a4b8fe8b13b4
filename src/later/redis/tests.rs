//! The store against real servers: `redis-server` and `redis-cli`, and `openssl` for TLS.
//! Where they are missing the tests say so and are skipped, but not where `CI` is set.

mod away_tests;
mod opening_tests;
mod replicas_tests;
mod server;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use self::server::{RUNTIME, are_there, shared};
use super::core::Time;
use super::{Options, Redis};
use crate::code::Code;
use crate::job::{Handle, Job, RouteName};
use crate::json;
use crate::later::answer::Answer;
use crate::later::backlog::{Backlog, Claim, Claimed, NO_FRAME, Which};
use crate::later::clock;
use crate::later::record::{Idempotency, IdempotencyKey, NewRecord, StreamName};
use crate::later::settings::Settings;
use crate::later::store::{Accepted, Store};
use crate::later::suite_tests::{Under, every_lasting_store};

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(120);

const SETTINGS: Settings = Settings {
    max_jobs: 100_000,
    max_bytes: 1 << 30,
    keep: Duration::from_secs(3600),
    job_timeout: Duration::from_secs(3600),
    max_wait: Duration::ZERO,
    max_attempts: 3,
};

/// Options for a server, with keys of their own.
fn options(url: &str) -> Options {
    Options {
        url: url.to_owned(),
        prefix: format!("test-{:016x}", fastrand::u64(..)),
        lease: LONG,
        timeout: Duration::from_secs(30),
        upstream_timeout: Duration::from_secs(30),
        ca: None,
        allow_volatile: true,
    }
}

async fn connect(options: &Options) -> Arc<Redis> {
    Arc::new(Redis::connect(options.clone(), &SETTINGS).await.unwrap())
}

/// A process that is stopped from here on: it says nothing to hold on to what it claims,
/// for which it has so long.
async fn stopped(options: &Options, lease: Duration) -> Redis {
    let options = Options {
        lease,
        ..options.clone()
    };
    let connecting = Redis::connect_by(Time::CALLERS, options, &SETTINGS);
    connecting.await.unwrap()
}

/// A job to be.
fn new(id: u64) -> NewRecord {
    let handle = Handle::new(clock::now()).unwrap();
    let body = Bytes::from(format!("{{\"id\":{id}}}"));
    let job = Job::parse(body, json::MAX_DEPTH).unwrap();
    NewRecord {
        handle,
        route: RouteName::jobs(),
        job: job.for_later(handle),
        frame: NO_FRAME,
        stream: None,
        idempotency: None,
        deadline: clock::now() + clock::millis(SETTINGS.job_timeout),
    }
}

async fn accept(store: &Redis, jobs: u64) -> Vec<Handle> {
    let accepted = store.accept((0..jobs).map(new).collect()).await;
    let handle = |accepted| match accepted {
        Ok(Accepted::New(record)) => record.handle,
        other => panic!("not new: {other:?}"),
    };
    accepted.into_iter().map(handle).collect()
}

async fn claim(store: &Redis, which: Which) -> Vec<Claimed> {
    let claim = Claim {
        route: RouteName::jobs(),
        max_items: 64,
        max_bytes: 1 << 20,
        which,
    };
    store.claim(claim).await.unwrap()
}

fn handles(claimed: &[Claimed]) -> Vec<Handle> {
    claimed.iter().map(|it| it.handle).collect()
}

fn answer(status: u16) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    Answer::new(Code::Ok, status, &HeaderMap::new(), &Bytes::from("{}"))
}

async fn status(store: &Redis, handle: Handle) -> Option<u16> {
    let record = store.fetch(handle, crate::later::store::Look::ForState);
    let answer = record.await.unwrap()?.answer?;
    Some(answer.status().as_u16())
}

/// One process after another, whose time is the test's.
struct InRedis;

/// How each store was opened, by the name of its process.
static OPENED: LazyLock<Mutex<HashMap<String, Options>>> = LazyLock::new(Mutex::default);

/// Opens one elsewhere than in the test, whose clock stands still, and which may block.
async fn open(options: Options, settings: &Settings) -> Redis {
    let (opened, settings) = (options.clone(), *settings);
    let opening = RUNTIME.spawn(async move {
        let opening = Redis::connect_by(Time::CALLERS, opened, &settings);
        opening.await.unwrap()
    });
    let store = opening.await.unwrap();
    let mut all = OPENED.lock().unwrap();
    all.insert(store.core.me.clone(), options);
    store
}

/// Ends all leases.
async fn lapse(options: &Options) {
    const ALL: &str = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
        for _, it in ipairs(redis.call('ZRANGEBYSCORE', key, 1, '+inf')) do
            redis.call('ZADD', key, 1, it) end end";
    let (url, keys) = (options.url.clone(), format!("{{{}}}:l:*", options.prefix));
    let lapsing = RUNTIME.spawn(async move {
        let client = redis::Client::open(url).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut all = redis::cmd("EVAL");
        all.arg(ALL).arg(0).arg(keys);
        all.query_async::<()>(&mut connection).await.unwrap();
    });
    lapsing.await.unwrap();
}

impl Under for InRedis {
    type Store = Redis;

    fn is_there() -> bool {
        are_there()
    }

    async fn make(settings: &Settings) -> Redis {
        open(options(&shared().url), settings).await
    }

    /// Its leases run out, and the next process sees that.
    async fn reopen(store: Redis, settings: &Settings) -> Redis {
        let options = OPENED.lock().unwrap().remove(&store.core.me).unwrap();
        drop(store);
        lapse(&options).await;
        let store = open(options, settings).await;
        for route in store.routes() {
            let claim = Claim {
                route,
                max_items: 1,
                max_bytes: 1,
                which: Which::Overdue { now: 0 },
            };
            assert_eq!(store.claim(claim).await, Ok(Vec::new()));
        }
        store
    }

    async fn pass(time: Duration) {
        tokio::time::advance(time).await;
    }
}

every_lasting_store!(InRedis);
