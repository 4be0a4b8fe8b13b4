//! A connection of HTTP/1 or of HTTP/2, whichever its first bytes say.
//!
//! They are looked at where all bytes pass, in [`Watched`], and the library that serves the
//! one or the other gets them from there: nothing stands between them afterwards.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::Incoming;
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::server::conn::{http1, http2};
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};

use super::io::Watched;

/// What serves either.
pub(super) struct Builders<E> {
    pub http1: http1::Builder,
    pub http2: http2::Builder<E>,
}

struct Beginning<T, S, E> {
    stream: Watched<T>,
    service: S,
    builders: Builders<E>,
}

pin_project! {
    /// See the module.
    pub(super) struct Connection<T, S, E>
    where
        S: HttpService<Incoming>,
    {
        // Gone once it is known; boxed, since most connections are older than that.
        beginning: Option<Box<Beginning<T, S, E>>>,
        #[pin]
        served: Served<T, S, E>,
    }
}

pin_project! {
    #[project = Projected]
    enum Served<T, S, E>
    where
        S: HttpService<Incoming>,
    {
        NotYet,
        Http1 { #[pin] connection: http1::UpgradeableConnection<TokioIo<Watched<T>>, S> },
        Http2 { #[pin] connection: http2::Connection<TokioIo<Watched<T>>, S, E> },
    }
}

impl<T, S, E> Connection<T, S, E>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService<Incoming, Error: Into<axum::BoxError>, ResBody: Send + 'static>,
    S::ResBody: http_body::Body<Error: Into<axum::BoxError>>,
    E: Http2ServerConnExec<S::Future, S::ResBody>,
{
    pub fn new(stream: Watched<T>, service: S, builders: Builders<E>) -> Self {
        Self {
            beginning: Some(Box::new(Beginning {
                stream,
                service,
                builders,
            })),
            served: Served::NotYet,
        }
    }

    /// Has it end with what is under way; at once if nothing has come.
    pub fn close(self: Pin<&mut Self>) {
        let this = self.project();
        match this.served.project() {
            Projected::NotYet => *this.beginning = None,
            Projected::Http1 { connection } => connection.graceful_shutdown(),
            Projected::Http2 { connection } => connection.graceful_shutdown(),
        }
    }
}

impl<T, S, E> Future for Connection<T, S, E>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService<Incoming, Error: Into<axum::BoxError>, ResBody: Send + 'static>,
    S::ResBody: http_body::Body<Error: Into<axum::BoxError>>,
    E: Http2ServerConnExec<S::Future, S::ResBody>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            match this.served.as_mut().project() {
                // How it ended is no event of ours.
                Projected::Http1 { connection } => return connection.poll(context).map(drop),
                Projected::Http2 { connection } => return connection.poll(context).map(drop),
                Projected::NotYet => {}
            }
            let Some(beginning) = this.beginning else {
                return Poll::Ready(());
            };
            let known = ready!(beginning.stream.poll_beginning(context));
            let (Ok(is_http2), Some(beginning)) = (known, this.beginning.take()) else {
                return Poll::Ready(());
            };
            let Beginning {
                stream,
                service,
                builders,
            } = *beginning;
            let stream = TokioIo::new(stream);
            this.served.set(match is_http2 {
                true => Served::Http2 {
                    connection: builders.http2.serve_connection(stream, service),
                },
                false => Served::Http1 {
                    connection: builders
                        .http1
                        .serve_connection(stream, service)
                        .with_upgrades(),
                },
            });
        }
    }
}
