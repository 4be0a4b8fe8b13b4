//! Each promise by itself.

use std::collections::HashSet;
use std::sync::Arc;

use super::*;
use crate::job::State;
use crate::later::store::Page;
use crate::observe::RecordCounts;

const SECOND: Duration = Duration::from_secs(1);

async fn page(store: &impl Store, name: &str, after: Option<u64>) -> Page {
    store.read_stream(&stream(name), after, 100).await.unwrap()
}

fn handles(page: &Page) -> Vec<Handle> {
    page.answers.iter().map(|it| it.1).collect()
}

pub(in crate::later) async fn a_record_goes_its_way<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let record = new(7, 100);
    let (handle, deadline) = (made(&store, record.clone()).await, record.deadline);
    let keep = SETTINGS.keep.as_millis() as u64;
    let state = async || {
        let record = fetch(&store, handle).await.unwrap();
        assert_eq!(record.id.as_ref(), new(7, 0).job.id());
        assert_eq!(record.expires_at, deadline + keep);
        assert_eq!(record.answer, None);
        record.state
    };
    assert_eq!(state().await, State::Queued);
    assert_eq!(store.counts().total().bytes, 100);
    send(&store, &[handle]).await;
    assert_eq!(state().await, State::Sent);
    store.queued_again(vec![handle]).await.unwrap();
    assert_eq!(state().await, State::Queued);
    send(&store, &[handle]).await;
    U::pass(SECOND).await;
    let now = clock::now();
    finish(&store, handle, 200).await;
    let record = fetch(&store, handle).await.unwrap();
    assert_eq!((record.state, record.expires_at), (State::Done, now + keep));
    assert_eq!(record.answer, Some(answer(200, 10)));
    assert_eq!(store.counts().total().bytes, 10);
    // Reading removes nothing.
    assert!(fetch(&store, handle).await.is_some());
    U::pass(SETTINGS.keep - SECOND).await;
    assert_eq!(expire(&store).await, (0, Some(now + keep)));
    assert!(fetch(&store, handle).await.is_some());
    U::pass(SECOND).await;
    assert_eq!(expire(&store).await, (1, None));
    assert!(fetch(&store, handle).await.is_none());
    let counts = RecordCounts {
        accepted: 1,
        finished: vec![(Code::Ok, 1)],
        expired_read: 1,
        ..RecordCounts::default()
    };
    assert_eq!(store.counts().total(), counts);
}

pub(in crate::later) async fn only_what_is_there_and_unfinished_is_sent<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let mut made_now = Vec::new();
    for id in 0..5 {
        made_now.push(made(&store, new(id, 0)).await);
    }
    let [queued, sent, deleted, finished, expired] = made_now[..] else {
        panic!("five were made");
    };
    let unknown = Handle::new(clock::now()).unwrap();
    finish(&store, expired, 200).await;
    U::pass(SETTINGS.keep).await;
    expire(&store).await;
    finish(&store, finished, 200).await;
    send(&store, &[sent]).await;
    store.delete(deleted).await.unwrap();
    let asked = vec![unknown, expired, finished, deleted, sent, queued];
    let gone = send(&store, &asked).await;
    let gone: HashSet<_> = gone.into_iter().collect();
    assert_eq!(gone, HashSet::from([unknown, expired, finished, deleted]));
    // None of them waits again either.
    store
        .queued_again(vec![unknown, expired, finished, deleted])
        .await
        .unwrap();
    assert_eq!(store.counts().total().present, [0, 2, 1, 0]);
}

