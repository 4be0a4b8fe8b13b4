//! What a call says of itself when the upstream does its worst: "unsent" only
//! where the other side can vouch for it.

mod http2;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::{TlsAcceptor, rustls};

use super::connect::Adapt;
use super::*;

/// For `localhost` and 127.0.0.1, signed by itself, valid until 2120.
const CERTIFICATE: &[u8] = include_bytes!("unsent_tests/localhost.crt.der");
const KEY: &[u8] = include_bytes!("unsent_tests/localhost.key.der");

const SMALL: Bytes = Bytes::from_static(br#"[{"id":"a"}]"#);

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);
/// Waited out by tests whose upstream never answers.
const SHORT: Duration = Duration::from_millis(50);

// The connection

#[tokio::test]
async fn a_refused_connection_is_unsent() {
    let nobody = bind((Ipv4Addr::LOCALHOST, 0).into());
    let upstream = upstream("http", nobody.local_addr().unwrap());
    assert_eq!(failure(&upstream, SMALL).await, ("Unreachable", false));
}

#[tokio::test]
async fn a_name_that_no_host_has_is_unsent() {
    // Too long a label for DNS, so that no resolver is asked.
    let mut settings = settings("http", (Ipv4Addr::LOCALHOST, 1).into());
    let url = format!("http://{}.invalid/batch", "a".repeat(64));
    settings.url = url.parse().unwrap();
    let upstream = Upstream::new(settings, Tls::system()).unwrap();
    assert_eq!(failure(&upstream, SMALL).await, ("Unreachable", false));
}

#[tokio::test]
async fn connecting_for_too_long_is_unsent() {
    // A backlog of 0 holds one connection; nobody else is answered.
    let socket = bind((Ipv4Addr::LOCALHOST, 0).into());
    let deaf = socket.listen(0).unwrap();
    let addr = deaf.local_addr().unwrap();
    let _fill = TcpStream::connect(addr).await.unwrap();
    for (connect_timeout, timeout) in [(SHORT, LONG), (LONG, SHORT)] {
        let settings = Settings {
            connect_timeout,
            timeout,
            ..settings("http", addr)
        };
        let upstream = Upstream::new(settings, Tls::system());
        let failure = failure(&upstream.unwrap(), SMALL).await;
        assert_eq!(failure, ("ConnectTimeout", false));
    }
}

// TLS

#[tokio::test]
async fn a_failed_tls_handshake_is_unsent() {
    for nonsense in ["", "220 mail.example ready\r\n", "HTTP/1.1 400 No\r\n\r\n"] {
        let listener = listener().await;
        let upstream = upstream("https", listener.local_addr().unwrap());
        let server = async {
            let mut socket = listener.accept().await.unwrap().0;
            let mut seen = vec![0; 1];
            socket.read_exact(&mut seen).await.unwrap();
            socket.write_all(nonsense.as_bytes()).await.unwrap();
            // The client may have had enough by then.
            let _ = socket.shutdown().await;
            let _ = socket.read_to_end(&mut seen).await;
            assert_lacks_the_body(&seen);
        };
        let (failure, ()) = tokio::join!(failure(&upstream, SMALL), server);
        assert_eq!(failure, ("Unreachable", false), "{nonsense:?}");
    }
}

#[tokio::test]
async fn a_tls_handshake_that_stalls_is_unsent() {
    let listener = listener().await;
    let mut settings = settings("https", listener.local_addr().unwrap());
    settings.connect_timeout = SHORT;
    let upstream = Upstream::new(settings, Tls::system()).unwrap();
    let server = async {
        let mut seen = Vec::new();
        let mut socket = listener.accept().await.unwrap().0;
        let _ = socket.read_to_end(&mut seen).await;
        assert_lacks_the_body(&seen);
    };
    let (failure, ()) = tokio::join!(failure(&upstream, SMALL), server);
    assert_eq!(failure, ("ConnectTimeout", false));
}

