//! A caller below HTTP: it writes bytes and reads what comes back.

use std::net::SocketAddr;

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

use super::{Answer, h2, within};

/// A connection to the proxy. Dropping it closes.
pub struct RawClient {
    socket: BufStream<TcpStream>,
}

impl RawClient {
    pub async fn connect(addr: SocketAddr) -> Self {
        let socket = within("a connection", TcpStream::connect(addr)).await;
        Self {
            socket: BufStream::new(socket.expect("a connection")),
        }
    }

    /// Two hands on one connection: one to write while the other reads. It
    /// closes when both are dropped.
    pub async fn two_handed(addr: SocketAddr) -> (Self, Self) {
        let socket = within("a connection", TcpStream::connect(addr)).await;
        let socket = socket.and_then(TcpStream::into_std).expect("a connection");
        let hand = |socket: std::io::Result<_>| Self {
            socket: BufStream::new(socket.and_then(TcpStream::from_std).expect("a socket")),
        };
        (hand(socket.try_clone()), hand(Ok(socket)))
    }

    /// Sends these bytes. That the proxy may have closed is no failure here:
    /// what it said before counts.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_write(bytes).await;
    }

    /// Sends all of these bytes, which the proxy must take.
    pub async fn write_all(&mut self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_write(bytes).await, "the proxy takes all");
    }

    /// Sends these bytes; whether the system took them.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let write = async {
            self.socket.write_all(bytes.as_ref()).await?;
            self.socket.flush().await
        };
        within("room to write", write).await.is_ok()
    }

    /// Sends `POST /jobs` as JSON with these further header lines, each ending
    /// in CRLF, and this much of a body.
    pub async fn post(&mut self, headers: &str, body: impl AsRef<[u8]>) {
        let head = "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        let head = format!("{head}{headers}\r\n");
        self.write([head.as_bytes(), body.as_ref()].concat()).await;
    }

    /// Closes the sending side alone.
    pub async fn half_close(&mut self) {
        self.socket
            .shutdown()
            .await
            .expect("the connection is open");
    }

    /// The same where the proxy may have closed already.
    pub async fn end(&mut self) {
        let _ = self.socket.shutdown().await;
    }

    /// Reads one answer, an interim one (1xx) included, and leaves the
    /// connection to the next.
    pub async fn answer(&mut self) -> Answer {
        within("an answer", async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let byte = self.socket.read_u8().await;
                head.push(byte.unwrap_or_else(|error| panic!("{error} after {head:?}")));
            }
            let head = String::from_utf8(head).expect("a head in ASCII");
            let (status, headers) = parse(&head);
            let length = headers
                .get("content-length")
                .map_or("0", |v| v.to_str().unwrap());
            assert!(
                !headers.contains_key("transfer-encoding"),
                "no chunks expected: {head}"
            );
            let mut body = vec![0; length.parse().expect("a length")];
            self.socket
                .read_exact(&mut body)
                .await
                .expect("a whole body");
            Answer {
                status,
                headers,
                body: Bytes::from(body),
            }
        })
        .await
    }

    /// Reads until these bytes have come.
    pub async fn until(&mut self, wanted: &[u8]) {
        within("what the proxy is to say", async {
            let mut last = Vec::new();
            while !last.ends_with(wanted) {
                last.push(self.socket.read_u8().await.expect("an open connection"));
            }
        })
        .await;
    }

    /// Reads one frame of HTTP/2: its kind, stream and payload; none where the
    /// proxy closes, or has reset the connection.
    pub async fn frame(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        within("a frame", async {
            let mut head = [0; 9];
            self.socket.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, _, stream @ ..] = head;
            let length = u32::from_be_bytes([0, a, b, c]);
            let mut payload = vec![0; length.try_into().expect("a length")];
            self.socket.read_exact(&mut payload).await.ok()?;
            Some((kind, u32::from_be_bytes(stream), payload))
        })
        .await
    }

    /// Opens HTTP/2 with these settings, and takes the proxy's and its window: only
    /// then may more than 64 KiB be sent.
    pub async fn greet(&mut self, settings: &[u8]) {
        self.write(h2::hello_with(settings)).await;
        self.frame_of(h2::SETTINGS).await;
        self.write(h2::frame(h2::SETTINGS, h2::ACK, 0, &[])).await;
        self.frame_of(h2::WINDOW_UPDATE).await;
    }

    /// Reads frames up to the first of this kind: its stream and payload.
    pub async fn frame_of(&mut self, wanted: u8) -> (u32, Vec<u8>) {
        loop {
            let (kind, stream, payload) = self.frame().await.expect("an open connection");
            if kind == wanted {
                return (stream, payload);
            }
        }
    }

    /// Reads until the proxy closes; a reset counts as closed.
    pub async fn until_closed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = within("the proxy to close", self.socket.read_to_end(&mut bytes)).await;
        bytes
    }
}

fn parse(head: &str) -> (u16, HeaderMap) {
    let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.unwrap_or_else(|| panic!("no status line: {head}"));
    let pair = |line: &str| {
        let (name, value) = line.split_once(':').expect("a header line");
        let name: HeaderName = name.parse().expect("a header's name");
        (
            name,
            HeaderValue::from_str(value.trim()).expect("a header's value"),
        )
    };
    (
        status[..3].parse().expect("a status"),
        lines.map(pair).collect(),
    )
}
