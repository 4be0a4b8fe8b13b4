//! Section 1 of the contract: how large a body may be, and when that is known.

use crate::framing::{JOB, Setup};
use crate::harness::{Request, post};

/// A job of exactly this many bytes.
fn job_of(bytes: usize) -> String {
    let job = format!(r#"{{"id":1,"body":"{}"}}"#, "x".repeat(bytes - 18));
    assert_eq!(job.len(), bytes);
    job
}

#[tokio::test]
async fn a_body_of_exactly_max_body_is_accepted() {
    let mut setup = Setup::start(&["--max-body", "1KiB"], &[]).await;
    let job = job_of(1024);
    let proxy = setup.proxy.jobs_addr;
    setup.accepts(&job, post(proxy, job.clone())).await;

    let mut client = setup.raw().await;
    let (first, second) = job.split_at(1000);
    let chunks = format!("3e8\r\n{first}\r\n18\r\n{second}\r\n0\r\n\r\n");
    client.post("Transfer-Encoding: chunked\r\n", chunks).await;
    setup.accepts(&job, client.answer()).await;
}

#[tokio::test]
async fn an_oversized_content_length_is_refused_before_the_body_is_read() {
    let setup = Setup::start(&["--max-body", "1KiB"], &[]).await;
    let mut client = setup.raw().await;
    client.post("Content-Length: 1025\r\n", "").await;
    client
        .answer()
        .await
        .problem(413, "job-too-large", "no")
        .lacks("id");

    let mut client = setup.raw().await;
    client
        .post("Content-Length: 18446744073709551615\r\n", "")
        .await;
    let answer = client.answer().await;
    // Refused by the HTTP library, whose word for a length it can't hold is 431.
    assert!(matches!(answer.status, 400 | 413 | 431), "{answer:?}");
    setup.goes_on().await;
}

#[tokio::test]
async fn a_chunked_body_is_cut_off_at_the_limit() {
    let setup = Setup::start(&["--max-body", "1KiB"], &[]).await;
    let mut client = setup.raw().await;
    // The last chunk never comes: the answer must not wait for it.
    let chunk = format!("401\r\n{}\r\n", job_of(1025));
    client.post("Transfer-Encoding: chunked\r\n", chunk).await;
    client.answer().await.problem(413, "job-too-large", "no");
    setup.goes_on().await;
}

#[tokio::test]
async fn the_default_limit_is_256_kib() {
    let mut setup = Setup::start(&[], &[]).await;
    let job = job_of(256 * 1024);
    let proxy = setup.proxy.jobs_addr;
    setup.accepts(&job, post(proxy, job.clone())).await;
    let mut client = setup.raw().await;
    client.post("Content-Length: 262145\r\n", "").await;
    client.answer().await.problem(413, "job-too-large", "no");
}

#[tokio::test]
async fn expect_continue_is_answered_before_the_body() {
    let mut setup = Setup::start(&[], &[]).await;
    let mut client = setup.raw().await;
    client
        .post("Content-Length: 8\r\nExpect: 100-continue\r\n", "")
        .await;
    assert_eq!(client.answer().await.status, 100);
    client.write(JOB).await;
    setup.accepts(JOB, client.answer()).await;
}

#[tokio::test]
async fn expect_continue_of_an_oversized_body_is_refused_at_once() {
    let setup = Setup::start(&["--max-body", "1KiB"], &[]).await;
    let mut client = setup.raw().await;
    client
        .post("Content-Length: 1025\r\nExpect: 100-continue\r\n", "")
        .await;
    client.answer().await.problem(413, "job-too-large", "no");
    setup.goes_on().await;
}

#[tokio::test]
async fn an_empty_body_is_malformed() {
    let setup = Setup::start(&[], &[]).await;
    setup
        .proxy
        .send(Request::job(""))
        .await
        .problem(400, "malformed-json", "no");
    let mut client = setup.raw().await;
    client
        .write("POST /jobs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    client.answer().await.problem(400, "malformed-json", "no");
    setup.goes_on().await;
}
