//! What `tokio::runtime` is here: it knows what it was given, and can end.
//!
//! All tasks run by turns on one thread, whatever runtime they were given to: which
//! one that is has a meaning to the batcher alone.

use std::cell::RefCell;

use shuttle::future::JoinHandle;

/// Of the schedule that is being run. Shuttle runs all of its tasks on one
/// thread, and nothing switches tasks while this is borrowed.
#[derive(Default)]
struct Runtime {
    ended: bool,
    /// Which one [`Handle::current`] is at.
    current: usize,
    tasks: Vec<JoinHandle<()>>,
}

std::thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::default();
}

/// Where tasks are spawned.
#[derive(Clone, Debug)]
pub struct Handle(usize);

impl Handle {
    /// The runtime that this is called on, see [`at`].
    pub fn current() -> Self {
        Self(RUNTIME.with_borrow(|it| it.current))
    }

    /// Tells the runtimes apart.
    pub fn id(&self) -> usize {
        self.0
    }

    /// Spawns a task; after the end its future is dropped at once, as tokio does.
    pub fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        if RUNTIME.with_borrow(|it| it.ended) {
            return drop(future);
        }
        let task = shuttle::future::spawn(future);
        // It may have ended while the task was made.
        if RUNTIME.with_borrow(|it| it.ended) {
            task.abort();
        }
        RUNTIME.with_borrow_mut(|it| it.tasks.push(task));
    }
}

/// Does something on another runtime than the first, which is 0. It must not wait.
pub fn at<T>(runtime: usize, something: impl FnOnce() -> T) -> T {
    let before = RUNTIME.with_borrow_mut(|it| std::mem::replace(&mut it.current, runtime));
    let done = something();
    RUNTIME.with_borrow_mut(|it| it.current = before);
    done
}

/// Ends the runtimes: tasks are dropped where they wait, each when its turn comes.
pub fn end() {
    let tasks = RUNTIME.with_borrow_mut(|it| {
        it.ended = true;
        it.tasks
            .iter()
            .map(JoinHandle::abort_handle)
            .collect::<Vec<_>>()
    });
    tasks.iter().for_each(|task| task.abort());
}

/// A new schedule begins.
pub(crate) fn reset() {
    drop(RUNTIME.take());
}

/// Waits for the end of every task that was ever spawned. One that never ends is
/// a deadlock, which shuttle reports.
pub(crate) async fn idle() {
    while let Some(task) = RUNTIME.with_borrow_mut(|it| it.tasks.pop()) {
        // That it was aborted is no matter.
        let _ = task.await;
    }
}