pub(in crate::later) async fn an_answer_is_written_once<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let handle = made(&store, on_stream(1, "s")).await;
    let other = made(&store, on_stream(2, "t")).await;
    let deleted = made(&store, on_stream(3, "u")).await;
    store.delete(deleted).await.unwrap();
    let answers = |status| vec![(handle, answer(status, 10)), (deleted, answer(200, 10))];
    let streams = store.finish(answers(500)).await.unwrap();
    assert_eq!(streams, [stream("s")]);
    let counts = || RecordCounts {
        oldest_queued: None,
        ..store.counts().total()
    };
    let (counted, first) = (counts(), fetch(&store, handle).await.unwrap());
    assert_eq!(first.state, State::Failed);
    U::pass(SECOND).await;
    // Who did not hear of the commit asks again, and hears of the same streams.
    let streams = store.finish(answers(200)).await.unwrap();
    assert_eq!(streams, [stream("s")]);
    let again = fetch(&store, handle).await.unwrap();
    assert_eq!(
        (again.state, again.expires_at),
        (first.state, first.expires_at)
    );
    assert_eq!(again.answer, first.answer);
    assert_eq!(counts(), counted);
    assert_eq!(page(&store, "s", None).await.answers.len(), 1);
    // One that was never sent has an answer too: its time was over.
    finish(&store, other, 200).await;
    assert_eq!(store.counts().total().present, [0, 0, 1, 1]);
}

pub(in crate::later) async fn a_record_is_deleted_once<U: Under>() {
    let store = U::make(&SETTINGS).await;
    for (index, state) in State::ALL.into_iter().enumerate() {
        let handle = made(&store, new(1, 0)).await;
        if state != State::Queued {
            send(&store, &[handle]).await;
        }
        match state {
            State::Done => finish(&store, handle, 200).await,
            State::Failed => finish(&store, handle, 503).await,
            State::Queued | State::Sent => {}
        }
        assert_eq!(store.delete(handle).await, Ok(Some(state)));
        assert_eq!(store.delete(handle).await, Ok(None));
        assert!(fetch(&store, handle).await.is_none());
        assert_eq!(store.counts().total().deleted[index], 1);
    }
    let counts = RecordCounts {
        accepted: 4,
        finished: vec![(Code::Ok, 1), (Code::UpstreamError, 1)],
        deleted: [1; 4],
        ..RecordCounts::default()
    };
    assert_eq!(store.counts().total(), counts);
}

pub(in crate::later) async fn a_key_lives_as_long_as_its_record<U: Under>() {
    let store = U::make(&SETTINGS).await;
    // Two of them in one commit.
    let both = vec![
        with_key(1, "k", 1),
        with_key(1, "k", 1),
        with_key(1, "k", 2),
    ];
    let accepted = store.accept(both).await;
    let Ok(
        [
            Ok(Accepted::New(first)),
            Ok(Accepted::Existing(same)),
            Err(reused),
        ],
    ) = <[_; 3]>::try_from(accepted)
    else {
        panic!("one is new");
    };
    assert_eq!((same.handle, reused), (first.handle, Refused::KeyReused));
    let existing = async || match accept(&store, with_key(1, "k", 1)).await {
        Ok(Accepted::Existing(record)) => record,
        other => panic!("not there: {other:?}"),
    };
    assert_eq!(existing().await.handle, first.handle);
    finish(&store, first.handle, 200).await;
    let finished = existing().await;
    assert_eq!(finished.answer, Some(answer(200, 10)));
    assert!(matches!(
        accept(&store, with_key(1, "k", 2)).await,
        Err(Refused::KeyReused)
    ));
    // Other keys are others, and a job without one is always new.
    made(&store, with_key(1, "other", 2)).await;
    made(&store, new(1, 0)).await;
    U::pass(SETTINGS.keep).await;
    expire(&store).await;
    let second = made(&store, with_key(1, "k", 2)).await;
    store.delete(second).await.unwrap();
    made(&store, with_key(1, "k", 3)).await;
    assert_eq!(store.counts().total().accepted, 5);
}

