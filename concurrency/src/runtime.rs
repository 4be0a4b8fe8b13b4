//! What `tokio::runtime` is here: it knows what it was given, and can end.

use std::cell::RefCell;

use shuttle::future::JoinHandle;

/// Of the schedule that is being run. Shuttle runs all of its tasks on one
/// thread, and nothing switches tasks while this is borrowed.
#[derive(Default)]
struct Runtime {
    ended: bool,
    tasks: Vec<JoinHandle<()>>,
}

std::thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::default();
}

/// Where tasks are spawned.
#[derive(Clone, Debug)]
pub struct Handle(());

impl Handle {
    /// The one runtime there is.
    pub fn current() -> Self {
        Self(())
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

/// Ends the runtime: tasks are dropped where they wait, each when its turn comes.
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
