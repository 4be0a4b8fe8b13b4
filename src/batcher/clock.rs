//! The one task of a batcher that sleeps: until something could be due.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::{Item, Shared};

/// Runs until the batcher is gone. Sleeps without a timer while nothing waits.
pub(super) fn run<J: Item, R: Send + 'static>(
    batcher: Weak<Shared<J, R>>,
    woken: Arc<Notify>,
) -> impl Future<Output = ()> + Send {
    // Where the runtime ends first, nobody comes to send what is queued. Made
    // here, since a runtime may end before the first poll.
    let last = Last(batcher);
    async move {
        loop {
            let due = match last.0.upgrade() {
                Some(shared) => shared.tick(),
                None => return,
            };
            match due {
                Some(due) => tokio::select! {
                    () = woken.notified() => tokio::task::yield_now().await,
                    () = sleep_until(due) => {}
                },
                None => {
                    woken.notified().await;
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

/// Ends a batcher whose clock has ended.
struct Last<J: Item, R: Send + 'static>(Weak<Shared<J, R>>);

impl<J: Item, R: Send + 'static> Drop for Last<J, R> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.end();
        }
    }
}
