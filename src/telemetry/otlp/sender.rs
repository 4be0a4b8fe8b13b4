//! The thread that sends what waits, one batch at a time.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::warn;

use super::super::collector::Collector;
use super::queue::Queue;
use super::semantics::span_data;
use crate::observe::spans::Tracer as _;
use crate::throttle::LogThrottle;

/// See the module.
pub(super) struct Sender {
    exporter: opentelemetry_otlp::SpanExporter,
    queue: Arc<Queue>,
    delay: Duration,
    timeout: Duration,
    collector: String,
    lines: LogThrottle,
    /// How many dropped spans the log was told of.
    told: u64,
}

impl Sender {
    pub fn new(
        exporter: opentelemetry_otlp::SpanExporter,
        queue: Arc<Queue>,
        collector: &Collector,
    ) -> Self {
        Self {
            exporter,
            queue,
            delay: collector.delay,
            timeout: collector.timeout,
            // Its path may be a secret.
            collector: collector.endpoint.origin().ascii_serialization(),
            lines: LogThrottle::new(1),
            told: 0,
        }
    }

    /// Sends until nobody can ask for a flush any more.
    pub async fn run(mut self, mut flushes: mpsc::Receiver<oneshot::Sender<()>>) {
        loop {
            let asked = tokio::select! {
                () = self.queue.ready(self.delay) => None,
                asked = flushes.recv() => match asked {
                    Some(asked) => Some(asked),
                    None => return,
                },
            };
            match asked {
                None => {
                    self.send().await;
                }
                Some(done) => {
                    while self.send().await {}
                    let _ = done.send(());
                }
            }
        }
    }

    /// Sends a batch. False if there was none.
    async fn send(&mut self) -> bool {
        let spans: Vec<_> = self.queue.take().into_iter().map(span_data).collect();
        let count = spans.len();
        if count == 0 {
            return false;
        }
        let error = match timeout(self.timeout, self.exporter.export(spans)).await {
            Ok(Ok(())) => None,
            Ok(Err(OTelSdkError::InternalFailure(why))) => Some(why),
            Ok(Err(other)) => Some(other.to_string()),
            Err(_) => Some(format!("no answer within {:?}", self.timeout)),
        };
        if error.is_some() {
            self.queue.lost(count);
        }
        self.tell_of_dropped(error.as_deref());
        true
    }

    /// Says now and then that spans are dropped, with why the last batch was.
    fn tell_of_dropped(&mut self, error: Option<&str>) {
        let dropped = self.queue.dropped();
        if dropped == self.told || self.lines.admit().is_none() {
            return;
        }
        let spans_dropped = dropped - self.told;
        self.told = dropped;
        let collector = self.collector.as_str();
        let cause = error.unwrap_or("it takes them too slowly");
        warn!(
            collector,
            spans_dropped, cause, "spans are dropped: the collector does not take them"
        );
    }
}
