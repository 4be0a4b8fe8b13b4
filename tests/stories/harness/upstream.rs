//! An upstream whose every answer the story decides.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use serde_json::value::RawValue;
use socket2::{SockRef, Socket};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::{Reserved, within};

type Response = hyper::Response<Full<Bytes>>;

/// A server that hands each batch to the story. It speaks HTTP/1.1, or over TLS what is chosen.
pub struct ScriptedUpstream {
    port: Reserved,
    calls: mpsc::UnboundedReceiver<Call>,
    shared: Shared,
    tls: Option<TlsAcceptor>,
    /// Ends when its other end is dropped.
    server: Option<(oneshot::Sender<Infallible>, JoinHandle<()>)>,
}

/// What the connections share: where calls go, and how many are open.
#[derive(Clone)]
struct Shared {
    calls: mpsc::UnboundedSender<Call>,
    open: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl ScriptedUpstream {
    pub async fn start() -> Self {
        Self::speaking(None)
    }

    /// The same over TLS.
    pub fn over_tls(config: ServerConfig) -> Self {
        Self::speaking(Some(config))
    }

    fn speaking(tls: Option<ServerConfig>) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let shared = Shared {
            calls: sender,
            open: Arc::default(),
            peak: Arc::default(),
        };
        let mut upstream = Self {
            port: Reserved::new(),
            calls,
            shared,
            tls: tls.map(|config| TlsAcceptor::from(Arc::new(config))),
            server: None,
        };
        upstream.restart();
        upstream
    }

    /// What the proxy is given as its upstream.
    pub fn url(&self) -> String {
        match self.tls {
            None => self.port.url(),
            Some(_) => self.port.url().replace("http:", "https:"),
        }
    }

    /// What connections get over TLS from here on.
    pub fn retrust(&mut self, config: ServerConfig) {
        self.tls = Some(TlsAcceptor::from(Arc::new(config)));
    }

    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The next batch that arrives.
    pub async fn next(&mut self) -> Call {
        within("a batch at the upstream", self.next_ever()).await
    }

    /// The same without a guard, for a task that answers whatever comes.
    pub async fn next_ever(&mut self) -> Call {
        let call = self.calls.recv().await;
        call.expect("a sender is kept")
    }

    /// A batch that has already arrived, if any.
    pub fn arrived(&mut self) -> Option<Call> {
        self.calls.try_recv().ok()
    }

    /// The most calls that were ever open at once.
    pub fn peak(&self) -> usize {
        self.shared.peak.load(SeqCst)
    }

    /// Breaks every connection and refuses new ones, from when it returns.
    pub async fn kill(&mut self) {
        if let Some((end, server)) = self.server.take() {
            drop(end);
            let _ = server.await;
        }
    }

    /// Listens again, on the same port.
    pub fn restart(&mut self) {
        assert!(self.server.is_none(), "the upstream is up");
        let (end, ended) = oneshot::channel();
        let (listener, shared) = (self.port.listen(), self.shared.clone());
        let server = serve(listener, shared, self.tls.clone(), ended);
        self.server = Some((end, tokio::spawn(server)));
    }
}

/// Ends a socket when dropped, and not only our hold of it: a story that starts a
/// process meanwhile has forked it with all that is open, and until that process
/// is the proxy, what we merely close still listens and is still connected.
struct Cut(Socket);

impl Cut {
    fn of(socket: &impl AsFd) -> Self {
        let twin = SockRef::from(socket).try_clone();
        Self(twin.expect("a second hold of the socket"))
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // An error says that there is nothing left to end.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Serves until told to end; by then every connection has ended too.
async fn serve(
    listener: TcpListener,
    shared: Shared,
    tls: Option<TlsAcceptor>,
    mut ended: oneshot::Receiver<Infallible>,
) {
    let cut = Cut::of(&listener);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut ended => break,
        };
        let Ok((socket, _)) = accepted else {
            continue;
        };
        let _ = socket.set_nodelay(true);
        let shared = shared.clone();
        let cut = Cut::of(&socket);
        let tls = tls.clone();
        connections.spawn(async move {
            let _cut = cut;
            let service = |certificate: Option<Vec<u8>>| {
                service_fn(move |request| take_call(shared.clone(), certificate.clone(), request))
            };
            let http = auto::Builder::new(TokioExecutor::new());
            let Some(tls) = tls else {
                let (io, service) = (TokioIo::new(socket), service(None));
                let _ = http.http1_only().serve_connection(io, service).await;
                return;
            };
            let Ok(stream) = tls.accept(socket).await else {
                return;
            };
            let certificates = stream.get_ref().1.peer_certificates();
            let shown = certificates.map(|it| it[0].to_vec());
            let (io, service) = (TokioIo::new(stream), service(shown));
            let _ = http.serve_connection(io, service).await;
        });
        while connections.try_join_next().is_some() {}
    }
    drop(cut);
    connections.shutdown().await;
}

