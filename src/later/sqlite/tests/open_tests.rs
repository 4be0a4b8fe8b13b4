//! Which files are taken, and which are not.

use std::fs;

use rusqlite::Connection;

use super::*;
use crate::later::store::Look;
use crate::later::suite_tests::{SETTINGS, new, to, with_key};

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
    assert!(moved(&directory).is_empty());
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

/// What somebody does to a file.
type Damage<'a> = (&'a str, &'a dyn Fn(&Path));

fn change(path: &Path, sql: &str) {
    let file = Connection::open(path).unwrap();
    file.execute_batch(sql).unwrap();
    file.close().unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside_and_a_new_one_is_begun() {
    let fill = |path: &Path, bytes: std::ops::Range<usize>| {
        let mut file = fs::read(path).unwrap();
        file[bytes].fill(0x5a);
        fs::write(path, file).unwrap();
    };
    let no_schema = |path: &Path| fill(path, 100..4096);
    let no_page = |path: &Path| fill(path, 8192..12288);
    let cut = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    let no_magic = |path: &Path| fill(path, 0..16);
    let no_table = |path: &Path| change(path, "DROP TABLE claims");
    let damages: [Damage<'_>; 5] = [
        ("no schema", &no_schema),
        ("no page", &no_page),
        ("cut", &cut),
        ("no magic", &no_magic),
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
            assert!(kept || name != "no schema", "{name}");
            let store = open(&path, &SETTINGS).unwrap();
            assert_eq!(store.counts().total().accepted, 1, "{name}");
            drop(store);
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn what_is_no_file_of_this_program_is_let_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("some.conf");
    let texts = [
        "ab".to_owned(),
        "key = value\n".repeat(99),
        format!("SQLite format 3\0{}", "of somebody".repeat(999)),
    ];
    for text in texts {
        fs::write(&path, &text).unwrap();
        let error = open(&path, &SETTINGS).unwrap_err();
        assert!(matches!(error, OpenError::Foreign(_)), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}

/// Where a crash comes between the two moves.
#[tokio::test]
async fn a_log_whose_file_was_moved_is_not_the_next_file_s() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let store = open(&path, &SETTINGS).unwrap();
    assert!(store.accept(vec![new(1, 0)]).await[0].is_ok());
    let log = fs::read(path.with_extension("db-wal")).unwrap();
    drop(store);
    fs::remove_file(&path).unwrap();
    fs::write(path.with_extension("db-wal"), log).unwrap();
    let store = open(&path, &SETTINGS).unwrap();
    assert_eq!(store.counts().total().accepted, 0);
    assert!(store.accept(vec![new(1, 0)]).await[0].is_ok());
    drop(store);
    let store = open(&path, &SETTINGS).unwrap();
    assert_eq!(store.counts().total().accepted, 1);
}

#[tokio::test]
async fn a_row_that_can_t_be_read_takes_no_other_with_it() {
    let damages = [
        "UPDATE records SET handle = x'00' WHERE number = 1",
        "UPDATE records SET until = 'soon' WHERE number = 1",
        "UPDATE records SET key = 'é', digest = zeroblob(32) WHERE number = 1",
        "UPDATE records SET route = 9 WHERE number = 1",
        "UPDATE records SET handle = (SELECT handle FROM records WHERE number = 2) \
         WHERE number = 3",
    ];
    for damage in damages {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobs.db");
        one_record(&path).await;
        let kept = one_record(&path).await;
        one_record(&path).await;
        // Not even by the rule that a column has numbers.
        let damage = damage.replace("until = 'soon'", "until = -1");
        change(&path, &damage);
        for _ in 0..2 {
            let store = open(&path, &SETTINGS).unwrap();
            let counts = store.counts().total();
            assert_eq!(counts.accepted, 3, "{damage}");
            assert_eq!(counts.records(), 2, "{damage}");
            let record = store.fetch(kept, Look::ForState).await.unwrap();
            assert!(record.is_some(), "{damage}");
            assert_eq!(store.waiting(&RouteName::jobs()).jobs, 2, "{damage}");
        }
        assert!(moved(&directory).is_empty(), "{damage}");
        let file = Connection::open(&path).unwrap();
        let count = |table: &str| -> i64 {
            let sql = format!("SELECT count(*) FROM {table}");
            file.query_row(&sql, [], |it| it.get(0)).unwrap()
        };
        assert_eq!((count("records"), count("unreadable")), (2, 1), "{damage}");
    }
}

#[tokio::test]
async fn a_route_has_the_number_that_its_records_have_it_by() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    let full = Settings {
        max_jobs: 1,
        ..SETTINGS
    };
    let store = open(&path, &full).unwrap();
    assert!(store.accept(vec![to("one", new(1, 0))]).await[0].is_ok());
    // One of which there never is a record.
    assert!(store.accept(vec![to("two", new(2, 0))]).await[0].is_err());
    drop(store);
    let store = open(&path, &SETTINGS).unwrap();
    assert!(store.accept(vec![to("three", new(3, 0))]).await[0].is_ok());
    drop(store);
    // Numbers that are missing are no other route's.
    change(
        &path,
        "UPDATE routes SET number = 7 WHERE name = 'three'; \
         UPDATE records SET route = 7 WHERE route = 1",
    );
    for more in 1..3 {
        let store = open(&path, &SETTINGS).unwrap();
        for (name, jobs) in [("one", 1), ("two", 0), ("three", 1), ("four", more - 1)] {
            let route = name.parse().unwrap();
            assert_eq!(store.waiting(&route).jobs, jobs, "{name}");
        }
        assert!(store.accept(vec![to("four", new(4, 0))]).await[0].is_ok());
    }
}

#[tokio::test]
async fn a_key_is_kept_with_its_quotes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    // As they come: a pair of quotes is none of the key's.
    let keys = [r#""""""#, r#""""k""""#, r#"""#];
    let records = keys.map(|key| with_key(1, key, 1));
    let again = records.clone();
    let store = open(&path, &SETTINGS).unwrap();
    let accepted = store.accept(records.into()).await;
    assert!(accepted.iter().all(|it| matches!(it, Ok(Accepted::New(_)))));
    drop(store);
    let store = open(&path, &SETTINGS).unwrap();
    assert_eq!(store.counts().total().records(), 3);
    for it in store.accept(again.into()).await {
        assert!(matches!(it, Ok(Accepted::Existing(_))), "{it:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_others_can_read_is_closed_to_them() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.db");
    one_record(&path).await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let store = open(&path, &SETTINGS).unwrap();
    store.accept(vec![new(2, 0)]).await;
    for file in fs::read_dir(directory.path()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
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
