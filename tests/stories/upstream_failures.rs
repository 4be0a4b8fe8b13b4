//! Section 4 of the contract: upstreams that cannot be reached, break off, or
//! say something that is not HTTP, not JSON, or far too much.

use std::time::Duration;

use crate::harness::{Answer, Deaf, Play, Problem, Proxy, RawUpstream, Reserved};

const JOB: &str = r#"{"id":"a"}"#;

/// The answer to one job before this upstream.
async fn answer_of(url: &str, env: &[(&str, &str)]) -> Answer {
    let flags = [
        "--max-wait",
        "0",
        "--upstream-timeout",
        "1s",
        "--request-timeout",
        "25s",
    ];
    answer_with(url, &flags, env).await
}

async fn answer_with(url: &str, flags: &[&str], env: &[(&str, &str)]) -> Answer {
    let proxy = Proxy::start(url, flags, env).await;
    let answer = proxy.post(JOB).await;
    let port = url
        .rsplit(':')
        .next()
        .expect("a port")
        .trim_end_matches("/batch");
    if answer.status != 200 {
        Problem::read(&answer).hides(port).has("id", "a");
    }
    // Whatever it was, the proxy lives on.
    assert_eq!(proxy.admin("GET", "/livez").await.status, 200);
    answer
}

async fn played(plays: Vec<Play>) -> Answer {
    let upstream = RawUpstream::playing(plays).await;
    answer_of(&upstream.url(), &[]).await
}

/// What one job gets from an upstream that answers 200 with this body.
async fn body(body: impl AsRef<[u8]>) -> Answer {
    played(Play::ok(body.as_ref())).await
}

fn malformed(answer: &Answer) {
    answer
        .problem(502, "upstream-malformed", "yes")
        .lacks("pointer");
}

fn disconnected(answer: &Answer) {
    answer
        .problem(502, "upstream-disconnected", "unknown")
        .lacks("upstream_status");
}

/// Bytes that are not the HTTP they should be: the contract has no row that
/// says whether the connection was lost or the answer malformed.
fn broken(answer: &Answer) {
    let problem = Problem::read(answer);
    let codes = [
        "upstream-disconnected",
        "upstream-malformed",
        "upstream-error",
    ];
    assert!(codes.contains(&problem.code()), "{answer:?}");
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_ne!(*problem.get("dispatched"), "no", "{answer:?}");
    problem.has("retryable", false);
}

#[tokio::test]
async fn refused() {
    let nobody = Reserved::new();
    let answer = answer_of(&nobody.url(), &[]).await;
    answer
        .problem(502, "upstream-unreachable", "no")
        .has("retryable", true);
}

#[tokio::test]
async fn tls_failure() {
    // Speaks first, and no TLS.
    let upstream =
        RawUpstream::playing(vec![Play::Write(b"220 mail.example ready\r\n".to_vec())]).await;
    let answer = answer_of(&upstream.https_url(), &[]).await;
    answer.problem(502, "upstream-unreachable", "no");
}

#[tokio::test]
async fn connect_timeout() {
    let upstream = Deaf::new().await;
    let env = [("MICROBATCH_UPSTREAM__CONNECT_TIMEOUT", "200ms")];
    let answer = answer_of(&upstream.url(), &env).await;
    answer
        .problem(504, "upstream-connect-timeout", "no")
        .has("retryable", true);
}

#[tokio::test]
async fn closed_before_the_head() {
    disconnected(&played(vec![Play::Read]).await);
}

#[tokio::test]
async fn reset_before_the_head() {
    disconnected(&played(vec![Play::Read, Play::Reset]).await);
}

#[tokio::test]
async fn closed_within_the_head() {
    for start in ["H", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\nContent-Le"] {
        disconnected(&played(Play::answer(start)).await);
    }
}

