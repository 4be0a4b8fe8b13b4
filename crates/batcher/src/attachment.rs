//! A batcher at a runtime: how a handle is made there, and what the runtime's clock knows
//! of the batcher.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use crate::handle::{Handle, Shared};
use crate::runtimes::{PRIMARY, Served};
use crate::sync::AtomicBool;

/// A handle for the runtime that this is called on.
///
/// # Panics
/// Outside of a tokio runtime with time enabled.
pub(crate) fn attach<J: Send + 'static, R: Send + 'static>(
    shared: &Arc<Shared<J, R>>,
) -> Handle<J, R> {
    let (index, here) = shared.runtimes.here(shared.settings.precise, |index| {
        let shared = Arc::downgrade(shared);
        let ended = AtomicBool::new(false);
        Arc::new(Attachment {
            shared,
            index,
            ended,
        })
    });
    let primary = shared.runtimes.get(PRIMARY);
    let handle = Handle {
        shared: Arc::clone(shared),
        index,
        primary: primary.unwrap_or_else(|| Arc::clone(&here)),
        here,
    };
    // What the clock of another runtime was to come for, which has ended and had that
    // number: the primary's has been told.
    handle.lock().disarm(index);
    handle
}

/// The batcher, as a runtime's clock knows it.
struct Attachment<J: Send + 'static, R: Send + 'static> {
    shared: Weak<Shared<J, R>>,
    index: usize,
    /// From then on the number may be another's.
    ended: AtomicBool,
}

impl<J: Send + 'static, R: Send + 'static> Attachment<J, R> {
    /// None once the batcher is gone, or served here no more.
    fn handle(&self) -> Option<Arc<Handle<J, R>>> {
        if self.ended.load(Ordering::Relaxed) {
            return None;
        }
        let shared = self.shared.upgrade()?;
        let here = shared.runtimes.get(self.index)?;
        let primary = shared.runtimes.get(PRIMARY)?;
        Some(Arc::new(Handle {
            shared,
            index: self.index,
            here,
            primary,
        }))
    }
}

impl<J: Send + 'static, R: Send + 'static> Served for Attachment<J, R> {
    fn tick(&self) -> Option<Instant> {
        self.handle()?.tick()
    }

    fn ended(&self) {
        let Some(handle) = self.handle() else {
            return;
        };
        self.ended.store(true, Ordering::Relaxed);
        if self.index == PRIMARY {
            handle.end();
        } else {
            // Whoever arms a clock does so under the batcher's lock. The primary's
            // clock takes that lock after this: before it, an armed time is one that
            // it will find; after it, this is seen.
            handle.here.close();
            handle.primary.set_alarm(Instant::now());
        }
    }
}