#[tokio::test]
async fn a_certificate_of_an_unknown_issuer_is_unsent() {
    let listener = listener().await;
    let upstream = upstream("https", listener.local_addr().unwrap());
    let server = async {
        let socket = listener.accept().await.unwrap().0;
        acceptor().accept(socket).await.err()
    };
    let (failure, handshake) = tokio::join!(failure(&upstream, SMALL), server);
    assert_eq!(failure, ("Unreachable", false));
    assert!(handshake.is_some(), "a handshake that the client broke off");
}

// HTTP/1.1

#[tokio::test]
async fn a_kept_connection_that_was_closed_while_idle_is_not_used_again() {
    let holder = bind((Ipv4Addr::LOCALHOST, 0).into());
    let addr = holder.local_addr().unwrap();
    let upstream = upstream("http", addr);
    for _ in 0..2 {
        let listener = bind(addr).listen(1).unwrap();
        let server = async {
            let mut socket = listener.accept().await.unwrap().0;
            answer(&mut socket).await;
            socket.shutdown().await.unwrap();
            // Not a byte more, and the client has noticed.
            assert_eq!(socket.read(&mut [0]).await.unwrap(), 0);
        };
        let (success, ()) = tokio::join!(success(&upstream), server);
        success.unwrap();
    }
    // Nobody listens any more: the next call finds neither old nor new.
    assert_eq!(failure(&upstream, SMALL).await, ("Unreachable", false));
}

/// Nothing of it was written there, so that it is sent on another one.
#[tokio::test]
async fn a_kept_connection_that_has_ended_or_spoken_meanwhile_is_not_written_to() {
    for meanwhile in ["a reset", "an end", "an answer"] {
        let listener = listener().await;
        let upstream = upstream("http", listener.local_addr().unwrap());
        let (accepted, first) = tokio::join!(
            async {
                let mut socket = listener.accept().await.unwrap().0;
                answer(&mut socket).await;
                socket
            },
            success(&upstream)
        );
        first.unwrap();
        // Without a turn of the event loop before the next call, only the system
        // can tell.
        match meanwhile {
            "a reset" => accepted.set_zero_linger().unwrap(),
            "an end" => {}
            _ => assert!(accepted.try_write(b"HTTP/1.1 200 OK\r\n\r\n").is_ok()),
        }
        let accepted = (meanwhile == "an answer").then_some(accepted);
        tokio::spawn(async move { answer(&mut listener.accept().await.unwrap().0).await });
        let (outcome, sent) = call(&upstream, SMALL).await;
        assert!(outcome.is_ok() && sent, "{meanwhile}: {outcome:?}");
        drop(accepted);
    }
}

#[tokio::test]
async fn a_connection_that_is_accepted_and_closed_is_unsent_only_if_the_body_was_kept() {
    let listener = listener().await;
    let upstream = upstream("http", listener.local_addr().unwrap());
    let server = async { drop(listener.accept().await.unwrap()) };
    let (failure, ()) = tokio::join!(failure(&upstream, SMALL), server);
    let consistent = [("Unreachable", false), ("Disconnected", true)];
    assert!(consistent.contains(&failure), "{failure:?}");
}

#[tokio::test]
async fn a_connection_that_ends_once_the_request_is_on_its_way_may_have_been_sent() {
    let body = Bytes::from(vec![b' '; 4 << 20]);
    for reads in ["nothing", "the head", "half the body", "everything"] {
        for reset in [false, true] {
            let listener = listener().await;
            let upstream = upstream("http", listener.local_addr().unwrap());
            let server = async {
                let mut socket = listener.accept().await.unwrap().0;
                match reads {
                    "nothing" => drop(socket.peek(&mut [0]).await.unwrap()),
                    "the head" => drop(head(&mut socket).await),
                    "half the body" => read(&mut socket, body.len() / 2).await,
                    _ => read(&mut socket, body.len()).await,
                }
                if reset {
                    socket.set_zero_linger().unwrap();
                }
            };
            let (failure, ()) = tokio::join!(failure(&upstream, body.clone()), server);
            let case = format!("reads {reads}, reset: {reset}");
            assert_eq!(failure, ("Disconnected", true), "{case}");
        }
    }
}

