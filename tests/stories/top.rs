//! Section 8 of the contract: the commands that tell an operator what the proxy
//! does, `top` as text and `advice`.

use std::process::Output;

use serde_json::Value;

use crate::harness::{
    Proxy, Reserved, Routes, ScriptedUpstream, call, command, eventually, within,
};

/// A command that finds the proxy by its flags.
async fn ask(words: &[&str], admin: &str) -> Output {
    let mut command = command();
    command.args(words).args(["--admin-listen", admin]);
    let output = within("the end of the process", command.output()).await;
    output.expect("the binary starts")
}

/// What it printed, and nothing else.
#[track_caller]
fn said(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*errors), (Some(0), ""));
    String::from_utf8(output.stdout).expect("text in UTF-8")
}

#[track_caller]
fn has(frame: &str, words: &[&str]) {
    for word in words {
        assert!(frame.contains(word), "no {word:?} in\n{frame}");
    }
}

/// A proxy before whose upstream a batch of three has been answered, and a batch
/// of one has failed.
async fn start() -> (Proxy, String) {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = ["--max-size", "3", "--max-wait", "50s"];
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    let mut callers = Vec::new();
    for id in 1..=3 {
        callers.push(proxy.enqueue(&format!(r#"{{"id":{id}}}"#)).await);
    }
    upstream.next().await.echo();
    callers.push(proxy.enqueue(r#"{"id":4}"#).await);
    proxy.flush().await;
    upstream.next().await.answer(500, &[], "");
    for caller in callers {
        caller.answer().await;
    }
    let admin = proxy.admin_addr.expect("an admin listener").to_string();
    (proxy, admin)
}

#[tokio::test]
async fn top_shows_what_has_happened() {
    let (proxy, admin) = start().await;
    // Answers are counted in the wake of their callers'.
    let frame = eventually("four answers", async || {
        let frame = said(ask(&["top", "--once"], &admin).await);
        frame
            .contains("upstream-error                25 %")
            .then_some(frame)
    })
    .await;
    has(
        &frame,
        &[&format!("microbatch {}", env!("CARGO_PKG_VERSION"))],
    );
    has(
        &frame,
        &["25 % of jobs fail, connected", "success      75 %"],
    );
    has(&frame, &["mean size    2 of 3", "fill         67 %"]);
    has(&frame, &["queue        0 of 10000", "slots        0 of 10"]);
    has(&frame, &["ok                            75 %       3"]);
    has(
        &frame,
        &[
            "Last failed batches, by cause",
            "upstream-error  ",
            " 1 job  last ",
            "  status 500",
        ],
    );
    let row = |name: &str| {
        let line = frame
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        let left = line.unwrap_or_default().chars().take(48);
        left.filter(|it| *it != '█').collect::<String>()
    };
    for (reason, expected) in [
        ("size", "size 50 % 1"),
        ("flush", "flush 50 % 1"),
        ("wait", "wait 0 % 0"),
    ] {
        let row = row(reason);
        let words: Vec<_> = row.split_whitespace().collect();
        assert_eq!(words.join(" "), expected, "{frame}");
    }
    // No terminal, so no escape sequence, and the same without `--once`.
    assert!(!frame.contains('\u{1b}'), "{frame}");
    has(&said(ask(&["top"], &admin).await), &["mean size    2 of 3"]);
    drop(proxy);
}

#[tokio::test]
async fn advice_says_what_the_admin_listener_says() {
    let (proxy, admin) = start().await;
    let answer = proxy.admin("GET", "/advice").await.json();
    let sentences: Vec<String> = answer
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| {
            format!(
                "{}: {}",
                one["kind"].as_str().unwrap(),
                one["text"].as_str().unwrap()
            )
        })
        .collect();
    has(
        &sentences[0],
        &["problem: 25 % of jobs fail with `upstream-error`"],
    );
    // A problem is no failure of the command.
    let text = said(ask(&["advice"], &admin).await);
    assert_eq!(text.lines().collect::<Vec<_>>(), sentences);
    let json = said(ask(&["advice", "--json"], &admin).await);
    assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON"), answer);
}

#[tokio::test]
async fn of_several_routes_one_can_be_asked_for() {
    let settings =
        "[routes.work]\npath = \"/work\"\nbatch.max_size = 7\nupstream.url = \"URL/w\"\n";
    let mut routes = Routes::start(settings).await;
    let caller = routes.queue_one(call("/work", r#"{"id":1}"#)).await;
    routes.flushed().await.answer(500, &[], "");
    caller.answer().await;
    let proxy = &routes.proxy;
    let admin = proxy.admin_addr.expect("an admin listener").to_string();
    eventually("the failure", async || {
        let health = proxy.admin("GET", "/live").await.json()["health"].clone();
        (health["state"] == "outage").then_some(())
    })
    .await;
    let top = async |words: &[&str]| said(ask(&[&["top", "--once"], words].concat(), &admin).await);
    let advice = async |words: &[&str]| said(ask(&[&["advice"], words].concat(), &admin).await);

    let all = top(&[]).await;
    has(
        &all,
        &[
            "  all 2 routes  up ",
            "1 of up to 100",
            "work: upstream-error  1 batch",
        ],
    );
    let work = top(&["--route", "work"]).await;
    has(
        &work,
        &[
            "  route work  up ",
            "1 of 7",
            "success      0 %",
            "\nupstream-error  1 batch",
        ],
    );
    let jobs = top(&["--route=jobs"]).await;
    has(&jobs, &["  route jobs  up ", "– of 100", "success      –"]);
    assert!(!jobs.contains("upstream-error"), "{jobs}");

    let (all, work) = (advice(&[]).await, advice(&["--route", "work"]).await);
    has(&all, &["problem: `work`: Nothing gets through"]);
    has(&work, &["problem: Nothing gets through"]);
    has(
        &advice(&["--route", "jobs"]).await,
        &["No job came in the last minute."],
    );
    let json = advice(&["--json", "--route", "work"]).await;
    has(&json, &["\"text\":\"Nothing gets through"]);

    for words in [
        &["top", "--once"][..],
        &["top"],
        &["advice"],
        &["advice", "--json"],
    ] {
        let failed = ask(&[words, &["--route", "wörk"]].concat(), &admin).await;
        assert_eq!(
            (failed.status.code(), &failed.stdout[..]),
            (Some(1), &b""[..])
        );
        let told = String::from_utf8(failed.stderr).expect("text in UTF-8");
        has(
            &told,
            &["?route=w%C3%B6rk: no such route; there are these: jobs, work\n"],
        );
    }
}

/// Where there is one route, it is named to nobody who does not ask for it.
#[tokio::test]
async fn of_one_route_nothing_is_said() {
    let (_proxy, admin) = start().await;
    for words in [
        &["top", "--once"][..],
        &["top", "--once", "--route", "jobs"],
    ] {
        let frame = said(ask(words, &admin).await);
        assert!(!frame.contains("route"), "{frame}");
        has(&frame, &["mean size    2 of 3"]);
    }
}

#[tokio::test]
async fn an_unreachable_proxy_is_named_with_what_to_do() {
    let nobody = Reserved::new();
    let addr = nobody.addr().to_string();
    for (words, path) in [
        (&["top", "--once"][..], "/live"),
        (&["top"], "/live"),
        (&["advice"], "/advice"),
        (&["advice", "--json"], "/advice"),
    ] {
        let failed = ask(words, &addr).await;
        assert_eq!(failed.status.code(), Some(1), "{words:?}");
        assert_eq!(failed.stdout, b"", "{words:?}");
        let said = String::from_utf8(failed.stderr).expect("text in UTF-8");
        let expected = format!("microbatch: http://{addr}{path}: Connection refused");
        assert!(said.starts_with(&expected), "{said}");
        has(
            &said,
            &["is the proxy running?", "--admin-listen", "--config"],
        );

        let failed = ask(words, "").await;
        assert_eq!(failed.status.code(), Some(1), "{words:?}");
        let said = String::from_utf8(failed.stderr).expect("text in UTF-8");
        assert_eq!(
            said,
            "microbatch: admin.listen is off, so there is nobody to ask\n"
        );
    }
}

#[tokio::test]
async fn an_answer_of_no_proxy_is_not_believed() {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &[], &[]).await;
    // The jobs listener has no such path.
    let failed = ask(&["top"], &proxy.jobs_addr.to_string()).await;
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8(failed.stderr).expect("text in UTF-8");
    has(
        &said,
        &["/live: 404 Not Found; is admin.listen the address of a microbatch proxy"],
    );

    let mut other = ScriptedUpstream::start().await;
    let admin = other.addr().to_string();
    let (failed, ()) = tokio::join!(ask(&["advice"], &admin), async {
        other.next().await.ok("{}");
    });
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8(failed.stderr).expect("text in UTF-8");
    has(&said, &["/advice: not understood: "]);
}

#[tokio::test]
async fn no_answer_is_waited_for_forever() {
    let mut upstream = ScriptedUpstream::start().await;
    let admin = upstream.addr().to_string();
    let words = ["top", "--once", "--timeout", "50ms"];
    let (failed, _held) = tokio::join!(ask(&words, &admin), upstream.next());
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8(failed.stderr).expect("text in UTF-8");
    has(&said, &["operation timed out; is the proxy running?"]);
}

#[tokio::test]
async fn wrong_flags_are_told_apart() {
    for words in [
        &["top", "--twice"][..],
        &["advice", "--once"],
        &["top", "--timeout", "5"],
    ] {
        assert_eq!(
            ask(words, "127.0.0.1:1").await.status.code(),
            Some(2),
            "{words:?}"
        );
    }
}
