//! Section 11 of the contract: whoever listens holds nothing but a connection.

use std::time::Duration;

use crate::harness::h2::{self, DATA, HEADERS};
use crate::harness::{
    Caller, Listening, Proxy, RawClient, Request, Scrape, ScriptedUpstream, eventually,
};

async fn start(flags: &[&str], env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let env = [&[("MICROBATCH_LATER__MAX_WAIT", "0")], env].concat();
    let proxy = Proxy::start(&upstream.url(), flags, &env).await;
    (proxy, upstream)
}

/// Longer than the times that the settings of a story give a connection.
const WHILE: Duration = Duration::from_millis(1_500);

const SHORT: [(&str, &str); 2] = [
    ("MICROBATCH_SERVER__IDLE_TIMEOUT", "500ms"),
    ("MICROBATCH_SERVER__WRITE_TIMEOUT", "500ms"),
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
    let head = b"\x82\x86\x04\x0a/streams/s\x01\x09localhost";
    let flags = h2::END_HEADERS | h2::END_STREAM;
    client.write(h2::frame(HEADERS, flags, 1, head)).await;
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
    waiting
        .write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let answered = tokio::time::timeout(WHILE, waiting.answer()).await;
    assert!(answered.is_err(), "its place is taken");
    let heard = tokio::time::timeout(Duration::from_millis(1), listening.event()).await;
    assert!(heard.is_err(), "it is still there: {heard:?}");
    drop(listening);
    assert_eq!(waiting.answer().await.status, 200);
}

/// A megabyte each, and more than all the buffers of a connection hold.
const SIZE: usize = 1_000_000;
const COUNT: u32 = 20;

async fn many_done(proxy: &Proxy, upstream: &mut ScriptedUpstream) {
    for id in 0..COUNT {
        let job = format!(r#"{{"id":{id}}}"#);
        let handed = proxy.hand_in_to("/jobs?stream=s", &job).await;
        let element = format!(r#"{{"id":{id},"x":"{}"}}"#, "x".repeat(SIZE));
        upstream.next().await.ok(format!("[{element}]"));
        proxy
            .send(Request::new("HEAD", &handed.location).header("prefer", "wait=60"))
            .await;
    }
}

async fn buffered(proxy: &Proxy) -> f64 {
    Scrape::of(proxy).await.sum("buffered_bytes")
}

async fn connections(proxy: &Proxy) -> u64 {
    let live = proxy.admin("GET", "/live").await.json();
    live["current"]["connections"].as_u64().unwrap()
}

#[tokio::test]
async fn an_event_that_is_not_taken_counts_and_no_more_than_one_is_held() {
    let (proxy, mut upstream) = start(&["--max-wait", "0"], &[]).await;
    many_done(&proxy, &mut upstream).await;
    let mut listening = Listening::to_stream(&proxy, "s").await;
    eventually("an event that is not taken", || async {
        (buffered(&proxy).await > 0.0).then_some(())
    })
    .await;
    let held = buffered(&proxy).await;
    assert!(held < 1.5 * SIZE as f64, "{held}");
    for id in 0..COUNT {
        assert_eq!(listening.event().await.unwrap().json()["id"], id);
    }
    eventually("all to be taken", || async {
        (buffered(&proxy).await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_that_does_not_read_is_dropped() {
    let env = [("MICROBATCH_SERVER__WRITE_TIMEOUT", "300ms")];
    let (proxy, mut upstream) = start(&["--max-wait", "0"], &env).await;
    many_done(&proxy, &mut upstream).await;
    let mut deaf = RawClient::connect(proxy.jobs_addr).await;
    deaf.write("GET /streams/s HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    // Only then is it certain that the proxy has it.
    deaf.until(b"\r\n\r\n").await;
    eventually("it to be dropped", || async {
        (connections(&proxy).await == 0).then_some(())
    })
    .await;
    assert_eq!(buffered(&proxy).await, 0.0);
    let rest = deaf.until_closed().await;
    assert!(rest.len() < SIZE * COUNT as usize, "{} bytes", rest.len());
}

#[tokio::test]
async fn one_that_leaves_is_gone() {
    let (proxy, mut upstream) = start(&[], &[]).await;
    let listening: Vec<_> = {
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(Listening::to_stream(&proxy, "s").await);
        }
        all
    };
    assert_eq!(connections(&proxy).await, 5);
    drop(listening);
    eventually("all to be gone", || async {
        (connections(&proxy).await == 0).then_some(())
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

#[tokio::test]
async fn nobody_waits_for_a_job_of_whoever_waits_for_something_else() {
    let flags = ["--wait", "adaptive", "--max-wait", "50s"];
    let (proxy, mut upstream) = start(&flags, &[("MICROBATCH_LATER__MAX_WAIT", "50s")]).await;
    let handed = proxy.hand_in_to("/jobs?stream=s", r#"{"id":1}"#).await;
    let mut listening = Listening::to_stream(&proxy, "s").await;
    let wait = ("prefer", "wait=50");
    let poll = Request::new("GET", &handed.location).header(wait.0, wait.1);
    let poll = Caller::spawn(proxy.jobs_addr, poll);
    let request = Request::later(r#"{"id":2}"#).header(wait.0, wait.1);
    let waiting = Caller::spawn(proxy.jobs_addr, request);
    proxy.log.nth("job handed in for later", 2).await;
    // Both jobs for later go along once a caller's is in, and nobody else could send one.
    let caller = Caller::spawn(proxy.jobs_addr, Request::job(r#"{"id":3}"#));
    let mut done = 0;
    while done < 3 {
        let call = upstream.next().await;
        done += call.ids().len();
        call.echo();
    }
    for caller in [poll, waiting, caller] {
        assert_eq!(caller.answer().await.status, 200);
    }
    assert_eq!(listening.event().await.unwrap().json()["id"], 1);
}
