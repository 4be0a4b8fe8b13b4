//! What the proxy is measured against and with: the floor and a fast upstream.
//!
//! Both are this same executable, started as processes of their own.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use microbatch::job::Job;
use microbatch::json::MAX_DEPTH;
use tokio::net::TcpListener;

/// The largest body, far above any batch of the benchmark.
const MAX_BODY: usize = 256 << 20;

/// The least that any server written with axum does: reads the request, parses the
/// job's id as the proxy does, and answers with the body as it came.
pub fn floor() -> anyhow::Result<Infallible> {
    serve(Router::new().route("/jobs", post(echo_job)))
}

/// An upstream without delay: the jobs it is sent are their own results.
pub fn upstream() -> anyhow::Result<Infallible> {
    serve(Router::new().route("/batch", post(echo)))
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
