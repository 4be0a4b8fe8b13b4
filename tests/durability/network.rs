//! The network between a proxy and its Redis, with weather: it cuts, delays, and loses what
//! is on its way. What is lost of a connection is followed by nothing, as in TCP.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    /// It delivers.
    Clear,
    /// There is none: connections break and are closed as soon as they are made.
    Cut,
    /// It delivers, so much later each time.
    Slow(Duration),
    /// What is asked arrives, and what is answered does not.
    NoReplies,
    /// Nothing arrives any more, and nothing breaks.
    Silent,
    /// With the next replies connections break, one in so many: the server has done what it
    /// was asked, and nobody is told.
    CutAtReplies(u32),
}

/// A port that leads to a Redis. Dropping it cuts.
pub struct Network {
    addr: SocketAddr,
    weather: watch::Sender<Weather>,
    target: watch::Sender<PathBuf>,
    _tasks: JoinSet<()>,
}

impl Network {
    /// To the server at this socket.
    pub async fn to(socket: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port");
        let addr = listener.local_addr().expect("a bound socket");
        let weather = watch::Sender::new(Weather::Clear);
        let target = watch::Sender::new(socket.to_owned());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, target.subscribe(), weather.subscribe()));
        Self {
            addr,
            weather,
            target,
            _tasks: tasks,
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// As `later.store`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// From here on.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// New connections lead to this server.
    pub fn lead_to(&self, socket: &Path) {
        self.target.send_replace(socket.to_owned());
    }
}

async fn serve(
    listener: TcpListener,
    target: watch::Receiver<PathBuf>,
    weather: watch::Receiver<Weather>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let _ = client.set_nodelay(true);
        let socket = target.borrow().clone();
        connections.spawn(connection(client, socket, weather.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(client: TcpStream, socket: PathBuf, mut weather: watch::Receiver<Weather>) {
    let Ok(server) = UnixStream::connect(socket).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let asked = pump(from_client, to_server, weather.clone(), false);
    let told = pump(from_server, to_client, weather.clone(), true);
    // Either end, or a cut, ends both.
    tokio::select! {
        () = asked => {}
        () = told => {}
        _ = weather.wait_for(|it| *it == Weather::Cut) => {}
    }
}

/// Delivers until an end.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    weather: watch::Receiver<Weather>,
    are_replies: bool,
) {
    let mut chunk = vec![0; 64 << 10];
    let (mut lost, mut replies) = (false, 0_u32);
    loop {
        let Ok(read @ 1..) = from.read(&mut chunk).await else {
            return;
        };
        let now = *weather.borrow();
        match now {
            Weather::Cut => return,
            Weather::Slow(by) => sleep(by).await,
            Weather::NoReplies => lost |= are_replies,
            Weather::Silent => lost = true,
            Weather::CutAtReplies(every) if are_replies => {
                replies += 1;
                if replies.is_multiple_of(every) {
                    return;
                }
            }
            Weather::CutAtReplies(_) | Weather::Clear => {}
        }
        if !lost && to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}
