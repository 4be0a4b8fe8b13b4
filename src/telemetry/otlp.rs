//! Spans by OTLP, by the crates of OpenTelemetry.
//!
//! ```text
//! http, engine ──tell──▶ queue (bounded; full: dropped) ──▶ sender, a thread ──▶ collector
//!                                                            semantics, exporter
//! ```
//!
//! Whoever tells puts a value aside and goes on. A thread of its own, with a runtime of its
//! own, makes OpenTelemetry's spans of them and sends those: a collector that hangs, refuses
//! or fails costs spans, and nothing else.

mod exporter;
mod queue;
mod semantics;
mod sender;

use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

use super::collector::{Collector, StartError};
use crate::observe::spans::Tracer;
use queue::Queue;
use sender::Sender;

/// Sends spans from here on, in a thread that lives as long as `flushes`.
///
/// # Errors
/// [`StartError`]
pub(super) fn start(
    collector: Collector,
    flushes: mpsc::Receiver<oneshot::Sender<()>>,
) -> Result<Arc<dyn Tracer>, StartError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let exporter = {
        // What speaks gRPC wants to know its runtime when it is made.
        let _entered = runtime.enter();
        exporter::exporter(&collector)?
    };
    let queue = Arc::new(Queue::new(&collector));
    let sender = Sender::new(exporter, Arc::clone(&queue), &collector);
    let thread = std::thread::Builder::new().name("spans".to_owned());
    thread.spawn(move || runtime.block_on(sender.run(flushes)))?;
    Ok(queue)
}
