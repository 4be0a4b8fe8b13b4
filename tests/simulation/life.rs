//! The life of a process. One that dies does nothing any more: whatever of it still runs
//! commits nothing, calls nobody and answers nobody, as after `kill -9`.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

/// A handle: clones are the same.
#[derive(Clone)]
pub struct Life(Arc<Inner>);

type AtDeath = Box<dyn Fn() + Send + Sync>;

struct Inner {
    number: u32,
    /// The points that it still gets to.
    points: AtomicU64,
    over: watch::Sender<bool>,
    at_death: OnceLock<AtDeath>,
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {}", self.0.number)
    }
}

impl Life {
    /// One that ends of itself at that many [points](Self::point).
    pub fn new(number: u32, points: u64) -> Self {
        Self(Arc::new(Inner {
            number,
            points: AtomicU64::new(points),
            over: watch::Sender::new(false),
            at_death: OnceLock::new(),
        }))
    }

    /// One that does not end.
    pub fn for_ever() -> Self {
        Self::new(0, u64::MAX)
    }

    pub fn number(&self) -> u32 {
        self.0.number
    }

    /// What happens in the moment of its death.
    pub fn at_death(&self, does: impl Fn() + Send + Sync + 'static) {
        let first = self.0.at_death.set(Box::new(does)).is_ok();
        assert!(first, "it dies once");
    }

    pub fn is_over(&self) -> bool {
        *self.0.over.borrow()
    }

    pub fn end(&self) {
        if !self.0.over.send_replace(true)
            && let Some(does) = self.0.at_death.get()
        {
            does();
        }
    }

    /// A moment in which it may die: never gone past by one that is dead.
    pub async fn point(&self) {
        if self.0.points.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.end();
        }
        if self.is_over() {
            pending::<()>().await;
        }
    }

    /// Returns when it is over.
    pub async fn over(&self) {
        let mut over = self.0.over.subscribe();
        // It has its sender for as long as it is asked.
        let _over = over.wait_for(|&over| over).await;
    }
}
