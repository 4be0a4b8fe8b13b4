//! The store of answers fetched later, opened before anything runs: one that can't be had is
//! an error at start, not at the first job.

use std::sync::Arc;

use thiserror::Error;
use tokio::task::{JoinError, spawn_blocking};

use crate::config::settings;
use crate::later::memory::Memory;
use crate::later::redis::{self, Redis};
use crate::later::sqlite::{self, Sqlite};
use crate::later::store::Store;

/// Why the store can't be had: what happened, where, and what to do.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file.
    #[error("later.store: {0}")]
    Sqlite(#[from] sqlite::OpenError),
    /// The Redis.
    #[error(transparent)]
    Redis(#[from] redis::OpenError),
    /// It was not opened to the end.
    #[error("later.store: opening it failed: {0}")]
    Panicked(JoinError),
}

/// Opens it.
pub(super) async fn open(later: settings::Later) -> Result<Arc<dyn Store>, OpenError> {
    let records = later.records;
    Ok(match later.store {
        settings::Store::Memory => Arc::new(Memory::new(&records)),
        // A large file takes a while to read, and whoever waits for this may give it up.
        settings::Store::Sqlite(file) => {
            let opening = spawn_blocking(move || Sqlite::open(&file, &records));
            Arc::new(opening.await.map_err(OpenError::Panicked)??)
        }
        settings::Store::Redis(options) => Arc::new(Redis::connect(options, &records).await?),
    })
}
