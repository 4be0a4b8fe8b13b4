//! Why an item has no result.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

/// What processing may fail with: any error, or a text.
pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Why an item has no result: it was not taken, nobody processed it in time, or
/// whoever processed it had none for it.
///
/// New reasons are a new version, so that a `match` on it is checked for each.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// The queue is full, or has stayed so until the item's deadline. The item has
    /// never entered it.
    #[error("the queue is full; room is expected in {room_in:?}")]
    Full {
        /// When there should be room for one more: whole seconds, 1 to 60.
        room_in: Duration,
    },
    /// The queue has room, but none for one more item that waits for another of
    /// its key: such items may take up a tenth of it.
    #[error("too many items wait for others of their keys; room is expected in {room_in:?}")]
    KeyFull {
        /// When there should be room for one more: whole seconds, 1 to 60.
        room_in: Duration,
    },
    /// The item alone exceeds what a batch or the queue may hold.
    #[error("the item is larger than a batch may be")]
    TooLarge,
    /// The batcher takes no more items, or was closed before there was room for
    /// this one.
    #[error("the batcher is closed")]
    Closed,
    /// Its deadline came while it waited for a batch.
    #[error("the deadline passed while the item was queued")]
    Expired {
        /// When there should be room for one more: whole seconds, 1 to 60.
        room_in: Duration,
    },
    /// The batcher gave up what was queued.
    #[error("the batcher was closed before the item's batch left")]
    Abandoned,
    /// Whoever processed its batch dropped it or panicked.
    #[error("the batch was dropped without an answer")]
    Dropped,
    /// Processing failed, for this item or for all of its batch.
    #[error(transparent)]
    Failed(Failure),
    /// The function returned more or fewer results than it was given items, so that
    /// nobody can tell which is whose.
    #[error("{items} items were processed, and {results} results came back")]
    WrongCount {
        /// The items of the batch.
        items: usize,
        /// What came back.
        results: usize,
    },
    /// No result came back for the item's key.
    #[error("no result came back for the item's key, and {strays} for keys of no item")]
    Missing {
        /// How many keys came back that no item of the batch has: where the two are
        /// written differently, each missing one is a stray as well.
        strays: usize,
    },
    /// More than one result came back for the item's key.
    #[error("more than one result came back for the item's key")]
    Duplicate,
}

impl Error {
    /// That processing failed for this reason: an error of any type, or a text.
    pub fn failed(reason: impl Into<AnyError>) -> Self {
        Self::Failed(Failure(Arc::from(reason.into())))
    }

    /// What processing failed with, if it was an error of that type.
    pub fn failure<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::Failed(Failure(reason)) => reason.downcast_ref(),
            _ => None,
        }
    }

    /// Whether the item had entered the queue.
    pub fn had_entered(&self) -> bool {
        !matches!(
            self,
            Self::Full { .. } | Self::KeyFull { .. } | Self::TooLarge | Self::Closed
        )
    }
}

/// The processor's own error, shared by all items that it concerns: most errors
/// can't be cloned.
#[derive(Clone)]
pub struct Failure(Arc<dyn std::error::Error + Send + Sync>);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Two are equal if they are one and the same error.
impl PartialEq for Failure {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Failure {}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io;

    use super::*;

    #[derive(Debug, Error)]
    #[error("the call failed")]
    struct CallFailed(#[source] io::Error);

    #[test]
    fn a_failure_is_what_processing_failed_with() {
        let failed = || Error::failed(CallFailed(io::ErrorKind::ConnectionRefused.into()));
        let error = failed();
        assert_eq!(error.to_string(), "the call failed");
        let kind = error.failure().map(|CallFailed(source)| source.kind());
        assert_eq!(kind, Some(io::ErrorKind::ConnectionRefused));
        assert!(error.failure::<io::Error>().is_none());
        assert!(Error::Dropped.failure::<CallFailed>().is_none());
        assert!(error.source().is_some_and(|it| it.is::<io::Error>()));
        assert_eq!(error, error.clone());
        assert_ne!(error, failed());
        assert_eq!(Error::failed("a text").to_string(), "a text");
    }
}
