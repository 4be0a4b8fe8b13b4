//! Listening on a unix socket, whose file is there as long as somebody listens.
//!
//! A leftover of a process that was killed is replaced, a socket that somebody listens on
//! never is, nor is anything else. Whoever makes or removes the file holds a lock on its
//! directory meanwhile, so that of two that start at once one finds the other; and nobody
//! can connect before the file has its permissions.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;
use tokio::net;
use tokio::time::{Instant, sleep};

use super::listener::{BACKLOG, Listen};

/// How often the lock is tried for.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// How long the lock is waited for: at the start, and at the end, which is not to be held up.
const LOCK: Duration = Duration::from_secs(5);
const LAST_LOCK: Duration = Duration::from_millis(50);

/// Why a socket can't be listened on.
#[derive(Debug, Error)]
pub enum BindError {
    /// It is in use.
    #[error("somebody listens there")]
    Live,
    /// A file is in the way.
    #[error("there is a file that is no socket")]
    NoSocket,
    /// There is no place for the file.
    #[error("its directory is not there")]
    NoDirectory,
    /// The directory, or a leftover in it, is not ours to change.
    #[error("permission denied")]
    Denied,
    /// Somebody else has the directory locked.
    #[error("the directory is locked by another process")]
    Locked,
    /// The system's.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for BindError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::Live,
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NoDirectory,
            io::ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Io(error),
        }
    }
}

impl BindError {
    /// What to do about it, before another address is given.
    pub(super) fn first(&self) -> &'static str {
        match self {
            Self::Live => "stop what listens there, or ",
            Self::NoSocket => "move it away if nobody needs it, or ",
            Self::NoDirectory => "make the directory, or ",
            Self::Denied => "let this user read and write the directory, or ",
            Self::Locked => "see who holds it, or ",
            Self::Io(_) => "",
        }
    }
}

/// A socket that is listened on. Dropped, it takes its file away.
#[derive(Debug)]
pub struct UnixListener {
    /// First, so that the file goes while the socket is open: its inode is no other's until then.
    file: SocketFile,
    listener: net::UnixListener,
}

/// Listens on a socket of these permissions.
///
/// # Errors
/// [`BindError`]; nothing has changed then, but that a leftover may be gone.
pub async fn bind(path: &Path, mode: u32) -> Result<UnixListener, BindError> {
    let directory = directory(path)?;
    let until = Instant::now() + LOCK;
    let _lock = loop {
        match directory.try_lock() {
            Ok(()) => break &directory,
            Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(TRY_AGAIN).await,
            Err(TryLockError::WouldBlock) => return Err(BindError::Locked),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    };
    make_way(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    // Who connects before it listens is refused.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    let listener = net::UnixListener::from_std(socket.into())?;
    Ok(UnixListener { file, listener })
}

/// The directory of a file, to be locked.
fn directory(path: &Path) -> io::Result<File> {
    File::open(path.parent().unwrap_or(Path::new("/")))
}

/// Removes a socket that nobody listens on.
fn make_way(path: &Path) -> Result<(), BindError> {
    let file = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    if !file.file_type().is_socket() {
        return Err(BindError::NoSocket);
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // One whose backlog is full is not waited for.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Ok(fs::remove_file(path)?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Of somebody who lets us neither in nor near.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error.into()),
        Ok(()) => Err(BindError::Live),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::AGAIN | Errno::PROTOTYPE) => Err(BindError::Live),
            _ => Err(BindError::Io(error)),
        },
    }
}

/// The file of a socket. Dropped, it is removed, unless another has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let directory = directory(&self.path);
        let until = std::time::Instant::now() + LAST_LOCK;
        // Whoever holds it for longer is not about to listen.
        while let Ok(directory) = &directory
            && matches!(directory.try_lock(), Err(TryLockError::WouldBlock))
            && std::time::Instant::now() < until
        {
            thread::sleep(TRY_AGAIN);
        }
        if identity(&self.path).is_ok_and(|it| it == self.identity) {
            // Nobody can do anything about it: it is a leftover then.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl UnixListener {
    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

impl Listen for UnixListener {
    type Accepted = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.listener.accept().await?;
        stream.into_std()
    }

    fn backlog(self) -> io::Result<impl Iterator<Item = io::Result<UnixStream>> + Send> {
        let Self { file, listener } = self;
        // From here on there is nothing to connect to, and nobody is lost.
        drop(file);
        let listener = listener.into_std()?;
        Ok(std::iter::from_fn(move || match listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            accepted => Some(accepted.map(|(stream, _)| stream)),
        }))
    }
}

/// A connection on the runtime that this is called on.
pub(super) fn open(stream: UnixStream) -> io::Result<net::UnixStream> {
    stream.set_nonblocking(true)?;
    net::UnixStream::from_std(stream)
}
