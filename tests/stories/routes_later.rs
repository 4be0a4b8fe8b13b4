//! Sections 9 and 11 of the contract: what an operator is told of jobs for later on several
//! routes, which share a store and nothing else.

use serde_json::Value;

use crate::harness::{Handed, Routes, Scrape};
use crate::routes_told::{NAMES, ask, lives, on, sum, three};

#[tokio::test]
async fn jobs_for_later_are_told_by_route() {
    let settings = ["[later]\nmax_wait = \"30m\"\n", &three()].concat();
    let mut routes = Routes::start(&settings).await;
    let mut handed: [Vec<Handed>; 2] = Default::default();
    for (route, id) in [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)] {
        let request = ask(route, id).header("prefer", "respond-async");
        handed[route].push(Handed::of(&routes.proxy.send(request).await));
    }
    // What there is: of all, and of each.
    let queued = |lives: &[Value; 4]| lives.each_ref().map(|it| it["later"]["queued"].clone());
    let backlog = |lives: &[Value; 4]| {
        lives.each_ref().map(|it| {
            let seconds = it["seconds"].as_array().expect("seconds").iter().rev();
            let known = seconds.filter_map(|it| it["later"]["backlog"].as_u64());
            known.clone().next().unwrap_or_default()
        })
    };
    let told = lives(&routes).await;
    assert_eq!(queued(&told), [5, 2, 3, 0].map(Value::from));
    assert_eq!(backlog(&told), [5, 2, 3, 0]);
    let state = |scrape: &Scrape, name: &str, state: &str| {
        on(scrape, "later_jobs", name, &format!("state={state:?}"))
    };
    let scrape = Scrape::of(&routes.proxy).await;
    assert_eq!(
        NAMES.map(|name| state(&scrape, name, "queued")),
        [2.0, 3.0, 0.0]
    );
    let oldest = |name| on(&scrape, "later_oldest_queued_seconds", name, "") > 0.0;
    assert_eq!(NAMES.map(oldest), [true, true, false], "{}", scrape.text);

    // Those of one route are sent and finished.
    let flushed = routes.proxy.admin("POST", "/flush?route=work").await;
    assert_eq!(flushed.text(), "{\"jobs\":3}\n");
    let sent = routes.upstream.next().await;
    assert_eq!((&*sent.path, sent.jobs().len()), ("/work", 3));
    let scrape = Scrape::of(&routes.proxy).await;
    assert_eq!(
        NAMES.map(|name| state(&scrape, name, "sent")),
        [0.0, 3.0, 0.0]
    );
    sent.echo();
    for handed in &handed[1] {
        let answer = routes.proxy.finished(handed).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let told = lives(&routes).await;
    assert_eq!(queued(&told), [2, 2, 0, 0].map(Value::from));
    let done = told.each_ref().map(|it| it["later"]["done"].clone());
    assert_eq!(done, [3, 0, 3, 0].map(Value::from));
    let ended = told.each_ref().map(|it| sum(it, "/later/outcomes"));
    assert_eq!(ended, [3, 0, 3, 0]);

    // Those of the other are deleted, and fail.
    assert_eq!(routes.proxy.delete(&handed[0][0]).await.status, 204);
    let flushed = routes.proxy.admin("POST", "/flush?route=jobs").await;
    assert_eq!(flushed.text(), "{\"jobs\":1}\n");
    routes.upstream.next().await.answer(500, &[], "");
    assert_eq!(routes.proxy.finished(&handed[0][1]).await.status, 502);
    let scrape = Scrape::of(&routes.proxy).await;
    for (family, also, expected) in [
        ("later_accepted_total", "", [2.0, 3.0, 0.0]),
        ("later_finished_total", "outcome=\"ok\"", [0.0, 3.0, 0.0]),
        ("later_finished_total", "", [1.0, 3.0, 0.0]),
        ("later_deleted_total", "state=\"queued\"", [1.0, 0.0, 0.0]),
        ("later_jobs", "state=\"done\"", [0.0, 3.0, 0.0]),
        ("later_jobs", "state=\"failed\"", [1.0, 0.0, 0.0]),
        ("later_jobs", "", [1.0, 3.0, 0.0]),
        // Callers' books know nothing of them.
        ("jobs_accepted_total", "", [0.0; 3]),
    ] {
        let counted = NAMES.map(|name| on(&scrape, family, name, also));
        assert_eq!(counted, expected, "{family} {also}: {}", scrape.text);
    }
    let told = lives(&routes).await;
    let failed = told.each_ref().map(|it| it["later"]["failed"].clone());
    assert_eq!(failed, [1, 1, 0, 0].map(Value::from));
    let health = told.each_ref().map(|it| it["health"]["route"].clone());
    assert_eq!(health[0], "jobs", "{:#}", told[0]);
    // The store is one, whoever asks.
    let most = told.each_ref().map(|it| it["later"]["max_jobs"].clone());
    assert!(most.iter().all(|it| *it == most[0]), "{most:?}");
}
