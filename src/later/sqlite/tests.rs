//! The store in a file, as any other; and as a file that is copied, damaged, full or
//! another's.

mod crash_tests;
mod open_tests;
mod room_tests;
mod thread_tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::later::suite_tests::{Under, every_lasting_store};

/// How a file is opened here: as no machine is felled.
fn open(path: &Path, settings: &Settings) -> Result<Sqlite, OpenError> {
    Sqlite::open_with(path, settings, Syncing::Off)
}

struct InFile;

thread_local! {
    /// The files of this thread's stores, which go with it.
    static FILES: RefCell<HashMap<usize, (TempDir, PathBuf)>> = RefCell::default();
}

/// A store is told by what it publishes in.
fn name(store: &Sqlite) -> usize {
    Arc::as_ptr(&store.published).addr()
}

impl Under for InFile {
    type Store = Sqlite;

    async fn make(settings: &Settings) -> Sqlite {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobs.db");
        let store = open(&path, settings).unwrap();
        FILES.with_borrow_mut(|it| it.insert(name(&store), (directory, path)));
        store
    }

    async fn pass(time: Duration) {
        tokio::time::advance(time).await;
    }

    async fn reopen(store: Sqlite, settings: &Settings) -> Sqlite {
        let file = FILES.with_borrow_mut(|it| it.remove(&name(&store)));
        let (directory, path) = file.unwrap();
        drop(store);
        let store = open(&path, settings).unwrap();
        FILES.with_borrow_mut(|it| it.insert(name(&store), (directory, path)));
        store
    }
}

every_lasting_store!(InFile);