pub(in crate::later) async fn a_key_is_its_routes_own<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let keyed = |route: &str, digest| to(route, with_key(1, "k", digest));
    // Those of one commit too.
    let both = vec![keyed("a", 1), keyed("b", 2), keyed("a", 1)];
    let accepted = store.accept(both).await;
    let Ok(
        [
            Ok(Accepted::New(first)),
            Ok(Accepted::New(second)),
            Ok(Accepted::Existing(same)),
        ],
    ) = <[_; 3]>::try_from(accepted)
    else {
        panic!("two are new");
    };
    assert_eq!((same.handle, &same.route), (first.handle, &route("a")));
    assert_ne!(second.handle, first.handle);
    for (record, name) in [(&first, "a"), (&second, "b")] {
        assert_eq!(record.route, route(name));
        let fetched = fetch(&store, record.handle).await.unwrap();
        assert_eq!(fetched.route, route(name));
        let again = accept(&store, keyed(name, 3)).await;
        assert_eq!(again.unwrap_err(), Refused::KeyReused, "{name}");
    }
    // It goes with its own record alone.
    store.delete(first.handle).await.unwrap();
    assert!(matches!(
        accept(&store, keyed("b", 2)).await,
        Ok(Accepted::Existing(record)) if record.handle == second.handle
    ));
    made(&store, keyed("a", 4)).await;
    finish(&store, second.handle, 200).await;
    U::pass(SETTINGS.keep).await;
    expire(&store).await;
    let again = accept(&store, keyed("a", 5)).await;
    assert_eq!(again.unwrap_err(), Refused::KeyReused);
    made(&store, keyed("b", 5)).await;
}

pub(in crate::later) async fn each_route_is_counted_by_itself<U: Under>() {
    let (max_jobs, max_bytes) = (3, 100);
    let store = U::make(&Settings {
        max_jobs,
        max_bytes,
        ..SETTINGS
    })
    .await;
    assert_eq!(store.counts().iter().count(), 0);
    let oldest = made(&store, to("a", new(1, 30))).await;
    U::pass(SECOND).await;
    let failed = made(&store, to("b", new(2, 20))).await;
    let younger = made(&store, to("a", new(3, 10))).await;
    // The bounds are those of all together.
    let refused = accept(&store, to("c", new(4, 10))).await.unwrap_err();
    assert_eq!(refused, Refused::Full { next_expiry: None });
    send(&store, &[oldest]).await;
    finish(&store, failed, 503).await;
    let counts = store.counts();
    let of_a = RecordCounts {
        present: [1, 1, 0, 0],
        bytes: 40,
        oldest_queued: Some(Duration::ZERO),
        accepted: 2,
        ..RecordCounts::default()
    };
    assert_eq!(counts.of("a"), of_a);
    let of_b = RecordCounts {
        present: [0, 0, 0, 1],
        bytes: 10,
        accepted: 1,
        finished: vec![(Code::UpstreamError, 1)],
        ..RecordCounts::default()
    };
    assert_eq!(counts.of("b"), of_b);
    let routes: Vec<_> = counts.iter().map(|it| it.0.to_owned()).collect();
    assert_eq!(routes, ["a", "b"], "of the third there is none");
    store.queued_again(vec![oldest]).await.unwrap();
    store.delete(younger).await.unwrap();
    U::pass(SETTINGS.keep).await;
    assert_eq!(expire(&store).await, (1, None));
    let counts = store.counts();
    let of_a = RecordCounts {
        present: [1, 0, 0, 0],
        bytes: 30,
        oldest_queued: Some(SETTINGS.keep + SECOND),
        deleted: [1, 0, 0, 0],
        ..of_a
    };
    assert_eq!(counts.of("a"), of_a);
    let of_b = RecordCounts {
        present: [0; 4],
        bytes: 0,
        expired_unread: 1,
        ..of_b
    };
    assert_eq!(counts.of("b"), of_b);
    assert_eq!(counts.total().accepted, 3);
}

