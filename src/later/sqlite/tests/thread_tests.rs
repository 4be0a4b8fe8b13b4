//! A thread that is held up, that panics, and that finds what it can't read or write.

use std::sync::mpsc::channel;

use rusqlite::Connection;

use super::*;
use crate::later::backlog::Which;
use crate::later::store::Look;
use crate::later::suite_tests::{SETTINGS, answer, new};

async fn one(store: &Sqlite, id: u64) -> Handle {
    let record = new(id, 10);
    let handle = record.handle;
    store.accept(vec![record]).await.remove(0).unwrap();
    handle
}

async fn claim(store: &Sqlite) -> Result<Vec<Claimed>, StoreError> {
    let claim = Claim {
        route: RouteName::jobs(),
        max_items: 1,
        max_bytes: usize::MAX,
        which: Which::Any,
    };
    Backlog::claim(store, claim).await
}

/// A file of which this was changed.
async fn changed(sql: &str) -> (TempDir, PathBuf, Handle) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let store = open(&path, &SETTINGS).unwrap();
    let handle = one(&store, 1).await;
    drop(store);
    let file = Connection::open(&path).unwrap();
    assert_eq!(file.execute(sql, []), Ok(1));
    file.close().unwrap();
    (directory, path, handle)
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_is_held_up_holds_nobody_up() {
    let mut store = InFile::make(&SETTINGS).await;
    let handle = one(&store, 1).await;
    let (held, until) = channel();
    let commands = store.commands.as_ref().unwrap();
    commands.send(Command::Stall(until)).await.unwrap();
    store.patience = Some(PATIENCE);
    let begun = Instant::now();
    let fetched = store.fetch(handle, Look::ForState).await;
    assert_eq!(fetched.unwrap_err(), StoreError::Unanswered);
    assert_eq!(begun.elapsed(), PATIENCE);
    assert_eq!(claim(&store).await, Err(StoreError::Unanswered));
    // Once there is no place to wait in, nothing is done.
    let commands = store.commands.as_ref().unwrap();
    while let Ok(permit) = commands.try_reserve() {
        let (reply, _) = oneshot::channel();
        permit.send(Command::Fetch(handle, Look::ForState, reply));
    }
    let refused = store.delete(handle).await;
    assert_eq!(refused, Err(StoreError::NotCommitted));
    drop(held);
    // What was claimed for who has gone waits again, as if it never had been.
    store.patience = None;
    store
        .ask(|reply| Command::Limit(i64::from(u32::MAX - 1), reply))
        .await
        .unwrap();
    let claimed = claim(&store).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].interrupted, 0);
    // Nor does the end of the process wait for it.
    let (held, until) = channel();
    let commands = store.commands.as_ref().unwrap();
    commands.send(Command::Stall(until)).await.unwrap();
    store.patience = Some(PATIENCE);
    store.close().await;
    drop(store);
    drop(held);
}

#[tokio::test]
async fn a_panic_is_not_the_end() {
    let store = InFile::make(&SETTINGS).await;
    let kept = one(&store, 1).await;
    for id in 2..5 {
        let record = new(id, 10);
        let handle = record.handle;
        let accept = store.accept(vec![record]);
        let panics = store.ask::<()>(Command::Panic);
        let (mut accepted, panicked) = tokio::join!(accept, panics);
        assert_eq!(panicked, Err(StoreError::Unanswered));
        // Whether or not they came together.
        let there = store.fetch(handle, Look::ForState).await.unwrap();
        assert_eq!(there.is_some(), accepted.remove(0).is_ok());
    }
    let left = store.counts().total().records();
    assert_eq!(store.delete(kept).await, Ok(Some(State::Queued)));
    assert_eq!(store.counts().total().records(), left - 1);
    let store = InFile::reopen(store, &SETTINGS).await;
    assert_eq!(store.counts().total().records(), left - 1);
}

