//! Timeouts that cost nothing where there is nothing to wait for.
//!
//! A timer is registered, and where it is the earliest of its runtime that takes a
//! system call. What is there already is handed over without one.

use std::future::poll_fn;
use std::task::Poll;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

/// As [`timeout_at`], but what is ready at once is late by no deadline.
///
/// # Errors
/// [`Elapsed`] when the deadline comes first.
pub(crate) async fn lazy_timeout_at<T>(
    deadline: Instant,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut future = std::pin::pin!(future);
    match poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => timeout_at(deadline, future).await,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ready_future_is_in_time_and_a_pending_one_has_until_the_deadline() {
        let start = Instant::now();
        assert_eq!(lazy_timeout_at(start, ready(7)).await.ok(), Some(7));
        let deadline = start + Duration::from_secs(1);
        assert!(lazy_timeout_at(deadline, pending::<()>()).await.is_err());
        assert_eq!(Instant::now(), deadline);
        let soon = tokio::time::sleep(Duration::from_millis(1));
        let later = deadline + Duration::from_secs(1);
        assert!(lazy_timeout_at(later, soon).await.is_ok());
    }
}