#[tokio::test]
async fn closed_within_the_body() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
    for body in ["", "[", r#"[{"id":"a"}"#] {
        disconnected(&played(Play::answer(format!("{head}{body}"))).await);
    }
    // What is there is whole, but not what was promised.
    let more = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n[{\"id\":\"a\"}]";
    disconnected(&played(Play::answer(more)).await);
}

#[tokio::test]
async fn closed_within_a_chunked_body() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in [
        "",
        "c\r\n[{\"id\"",
        "c\r\n[{\"id\":\"a\"}]\r\n",
        "c\r\n[{\"id\":\"a\"}]\r\n0\r\n",
    ] {
        disconnected(&played(Play::answer(format!("{head}{chunks}"))).await);
    }
}

#[tokio::test]
async fn reset_within_the_body() {
    let start = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n[".to_vec();
    disconnected(&played(vec![Play::Read, Play::Write(start), Play::Reset]).await);
}

#[tokio::test]
async fn a_body_until_the_end_of_the_connection_is_whole() {
    let answer = played(Play::answer("HTTP/1.1 200 OK\r\n\r\n[{\"id\":\"a\"}]")).await;
    answer.is_result(JOB);
    let answer = played(Play::answer("HTTP/1.0 200 OK\r\n\r\n[{\"id\":\"a\"}]")).await;
    answer.is_result(JOB);
}

#[tokio::test]
async fn a_length_that_is_too_short_cuts_the_body() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n[{\"id\":\"a\"}]";
    malformed(&played(Play::answer(short)).await);
}

#[tokio::test]
async fn broken_chunks() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in [
        "zz\r\n[]\r\n0\r\n\r\n",
        "-2\r\n[]\r\n",
        "2\r\n[]xx0\r\n\r\n",
    ] {
        broken(&played(Play::answer(format!("{head}{chunks}"))).await);
    }
}

#[tokio::test]
async fn not_http() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n[]",
        "HTTP/1.1 abc OK\r\n\r\n[]",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n[]",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
        "[{\"id\":\"a\"}]\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        broken(&played(Play::answer(bytes)).await);
    }
}

#[tokio::test]
async fn no_answer_in_time() {
    let answer = played(vec![Play::Read, Play::Stall]).await;
    answer
        .problem(504, "upstream-timeout", "unknown")
        .has("retryable", false);
}

