//! Section 1 of the contract: what is in memory before a job is queued and after it
//! is answered is bounded, however slowly callers send and take.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::{Caller, Proxy, Request, Scrape, ScriptedUpstream, Siege, eventually, within};

const MIB: usize = 1 << 20;
const MAX_BODY: usize = 256 << 10;

/// The head of a job of the largest size.
const HEAD: &str = "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 262144\r\n\r\n";

async fn buffered(proxy: &Proxy) -> f64 {
    Scrape::of(proxy).await.get("buffered_bytes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_bodies_share_what_there_is_and_others_go_on() {
    const OPEN: usize = 400;
    const LIMIT: usize = 8 * MIB;
    let env = [
        ("MICROBATCH_SERVER__MAX_BUFFERED", "8MiB"),
        ("MICROBATCH_SERVER__READ_TIMEOUT", "4s"),
        ("MICROBATCH_UPSTREAM__MAX_RESPONSE", "1MiB"),
    ];
    let siege = Siege::of("open bodies", &[], &env).await;
    let attack = async {
        let mut open = JoinSet::new();
        for _ in 0..OPEN {
            let mut client = siege.raw().await;
            open.spawn(async move {
                client.write(HEAD).await;
                client.write(vec![b' '; MAX_BODY - 1]).await;
                client.until_closed().await
            });
        }
        eventually("the bodies to have come as far as they may", || async {
            (buffered(&siege.proxy).await > 0.8 * LIMIT as f64).then_some(())
        })
        .await;
        let scrape = Scrape::of(&siege.proxy).await;
        assert!(
            scrape.get("buffered_bytes") <= LIMIT as f64,
            "{}",
            scrape.text
        );
        open.join_all().await
    };
    // All of the bodies would be 100 MiB; each connection costs its buffers besides.
    let bound = (LIMIT + OPEN * 128 * 1024) as u64 / 1024;
    siege.within_memory(bound, siege.during(attack)).await;
    let scrape = Scrape::of(&siege.proxy).await;
    let refused = |code: &str| scrape.get(&format!("jobs_refused_total{{code=\"{code}\"}}"));
    let (overloaded, late) = (refused("overloaded"), refused("read-timeout"));
    assert_eq!(overloaded + late, OPEN as f64, "{}", scrape.text);
    assert!(overloaded > 0.0, "{}", scrape.text);
    assert_eq!(scrape.get("buffered_bytes"), 0.0);
    siege.ends().await;
}

/// A body that has begun, and no more.
struct Begun(Option<Bytes>);

impl Body for Begun {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.0.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}

/// An HTTP/2 connection that takes so many bytes of each answer.
async fn http2<B>(proxy: SocketAddr, window: u32) -> http2::SendRequest<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    B: Send + Unpin + 'static,
{
    let socket = TcpStream::connect(proxy).await.expect("a connection");
    let handshake = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(TokioIo::new(socket))
        .await;
    let (sender, connection) = handshake.expect("an HTTP/2 connection");
    tokio::spawn(connection);
    sender
}

fn job<B>(proxy: SocketAddr, body: B) -> hyper::Request<B> {
    let request = hyper::Request::post(format!("http://{proxy}/jobs"));
    request.body(body).expect("a request")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_bodies_on_http2_connections_are_bounded_too() {
    const CONNECTIONS: usize = 10;
    const OPEN: usize = 100;
    let env = [
        ("MICROBATCH_SERVER__MAX_BUFFERED", "8MiB"),
        ("MICROBATCH_SERVER__READ_TIMEOUT", "4s"),
        ("MICROBATCH_UPSTREAM__MAX_RESPONSE", "1MiB"),
    ];
    let siege = Siege::of("open bodies by HTTP/2", &[], &env).await;
    let attack = async {
        let mut open = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let sender = http2(siege.addr(), 1 << 16).await;
            for _ in 0..OPEN {
                let mut sender = sender.clone();
                let body = Bytes::from_static(&[b' '; MAX_BODY - 1]);
                let request = job(siege.addr(), Begun(Some(body)));
                open.spawn(async move {
                    let sent = within("an end", sender.send_request(request)).await;
                    sent.map_or(0, |answer| answer.status().as_u16())
                });
            }
        }
        open.join_all().await
    };
    // Of the connections' own windows of 1 MiB each some is filled besides.
    let bound = (8 + 2 * CONNECTIONS + 20) as u64 * 1024;
    let statuses = siege.within_memory(bound, siege.during(attack)).await;
    assert!(
        statuses
            .iter()
            .all(|status| matches!(status, 0 | 408 | 503))
    );
    assert_eq!(buffered(&siege.proxy).await, 0.0);
    siege.ends().await;
}

/// A connection whose window is 0 takes the heads of its answers and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_results_that_are_not_taken_hold_no_large_answers() {
    const JOBS: usize = 60;
    const LARGE: usize = 4 * MIB;
    let mut upstream = ScriptedUpstream::start().await;
    let flags = ["--max-wait", "0", "--log-level", "info"];
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    let addr = proxy.jobs_addr;
    let mut sender = http2(addr, 0).await;
    let rest = format!(r#"{{"id":"stranger","of":"{}"}}"#, "x".repeat(LARGE));
    let before = proxy.peak_kib();
    let mut untaken: Vec<hyper::Response<Incoming>> = Vec::new();
    let mut bytes = 0;
    for id in 0..JOBS {
        let body = format!(r#"{{"id":{id}}}"#);
        let request = job(addr, body);
        let sent = sender.send_request(request);
        let result = format!(r#"{{"id":{id},"result":1}}"#);
        bytes += result.len();
        let answer = async {
            upstream.next().await.ok(format!("[{result},{rest}]"));
        };
        let (head, ()) = tokio::join!(within("a head", sent), answer);
        untaken.push(head.expect("a head"));
        assert_eq!(untaken[id].status(), 200);
    }
    assert_eq!(
        buffered(&proxy).await,
        bytes as f64,
        "answers count until they are taken"
    );
    let grown = proxy.peak_kib() - before;
    eprintln!("untaken results: memory grew by {grown} KiB at its peak");
    // All of the answers would be 240 MiB, and each is read whole for a moment.
    assert!(grown < 64 * 1024, "{grown} KiB");
    // Others are served, and what is given up is forgotten.
    let (other, ()) = tokio::join!(proxy.post(r#"{"id":1}"#), async {
        upstream.next().await.echo();
    });
    assert_eq!(other.status, 200);
    drop((untaken, sender));
    eventually("the answers to be forgotten", || async {
        (buffered(&proxy).await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_body_without_room_is_told_to_come_again() {
    let mut upstream = ScriptedUpstream::start().await;
    let env = [
        // One body and one answer, and no byte more.
        ("MICROBATCH_SERVER__MAX_BUFFERED", "320KiB"),
        ("MICROBATCH_UPSTREAM__MAX_RESPONSE", "64KiB"),
        ("MICROBATCH_SERVER__READ_TIMEOUT", "1s"),
    ];
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &env).await;
    let mut sender = http2(proxy.jobs_addr, 0).await;
    let mut untaken = Vec::new();
    for id in 0..6 {
        let request = job(proxy.jobs_addr, format!(r#"{{"id":{id}}}"#));
        let result = format!(r#"[{{"id":{id},"is":"{}"}}]"#, "x".repeat(60 << 10));
        let sent = sender.send_request(request);
        let (head, ()) = tokio::join!(within("a head", sent), async {
            upstream.next().await.ok(result);
        });
        untaken.push(head.expect("a head"));
    }
    assert!(buffered(&proxy).await > (320 << 10) as f64);
    let small = r#"{"id":"small"}"#;
    let answer = proxy.post(small).await;
    answer.problem(503, "overloaded", "no").lacks("id");
    // One that still waits goes on as soon as there is room.
    let waiting = Caller::spawn(proxy.jobs_addr, Request::job(small));
    drop((untaken, sender));
    upstream.next().await.echo();
    assert_eq!(waiting.answer().await.status, 200);
    assert_eq!(buffered(&proxy).await, 0.0);
}

#[tokio::test]
async fn a_large_result_arrives_whole() {
    let mut upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &[]).await;
    let addr = proxy.jobs_addr;
    let result = format!(r#"{{"id":1,"result":"{}"}}"#, "ab".repeat(2 * MIB));
    let (answer, ()) = tokio::join!(proxy.post(r#"{"id":1}"#), async {
        upstream.next().await.ok(format!("[{result}]"));
    });
    answer.is_result(&result);
    let mut sender = http2(addr, 1 << 16).await;
    let request = job(addr, r#"{"id":1}"#.to_owned());
    let (answer, ()) = tokio::join!(sender.send_request(request), async {
        upstream.next().await.ok(format!("[{result}]"));
    });
    let body = within("the whole answer", answer.expect("a head").collect()).await;
    assert_eq!(body.expect("a whole answer").to_bytes(), result);
    assert_eq!(buffered(&proxy).await, 0.0);
}
