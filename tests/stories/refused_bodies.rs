//! Section 1 of the contract: a refusal that comes before the body was read still
//! reaches a caller that writes everything first.

use crate::harness::h2::{self, DATA, END_STREAM, HEADERS, RST_STREAM, frame};
use crate::harness::{Proxy, RawClient, ScriptedUpstream};

const SIZES: [usize; 3] = [100_000, 1_000_000, 5_000_000];

async fn start() -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &[]).await;
    (proxy, upstream)
}

/// Every way to be refused unread: a request line, headers, and the status.
const REFUSED: [(&str, &str, u16); 4] = [
    ("POST /jobs", "Content-Type: application/json\r\n", 413),
    ("POST /jobs", "Content-Type: text/csv\r\n", 415),
    ("POST /nowhere", "", 404),
    ("PUT /jobs", "", 405),
];

#[tokio::test]
async fn a_refusal_reaches_a_caller_that_writes_everything_first() {
    let (proxy, _upstream) = start().await;
    for (request, headers, status) in REFUSED {
        for size in SIZES
            .into_iter()
            .filter(|&size| status != 413 || size > 262_144)
        {
            for framing in ["length", "chunks"] {
                let mut client = RawClient::connect(proxy.jobs_addr).await;
                let body = "x".repeat(size);
                let (how, body) = match framing {
                    "length" => (format!("Content-Length: {size}"), body),
                    _ => (
                        "Transfer-Encoding: chunked".to_owned(),
                        format!("{size:x}\r\n{body}\r\n0\r\n\r\n"),
                    ),
                };
                let head =
                    format!("{request} HTTP/1.1\r\nHost: localhost\r\n{headers}{how}\r\n\r\n");
                client.write_all(format!("{head}{body}")).await;
                let answer = client.answer().await;
                let what = format!("{request}, {size} bytes, {framing}: {answer:?}");
                assert_eq!(answer.status, status, "{what}");
                assert_eq!(answer.header("connection"), "close", "{what}");
                assert_eq!(client.until_closed().await, b"", "{what}");
            }
        }
    }
}

/// Where the body is at hand, the connection goes on.
#[tokio::test]
async fn a_small_request_that_is_refused_costs_no_connection() {
    let (proxy, mut upstream) = start().await;
    let mut client = RawClient::connect(proxy.jobs_addr).await;
    for (request, headers, status) in &REFUSED[1..] {
        let head =
            format!("{request} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: 8\r\n\r\n");
        client.write(format!("{head}{{\"id\":1}}")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, *status);
        assert_eq!(answer.header("connection"), "", "{answer:?}");
    }
    client.post("Content-Length: 8\r\n", r#"{"id":1}"#).await;
    upstream.next().await.echo();
    assert_eq!(client.answer().await.status, 200);
}

/// A caller that asks first is answered without having been told to send.
#[tokio::test]
async fn a_refusal_does_not_ask_for_the_body() {
    let (proxy, _upstream) = start().await;
    for (request, headers, status) in REFUSED {
        let mut client = RawClient::connect(proxy.jobs_addr).await;
        let expect = "Expect: 100-continue\r\nContent-Length: 300000";
        client
            .write(format!(
                "{request} HTTP/1.1\r\nHost: localhost\r\n{headers}{expect}\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("connection"), "close");
    }
}

/// Nor is a body waited for that does not come.
#[tokio::test]
async fn a_refusal_does_not_wait_for_the_body() {
    let (proxy, _upstream) = start().await;
    for (request, headers, status) in REFUSED {
        let mut client = RawClient::connect(proxy.jobs_addr).await;
        let length = "Content-Length: 300000";
        client
            .write(format!(
                "{request} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n\r\n{{"
            ))
            .await;
        assert_eq!(client.answer().await.status, status);
        assert_eq!(client.until_closed().await, b"");
    }
}

/// A caller that sends on and on is cut off.
#[tokio::test]
async fn what_is_thrown_away_is_bounded() {
    let (proxy, _upstream) = start().await;
    let (mut writer, mut reader) = RawClient::two_handed(proxy.jobs_addr).await;
    let head = "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n";
    writer.write(head).await;
    assert_eq!(reader.answer().await.status, 404);
    let block = "x".repeat(100_000);
    let mut blocks = 0;
    while blocks < 10_000 && writer.try_write(&block).await {
        blocks += 1;
    }
    assert!(blocks < 10_000, "it took {blocks} times 100 kB");
}

#[tokio::test]
async fn a_refused_stream_is_read_to_its_end() {
    let (proxy, mut upstream) = start().await;
    let mut client = RawClient::connect(proxy.jobs_addr).await;
    let nowhere = frame(HEADERS, 4, 1, b"\x83\x86\x04\x04/not\x01\x01p");
    client.greet(&[]).await;
    client.write(nowhere).await;
    assert_eq!(client.frame_of(DATA).await.0, 1);
    let part = frame(DATA, 0, 1, &[b'x'; 16_000]);
    client.write(part.repeat(4)).await;
    client.write(frame(DATA, END_STREAM, 1, b"x")).await;
    client.write(h2::job(3, r#"{"id":1}"#)).await;
    upstream.next().await.echo();
    loop {
        let (kind, stream, _) = client.frame().await.expect("an open connection");
        assert_ne!(kind, RST_STREAM, "stream {stream}");
        if (kind, stream) == (DATA, 3) {
            break;
        }
    }
}

/// Not beyond the bound, and not by a caller that takes its time.
#[tokio::test]
async fn a_refused_stream_that_goes_on_is_reset() {
    let (proxy, _upstream) = start().await;
    let mut client = RawClient::connect(proxy.jobs_addr).await;
    let nowhere = frame(HEADERS, 4, 1, b"\x83\x86\x04\x04/not\x01\x01p");
    client.greet(&[]).await;
    client.write(nowhere).await;
    let (stream, why) = client.frame_of(RST_STREAM).await;
    assert_eq!((stream, why.as_slice()), (1, &[0; 4][..]), "NO_ERROR");
}
