//! Section 5 of the contract: an `https` upstream that speaks HTTP/2, and may say
//! that it has not begun with a batch, and never will.

// The frames of the unit tests that say what is proven by which.
#[path = "../../src/upstream/unsent_tests/http2.rs"]
#[allow(dead_code, reason = "not all is needed here")]
mod frames;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, rustls};

use crate::harness::{Caller, Proxy, Request, within};
use frames::{CANCEL, Connection, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM};

const CERTIFICATE: &[u8] = include_bytes!("../../src/upstream/unsent_tests/localhost.crt.der");
const KEY: &[u8] = include_bytes!("../../src/upstream/unsent_tests/localhost.key.der");
/// The same certificate, for `SSL_CERT_FILE`.
const ROOTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/stories/localhost.crt.pem"
);

const JOB: &str = r#"{"id":"a"}"#;

struct Upstream {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl Upstream {
    async fn start() -> Self {
        Self::speaking(b"h2").await
    }

    async fn speaking(protocol: &[u8]) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(CERTIFICATE)],
                PrivateKeyDer::try_from(KEY).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        Self {
            listener: TcpListener::bind(any).await.unwrap(),
            tls: TlsAcceptor::from(Arc::new(config)),
        }
    }

    async fn accept(&self) -> Connection<TlsStream<TcpStream>> {
        let connection = Connection::accept(self.accept_tls().await);
        within("an HTTP/2 connection", connection).await
    }

    async fn accept_tls(&self) -> TlsStream<TcpStream> {
        within("a TLS connection", async {
            let (socket, _) = self.listener.accept().await.unwrap();
            self.tls.accept(socket).await.unwrap()
        })
        .await
    }

    /// The proxy before it, which reads no results: what the frames say is enough.
    async fn proxy(&self) -> Proxy {
        self.proxy_with(&[]).await
    }

    async fn proxy_with(&self, flags: &[&str]) -> Proxy {
        let origin = format!("https://{}", self.listener.local_addr().unwrap());
        let url = format!("{origin}/batch");
        let env = [
            ("MICROBATCH_PASSTHROUGH__URL", &*origin),
            ("SSL_CERT_FILE", ROOTS),
            ("MICROBATCH_SERVER__THREADS", "1"),
            ("MICROBATCH_SHAPE__RESULTS", "none"),
            ("MICROBATCH_RETRY__BASE", "1ms"),
        ];
        let flags = [&["--max-wait", "0"], flags].concat();
        Proxy::start(&url, &flags, &env).await
    }
}

#[tokio::test]
async fn a_batch_is_answered() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().await;
    let caller = proxy.enqueue(JOB).await;
    let mut connection = upstream.accept().await;
    let (stream, body) = connection.request().await;
    assert_eq!(body, format!("[{JOB}]").as_bytes());
    connection.answer(stream).await;
    assert_eq!(caller.answer().await.status, 204);
}

#[tokio::test]
async fn a_refused_stream_is_sent_again() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().await;
    let caller = proxy.enqueue(JOB).await;
    let mut connection = upstream.accept().await;
    let (first, _) = connection.request().await;
    connection.reset(first, REFUSED_STREAM).await;
    let again = proxy.log.nth("batch is sent again", 1).await;
    assert_eq!(again.text("outcome"), "upstream-unreachable");
    let (second, body) = connection.request().await;
    assert!(second > first);
    assert_eq!(body, format!("[{JOB}]").as_bytes());
    connection.answer(second).await;
    assert_eq!(caller.answer().await.status, 204);
}

#[tokio::test]
async fn a_stream_above_the_last_of_a_farewell_is_sent_again() {
    for code in [NO_ERROR, INTERNAL_ERROR] {
        let upstream = Upstream::start().await;
        let proxy = upstream.proxy().await;
        let caller = proxy.enqueue(JOB).await;
        let mut connection = upstream.accept().await;
        connection.request().await;
        connection.go_away(0, code).await;
        // On a connection of its own, since the other has said farewell.
        let mut connection = upstream.accept().await;
        let (stream, _) = connection.request().await;
        connection.answer(stream).await;
        assert_eq!(caller.answer().await.status, 204);
    }
}

