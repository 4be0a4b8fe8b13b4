//! Each promise of a store that outlives the process.

use super::*;
use crate::job::State;
use crate::later::store::Page;
use crate::observe::RecordCounts;

const SECOND: Duration = Duration::from_secs(1);

async fn page(store: &impl Store, name: &str, after: Option<u64>) -> Page {
    store.read_stream(&stream(name), after, 100).await.unwrap()
}

pub(in crate::later) async fn records_survive<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let written = NewRecord {
        job: new(1, 0).job,
        ..on_stream(1, "s")
    };
    let queued = made(&store, written.clone()).await;
    let done = made(&store, with_key(2, "k", 1)).await;
    let failed = made(&store, to("other", new(3, 50))).await;
    let deleted = made(&store, new(4, 0)).await;
    let expired = made(&store, new(5, 0)).await;
    finish(&store, expired, 200).await;
    U::pass(SETTINGS.keep).await;
    assert_eq!(expire(&store).await.0, 1);
    finish(&store, done, 200).await;
    finish(&store, failed, 500).await;
    store.delete(deleted).await.unwrap();
    let mut before = Vec::new();
    for handle in [queued, done, failed] {
        before.push(fetch(&store, handle).await.unwrap());
    }
    let store = U::reopen(store, &SETTINGS).await;
    for before in before {
        let after = fetch(&store, before.handle).await.unwrap();
        assert_eq!((&after.route, &after.id), (&before.route, &before.id));
        assert_eq!(
            (after.state, after.expires_at),
            (before.state, before.expires_at)
        );
        assert_eq!(after.answer, before.answer);
    }
    for handle in [deleted, expired] {
        assert!(fetch(&store, handle).await.is_none());
    }
    // It is still to be done, and the others expire when they would have.
    let claimed = claim(&store, Which::Any).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(
        (claimed[0].handle, claimed[0].deadline),
        (queued, written.deadline)
    );
    assert_eq!(claimed[0].interrupted, 0);
    U::pass(SETTINGS.keep).await;
    assert_eq!(expire(&store).await, (2, None));
}

pub(in crate::later) async fn what_was_sent_is_interrupted<U: Under>() {
    let mut store = U::make(&SETTINGS).await;
    let handle = made(&store, new(1, 0)).await;
    for times in 0..3 {
        let claimed = claim(&store, Which::Any).await;
        let interrupted: Vec<_> = claimed
            .iter()
            .map(|it| (it.handle, it.interrupted))
            .collect();
        assert_eq!(interrupted, [(handle, times)]);
        assert_eq!(store.sent(vec![handle]).await, Ok(vec![]));
        store = U::reopen(store, &SETTINGS).await;
        assert_eq!(fetch(&store, handle).await.unwrap().state, State::Queued);
        assert_eq!(store.sent(vec![handle]).await, Ok(vec![handle]));
    }
    // An answer ends it.
    claim(&store, Which::Any).await;
    finish(&store, handle, 502).await;
    let store = U::reopen(store, &SETTINGS).await;
    assert_eq!(fetch(&store, handle).await.unwrap().state, State::Failed);
    assert_eq!(claim(&store, Which::Any).await, []);
}

pub(in crate::later) async fn interrupted_jobs_come_first_and_by_themselves<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let mut made_now = Vec::new();
    for id in 0..4 {
        made_now.push(made(&store, new(id, 0)).await);
        U::pass(SECOND).await;
    }
    let first = claim_at_most(&store, Which::Any, 1, usize::MAX).await;
    backlog(&store)
        .release(vec![first[0].handle])
        .await
        .unwrap();
    send(&store, &made_now[2..]).await;
    let store = U::reopen(store, &SETTINGS).await;
    let waiting = backlog(&store).waiting(&RouteName::jobs());
    assert_eq!(waiting.jobs, 4);
    assert!(waiting.lapses.is_some_and(|it| it <= clock::now()));
    // Also where a batch would not be due.
    for (number, which) in [(2, Which::Batch { due: 0 }), (3, Which::Any)] {
        let claimed = claim(&store, which).await;
        assert_eq!(claimed.len(), 1);
        assert_eq!(
            (claimed[0].handle, claimed[0].interrupted),
            (made_now[number], 1)
        );
    }
    let others = claim(&store, Which::Any).await;
    let handles: Vec<_> = others.iter().map(|it| it.handle).collect();
    assert_eq!(handles, made_now[..2]);
    // One that is released is still apart.
    backlog(&store).release(made_now.clone()).await.unwrap();
    let claimed = claim(&store, Which::Any).await;
    assert_eq!((claimed.len(), claimed[0].interrupted), (1, 1));
}