pub(in crate::later) async fn a_full_store_refuses_jobs_and_takes_answers<U: Under>() {
    let refused = async |store: &U::Store, bytes| match accept(store, new(1, bytes)).await {
        Err(Refused::Full { next_expiry }) => next_expiry,
        other => panic!("not full: {other:?}"),
    };
    let (max_jobs, max_bytes) = (2, 100);
    let store = U::make(&Settings {
        max_jobs,
        ..SETTINGS
    })
    .await;
    let first = made(&store, with_key(1, "k", 1)).await;
    let second = made(&store, new(2, 0)).await;
    assert_eq!(refused(&store, 0).await, None);
    // What is there already needs no room.
    let existing = accept(&store, with_key(1, "k", 1)).await;
    assert!(matches!(existing, Ok(Accepted::Existing(_))));
    finish(&store, second, 200).await;
    let next_expiry = fetch(&store, second).await.unwrap().expires_at;
    U::pass(SECOND).await;
    finish(&store, first, 200).await;
    assert_eq!(refused(&store, 0).await, Some(next_expiry));
    store.delete(second).await.unwrap();
    made(&store, new(3, 0)).await;

    let store = U::make(&Settings {
        max_bytes,
        ..SETTINGS
    })
    .await;
    let first = made(&store, new(1, 60)).await;
    assert_eq!(refused(&store, 41).await, None);
    made(&store, new(2, 40)).await;
    refused(&store, 10).await;
    store
        .finish(vec![(first, answer(200, 1000))])
        .await
        .unwrap();
    assert_eq!(store.counts().total().bytes, 1040);
    refused(&store, 10).await;
    store.delete(first).await.unwrap();
    made(&store, new(3, 60)).await;
    assert_eq!(store.counts().total().bytes, 100);
}

pub(in crate::later) async fn a_stream_has_answers_in_the_order_of_finishing<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let mut made_now = Vec::new();
    for id in 0..4 {
        made_now.push(made(&store, on_stream(id, "s")).await);
    }
    let other = made(&store, on_stream(9, "t")).await;
    let nobodys = made(&store, new(10, 0)).await;
    let answers = [2, 0].map(|index| (made_now[index], answer(200, 1)));
    store.finish(answers.to_vec()).await.unwrap();
    finish(&store, other, 200).await;
    finish(&store, nobodys, 200).await;
    finish(&store, made_now[3], 500).await;
    let all = page(&store, "s", None).await;
    assert_eq!(handles(&all), [2, 0, 3].map(|index| made_now[index]));
    let positions: Vec<_> = all.answers.iter().map(|it| it.0).collect();
    assert!(positions.is_sorted_by(|one, other| one < other));
    assert!(all.next >= positions[2]);
    // In pages.
    let two = store.read_stream(&stream("s"), None, 2).await.unwrap();
    assert_eq!((two.answers.len(), two.next), (2, positions[1]));
    let rest = page(&store, "s", Some(two.next)).await;
    assert_eq!(handles(&rest), [made_now[3]]);
    // Where all is read, it goes on from there.
    let none = page(&store, "s", Some(all.next)).await;
    assert_eq!(
        (none.answers.len(), none.next, none.gap),
        (0, all.next, false)
    );
    finish(&store, made_now[1], 200).await;
    let one = page(&store, "s", Some(none.next)).await;
    assert_eq!((handles(&one), one.gap), (vec![made_now[1]], false));
    assert_eq!(handles(&page(&store, "t", None).await), [other]);
}

