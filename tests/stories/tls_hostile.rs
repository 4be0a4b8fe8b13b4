//! Section 12 of the contract: what comes to a listener with TLS that speaks none, or speaks it
//! slowly.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::certificates::{Like, curl};
use crate::harness::{Line, Signal, within};
use crate::tls_listeners::Served;

/// The beginning of a handshake, which goes on for 512 bytes.
const BEGUN: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

async fn connect(served: &Served) -> TcpStream {
    let connecting = TcpStream::connect(served.proxy.jobs_addr);
    connecting.await.expect("a connection")
}

/// What comes until the connection is closed, after these bytes, one by one or at once.
async fn told(served: &Served, bytes: &[u8], by_byte: bool) -> String {
    let mut stream = connect(served).await;
    let size = if by_byte { 1 } else { bytes.len().max(1) };
    for piece in bytes.chunks(size) {
        // It may have been closed amid them.
        if stream.write_all(piece).await.is_err() {
            break;
        }
    }
    let mut said = Vec::new();
    // A reset is an end too.
    let _ = within("the end", stream.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn plain_http_gets_400_in_plain_words() {
    let served = Served::start(Like::Good).await;
    let mut times = 0.0;
    for request in [
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        // More than is read of it.
        format!(
            "POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n{}",
            " ".repeat(100_000)
        ),
    ] {
        let said = told(&served, request.as_bytes(), false).await;
        let (head, body) = said.split_once("\r\n\r\n").expect("an answer");
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
        assert!(head.contains("content-type: text/plain"), "{said}");
        assert!(body.contains("https://"), "{said}");
        times += 1.0;
        served.have_failed("plain-http", times).await;
    }
    let said = told(&served, b"DELETE / HTTP/1.1\r\n\r\n", true).await;
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
}

#[tokio::test]
async fn garbage_is_closed_and_counted_and_a_look_at_the_port_is_not() {
    let served = Served::start(Like::Good).await;
    for (times, garbage) in [&b"\0\0\0\0\0\0\0\0\0"[..], b"SSH-2.0-x\r\n", b"hello\n"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(told(&served, garbage, false).await, "");
        served.have_failed("not-tls", times as f64 + 1.0).await;
    }
    // TLS that is garbled is told so by TLS's own means.
    told(&served, &[&[22, 3, 1, 0, 2][..], &[9; 20]].concat(), false).await;
    served.have_failed("other", 1.0).await;
    // Begun and left.
    let mut left = connect(&served).await;
    left.write_all(BEGUN).await.expect("it is taken");
    drop(left);
    served.have_failed("closed", 1.0).await;
    drop(connect(&served).await);
    let Some(said) = curl(&served.authority, served.proxy.jobs_addr, "/healthz", &[]).await else {
        return;
    };
    assert_eq!(said.code, Some(0), "{said:?}");
    served.have_failed("closed", 1.0).await;
    // One line for all of them, and each to who looks closer.
    let told = |line: &Line| line.message() == "TLS handshake failed";
    served.proxy.log.wait_for_nth("the fifth", 5, told).await;
    let warned = |line: &Line| told(line) && line.text("level").eq_ignore_ascii_case("warn");
    assert_eq!(served.proxy.log.count(warned), 1);
}

#[tokio::test]
async fn a_handshake_has_the_time_of_a_head() {
    let time = ("MICROBATCH_SERVER__READ_TIMEOUT", "200ms".to_owned());
    let served = Served::with(Like::Good, &[time]).await;
    // Silent, and begun: both are closed.
    assert_eq!(told(&served, b"", false).await, "");
    assert_eq!(told(&served, BEGUN, false).await, "");
    served.have_failed("timeout", 2.0).await;
}

/// Hundreds who get nowhere where there is room for them, and some more than there is room for.
#[tokio::test]
async fn handshakes_that_get_nowhere_hold_nobody_up() {
    for (places, number) in [("auto", 500), ("20", 60)] {
        let most = ("MICROBATCH_SERVER__MAX_CONNECTIONS", places.to_owned());
        let time = ("MICROBATCH_SERVER__READ_TIMEOUT", "60s".to_owned());
        let served = Served::with(Like::Good, &[most, time]).await;
        let mut slow = Vec::new();
        for number in 0..number {
            let mut stream = connect(&served).await;
            if number % 2 == 0 {
                // It may be closed by now, for somebody else.
                let _ = stream.write_all(BEGUN).await;
            }
            slow.push(stream);
        }
        let to = served.proxy.jobs_addr;
        for _ in 0..3 {
            let Some(said) = curl(&served.authority, to, "/healthz", &[]).await else {
                return;
            };
            assert_eq!(said.code, Some(0), "{places}: {said:?}");
        }
        drop(slow);
    }
}

#[tokio::test]
async fn a_handshake_that_gets_nowhere_does_not_hold_up_the_end() {
    let time = ("MICROBATCH_SERVER__READ_TIMEOUT", "5m".to_owned());
    let mut served = Served::with(Like::Good, &[time]).await;
    let [mut begun, silent] = [connect(&served).await, connect(&served).await];
    begun.write_all(BEGUN).await.expect("it is taken");
    served.proxy.signal(Signal::TERM);
    assert_eq!(served.proxy.exit_code().await, Some(0));
    drop((begun, silent));
}
