//! An HTTP/2 server of frames (RFC 9113, section 4.1), which may say what a
//! library would not let it say.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200`, entry 8 of the static table (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;
/// `GET https://a/`, by entries 2, 7, 4 and 1.
const GET_A: &[u8] = b"\x82\x87\x84\x41\x01a";

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// Higher than any stream: the first `GOAWAY` of a graceful shutdown.
pub const NO_LAST_STREAM: u32 = (1 << 31) - 1;

/// One connection, from the server's side.
pub struct Connection<S> {
    socket: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub async fn accept(mut socket: S) -> Self {
        let mut preface = [0; PREFACE.len()];
        socket.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, PREFACE);
        let mut connection = Self { socket };
        connection.write(SETTINGS, 0, 0, &[]).await;
        connection.write(SETTINGS, ACK, 0, &[]).await;
        connection
    }

    /// Reads one whole request; its stream and its body.
    pub async fn request(&mut self) -> (u32, Vec<u8>) {
        let mut body = Vec::new();
        loop {
            let (kind, flags, stream, payload) = self.frame().await.expect("a request");
            match kind {
                HEADERS => assert_eq!(flags & END_STREAM, 0, "a body is to follow"),
                DATA => body.extend(payload),
                _ => continue,
            }
            if flags & END_STREAM != 0 {
                return (stream, body);
            }
        }
    }

    /// Reads until the client closes the connection.
    pub async fn closed(&mut self) {
        while let Some((kind, ..)) = self.frame().await {
            assert!(kind != HEADERS && kind != DATA, "a request");
        }
    }

    pub async fn head(&mut self, stream: u32) {
        self.write(HEADERS, END_HEADERS, stream, &[STATUS_200])
            .await;
    }

    /// An answer without a body, with this status; it may name another batch.
    pub async fn whole_head(&mut self, stream: u32, status: &[u8; 3], other: bool) {
        // Literal fields, not indexed (RFC 7541, section 6.2.2).
        let mut head = [b"\x08\x03", &status[..]].concat();
        if other {
            head.extend(b"\x00\x0ax-batch-id\x05other");
        }
        self.write(HEADERS, END_STREAM | END_HEADERS, stream, &head)
            .await;
    }

    pub async fn answer(&mut self, stream: u32) {
        self.head(stream).await;
        self.write(DATA, END_STREAM, stream, b"[]").await;
    }

    pub async fn reset(&mut self, stream: u32, code: u32) {
        self.write(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    pub async fn go_away(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload).await;
    }

    /// Promises stream 2 as a part of the answer on `stream`.
    pub async fn push(&mut self, stream: u32) {
        let mut payload = 2_u32.to_be_bytes().to_vec();
        payload.extend(GET_A);
        self.write(PUSH_PROMISE, END_HEADERS, stream, &payload)
            .await;
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.socket.write_all(&frame).await.unwrap();
        self.socket.flush().await.unwrap();
    }

    /// `None` when the client has closed the connection.
    async fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.socket.read_exact(&mut payload).await.ok()?;
        Some((kind, flags, u32::from_be_bytes(stream), payload))
    }
}
