//! What a request costs its connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::connections::Connections;
use super::*;

const LIMITS: Limits = Limits {
    read_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(10),
    write_timeout: Duration::from_secs(10),
    max_body: 100,
    max_streams: 1,
};

async fn echo(request: Request<RequestBody>) -> Response<Full<Bytes>> {
    let body = request.into_body().collect().await.unwrap();
    Response::new(Full::new(body.to_bytes()))
}

#[tokio::test]
async fn a_request_that_comes_whole_is_polled_once() {
    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody";
    let (ours, mut theirs) = duplex(1_000);
    let permit = Connections::new(1).place().await;
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&polls);
    tokio::spawn(async move {
        let mut serving = Box::pin(serve(ours, echo, LIMITS, permit));
        let poll = |context: &mut std::task::Context<'_>| {
            counted.fetch_add(1, Ordering::Relaxed);
            serving.as_mut().poll(context)
        };
        std::future::poll_fn(poll).await;
    });
    tokio::task::yield_now().await;
    for request in 1..10 {
        theirs.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"body") {
            theirs.read_buf(&mut answer).await.unwrap();
        }
        // Whatever has woken it since is seen by now.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1 + request);
    }
    // A body that comes in pieces is read to its end all the same.
    let (head, body) = REQUEST.split_at(REQUEST.len() - 3);
    for part in [head, &body[..1], &body[1..]] {
        theirs.write_all(part).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"body") {
        theirs.read_buf(&mut answer).await.unwrap();
    }
}

/// Serves what comes over a pipe; the other end of it, and the task.
async fn served() -> (tokio::io::DuplexStream, tokio::task::JoinHandle<()>) {
    let (ours, theirs) = duplex(1_000);
    let permit = Connections::new(1).place().await;
    (theirs, tokio::spawn(serve(ours, echo, LIMITS, permit)))
}

#[tokio::test]
async fn http2_is_known_by_its_preface_however_that_comes() {
    // With the frame of SETTINGS that has to follow.
    const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for size in [1, 7, 24, 30, BEGINNING.len()] {
        let (mut theirs, _serving) = served().await;
        for part in BEGINNING.chunks(size) {
            theirs.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
        // Its own SETTINGS, on stream 0.
        let mut frame = [0; 9];
        theirs.read_exact(&mut frame).await.unwrap();
        assert_eq!((frame[3], &frame[5..]), (4, &[0; 4][..]), "{size}");
    }
}

#[tokio::test]
async fn http1_may_begin_as_the_preface_does() {
    let (mut theirs, _serving) = served().await;
    for part in [
        "P",
        "OST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbo",
        "dy",
    ] {
        theirs.write_all(part.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"body") {
        assert!(theirs.read_buf(&mut answer).await.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_it_says_what_it_is_is_over() {
    for begun in ["", "P", "PRI * HTTP/2.0\r\n"] {
        let (mut theirs, serving) = served().await;
        theirs.write_all(begun.as_bytes()).await.unwrap();
        drop(theirs);
        serving.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_say_what_it_is_is_closed_in_time() {
    for begun in ["", "PRI"] {
        let (mut theirs, serving) = served().await;
        theirs.write_all(begun.as_bytes()).await.unwrap();
        serving.await.unwrap();
        assert_eq!(theirs.read(&mut [0; 1]).await.unwrap(), 0, "{begun}");
    }
}
