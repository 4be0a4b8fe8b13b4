//! Tasks that run for as long as the process does: one that panics goes on.
//!
//! What a task has in its hands is its own, and not that of one run: the next run of it
//! begins with what the last has left.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;
use tracing::error;

/// The pause before a task goes on that has panicked: one that always does is no loop.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs a task, and again after a panic, until it ends.
pub(super) async fn supervised<T>(name: &'static str, mut task: T, run: impl AsyncFn(&mut T)) {
    while contain(run(&mut task)).await.is_none() {
        error!(
            task = name,
            "a task of jobs for later panicked, and goes on"
        );
        sleep(PAUSE).await;
    }
}

/// Runs it to its end; `None` where it panics, which the hook has told of.
async fn contain<T>(run: impl Future<Output = T>) -> Option<T> {
    let mut run = pin!(run);
    let poll = poll_fn(|context| {
        let poll = || run.as_mut().poll(context);
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(poll) => poll.map(Some),
            Err(_) => std::task::Poll::Ready(None),
        }
    });
    poll.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_goes_on_with_what_it_had() {
        let task = async |left: &mut u32| {
            while *left > 0 {
                *left -= 1;
                tokio::task::yield_now().await;
                assert!(!left.is_multiple_of(2), "on purpose");
            }
        };
        let begun = tokio::time::Instant::now();
        supervised("test", 5, task).await;
        assert_eq!(begun.elapsed(), 3 * PAUSE);
    }
}