pub(in crate::later) async fn a_gap_tells_of_what_expired_and_not_of_what_was_deleted<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let start = page(&store, "s", None).await.next;
    let mut positions = Vec::new();
    let mut made_now = Vec::new();
    for id in 0..4 {
        let handle = made(&store, on_stream(id, "s")).await;
        finish(&store, handle, 200).await;
        U::pass(SECOND).await;
        let page = page(&store, "s", None).await;
        positions.push(page.answers.last().unwrap().0);
        made_now.push(handle);
    }
    store.delete(made_now[0]).await.unwrap();
    assert!(!page(&store, "s", Some(start)).await.gap);
    // The second expires, and the third was read by then.
    U::pass(SETTINGS.keep - 3 * SECOND).await;
    assert_eq!(expire(&store).await.0, 1);
    for (after, gap) in [
        (None, false),
        (Some(start), true),
        (Some(positions[0]), true),
        (Some(positions[1]), false),
        (Some(positions[2]), false),
    ] {
        let page = page(&store, "s", after).await;
        assert_eq!(page.gap, gap, "after {after:?}");
        let left = made_now[2..].len() - usize::from(after == Some(positions[2]));
        assert_eq!(page.answers.len(), left, "after {after:?}");
    }
    // Once all have expired, the stream is gone, and what it was is still known.
    U::pass(SETTINGS.keep).await;
    assert_eq!(expire(&store).await.0, 2);
    assert!(page(&store, "s", Some(positions[2])).await.gap);
    assert!(!page(&store, "s", Some(positions[3])).await.gap);
    // And when it is there again.
    made(&store, on_stream(5, "s")).await;
    assert!(page(&store, "s", Some(positions[2])).await.gap);
    assert!(!page(&store, "s", Some(positions[3])).await.gap);
}

pub(in crate::later) async fn a_position_nobody_gave_is_a_gap<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let handle = made(&store, on_stream(1, "s")).await;
    finish(&store, handle, 200).await;
    for name in ["s", "nobody"] {
        let now = page(&store, name, None).await;
        for (after, gap) in [
            (None, false),
            (Some(0), true),
            (Some(now.next), false),
            (Some(now.next + 1), true),
            (Some(u64::MAX), true),
        ] {
            let page = page(&store, name, after).await;
            assert_eq!(page.gap, gap, "{name} after {after:?}");
            // It goes on from where it can.
            assert_eq!(page.next, now.next, "{name} after {after:?}");
        }
    }
}

pub(in crate::later) async fn a_stream_that_is_gone_has_its_own_gaps<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let one_of = async |name: &str| {
        let handle = made(&store, on_stream(1, name)).await;
        finish(&store, handle, 200).await;
        (handle, page(&store, name, None).await.next)
    };
    let (deleted, start) = one_of("deleted").await;
    store.delete(deleted).await.unwrap();
    let (_, before) = one_of("expired").await;
    one_of("expired").await;
    U::pass(SETTINGS.keep).await;
    assert_eq!(expire(&store).await.0, 2);
    // Of other streams nothing is lost, and of that one no less once it is there again.
    for again in [false, true] {
        if again {
            made(&store, on_stream(2, "deleted")).await;
            made(&store, on_stream(2, "expired")).await;
        }
        assert!(!page(&store, "deleted", Some(start)).await.gap);
        assert!(page(&store, "expired", Some(before)).await.gap);
    }
}

pub(in crate::later) async fn names_take_bounded_memory<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let lost = made(&store, on_stream(1, "lost")).await;
    let start = page(&store, "lost", None).await.next;
    finish(&store, lost, 200).await;
    U::pass(SETTINGS.keep).await;
    expire(&store).await;
    let mut sizes = Vec::new();
    for thousand in 1..=5 {
        for name in 0..1000 {
            let name = format!("{thousand}-{name:03}");
            page(&store, &format!("nobody-{name}"), Some(1)).await;
            let record = NewRecord {
                stream: Some(stream(&format!("gone-{name}"))),
                ..with_key(1, &format!("key-{name}"), 1)
            };
            let handle = made(&store, record).await;
            store.delete(handle).await.unwrap();
        }
        sizes.push(format!("{store:?}").len());
    }
    let grown = sizes[4].saturating_sub(sizes[2]);
    assert!(grown < 1000, "{sizes:?}");
    // What is forgotten is told rather than passed over.
    assert!(page(&store, "lost", Some(start)).await.gap);
}

