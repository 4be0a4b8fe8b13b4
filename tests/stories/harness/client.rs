//! Callers: one request on a connection of its own, many on one, or h2c.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

use super::{Problem, within};

/// What a caller asks.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    /// Whom it takes the proxy for, where not for its address.
    host: Option<String>,
    body: Bytes,
}

impl Request {
    /// No headers, no body.
    pub fn new(method: &str, path: &str) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self {
            method,
            path,
            headers: Vec::new(),
            host: None,
            body: Bytes::new(),
        }
    }

    /// `POST /jobs` with this body and `Content-Type: application/json`.
    pub fn job(body: impl Into<Bytes>) -> Self {
        Self::untyped(body).header("content-type", "application/json")
    }

    /// `POST /jobs` with this body and no `Content-Type`.
    pub fn untyped(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..Self::new("POST", "/jobs")
        }
    }

    /// `POST /jobs` with this body, whose answer is fetched later.
    pub fn later(body: impl Into<Bytes>) -> Self {
        Self::job(body).header("prefer", "respond-async")
    }

    /// The same request by another method, to another path.
    pub fn to(self, method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            ..self
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same request to a proxy of that name.
    pub fn for_host(self, host: &str) -> Self {
        let host = Some(host.to_owned());
        Self { host, ..self }
    }

    /// The `id` in the body, which must be JSON.
    pub fn job_id(&self) -> Value {
        let job: Value = serde_json::from_slice(&self.body).expect("a job in JSON");
        job["id"].clone()
    }

    /// In absolute form for h2c, which wants an authority; `Host` otherwise.
    pub(super) fn build(self, host: &str, absolute: bool) -> hyper::Request<Full<Bytes>> {
        let host = self.host.unwrap_or_else(|| host.to_owned());
        let mut request = hyper::Request::builder().method(self.method.as_str());
        request = if absolute {
            request.uri(format!("http://{host}{}", self.path))
        } else {
            request.uri(self.path).header("host", host)
        };
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body)).expect("a request")
    }
}

/// What a caller got.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// A header's text, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("a header in ASCII"))
    }

    /// All headers but those that differ from one answer to the next, by name.
    pub fn lasting_headers(&self) -> BTreeMap<&str, Vec<&[u8]>> {
        let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, value) in &self.headers {
            if name != "date" {
                all.entry(name.as_str()).or_default().push(value.as_bytes());
            }
        }
        all
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("an answer in UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that this is a problem of that row of the contract's table.
    pub fn problem(&self, status: u16, code: &str, dispatched: &str) -> Problem {
        Problem::of(self, status, code, dispatched)
    }

    /// The same with `upstream.idempotent`.
    pub fn idempotent_problem(&self, status: u16, code: &str, dispatched: &str) -> Problem {
        Problem::of_idempotent(self, status, code, dispatched)
    }

    /// Asserts that this is a result: 200, JSON, and exactly these bytes.
    pub fn is_result(&self, element: &str) {
        assert_eq!((self.status, self.text()), (200, element), "{self:?}");
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
    }

    async fn read(response: hyper::Response<hyper::body::Incoming>) -> hyper::Result<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }
}

/// One request on a new connection.
pub async fn send(addr: SocketAddr, request: Request) -> Answer {
    KeepAlive::connect(addr).await.send(request).await
}

/// One job on a new connection.
pub async fn post(addr: SocketAddr, job: impl Into<Bytes>) -> Answer {
    send(addr, Request::job(job)).await
}

/// A request under way on a connection of its own. Dropping it leaves.
pub struct Caller {
    task: JoinHandle<Answer>,
    /// The answer, where [`Caller::answered`] has come upon it.
    known: Option<Answer>,
}

impl Caller {
    pub fn spawn(addr: SocketAddr, request: Request) -> Self {
        let task = tokio::spawn(send(addr, request));
        Self { task, known: None }
    }

    /// Waits for the answer.
    pub async fn answer(mut self) -> Answer {
        match self.known.take() {
            Some(answer) => answer,
            None => (&mut self.task).await.expect("an answer"),
        }
    }