// HTTP/2

/// What an upstream does on a connection, and what the call says. Every upstream
/// here has received the whole request on stream 1.
async fn http2(script: impl AsyncFnOnce(&mut http2::Connection<TcpStream>)) -> &'static str {
    let listener = listener().await;
    let upstream = http2_upstream(&listener);
    let server = async {
        let mut connection = http2_connection(&listener).await;
        assert_eq!(connection.request().await, (1, SMALL.to_vec()));
        script(&mut connection).await;
        connection
    };
    let call = async {
        let (outcome, sent) = call(&upstream, SMALL).await;
        assert!(sent);
        match outcome {
            Ok(mut response) => response.body().await.map(drop),
            Err(error) => Err(error),
        }
    };
    // The script's connection stays open until the call is over.
    let (outcome, _connection) = tokio::join!(call, server);
    outcome.as_ref().err().map_or("ok", name)
}

#[tokio::test]
async fn a_refused_stream_is_unsent() {
    let outcome = http2(async |it| it.reset(1, http2::REFUSED_STREAM).await).await;
    assert_eq!(outcome, "Refused");
}

#[tokio::test]
async fn a_stream_reset_for_another_reason_may_have_been_processed() {
    for code in [
        http2::NO_ERROR,
        http2::PROTOCOL_ERROR,
        http2::INTERNAL_ERROR,
        http2::CANCEL,
        http2::ENHANCE_YOUR_CALM,
    ] {
        let outcome = http2(async |it| it.reset(1, code).await).await;
        assert_eq!(outcome, "Disconnected", "{code}");
    }
}

#[tokio::test]
async fn a_stream_above_the_last_one_of_a_goaway_is_unsent() {
    for code in [http2::NO_ERROR, http2::ENHANCE_YOUR_CALM] {
        let outcome = http2(async |it| it.go_away(0, code).await).await;
        assert_eq!(outcome, "Refused", "{code}");
        // Announced first, as section 6.8 advises.
        let outcome = http2(async |it| {
            it.go_away(http2::NO_LAST_STREAM, http2::NO_ERROR).await;
            it.go_away(0, code).await;
        });
        assert_eq!(outcome.await, "Refused", "{code}");
    }
}