pub(in crate::later) async fn reading_is_remembered_from_the_answer_on<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let mut made_now = Vec::new();
    for id in 0..4 {
        made_now.push(made(&store, on_stream(id, "s")).await);
    }
    let key = made(&store, with_key(9, "k", 1)).await;
    // Too early: it has no answer yet.
    fetch(&store, made_now[3]).await.unwrap();
    for handle in [&made_now[..], &[key]].concat() {
        finish(&store, handle, 200).await;
    }
    fetch(&store, made_now[0]).await.unwrap();
    // These tell nobody the answer.
    let looked = store.fetch(made_now[1], Look::ForState).await.unwrap();
    assert_eq!(looked.unwrap().state, State::Done);
    assert_eq!(page(&store, "s", None).await.answers.len(), 4);
    accept(&store, with_key(9, "k", 1)).await.unwrap();
    U::pass(SETTINGS.keep).await;
    expire(&store).await;
    let counts = store.counts().total();
    assert_eq!((counts.expired_read, counts.expired_unread), (2, 3));
}

pub(in crate::later) async fn the_oldest_that_is_queued_is_known<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let oldest = || store.counts().total().oldest_queued;
    assert_eq!(oldest(), None);
    let mut made_now = Vec::new();
    for id in 0..3 {
        made_now.push(made(&store, new(id, 0)).await);
        U::pass(SECOND).await;
    }
    // The clock stands still but for what passes above.
    let waited = |n: usize| Some(Duration::from_millis(clock::now() - made_now[n].millis()));
    assert_eq!(oldest(), waited(0));
    send(&store, &[made_now[0]]).await;
    assert_eq!(oldest(), waited(1));
    store.delete(made_now[1]).await.unwrap();
    assert_eq!(oldest(), waited(2));
    store.queued_again(vec![made_now[0]]).await.unwrap();
    assert_eq!(oldest(), waited(0));
    finish(&store, made_now[0], 503).await;
    finish(&store, made_now[2], 503).await;
    assert_eq!(oldest(), None);
}

pub(in crate::later) async fn many_that_are_due_all_expire<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let mut answers = Vec::new();
    for id in 0..1000 {
        answers.push((made(&store, new(id, 0)).await, answer(200, 1)));
    }
    store.finish(answers).await.unwrap();
    U::pass(SETTINGS.keep).await;
    assert_eq!(expire(&store).await, (1000, None));
    assert_eq!(store.counts().total().expired_unread, 1000);
}

pub(in crate::later) async fn of_several_at_once_one_comes_first<U: Under>() {
    const JOBS: u64 = 50;
    let store = Arc::new(U::make(&SETTINGS).await);
    let mut made_now = Vec::new();
    for id in 0..JOBS {
        made_now.push(made(&*store, on_stream(id, "s")).await);
    }
    let tasks = [0, 1, 2, 3].map(|which: u16| {
        let (store, made_now) = (Arc::clone(&store), made_now.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.unwrap().block_on(async {
                let mut deleted = 0;
                for (index, handle) in made_now.into_iter().enumerate() {
                    if (index as u16 + which).is_multiple_of(2) {
                        finish(&*store, handle, 200 + 300 * (which / 2)).await;
                    }
                    tokio::task::yield_now().await;
                    deleted += u64::from(store.delete(handle).await.unwrap().is_some());
                }
                deleted
            })
        })
    });
    let deleted: u64 = tasks.into_iter().map(|it| it.join().unwrap()).sum();
    let counts = store.counts().total();
    assert_eq!(deleted, JOBS);
    assert_eq!((counts.accepted, counts.deleted.iter().sum()), (JOBS, JOBS));
    let finished: u64 = counts.finished.iter().map(|it| it.1).sum();
    assert_eq!(finished + counts.deleted[0] + counts.deleted[1], JOBS);
    assert_eq!(counts.bytes, 0);
}
