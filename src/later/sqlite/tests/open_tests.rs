//! Which files are taken, and which are not.

use std::fs;

use rusqlite::Connection;

use super::*;
use crate::later::store::Look;
use crate::later::suite_tests::{SETTINGS, new};

/// A file with one record in it.
async fn one_record(path: &Path) -> Handle {
    let store = open(path, &SETTINGS).unwrap();
    let record = new(1, 0);
    let handle = record.handle;
    assert!(store.accept(vec![record]).await[0].is_ok());
    handle
}

/// The files that were moved aside.
fn moved(directory: &TempDir) -> Vec<PathBuf> {
    let files = fs::read_dir(directory.path()).unwrap();
    let files = files.map(|it| it.unwrap().path());
    let mut moved: Vec<_> = files
        .filter(|it| it.to_str().unwrap().contains(".damaged-"))
        .collect();
    moved.sort();
    moved
}

#[tokio::test]
async fn a_file_is_one_process_s_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let store = open(&path, &SETTINGS).unwrap();
    let error = open(&path, &SETTINGS).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert!(error.to_string().contains("another process has it"));
    // And that one has lost nothing by it.
    assert!(store.accept(vec![new(1, 0)]).await[0].is_ok());
    drop(store);
    let store = open(&path, &SETTINGS).unwrap();
    assert_eq!(store.counts().total().accepted, 1);
}

#[tokio::test]
async fn a_closed_file_is_the_next_process_s() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let store = open(&path, &SETTINGS).unwrap();
    assert!(store.accept(vec![new(1, 0)]).await[0].is_ok());
    store.close().await;
    let next = open(&path, &SETTINGS).unwrap();
    assert_eq!(next.counts().total().accepted, 1);
    assert!(store.accept(vec![new(2, 0)]).await[0].is_err());
    store.close().await;
}

#[test]
fn a_file_that_can_t_be_had_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |path: &Path| open(path, &SETTINGS).unwrap_err();
    let error = refused(&directory.path().join("none/jobs.db"));
    assert!(matches!(error, OpenError::NoDirectory(_)), "{error}");
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::NotAFile(_)), "{error}");
    // Where nobody can make a file.
    if cfg!(target_os = "linux") {
        let error = refused(Path::new("/proc/self/jobs.db"));
        assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn another_program_s_file_is_let_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("theirs.db");
    let theirs = Connection::open(&path).unwrap();
    theirs.execute_batch("CREATE TABLE theirs (it)").unwrap();
    theirs.close().unwrap();
    let before = fs::read(&path).unwrap();
    let error = open(&path, &SETTINGS).unwrap_err();
    assert!(matches!(error, OpenError::Foreign(_)), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_newer_version_s_file_is_let_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    one_record(&path).await;
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 2).unwrap();
    newer.close().unwrap();
    let error = open(&path, &SETTINGS).unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { version: 2, .. }),
        "{error}"
    );
    assert_eq!(moved(&directory), [PathBuf::new(); 0]);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let store = open(&path, &SETTINGS).unwrap();
    store.accept(vec![new(1, 0)]).await;
    let files = fs::read_dir(directory.path()).unwrap();
    let modes = files.map(|it| it.unwrap().metadata().unwrap().permissions().mode());
    let modes: Vec<_> = modes.map(|it| it & 0o777).collect();
    assert_eq!(modes, [0o600; 2], "the file and its log");
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside_and_a_new_one_is_begun() {
    let no_database = |path: &Path| fs::write(path, "no database, but a text".repeat(99)).unwrap();
    let no_page = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[8192..12288].fill(0x5a);
        fs::write(path, bytes).unwrap();
    };
    let cut = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    let change = |path: &Path, sql: &str| {
        let file = Connection::open(path).unwrap();
        file.execute_batch(sql).unwrap();
        file.close().unwrap();
    };
    let no_handle = |path: &Path| change(path, "UPDATE records SET handle = x'00'");
    let no_route = |path: &Path| change(path, "DELETE FROM routes");
    let no_table = |path: &Path| change(path, "DROP TABLE claims");
    let damages: [(&str, &dyn Fn(&Path)); 6] = [
        ("no database", &no_database),
        ("no page", &no_page),
        ("cut", &cut),
        ("no handle", &no_handle),
        ("no route", &no_route),
        ("no table", &no_table),
    ];
    for (name, damage) in damages {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobs.db");
        for times in 1..=2 {
            let handle = one_record(&path).await;
            damage(&path);
            let damaged = fs::read(&path).unwrap();
            let store = open(&path, &SETTINGS).unwrap_or_else(|it| panic!("{name}: {it}"));
            let record = store.fetch(handle, Look::ForState).await.unwrap();
            assert!(record.is_none(), "{name}");
            assert!(store.accept(vec![new(2, 0)]).await[0].is_ok(), "{name}");
            drop(store);
            // Within one second too.
            let moved = moved(&directory);
            assert_eq!(moved.len(), times, "{name}: {moved:?}");
            let kept = moved.iter().any(|it| fs::read(it).unwrap() == damaged);
            assert!(kept || name != "no database", "{name}");
            let store = open(&path, &SETTINGS).unwrap();
            assert_eq!(store.counts().total().accepted, 1, "{name}");
            drop(store);
            fs::remove_file(&path).unwrap();
        }
    }
}

#[tokio::test]
async fn positions_grow_though_the_clock_was_set_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    one_record(&path).await;
    // As if a process had given it in a hundred years.
    let future = i64::MAX / 2;
    let file = Connection::open(&path).unwrap();
    file.execute("UPDATE marks SET last = ?1", [future])
        .unwrap();
    file.close().unwrap();
    let store = open(&path, &SETTINGS).unwrap();
    let stream = StreamName::new("s").unwrap();
    let page = store.read_stream(&stream, None, 1).await.unwrap();
    assert_eq!(page.next, future.unsigned_abs());
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_for_longer_before_delays_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let shorter = Settings {
        keep: SETTINGS.keep / 2,
        ..SETTINGS
    };
    let answer = || crate::later::suite_tests::answer(200, 1);
    let handle = one_record(&path).await;
    let store = open(&path, &SETTINGS).unwrap();
    store.finish(vec![(handle, answer())]).await.unwrap();
    drop(store);
    let store = open(&path, &shorter).unwrap();
    let record = new(2, 0);
    let younger = record.handle;
    store.accept(vec![record]).await;
    store.finish(vec![(younger, answer())]).await.unwrap();
    tokio::time::advance(shorter.keep).await;
    let expired = store.expire(clock::now()).await.unwrap();
    assert_eq!(expired.records, 1);
    assert!(
        store
            .fetch(younger, Look::ForState)
            .await
            .unwrap()
            .is_none()
    );
    // Nor does it go before its time.
    assert!(store.fetch(handle, Look::ForState).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_that_is_closed_is_another_s_to_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let store = open(&path, &SETTINGS).unwrap();
    let (accepted, ()) = tokio::join!(store.accept(vec![new(1, 0)]), store.close());
    assert!(accepted[0].is_ok(), "what was asked for before is done");
    let files = fs::read_dir(directory.path()).unwrap();
    assert_eq!(files.count(), 1, "the log is in the file");
    let next = open(&path, &SETTINGS).unwrap();
    assert_eq!(next.counts().total().accepted, 1);
    // Nothing is done that is asked for after it.
    let refused = store.accept(vec![new(2, 0)]).await.remove(0);
    assert!(matches!(
        refused,
        Err(Refused::Store(StoreError::NotCommitted))
    ));
    store.close().await;
}
