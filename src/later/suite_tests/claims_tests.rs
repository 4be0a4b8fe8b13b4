//! Each promise of a store that jobs are claimed from, as one process sees it.

use std::collections::BTreeSet;

use super::*;
use crate::job::State;
use crate::later::backlog::Waiting;
use crate::later::kept::Kept;

const MILLI: Duration = Duration::from_millis(1);

/// Jobs, each a little younger than the one before.
async fn several<U: Under>(store: &U::Store, jobs: u64) -> Vec<Handle> {
    let mut handles = Vec::new();
    for id in 0..jobs {
        handles.push(made(store, new(id, 20)).await);
        U::pass(MILLI).await;
    }
    handles
}

fn in_frame(frame: u8, record: NewRecord) -> NewRecord {
    let frame = [frame; 16];
    NewRecord { frame, ..record }
}

fn handles(claimed: &[Claimed]) -> Vec<Handle> {
    claimed.iter().map(|it| it.handle).collect()
}

async fn state(store: &impl Store, handle: Handle) -> State {
    fetch(store, handle).await.unwrap().state
}

pub(in crate::later) async fn a_claimed_job_is_sent<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let record = new(7, 100);
    let handle = made(&store, record.clone()).await;
    assert_eq!(state(&store, handle).await, State::Queued);
    let claimed = claim(&store, Which::Any).await;
    let expected = Claimed {
        handle,
        job: Kept::of(&record.job).to_bytes().into(),
        deadline: record.deadline,
        interrupted: 0,
    };
    assert_eq!(claimed, [expected]);
    assert_eq!(state(&store, handle).await, State::Sent);
    assert_eq!(store.sent(vec![handle]).await, Ok(vec![]));
    finish(&store, handle, 200).await;
    let record = fetch(&store, handle).await.unwrap();
    assert_eq!(
        (record.state, record.answer),
        (State::Done, Some(answer(200, 10)))
    );
}

pub(in crate::later) async fn no_job_is_claimed_twice<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let made_now = several::<U>(&store, 3).await;
    assert_eq!(handles(&claim(&store, Which::Any).await), made_now);
    let due = u64::MAX;
    for which in [
        Which::Any,
        Which::Batch { due },
        Which::Overdue { now: u64::MAX },
    ] {
        assert_eq!(claim(&store, which).await, []);
    }
    // Nor by several at once.
    several::<U>(&store, 20).await;
    let claims = (0..10).map(|_| claim_at_most(&store, Which::Any, 3, usize::MAX));
    let mut all = Vec::new();
    for claim in claims {
        all.extend(handles(&claim.await));
    }
    let different: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), different.len()), (20, 20));
}

pub(in crate::later) async fn only_what_is_claimed_is_sent<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let made_now = several::<U>(&store, 2).await;
    assert_eq!(store.sent(made_now.clone()).await, Ok(made_now.clone()));
    store.queued_again(made_now.clone()).await.unwrap();
    assert_eq!(store.counts().total().present, [2, 0, 0, 0]);
    // None of that has made it another's.
    assert_eq!(handles(&claim(&store, Which::Any).await), made_now);
}

pub(in crate::later) async fn what_is_released_waits_in_its_old_place<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let made_now = several::<U>(&store, 4).await;
    let claimed = claim_at_most(&store, Which::Any, 3, usize::MAX).await;
    assert_eq!(handles(&claimed), made_now[..3]);
    finish(&store, made_now[2], 200).await;
    // What is finished or gone is not there to wait.
    backlog(&store)
        .release(made_now[..3].to_vec())
        .await
        .unwrap();
    assert_eq!(state(&store, made_now[0]).await, State::Queued);
    assert_eq!(store.sent(vec![made_now[0]]).await, Ok(vec![made_now[0]]));
    let again = claim(&store, Which::Any).await;
    assert_eq!(handles(&again), [0, 1, 3].map(|it| made_now[it]));
    assert!(again.iter().all(|it| it.interrupted == 0));
    // What nobody has claimed is released already.
    backlog(&store)
        .release(again.iter().map(|it| it.handle).collect())
        .await
        .unwrap();
    backlog(&store).release(made_now.clone()).await.unwrap();
    assert_eq!(claim(&store, Which::Any).await.len(), 3);
}

