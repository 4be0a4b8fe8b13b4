//! The task of a runtime that sleeps until a batcher there could have something due.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::select;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::alarms::{Key, Served};
use super::registry;
use super::runtime::Runtime;
use super::timer::Timer;
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
        let mut timer = Timer::default();
        while !self.0.is_retired() {
            let due = self.due();
            if due.is_empty() {
                self.sleep(&mut timer).await;
                continue;
            }
            // Each has a turn of the event loop from when its time has come: what comes
            // due in that turn has the next.
            yield_now().await;
            due.into_iter().for_each(|it| self.tick(it));
        }
    }

    /// Until the next time comes, or until an earlier one is set.
    async fn sleep(&self, timer: &mut Timer) {
        let earlier = self.0.earlier.notified();
        let next = self.0.alarms().next();
        match next {
            Some(next) => {
                let comes = timer.sleep_until(next, self.0.is_precise());
                select(pin!(earlier), pin!(comes)).await;
            }
            None => earlier.await,
        }
    }

    /// All whose time has come, each once.
    fn due(&self) -> Vec<(Key, Arc<dyn Served>)> {
        let now = Instant::now();
        let mut alarms = self.0.alarms();
        std::iter::from_fn(|| alarms.pop(now)).collect()
    }

    /// Looks after one. Its panic is no other's.
    fn tick(&self, (key, served): (Key, Arc<dyn Served>)) {
        match contain(|| served.tick()) {
            Some(Some(next)) => drop(self.0.alarms().set(key, next)),
            Some(None) => {}
            None => drop(contain(|| served.ended())),
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
