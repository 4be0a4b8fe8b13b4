//! Counts the calls that a service gets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Stands before a service and hands on whatever comes, as it is. Each call has a connection of its
/// own to the service, so that none can meet one that the service is about to close.
pub struct Relay {
    addr: SocketAddr,
    calls: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Relay {
    pub async fn before(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("a bound socket");
        let calls = Arc::<AtomicUsize>::default();
        let serving = tokio::spawn(serve(listener, service, calls.clone()));
        Self {
            addr,
            calls,
            serving,
        }
    }

    /// Without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, service: SocketAddr, calls: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let calls = calls.clone();
        connections.spawn(async move {
            let each = service_fn(move |request| {
                calls.fetch_add(1, SeqCst);
                pass(service, request)
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), each)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(service: SocketAddr, call: Request<Incoming>) -> std::io::Result<Response<Incoming>> {
    let socket = TcpStream::connect(service).await?;
    let connected = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await;
    let (mut sender, connection) = connected.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let answer = sender.send_request(call).await;
    answer.map_err(std::io::Error::other)
}
