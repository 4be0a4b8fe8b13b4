//! A socket to listen on of either kind, and the connections that come in on it.

use std::io;
use std::net::IpAddr;
use std::sync::LazyLock;

use thiserror::Error;
use tokio::net;
use tokio_util::either::Either;
use tracing::warn;

use super::listener::Listen;
use super::tcp;
use super::unix::{self, UnixListener};
use crate::address::Address;
use crate::throttle::LogThrottle;

/// How a connection has reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// At this address, as far as the system tells.
    Tcp(Option<IpAddr>),
    /// Over a socket of this machine.
    Unix,
}

/// A connection on one runtime.
pub type Stream = Either<net::TcpStream, net::UnixStream>;

/// Why an address can't be listened on.
#[derive(Debug, Error)]
pub enum BindError {
    /// One of a host.
    #[error(transparent)]
    Tcp(#[from] io::Error),
    /// A socket.
    #[error(transparent)]
    Unix(#[from] unix::BindError),
}

impl BindError {
    /// What to do about it, where the address is this setting's and this flag's.
    pub fn way_out(&self, key: &str, flag: &str) -> String {
        let first = match self {
            Self::Tcp(error) => match error.kind() {
                io::ErrorKind::AddrInUse => "stop what listens there, or ",
                io::ErrorKind::AddrNotAvailable => "it is no address of this machine: ",
                io::ErrorKind::PermissionDenied => "a port below 1024 may take privileges: ",
                _ => "",
            },
            Self::Unix(error) => error.first(),
        };
        format!("{first}give another address with {flag} or {key}")
    }
}

/// A socket that is listened on.
#[derive(Debug)]
pub enum Socket {
    /// A port.
    Tcp(net::TcpListener),
    /// A file.
    Unix(UnixListener),
}

/// A connection, bound to no runtime.
#[derive(Debug)]
pub enum Accepted {
    /// From anywhere.
    Tcp(std::net::TcpStream),
    /// From this machine.
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// Listens; a socket of the file system gets these permissions.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(address: &Address, mode: u32) -> Result<Self, BindError> {
        Ok(match address {
            Address::Tcp(address) => Self::Tcp(tcp::bind(address).await?),
            Address::Unix(path) => Self::Unix(unix::bind(path, mode).await?),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's, if it can't tell.
    pub fn address(&self) -> io::Result<Address> {
        Ok(match self {
            Self::Tcp(listener) => Address::Tcp(listener.local_addr()?.to_string()),
            Self::Unix(listener) => Address::Unix(listener.path().to_owned()),
        })
    }
}

impl Listen for Socket {
    type Accepted = Accepted;

    async fn accept(&self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Tcp(listener) => Accepted::Tcp(Listen::accept(listener).await?),
            Self::Unix(listener) => Accepted::Unix(listener.accept().await?),
        })
    }

    fn backlog(self) -> io::Result<impl Iterator<Item = io::Result<Accepted>> + Send> {
        type Backlog = Box<dyn Iterator<Item = io::Result<Accepted>> + Send>;
        Ok(match self {
            Self::Tcp(listener) => {
                let backlog = listener.backlog()?;
                Box::new(backlog.map(|it| it.map(Accepted::Tcp))) as Backlog
            }
            Self::Unix(listener) => {
                let backlog = listener.backlog()?;
                Box::new(backlog.map(|it| it.map(Accepted::Unix)))
            }
        })
    }
}

impl Accepted {
    /// The connection on the runtime that this is called on, and how it has reached us. A
    /// system that has no means left to watch it loses the connection, not the proxy.
    pub fn open(self) -> Option<(Stream, Reached)> {
        static FAILURES: LazyLock<LogThrottle> = LazyLock::new(LogThrottle::default);
        let opened = match self {
            Self::Tcp(stream) => {
                let local = stream.local_addr().ok().map(|address| address.ip());
                tcp::open(stream).map(|it| (Either::Left(it), Reached::Tcp(local)))
            }
            Self::Unix(stream) => unix::open(stream).map(|it| (Either::Right(it), Reached::Unix)),
        };
        match opened {
            Ok(opened) => Some(opened),
            Err(error) => {
                if FAILURES.admit().is_some() {
                    warn!(%error, "can't watch a connection, closing it");
                }
                None
            }
        }
    }
}
