//! Inserts single rows into SQLite in batches: one transaction for many callers.
//!
//!     cargo run -p microbatch-batcher --example sqlite_inserts
//!
//! What blocks its thread runs on one that is made for that, by `spawn_blocking`; one
//! batch at a time, since SQLite has one writer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use microbatch_batcher::{Batcher, Settings};
use rusqlite::Connection;
use tokio::task::{JoinSet, spawn_blocking};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Inserts all of them or none, and tells their row ids.
fn insert(connection: &mut Connection, names: &[String]) -> rusqlite::Result<Vec<i64>> {
    let transaction = connection.transaction()?;
    let mut insert = transaction.prepare("INSERT INTO guest (name) VALUES (?1)")?;
    let ids = names.iter().map(|name| insert.insert([name]));
    let ids = ids.collect::<rusqlite::Result<_>>()?;
    drop(insert);
    transaction.commit()?;
    Ok(ids)
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    // A transaction that ended in a panic was rolled back.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), AnyError> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch("CREATE TABLE guest (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")?;
    let connection = Arc::new(Mutex::new(connection));

    let settings = Settings {
        max_size: 100,
        max_in_flight: 1,
        ..Settings::default()
    };
    let theirs = Arc::clone(&connection);
    let guests = Batcher::new(settings, move |names: Vec<String>| {
        let connection = Arc::clone(&theirs);
        async move {
            let inserted = spawn_blocking(move || insert(&mut lock(&connection), &names));
            Ok::<_, AnyError>(inserted.await??)
        }
    });

    let mut callers = JoinSet::new();
    for guest in 0..1_000 {
        let guests = guests.clone();
        callers.spawn(async move {
            let name = format!("guest {guest}");
            Ok::<_, microbatch_batcher::Error>((guests.execute(name.clone()).await?, name))
        });
    }
    while let Some(inserted) = callers.join_next().await {
        let (id, name) = inserted??;
        let read = "SELECT name FROM guest WHERE id = ?1";
        let read: String = lock(&connection).query_row(read, [id], |row| row.get(0))?;
        assert_eq!(read, name, "each caller knows its own row");
    }
    let rows = lock(&connection).query_row("SELECT count(*) FROM guest", [], |row| row.get(0));
    assert_eq!(rows, Ok(1_000));
    Ok(())
}
