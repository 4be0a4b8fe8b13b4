//! The choice among routes: all together or one, kept in the URL, and none where there is one.
//! Pictures of it go to the folder that `PICTURES` names, if it is set.

use std::io::Write;
use std::time::Duration;

use crate::browser::{Page, has_browser, keep};
use crate::harness::{Proxy, Reserved};
use crate::load::{Load, SampleUpstream};
use crate::{row, value};

/// A phone, and a small screen.
const WIDTHS: [u32; 2] = [390, 1024];

/// Nothing is wider than the window.
const FITS: &str = "document.documentElement.scrollWidth <= window.innerWidth";

/// The route that the page tells of; empty for all.
fn told(route: &str) -> String {
    value("route", &format!("=== '{route}'"))
}

fn says(id: &str, words: &str) -> String {
    format!("document.getElementById('{id}').textContent.includes('{words}')")
}

/// As somebody does who chooses.
fn choose(route: &str) -> String {
    format!(
        "(() => {{ const it = document.getElementById('route'); it.value = '{route}'; \
         it.dispatchEvent(new Event('change', {{ bubbles: true }})); return location.search; }})()"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_routes_is_chosen_and_kept() {
    if !has_browser() {
        return;
    }
    let upstream = SampleUpstream::start(&["--delay", "20ms"]).await;
    let nobody = Reserved::new();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let settings = format!(
        "[routes.predict]\npath = \"/predict\"\nbatch.max_size = 4\nqueue.max_jobs = 300\n\
         upstream.url = \"{}\"\n\
         [routes.a_route_whose_name_is_quite_long]\npath = \"/gone\"\n\
         upstream.url = \"http://{}/\"\n",
        upstream.url,
        nobody.addr()
    );
    file.write_all(settings.as_bytes()).expect("the settings");
    let path = file.path().to_str().expect("a path in UTF-8");
    let flags = ["--max-size", "64", "--log-level", "info", "--config", path];
    let proxy = Proxy::start(&upstream.url, &flags, &[]).await;
    let admin = proxy.admin_addr.expect("an admin listener");
    Page::open(&format!("http://{admin}/"), async |page| {
        let mut load = Load::new(proxy.jobs_addr);
        load.paced(3, || Duration::from_millis(30));
        let mut predict = Load::at(proxy.jobs_addr, "/predict");
        predict.callers(12);
        let mut gone = Load::at(proxy.jobs_addr, "/gone");
        gone.paced(1, || Duration::from_millis(200));

        // All of them, whose limits differ.
        page.wait_for("all routes", &told("")).await;
        let options = "[...document.querySelectorAll('#route option')].map(it => it.value)";
        let names = ["", "jobs", "a_route_whose_name_is_quite_long", "predict"];
        assert_eq!(page.eval(options).await, serde_json::json!(names));
        let label = "document.getElementById('route').labels[0].textContent === 'Route'";
        assert_eq!(page.eval(label).await, true);
        page.wait_for("no one size", &says("size-limit", "of up to 64")).await;
        page.wait_for("no one reason", &says("reasons", "on its route")).await;
        page.wait_for("all queues", &says("queue-limit", "of 20,300 in all")).await;
        let failed = row("failures", "data-outcome='upstream-unreachable'");
        page.wait_for("a failed batch", &failed).await;
        page.wait_for("its route", &says("failures", "a_route_whose_name")).await;
        pictures(page, "all").await;

        // A job for later of one of them.
        proxy.hand_in(r#"{"id":"for later"}"#).await;
        page.wait_for("it to be told", "!document.getElementById('later').hidden")
            .await;

        // One of them, by its own limits and settings.
        assert_eq!(page.eval(&choose("predict")).await, "?route=predict");
        page.wait_for("the route", &told("predict")).await;
        page.wait_for("its size", &says("size-limit", "of 4")).await;
        page.wait_for("its reason", &says("reasons", "4 jobs were waiting")).await;
        page.wait_for("its queue", &says("queue-limit", "of 300")).await;
        page.wait_for("its jobs", &value("jobs-rate", "> 0")).await;
        page.wait_for("no failure", &says("failures", "No batch has failed")).await;
        let advised = "[...document.querySelectorAll('[data-testid=advice] li[data-setting=\"batch.max_size\"] .note')]\
            .some(it => it.textContent === 'in force: routes.predict.batch.max_size = 4')";
        page.wait_for("its own setting", advised).await;
        page.wait_for(
            "no job for later",
            "document.getElementById('later').hidden",
        )
        .await;
        pictures(page, "one").await;

        // A reload and a way back change nothing but the figures.
        page.eval("(location.reload(), true)").await;
        page.wait_for("the same route", &told("predict")).await;
        page.wait_for("its size", &says("size-limit", "of 4")).await;
        let chosen = "[document.getElementById('route').value, location.search]";
        let kept = serde_json::json!(["predict", "?route=predict"]);
        assert_eq!(page.eval(chosen).await, kept);

        assert_eq!(page.eval(&choose("")).await, "");
        page.wait_for("all of them", &told("")).await;
        page.wait_for("no one size", &says("size-limit", "of up to 64")).await;
        assert_eq!(page.console().await, Vec::<String>::new());

        // Who asks for a route that there is not gets all, and a clean URL.
        page.eval("(location.search = '?route=nothing', true)").await;
        page.wait_for("a clean URL", "location.search === ''").await;
        page.wait_for("all of them", &told("")).await;
    })
    .await;
}

async fn pictures(page: &Page, name: &str) {
    for width in WIDTHS {
        let png = page.picture(width).await;
        keep(&format!("routes-{name}-{width}.png"), &png);
        assert_eq!(page.eval(FITS).await, true, "{width}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_one_route_there_is_no_choice() {
    if !has_browser() {
        return;
    }
    let upstream = SampleUpstream::start(&[]).await;
    let proxy = Proxy::start(&upstream.url, &["--log-level", "info"], &[]).await;
    let admin = proxy.admin_addr.expect("an admin listener");
    Page::open(&format!("http://{admin}/?route=jobs"), async |page| {
        page.wait_for("it is live", &value("connection", "=== 'live'"))
            .await;
        page.wait_for("a clean URL", "location.search === ''").await;
        assert_eq!(
            page.eval("document.getElementById('choice').hidden").await,
            true
        );
        assert_eq!(page.eval(&says("size-limit", "up to")).await, false);
        assert_eq!(page.console().await, Vec::<String>::new());
    })
    .await;
}
