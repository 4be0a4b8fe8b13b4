//! However many threads serve callers, it is one proxy.

use crate::batching::{all_ok, job, patient};
use crate::harness::{Signal, within};

const CALLERS: usize = 8;

fn ids() -> Vec<String> {
    (0..CALLERS).map(|n| format!("job {n}")).collect()
}

#[tokio::test]
async fn callers_of_all_threads_share_batches() {
    for threads in ["1", "2", "5"] {
        let size = CALLERS.to_string();
        let flags = ["--threads", threads, "--max-size", &size];
        let (proxy, mut upstream) = patient(&flags, &[]).await;
        assert_eq!(proxy.threads("worker-").to_string(), less_one(threads));
        for _ in 0..3 {
            let mut callers = Vec::new();
            for id in ids() {
                callers.push(proxy.enqueue(&job(&id)).await);
            }
            let call = upstream.next().await;
            assert_eq!(call.ids(), ids());
            call.echo();
            all_ok(callers).await;
        }
    }
}

/// The first is the process's own.
fn less_one(threads: &str) -> String {
    (threads.parse::<u32>().unwrap() - 1).to_string()
}

#[tokio::test]
async fn a_stop_loses_no_caller_of_any_thread() {
    let (mut proxy, mut upstream) = patient(&["--threads", "4"], &[]).await;
    let mut callers = Vec::new();
    for id in ids() {
        callers.push(proxy.enqueue(&job(&id)).await);
    }
    proxy.signal(Signal::TERM);
    let call = upstream.next().await;
    assert_eq!(call.ids(), ids());
    call.echo();
    all_ok(callers).await;
    assert_eq!(within("the end", proxy.exit_code()).await, Some(0));
}
