//! Bodies on their way: without delay, without growth.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;

use super::*;

#[tokio::test]
async fn each_piece_passes_before_the_next_is_there_and_trailers_follow() {
    let scene = Scene::usual().await;
    let mut caller = scene.caller().await;
    caller
        .write(
            "POST /stream HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: x-up\r\n\
             Transfer-Encoding: chunked\r\n\r\n2\r\nu0\r\n",
        )
        .await;
    let mut upstream = scene.accept().await;
    let head = upstream.head().await.to_lowercase();
    assert!(
        head.contains("te: trailers") && head.contains("trailer: x-up"),
        "{head}"
    );
    upstream.until("u0\r\n").await;
    upstream
        .write(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTrailer: x-down\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
        )
        .await;
    let head = caller.head().await.to_lowercase();
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    for n in 1..20 {
        // Each only after the other end has the one before.
        upstream.write(format!("9\r\ndata: d{:02}\r\n", n)).await;
        caller.until(&format!("d{n:02}\r\n")).await;
        caller.write(format!("3\r\nu{n:02}\r\n")).await;
        upstream.until(&format!("u{n:02}\r\n")).await;
    }
    caller.write("0\r\nX-Up: 1\r\n\r\n").await;
    upstream.until("0\r\nx-up: 1\r\n\r\n").await;
    upstream.write("0\r\nX-Down: 2\r\n\r\n").await;
    caller.until("0\r\nx-down: 2\r\n\r\n").await;
}

#[tokio::test]
async fn a_slow_reader_slows_its_writer() {
    const SIZE: usize = 100 * 1024 * 1024;
    let scene = Scene::usual().await;
    // Up, then down; of either the system's own buffers hold some megabytes.
    for up in [true, false] {
        let (mut caller, length) = (scene.caller().await, format!("Content-Length: {SIZE}"));
        let request = "POST / HTTP/1.1\r\nHost: a\r\n";
        match up {
            true => caller.write(format!("{request}{length}\r\n\r\n")).await,
            false => {
                caller
                    .write(format!("{request}Content-Length: 0\r\n\r\n"))
                    .await
            }
        }
        let mut upstream = scene.accept().await;
        upstream.head().await;
        if !up {
            upstream
                .write(format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n"))
                .await;
            caller.head().await;
        }
        let (mut writer, mut reader) = match up {
            true => (caller, upstream),
            false => (upstream, caller),
        };
        let piece = vec![b'x'; 1 << 20];
        let mut written = 0;
        while written < SIZE {
            let writing = writer
                .socket
                .write(&piece[..piece.len().min(SIZE - written)]);
            match timeout(Duration::from_millis(500), writing).await {
                Ok(more) => written += more.unwrap(),
                Err(_) => break,
            }
        }
        assert!(written < SIZE / 2, "{written} bytes are somewhere");
        let mut count = reader.read.len();
        let writing = tokio::spawn(async move {
            while written < SIZE {
                let length = piece.len().min(SIZE - written);
                written += writer.socket.write(&piece[..length]).await.unwrap();
            }
            writer
        });
        while count < SIZE {
            reader.read.clear();
            count += reader.socket.read_buf(&mut reader.read).await.unwrap();
        }
        assert_eq!(count, SIZE);
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn callers_over_http2_stream_both_ways() {
    let scene = Scene::usual().await;
    let socket = TcpStream::connect(scene.proxy).await.unwrap();
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let (pieces, sent) = mpsc::channel(1);
    let request = Request::post("http://name.of.mine/a?b").header("te", "trailers");
    let request = request.header("trailer", "x").body(Sent(sent)).unwrap();
    let answering = tokio::spawn(sender.send_request(request));
    let mut upstream = scene.accept().await;
    let head = upstream.head().await.to_lowercase();
    let host = format!("host: {}\r\n", scene.upstream.local_addr().unwrap());
    assert!(
        head.starts_with("post /a?b http/1.1\r\n") && head.contains(&host),
        "{head}"
    );
    assert!(!head.contains("name.of.mine"), "{head}");
    upstream
        .write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\nConnection: close\r\n\r\n")
        .await;
    let mut answer = answering.await.unwrap().unwrap();
    assert!(!answer.headers().contains_key("connection"));
    for n in 0..5 {
        pieces.send(Bytes::from(format!("up{n}"))).await.unwrap();
        upstream.until(&format!("up{n}\r\n")).await;
        upstream.write(format!("5\r\ndown{n}\r\n")).await;
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("down{n}"));
    }
    drop(pieces);
    upstream.until("0\r\n\r\n").await;
    upstream.write("0\r\nX-T: 1\r\n\r\n").await;
    let frame = answer.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_trailers().unwrap()["x-t"], "1");
}

/// A body of what is sent into it.
struct Sent(mpsc::Receiver<Bytes>);

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|it| Ok(Frame::data(it))))
    }
}
