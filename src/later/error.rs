//! Why there is no record.

use thiserror::Error;

use super::store::{Refused, StoreError};
use crate::job::NoRandomness;

/// Why a job was not handed in.
#[derive(Debug, Error)]
pub enum HandInError {
    /// The store did not take it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The process is about to end.
    #[error("the process ends")]
    Closed,
    /// There are no random bits for a handle.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// Why a record can't be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FetchError {
    /// There is none: never was, deleted, expired, or another's.
    #[error("there is no such job")]
    Unknown,
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}
