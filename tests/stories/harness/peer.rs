//! An end of a connection as bytes, a caller's or an upstream's: what a story writes and
//! reads piece by piece.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::within;

/// Dropping it closes.
pub struct Peer {
    pub socket: TcpStream,
    read: Vec<u8>,
}

/// A port to which the proxy connects.
pub struct PeerUpstream(TcpListener);

impl PeerUpstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        Self(listener.expect("a port"))
    }

    pub fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("a bound socket")
    }

    /// Its address, with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr())
    }

    /// The next connection that the proxy makes.
    pub async fn accept(&self) -> Peer {
        let (socket, _) = within("a connection", self.0.accept()).await.expect("one");
        Peer::new(socket)
    }
}

impl Peer {
    fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).expect("TCP_NODELAY");
        let read = Vec::new();
        Self { socket, read }
    }

    pub async fn connect(to: SocketAddr) -> Self {
        let socket = within("a connection", TcpStream::connect(to)).await;
        Self::new(socket.expect("a connection"))
    }

    pub async fn write(&mut self, text: impl AsRef<[u8]>) {
        let written = within("room to write", self.socket.write_all(text.as_ref())).await;
        written.expect("an open connection");
    }

    /// What comes up to this text, and the text.
    pub async fn until(&mut self, wanted: &str) -> String {
        let wanted = wanted.as_bytes();
        let found = within("what the other end is to say", async {
            loop {
                let at = self.read.windows(wanted.len()).position(|it| it == wanted);
                if let Some(at) = at {
                    let rest = self.read.split_off(at + wanted.len());
                    return std::mem::replace(&mut self.read, rest);
                }
                let read = self.socket.read_buf(&mut self.read).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&self.read);
                assert!(read > 0, "no {:?} in {text:?}", wanted.escape_ascii());
            }
        });
        String::from_utf8(found.await).expect("text")
    }

    /// Reads so many bytes and forgets them.
    pub async fn skip(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let known = self.read.len().min(bytes);
            self.read.drain(..known);
            bytes -= known;
            if bytes > 0 {
                let read = within("more", self.socket.read_buf(&mut self.read)).await;
                assert!(
                    read.expect("an open connection") > 0,
                    "{bytes} bytes are missing"
                );
            }
        }
    }

    /// The next head.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// What comes up to the end, in order or not.
    pub async fn end(mut self) -> String {
        within("the end of a connection", async {
            while self.socket.read_buf(&mut self.read).await.unwrap_or(0) > 0 {}
        })
        .await;
        String::from_utf8(self.read).expect("text")
    }
}
