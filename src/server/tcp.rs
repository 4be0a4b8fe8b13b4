//! Listening on TCP.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{self, TcpListener, TcpSocket, lookup_host};

use super::listener::{BACKLOG, Listen};

/// How long a connection is silent before the system asks whether its caller is
/// still there; it is given up after twice that.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Listens on the first of a name's addresses that can be taken.
///
/// # Errors
/// The system's, for the last address tried.
pub async fn bind(address: &str) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host(address).await? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
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

impl Listen for TcpListener {
    type Accepted = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self).await?;
        stream.into_std()
    }

    fn backlog(self) -> io::Result<impl Iterator<Item = io::Result<TcpStream>> + Send> {
        let listener = self.into_std()?;
        Ok(std::iter::from_fn(move || match listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            accepted => Some(accepted.map(|(stream, _)| stream)),
        }))
    }
}

/// A connection on the runtime that this is called on.
pub(super) fn open(stream: TcpStream) -> io::Result<net::TcpStream> {
    tune(&stream);
    stream.set_nonblocking(true)?;
    net::TcpStream::from_std(stream)
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
