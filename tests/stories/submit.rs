//! `microbatch submit` hands lines in and writes one result for each, whatever the proxy does.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::{Resource, Submit, Unkind, jobs, results, word};

/// Each id once, with the status that the resource gives it.
fn each_once(count: u64, text: &str) {
    let mut found = results(text);
    found.sort_unstable();
    let expected = (1..=count).map(|id| (id, if id % 7 == 0 { 502 } else { 200 }));
    assert!(found.iter().copied().eq(expected), "{found:?}");
}

#[tokio::test]
async fn each_line_has_one_result_however_unkind_the_proxy_is() {
    for seed in 0..6 {
        let unkind = Unkind {
            refuses: 20,
            loses_answers: 15,
            breaks_streams: 5,
            leaves_gaps: 5,
            forgets: 0,
        };
        let resource = Resource::start(seed, unkind).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("jobs.ndjson");
        fs::write(&file, jobs(150)).unwrap();
        let mut words = vec![word(&file), "--in-flight", "20", "--requests", "8"];
        if seed % 2 == 0 {
            words.push("--ordered");
        }
        let submitted = Submit::run(resource.addr, &words).await;
        assert_eq!(submitted.code, Some(1), "{submitted:?}");
        each_once(150, &submitted.stdout);
        if seed % 2 == 0 {
            let ids = results(&submitted.stdout).into_iter().map(|(id, _)| id);
            assert!(ids.eq(1..=150), "{submitted:?}");
        }
        let done = resource.done();
        assert_eq!(done.len(), 150);
        assert!(done.values().all(|&times| times == 1), "{done:?}");
    }
}

#[tokio::test]
async fn what_the_proxy_has_forgotten_is_handed_in_again() {
    let unkind = Unkind {
        forgets: 10,
        breaks_streams: 10,
        ..Unkind::default()
    };
    let resource = Resource::start(3, unkind).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jobs.ndjson");
    fs::write(&file, jobs(100)).unwrap();
    let submitted = Submit::run(resource.addr, &[word(&file), "--in-flight", "10"]).await;
    each_once(100, &submitted.stdout);
    assert!(resource.forgotten() > 0);
    assert_eq!(resource.records(), 0, "each result is acknowledged");
}

#[tokio::test]
async fn results_come_as_they_finish_or_in_the_order_of_the_input() {
    let resource = Resource::start(1, Unkind::default()).await;
    for (flags, in_order) in [(vec!["-"], false), (vec!["-", "--ordered"], true)] {
        let mut submit = Submit::start(resource.addr, &flags);
        let mut stdin = submit.stdin();
        let text = jobs(60);
        let written = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt as _;
            stdin.write_all(text.as_bytes()).await.unwrap();
        });
        let submitted = submit.ended().await;
        written.await.unwrap();
        each_once(60, &submitted.stdout);
        let found = results(&submitted.stdout);
        assert_eq!(found.is_sorted(), in_order, "{found:?}");
    }
}

#[tokio::test]
async fn a_line_that_is_no_job_fails_for_itself() {
    let resource = Resource::start(1, Unkind::default()).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jobs.ndjson");
    fs::write(&file, "{\"id\":1}\n\nno job\n{\"id\":2}").unwrap();
    let submitted = Submit::run(resource.addr, &[word(&file), "--ordered"]).await;
    assert_eq!(submitted.code, Some(1), "{submitted:?}");
    let lines: Vec<_> = submitted.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{submitted:?}");
    assert_eq!(
        lines[1],
        r#"{"handle":null,"id":null,"line":3,"status":400,"body":{"code":"malformed-json","retryable":false}}"#
    );
    // The same without it.
    fs::write(&file, "{\"id\":1}\n{\"id\":2}").unwrap();
    let submitted = Submit::run(resource.addr, &[word(&file), "--ordered"]).await;
    assert_eq!(submitted.code, Some(0), "{submitted:?}");
    let handles: BTreeSet<_> = submitted.stdout.lines().map(|line| &line[..20]).collect();
    assert_eq!(handles.len(), 2, "{submitted:?}");
}
