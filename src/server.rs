//! Connections of callers, from the listening socket to the last byte: what one
//! caller can hold is bounded here, whatever is served.
//!
//! [`listener::accept`] takes connections from a [`socket`], of [`tcp`] or [`unix`], and `app`
//! has one of the [`runtimes`] serve each: `http` gives it to [`serve`] with what
//! answers its requests. The HTTP library speaks HTTP/1.1 and HTTP/2; what it leaves
//! open is done around it:
//!
//! - `guard` says by when a connection has to get on: with a head, after idling,
//!   with taking an answer, at the end of the process. It is pure; `drive` acts on it
//!   with one timer in the connection's `task`, and `progress` has what was seen.
//! - `protocol` is HTTP/1 or HTTP/2, as a connection's first bytes say.
//! - `io` is between the library and the socket: it notes what happens there,
//!   notices a caller that has left while its job is done, and counts `frames`.
//! - `exchange` is one request and its answer, with what was left `unread` of the one
//!   and the `pieces` of the other. `streams` resets an HTTP/2 stream whose answer is
//!   not taken.
//! - `handshake` is what comes before where TLS is spoken.
//! - `linger` closes in stages, so that a last answer arrives.
//! - [`connections`] bounds how many there are, and tells them of the end of their
//!   `life`.
//!
//! It is generic over what it serves and over the stream it is served on.

pub mod connections;
mod drive;
mod exchange;
pub mod files;
mod frames;
mod guard;
mod handshake;
mod io;
mod life;
mod limits;
mod linger;
pub mod listener;
mod pieces;
mod progress;
mod protocol;
pub mod runtimes;
pub mod socket;
mod streams;
mod task;
pub mod tcp;
pub mod unix;
mod unread;

use std::sync::Arc;

use axum::BoxError;
use axum::http::{Request, Response};
use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use connections::Permit;
use drive::Drive;
use exchange::Exchange;
use guard::Guard;
pub use handshake::{Encrypted, Failed, handshake};
use io::Watched;
pub use limits::Limits;
use linger::linger;
use progress::Progress;
use protocol::{Builders, Connection};
use streams::Streams;
pub use unread::RequestBody;

/// What an HTTP/2 stream may keep of its answer in the library's buffer, in bytes: a
/// piece, so that hardly more is in memory than is accounted for.
const SEND_BUFFER: usize = 16 * 1024;

/// How much of a request's body HTTP/2 may be sent before anybody reads it, in bytes:
/// of one stream, and of all of a connection. The library keeps it meanwhile.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// The largest head of a request, in bytes, and the most that is read at a time: a
/// connection keeps the buffer it reads into, for however long it is open.
const MAX_HEAD: usize = 16 * 1024;

/// Serves `stream` until it ends, each request by `answer`.
pub async fn serve<S, F, B>(
    stream: S,
    answer: impl Fn(Request<RequestBody>) -> F + Send + 'static,
    limits: Limits,
    mut permit: Permit,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let life = Arc::clone(permit.life());
    let progress = Arc::new(Progress::new(Arc::clone(&life)));
    let (give_back, given_back) = oneshot::channel();
    let member = permit.enter(&progress);
    let exchange = Exchange::new(Arc::clone(&progress), limits.max_body);
    let service = service_fn(move |request| exchange.answer(request, &answer));
    let mut http1 = http1::Builder::new();
    // The time for a head is the guard's business, without a timer for each request; and that a
    // caller has left while it waits is seen by `io`, without another buffer to read ahead into. One
    // that has its answer coming may close its side.
    http1
        .header_read_timeout(None)
        .half_close(true)
        .max_buf_size(MAX_HEAD);
    let streams = Streams::new(Arc::clone(&progress), limits.write_timeout);
    let mut http2 = http2::Builder::new(streams);
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    let watched = Watched::new(stream, Arc::clone(&progress), give_back);
    {
        let connection = Connection::new(watched, service, Builders { http1, http2 });
        Drive::new(connection, Connection::close, Guard::new(limits), progress).await;
    }
    // What it held is free by here; only the socket is left. Where protocols were changed,
    // somebody else has that, and the place with it until it is through.
    drop(member);
    if let Ok(returned) = given_back.await {
        Box::pin(linger(returned, limits.max_body, life.is_closing())).await;
    }
    drop(permit);
}

#[cfg(test)]
mod tests;
