//! An upstream below HTTP: it reads a request, then plays bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// One thing the upstream does on a connection, in order. When all are done it
/// closes the connection.
#[derive(Clone)]
pub enum Play {
    /// Reads one whole request.
    Read,
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Writes these bytes one by one, with a pause after each.
    Drip(Vec<u8>, Duration),
    /// Writes these bytes over and over until the proxy is gone.
    Flood(Vec<u8>),
    /// Keeps the connection open until the proxy closes it.
    Stall,
    /// Ends the connection with a TCP reset.
    Reset,
}

impl Play {
    /// Reads one request, then writes these bytes.
    pub fn answer(bytes: impl Into<Vec<u8>>) -> Vec<Play> {
        vec![Play::Read, Play::Write(bytes.into())]
    }

    /// Reads one request, then writes a 200 with this body.
    pub fn ok(body: &[u8]) -> Vec<Play> {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
        let head = format!("{head}{}\r\n\r\n", body.len());
        Play::answer([head.as_bytes(), body].concat())
    }
}

/// A plain TCP server that plays the same on every connection.
pub struct RawUpstream {
    addr: SocketAddr,
    server: JoinHandle<()>,
}

impl RawUpstream {
    pub async fn playing(plays: Vec<Play>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let addr = listener.local_addr().expect("a bound socket");
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(play(socket, plays.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { addr, server }
    }

    /// What the proxy is given as its upstream.
    pub fn url(&self) -> String {
        format!("http://{}/batch", self.addr)
    }

    /// The same with `https`, which this upstream does not speak.
    pub fn https_url(&self) -> String {
        format!("https://{}/batch", self.addr)
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Ends early, and quietly, when the proxy closes the connection.
async fn play(mut socket: TcpStream, plays: Vec<Play>) -> Option<()> {
    socket.set_nodelay(true).ok()?;
    for play in plays {
        match play {
            Play::Read => drop(read_request(&mut socket).await?),
            Play::Write(bytes) => socket.write_all(&bytes).await.ok()?,
            Play::Drip(bytes, pause) => {
                for byte in bytes {
                    socket.write_all(&[byte]).await.ok()?;
                    tokio::time::sleep(pause).await;
                }
            }
            Play::Flood(bytes) => loop {
                socket.write_all(&bytes).await.ok()?;
            },
            Play::Stall => {
                let mut rest = Vec::new();
                socket.read_to_end(&mut rest).await.ok()?;
            }
            Play::Reset => {
                socket.set_zero_linger().ok()?;
                return None;
            }
        }
    }
    // A polite close: what was written must not be lost to a reset because the
    // proxy had something more to say.
    socket.shutdown().await.ok()?;
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.ok()?;
    Some(())
}

/// Reads a head and as much body as its `Content-Length` says: the body.
async fn read_request(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut body = vec![0; read_head(socket).await?.length];
    socket.read_exact(&mut body).await.ok()?;
    Some(body)
}

/// What a batch's head says.
pub(super) struct Head {
    pub length: usize,
    pub batch_id: String,
}

/// Reads a head alone.
pub(super) async fn read_head(socket: &mut TcpStream) -> Option<Head> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head)
        .expect("a head in ASCII")
        .to_ascii_lowercase();
    let said = |name| {
        let value = head.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_default().trim()
    };
    let length = said("content-length:");
    Some(Head {
        length: match length {
            "" => 0,
            length => length.parse().expect("a length"),
        },
        batch_id: said("x-batch-id:").to_owned(),
    })
}
