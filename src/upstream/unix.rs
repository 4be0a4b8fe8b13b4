//! Connecting to a unix socket, and what went wrong in words.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::sleep;

/// How often whoever listens is asked again whose backlog is full: the system has nobody
/// wait for a place there, as it does for a port's.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// A connection; whoever can't wait for one drops this.
///
/// # Errors
/// Why there is none.
pub(super) async fn connect(socket: &Path) -> Result<UnixStream, String> {
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(ASK_AGAIN).await,
            Err(error) => return Err(words(socket, &error)),
        }
    }
}

fn words(socket: &Path, error: &io::Error) -> String {
    let socket = socket.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!("there is no socket {socket}"),
        io::ErrorKind::ConnectionRefused => format!("nobody listens on {socket}"),
        io::ErrorKind::PermissionDenied => {
            format!("this user may not write to the socket {socket}")
        }
        _ => format!("{socket}: {error}"),
    }
}
