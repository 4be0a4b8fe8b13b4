//! What the fronts promise: each caller gets its own item's result, or is told why
//! there is none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod in_order;
mod keyed;
mod loader;
mod loader_keys;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use microbatch_batcher::Settings;

const MS: Duration = Duration::from_millis(1);

/// What a function was called with.
type Calls = Arc<Mutex<Vec<Vec<u64>>>>;

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Batches of this many, one at a time.
fn settings(max_size: usize) -> Settings {
    Settings {
        max_size,
        max_in_flight: 1,
        ..Settings::default()
    }
}
