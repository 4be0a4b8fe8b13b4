//! The live page in a real browser, before the real binary and under load.
//!
//! Skipped, with a word, where there is no Chromium or no chromedriver (Debian:
//! `apt-get install chromium chromium-driver`); where `CI` is set that is a failure.
//! The picture in `docs` is taken by
//!
//! ```sh
//! cargo test --test browser -- --ignored the_picture_of_the_readme
//! ```

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, unused_imports, reason = "the stories use the rest of it")]
#[path = "../stories/harness/mod.rs"]
mod harness;

mod backlog;
mod browser;
mod load;
mod picture;
mod routes;
mod tokens;

use std::time::Duration;

use harness::{Proxy, Reserved, Signal};

use browser::{Page, has_browser};
use load::{Load, SampleUpstream};

/// What the page measures is not 0.
const FIGURES: [&str; 10] = [
    "success",
    "failed-rate",
    "jobs-rate",
    "batches-rate",
    "mean-size",
    "fill",
    "wait-p50",
    "wait-p99",
    "upstream-p50",
    "upstream-p99",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_happens_while_it_happens() {
    if !has_browser() {
        return;
    }
    let faults = [
        "--delay",
        "30ms",
        "--fail-rate",
        "0.1",
        "--job-error-rate",
        "0.2",
        "--drop-rate",
        "0.1",
    ];
    let upstream = SampleUpstream::start(&faults).await;
    let flags = [
        "--max-wait",
        "20ms",
        "--max-size",
        "16",
        "--max-in-flight",
        "1",
    ];
    let quietly = ["--log-level", "info"];
    let proxy = Proxy::start(&upstream.url, &[&flags[..], &quietly].concat(), &[]).await;
    let admin = proxy.admin_addr.expect("an admin listener");
    Page::open(&format!("http://{admin}/"), async |page| {
        follow(page, proxy, &upstream).await;
    })
    .await;
}

async fn follow(page: &Page, proxy: Proxy, _upstream: &SampleUpstream) {
    // Nothing yet, and how to begin.
    page.wait_for("it is live", &value("connection", "=== 'live'"))
        .await;
    page.wait_for("it is ready", &value("state", "=== 'ready'"))
        .await;
    page.wait_for("no circuit", &value("circuit", "=== 'off'"))
        .await;
    page.wait_for(
        "no word of it",
        "document.querySelector('[data-testid=circuit]').hidden",
    )
    .await;
    page.wait_for(
        "the first line to try",
        "!document.getElementById('teach').hidden",
    )
    .await;
    page.wait_for("no rate yet", &value("jobs-rate", "=== '0'"))
        .await;

    // Two callers never fill a batch of 16.
    let mut load = Load::new(proxy.jobs_addr);
    load.callers(2);
    page.wait_for(
        "the line to try to go",
        "document.getElementById('teach').hidden",
    )
    .await;
    for figure in FIGURES {
        page.wait_for(figure, &value(figure, "> 0")).await;
    }
    page.wait_for("advice to wait less", &advice("batch.wait", "hint"))
        .await;
    page.wait_for("batches of two", &row("sizes", "data-from='2'"))
        .await;
    page.wait_for("the reason", &row("reasons", "data-reason='wait'"))
        .await;
    for outcome in ["ok", "job-error", "result-missing", "upstream-error"] {
        let row = row("outcomes", &format!("data-outcome='{outcome}'"));
        page.wait_for(outcome, &row).await;
    }
    let failure = "document.querySelector('[data-testid=failures] tr[data-outcome=upstream-error]')?.textContent";
    page.wait_for(
        "a failed batch and its status",
        &format!("{failure}?.includes('status 5')"),
    )
    .await;
    page.wait_for("jobs that fail", &value("state", "=== 'failing'"))
        .await;
    page.wait_for("a header that is not green", &kind("state", "problem"))
        .await;

    // So many more that the one slot is what they wait for.
    load.callers(100);
    page.wait_for(
        "advice about slots",
        &advice("upstream.max_in_flight", "problem"),
    )
    .await;
    page.wait_for("the one slot to be taken", &value("slots", "=== '1'"))
        .await;
    page.wait_for("a queue", &value("queue", "> 16")).await;
    page.wait_for("full batches", &row("reasons", "data-reason='size'"))
        .await;
    page.wait_for("batches of 16", &row("sizes", "data-from='16'"))
        .await;
    for id in [
        "ok", "errors", "wait", "upstream", "jobs", "batches", "size", "fill", "reasons", "queue",
    ] {
        let drawn = format!(
            "[...document.querySelectorAll('#plot-{id} path')].some(it => it.getAttribute('d'))"
        );
        page.wait_for(&format!("the plot of {id}"), &drawn).await;
    }

    read_by_keyboard(page).await;

    // It asks nobody else, and nothing went wrong in it.
    let origin = "performance.getEntriesByType('resource').map(it => new URL(it.name).origin)";
    page.wait_for("many answers", &format!("{origin}.length > 5"))
        .await;
    let outside = page
        .eval(&format!("{origin}.filter(it => it !== location.origin)"))
        .await;
    assert_eq!(outside, serde_json::json!([]));
    assert_eq!(page.console().await, Vec::<String>::new());

    proxy.signal(Signal::TERM);
    drop(load);
    page.wait_for("the loss to be said", &value("connection", "=== 'lost'"))
        .await;
    let said = "document.getElementById('lost').textContent.includes('has not answered since')";
    page.wait_for("since when", said).await;
}

/// The plots are read without a pointer.
async fn read_by_keyboard(page: &Page) {
    let press = |key: &str| {
        format!(
            "(() => {{ document.activeElement.dispatchEvent(new KeyboardEvent('keydown', \
             {{ key: '{key}', bubbles: true, cancelable: true }})); return true; }})()"
        )
    };
    let at = "document.getElementById('look-back').value";
    let focused = "document.activeElement.parentNode.id";
    // One plot is in the order of tabbing.
    let first = "document.querySelectorAll('.plot > svg[tabindex=\"0\"]')";
    assert_eq!(page.eval(&format!("{first}.length")).await, 1);
    page.eval(&format!("{first}[0].focus()")).await;
    for key in [
        "ArrowLeft",
        "ArrowLeft",
        "ArrowDown",
        "ArrowRight",
        "ArrowLeft",
    ] {
        page.eval(&press(key)).await;
    }
    assert_eq!(page.eval(at).await, "-2");
    assert_eq!(page.eval(focused).await, "plot-errors");
    let said = "document.getElementById('look-back-time').textContent.startsWith('2')";
    page.wait_for("the moment", said).await;
    page.eval(&press("Escape")).await;
    assert_eq!(page.eval(at).await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_total_outage_is_never_green_and_moves_nothing() {
    if !has_browser() {
        return;
    }
    // Nobody answers there.
    let nobody = Reserved::new();
    let upstream = format!("http://{}/batch", nobody.addr());
    let flags = ["--max-wait", "20ms", "--log-level", "info"];
    let proxy = Proxy::start(&upstream, &flags, &[]).await;
    let admin = proxy.admin_addr.expect("an admin listener");
    Page::open(&format!("http://{admin}/"), async |page| {
        page.wait_for("it is ready", &value("state", "=== 'ready'"))
            .await;
        let tops = "[...document.querySelectorAll('main > :not(details) h2, .tile, .charts > .panel')]\
                    .map(it => Math.round(it.getBoundingClientRect().top))";
        let before = page.eval(tops).await;
        let mut load = Load::new(proxy.jobs_addr);
        load.paced(2, || Duration::from_millis(20));
        page.wait_for("the outage", &value("state", "=== 'outage'"))
            .await;
        page.wait_for("it is a problem", &kind("state", "problem"))
            .await;
        page.wait_for("no success", &value("success", "=== '0'"))
            .await;
        page.wait_for("the failures", &value("failed-rate", "> 0"))
            .await;
        let title = "document.title.startsWith('Every job fails')";
        page.wait_for("the title", title).await;
        let row = "document.querySelector('[data-testid=failures] tr[data-outcome=upstream-unreachable]')";
        page.wait_for("the cause", &format!("{row} !== null")).await;
        let good = "document.querySelectorAll('.states [data-kind=good], [data-testid=advice] li[data-kind=good]')";
        page.wait_for("nothing good", &format!("{good}.length === 0"))
            .await;
        assert_eq!(page.eval(tops).await, before);
    })
    .await;
}

/// A state is told as that pressing.
fn kind(name: &str, is: &str) -> String {
    format!("document.querySelector('[data-testid={name}]').dataset.kind === '{is}'")
}

/// A figure's raw number, or a state's name, is so.
fn value(name: &str, is: &str) -> String {
    format!("document.querySelector('[data-testid={name}]').dataset.value {is}")
}

/// Some advice speaks of this setting.
fn advice(setting: &str, kind: &str) -> String {
    let item = format!("[data-setting=\"{setting}\"][data-kind={kind}]");
    format!("document.querySelector('[data-testid=advice] {item}') !== null")
}

/// A table has such a row, and its number is not 0.
fn row(table: &str, has: &str) -> String {
    let row = format!("[data-testid={table}] tr[{has}]");
    format!("document.querySelector(\"{row}\")?.dataset.value > 0")
}
