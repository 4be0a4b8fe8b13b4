//! Where spans go, and how: as the settings and the environment have it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use url::Url;

use super::sampler::Sampler;

/// How a collector of spans is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over HTTP, with protobuf.
    HttpProtobuf,
    /// OTLP over gRPC.
    Grpc,
}

/// A collector, and what it is sent. What headers go with that
/// (`OTEL_EXPORTER_OTLP_HEADERS`) the exporter reads by itself: they are secrets.
#[derive(Clone)]
pub struct Collector {
    /// Where spans are posted; of gRPC the host and the port matter.
    pub endpoint: Url,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// The longest that one export may take, with its retries.
    pub timeout: Duration,
    /// What its certificate is checked with, instead of the system's roots.
    pub ca: Option<PathBuf>,
    /// Which jobs get a span.
    pub sampler: Sampler,
    /// The most spans that wait.
    pub queue: usize,
    /// The most spans that are sent at once.
    pub batch: usize,
    /// The longest that a span waits for others.
    pub delay: Duration,
    /// What the process is called.
    pub service: String,
    /// What else is said of it.
    pub resource: Vec<(String, String)>,
}

/// Why spans can't be sent.
#[derive(Debug, Error)]
pub enum StartError {
    /// This build can't.
    #[error(
        "spans go to {0}, and this build sends none: its feature `otlp` was left out; leave \
         telemetry.otlp.endpoint and OTEL_EXPORTER_OTLP_ENDPOINT out, or set OTEL_SDK_DISABLED=true"
    )]
    NotBuilt(Url),
    /// The certificates that the collector's is checked with can't be had.
    #[error("OTEL_EXPORTER_OTLP_CERTIFICATE: {}: {why}; name a file of PEM certificates", path.display())]
    Certificates {
        /// Their file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What sends them can't be set up.
    #[error("telemetry.otlp.endpoint: spans can't be sent: {0}")]
    Exporter(String),
    /// The system gives no thread to send them.
    #[error("telemetry.otlp.endpoint: the system gives no thread to send spans: {0}")]
    Thread(#[from] io::Error),
}
