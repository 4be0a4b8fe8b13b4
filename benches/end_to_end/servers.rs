//! What the proxy is measured against and with: the floor and a fast upstream.
//!
//! Both are this same executable, started as processes of their own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use microbatch::job::Job;
use microbatch::json::MAX_DEPTH;
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The largest body, far above any batch of the benchmark.
const MAX_BODY: usize = 256 << 20;

/// The least that any server written with axum does: reads the request, parses the
/// job's id as the proxy does, and answers with the body as it came. It listens on a socket,
/// where the command line names one.
pub fn floor() -> anyhow::Result<Infallible> {
    serve_where_told(Router::new().route("/jobs", post(echo_job)))
}

/// The same behind TLS, each connection in a task of its own: the certificate and the key
/// stand on the command line.
pub fn encrypted_floor() -> anyhow::Result<Infallible> {
    let mut files = std::env::args().skip(2);
    let (cert, key) = (files.next(), files.next());
    let (cert, key) = cert.zip(key).context("no certificate and key")?;
    let certs = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certs, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = TlsAcceptor::from(Arc::new(config));
    let router = Router::new().route("/jobs", post(echo_job));
    let service = TowerToHyperService::new(router.layer(DefaultBodyLimit::max(MAX_BODY)));
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (tls, service) = (tls.clone(), service.clone());
            tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    let builder = Builder::new(TokioExecutor::new());
                    let io = TokioIo::new(stream);
                    drop(builder.serve_connection_with_upgrades(io, service).await);
                }
            });
        }
    })
}

/// An upstream without delay: the jobs it is sent are their own results. It listens on a
/// socket, where the command line names one.
pub fn upstream() -> anyhow::Result<Infallible> {
    serve_where_told(Router::new().route("/batch", post(echo)))
}

fn serve_where_told(router: Router) -> anyhow::Result<Infallible> {
    let address = std::env::args().nth(2);
    match address.as_ref().and_then(|it| it.strip_prefix("unix:")) {
        Some(path) => serve_on_socket(router, path),
        None => serve(router),
    }
}

async fn echo_job(body: Bytes) -> Response {
    match Job::parse(body, MAX_DEPTH) {
        Ok(job) => json(job.raw().clone()),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    }
}

async fn echo(body: Bytes) -> Response {
    json(body)
}

pub fn json(body: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Serves with what `axum::serve` and `tokio::main` give everybody, and says where.
pub fn serve(router: Router) -> anyhow::Result<Infallible> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        println!("{}", listener.local_addr()?);
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router.layer(DefaultBodyLimit::max(MAX_BODY))).await?;
        anyhow::bail!("the server has ended")
    })
}

/// The same on a socket.
fn serve_on_socket(router: Router, path: &str) -> anyhow::Result<Infallible> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = UnixListener::bind(path)?;
        println!("unix:{path}");
        axum::serve(listener, router.layer(DefaultBodyLimit::max(MAX_BODY))).await?;
        anyhow::bail!("the server has ended")
    })
}
