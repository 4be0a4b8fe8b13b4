//! Section 1 of the contract: the size of a body, slow callers, and callers
//! whose framing is wrong.

use crate::harness::{Answer, Proxy, RawClient, ScriptedUpstream, Signal};

pub const JOB: &str = r#"{"id":1}"#;
const ECHO: &str = r#"{"id":1,"result":null}"#;

/// A proxy that sends each job at once, and its upstream.
pub struct Setup {
    pub proxy: Proxy,
    upstream: ScriptedUpstream,
}

impl Setup {
    pub async fn start(flags: &[&str], env: &[(&str, &str)]) -> Self {
        let upstream = ScriptedUpstream::start().await;
        let flags = [&["--max-wait", "0"], flags].concat();
        let proxy = Proxy::start(&upstream.url(), &flags, env).await;
        Self { proxy, upstream }
    }

    async fn impatient() -> Self {
        Self::start(&[], &[("MICROBATCH_SERVER__READ_TIMEOUT", "200ms")]).await
    }

    pub async fn raw(&self) -> RawClient {
        RawClient::connect(self.proxy.jobs_addr).await
    }

    /// What is on its way is accepted: the upstream gets exactly this job.
    pub async fn accepts(&mut self, job: &str, answer: impl Future<Output = Answer>) {
        let echo = async {
            let call = self.upstream.next().await;
            assert_eq!(call.body, format!("[{job}]"));
            call.echo();
        };
        let (answer, ()) = tokio::join!(answer, echo);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Nothing that happened before went upstream, and none of it did harm.
    pub async fn goes_on(mut self) {
        assert!(self.upstream.arrived().is_none());
        let proxy = self.proxy.jobs_addr;
        self.accepts(JOB, crate::harness::post(proxy, JOB)).await;
    }
}

#[tokio::test]
async fn a_body_not_received_in_time() {
    let setup = Setup::impatient().await;
    let mut client = setup.raw().await;
    client.post("Content-Length: 8\r\n", r#"{"id""#).await;
    client
        .answer()
        .await
        .problem(408, "read-timeout", "no")
        .lacks("id");

    let mut client = setup.raw().await;
    client
        .post("Transfer-Encoding: chunked\r\n", "8\r\n{\"id\":1}\r\n")
        .await;
    client.answer().await.problem(408, "read-timeout", "no");
    setup.goes_on().await;
}

#[tokio::test]
async fn a_connection_that_never_finishes_its_head_is_closed() {
    let setup = Setup::impatient().await;
    for start in [
        "",
        "P",
        "POST /jobs HTTP/1.1\r\n",
        "POST /jobs HTTP/1.1\r\nHost: localhost\r\nX-A",
        // As far as it goes, this may become HTTP/2.
        "PRI * HTTP/2.0\r\n",
    ] {
        let mut client = setup.raw().await;
        client.write(start).await;
        let answer = client.until_closed().await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{start:?}: {answer:?}");
    }
    setup.goes_on().await;
}

/// Whenever the rest of a late head comes, its job is answered or was never
/// taken. The pauses are what the story is about; none of them synchronises.
#[tokio::test]
async fn a_head_completed_late_is_answered_or_never_was() {
    let Setup {
        mut proxy,
        mut upstream,
    } = Setup::impatient().await;
    tokio::spawn(async move {
        loop {
            upstream.next_ever().await.echo();
        }
    });
    let (start, rest) = (
        "POST /jobs HTTP/1.1\r\nHost: localhost\r\n",
        "Connection: close\r\nContent-Length: 8\r\n\r\n",
    );
    for late in (180..=320).step_by(10) {
        let mut client = RawClient::connect(proxy.jobs_addr).await;
        client.write(start).await;
        tokio::time::sleep(std::time::Duration::from_millis(late)).await;
        client.write(format!("{rest}{JOB}")).await;
        let said = String::from_utf8(client.until_closed().await).unwrap();
        assert!(said.is_empty() || said.ends_with(ECHO), "{late}: {said}");
    }
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    let done = proxy.log.last().await;
    assert_eq!(done.number("accepted"), done.number("answered"), "{done:?}");
}

#[tokio::test]
async fn a_caller_that_leaves_within_its_body_does_no_harm() {
    let setup = Setup::start(&[], &[]).await;
    for start in ["", r#"{"id":"#] {
        let mut client = setup.raw().await;
        client.post("Content-Length: 8\r\n", start).await;
        drop(client);
        let mut client = setup.raw().await;
        client.post("Content-Length: 8\r\n", start).await;
        client.half_close().await;
        let answer = client.until_closed().await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{answer:?}");
    }
    setup.goes_on().await;
}

/// RFC 9112, section 6.3: Transfer-Encoding alone counts, and the connection is
/// closed after the answer. The HTTP library hides the Content-Length, so that it
/// can't be refused.
#[tokio::test]
async fn content_length_beside_transfer_encoding_smuggles_nothing() {
    let mut setup = Setup::start(&[], &[]).await;
    let smuggled =
        "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{\"id\":666}";
    let body = format!("8\r\n{JOB}\r\n0\r\n\r\n{smuggled}");
    for headers in [
        "Content-Length: 8\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 8\r\n",
        "Content-Length: 23\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let mut client = setup.raw().await;
        client.post(headers, &body).await;
        let mut closed = std::pin::pin!(client.until_closed());
        let said = loop {
            tokio::select! {
                said = &mut closed => break String::from_utf8(said).unwrap(),
                // Where the HTTP library hides the length, the chunks count.
                call = setup.upstream.next() => {
                    assert_eq!(call.body, format!("[{JOB}]"), "{headers:?}");
                    call.echo();
                }
            }
        };
        let answered = said.starts_with("HTTP/1.1 400 ") || said.starts_with("HTTP/1.1 200 ");
        assert!(answered, "{headers:?}: {said}");
        assert_eq!(
            said.matches("HTTP/1.1").count(),
            1,
            "one answer, then closed: {said}"
        );
    }
    setup.goes_on().await;
}

#[tokio::test]
async fn framing_that_is_wrong_is_refused_and_closed() {
    let setup = Setup::start(&[], &[]).await;
    for (headers, body) in [
        ("Content-Length: 8\r\nContent-Length: 9\r\n", JOB),
        ("Content-Length: 8, 9\r\n", JOB),
        ("Content-Length: -8\r\n", JOB),
        ("Content-Length: +8\r\n", JOB),
        ("Content-Length: 0x8\r\n", JOB),
        ("Transfer-Encoding: gzip\r\n", JOB),
        ("Transfer-Encoding: chunked, gzip\r\n", JOB),
        (
            "Transfer-Encoding: chunked\r\n",
            "zz\r\n{\"id\":1}\r\n0\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "ffffffffffffffffff\r\n{\"id\":1}\r\n0\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "8\r\n{\"id\":1}xx0\r\n\r\n",
        ),
        ("Bad Name: 1\r\nContent-Length: 8\r\n", JOB),
    ] {
        let mut client = setup.raw().await;
        client.post(headers, body).await;
        let said = String::from_utf8(client.until_closed().await).unwrap();
        let refused = said.is_empty() || said.starts_with("HTTP/1.1 4");
        assert!(refused, "{headers:?} {body:?}: {said}");
        // What is a problem of ours says that it is the last answer.
        let head = said.to_ascii_lowercase();
        let closes =
            !said.contains("application/problem+json") || head.contains("connection: close");
        assert!(closes, "{headers:?} {body:?}: {said}");
    }
    setup.goes_on().await;
}

#[tokio::test]
async fn garbage_is_closed_without_harm() {
    let setup = Setup::start(&[], &[]).await;
    // A TLS hello, a telnet greeting, an SSH banner, and noise.
    let garbage: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh\r\n\r\n",
        b"\xff\xfb\x1f\xff\xfb\x20\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"POST  /jobs HTTP/9.9\r\n\r\n",
    ];
    for bytes in garbage {
        let mut client = setup.raw().await;
        client.write(bytes).await;
        let said = client.until_closed().await;
        assert!(
            said.is_empty() || said.starts_with(b"HTTP/1.1 4"),
            "{bytes:?}: {said:?}"
        );
    }
    // A head without end is cut off, not kept.
    let mut client = setup.raw().await;
    client.write("POST /jobs HTTP/1.1\r\n").await;
    let line = format!("X-{}: 1\r\n", "a".repeat(1000));
    client.write(line.repeat(2000)).await;
    let said = client.until_closed().await;
    assert!(
        said.is_empty() || said.starts_with(b"HTTP/1.1 4"),
        "{said:?}"
    );
    setup.goes_on().await;
}

#[tokio::test]
async fn a_chunked_job_reaches_the_upstream_with_an_exact_length() {
    let mut setup = Setup::start(&[], &[]).await;
    let request = "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n";
    let body = "3;ext=1\r\n{\"i\r\n5\r\nd\":1}\r\n0\r\nX-T: 1\r\n\r\n";
    let mut client = setup.raw().await;
    client.post(request, body).await;
    let echo = async {
        let call = setup.upstream.next().await;
        assert_eq!(call.body, "[{\"id\":1}]");
        assert_eq!(call.header("content-length"), "10");
        assert!(!call.headers.contains_key("transfer-encoding"));
        assert!(!call.headers.contains_key("trailer"));
        call.echo();
    };
    let (answer, ()) = tokio::join!(client.answer(), echo);
    answer.is_result(ECHO);
}
