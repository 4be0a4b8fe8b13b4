//! A listening socket, emptied into tasks and closed without loss.
//!
//! `app` has two of them. Nobody who was connected when it was told to stop is
//! turned away: what the system has taken in by then is served too.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use super::connections::{Connections, Permit};
use crate::throttle::LogThrottle;

/// How many connections the system takes in while we are busy. It may allow
/// fewer (on Linux `net.core.somaxconn`, 4,096 by default).
pub(super) const BACKLOG: u32 = 4_096;

/// The pause after the system refused to hand out another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that connections come in on, of whatever kind.
pub trait Listen: Send + 'static {
    /// A connection, bound to no runtime.
    type Accepted: Send;

    /// The next connection.
    ///
    /// # Errors
    /// The system's.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Accepted>> + Send;

    /// Those that the system has taken in by now, without waiting for more.
    ///
    /// # Errors
    /// The system's.
    fn backlog(self) -> io::Result<impl Iterator<Item = io::Result<Self::Accepted>> + Send>;
}

/// Takes connections until `stop` turns true, and hands each to `serve`. One more than
/// `connections` has places for waits, and others in the backlog.
pub async fn accept<L: Listen>(
    listener: L,
    connections: Arc<Connections>,
    mut stop: watch::Receiver<bool>,
    serve: impl Fn(L::Accepted, Permit),
) {
    let failures = LogThrottle::default();
    let failed = async |error: io::Error| match reaction(&error) {
        Reaction::Next => {}
        Reaction::Pause => {
            if failures.admit().is_some() {
                warn!(%error, "can't accept connections, trying on");
            }
            connections.make_room();
            sleep(ACCEPT_PAUSE).await;
        }
    };
    let mut stopped = std::pin::pin!(async { drop(stop.wait_for(|&stop| stop).await) });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => break,
        };
        match accepted {
            // It is known by now that somebody waits for the place.
            Ok(stream) => serve(stream, connections.place().await),
            Err(error) => failed(error).await,
        }
    }
    let Ok(backlog) = listener.backlog() else {
        return;
    };
    // Who is connected by then is served too; no more than there can be, so that a
    // flood can't hold up the end.
    for accepted in backlog.take(BACKLOG as usize) {
        match accepted {
            Ok(stream) => serve(stream, connections.place().await),
            Err(error) => failed(error).await,
        }
    }
}

/// What to do after an error of accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    /// It is about one caller, who has gone: take the next.
    Next,
    /// The system lacks something, which the next attempt would too.
    Pause,
}

fn reaction(error: &io::Error) -> Reaction {
    match Errno::from_io_error(error) {
        // What accept(2) has of the new socket's network is like a caller that
        // has gone.
        Some(
            Errno::CONNABORTED
            | Errno::INTR
            | Errno::AGAIN
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::OPNOTSUPP
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::PERM,
        ) => Reaction::Next,
        _ => Reaction::Pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_has_gone_is_no_reason_to_pause() {
        for (errno, expected) in [
            (Errno::CONNABORTED, Reaction::Next),
            (Errno::INTR, Reaction::Next),
            (Errno::PROTO, Reaction::Next),
            (Errno::MFILE, Reaction::Pause),
            (Errno::NFILE, Reaction::Pause),
            (Errno::NOBUFS, Reaction::Pause),
            (Errno::NOMEM, Reaction::Pause),
        ] {
            assert_eq!(reaction(&io::Error::from(errno)), expected, "{errno:?}");
        }
        assert_eq!(reaction(&io::Error::other("odd")), Reaction::Pause);
    }
}
