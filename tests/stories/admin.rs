//! Section 8 of the contract: the admin listener's endpoints, and the command
//! that asks one of them.

use crate::harness::{
    LONG_WAIT, Proxy, Request, Reserved, ScriptedUpstream, Signal, command, within,
};

async fn start(flags: &[&str]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &[&LONG_WAIT[..], flags].concat(), &[]).await;
    (proxy, upstream)
}

#[tokio::test]
async fn livez_and_readyz() {
    let (proxy, _upstream) = start(&[]).await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(proxy.admin("GET", path).await.status, 200, "{path}");
        assert_eq!(proxy.admin("HEAD", path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn livez_and_readyz_do_not_ask_the_upstream() {
    let nobody = Reserved::new();
    let proxy = Proxy::start(&nobody.url(), &[], &[]).await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(proxy.admin("GET", path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn methods_and_paths() {
    let (proxy, _upstream) = start(&[]).await;
    for (method, path, allowed) in [
        ("GET", "/flush", "POST"),
        ("POST", "/livez", "GET"),
        ("POST", "/readyz", "GET"),
        ("DELETE", "/config", "GET"),
    ] {
        let answer = proxy.admin(method, path).await;
        assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
        let allow = answer.header("allow").to_owned();
        assert!(
            allow.split(',').any(|one| one.trim() == allowed),
            "{method} {path}: {allow}"
        );
    }
    // The jobs' paths are the jobs listener's alone.
    for (method, path) in [("GET", "/nowhere"), ("POST", "/jobs"), ("GET", "/healthz")] {
        assert_eq!(
            proxy.admin(method, path).await.status,
            404,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn flush_answers_at_once() {
    let (proxy, mut upstream) = start(&[]).await;
    let answer = proxy.admin("POST", "/flush").await;
    assert_eq!(
        (answer.status, answer.text().trim()),
        (200, r#"{"jobs":0}"#)
    );
    assert_eq!(answer.header("content-type"), "application/json");
    let caller = proxy.enqueue(r#"{"id":1}"#).await;
    let answer = proxy.admin("POST", "/flush").await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, serde_json::json!({ "jobs": 1 }))
    );
    // The upstream has not answered yet.
    upstream.next().await.echo();
    assert_eq!(caller.answer().await.status, 200);
}

#[tokio::test]
async fn config_shows_the_effective_settings() {
    let (proxy, upstream) = start(&["--max-size", "7"]).await;
    let answer = proxy.admin("GET", "/config").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let toml = answer.text();
    for section in [
        "server", "admin", "batch", "queue", "upstream", "shutdown", "log",
    ] {
        assert!(
            toml.lines().any(|line| line == format!("[{section}]")),
            "{section}: {toml}"
        );
    }
    assert!(toml.lines().any(|line| line == "max_size = 7"), "{toml}");
    assert!(
        toml.lines().any(|line| line == "max_wait = \"50s\""),
        "{toml}"
    );
    assert!(
        toml.lines().any(|line| line == "max_jobs = 10000"),
        "{toml}"
    );
    assert!(toml.contains(&upstream.url()), "{toml}");
}

#[tokio::test]
async fn secrets_are_shown_nowhere() {
    let upstream = ScriptedUpstream::start().await;
    let header = "Authorization: Bearer s3cret";
    let proxy = Proxy::start(&upstream.url(), &["--upstream-header", header], &[]).await;
    for path in ["/config", "/readyz", "/livez"] {
        let answer = proxy.admin("GET", path).await;
        let text = answer.text();
        assert!(!text.contains("s3cret"), "{path}: {text}");
    }
    let config = proxy.admin("GET", "/config").await;
    assert!(
        config.text().to_lowercase().contains("authorization"),
        "{config:?}"
    );
    let leaks = proxy
        .log
        .count(|line| line.0.to_string().contains("s3cret"));
    assert_eq!(leaks, 0, "{}", proxy.log);
}

#[tokio::test]
async fn a_password_in_the_upstreams_url_is_a_secret_too() {
    let upstream = ScriptedUpstream::start().await;
    let url = upstream.url().replace("http://", "http://user:hunter2@");
    let proxy = Proxy::start(&url, &[], &[]).await;
    let config = proxy.admin("GET", "/config").await;
    assert!(!config.text().contains("hunter2"), "{config:?}");
    let leaks = proxy
        .log
        .count(|line| line.0.to_string().contains("hunter2"));
    assert_eq!(leaks, 0, "{}", proxy.log);
}

#[tokio::test]
async fn the_jobs_listener_has_healthz_alone() {
    let (proxy, _upstream) = start(&[]).await;
    assert_eq!(
        proxy.send(Request::new("GET", "/healthz")).await.status,
        200
    );
    for path in ["/livez", "/readyz", "/metrics", "/config", "/"] {
        let answer = proxy.send(Request::new("GET", path)).await;
        answer.problem(404, "not-found", "no");
    }
    proxy
        .send(Request::new("POST", "/flush"))
        .await
        .problem(404, "not-found", "no");
}

#[tokio::test]
async fn an_empty_address_turns_the_admin_listener_off() {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = ["--admin-listen", "", "--max-wait", "0"];
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    assert_eq!(proxy.admin_addr, None);
    assert!(proxy.log.nth("listening", 1).await.0.get("admin").is_none());
    let (answer, ()) = tokio::join!(proxy.post(r#"{"id":1}"#), async {
        upstream.next().await.echo();
    });
    assert_eq!(answer.status, 200);
}

/// `microbatch healthcheck` for an admin listener at this address.
async fn healthcheck(admin: &str) -> Option<i32> {
    let mut command = command();
    command
        .arg("healthcheck")
        .env("MICROBATCH_ADMIN__LISTEN", admin);
    command.env("MICROBATCH_UPSTREAM__URL", "http://127.0.0.1:9/batch");
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let status = within("the healthcheck", command.status()).await;
    status.expect("the binary starts").code()
}

#[tokio::test]
async fn healthcheck_asks_readyz() {
    let nobody = Reserved::new();
    assert_eq!(healthcheck(&nobody.addr().to_string()).await, Some(1));

    let (proxy, mut upstream) = start(&[]).await;
    let admin = proxy.admin_addr.expect("an admin listener").to_string();
    assert_eq!(healthcheck(&admin).await, Some(0));

    let _caller = proxy.enqueue(r#"{"id":1}"#).await;
    proxy.signal(Signal::TERM);
    let _call = upstream.next().await;
    // It drains now, and /readyz says so.
    assert_eq!(healthcheck(&admin).await, Some(1));
}
