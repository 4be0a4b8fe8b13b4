//! Section 2 of the contract: what a batch looks like to the upstream.

use crate::batching::{all_ok, enqueue, job, patient, start};
use crate::harness::{Caller, Request};

#[tokio::test]
async fn a_batch_is_an_array_of_the_jobs_oldest_first() {
    let (proxy, mut upstream) = patient(&["--max-size", "3"], &[]).await;
    let texts = [
        r#"{ "id" : 3, "body": 1.0 }"#,
        r#"{"body":"b","id":"1"}"#,
        r#"{"id":2}"#,
    ];
    let mut callers = Vec::new();
    for text in texts {
        callers.push(proxy.enqueue(text).await);
    }
    let call = upstream.next().await;
    assert_eq!((&*call.method, &*call.path), ("POST", "/batch"));
    assert_eq!(call.body, format!("[{}]", texts.join(",")));
    call.echo();
    all_ok(callers).await;
}

#[tokio::test]
async fn a_batch_has_exactly_these_headers() {
    let (proxy, mut upstream) = patient(&["--max-size", "2"], &[]).await;
    let callers = enqueue(&proxy, ["a", "b"]).await;
    let call = upstream.next().await;
    let mut names: Vec<_> = call.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    let expected = "accept content-length content-type host user-agent x-batch-id \
                    x-batch-size";
    assert_eq!(names.join(" "), expected);
    assert_eq!(call.header("host"), upstream.addr().to_string());
    assert_eq!(call.header("content-type"), "application/json");
    assert_eq!(call.header("content-length"), call.body.len().to_string());
    assert_eq!(call.header("accept"), "application/json");
    assert_eq!(call.header("x-batch-size"), "2");
    let version = proxy.log.nth("listening", 1).await;
    let agent = format!("microbatch/{}", version.text("version"));
    assert_eq!(call.header("user-agent"), agent);
    call.echo();
    all_ok(callers).await;
}

#[tokio::test]
async fn a_batch_id_is_a_uuid_v7_of_its_own() {
    let (proxy, mut upstream) = start(&["--max-wait", "0"], &[]).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let caller = Caller::spawn(proxy.jobs_addr, Request::job(job("a")));
        let call = upstream.next().await;
        ids.push(call.header("x-batch-id").to_owned());
        call.echo();
        let answer = caller.answer().await;
        assert_eq!(answer.header("x-batch-id"), ids.last().unwrap());
    }
    for id in &ids {
        let parts: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
        let hex = |c: char| c == '-' || c.is_ascii_digit() || ('a'..='f').contains(&c);
        assert!(id.chars().all(hex), "{id}");
        assert_eq!(&id[14..15], "7", "the version of {id}");
        assert!("89ab".contains(&id[19..20]), "the variant of {id}");
    }
    // A uuid v7 starts with the time: later ones are not smaller.
    let times: Vec<_> = ids.iter().map(|id| &id[..13]).collect();
    assert!(times.is_sorted(), "{ids:?}");
    assert!(
        ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2],
        "{ids:?}"
    );
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(
            proxy.log.nth("batch left", n + 1).await.text("batch_id"),
            id
        );
    }
}

#[tokio::test]
async fn static_headers_travel_with_every_batch() {
    let flags = [
        "--max-wait",
        "0",
        "--upstream-header",
        "Authorization: Bearer secret",
    ];
    let flags = [&flags[..], &["--upstream-header", "X-Tenant: a: b"]].concat();
    let (proxy, mut upstream) = start(&flags, &[]).await;
    for _ in 0..2 {
        let caller = Caller::spawn(proxy.jobs_addr, Request::job(job("a")));
        let call = upstream.next().await;
        assert_eq!(call.header("authorization"), "Bearer secret");
        assert_eq!(call.header("x-tenant"), "a: b");
        call.echo();
        all_ok(vec![caller]).await;
    }
}
