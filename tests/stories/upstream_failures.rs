//! Section 4 of the contract: upstreams that cannot be reached, break off, or
//! say something that is not HTTP, not JSON, or far too much.

use std::time::Duration;

use crate::harness::{Answer, Deaf, Play, Problem, Proxy, RawUpstream, Reserved};

pub const JOB: &str = r#"{"id":"a"}"#;

/// The answer to one job before this upstream.
pub async fn answer_of(url: &str, env: &[(&str, &str)]) -> Answer {
    let flags = ["--max-wait", "0", "--upstream-timeout", "1s"];
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

pub async fn played(plays: Vec<Play>) -> Answer {
    let upstream = RawUpstream::playing(plays).await;
    answer_of(&upstream.url(), &[]).await
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
async fn interim_answers_without_end() {
    let flood = Play::Flood(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100));
    broken(&played(vec![Play::Read, flood]).await);
}

#[tokio::test]
async fn up_to_16_interim_answers_are_skipped() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n[{\"id\":\"a\"}]";
    let answer = played(Play::answer(format!("{}{last}", interim.repeat(16)))).await;
    answer.is_result(JOB);
    // All that came is read before there is more to read.
    let more = Play::Write(interim.repeat(17).into());
    broken(&played(vec![Play::Read, more, Play::Stall]).await);
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
