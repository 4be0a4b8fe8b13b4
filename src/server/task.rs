//! The task that drives a connection, as others wake it.
//!
//! Other threads wake it to look at what they noted. The HTTP library wakes it too,
//! but not always to a purpose, see [`quietly`].

use std::cell::Cell;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

/// A task, from when it is first polled; it is always the same.
#[derive(Debug, Default)]
pub(super) struct Task(OnceLock<Waker>);

impl Task {
    /// It is polled, and is this one.
    pub fn begins(&self, waker: &Waker) {
        let _ = self.0.set(waker.clone());
        // What was noted for it before it could be woken it now sees by itself, see
        // `wake`.
        fence(Ordering::SeqCst);
    }

    /// Has it look at what was noted.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if let Some(waker) = self.0.get() {
            waker.wake_by_ref();
        }
    }
}

thread_local! {
    /// The task whose wakes are held back on this thread, by its address, and whether
    /// there was one.
    static QUIET: Cell<(usize, bool)> = const { Cell::new((0, false)) };
}

/// As the HTTP library wakes it.
impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let address = Arc::as_ptr(self).addr();
        if QUIET.get().0 == address {
            QUIET.set((address, true));
        } else if let Some(waker) = self.0.get() {
            waker.wake_by_ref();
        }
    }
}

/// Does `work`, which may not wake the task meanwhile; whether it wanted to.
///
/// The HTTP library wakes its connection when a piece of a body is taken from it, to
/// read the next. After the last piece that is for nothing, but would have every
/// request polled twice.
pub(super) fn quietly<T>(task: &Arc<Task>, work: impl FnOnce() -> T) -> (T, bool) {
    struct Quiet;
    impl Drop for Quiet {
        fn drop(&mut self) {
            QUIET.set((0, false));
        }
    }
    let _quiet = Quiet;
    QUIET.set((Arc::as_ptr(task).addr(), false));
    let done = work();
    (done, QUIET.get().1)
}