#[tokio::test]
async fn a_stream_that_a_goaway_covers_may_have_been_processed() {
    for code in [http2::NO_ERROR, http2::ENHANCE_YOUR_CALM] {
        for last in [1, 3, http2::NO_LAST_STREAM] {
            let listener = listener().await;
            let upstream = http2_upstream(&listener);
            let server = async {
                let mut connection = http2_connection(&listener).await;
                connection.request().await;
                connection.go_away(last, code).await;
            };
            let (failure, ()) = tokio::join!(failure(&upstream, SMALL), server);
            assert_eq!(failure, ("Disconnected", true), "{last} {code}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_a_goaway_covers_is_answered() {
    let outcome = http2(async |it| {
        it.go_away(http2::NO_LAST_STREAM, http2::NO_ERROR).await;
        it.go_away(1, http2::NO_ERROR).await;
        it.answer(1).await;
    });
    assert_eq!(outcome.await, "ok");
}

#[tokio::test]
async fn a_goaway_parts_the_streams_of_one_connection() {
    for answered in [true, false] {
        let listener = listener().await;
        let upstream = http2_upstream(&listener);
        let server = async {
            let mut connection = http2_connection(&listener).await;
            assert_eq!(connection.request().await.0, 1);
            assert_eq!(connection.request().await.0, 3);
            connection.go_away(1, http2::INTERNAL_ERROR).await;
            if answered {
                connection.answer(1).await;
                connection.closed().await;
            }
        };
        let calls = async { tokio::join!(call(&upstream, SMALL), call(&upstream, SMALL)) };
        let (((first, _), (second, _)), ()) = tokio::join!(calls, server);
        let names = [first, second].map(|it| it.as_ref().err().map_or("ok", name));
        let covered = if answered { "ok" } else { "Disconnected" };
        assert_eq!(names, [covered, "Refused"]);
    }
}

/// The disowned stream is an error on the connection from here on; that must not
/// look like a disowned one to the others.
#[tokio::test]
async fn a_covered_stream_is_not_taken_for_one_that_a_goaway_disowned() {
    let listener = listener().await;
    let upstream = http2_upstream(&listener);
    let server = async {
        let mut connection = http2_connection(&listener).await;
        assert_eq!(connection.request().await.0, 1);
        assert_eq!(connection.request().await.0, 3);
        connection.go_away(1, http2::INTERNAL_ERROR).await;
        connection.push(3).await;
        connection.closed().await;
    };
    let calls = async { tokio::join!(failure(&upstream, SMALL), failure(&upstream, SMALL)) };
    let ((covered, disowned), ()) = tokio::join!(calls, server);
    assert_eq!(covered, ("Disconnected", true));
    assert_eq!(disowned, ("Refused", true));
}

#[tokio::test]
async fn an_http2_connection_that_ends_may_have_been_sent() {
    for reset in [false, true] {
        let listener = listener().await;
        let upstream = http2_upstream(&listener);
        let server = async {
            let socket = listener.accept().await.unwrap().0;
            if reset {
                socket.set_zero_linger().unwrap();
            }
            http2::Connection::accept(socket).await.request().await;
        };
        let (failure, ()) = tokio::join!(failure(&upstream, SMALL), server);
        assert_eq!(failure, ("Disconnected", true), "reset: {reset}");
    }
}

#[tokio::test]
async fn an_upstream_that_had_begun_to_answer_was_at_work_whatever_it_says_then() {
    let outcome = http2(async |it| {
        it.head(1).await;
        it.reset(1, http2::REFUSED_STREAM).await;
    });
    assert_eq!(outcome.await, "Disconnected");
    let outcome = http2(async |it| {
        it.head(1).await;
        // With `NO_ERROR` hyper would take the body to be complete.
        it.go_away(0, http2::INTERNAL_ERROR).await;
    });
    assert_eq!(outcome.await, "Disconnected");
}

#[tokio::test]
async fn a_kept_http2_connection_that_said_goodbye_while_idle_is_not_used_again() {
    let listener = listener().await;
    let upstream = http2_upstream(&listener);
    for _ in 0..2 {
        let server = async {
            let mut connection = http2_connection(&listener).await;
            assert_eq!(connection.request().await.0, 1);
            connection.answer(1).await;
            connection.go_away(1, http2::NO_ERROR).await;
            connection.closed().await;
        };
        let (success, ()) = tokio::join!(success(&upstream), server);
        success.unwrap();
    }
}

/// Whether the other end lives is asked while a call is under way.
#[tokio::test]
async fn a_silent_http2_connection_is_lost_long_before_the_calls_time_is_up() {
    let listener = listener().await;
    let upstream = http2_upstream(&listener);
    let (mut connection, first) = tokio::join!(
        async {
            let mut connection = http2_connection(&listener).await;
            let (stream, _) = connection.request().await;
            connection.answer(stream).await;
            connection
        },
        success(&upstream)
    );
    first.unwrap();
    // From here on nothing comes from the other end, so that time may pass.
    tokio::time::pause();
    let began = Instant::now();
    let (failure, _) = tokio::join!(failure(&upstream, SMALL), connection.request());
    assert_eq!(failure, ("Disconnected", true));
    let took = began.elapsed();
    assert!((14..=16).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn an_http2_answer_that_names_another_batch_is_foreign() {
    let outcome = http2(async |it| it.whole_head(1, b"200", true).await).await;
    assert_eq!(outcome, "Foreign");
    let outcome = http2(async |it| it.whole_head(1, b"408", false).await).await;
    assert_eq!(outcome, "ok");
}

/// As the product speaks HTTP/2: chosen by ALPN.
#[tokio::test]
async fn over_tls_the_upstreams_word_counts_as_well() {
    for reset in [false, true] {
        let listener = listener().await;
        let settings = settings("https", listener.local_addr().unwrap());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(CERTIFICATE)).unwrap();
        let upstream = Upstream::new(settings, Tls::of_roots(roots)).unwrap();
        let server = async {
            let socket = listener.accept().await.unwrap().0;
            let socket = acceptor().accept(socket).await.unwrap();
            let mut connection = http2::Connection::accept(socket).await;
            assert_eq!(connection.request().await, (1, SMALL.to_vec()));
            if reset {
                connection.reset(1, http2::REFUSED_STREAM).await;
            } else {
                connection.go_away(0, http2::NO_ERROR).await;
            }
            connection
        };
        let (failure, _connection) = tokio::join!(failure(&upstream, SMALL), server);
        assert_eq!(failure, ("Refused", true), "reset: {reset}");
    }
}

// Calling

fn settings(scheme: &str, addr: SocketAddr) -> Settings {
    Settings {
        url: format!("{scheme}://{addr}/batch").parse().unwrap(),
        headers: HeaderMap::new(),
        timeout: LONG,
        connect_timeout: LONG,
        max_response: 1024,
        idle_timeout: LONG,
        max_connection_age: Duration::ZERO,
        connections: 1,
        runtimes: 1,
    }
}

fn upstream(scheme: &str, addr: SocketAddr) -> Upstream {
    Upstream::new(settings(scheme, addr), Tls::system()).unwrap()
}

/// Without TLS there is nothing to choose HTTP/2 by, so it is said.
fn http2_upstream(listener: &TcpListener) -> Upstream {
    let settings = settings("http", listener.local_addr().unwrap());
    let speaks = |it: &mut Adapt| it.plain = connect::Version::Http2;
    Upstream::with(settings, Tls::system(), &speaks).unwrap()
}

/// What became of one call, and whether its body was asked for.
async fn call(upstream: &Upstream, body: Bytes) -> (Result<Response, CallError>, bool) {
    let (id, size) = (HeaderValue::from_static("b"), HeaderValue::from_static("1"));
    let dispatch = DispatchFlag::default();
    let batch = Outgoing {
        body: vec![body],
        content_type: None,
        captures: &[],
        query: None,
        headers: &[],
        batch_id: &id,
        batch_size: &size,
        trace: None,
        dispatch: &dispatch,
        runtime: 0,
    };
    let outcome = upstream.post(batch).await;
    (outcome, dispatch.is_set())
}

async fn failure(upstream: &Upstream, body: Bytes) -> (&'static str, bool) {
    let (outcome, sent) = call(upstream, body).await;
    (name(&outcome.expect_err("a failed call")), sent)
}

/// The answer is read, so that its connection can be kept.
async fn success(upstream: &Upstream) -> Result<Bytes, CallError> {
    call(upstream, SMALL).await.0?.body().await
}

fn name(error: &CallError) -> &'static str {
    match error {
        CallError::Unreachable(_) => "Unreachable",
        CallError::ConnectTimeout => "ConnectTimeout",
        CallError::Refused(_) => "Refused",
        CallError::Disconnected(_) => "Disconnected",
        CallError::Timeout => "Timeout",
        CallError::Foreign(_) => "Foreign",
        CallError::TooLarge(_) => "TooLarge",
    }
}

// Serving

async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

/// While it is bound and does not listen, it holds its port for us.
fn bind(addr: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(addr).unwrap();
    socket
}

fn acceptor() -> TlsAcceptor {
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
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn http2_connection(listener: &TcpListener) -> http2::Connection<TcpStream> {
    http2::Connection::accept(listener.accept().await.unwrap().0).await
}

fn assert_lacks_the_body(seen: &[u8]) {
    let found = seen.windows(SMALL.len()).any(|window| window == SMALL);
    assert!(!found, "{seen:?}");
}

async fn head(socket: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    head
}

/// Reads the head and so much of the body.
async fn read(socket: &mut TcpStream, body: usize) {
    head(socket).await;
    socket.read_exact(&mut vec![0; body]).await.unwrap();
}

async fn answer(socket: &mut TcpStream) {
    read(socket, SMALL.len()).await;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
    socket.write_all(answer).await.unwrap();
}