async fn take_call(
    shared: Shared,
    certificate: Option<Vec<u8>>,
    request: hyper::Request<Incoming>,
) -> io::Result<Response> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let (reply, answer) = oneshot::channel();
    let (attending, gone) = oneshot::channel::<Infallible>();
    let open = Open(shared.open.clone());
    shared
        .peak
        .fetch_max(open.0.fetch_add(1, SeqCst) + 1, SeqCst);
    let call = Call {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers,
        is_http2: head.version == hyper::Version::HTTP_2,
        certificate,
        body,
        reply,
        gone,
        _open: open,
    };
    let _ = shared.calls.send(call);
    // Dropped with this future when the caller closes the connection.
    let _attending = attending;
    answer
        .await
        .map_err(|_| io::Error::other("the story hung up"))
}

/// One call in the count of open ones.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// One batch at the upstream. While the story holds it, the upstream is
/// thinking; dropped without an answer, the connection breaks.
pub struct Call {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub is_http2: bool,
    /// The one that the proxy has shown, in DER.
    pub certificate: Option<Vec<u8>>,
    /// The request's body, byte for byte.
    pub body: Bytes,
    reply: oneshot::Sender<Response>,
    gone: oneshot::Receiver<Infallible>,
    _open: Open,
}

impl Call {
    /// The members of the array, byte for byte.
    pub fn jobs(&self) -> Vec<String> {
        let jobs: Vec<Box<RawValue>> = serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("a batch is an array: {error}: {:?}", self.body));
        jobs.iter().map(|job| job.get().to_owned()).collect()
    }

    /// The members' ids, in the batch's order.
    pub fn ids(&self) -> Vec<Value> {
        let parsed = |job: String| serde_json::from_str(&member(&job, "id").expect("an id"));
        self.jobs()
            .into_iter()
            .map(|job| parsed(job).expect("an id"))
            .collect()
    }

    /// A header's text, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("a header in ASCII"))
    }

    /// `{"id":…, "result":…}` for each member, the result being its `body`
    /// byte for byte, `null` when it has none.
    pub fn echoes(&self) -> Vec<String> {
        let echo = |job: String| {
            let id = member(&job, "id").expect("an id");
            let result = member(&job, "body").unwrap_or_else(|| "null".to_owned());
            format!(r#"{{"id":{id},"result":{result}}}"#)
        };
        self.jobs().into_iter().map(echo).collect()
    }

    /// Answers 200 with [`Call::echoes`].
    pub fn echo(self) {
        let body = format!("[{}]", self.echoes().join(","));
        self.ok(body);
    }

    /// Answers 200 and this body, as JSON.
    pub fn ok(self, body: impl Into<Bytes>) {
        self.answer(200, &[("content-type", "application/json")], body);
    }

    /// Answers with anything HTTP can say.
    pub fn answer(self, status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) {
        let mut response = hyper::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(Full::new(body.into())).expect("a response");
        drop(self._open);
        // Nobody may be left to hear it: callers leave and upstreams are killed.
        let _ = self.reply.send(response);
    }

    /// Breaks the connection without an answer.
    pub fn hang_up(self) {
        drop(self);
    }

    /// Waits until the proxy has given this call up.
    pub async fn caller_gone(&mut self) {
        let _ = within("the proxy to abort the call", &mut self.gone).await;
    }
}

/// A member of a JSON object, byte for byte; the last one of that name.
fn member(object: &str, name: &str) -> Option<String> {
    let members: HashMap<String, Box<RawValue>> = serde_json::from_str(object).ok()?;
    members.get(name).map(|raw| raw.get().to_owned())
}