pub(in crate::later) async fn what_was_not_sent_is_not_interrupted<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let mut made_now = Vec::new();
    for id in 0..3 {
        made_now.push(made(&store, new(id, 0)).await);
        U::pass(SECOND).await;
    }
    claim(&store, Which::Any).await;
    // It waits for its next attempt, or again to be claimed: the upstream has neither.
    store.queued_again(vec![made_now[0]]).await.unwrap();
    backlog(&store).release(vec![made_now[1]]).await.unwrap();
    let store = U::reopen(store, &SETTINGS).await;
    let claimed = claim(&store, Which::Any).await;
    assert_eq!(
        (claimed[0].handle, claimed[0].interrupted),
        (made_now[2], 1)
    );
    let claimed = claim(&store, Which::Any).await;
    let claimed: Vec<_> = claimed
        .iter()
        .map(|it| (it.handle, it.interrupted))
        .collect();
    assert_eq!(claimed, [(made_now[0], 0), (made_now[1], 0)]);
}

pub(in crate::later) async fn keys_survive<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let handle = made(&store, with_key(1, "k", 1)).await;
    let finished = made(&store, with_key(2, "f", 1)).await;
    finish(&store, finished, 200).await;
    let gone = made(&store, with_key(3, "g", 1)).await;
    store.delete(gone).await.unwrap();
    let store = U::reopen(store, &SETTINGS).await;
    for (key, handle, answer) in [("k", handle, None), ("f", finished, Some(answer(200, 10)))] {
        match accept(&store, with_key(1, key, 1)).await {
            Ok(Accepted::Existing(record)) => {
                assert_eq!((record.handle, record.answer), (handle, answer));
            }
            other => panic!("not there: {other:?}"),
        }
        let reused = accept(&store, with_key(1, key, 2)).await;
        assert_eq!(reused.unwrap_err(), Refused::KeyReused);
    }
    made(&store, with_key(4, "g", 2)).await;
}

pub(in crate::later) async fn streams_go_on<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let mut made_now = Vec::new();
    for id in 0..4 {
        made_now.push(made(&store, on_stream(id, "s")).await);
    }
    for number in [2, 0] {
        finish(&store, made_now[number], 200).await;
    }
    // The last position was another stream's.
    let other = made(&store, on_stream(9, "t")).await;
    finish(&store, other, 200).await;
    store.delete(other).await.unwrap();
    let before = page(&store, "s", None).await;
    let store = U::reopen(store, &SETTINGS).await;
    let after = page(&store, "s", None).await;
    assert_eq!((&after.answers, after.next), (&before.answers, before.next));
    assert!(!page(&store, "s", Some(before.next)).await.gap);
    assert!(page(&store, "s", Some(before.next + 1)).await.gap);
    finish(&store, made_now[1], 200).await;
    let one = page(&store, "s", Some(before.next)).await;
    assert_eq!((one.answers.len(), one.gap), (1, false));
    assert!(one.answers[0].0 > before.next);
}

pub(in crate::later) async fn gaps_survive<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let start = page(&store, "gone", None).await.next;
    for name in ["gone", "there", "deleted"] {
        let handle = made(&store, on_stream(1, name)).await;
        finish(&store, handle, 200).await;
        if name == "deleted" {
            store.delete(handle).await.unwrap();
        }
    }
    made(&store, on_stream(2, "there")).await;
    let young = page(&store, "there", None).await.next;
    U::pass(SETTINGS.keep).await;
    assert_eq!(expire(&store).await.0, 2);
    let mut store = store;
    for _ in 0..2 {
        store = U::reopen(store, &SETTINGS).await;
        for (name, after, gap) in [
            ("gone", start, true),
            ("gone", young, false),
            ("there", start, true),
            ("there", young, false),
            ("deleted", start, false),
            ("deleted", young, false),
        ] {
            assert_eq!(page(&store, name, Some(after)).await.gap, gap, "{name}");
        }
    }
}

pub(in crate::later) async fn counts_survive<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let mut made_now = Vec::new();
    for (id, name) in ["a", "a", "a", "b", "b", "b"].into_iter().enumerate() {
        made_now.push(made(&store, to(name, new(id as u64, 30))).await);
    }
    for (number, status) in [(0, 200), (1, 503), (3, 200)] {
        finish(&store, made_now[number], status).await;
    }
    fetch(&store, made_now[0]).await.unwrap();
    U::pass(SETTINGS.keep).await;
    assert_eq!(expire(&store).await.0, 3);
    finish(&store, made_now[4], 200).await;
    fetch(&store, made_now[4]).await.unwrap();
    store.delete(made_now[2]).await.unwrap();
    let before = store.counts();
    let store = U::reopen(store, &SETTINGS).await;
    assert_eq!(store.counts(), before);
    let of_a = RecordCounts {
        accepted: 3,
        finished: vec![(Code::Ok, 1), (Code::UpstreamError, 1)],
        deleted: [1, 0, 0, 0],
        expired_read: 1,
        expired_unread: 1,
        ..RecordCounts::default()
    };
    assert_eq!(store.counts().of("a"), of_a);
    // Whose answer was read before is known.
    U::pass(SETTINGS.keep).await;
    assert_eq!(expire(&store).await.0, 1);
    assert_eq!(store.counts().of("b").expired_read, 1);
}
