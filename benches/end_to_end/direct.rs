//! Load over whatever wrk can't drive: a unix socket, HTTP/2, and connections that are made
//! anew.
//!
//! It runs in this process, on one thread; what it costs is nobody's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// How a server is reached.
#[derive(Clone)]
pub enum Way {
    /// Its port.
    Tcp(String),
    /// Its socket.
    Unix(PathBuf),
    /// Its port, encrypted.
    Tls(String, Arc<ClientConfig>),
}

impl Way {
    /// To a server that says that it is there.
    pub fn to(address: &str) -> Self {
        match address.strip_prefix("unix:") {
            Some(path) => Self::Unix(path.into()),
            None => Self::Tcp(address.to_owned()),
        }
    }
}

/// Whether a caller keeps its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    Kept,
    /// One for each job.
    New,
}

/// How many jobs so many callers have had answered within the time.
pub fn drive(way: &Way, callers: usize, seconds: u32, connections: Connections) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let until = Instant::now() + Duration::from_secs(seconds.into());
        let mut all = JoinSet::new();
        for n in 0..callers {
            let way = way.clone();
            all.spawn(async move {
                match connections {
                    Connections::Kept => jobs(&way, n, until, usize::MAX).await,
                    Connections::New => {
                        let mut answered = 0;
                        while Instant::now() < until {
                            answered += jobs(&way, n, until, 1).await?;
                        }
                        Ok(answered)
                    }
                }
            });
        }
        let mut answered = 0;
        while let Some(one) = all.join_next().await {
            answered += one??;
        }
        Ok(answered as f64)
    })
}

/// The same of callers who share one connection of HTTP/2, each a stream at a time.
pub fn drive_http2(address: &str, callers: usize, seconds: u32) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let until = Instant::now() + Duration::from_secs(seconds.into());
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let uri: Uri = format!("http://{address}/jobs").parse()?;
        let mut all = JoinSet::new();
        for n in 0..callers {
            let (mut sender, uri) = (sender.clone(), uri.clone());
            all.spawn(async move {
                let mut answered = 0;
                while Instant::now() < until {
                    let request = Request::post(&uri)
                        .header(CONTENT_TYPE, "application/json")
                        .body(Full::new(Bytes::from(job(n, answered))))?;
                    sender.ready().await?;
                    let response = sender.send_request(request).await?;
                    ensure!(response.status() == 200, "{}", response.status());
                    response.into_body().collect().await?;
                    answered += 1;
                }
                Ok(answered)
            });
        }
        drop(sender);
        let mut answered = 0;
        while let Some(one) = all.join_next().await {
            answered += one??;
        }
        connection.await??;
        Ok(answered as f64)
    })
}

/// A job of 60 bytes, of an id of its own.
fn job(caller: usize, number: usize) -> String {
    format!(
        r#"{{"id":"{caller} {number}","body":"{}"}}"#,
        "x".repeat(60)
    )
}

/// Sends one job after the other over one connection; how many were answered.
async fn jobs(way: &Way, caller: usize, until: Instant, most: usize) -> Result<usize> {
    match way {
        Way::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            jobs_over(stream, caller, until, most).await
        }
        Way::Unix(path) => jobs_over(UnixStream::connect(path).await?, caller, until, most).await,
        Way::Tls(address, config) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("localhost")?;
            let tls = TlsConnector::from(Arc::clone(config));
            let stream = tls.connect(name, stream).await?;
            jobs_over(stream, caller, until, most).await
        }
    }
}

async fn jobs_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    caller: usize,
    until: Instant,
    most: usize,
) -> Result<usize> {
    let (mut answered, mut read) = (0, Vec::with_capacity(4_096));
    while answered < most && Instant::now() < until {
        let job = job(caller, answered);
        let request = format!(
            "POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{job}",
            job.len()
        );
        stream.write_all(request.as_bytes()).await?;
        answer(&mut stream, &mut read).await?;
        answered += 1;
    }
    // TLS says so; the others just close.
    let _ = stream.shutdown().await;
    Ok(answered)
}

/// Reads one answer, which must be a result.
async fn answer(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> Result<()> {
    let head = loop {
        if let Some(at) = memchr::memmem::find(read, b"\r\n\r\n") {
            break at + 4;
        }
        ensure!(stream.read_buf(read).await? > 0, "the connection has ended");
    };
    let text = std::str::from_utf8(&read[..head])?.to_ascii_lowercase();
    ensure!(text.starts_with("http/1.1 200 "), "{text}");
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let end = head + length.context("no length")?.parse::<usize>()?;
    while read.len() < end {
        ensure!(stream.read_buf(read).await? > 0, "the connection has ended");
    }
    read.drain(..end);
    Ok(())
}
