//! An outage rehearsed with `microbatch upstream`, as an operator would.

use std::process::Stdio;

use tokio::process::Child;
use tokio::task::JoinSet;

use crate::harness::{Log, Proxy, command, post};

/// The sample upstream on a port of its own, misbehaving as told.
async fn sample(faults: &[&str]) -> (Child, String) {
    let mut command = command();
    command.args(["upstream", "--listen", "127.0.0.1:0", "--seed", "1"]);
    command.args(faults).stderr(Stdio::piped());
    command.env("MICROBATCH_LOG__FORMAT", "json");
    let mut child = command.spawn().expect("the binary starts");
    let log = Log::read(child.stderr.take().expect("stderr is piped"));
    let listening = log.nth("sample upstream listening", 1).await;
    let url = format!("http://{}/batch", listening.text("listen"));
    (child, url)
}

/// How many of so many jobs, sent at once, were answered with each of these.
async fn statuses<const N: usize>(proxy: &Proxy, jobs: usize, statuses: [u16; N]) -> [usize; N] {
    let mut callers = JoinSet::new();
    for id in 0..jobs {
        let job = format!(r#"{{"id":{id},"body":{id}}}"#);
        callers.spawn(post(proxy.jobs_addr, job));
    }
    let answers = callers.join_all().await;
    let counts = statuses.map(|status| answers.iter().filter(|it| it.status == status).count());
    assert_eq!(counts.iter().sum::<usize>(), jobs, "{answers:?}");
    counts
}

#[tokio::test]
async fn a_batch_over_its_limit_comes_in_halves() {
    let (_sample, url) = sample(&["--max-batch", "3", "--shuffle"]).await;
    let proxy = Proxy::start(&url, &["--max-size", "20", "--max-wait", "50s"], &[]).await;
    assert_eq!(statuses(&proxy, 20, [200]).await, [20]);
    proxy.log.nth("batch is split", 1).await;
}

#[tokio::test]
async fn failures_that_may_be_repeated_are_not_the_callers() {
    let (_sample, url) = sample(&["--fail-rate", "0.5", "--status", "503"]).await;
    let env = [
        ("MICROBATCH_UPSTREAM__IDEMPOTENT", "true"),
        ("MICROBATCH_RETRY__MAX_ATTEMPTS", "100"),
        ("MICROBATCH_RETRY__BUDGET_MIN", "1000000"),
        ("MICROBATCH_RETRY__CAP", "25ms"),
    ];
    let proxy = Proxy::start(&url, &["--max-size", "5"], &env).await;
    assert_eq!(statuses(&proxy, 100, [200]).await, [100]);
    proxy.log.nth("batch is sent again", 1).await;
}

#[tokio::test]
async fn faults_of_single_jobs_stay_theirs() {
    let (_sample, url) = sample(&["--job-error-rate", "0.3", "--drop-rate", "0.3"]).await;
    let proxy = Proxy::start(&url, &["--max-size", "50"], &[]).await;
    let [ok, error, missing] = statuses(&proxy, 200, [200, 422, 502]).await;
    assert!(ok > 0 && error > 0 && missing > 0, "{ok} {error} {missing}");
}
