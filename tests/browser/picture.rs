//! The picture of the page that the README shows.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::browser::{Page, has_browser};
use crate::harness::Proxy;
use crate::load::{Load, SampleUpstream};

const FILE: &str = "docs/live-page.png";

/// What the repository bears.
const MOST_BYTES: u64 = 250 * 1024;

/// A day in little: callers who come and go, a rush for which the slots don't
/// suffice, and an upstream that errs now and then. Takes about three minutes,
/// and `pngquant`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes docs/live-page.png"]
async fn the_picture_of_the_readme() {
    assert!(has_browser(), "a picture takes a browser");
    let faults = [
        ["--delay", "12ms"],
        ["--jitter", "10ms"],
        ["--per-job-delay", "300us"],
        ["--fail-rate", "0.004"],
        ["--job-error-rate", "0.02"],
        ["--drop-rate", "0.001"],
    ];
    let upstream = SampleUpstream::start(faults.as_flattened()).await;
    let flags = [
        "--max-size",
        "32",
        "--max-wait",
        "5ms",
        "--max-in-flight",
        "2",
    ];
    let quietly = ["--log-level", "info"];
    let proxy = Proxy::start(&upstream.url, &[&flags[..], &quietly].concat(), &[]).await;
    let admin = proxy.admin_addr.expect("an admin listener");
    Page::open(&format!("http://{admin}/"), async |page| {
        let seconds = |count| tokio::time::sleep(Duration::from_secs(count));
        let mut steady = Load::new(proxy.jobs_addr);
        for _ in 0..6 {
            steady.paced(4, || Duration::from_millis(fastrand::u64(20..120)));
            seconds(7).await;
        }
        for _ in 0..3 {
            let mut wave = Load::new(proxy.jobs_addr);
            for _ in 0..3 {
                wave.paced(6, || Duration::from_millis(fastrand::u64(10..60)));
                seconds(4).await;
            }
            seconds(6).await;
            drop(wave);
            seconds(9).await;
        }
        let mut rush = Load::new(proxy.jobs_addr);
        rush.callers(120);
        seconds(20).await;
        drop(rush);
        seconds(12).await;
        let png = page.picture(1600).await;
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE), png).expect("a file");
    })
    .await;
    shrink();
}

fn shrink() {
    let mut command = Command::new("pngquant");
    command.args([
        "--force", "--strip", "--speed", "1", "--output", FILE, "96", FILE,
    ]);
    let status = command.current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(status.expect("pngquant is installed").success());
    let size = std::fs::metadata(Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE));
    let size = size.expect("the picture").len();
    assert!(size <= MOST_BYTES, "{size} bytes");
}
