//! What the page shows of jobs for later, and that it shows nothing where there are none.
//! Pictures of it go to the folder that `PICTURES` names, if it is set.

use std::time::Duration;

use crate::browser::{Page, has_browser, keep};
use crate::harness::{Proxy, Request};
use crate::load::{Load, SampleUpstream};
use crate::value;

/// A phone, and a small screen.
const WIDTHS: [u32; 2] = [390, 1024];

/// From here on the proxy says that processes were gone, and that a lease was over.
const AFTER_A_CRASH: &str = r#"(() => {
    const ask = window.fetch;
    const later = { outcomes: {}, recovered: { interrupted: 64, queued_again: 16 }, fenced: 1 };
    let told = null;
    window.fetch = async (...what) => {
        const answer = await ask(...what);
        if (!String(what[0]).includes("live")) return answer;
        const live = await answer.json();
        for (const second of live.seconds) {
            told ??= second.t;
            if (second.t === told) second.later = { ...second.later, ...later };
        }
        return new Response(JSON.stringify(live), { headers: answer.headers });
    };
})()"#;

/// Nothing is wider than the window.
const FITS: &str = "document.documentElement.scrollWidth <= window.innerWidth";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_for_later_are_seen_once_there_are_some() {
    if !has_browser() {
        return;
    }
    let upstream = SampleUpstream::start(&["--delay", "200ms"]).await;
    let flags = ["--max-size", "4", "--max-in-flight", "1"];
    let env = [
        ("MICROBATCH_LATER__KEEP", "5s"),
        ("MICROBATCH_LATER__MAX_JOBS", "400"),
    ];
    let quietly = ["--log-level", "info"];
    let proxy = Proxy::start(&upstream.url, &[&flags[..], &quietly].concat(), &env).await;
    let admin = proxy.admin_addr.expect("an admin listener");
    Page::open(&format!("http://{admin}/"), async |page| {
        let mut load = Load::new(proxy.jobs_addr);
        load.paced(1, || Duration::from_millis(100));
        page.wait_for("jobs", &value("jobs-rate", "> 0")).await;
        let hidden = "['later', 'later-plots'].every(id => document.getElementById(id).hidden)";
        assert_eq!(page.eval(hidden).await, true);

        let mut caller = proxy.keep_alive().await;
        for id in 0..340 {
            let answer = caller
                .send(Request::later(format!(r#"{{"id":{id}}}"#)))
                .await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        page.wait_for("the backlog", &value("later-queued", "> 100"))
            .await;
        page.wait_for("its age", &value("later-oldest", "> 1000"))
            .await;
        page.wait_for("the store", &value("later-store", "> 0.5"))
            .await;
        for figure in [
            "later-rate",
            "later-free-seats",
            "later-kept",
            "later-expired",
        ] {
            page.wait_for(figure, &value(figure, "> 0")).await;
        }
        for id in ["backlog", "later"] {
            let drawn = format!(
                "[...document.querySelectorAll('#plot-{id} path')].some(it => it.getAttribute('d'))"
            );
            page.wait_for(&format!("the plot of {id}"), &drawn).await;
        }
        let said =
            "document.querySelector('[data-testid=advice]').textContent.includes('for later wait')";
        page.wait_for("what holds them up", said).await;
        let tiles =
            "['recovered', 'fenced'].map(it => document.getElementById(`later-${it}-tile`).hidden)";
        assert_eq!(page.eval(tiles).await, serde_json::json!([true, true]));
        page.eval(AFTER_A_CRASH).await;
        page.wait_for("what was recovered", &value("later-recovered", "== 80"))
            .await;
        page.wait_for("what was fenced", &value("later-fenced", "== 1"))
            .await;
        let note = "document.getElementById('later-recovered-note').textContent";
        let expected = "64 interrupted, 16 queued again, the last five minutes";
        assert_eq!(page.eval(note).await, expected);
        for width in WIDTHS {
            let png = page.picture(width).await;
            keep(&format!("backlog-{width}.png"), &png);
            assert_eq!(page.eval(FITS).await, true, "{width}");
        }
        assert_eq!(page.console().await, Vec::<String>::new());
    })
    .await;
}
