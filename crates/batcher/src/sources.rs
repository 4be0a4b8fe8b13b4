//! The callers that may submit, counted so that nobody is waited for who can't come.
//!
//! A source stands for one caller that usually submits one item and waits for
//! its answer, such as a connection. While every open source has an item in,
//! nobody is left to fill the batch, and an adaptive wait is over at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::sync::{AtomicBool, AtomicU64, AtomicUsize};

/// Counts of all sources of one batcher.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    opened: AtomicU64,
    open: AtomicUsize,
    busy: AtomicUsize,
}

impl Sources {
    /// How many sources are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether a source is open that may submit. Without any sources nothing is
    /// known, so anybody might.
    pub fn anybody_left(&self) -> bool {
        let open = self.open.load(Ordering::Relaxed);
        open == 0 || self.busy.load(Ordering::Relaxed) < open
    }
}

/// One open source, as it and its replies share it. It is closed by
/// [`close`](Self::close).
#[derive(Debug)]
pub(crate) struct Counted {
    sources: Arc<Sources>,
    /// Tells this source from others.
    number: u64,
    in_flight: AtomicUsize,
    multiplexed: AtomicBool,
}

impl Counted {
    pub fn open(sources: Arc<Sources>) -> Self {
        sources.open.fetch_add(1, Ordering::Relaxed);
        Self {
            number: sources.opened.fetch_add(1, Ordering::Relaxed),
            sources,
            in_flight: AtomicUsize::new(0),
            multiplexed: AtomicBool::new(false),
        }
    }

    /// One less to wait for.
    pub fn close(&self) {
        self.sources.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// It may have any number of items in at a time.
    pub fn set_multiplexed(&self) {
        self.multiplexed.store(true, Ordering::Relaxed);
    }

    /// It submits an item.
    pub fn submits(counted: &Arc<Self>) -> InFlight {
        let counts = !counted.multiplexed.load(Ordering::Relaxed);
        if counts && counted.in_flight.fetch_add(1, Ordering::Relaxed) == 0 {
            counted.sources.busy.fetch_add(1, Ordering::Relaxed);
        }
        InFlight(counts.then(|| Arc::clone(counted)))
    }
}

/// That a source has an item in; over when dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Option<Arc<Counted>>);

impl InFlight {
    /// The number of the source, unless it may have any number of items in.
    pub fn source(&self) -> Option<u64> {
        self.0.as_ref().map(|counted| counted.number)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(counted) = &self.0
            && counted.in_flight.fetch_sub(1, Ordering::Relaxed) == 1
        {
            counted.sources.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
