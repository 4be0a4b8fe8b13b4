//! Section 11 of the contract: whoever listens holds nothing but a connection.

use std::time::Duration;

use crate::harness::h2::{self, DATA, HEADERS};
use crate::harness::{
    Listening, Proxy, RawClient, Request, Scrape, ScriptedUpstream, eventually,
};

async fn start(flags: &[&str], env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let env = [&[("MICROBATCH_LATER__MAX_WAIT", "0")], env].concat();
    let proxy = Proxy::start(&upstream.url(), flags, &env).await;
    (proxy, upstream)
}

/// Longer than the times that the settings of a story give a connection.
const WHILE: Duration = Duration::from_millis(600);

const SHORT: [(&str, &str); 3] = [
    ("MICROBATCH_SERVER__IDLE_TIMEOUT", "100ms"),
    ("MICROBATCH_SERVER__WRITE_TIMEOUT", "100ms"),
    ("MICROBATCH_SERVER__READ_TIMEOUT", "100ms"),
];

async fn done(proxy: &Proxy, upstream: &mut ScriptedUpstream, id: u32) {
    let job = format!(r#"{{"id":{id}}}"#);
    proxy.hand_in_to("/jobs?stream=s", &job).await;
    upstream.next().await.echo();
}

#[tokio::test]
async fn one_that_hears_nothing_for_a_while_stays() {
    let (proxy, mut upstream) = start(&[], &SHORT).await;
    let mut listening = Listening::to_stream(&proxy, "s").await;
    // It is a duration that is told, not something that is waited for.
    tokio::time::sleep(WHILE).await;
    done(&proxy, &mut upstream, 1).await;
    assert_eq!(listening.event().await.unwrap().json()["id"], 1);
    tokio::time::sleep(WHILE).await;
    done(&proxy, &mut upstream, 2).await;
    assert_eq!(listening.event().await.unwrap().json()["id"], 2);
}

#[tokio::test]
async fn so_does_one_on_http2() {
    let (proxy, mut upstream) = start(&[], &SHORT).await;
    let mut client = RawClient::connect(proxy.jobs_addr).await;
    client.greet(&[]).await;
    let head = h2::get("/streams/s");
    client.write(h2::frame(HEADERS, h2::END_HEADERS | h2::END_STREAM, 1, &head)).await;
    client.frame_of(HEADERS).await;
    for id in [1, 2] {
        tokio::time::sleep(WHILE).await;
        done(&proxy, &mut upstream, id).await;
        let (stream, data) = client.frame_of(DATA).await;
        let data = String::from_utf8(data).unwrap();
        assert_eq!(stream, 1);
        assert!(data.contains(&format!("\"id\":{id},")), "{data}");
    }
}

#[tokio::test]
async fn it_makes_no_room_for_others() {
    let env = [("MICROBATCH_SERVER__MAX_CONNECTIONS", "1")];
    let (proxy, _upstream) = start(&[], &env).await;
    let mut listening = Listening::to_stream(&proxy, "s").await;
    tokio::time::sleep(WHILE).await;
    let mut waiting = RawClient::connect(proxy.jobs_addr).await;
    waiting.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answered = tokio::time::timeout(WHILE, waiting.answer()).await;
    assert!(answered.is_err(), "its place is taken");
    let heard = tokio::time::timeout(Duration::from_millis(1), listening.event()).await;
    assert!(heard.is_err(), "it is still there: {heard:?}");
    drop(listening);
    assert_eq!(waiting.answer().await.status, 200);
}

#[tokio::test]
async fn one_that_does_not_read_is_dropped_and_holds_nothing() {
    let env = [("MICROBATCH_SERVER__WRITE_TIMEOUT", "300ms")];
    let (proxy, mut upstream) = start(&["--max-wait", "0"], &env).await;
    let mut deaf = RawClient::connect(proxy.jobs_addr).await;
    deaf.write("GET /streams/s HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let size = 1_000_000;
    let count = 12;
    for id in 0..count {
        proxy.hand_in_to("/jobs?stream=s", &format!(r#"{{"id":{id}}}"#)).await;
        let element = format!(r#"{{"id":{id},"x":"{}"}}"#, "x".repeat(size));
        upstream.next().await.ok(format!("[{element}]"));
    }
    let buffered = async || Scrape::of(&proxy).await.sum("buffered_bytes");
    // What it has not taken counts; an event, and not all of them.
    let peak = eventually("an event that is not taken", || async {
        let bytes = buffered().await;
        (bytes > 0.0).then_some(bytes)
    })
    .await;
    assert!(peak < 2.0 * size as f64, "{peak}");
    eventually("it to be dropped", || async {
        (buffered().await == 0.0).then_some(())
    })
    .await;
    let rest = deaf.until_closed().await;
    assert!(rest.len() < size * count, "{} bytes", rest.len());
    // Another, who reads, hears of all.
    let mut listening = Listening::to_stream(&proxy, "s").await;
    for id in 0..count {
        assert_eq!(listening.event().await.unwrap().json()["id"], id);
    }
}

#[tokio::test]
async fn one_that_leaves_is_gone() {
    let (proxy, mut upstream) = start(&[], &[]).await;
    let connections = async || {
        let live = proxy.admin("GET", "/live").await.json();
        live["current"]["connections"].as_u64().unwrap()
    };
    let listening: Vec<_> = {
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(Listening::to_stream(&proxy, "s").await);
        }
        all
    };
    assert_eq!(connections().await, 5);
    drop(listening);
    eventually("all to be gone", || async {
        (connections().await == 0).then_some(())
    })
    .await;
    done(&proxy, &mut upstream, 1).await;
}

#[tokio::test]
async fn many_listeners_hear_the_same() {
    let (proxy, mut upstream) = start(&[], &[]).await;
    let mut all = Vec::new();
    for _ in 0..100 {
        let request = Request::new("GET", "/streams/s");
        all.push(Listening::to(&proxy, request).await);
    }
    for id in 0..3 {
        done(&proxy, &mut upstream, id).await;
    }
    for listening in &mut all {
        for id in 0..3 {
            assert_eq!(listening.event().await.unwrap().json()["id"], id);
        }
    }
}