#[tokio::test]
async fn a_job_that_can_t_be_read_is_claimed_as_none() {
    for sql in [
        "UPDATE records SET body = CAST(body || ' ' AS BLOB)",
        "UPDATE records SET checksum = checksum + 1",
    ] {
        let (_directory, path, handle) = changed(sql).await;
        let store = open(&path, &SETTINGS).unwrap();
        let claimed = claim(&store).await.unwrap();
        assert_eq!(claimed[0].handle, handle);
        assert!(Kept::from_bytes(&claimed[0].job).is_err());
        // It is answered, and that can be read.
        let answers = vec![(handle, answer(200, 10))];
        store.finish(answers).await.unwrap();
        let record = store.fetch(handle, Look::ForAnswer).await.unwrap();
        assert_eq!(record.unwrap().answer, Some(answer(200, 10)));
    }
}

#[tokio::test]
async fn an_answer_that_has_changed_is_told_to_nobody() {
    let store = InFile::make(&SETTINGS).await;
    let handle = one(&store, 1).await;
    let answers = vec![(handle, answer(200, 10))];
    store.finish(answers).await.unwrap();
    let (directory, path) = FILES
        .with_borrow_mut(|it| it.remove(&name(&store)))
        .unwrap();
    drop(store);
    let file = Connection::open(&path).unwrap();
    let sql = "UPDATE records SET body = CAST(replace(body, 'xxx', 'xyx') AS BLOB)";
    file.execute(sql, []).unwrap();
    file.close().unwrap();
    let store = open(&path, &SETTINGS).unwrap();
    assert!(store.fetch(handle, Look::ForAnswer).await.is_err());
    drop((store, directory));
}

#[tokio::test]
async fn a_full_disk_at_the_start_lets_be_read_what_there_is() {
    let (_directory, path, handle) = changed("UPDATE records SET items = 1").await;
    let store = open(&path, &SETTINGS).unwrap();
    assert_eq!(claim(&store).await.unwrap().len(), 1);
    drop(store);
    let store = Sqlite::open_with(&path, &SETTINGS, Syncing::OffAndFull).unwrap();
    let record = store.fetch(handle, Look::ForState).await.unwrap();
    assert!(record.is_some());
    let refused = store.accept(vec![new(2, 0)]).await.remove(0);
    assert_eq!(
        refused.unwrap_err(),
        Refused::Store(StoreError::NotCommitted)
    );
    // Once there is room, what was interrupted is.
    store
        .ask(|reply| Command::Limit(i64::from(u32::MAX - 1), reply))
        .await
        .unwrap();
    let claimed = claim(&store).await.unwrap();
    assert_eq!(claimed[0].interrupted, 1);
    drop(store);
    let store = open(&path, &SETTINGS).unwrap();
    assert_eq!(claim(&store).await.unwrap()[0].interrupted, 2);
}

/// However many batches were under way at a crash, none of them is known for ever.
#[tokio::test]
async fn claims_of_a_process_that_is_gone_leave_nothing() {
    let (_directory, path, first) = changed("UPDATE records SET items = 1").await;
    let store = open(&path, &SETTINGS).unwrap();
    let second = one(&store, 2).await;
    assert_eq!(claim(&store).await.unwrap().len(), 1);
    assert_eq!(claim(&store).await.unwrap().len(), 1);
    // Its number stays with its claim, as where another of that is under way.
    store.finish(vec![(first, answer(200, 1))]).await.unwrap();
    drop(store);
    let file = Connection::open(&path).unwrap();
    let sql = "INSERT OR REPLACE INTO claims VALUES (90, x'0100000000000000')";
    file.execute(sql, []).unwrap();
    file.close().unwrap();
    let store = open(&path, &SETTINGS).unwrap();
    let claimed = claim(&store).await.unwrap();
    assert_eq!((claimed[0].handle, claimed[0].interrupted), (second, 1));
    store.finish(vec![(second, answer(200, 1))]).await.unwrap();
    drop(store);
    let file = Connection::open(&path).unwrap();
    let count = file.query_row("SELECT count(*) FROM claims", [], |it| it.get(0));
    assert_eq!(count, Ok(0));
}