    /// Resolves when the answer is there, and leaves it to [`Caller::answer`].
    pub async fn answered(&mut self) -> Answer {
        let answer = (&mut self.task).await.expect("an answer");
        self.known = Some(answer.clone());
        answer
    }

    /// Resolves when the proxy refuses the job rather than queue it, and else
    /// never.
    pub async fn refused(&mut self) -> Answer {
        let answer = self.answered().await;
        if answer.header("content-type") == "application/problem+json" {
            let problem = answer.json();
            let sent = problem.get("batch_id").is_some();
            if problem["dispatched"] == "no" && problem["code"] != "queue-timeout" && !sent {
                return answer;
            }
        }
        std::future::pending().await
    }

    /// Hangs up: the connection closes.
    pub fn leave(self) {
        drop(self);
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An HTTP/1.1 connection for one request after the other. Dropping it closes.
pub struct KeepAlive {
    host: String,
    sender: http1::SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl KeepAlive {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::over(addr.to_string(), connect(addr).await).await
    }

    /// Over a connection that says nothing of a host.
    #[allow(dead_code, reason = "for `tests/stories`")]
    pub async fn on(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::over("localhost".to_owned(), stream).await
    }

    /// The same where nobody may listen.
    #[allow(dead_code, reason = "for `tests/durability`")]
    pub async fn try_connect(addr: SocketAddr) -> std::io::Result<Self> {
        let socket = within("a connection", TcpStream::connect(addr)).await?;
        socket.set_nodelay(true)?;
        Ok(Self::over(addr.to_string(), socket).await)
    }

    async fn over(
        host: String,
        socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        let handshake = http1::handshake(TokioIo::new(socket)).await;
        let (sender, connection) = handshake.expect("nothing is sent yet");
        let mut driver = JoinSet::new();
        driver.spawn(async { drop(connection.await) });
        Self {
            host,
            sender,
            _driver: driver,
        }
    }

    pub async fn send(&mut self, request: Request) -> Answer {
        let answer = self.try_send(request).await;
        answer.expect("an answer")
    }

    /// The same where the connection may break.
    pub async fn try_send(&mut self, request: Request) -> hyper::Result<Answer> {
        within("an answer", async {
            self.sender.ready().await?;
            let request = request.build(&self.host, false);
            Answer::read(self.sender.send_request(request).await?).await
        })
        .await
    }

    pub async fn post(&mut self, job: impl Into<Bytes>) -> Answer {
        self.send(Request::job(job)).await
    }
}

/// An HTTP/2 connection with prior knowledge, for many requests at once.
/// A request whose future is dropped is reset; the last clone closes.
#[derive(Clone)]
pub struct H2c {
    host: String,
    sender: http2::SendRequest<Full<Bytes>>,
}

impl H2c {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::over(addr.to_string(), connect(addr).await).await
    }

    /// Over a connection that says nothing of a host.
    #[allow(dead_code, reason = "for `tests/stories`")]
    pub async fn on(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::over("localhost".to_owned(), stream).await
    }

    async fn over(
        host: String,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        let io = TokioIo::new(stream);
        let handshake = http2::handshake(TokioExecutor::new(), io).await;
        let (sender, connection) = handshake.expect("an HTTP/2 connection");
        tokio::spawn(connection);
        Self { host, sender }
    }

    pub async fn send(mut self, request: Request) -> Answer {
        within("an answer", async {
            let request = request.build(&self.host, true);
            let response = self.sender.send_request(request).await.expect("a response");
            Answer::read(response).await.expect("an answer")
        })
        .await
    }
}

pub(super) async fn connect(addr: SocketAddr) -> TcpStream {
    let socket = within("a connection", TcpStream::connect(addr)).await;
    let socket = socket.unwrap_or_else(|error| panic!("cannot connect to {addr}: {error}"));
    socket.set_nodelay(true).expect("TCP_NODELAY");
    socket
}
