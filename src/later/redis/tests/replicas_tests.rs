//! Several processes with one Redis.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::*;
use crate::job::State;
use crate::later::backlog::News;
use crate::later::step::StoreError;
use crate::later::store::Look;

/// Waits until its news has this.
async fn until(store: &Redis, has: impl Fn(&News) -> bool) -> News {
    let news = async {
        loop {
            let news = store.news().await;
            if has(&news) {
                return news;
            }
        }
    };
    timeout(LONG, news).await.unwrap()
}

/// Waits until what is known of what waits is so.
async fn waits(store: &Redis, jobs: u64) {
    let route = RouteName::jobs();
    until(store, |_| store.waiting(&route).jobs == jobs).await;
}

/// Waits until a job can be claimed whose process is gone.
async fn lapsed(store: &Redis) {
    let route = RouteName::jobs();
    until(store, |_| store.waiting(&route).lapses.is_some()).await;
    while let Some(at) = store.waiting(&route).lapses
        && at > clock::now()
    {
        sleep_until(clock::instant_at(at)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_claimed_once_whoever_accepted_it() {
    if !are_there() {
        return;
    }
    let options = options(&shared().url);
    let (one, other) = (connect(&options).await, connect(&options).await);
    let mut accepted = accept(&one, 100).await;
    accepted.extend(accept(&other, 100).await);
    waits(&one, 200).await;
    let mut claiming = JoinSet::new();
    for store in [&one, &other] {
        let store = Arc::clone(store);
        claiming.spawn(async move {
            let mut all = Vec::new();
            loop {
                let claimed = claim(&store, Which::Any).await;
                if claimed.is_empty() {
                    return all;
                }
                all.extend(handles(&claimed));
            }
        });
    }
    let mut claimed = claiming.join_all().await.concat();
    claimed.sort();
    accepted.sort();
    assert_eq!(claimed, accepted);
    // Both count all of them.
    for store in [&one, &other] {
        waits(store, 0).await;
        assert_eq!(store.counts().total().present, [0, 200, 0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_finishes_or_deletes_the_other_hears_of() {
    if !are_there() {
        return;
    }
    let options = options(&shared().url);
    let (one, other) = (connect(&options).await, connect(&options).await);
    let stream = StreamName::new("s").unwrap();
    let new = |id| NewRecord {
        stream: Some(stream.clone()),
        ..new(id)
    };
    let records = [1, 2].map(new);
    let [finished, deleted] = [0, 1].map(|it: usize| records[it].handle);
    one.accept(records.to_vec()).await;
    assert_eq!(claim(&other, Which::Any).await.len(), 2);
    other.finish(vec![(finished, answer(200))]).await.unwrap();
    let news = until(&one, |it| !it.finished.is_empty()).await;
    assert_eq!(
        (news.finished, news.streams),
        (vec![finished], vec![stream])
    );
    assert_eq!(status(&one, finished).await, Some(200));
    // The process that has it does not send it, and asks nobody.
    assert_eq!(one.delete(deleted).await, Ok(Some(State::Sent)));
    let news = until(&other, |it| !it.deleted.is_empty()).await;
    assert_eq!(news.deleted, [deleted]);
    let mut sent = other.sent(vec![deleted]);
    let sent = futures_poll(&mut sent);
    assert_eq!(sent, Some(Ok(vec![deleted])));
    // Own deeds are no news.
    let news = until(&one, |_| true).await;
    assert_eq!((news.deleted, news.finished), (Vec::new(), Vec::new()));
    assert_eq!(one.counts(), other.counts());
}

/// What it is when it is first polled.
fn futures_poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(it) => Some(it),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_job_is_sent_without_asking() {
    if !are_there() {
        return;
    }
    let store = connect(&options(&shared().url)).await;
    accept(&store, 3).await;
    let claimed = handles(&claim(&store, Which::Any).await);
    let first = futures_poll(&mut store.sent(claimed.clone()));
    assert_eq!(first, Some(Ok(Vec::new())));
    // A further attempt renews the lease.
    let mut again = store.sent(claimed);
    assert_eq!(futures_poll(&mut again), None);
    assert_eq!(again.await, Ok(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_had_that_is_gone_is_claimed_by_itself() {
    if !are_there() {
        return;
    }
    let options = options(&shared().url);
    let gone = stopped(&options, LONG).await;
    let store = connect(&options).await;
    let accepted = accept(&store, 3).await;
    let first = claim(&gone, Which::Any).await;
    assert_eq!(handles(&first).len(), 3);
    // One of them waits for another attempt: it was not on its way.
    gone.queued_again(vec![accepted[0]]).await.unwrap();
    drop(gone);
    lapse(&options).await;
    let mut interrupted = Vec::new();
    for _ in 0..2 {
        let claimed = claim(&store, Which::Any).await;
        assert_eq!(
            claimed.iter().map(|it| it.interrupted).collect::<Vec<_>>(),
            [1]
        );
        interrupted.extend(handles(&claimed));
    }
    interrupted.sort();
    let mut expected = accepted.clone();
    expected.retain(|it| *it != accepted[0]);
    expected.sort();
    assert_eq!(interrupted, expected);
    let left = claim(&store, Which::Any).await;
    assert_eq!(
        left.iter().map(|it| it.interrupted).collect::<Vec<_>>(),
        [0]
    );
    assert_eq!(handles(&left), [accepted[0]]);
    // Given back, one that was interrupted stays what it is.
    store.release(interrupted.clone()).await.unwrap();
    let again = claim(&store, Which::Any).await;
    assert_eq!((again.len(), again[0].interrupted), (1, 1));
}

/// As of a route that nobody serves any more: nothing of it is ever claimed to be sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_had_that_is_gone_is_overdue_in_time() {
    if !are_there() {
        return;
    }
    let options = options(&shared().url);
    let gone = stopped(&options, Duration::from_millis(300)).await;
    let handle = accept(&gone, 1).await[0];
    assert_eq!(claim(&gone, Which::Any).await.len(), 1);
    drop(gone);
    let (store, route) = (connect(&options).await, RouteName::jobs());
    assert_eq!(store.routes(), std::slice::from_ref(&route));
    lapsed(&store).await;
    let known = store.waiting(&route);
    assert_eq!((known.jobs, known.deadline), (0, known.lapses));
    let now = clock::now();
    assert_eq!(claim(&store, Which::Overdue { now }).await, []);
    let known = store.waiting(&route);
    assert_eq!((known.jobs, known.lapses.is_some()), (1, true));
    let then = known.deadline.unwrap();
    assert!(then > now, "{then} {now}");
    let overdue = claim(&store, Which::Overdue { now: then }).await;
    assert_eq!(
        (handles(&overdue), overdue[0].interrupted),
        (vec![handle], 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_dropped_and_counted() {
    if !are_there() {
        return;
    }
    let options = options(&shared().url);
    let late = stopped(&options, Duration::from_millis(300)).await;
    let store = connect(&options).await;
    let handle = accept(&store, 1).await[0];
    assert_eq!(claim(&late, Which::Any).await.len(), 1);
    lapsed(&store).await;
    assert_eq!(claim(&store, Which::Any).await[0].interrupted, 1);
    // It is not sent again by the one, nor released, nor answered.
    assert_eq!(late.sent(vec![handle]).await, Ok(vec![handle]));
    late.release(vec![handle]).await.unwrap();
    late.finish(vec![(handle, answer(500))]).await.unwrap();
    assert_eq!(late.fenced(), [(RouteName::jobs(), 1)]);
    assert_eq!(late.fenced(), []);
    assert_eq!(status(&store, handle).await, None);
    store.finish(vec![(handle, answer(200))]).await.unwrap();
    assert_eq!(status(&store, handle).await, Some(200));
    assert_eq!(store.fenced(), []);
    let counts = store.counts().total();
    assert_eq!(
        (counts.present, counts.finished),
        ([0, 0, 1, 0], vec![(Code::Ok, 1)])
    );
}

/// One is ahead of Redis, and one is behind, by more than jobs may take.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_end_no_jobs() {
    if !are_there() {
        return;
    }
    let stay = clock::millis(SETTINGS.job_timeout);
    let by_clock = |now, record| NewRecord {
        deadline: now + stay,
        ..record
    };
    let options = options(&shared().url);
    let (store, other) = (connect(&options).await, connect(&options).await);
    for (id, skewed) in [clock::now() + 3 * stay, clock::now() - 3 * stay]
        .into_iter()
        .enumerate()
    {
        let record = by_clock(skewed, new(id as u64));
        let accepted = store.core.accept(vec![record], skewed).await;
        assert!(accepted[0].is_ok(), "{accepted:?}");
        waits(&other, 1).await;
        let near = |time: Option<u64>, expected| {
            let left = time.unwrap().abs_diff(expected);
            assert!(left < clock::millis(LONG), "{time:?} {expected}");
        };
        let known = other.waiting(&RouteName::jobs()).deadline;
        near(known, clock::now() + stay);
        // By no clock is it overdue, whosever is asked.
        for now in [clock::now(), skewed] {
            let ask = |which| Claim {
                route: RouteName::jobs(),
                max_items: 1,
                max_bytes: 1,
                which,
            };
            let overdue = ask(Which::Overdue { now });
            assert_eq!(other.core.claim(overdue, now).await, Ok(Vec::new()));
            let claimed = other.core.claim(ask(Which::Any), now).await.unwrap();
            near(Some(claimed[0].deadline), now + stay);
            other.release(handles(&claimed)).await.unwrap();
        }
        let claimed = claim(&other, Which::Any).await;
        assert_eq!(claimed.len(), 1);
        other
            .finish(vec![(claimed[0].handle, answer(200))])
            .await
            .unwrap();
        waits(&store, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_is_claimed_at_once() {
    const MANY: usize = 9_000;
    if !are_there() {
        return;
    }
    let store = connect(&options(&shared().url)).await;
    accept(&store, MANY as u64).await;
    let claim = Claim {
        route: RouteName::jobs(),
        max_items: MANY,
        max_bytes: 1 << 30,
        which: Which::Batch { due: 0 },
    };
    assert_eq!(store.claim(claim).await.unwrap().len(), MANY);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_here_is_held_on_to() {
    if !are_there() {
        return;
    }
    let mut options = options(&shared().url);
    let other = connect(&options).await;
    // It is renewed every second, and does not run out on a machine that stands still.
    (options.lease, options.upstream_timeout) = (LONG, LONG - Duration::from_secs(2));
    let store = connect(&options).await;
    let handle = accept(&store, 1).await;
    claim(&store, Which::Any).await;
    let first = until(&other, |_| {
        other.waiting(&RouteName::jobs()).lapses.is_some()
    });
    first.await;
    let lapses = other.waiting(&RouteName::jobs()).lapses;
    // Several times, and each of them is told.
    for _ in 0..3 {
        let before = other.waiting(&RouteName::jobs()).lapses;
        let renewed = || other.waiting(&RouteName::jobs()).lapses > before;
        until(&other, |_| renewed()).await;
    }
    assert!(other.waiting(&RouteName::jobs()).lapses > lapses);
    store.finish(vec![(handle[0], answer(200))]).await.unwrap();
    until(&other, |_| {
        other.waiting(&RouteName::jobs()).lapses.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_the_bounds_are_those_of_all() {
    if !are_there() {
        return;
    }
    let options = options(&shared().url);
    let settings = Settings {
        max_jobs: 2,
        ..SETTINGS
    };
    let connect = async || Redis::connect(options.clone(), &settings).await.unwrap();
    let (one, other) = (connect().await, connect().await);
    let keyed = |id| NewRecord {
        idempotency: Some(Idempotency {
            key: IdempotencyKey::new("k").unwrap(),
            digest: [7; 32],
        }),
        ..new(id)
    };
    let first = keyed(1);
    let accepted = one.accept(vec![first.clone(), new(2)]).await;
    assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
    let again = other.accept(vec![keyed(1)]).await;
    assert!(
        matches!(&again[..], [Ok(Accepted::Existing(it))] if it.handle == first.handle),
        "{again:?}"
    );
    let full = other.accept(vec![new(3)]).await;
    assert!(full[0].is_err(), "{full:?}");
}

/// Three claimers as they are, jobs from one of them after another: who accepted a batch
/// claims it, and the others hardly try.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_wake_for_one_batch_rarely_claim_in_vain() {
    const BATCHES: u64 = 60;
    const ITEMS: u64 = 64;
    if !are_there() {
        return;
    }
    let options = options(&shared().url);
    let (claims, vain) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut stores = Vec::new();
    let mut claimers = JoinSet::new();
    for _ in 0..3 {
        let store = connect(&options).await;
        stores.push(Arc::clone(&store));
        let (claims, vain) = (Arc::clone(&claims), Arc::clone(&vain));
        claimers.spawn(async move {
            loop {
                store.news().await;
                if store.waiting(&RouteName::jobs()).items < ITEMS {
                    continue;
                }
                let claimed = claim(&store, Which::Batch { due: 0 }).await;
                claims.fetch_add(1, Ordering::Relaxed);
                vain.fetch_add(u64::from(claimed.is_empty()), Ordering::Relaxed);
                let answers = claimed.iter().map(|it| (it.handle, answer(200)));
                store.finish(answers.collect()).await.unwrap();
            }
        });
    }
    for batch in 0..BATCHES {
        let store = &stores[batch as usize % stores.len()];
        let accepted = accept(store, ITEMS).await;
        for handle in accepted {
            let finished = async {
                while status(store, handle).await.is_none() {
                    tokio::task::yield_now().await;
                }
            };
            timeout(LONG, finished).await.unwrap();
        }
    }
    claimers.shutdown().await;
    let (claims, vain) = (claims.load(Ordering::Relaxed), vain.load(Ordering::Relaxed));
    println!("{claims} claims for {BATCHES} batches, {vain} of them in vain");
    // Both others would for each batch, if they did not wait; on a busy machine some do.
    assert!(vain < BATCHES, "{vain} of {claims}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_backlog_costs_nothing_and_a_batch_two_steps() {
    if !are_there() {
        return;
    }
    let server = server::Server::start(&[]);
    let options = options(&server.url);
    let (one, other) = (connect(&options).await, connect(&options).await);
    let accepted = accept(&one, 64).await;
    waits(&other, 64).await;
    let before = server.calls("evalsha");
    let claimed = claim(&one, Which::Batch { due: 0 }).await;
    assert_eq!(claimed.len(), 64);
    assert_eq!(one.sent(accepted.clone()).await, Ok(Vec::new()));
    let answers = accepted.iter().map(|it| (*it, answer(200)));
    one.finish(answers.collect()).await.unwrap();
    waits(&other, 0).await;
    assert_eq!(server.calls("evalsha"), before + 2);
    // What is known without asking costs nothing, and time neither.
    let all = |it: &str| it.parse::<u64>().unwrap();
    let commands = || {
        let said = server.say(&["info", "stats"]);
        let (_, rest) = said.split_once("total_commands_processed:").unwrap();
        all(rest.lines().next().unwrap().trim())
    };
    let before = commands();
    tokio::time::sleep(Duration::from_millis(500)).await;
    for store in [&one, &other] {
        assert_eq!(store.counts().total().records(), 64);
        assert_eq!(store.routes(), []);
    }
    assert_eq!(commands(), before + 1, "that is the question itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_was_lost_is_told_again() {
    if !are_there() {
        return;
    }
    let server = server::Server::start(&[]);
    let options = Options {
        timeout: Duration::from_millis(500),
        ..options(&server.url)
    };
    let store = connect(&options).await;
    let accepted = accept(&store, 2).await;
    // It is claimed once the server goes on, and nobody waits for that any more.
    server.say(&["client", "pause", "2000", "all"]);
    let ask = Claim {
        route: RouteName::jobs(),
        max_items: 64,
        max_bytes: 1 << 20,
        which: Which::Any,
    };
    assert_eq!(store.claim(ask.clone()).await, Err(StoreError::Unanswered));
    // Whoever claims is not to wait until the lease has run out.
    let is_to_be_asked = |store: &Redis| store.waiting(&ask.route).lapses == Some(0);
    assert!(is_to_be_asked(&store));
    let again = async {
        loop {
            match store.claim(ask.clone()).await {
                Ok(claimed) => return claimed,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let claimed = timeout(LONG, again).await.unwrap();
    let (mut found, mut expected) = (handles(&claimed), accepted.clone());
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert!(!is_to_be_asked(&store));
    assert!(claimed.iter().all(|it| it.interrupted == 0));
    let answers = accepted.iter().map(|it| (*it, answer(200)));
    let answers: Vec<_> = answers.collect();
    while store.finish(answers.clone()).await.is_err() {}
    let record = store.fetch(accepted[0], Look::ForState).await.unwrap();
    assert_eq!(record.unwrap().state, State::Done);
    assert_eq!(store.fenced(), []);
}
