//! Ports that are nobody's, and ports that never pick up.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A port of ours on which nobody listens until we say so: connecting to it is
/// refused, and no other process can be given it meanwhile, because a bound
/// socket that does not listen holds it.
pub struct Reserved {
    holder: TcpSocket,
}

impl Reserved {
    pub fn new() -> Self {
        Self {
            holder: bind((Ipv4Addr::LOCALHOST, 0).into()),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.holder.local_addr().expect("a bound socket")
    }

    /// What the proxy is given as its upstream.
    pub fn url(&self) -> String {
        format!("http://{}/batch", self.addr())
    }

    /// A listener on this port; at most one at a time.
    pub fn listen(&self) -> TcpListener {
        bind(self.addr()).listen(1024).expect("a listener")
    }
}

fn bind(addr: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("SO_REUSEADDR");
    socket.set_reuseport(true).expect("SO_REUSEPORT");
    socket.bind(addr).expect("a free port");
    socket
}

/// A listener whose backlog is full: the kernel answers nobody who connects,
/// as a host behind a silent firewall would.
pub struct Deaf {
    listener: TcpListener,
    _fill: TcpStream,
}

impl Deaf {
    pub async fn new() -> Self {
        let socket = bind((Ipv4Addr::LOCALHOST, 0).into());
        // A backlog of 0 holds exactly one connection.
        let listener = socket.listen(0).expect("a listener");
        let addr = listener.local_addr().expect("a bound socket");
        let fill = TcpStream::connect(addr)
            .await
            .expect("the backlog takes one");
        Self {
            listener,
            _fill: fill,
        }
    }

    pub fn url(&self) -> String {
        format!(
            "http://{}/batch",
            self.listener.local_addr().expect("a bound socket")
        )
    }
}
