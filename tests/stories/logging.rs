//! Section 8 of the contract: the log never holds anybody up, and nobody outside
//! decides how much is in it.

use crate::harness::h2::{PING, frame, hello};
use crate::harness::{Proxy, RawClient, Request, Scrape, ScriptedUpstream, Signal};

/// The acknowledgement of a PING (RFC 9113, 6.7).
const ACK: u8 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stderr_stops_nothing() {
    let mut upstream = ScriptedUpstream::start().await;
    let mut proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &[]).await;
    proxy.log.stop_reading();
    // Several lines for each job, with its id.
    let id = "x".repeat(250);
    let mut caller = proxy.keep_alive().await;
    let mut dropped = 0.0;
    // There is room for some thousand lines before the first is dropped.
    while dropped == 0.0 {
        for _ in 0..50 {
            let job = Request::job(format!(r#"{{"id":"{id}"}}"#));
            let (answer, ()) = tokio::join!(caller.send(job), async {
                upstream.next().await.answer(500, &[], "");
            });
            answer.problem(502, "upstream-error", "yes");
        }
        dropped = Scrape::of(&proxy).await.get("log_lines_dropped_total");
    }
    assert_eq!(proxy.admin("GET", "/livez").await.status, 200);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_caller_that_floods_the_http_library_writes_no_line() {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &[], &[]).await;
    let (mut writer, mut reader) = RawClient::two_handed(proxy.jobs_addr).await;
    let unasked = frame(PING, ACK, 0, b"unasked!").repeat(20_000);
    // The library has read them all once it acknowledges a PING of ours.
    let ours = frame(PING, 0, 0, b"our ping");
    let acknowledged = frame(PING, ACK, 0, b"our ping");
    tokio::join!(
        writer.write([hello(), unasked, ours].concat()),
        reader.until(&acknowledged)
    );
    proxy.admin("GET", "/livez").await;
    let foreign = proxy
        .log
        .count(|line| !line.text("target").starts_with("microbatch"));
    assert_eq!(foreign, 0, "{}", proxy.log);
}

#[tokio::test]
async fn what_a_library_has_to_say_is_told_where_the_filter_names_it() {
    let upstream = ScriptedUpstream::start().await;
    let flags = ["--log-level", "info,h2=debug"];
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    let mut caller = RawClient::connect(proxy.jobs_addr).await;
    caller
        .write([hello(), frame(PING, ACK, 0, b"unasked!")].concat())
        .await;
    let told = proxy
        .log
        .wait_for("what h2 says", |line| line.text("target").starts_with("h2"));
    told.await;
}

#[tokio::test]
async fn an_id_neither_fills_nor_steers_the_log() {
    let mut upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &[]).await;
    // 1 KiB of characters that turn the direction in which a line is read.
    let id = "\u{202e}".repeat(256);
    let caller = proxy.send(Request::job(format!(r#"{{"id":"{id}"}}"#)));
    let (answer, ()) = tokio::join!(caller, async { upstream.next().await.echo() });
    assert_eq!(answer.status, 200, "{answer:?}");
    let queued = proxy.log.nth("job queued", 1).await;
    let shown = queued.text("id");
    assert!(shown.ends_with('…') && shown.len() < 512, "{queued:?}");
}