pub(in crate::later) async fn what_is_deleted_while_it_is_claimed_is_gone<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let made_now = several::<U>(&store, 3).await;
    claim(&store, Which::Any).await;
    assert_eq!(store.delete(made_now[1]).await, Ok(Some(State::Sent)));
    assert_eq!(store.sent(made_now.clone()).await, Ok(vec![made_now[1]]));
    // One that waits is not claimed once it is deleted.
    let waits = made(&store, new(9, 0)).await;
    assert_eq!(store.delete(waits).await, Ok(Some(State::Queued)));
    assert_eq!(claim(&store, Which::Any).await, []);
    assert_eq!(store.counts().total().deleted, [1, 1, 0, 0]);
}

pub(in crate::later) async fn what_is_finished_is_claimed_no_more<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let made_now = several::<U>(&store, 2).await;
    claim_at_most(&store, Which::Any, 1, usize::MAX).await;
    finish(&store, made_now[0], 200).await;
    assert_eq!(store.sent(vec![made_now[0]]).await, Ok(vec![made_now[0]]));
    // Its time was over before it was claimed.
    finish(&store, made_now[1], 503).await;
    assert_eq!(claim(&store, Which::Any).await, []);
}

pub(in crate::later) async fn a_pause_keeps_the_claim<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let made_now = several::<U>(&store, 2).await;
    claim(&store, Which::Any).await;
    store.queued_again(vec![made_now[0]]).await.unwrap();
    assert_eq!(state(&store, made_now[0]).await, State::Queued);
    assert_eq!(store.counts().total().present, [1, 1, 0, 0]);
    assert_eq!(claim(&store, Which::Any).await, []);
    assert_eq!(store.sent(made_now.clone()).await, Ok(vec![]));
    assert_eq!(store.counts().total().present, [0, 2, 0, 0]);
    // Deleted during its pause, it is not sent again.
    store.queued_again(vec![made_now[1]]).await.unwrap();
    assert_eq!(store.delete(made_now[1]).await, Ok(Some(State::Queued)));
    assert_eq!(store.sent(made_now.clone()).await, Ok(vec![made_now[1]]));
    // Released during it, it waits.
    store.queued_again(vec![made_now[0]]).await.unwrap();
    backlog(&store).release(vec![made_now[0]]).await.unwrap();
    assert_eq!(handles(&claim(&store, Which::Any).await), [made_now[0]]);
}

pub(in crate::later) async fn each_route_has_its_own_backlog<U: Under>() {
    let store = U::make(&SETTINGS).await;
    assert_eq!(backlog(&store).routes(), []);
    made(&store, to("other", new(1, 0))).await;
    assert_eq!(claim(&store, Which::Any).await, []);
    let jobs = made(&store, new(2, 0)).await;
    let mut routes = backlog(&store).routes();
    routes.sort();
    assert_eq!(routes, [RouteName::jobs(), route("other")]);
    assert_eq!(handles(&claim(&store, Which::Any).await), [jobs]);
}

pub(in crate::later) async fn frames_are_claimed_apart<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let mut made_now = Vec::new();
    for (id, frame) in [1, 2, 1, 2, 2].into_iter().enumerate() {
        made_now.push(made(&store, in_frame(frame, new(id as u64, 0))).await);
        U::pass(MILLI).await;
    }
    let of = |numbers: &[usize]| numbers.iter().map(|it| made_now[*it]).collect::<Vec<_>>();
    // The one that fills a batch, though another is older.
    let full = claim_at_most(&store, Which::Batch { due: 0 }, 3, usize::MAX).await;
    assert_eq!(handles(&full), of(&[1, 3, 4]));
    backlog(&store).release(handles(&full)).await.unwrap();
    // The one with the oldest.
    assert_eq!(handles(&claim(&store, Which::Any).await), of(&[0, 2]));
    assert_eq!(handles(&claim(&store, Which::Any).await), of(&[1, 3, 4]));
    assert_eq!(claim(&store, Which::Any).await, []);
}

