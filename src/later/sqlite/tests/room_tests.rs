//! A disk that is full, and one that was.

use super::*;
use crate::later::backlog::Which;
use crate::later::store::Look;
use crate::later::suite_tests::{SETTINGS, answer, new};
use crate::observe::RecordCounts;

const LARGE: usize = 3_000;

async fn limit(store: &Sqlite, pages: i64) -> i64 {
    store
        .ask(|reply| Command::Limit(pages, reply))
        .await
        .unwrap()
}

/// Each is younger than the one before.
async fn accept(store: &Sqlite, id: u64) -> Result<Handle, Refused> {
    tokio::time::advance(Duration::from_millis(1)).await;
    let record = new(id, LARGE);
    let handle = record.handle;
    let accepted = store.accept(vec![record]).await.remove(0);
    accepted.map(|_| handle)
}

async fn claim(store: &Sqlite, max_items: usize) -> Result<Vec<Claimed>, StoreError> {
    let claim = Claim {
        route: RouteName::jobs(),
        max_items,
        max_bytes: usize::MAX,
        which: Which::Any,
    };
    Backlog::claim(store, claim).await
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_commits_nothing_and_heals() {
    let store = InFile::make(&SETTINGS).await;
    let mut made = Vec::new();
    for id in 0..20 {
        made.push(accept(&store, id).await.unwrap());
    }
    let claimed = claim(&store, 5).await.unwrap();
    assert_eq!(claimed.len(), 5);
    limit(&store, 1).await;
    // Until the last page is full.
    let refused = loop {
        match accept(&store, 0).await {
            Ok(handle) => made.push(handle),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, Refused::Store(StoreError::NotCommitted));
    // But for how long they have waited.
    let state = || {
        let counts = RecordCounts {
            oldest_queued: None,
            ..store.counts().total()
        };
        (counts, store.waiting(&RouteName::jobs()))
    };
    let before = state();
    assert_eq!(before.0.accepted, made.len() as u64);
    for id in 0..3 {
        accept(&store, id).await.unwrap_err();
        let finished = (made[0], answer(200, 100 * LARGE));
        let finished = store.finish(vec![finished]).await;
        assert_eq!(finished, Err(StoreError::NotCommitted));
        assert_eq!(store.sent(vec![made[0]]).await, Ok(vec![]));
    }
    assert_eq!(state(), before);
    // What is there is there, and what is removed makes room.
    for handle in &made {
        assert!(
            store
                .fetch(*handle, Look::ForAnswer)
                .await
                .unwrap()
                .is_some()
        );
    }
    for handle in &made[5..10] {
        assert_eq!(store.delete(*handle).await, Ok(Some(State::Queued)));
    }
    accept(&store, 1).await.unwrap();
    limit(&store, i64::from(u32::MAX - 1)).await;
    let finished = (made[0], answer(200, 100 * LARGE));
    store.finish(vec![finished]).await.unwrap();
    // All of that is in the file.
    let before = store.counts();
    let store = InFile::reopen(store, &SETTINGS).await;
    let (before, after) = (before.total(), store.counts().total());
    assert_eq!(
        (after.accepted, after.deleted),
        (before.accepted, before.deleted)
    );
    assert_eq!(after.finished, before.finished);
    let record = store.fetch(made[0], Look::ForAnswer).await.unwrap();
    assert_eq!(record.unwrap().answer, Some(answer(200, 100 * LARGE)));
    let mut claimed = Vec::new();
    while let jobs @ [_, ..] = &claim(&store, usize::MAX).await.unwrap()[..] {
        claimed.extend(jobs.iter().map(|it| it.handle));
    }
    let waited = after.present[State::Queued as usize];
    assert_eq!(claimed.len() as u64, waited);
}

/// Those that work do, also where others that come with them do not.
#[tokio::test(start_paused = true)]
async fn who_needs_no_room_is_not_refused_for_those_who_do() {
    let store = InFile::make(&SETTINGS).await;
    let mut made = vec![accept(&store, 0).await.unwrap()];
    limit(&store, 1).await;
    while let Ok(handle) = accept(&store, 0).await {
        made.push(handle);
    }
    let mut left = made.len();
    while left > 0 {
        let too_large = (made[0], answer(200, 100 * LARGE));
        let deletions = made[made.len() - left..].iter().map(|it| store.delete(*it));
        let deletions: Vec<_> = deletions.take(2).collect();
        let finish = store.finish(vec![too_large]);
        let deleted = async {
            let mut deleted = 0;
            for deletion in deletions {
                deleted += usize::from(deletion.await.is_ok());
            }
            deleted
        };
        let (_, deleted) = tokio::join!(finish, deleted);
        left -= deleted.min(left);
    }
    assert_eq!(store.counts().total().records(), 0);
}

#[tokio::test(start_paused = true)]
async fn room_is_used_again_and_given_back_at_the_start() {
    const JOBS: u64 = 2_000;
    let settings = Settings {
        max_jobs: 10 * JOBS as usize,
        max_bytes: usize::MAX,
        ..SETTINGS
    };
    let mut store = InFile::make(&settings).await;
    let mut pages = Vec::new();
    for _ in 0..3 {
        let records: Vec<_> = (0..JOBS).map(|id| new(id, 4 * LARGE)).collect();
        let answers = records.iter().map(|it| (it.handle, answer(200, 1)));
        let answers = answers.collect();
        store.accept(records).await;
        pages.push(limit(&store, i64::from(u32::MAX - 1)).await);
        store.finish(answers).await.unwrap();
        tokio::time::advance(SETTINGS.keep).await;
        while store.expire(clock::now()).await.unwrap().next.is_some() {}
    }
    assert!(pages[2] < pages[0] + pages[0] / 10, "{pages:?}");
    assert_eq!(store.counts().total().records(), 0);
    store = InFile::reopen(store, &settings).await;
    let after = limit(&store, i64::from(u32::MAX - 1)).await;
    assert!(after < 100, "{after} of {pages:?}");
}
