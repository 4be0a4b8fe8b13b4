//! A step of a store, and how it fails.

use std::future::Future;
use std::pin::Pin;

use thiserror::Error;

/// A call to a store. Dropped, it may have been done or not.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The store is away, or does not work.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// Nothing was committed.
    #[error("the store is not available; nothing was committed")]
    NotCommitted,
    /// Nobody knows whether it was committed.
    #[error("the store did not answer; it may have been committed")]
    Unanswered,
}
