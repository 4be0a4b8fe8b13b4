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

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
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
    let (told, made) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("spans".to_owned());
    // All of it is made there: a runtime can't end within another.
    thread.spawn(move || {
        let made = make(&collector);
        let (sender, runtime) = match made {
            Ok((queue, sender, runtime)) => {
                let _waits = told.send(Ok(queue));
                (sender, runtime)
            }
            Err(error) => {
                let _waits = told.send(Err(error));
                return;
            }
        };
        runtime.block_on(sender.run(flushes));
    })?;
    match made.recv() {
        Ok(made) => Ok(made?),
        Err(_) => Err(io::Error::other("its thread has ended").into()),
    }
}

/// What sends, what it takes spans from, and what it runs on.
fn make(collector: &Collector) -> Result<(Arc<Queue>, Sender, Runtime), StartError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let exporter = {
        // What speaks gRPC wants to know its runtime when it is made.
        let _entered = runtime.enter();
        exporter::exporter(collector)?
    };
    let queue = Arc::new(Queue::new(collector));
    let sender = Sender::new(exporter, Arc::clone(&queue), collector);
    Ok((queue, sender, runtime))
}
