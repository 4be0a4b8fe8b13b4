//! A listening socket: bound, emptied into tasks, and closed without loss.
//!
//! `app` has two of them. Nobody who was connected when it was told to stop is
//! turned away: what the system has taken in by then is served too.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use super::connections::{Connections, Permit};
use crate::telemetry::Seldom;

/// How many connections the system takes in while we are busy. It may allow
/// fewer (on Linux `net.core.somaxconn`, 4,096 by default).
const BACKLOG: u32 = 4_096;

/// How long a connection is silent before the system asks whether its caller is
/// still there; it is given up after twice that.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The pause after the system refused to hand out another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why an address can't be listened on.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct BindError(#[from] io::Error);

impl BindError {
    /// What to do about it, where the address is this setting's and this flag's.
    pub fn way_out(&self, key: &str, flag: &str) -> String {
        let first = match self.0.kind() {
            io::ErrorKind::AddrInUse => "stop what listens there, or ",
            io::ErrorKind::AddrNotAvailable => "it is no address of this machine: ",
            io::ErrorKind::PermissionDenied => "a port below 1024 may take privileges: ",
            _ => "",
        };
        format!("{first}give another address with {flag} or {key}")
    }
}

/// Listens on the first of a name's addresses that can be taken.
///
/// # Errors
/// The system's, for the last address tried.
pub async fn bind(address: &str) -> Result<TcpListener, BindError> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host(address).await? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last.into())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A proxy that was just ended must not be in the way of the next.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes connections until `stop` turns true, and hands each to `serve`, bound to
/// no runtime. One more than `connections` has places for waits, and others in the
/// backlog.
pub async fn accept(
    listener: TcpListener,
    connections: Arc<Connections>,
    mut stop: watch::Receiver<bool>,
    serve: impl Fn(TcpStream, Permit),
) {
    let failures = Seldom::default();
    let failed = async |error: io::Error| match reaction(&error) {
        Reaction::Next => {}
        Reaction::Pause => {
            if failures.now().is_some() {
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
        match accepted.and_then(|(stream, _)| stream.into_std()) {
            // It is known by now that somebody waits for the place.
            Ok(stream) => hand_over(stream, connections.place().await, &serve),
            Err(error) => failed(error).await,
        }
    }
    let Ok(listener) = listener.into_std() else {
        return;
    };
    // Who is connected by then is served too; no more than there can be, so that a
    // flood can't hold up the end.
    for _ in 0..BACKLOG {
        match listener.accept() {
            Ok((stream, _)) => hand_over(stream, connections.place().await, &serve),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => failed(error).await,
        }
    }
}

fn hand_over(stream: TcpStream, permit: Permit, serve: &impl Fn(TcpStream, Permit)) {
    if stream.set_nonblocking(true).is_ok() {
        tune(&stream);
        serve(stream, permit);
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

/// An answer must not wait for an acknowledgement, and a caller that vanished
/// without a word must not be waited for for ever. A socket that can do neither
/// is about to fail anyway.
fn tune(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE / 4)
        .with_retries(4);
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
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
