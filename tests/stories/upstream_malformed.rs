//! Section 4 of the contract: a 2xx whose body is not what it should be, or far
//! too much of it.

use crate::harness::{Answer, Play, RawUpstream};
use crate::upstream_failures::{JOB, answer_of, played};

/// What one job gets from an upstream that answers 200 with this body.
async fn body(body: impl AsRef<[u8]>) -> Answer {
    played(Play::ok(body.as_ref())).await
}

fn malformed(answer: &Answer) {
    answer
        .problem(502, "upstream-malformed", "yes")
        .lacks("pointer");
}

#[tokio::test]
async fn a_length_that_is_too_short_cuts_the_body() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n[{\"id\":\"a\"}]";
    malformed(&played(Play::answer(short)).await);
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
        "{\"id\":\"a\"}\n{\"id\":\"b\"}\n",
    ] {
        let answer = body(text).await;
        assert_eq!(answer.status, 502, "{text:?}: {answer:?}");
        malformed(&answer);
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_passed_over() {
    let answer = body(format!("\u{feff}[{JOB}]")).await;
    answer.is_result(JOB);
}

#[tokio::test]
async fn a_2xx_in_unrequested_gzip() {
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x8b\x8e\x05\x00\x29\xbb\x4c\x0d";
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ";
    let head = format!("{head}{}\r\n\r\n", gzip.len());
    malformed(&played(Play::answer([head.as_bytes(), gzip].concat())).await);
}

#[tokio::test]
async fn results_nest_128_levels_and_no_more() {
    // As with jobs, a result is the first level; the array stands around it.
    let nested = |n: usize| {
        let (open, close) = ("[".repeat(n - 1), "]".repeat(n - 1));
        format!(r#"{{"id":"a","r":{open}{close}}}"#)
    };
    body(format!("[{}]", nested(128)))
        .await
        .is_result(&nested(128));
    for levels in [129, 1_000_000] {
        let answer = body(format!("[{}]", nested(levels))).await;
        answer.problem(502, "result-malformed", "yes");
    }
    malformed(&body("[".repeat(1_000_000)).await);
}
