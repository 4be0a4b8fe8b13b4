//! Sections 7 and 8 of the contract: what the process says of itself, and what
//! it never says.

use std::process::Output;

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::harness::{Proxy, Request, ScriptedUpstream, command, within};

async fn output(args: &[&str]) -> Output {
    let output = within("the end of the process", command().args(args).output()).await;
    output.expect("the binary starts")
}

#[tokio::test]
async fn it_tells_its_version() {
    let version = output(&["--version"]).await;
    assert!(version.status.success());
    let expected = format!("microbatch {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), expected);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_its_setting() {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &[], &[]).await;
    let (jobs, admin) = (proxy.jobs_addr.to_string(), proxy.admin_addr.unwrap());
    let (admin, url) = (admin.to_string(), upstream.url());
    for (key, listen, admin) in [
        ("server.listen", jobs.as_str(), ""),
        ("admin.listen", "127.0.0.1:0", admin.as_str()),
    ] {
        let flags = ["--listen", listen, "--admin-listen", admin];
        let failed = output(&[&["--upstream", &url], &flags[..]].concat()).await;
        assert_eq!(failed.status.code(), Some(1));
        let said = String::from_utf8(failed.stderr).unwrap();
        let address = if key == "admin.listen" { admin } else { listen };
        let expected = format!("microbatch: {key}: can't listen on {address}: ");
        assert!(said.contains(&expected), "{said}");
        let flag = if key == "admin.listen" {
            "--admin-listen"
        } else {
            "--listen"
        };
        let way_out =
            format!("; stop what listens there, or give another address with {flag} or {key}\n");
        assert!(said.ends_with(&way_out), "{said}");
    }
}

#[tokio::test]
async fn for_people_the_log_is_text() {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", ""]);
    command.args(["--upstream", "http://127.0.0.1:9/", "--log-format", "text"]);
    command.stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    for message in [" INFO listening ", " INFO ready"] {
        let line = within("a line", lines.next_line()).await.unwrap().unwrap();
        assert!(line.contains(message) && !line.contains('\u{1b}'), "{line}");
    }
}

#[tokio::test]
async fn no_proxy_is_taken_from_the_environment() {
    let mut upstream = ScriptedUpstream::start().await;
    let nobody = "http://127.0.0.1:9";
    let env = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"].map(|name| (name, nobody));
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &env).await;
    let caller = proxy.enqueue(r#"{"id":1}"#).await;
    upstream.next().await.echo();
    caller.answer().await.is_result(r#"{"id":1,"result":null}"#);
}

#[tokio::test]
async fn neither_bodies_nor_header_values_are_logged() {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = ["--max-wait", "0", "--upstream-header", "X-Key: s3cret"];
    // What the upstream says of a batch that failed is its own matter.
    let env = [("MICROBATCH_LOG__UPSTREAM_ERRORS", "false")];
    let proxy = Proxy::start(&upstream.url(), &flags, &env).await;
    let job = || {
        let job = Request::job(r#"{"id":1,"body":"s3cret","s3cret":1}"#);
        job.header("x-token", "s3cret")
    };
    for (status, answer) in [
        (200, r#"[{"id":1,"result":"s3cret"}]"#),
        (200, r#"[{"id":2,"result":"s3cret"}]"#),
        (200, r#"[{"id":1,"error":"s3cret"}]"#),
        (200, r#"{"s3cret":"#),
        (400, r#""s3cret""#),
        (500, "s3cret"),
    ] {
        let caller = proxy.enqueue_request(job()).await;
        upstream
            .next()
            .await
            .answer(status, &[("x-s3cret", "s3cret")], answer);
        caller.answer().await;
    }
    proxy.post(r#"{"id":"s3cret"#).await;
    proxy.post(r#"{"body":"s3cret"}"#).await;
    let told = proxy
        .log
        .count(|line| line.0.to_string().contains("s3cret"));
    assert_eq!(told, 0, "{}", proxy.log);
}
