//! Spans that wait to be sent: at most so many, and no one waits for room.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::super::collector::Collector;
use super::super::sampler::Sampler;
use crate::observe::spans::{Span, Tracer};
use crate::trace_context::TraceContext;

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    sampler: Sampler,
    waiting: Mutex<VecDeque<Span>>,
    most: usize,
    /// How many are sent at once.
    batch: usize,
    /// There is a first one, or enough for a batch.
    filled: Notify,
    dropped: AtomicU64,
}

impl Queue {
    pub fn new(collector: &Collector) -> Self {
        Self {
            sampler: collector.sampler,
            waiting: Mutex::default(),
            most: collector.queue,
            batch: collector.batch.min(collector.queue),
            filled: Notify::new(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Waits until there are some to send: enough for a batch, or one that has waited for
    /// others as long as `delay`.
    pub async fn ready(&self, delay: Duration) {
        self.at_least(1).await;
        let _ = timeout(delay, self.at_least(self.batch)).await;
    }

    async fn at_least(&self, spans: usize) {
        while self.lock().len() < spans {
            self.filled.notified().await;
        }
    }

    /// The oldest, as many as are sent at once.
    pub fn take(&self) -> Vec<Span> {
        let mut waiting = self.lock();
        let taken = self.batch.min(waiting.len());
        waiting.drain(..taken).collect()
    }

    /// So many were lost that had left the queue.
    pub fn lost(&self, spans: usize) {
        self.dropped.fetch_add(spans as u64, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Span>> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tracer for Queue {
    fn sample(&self, caller: Option<TraceContext>) -> Option<TraceContext> {
        self.sampler.place(caller)
    }

    fn tell(&self, span: Span) {
        let mut waiting = self.lock();
        if waiting.len() >= self.most {
            drop(waiting);
            return self.lost(1);
        }
        waiting.push_back(span);
        let spans = waiting.len();
        drop(waiting);
        if spans == 1 || spans == self.batch {
            self.filled.notify_one();
        }
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