#[tokio::test]
async fn when_every_stream_is_refused_nothing_was_sent() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().await;
    let caller = proxy.enqueue(JOB).await;
    let mut connection = upstream.accept().await;
    for _ in 0..3 {
        let (stream, _) = connection.request().await;
        connection.reset(stream, REFUSED_STREAM).await;
    }
    let answer = caller.answer().await;
    answer.problem(502, "upstream-unreachable", "no");
}

#[tokio::test]
async fn what_may_have_been_done_is_not_sent_again() {
    for farewell in [false, true] {
        let upstream = Upstream::start().await;
        let proxy = upstream.proxy().await;
        let caller = proxy.enqueue(JOB).await;
        let mut connection = upstream.accept().await;
        let (stream, _) = connection.request().await;
        if farewell {
            // It covers the stream, and then the connection ends.
            connection.go_away(stream, NO_ERROR).await;
            drop(connection);
        } else {
            connection.reset(stream, CANCEL).await;
        }
        let answer = caller.answer().await;
        answer.problem(502, "upstream-disconnected", "unknown");
        assert_eq!(proxy.log.nth("batch failed", 1).await.number("attempts"), 1);
    }
}

/// No word on the connection, which stays open: one on which a call timed out is
/// not used again.
#[tokio::test]
async fn after_a_timeout_the_next_batch_has_a_new_connection() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy_with(&["--upstream-timeout", "3s"]).await;
    let caller = proxy.enqueue(JOB).await;
    let mut silent = upstream.accept().await;
    silent.request().await;
    let answer = caller.answer().await;
    answer.problem(504, "upstream-timeout", "unknown");
    let caller = proxy.enqueue(JOB).await;
    let mut connection = upstream.accept().await;
    let (stream, _) = connection.request().await;
    connection.answer(stream).await;
    assert_eq!(caller.answer().await.status, 204);
    silent.closed().await;
}

#[tokio::test]
async fn after_an_answer_to_another_batch_the_next_one_has_a_new_connection() {
    for (status, other, code) in [
        (b"200", true, "upstream-malformed"),
        (b"408", false, "upstream-error"),
    ] {
        let upstream = Upstream::start().await;
        let proxy = upstream.proxy().await;
        let caller = proxy.enqueue(JOB).await;
        let mut stray = upstream.accept().await;
        let (stream, _) = stray.request().await;
        stray.whole_head(stream, status, other).await;
        caller.answer().await.problem(502, code, "yes");
        let caller = proxy.enqueue(JOB).await;
        let mut connection = upstream.accept().await;
        let (stream, _) = connection.request().await;
        connection.answer(stream).await;
        assert_eq!(caller.answer().await.status, 204);
        stray.closed().await;
    }
}

#[tokio::test]
async fn what_is_passed_through_shares_a_connection() {
    let upstream = Upstream::start().await;
    let proxy = upstream.proxy().await;
    let put = || Request::job("hi").to("PUT", "/other");
    let first = Caller::spawn(proxy.jobs_addr, put());
    let mut connection = upstream.accept().await;
    let (one, body) = within("a request", connection.request()).await;
    assert_eq!(body, b"hi");
    let second = Caller::spawn(proxy.jobs_addr, put());
    let (other, body) = within("another request", connection.request()).await;
    assert_eq!(body, b"hi");
    connection.answer(other).await;
    assert_eq!(second.answer().await.text(), "[]");
    connection.answer(one).await;
    assert_eq!(first.answer().await.text(), "[]");
    // What is reset was not answered.
    let third = Caller::spawn(proxy.jobs_addr, put());
    let (stream, _) = within("a request", connection.request()).await;
    connection.reset(stream, CANCEL).await;
    let answer = third.answer().await;
    answer.problem(502, "upstream-disconnected", "unknown");
}

#[tokio::test]
async fn what_is_passed_through_goes_over_tls_by_http1_where_nothing_else_is_spoken() {
    let upstream = Upstream::speaking(b"http/1.1").await;
    let proxy = upstream.proxy().await;
    let caller = Caller::spawn(proxy.jobs_addr, Request::job("hi").to("PUT", "/other"));
    let mut wire = upstream.accept_tls().await;
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\nhi") {
        let more = within("a request", wire.read_buf(&mut read)).await;
        assert!(more.unwrap() > 0, "{}", read.escape_ascii());
    }
    assert!(read.starts_with(b"PUT /other HTTP/1.1\r\n"));
    wire.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await
        .unwrap();
    wire.flush().await.unwrap();
    assert_eq!(caller.answer().await.text(), "ok");
}
