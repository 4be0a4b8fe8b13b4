//! Spans on their way to a collector: started by `app`, told by whoever has the tracer,
//! flushed at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::collector::{Collector, StartError};
use crate::observe::spans::{Spans, Tracer};

/// The longest that the end of the process waits for the collector.
const FLUSH: Duration = Duration::from_secs(1);

/// A thread that sends spans, as long as this is there.
#[derive(Debug)]
pub struct Exporting {
    tracer: Arc<dyn Tracer>,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
}

impl Exporting {
    /// Sends spans from here on, in a thread of its own.
    ///
    /// # Errors
    /// [`StartError`]: whether the collector is there is not asked.
    pub fn start(collector: Collector) -> Result<Self, StartError> {
        let (flushes, asked) = mpsc::channel(1);
        let tracer = start(collector, asked)?;
        Ok(Self { tracer, flushes })
    }

    /// Who is told of spans.
    pub fn spans(&self) -> Spans {
        Arc::clone(&self.tracer).into()
    }

    /// Waits until what was told is sent: a second at most, since the collector may be away.
    pub async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        let flushed = async {
            if self.flushes.send(done).await.is_ok() {
                let _ = is_done.await;
            }
        };
        let _ = timeout(FLUSH, flushed).await;
    }
}

#[cfg(feature = "otlp")]
use super::otlp::start;

#[cfg(not(feature = "otlp"))]
fn start(
    collector: Collector,
    _: mpsc::Receiver<oneshot::Sender<()>>,
) -> Result<Arc<dyn Tracer>, StartError> {
    Err(StartError::NotBuilt(collector.endpoint))
}
