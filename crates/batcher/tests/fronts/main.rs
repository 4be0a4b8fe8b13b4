//! What the fronts promise: each caller gets its own item's result, or is told why
//! there is none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod in_order;
mod keyed;
mod loader;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use microbatch_batcher::Settings;

const MS: Duration = Duration::from_millis(1);

/// What a function was called with.
type Calls = Arc<Mutex<Vec<Vec<u64>>>>;

/// Batches of this many, one at a time.
fn settings(max_size: usize) -> Settings {
    Settings {
        max_size,
        max_in_flight: 1,
        ..Settings::default()
    }
}
