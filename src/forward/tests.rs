//! Passing on, over real sockets: a caller of raw bytes, this crate's server, a forwarder,
//! and an upstream of raw bytes.

mod failures;
mod heads;
mod streams;
mod upgrades;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{Destination, Forwarder, Settings};
use crate::server::connections::Connections;
use crate::server::{Limits, RequestBody, serve};
use crate::upstream::Tls;

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

/// An end of a connection, as bytes.
struct Peer {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Peer {
    fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        let read = Vec::new();
        Self { socket, read }
    }

    async fn connect(to: SocketAddr) -> Self {
        Self::new(TcpStream::connect(to).await.unwrap())
    }

    async fn write(&mut self, text: impl AsRef<[u8]>) {
        self.socket.write_all(text.as_ref()).await.unwrap();
    }

    /// What comes up to this text, and the text.
    async fn until(&mut self, wanted: &str) -> String {
        let found = timeout(LONG, async {
            loop {
                let at = self
                    .read
                    .windows(wanted.len())
                    .position(|it| it == wanted.as_bytes());
                if let Some(at) = at {
                    let rest = self.read.split_off(at + wanted.len());
                    return std::mem::replace(&mut self.read, rest);
                }
                let read = self.socket.read_buf(&mut self.read).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&self.read).into_owned();
                assert!(read > 0, "no {wanted:?} in {text:?}");
            }
        });
        let Ok(found) = found.await else {
            let text = String::from_utf8_lossy(&self.read);
            panic!("no {wanted:?} yet in {text:?}");
        };
        String::from_utf8(found).unwrap()
    }

    async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// What comes up to the end, in order or not.
    async fn end(mut self) -> String {
        let end = timeout(LONG, async {
            while self.socket.read_buf(&mut self.read).await.unwrap_or(0) > 0 {}
        });
        end.await.expect("it ends");
        String::from_utf8(self.read).unwrap()
    }
}

/// An upstream, and what passes requests on to it.
struct Scene {
    upstream: TcpListener,
    forwarder: Forwarder,
    proxy: SocketAddr,
}

impl Scene {
    async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = upstream.local_addr().unwrap();
        let mut settings = Settings {
            to: Destination::Below(format!("http://{address}").parse().unwrap()),
            headers: HeaderMap::new(),
            timeout: LONG,
            connect_timeout: LONG,
            idle_timeout: LONG,
            read_timeout: LONG,
            max_alone: 4,
            request_timeout: LONG,
        };
        change(&mut settings);
        let forwarder = Forwarder::new(settings, Tls::system()).unwrap();
        let proxy = listen(forwarder.clone()).await;
        Self {
            upstream,
            forwarder,
            proxy,
        }
    }

    async fn usual() -> Self {
        Self::new(|_| ()).await
    }

    async fn caller(&self) -> Peer {
        Peer::connect(self.proxy).await
    }

    /// The next connection to the upstream.
    async fn accept(&self) -> Peer {
        let accepted = timeout(LONG, self.upstream.accept()).await;
        Peer::new(accepted.expect("a connection").unwrap().0)
    }
}

async fn listen(forwarder: Forwarder) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits {
        read_timeout: LONG,
        idle_timeout: LONG,
        write_timeout: LONG,
        max_body: 1_000,
        max_streams: 10,
    };
    tokio::spawn(async move {
        let connections = Connections::new(100);
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            let permit = Arc::clone(&connections).place().await;
            let forwarder = forwarder.clone();
            let answer = move |request| answer(forwarder.clone(), request);
            tokio::spawn(serve(socket, answer, limits, permit));
        }
    });
    address
}

/// What a caller gets; an error by its name.
async fn answer(forwarder: Forwarder, request: Request<RequestBody>) -> Response<Body> {
    let (head, body) = request.into_parts();
    match forwarder.forward(head, body, &[], || ()).await {
        Ok(answer) => answer.map(Body::new),
        Err(error) => {
            let mut answer = Response::new(Body::from(format!("{error:?}")));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        }
    }
}
