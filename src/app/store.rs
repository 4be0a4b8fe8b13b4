//! The store of answers fetched later, opened before anything runs: one that can't be had is
//! an error at start, not at the first job.

use std::sync::Arc;

use thiserror::Error;

use crate::config::settings;
use crate::later::memory::Memory;
use crate::later::store::Store;

/// Why a store can't be had.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is none of this kind.
    #[error("{0} can't be opened: this build has no such store")]
    Unknown(&'static str),
}

/// Opens it.
pub(super) async fn open(later: &settings::Later) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match &later.store {
        settings::Store::Memory => Arc::new(Memory::new(&later.records)),
        settings::Store::Sqlite(_) => return Err(OpenError::Unknown("a file of SQLite")),
        settings::Store::Redis(_) => return Err(OpenError::Unknown("a Redis")),
    })
}
