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