#[tokio::test]
async fn half_an_answer_in_time() {
    for start in [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n[{\"id\"",
    ] {
        let plays = vec![Play::Read, Play::Write(start.into()), Play::Stall];
        played(plays)
            .await
            .problem(504, "upstream-timeout", "unknown");
    }
}

#[tokio::test]
async fn a_drip_past_the_timeout() {
    // Every byte comes well within the timeout, the whole never does.
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n".to_vec();
    let drip = Play::Drip(vec![b' '; 10_000], Duration::from_millis(20));
    let answer = played(vec![Play::Read, Play::Write(head), drip]).await;
    answer.problem(504, "upstream-timeout", "unknown");
    let drip = Play::Drip(vec![b'H'; 10_000], Duration::from_millis(20));
    let head = b"HTTP/1.1 200 OK\r\nX-Slow: ".to_vec();
    let answer = played(vec![Play::Read, Play::Write(head), drip]).await;
    answer.problem(504, "upstream-timeout", "unknown");
}

#[tokio::test]
async fn interim_answers_are_skipped() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n[{\"id\":\"a\"}]";
    played(Play::answer(format!("{interim}{last}")))
        .await
        .is_result(JOB);
}

#[tokio::test]
async fn answered_101() {
    let bytes = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    let answer = played(Play::answer(bytes)).await;
    answer
        .problem(502, "upstream-error", "yes")
        .has("upstream_status", 101);
}

#[tokio::test]
async fn endless_headers() {
    let head = b"HTTP/1.1 200 OK\r\n".to_vec();
    let flood = Play::Flood(format!("X-{}: 1\r\n", "a".repeat(1000)).into());
    broken(&played(vec![Play::Read, Play::Write(head), flood]).await);
    let head = b"HTTP/1.1 200 OK\r\nX-A: ".to_vec();
    let flood = Play::Flood(vec![b'a'; 10_000]);
    broken(&played(vec![Play::Read, Play::Write(head), flood]).await);
}

#[tokio::test]
async fn over_max_response() {
    let env = [("MICROBATCH_UPSTREAM__MAX_RESPONSE", "1KiB")];
    let body = |bytes: usize| format!("[{JOB}{}]", " ".repeat(bytes - 12));
    let chunks = |body: String| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        Play::answer(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()))
    };
    let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let flood = Play::Flood(
        b"400\r\n"
            .iter()
            .copied()
            .chain([b' '; 1024])
            .chain(*b"\r\n")
            .collect(),
    );
    let until_closed = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    // By its length alone, before the body.
    let promise = b"HTTP/1.1 200 OK\r\nContent-Length: 1025\r\n\r\n".to_vec();
    for plays in [
        Play::ok(body(1025).as_bytes()),
        chunks(body(1025)),
        vec![Play::Read, Play::Write(endless), flood],
        vec![
            Play::Read,
            Play::Write(until_closed),
            Play::Flood(vec![b' '; 1024]),
        ],
        vec![Play::Read, Play::Write(promise), Play::Stall],
    ] {
        let upstream = RawUpstream::playing(plays).await;
        let answer = answer_of(&upstream.url(), &env).await;
        answer.problem(502, "upstream-response-too-large", "yes");
    }
    for plays in [Play::ok(body(1024).as_bytes()), chunks(body(1024))] {
        let upstream = RawUpstream::playing(plays).await;
        answer_of(&upstream.url(), &env).await.is_result(JOB);
    }
}

#[tokio::test]
async fn answered_204() {
    let answer = played(Play::answer("HTTP/1.1 204 No Content\r\n\r\n")).await;
    answer
        .problem(502, "upstream-malformed", "yes")
        .has("upstream_status", 204);
}

#[tokio::test]
async fn a_2xx_that_is_not_a_json_array() {
    for text in [
        "",
        " ",
        "<!doctype html><html><body>It works!</body></html>",
        r#""a""#,
        JOB,
        r#"{"results":[{"id":"a"}]}"#,
        "null",
        "1",
        "[",
        r#"[{"id":"a"}"#,
        r#"[{"id":"a"},"#,
        r#"[{"id":"a"},]"#,
        r#"[{"id":"a"}]]"#,
        r#"[{"id":"a"}] x"#,
        r#"[{"id":"a"}][]"#,
        r#"[{"id":"a"} {"id":"b"}]"#,
        r#"[{"id":"a","r":NaN}]"#,
        r#"[{"id":"a"}, 01]"#,
        "{\"id\":\"a\"}\n{\"id\":\"b\"}\n",
        "\u{feff}[{\"id\":\"a\"}]",
        "[{\"id\":\"a\",\"r\":\"\n\"}]",
    ] {
        let answer = body(text).await;
        assert_eq!(answer.status, 502, "{text:?}: {answer:?}");
        malformed(&answer);
    }
}

#[tokio::test]
async fn a_2xx_that_is_not_utf8() {
    malformed(&body(b"[{\"id\":\"a\",\"r\":\"\xff\"}]").await);
    malformed(&body(b"[{\"id\":\"a\"},{\"id\":\"\xc0\xaf\"}]").await);
}

#[tokio::test]
async fn a_2xx_in_gzip_that_nobody_asked_for() {
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x8b\x8e\x05\x00\x29\xbb\x4c\x0d";
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ";
    let head = format!("{head}{}\r\n\r\n", gzip.len());
    malformed(&played(Play::answer([head.as_bytes(), gzip].concat())).await);
}

#[tokio::test]
async fn results_nest_128_levels_and_no_more() {
    // The array of results is the first level, a result the second.
    let nested = |n: usize| {
        let (open, close) = ("[".repeat(n - 2), "]".repeat(n - 2));
        format!(r#"{{"id":"a","r":{open}{close}}}"#)
    };
    body(format!("[{}]", nested(128)))
        .await
        .is_result(&nested(128));
    malformed(&body(format!("[{}]", nested(129))).await);
    malformed(&body(format!("[{}]", nested(1_000_000))).await);
    malformed(&body("[".repeat(1_000_000)).await);
}
