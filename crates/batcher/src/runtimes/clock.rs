//! The task of a runtime that sleeps until a batcher there could have something due.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::registry;
use super::runtime::Runtime;
use crate::contain::contain;

/// A runtime's clock. Dropped before it was told to end, the runtime has ended.
pub(crate) struct Clock(Arc<Runtime>);

impl Clock {
    /// Made before the first poll, since a runtime may end before that.
    pub fn new(runtime: Arc<Runtime>) -> Self {
        Self(runtime)
    }

    /// Runs until nobody is left to serve. Sleeps without a timer while nothing waits.
    pub async fn run(self) {
        let runtime = &self.0;
        while !runtime.is_retired() {
            self.tick();
            let earlier = runtime.earlier.notified();
            let next = runtime.alarms().next();
            let told = match next {
                Some(next) => {
                    let slept = pin!(sleep_until(next));
                    matches!(select(pin!(earlier), slept).await, Either::Left(_))
                }
                None => {
                    earlier.await;
                    true
                }
            };
            if told {
                yield_now().await;
            }
        }
    }

    /// Looks after all whose time has come, each once.
    fn tick(&self) {
        let now = Instant::now();
        let due: Vec<_> = {
            let mut alarms = self.0.alarms();
            std::iter::from_fn(|| alarms.pop(now)).collect()
        };
        for (key, served) in due {
            // One batcher's panic is no other's.
            match contain(|| served.tick()) {
                Some(Some(next)) => drop(self.0.alarms().set(key, next)),
                Some(None) => {}
                None => drop(contain(|| served.ended())),
            }
        }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        for served in registry::end(&self.0) {
            contain(|| served.ended());
        }
    }
}
