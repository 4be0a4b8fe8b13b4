//! A connection of the pool, for one call.
//!
//! [`Upstream`](super::client::Upstream) takes one for each. A lease that ends well
//! brings its connection back; any other way that is gone, over HTTP/2 with the calls
//! that are still under way on it.

use std::sync::Arc;

use http::{HeaderMap, Request, Response, Version};
use hyper::body::Incoming;

use super::connect::ConnectError;
use super::connection::{Connection, NoAnswer};
use super::pool::Pool;
use super::response::{Ended, Origin};
use super::socket::Track;
use super::tracked::TrackedBody;

/// A connection for one call.
pub(super) struct Lease {
    pool: Arc<Pool>,
    connection: Connection,
    /// Over HTTP/2: in the count of calls.
    share: Option<Share>,
    /// Whether it had calls before.
    kept: bool,
    /// The bytes of the call's body.
    length: usize,
}

/// A call over the shared connection.
struct Share {
    pool: Arc<Pool>,
    track: Arc<Track>,
    /// Whether the connection is not to be used again.
    is_suspect: bool,
}

impl Lease {
    /// A connection that is kept, if one is good.
    pub fn kept(pool: &Arc<Pool>) -> Option<Self> {
        let connection = pool.take()?;
        Some(Self::of(pool, connection, true))
    }

    /// A new connection.
    pub async fn new(pool: &Arc<Pool>) -> Result<Self, ConnectError> {
        let (connection, kept) = pool.connect().await?;
        Ok(Self::of(pool, connection, kept))
    }

    fn of(pool: &Arc<Pool>, connection: Connection, kept: bool) -> Self {
        let is_shared = connection.version() == Version::HTTP_2;
        Self {
            share: is_shared.then(|| Share {
                pool: Arc::clone(pool),
                track: Arc::clone(&connection.track),
                is_suspect: false,
            }),
            pool: Arc::clone(pool),
            connection,
            kept,
            length: 0,
        }
    }

    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// The version that a request must have.
    pub fn version(&self) -> Version {
        self.connection.version()
    }

    /// Sends a request with `length` bytes of body; returns with the head of its
    /// answer.
    pub async fn call(
        &mut self,
        request: Request<TrackedBody>,
        length: usize,
    ) -> Result<Response<Incoming>, NoAnswer> {
        self.length = length;
        self.connection.call(request, self.kept).await
    }

    /// Whether nothing of the call has left this process, nor will.
    pub fn is_unwritten(&self) -> bool {
        self.share.is_none() && self.connection.track.is_unwritten()
    }

    /// What is known of its connection, also when that has ended.
    pub fn track(&self) -> Arc<Track> {
        Arc::clone(&self.connection.track)
    }

    /// Takes note of what an answer says about its connection.
    pub fn heed(&mut self, headers: &HeaderMap) {
        self.connection.life.heed(headers);
    }

    /// Ends it after a call that failed; whether the connection is gone.
    pub fn end_with(self, error: &hyper::Error) -> bool {
        let gone = self.share.is_none() || error.is_canceled() || !self.connection.is_ready();
        self.end(match gone {
            true => Ended::Suspect,
            false => Ended::Cut,
        });
        gone
    }

    /// The call is over.
    pub fn end(mut self, how: Ended) {
        match &mut self.share {
            Some(share) => share.is_suspect = how == Ended::Suspect,
            None if matches!(how, Ended::Whole | Ended::Refused) && self.connection.is_ready() => {
                self.pool.keep(self.connection);
            }
            // What was answered well is written to its end, though it is not read; of
            // anything else nothing more is sent.
            None if how == Ended::Whole => {}
            None => self.connection.abort(),
        }
    }
}

impl Origin for Lease {
    fn is_early(&self) -> bool {
        let track = &self.connection.track;
        self.kept && self.share.is_none() && track.has_written_less_than(self.length)
    }

    fn ended(self: Box<Self>, how: Ended) {
        self.end(how);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.release(&self.track, self.is_suspect);
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}
