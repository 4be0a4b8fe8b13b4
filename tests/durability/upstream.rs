//! The upstream: it lives in the driver's process, survives whatever is killed, and writes
//! down each call before it answers.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::harness::within;
use crate::ledger::{Ledger, id};

/// What the upstream does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It answers within milliseconds.
    Fast,
    /// It answers within a tenth of a second.
    Slow,
    /// It does not answer.
    Never,
    /// It does the work and hangs up.
    HangUp,
    /// 500.
    Fail,
    /// 503.
    Refuse,
    /// It has no result for the first item.
    Forget,
}

impl Plan {
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Slow => "slow",
            Self::Never => "never answered",
            Self::HangUp => "hung up",
            Self::Fail => "500",
            Self::Refuse => "503",
            Self::Forget => "an item forgotten",
        }
    }

    fn drawn(rng: &mut StdRng) -> Self {
        match rng.random_range(0..100) {
            0..60 => Self::Fast,
            60..85 => Self::Slow,
            85..89 => Self::Never,
            89..92 => Self::HangUp,
            92..95 => Self::Fail,
            95..98 => Self::Refuse,
            _ => Self::Forget,
        }
    }
}

/// A running upstream. Dropping it ends it.
pub struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

struct Shared {
    ledger: Arc<Ledger>,
    rng: Mutex<StdRng>,
    /// Whether every call is answered at once from here on.
    behaves: AtomicBool,
    arrived: watch::Sender<u64>,
    answered: watch::Sender<u64>,
    accepted: watch::Sender<u64>,
    open: watch::Sender<u64>,
}

impl Upstream {
    pub async fn start(ledger: Arc<Ledger>, seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port");
        let addr = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            ledger,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            behaves: AtomicBool::new(false),
            arrived: watch::Sender::new(0),
            answered: watch::Sender::new(0),
            accepted: watch::Sender::new(0),
            open: watch::Sender::new(0),
        });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&shared)));
        Self {
            addr,
            shared,
            _server: server,
        }
    }

    /// What a proxy is given as its upstream.
    pub fn url(&self) -> String {
        format!("http://{}/batch", self.addr)
    }

    /// How many calls have come so far.
    pub fn arrived(&self) -> watch::Receiver<u64> {
        self.shared.arrived.subscribe()
    }

    /// How many calls have been answered so far.
    pub fn answered(&self) -> watch::Receiver<u64> {
        self.shared.answered.subscribe()
    }

    /// Answers from here on whatever comes, at once.
    pub fn behave(&self) {
        self.shared.behaves.store(true, Ordering::SeqCst);
    }

    /// Waits until it has read all that a proxy sent that has ended, and written it down.
    pub async fn has_read_all(&self) {
        within(
            "the end of the connections of a proxy that has ended",
            async {
                // Connections are accepted in their order: those of the proxy before this one.
                let mut accepted = self.shared.accepted.subscribe();
                accepted.borrow_and_update();
                let marker = TcpStream::connect(self.addr).await.expect("a connection");
                let _ = accepted.changed().await;
                drop(marker);
                let mut open = self.shared.open.subscribe();
                let _ = open.wait_for(|open| *open == 0).await;
            },
        )
        .await;
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        let _ = socket.set_nodelay(true);
        let open = Open::of(&shared);
        shared.accepted.send_modify(|it| *it += 1);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let _open = open;
            let service = service_fn(move |request| call(Arc::clone(&shared), request));
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One connection in the count of open ones.
struct Open(Arc<Shared>);

impl Open {
    fn of(shared: &Arc<Shared>) -> Self {
        shared.open.send_modify(|it| *it += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|it| *it -= 1);
    }
}

async fn call(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> io::Result<hyper::Response<Full<Bytes>>> {
    let body = read(request.into_body()).await;
    let (plan, pause) = {
        let mut rng = shared.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = match shared.behaves.load(Ordering::SeqCst) {
            true => Plan::Fast,
            false => Plan::drawn(&mut rng),
        };
        let longest = match plan {
            Plan::Fast => 3_000,
            _ => 100_000,
        };
        (plan, Duration::from_micros(rng.random_range(0..longest)))
    };
    let items = items(&body);
    let call = shared.ledger.reached(&items, plan);
    shared.arrived.send_modify(|it| *it += 1);
    if plan == Plan::Never {
        // Until the proxy closes the connection.
        std::future::pending::<Infallible>().await;
    }
    sleep(pause).await;
    shared.answered.send_modify(|it| *it += 1);
    let status = match plan {
        Plan::HangUp => return Err(io::Error::other("as planned")),
        Plan::Fail => 500,
        Plan::Refuse => 503,
        _ => 200,
    };
    let results = items.iter().skip(usize::from(plan == Plan::Forget));
    let results = results.map(|item| json!({ "id": id(*item), "call": call }).to_string());
    let results = format!("[{}]", results.collect::<Vec<_>>().join(","));
    let response = hyper::Response::builder().status(status);
    let response = response.header("content-type", "application/json");
    let body = if status == 200 {
        results
    } else {
        String::new()
    };
    response.body(body.into()).map_err(io::Error::other)
}

/// As much of a body as there is.
async fn read(mut body: Incoming) -> Bytes {
    let mut read = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data);
        }
    }
    read.freeze()
}

/// The items of a batch, also of one that is not whole: those whose ids can be read.
fn items(body: &[u8]) -> Vec<usize> {
    let text = String::from_utf8_lossy(body);
    let parts = text.split("\"id\":\"item-").skip(1);
    let numbers = parts.filter_map(|part| part.split_once('"')?.0.parse().ok());
    numbers.collect()
}