pub(in crate::later) async fn a_batch_is_claimed_once_it_is_full_or_due<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let made_now = several::<U>(&store, 2).await;
    let oldest = made_now[0].millis();
    let batch = |due| Which::Batch { due };
    assert_eq!(
        claim_at_most(&store, batch(oldest - 1), 3, usize::MAX).await,
        []
    );
    assert_eq!(claim_at_most(&store, batch(oldest - 1), 3, 41).await, []);
    // Full by items, by bytes, and due.
    for (due, items, bytes) in [(0, 2, usize::MAX), (0, 9, 40), (oldest, 9, usize::MAX)] {
        let claimed = claim_at_most(&store, batch(due), items, bytes).await;
        assert_eq!(handles(&claimed), made_now, "{due} {items} {bytes}");
        backlog(&store).release(made_now.clone()).await.unwrap();
    }
}

pub(in crate::later) async fn a_claim_is_bounded<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let made_now = several::<U>(&store, 5).await;
    let at_most =
        async |items, bytes| handles(&claim_at_most(&store, Which::Any, items, bytes).await);
    assert_eq!(at_most(2, usize::MAX).await, made_now[..2]);
    assert_eq!(at_most(9, 40).await, made_now[2..4]);
    // The first is claimed however much it is.
    assert_eq!(at_most(0, 1).await, made_now[4..]);
    assert_eq!(at_most(9, usize::MAX).await, []);
}

pub(in crate::later) async fn overdue_jobs_are_claimed<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let deadline = new(0, 0).deadline;
    let mut made_now = Vec::new();
    for (id, later) in [2, 0, 1].into_iter().enumerate() {
        let record = NewRecord {
            deadline: deadline + later,
            ..new(id as u64, 0)
        };
        made_now.push(made(&store, record).await);
        U::pass(MILLI).await;
    }
    assert_eq!(
        backlog(&store).waiting(&RouteName::jobs()).deadline,
        Some(deadline)
    );
    let overdue = async |now| claim(&store, Which::Overdue { now }).await;
    assert_eq!(overdue(deadline - 1).await, []);
    let claimed: BTreeSet<_> = handles(&overdue(deadline + 1).await).into_iter().collect();
    assert_eq!(claimed, BTreeSet::from([made_now[1], made_now[2]]));
    assert_eq!(overdue(deadline + 1).await, []);
    let waiting = backlog(&store).waiting(&RouteName::jobs());
    assert_eq!(waiting.deadline, Some(deadline + 2));
    assert_eq!(handles(&overdue(u64::MAX).await), [made_now[0]]);
}

pub(in crate::later) async fn what_waits_is_known<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let waiting = || backlog(&store).waiting(&RouteName::jobs());
    assert_eq!(waiting(), Waiting::default());
    let first = made(&store, in_frame(1, new(1, 100))).await;
    U::pass(MILLI).await;
    for id in 0..2 {
        made(&store, in_frame(2, new(id, 20))).await;
    }
    let deadline = first.millis() + SETTINGS.job_timeout.as_millis() as u64;
    let expected = Waiting {
        jobs: 3,
        items: 2,
        bytes: 100,
        oldest: Some(first.millis()),
        deadline: Some(deadline),
        lapses: None,
    };
    assert_eq!(waiting(), expected);
    claim(&store, Which::Any).await;
    assert_eq!((waiting().jobs, waiting().bytes), (2, 40));
    assert!(waiting().oldest > expected.oldest);
    claim(&store, Which::Any).await;
    assert_eq!(
        Waiting {
            lapses: None,
            ..waiting()
        },
        Waiting::default()
    );
}

pub(in crate::later) async fn what_is_accepted_or_released_is_news<U: Under>() {
    let store = U::make(&SETTINGS).await;
    let handle = made(&store, new(1, 0)).await;
    // It would wait for ever if it were none.
    while backlog(&store).waiting(&RouteName::jobs()).jobs == 0 {
        backlog(&store).news().await;
    }
    claim(&store, Which::Any).await;
    let heard = async {
        while backlog(&store).waiting(&RouteName::jobs()).jobs == 0 {
            backlog(&store).news().await;
        }
    };
    let released = async { backlog(&store).release(vec![handle]).await.unwrap() };
    tokio::join!(heard, released);
}
