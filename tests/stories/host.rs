//! Section 1 of the contract: a request names the host that it is for, once.

use crate::harness::{H2c, RawClient, Request};
use crate::http_rules::{JOB, Setup, echo};

/// What both listeners say to a request with these lines.
async fn ask(setup: &Setup, version: &str, lines: &str) -> [String; 2] {
    let (jobs, admin) = (setup.proxy.jobs_addr, setup.proxy.admin_addr);
    let mut answers = [const { String::new() }; 2];
    for (answer, (address, path)) in answers.iter_mut().zip([
        (jobs, "/healthz"),
        (admin.expect("an admin listener"), "/livez"),
    ]) {
        let mut client = RawClient::connect(address).await;
        let head = format!("GET {path} HTTP/{version}\r\n{lines}Connection: close\r\n\r\n");
        client.write(head).await;
        *answer = String::from_utf8(client.until_closed().await).expect("an answer in UTF-8");
    }
    answers
}

#[tokio::test]
async fn exactly_one_valid_host() {
    let setup = Setup::start(&[], &[]).await;
    for (version, lines, status) in [
        ("1.1", "Host: localhost\r\n", 200),
        ("1.1", "Host: 127.0.0.1:1\r\n", 200),
        ("1.1", "hOsT: [::1]\r\n", 200),
        ("1.0", "Host: localhost\r\n", 200),
        ("1.0", "", 200),
        ("1.1", "", 400),
        ("1.1", "Host: localhost\r\nHost: localhost\r\n", 400),
        ("1.0", "Host: localhost\r\nHost: localhost\r\n", 400),
        ("1.1", "Host:\r\n", 400),
        ("1.1", "Host: localhost:http\r\n", 400),
        ("1.1", "Host: user@localhost\r\n", 400),
        ("1.1", "Host: a b\r\n", 400),
        ("1.1", "Host: localhost/x\r\n", 400),
    ] {
        for answer in ask(&setup, version, lines).await {
            let line = format!("HTTP/{version} {status} ");
            assert!(answer.starts_with(&line), "{version} {lines:?}: {answer}");
            if status == 400 {
                assert!(answer.contains("\"invalid-request\""), "{answer}");
            }
        }
    }
}

#[tokio::test]
async fn a_job_without_a_host_is_refused_and_counted() {
    let setup = Setup::start(&[], &[]).await;
    let mut client = RawClient::connect(setup.proxy.jobs_addr).await;
    let head = "POST /jobs HTTP/1.1\r\nContent-Length: 8\r\n\r\n";
    client.write([head, JOB].concat()).await;
    let answer = client.answer().await;
    answer.problem(400, "invalid-request", "no").lacks("id");
    let metrics = setup.proxy.admin("GET", "/metrics").await;
    let counted = "microbatch_jobs_refused_total{route=\"jobs\",code=\"invalid-request\"} 1\n";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

#[tokio::test]
async fn http2_names_its_host_by_authority() {
    let setup = Setup::start(&[], &[]).await;
    let connection = H2c::connect(setup.proxy.jobs_addr).await;
    let same = Request::job(JOB).header("host", &setup.proxy.jobs_addr.to_string());
    let ask = |request| connection.clone().send(request);
    ask(Request::job(JOB)).await.is_result(&echo("1"));
    ask(same).await.is_result(&echo("1"));
    for request in [Request::job(JOB), Request::new("GET", "/healthz")] {
        let other = request.header("host", "localhost");
        ask(other).await.problem(400, "invalid-request", "no");
    }
}
