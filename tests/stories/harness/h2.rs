//! Frames of HTTP/2 (RFC 9113), for a [`RawClient`](super::RawClient).

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let (length, stream) = (length.to_be_bytes(), stream.to_be_bytes());
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// The preface and empty settings.
pub fn hello() -> Vec<u8> {
    hello_with(&[])
}

/// The preface and these settings.
pub fn hello_with(settings: &[u8]) -> Vec<u8> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    [preface, frame(SETTINGS, 0, 0, settings)].concat()
}

/// SETTINGS_INITIAL_WINDOW_SIZE: how much of an answer a stream takes.
pub fn window(size: u32) -> Vec<u8> {
    [&[0, 4], &size.to_be_bytes()[..]].concat()
}

/// `POST /jobs` (RFC 7541: by the static table, nothing indexed).
pub fn post(stream: u32, flags: u8) -> Vec<u8> {
    frame(
        HEADERS,
        flags,
        stream,
        b"\x83\x86\x04\x05/jobs\x01\x09localhost",
    )
}

/// A whole job on a stream of its own.
pub fn job(stream: u32, job: &str) -> Vec<u8> {
    let body = frame(DATA, END_STREAM, stream, job.as_bytes());
    [post(stream, END_HEADERS), body].concat()
}
