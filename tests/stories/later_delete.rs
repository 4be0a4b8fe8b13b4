//! Section 11 of the contract: a record is deleted.

use crate::harness::{Caller, LONG_WAIT, Proxy, Request, ScriptedUpstream};

const JOB: &str = r#"{"id":"a","body":1}"#;

async fn start(flags: &[&str]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let env = [("MICROBATCH_LATER__MAX_WAIT", "0")];
    let proxy = Proxy::start(&upstream.url(), flags, &env).await;
    (proxy, upstream)
}

async fn is_gone(proxy: &Proxy, handed: &crate::harness::Handed) {
    proxy.fetch(handed).await.problem(404, "job-unknown", "");
    let answer = proxy.delete(handed).await;
    answer.problem(404, "job-unknown", "");
}

#[tokio::test]
async fn a_queued_job_is_never_sent() {
    // The only slot is another's until the end.
    let (proxy, mut upstream) = start(&["--max-in-flight", "1", "--max-wait", "0"]).await;
    let first = proxy.enqueue(r#"{"id":1}"#).await;
    let call = upstream.next().await;
    let (deleted, kept) = (
        proxy.hand_in(JOB).await,
        proxy.hand_in(r#"{"id":"b"}"#).await,
    );
    let answer = proxy.delete(&deleted).await;
    assert_eq!((answer.status, answer.text()), (204, ""));
    assert_eq!(answer.header("content-length"), "");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    is_gone(&proxy, &deleted).await;
    call.echo();
    first.answer().await;
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["b"]);
    call.echo();
    proxy.finished(&kept).await;
    assert!(upstream.arrived().is_none());
}

#[tokio::test]
async fn of_a_sent_job_the_result_is_dropped_and_its_mates_get_theirs() {
    let upstream = ScriptedUpstream::start().await;
    let env = [("MICROBATCH_LATER__MAX_WAIT", "50s")];
    let proxy = Proxy::start(&upstream.url(), &["--max-size", "2"], &env).await;
    let mut upstream = upstream;
    let deleted = proxy.hand_in(JOB).await;
    let kept = proxy.hand_in(r#"{"id":"b"}"#).await;
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["a", "b"]);
    assert_eq!(proxy.delete(&deleted).await.status, 204);
    is_gone(&proxy, &deleted).await;
    call.echo();
    let answer = proxy.finished(&kept).await;
    answer.is_result(r#"{"id":"b","result":null}"#);
    is_gone(&proxy, &deleted).await;
}

#[tokio::test]
async fn a_call_is_aborted_when_all_its_members_are_gone() {
    let upstream = ScriptedUpstream::start().await;
    let env = [("MICROBATCH_LATER__MAX_WAIT", "50s")];
    let proxy = Proxy::start(&upstream.url(), &["--max-size", "2"], &env).await;
    let mut upstream = upstream;
    let both = [
        proxy.hand_in(JOB).await,
        proxy.hand_in(r#"{"id":"b"}"#).await,
    ];
    let mut call = upstream.next().await;
    for handed in &both {
        assert_eq!(proxy.delete(handed).await.status, 204);
    }
    call.caller_gone().await;
    for handed in &both {
        is_gone(&proxy, handed).await;
    }
}

#[tokio::test]
async fn a_caller_is_not_harmed_by_a_deleted_job_in_its_batch() {
    let upstream = ScriptedUpstream::start().await;
    let env = [("MICROBATCH_LATER__MAX_WAIT", "50s")];
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &env).await;
    let mut upstream = upstream;
    let handed = proxy.hand_in(JOB).await;
    let caller = Caller::spawn(proxy.jobs_addr, Request::job(r#"{"id":1}"#));
    let call = upstream.next().await;
    assert_eq!(call.ids().len(), 2);
    assert_eq!(proxy.delete(&handed).await.status, 204);
    call.echo();
    caller.answer().await.is_result(r#"{"id":1,"result":null}"#);
}

#[tokio::test]
async fn a_finished_one_is_acknowledged() {
    let (proxy, mut upstream) = start(&[]).await;
    let handed = proxy.hand_in(JOB).await;
    upstream.next().await.echo();
    proxy.finished(&handed).await;
    assert_eq!(proxy.delete(&handed).await.status, 204);
    is_gone(&proxy, &handed).await;
}

#[tokio::test]
async fn of_several_deletions_at_once_one_succeeds() {
    let (proxy, _upstream) = start(&LONG_WAIT).await;
    for _ in 0..5 {
        let handed = proxy.hand_in(JOB).await;
        let deletions: Vec<_> = (0..8)
            .map(|_| {
                let request = Request::new("DELETE", &handed.location);
                Caller::spawn(proxy.jobs_addr, request)
            })
            .collect();
        let mut statuses = Vec::new();
        for deletion in deletions {
            statuses.push(deletion.answer().await.status);
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 404, 404, 404, 404, 404, 404, 404]);
    }
}
