//! The end of a store's run: nothing is killed any more, the upstream behaves, and what is
//! still under way comes to its end. Then every record is looked at.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::callers::{Broken, handing_in, read};
use crate::harness::{KeepAlive, Proxy, Request, Scrape};
use crate::ledger::{Fault, Ledger, Posted, Task};

/// How long what is under way may take to its end: a bound for a hang.
const LONGEST: Duration = Duration::from_secs(60);

/// How many ask at once.
const ASKERS: usize = 4;

/// Both equations of the counts of records.
pub fn check_counts(ledger: &Ledger, scrape: &Scrape) {
    let state = |family: &str, state: &str| scrape.get(&format!("{family}{{state={state:?}}}"));
    let unfinished = |family: &str| state(family, "queued") + state(family, "sent");
    let made = scrape.sum("later_accepted_total");
    let gone = scrape.sum("later_deleted_total") + scrape.sum("later_expired_total");
    let there = scrape.sum("later_jobs");
    let finished = scrape.sum("later_finished_total");
    let others = unfinished("later_deleted_total") + unfinished("later_jobs");
    if made != gone + there || made != finished + others {
        let lines = scrape.text.lines().filter(|it| it.contains("later_"));
        let lines: Vec<_> = lines.filter(|it| !it.starts_with('#')).collect();
        ledger.fault(Fault::Counts, &lines.join("\n"));
    }
}

/// Waits until nothing is queued or sent.
pub async fn all_finished(ledger: &Ledger, proxy: &Proxy) {
    let until = Instant::now() + LONGEST;
    loop {
        let scrape = Scrape::of(proxy).await;
        check_counts(ledger, &scrape);
        let unfinished = ["queued", "sent"].map(|it| format!("later_jobs{{state={it:?}}}"));
        let left = unfinished.map(|it| scrape.get(&it));
        if left == [0.0, 0.0] {
            return;
        }
        if Instant::now() > until {
            let what = format!("{left:?} queued and sent after {LONGEST:?}");
            return ledger.fault(Fault::State, &what);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Hands in again what nobody knows of.
pub async fn resolve_doubts(ledger: &Ledger, proxy: SocketAddr) {
    for task in ledger.take_all_doubtful() {
        let connection = KeepAlive::try_connect(proxy).await;
        let answer = match connection {
            Ok(mut it) => it.try_send(handing_in(&task, false)).await,
            Err(_) => {
                ledger.posted(&task, Posted::NotSent);
                continue;
            }
        };
        ledger.posted(&task, read(answer.map_err(|_| Broken::InIt)));
    }
}

/// Fetches every record that there should be, and those that there should not.
pub async fn fetch_all(ledger: &std::sync::Arc<Ledger>, proxies: &[SocketAddr]) {
    let tasks = ledger.all_accepted();
    let mut askers = JoinSet::new();
    for asker in 0..ASKERS {
        let tasks = tasks.iter().skip(asker).step_by(ASKERS).cloned();
        let (tasks, ledger) = (tasks.collect(), ledger.clone());
        let proxy = proxies[asker % proxies.len()];
        askers.spawn(async move { fetch(&ledger, proxy, tasks).await });
    }
    while let Some(asked) = askers.join_next().await {
        asked.expect("nobody panics");
    }
}

async fn fetch(ledger: &Ledger, proxy: SocketAddr, tasks: Vec<Task>) {
    let mut connection = KeepAlive::connect(proxy).await;
    for task in tasks {
        let handle = task.handle.as_deref().expect("it has one");
        let request = Request::new("GET", &format!("/jobs/{handle}"));
        let answer = connection.send(request).await;
        ledger.fetched(&task, &answer);
    }
}

/// As many records are there as there should be.
pub async fn check_presence(ledger: &Ledger, proxy: &Proxy) {
    let scrape = Scrape::of(proxy).await;
    check_counts(ledger, &scrape);
    let (least, most) = ledger.present();
    let there = scrape.sum("later_jobs") as u64;
    if !(least..=most).contains(&there) {
        let what = format!("{there} records, where there are {least} to {most}");
        ledger.fault(Fault::Counts, &what);
    }
}
