//! The set-ups in `config/` for jobs for later, and what they are there for: what was handed in
//! outlives a proxy that is killed.

use tempfile::TempDir;

use crate::harness::{Proxy, Redis, ScriptedUpstream, SetUp, Signal};

/// The files, without their endings.
pub const NAMES: [&str; 2] = [FILE, REPLICAS];
const FILE: &str = "later-one-machine";
const REPLICAS: &str = "later-replicas";

const RESULT: &str = r#"{"id":"a","result":null}"#;

/// One of them before this upstream, keeping records there. Jobs for later wait until the
/// story has them sent.
async fn start(name: &str, store: &str, upstream: &ScriptedUpstream) -> Proxy {
    let set_up = SetUp::before(&format!("http://{}", upstream.addr()), name);
    let settings = [
        ("LATER__STORE", store),
        // More than the harness has for upstream.timeout.
        ("LATER__LEASE", "90s"),
        ("LATER__MAX_WAIT", "1h"),
    ];
    set_up.start(&settings).await
}

async fn kill(mut proxy: Proxy) {
    proxy.signal(Signal::KILL);
    assert_eq!(proxy.exit_code().await, None);
}

/// A job that waits and an answer outlive a proxy that is killed: the next one has both.
async fn what_was_handed_in_outlives_the_process(name: &str, store: &str) {
    let mut upstream = ScriptedUpstream::start().await;
    let proxy = start(name, store, &upstream).await;
    let finished = proxy.hand_in(r#"{"id":"a"}"#).await;
    proxy.flush().await;
    upstream.next().await.echo();
    proxy.finished(&finished).await.is_result(RESULT);
    let waiting = [
        proxy.hand_in(r#"{"id":"b"}"#).await,
        proxy.hand_in(r#"{"id":"c"}"#).await,
    ];
    kill(proxy).await;
    assert!(upstream.arrived().is_none(), "{name}");

    let proxy = start(name, store, &upstream).await;
    proxy.fetch(&finished).await.is_result(RESULT);
    for handed in &waiting {
        assert_eq!(proxy.state(handed).await, "queued", "{name}");
    }
    proxy.flush().await;
    let batch = upstream.next().await;
    assert_eq!(batch.ids(), ["b", "c"], "{name}");
    batch.echo();
    for handed in &waiting {
        assert_eq!(proxy.finished(handed).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn what_one_machine_was_handed_in_outlives_the_process() {
    let folder = TempDir::new().unwrap();
    let store = format!("sqlite:{}", folder.path().join("later.db").display());
    what_was_handed_in_outlives_the_process(FILE, &store).await;
}

#[tokio::test]
async fn what_a_replica_was_handed_in_outlives_it() {
    let Some(redis) = Redis::start(&Redis::LASTING).await else {
        return;
    };
    what_was_handed_in_outlives_the_process(REPLICAS, &redis.url()).await;
}

/// Each replica has what any of them was handed in.
#[tokio::test]
async fn replicas_send_each_other_s_jobs_and_have_each_other_s_answers() {
    let Some(redis) = Redis::start(&Redis::LASTING).await else {
        return;
    };
    let mut upstream = ScriptedUpstream::start().await;
    let one = start(REPLICAS, &redis.url(), &upstream).await;
    let other = start(REPLICAS, &redis.url(), &upstream).await;
    let handed = [
        one.hand_in(r#"{"id":"a"}"#).await,
        other.hand_in(r#"{"id":"b"}"#).await,
    ];
    one.flush().await;
    let batch = upstream.next().await;
    assert_eq!(batch.ids(), ["a", "b"]);
    batch.echo();
    for proxy in [&one, &other] {
        for handed in &handed {
            assert_eq!(proxy.finished(handed).await.status, 200);
        }
    }
}
