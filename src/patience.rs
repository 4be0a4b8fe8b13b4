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
pub(crate) async fn in_time<T>(
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
    async fn what_is_there_is_in_time_and_what_is_not_has_until_then() {
        let start = Instant::now();
        assert_eq!(in_time(start, ready(7)).await.ok(), Some(7));
        let deadline = start + Duration::from_secs(1);
        assert!(in_time(deadline, pending::<()>()).await.is_err());
        assert_eq!(Instant::now(), deadline);
        let soon = tokio::time::sleep(Duration::from_millis(1));
        let later = deadline + Duration::from_secs(1);
        assert!(in_time(later, soon).await.is_ok());
    }
}
