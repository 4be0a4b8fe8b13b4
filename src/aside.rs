//! Large texts are read aside, on a thread that serves nobody.
//!
//! A thread that serves callers stands still while it reads JSON, about 2 ms a
//! megabyte; `http` and the engine hand what is [`LARGE`] over to a thread that
//! the runtime keeps for such work.

use tokio::task::spawn_blocking;

/// Texts from this size on, in bytes, are read aside: half a millisecond, in which
/// some dozens of jobs could be served, and ten times what handing over costs.
pub const LARGE: usize = 256 * 1024;

/// Does `work` on a thread of its own. A panic goes on here.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and the task that waits here with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn work_is_done_on_another_thread() {
        let here = thread::current().id();
        assert_ne!(aside(move || thread::current().id()).await, here);
    }

    #[tokio::test]
    #[should_panic(expected = "what was read")]
    async fn a_panic_goes_on_where_it_is_waited_for() {
        aside(|| panic!("what was read")).await
    }
}
