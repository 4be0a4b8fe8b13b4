//! An upstream below HTTP whose every byte, on every connection, the story
//! decides while it goes on.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::raw_upstream::read_head;
use super::within;

/// A listener that hands each connection to the story as soon as a batch
/// begins on it. The proxy may open connections that it uses later or never.
pub struct WireUpstream {
    addr: SocketAddr,
    calls: mpsc::UnboundedReceiver<Wire>,
    sender: mpsc::UnboundedSender<Wire>,
    server: JoinHandle<()>,
}

/// A connection on which the head of a batch has come. Dropping it closes.
pub struct Wire {
    socket: TcpStream,
    /// How long the batch is.
    pub length: usize,
    /// The batch's `X-Batch-Id`.
    pub batch_id: String,
    /// The proxy's end, which tells connections apart.
    pub peer: SocketAddr,
}

impl WireUpstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port");
        let addr = listener.local_addr().expect("a bound socket");
        let (sender, calls) = mpsc::unbounded_channel();
        let heard = sender.clone();
        let server = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).expect("TCP_NODELAY");
                tokio::spawn(hear(socket, heard.clone()));
            }
        });
        Self {
            addr,
            calls,
            sender,
            server,
        }
    }

    /// What the proxy is given as its upstream.
    pub fn url(&self) -> String {
        format!("http://{}/batch", self.addr)
    }

    /// The connection on which the next batch begins.
    pub async fn call(&mut self) -> Wire {
        let call = within("a batch at the upstream", self.calls.recv()).await;
        call.expect("a sender is kept")
    }

    /// Waits for the next batch on this connection too.
    pub fn keep(&self, wire: Wire) {
        tokio::spawn(hear(wire.socket, self.sender.clone()));
    }
}

impl Drop for WireUpstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn hear(mut socket: TcpStream, sender: mpsc::UnboundedSender<Wire>) {
    if let Some(head) = read_head(&mut socket).await {
        let peer = socket.peer_addr().expect("a peer");
        let _ = sender.send(Wire {
            socket,
            length: head.length,
            batch_id: head.batch_id,
            peer,
        });
    }
}

impl Wire {
    /// Reads the batch whole.
    pub async fn batch(&mut self) -> String {
        let mut body = vec![0; self.length];
        let read = within("the whole batch", self.socket.read_exact(&mut body)).await;
        read.expect("a whole batch");
        String::from_utf8(body).expect("a batch in UTF-8")
    }

    /// Writes these bytes in one piece.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let written = within("room to write", self.socket.write_all(bytes.as_ref())).await;
        written.expect("the proxy still listens");
    }

    /// A whole 200 with this body, in bytes.
    pub fn answer(body: &str) -> String {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
        format!("{head}{}\r\n\r\n{body}", body.len())
    }

    /// The same with one header more.
    pub fn answer_with(header: &str, body: &str) -> String {
        Self::answer(body).replacen("\r\n", &format!("\r\n{header}\r\n"), 1)
    }

    /// Closes the sending side alone.
    pub async fn end(&mut self) {
        let _ = self.socket.shutdown().await;
    }

    /// Waits for the proxy to close; whatever it still says until then is read
    /// and counted in bytes. A reset counts as closed.
    pub async fn closed(&mut self) -> usize {
        let mut rest = Vec::new();
        let _ = within("the proxy to close", self.socket.read_to_end(&mut rest)).await;
        rest.len()
    }
}
