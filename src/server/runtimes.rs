//! The threads that serve callers: each owns a runtime, and whatever begins there
//! stays there.
//!
//! A connection is served by one thread from its first byte to its last, so that
//! a job costs hardly more than on a single thread: no task is stolen, and callers
//! whose batch was processed by another thread are woken together, see
//! [`crate::batcher`]. `app` starts them and hands them connections.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The time for what is left on a thread to notice that its runtime ends.
const LAST_TASKS: Duration = Duration::from_millis(200);

/// Threads with a runtime each. Dropped, they end, with what still runs there.
#[derive(Debug)]
pub struct Workers {
    /// The first is the thread that the others were started on.
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// How many of the tasks run that it was given.
    tasks: Arc<AtomicUsize>,
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    /// Dropped, it has the thread end.
    _stop: oneshot::Sender<()>,
    handle: JoinHandle<()>,
}

impl Workers {
    /// `count` workers, at least 1: the runtime that this is called on, which is to
    /// be of one thread, and threads of their own.
    ///
    /// # Errors
    /// The system's, where it has no more threads to give.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(count: usize) -> io::Result<Self> {
        let mut workers = vec![Worker {
            runtime: Handle::current(),
            tasks: Arc::default(),
            thread: None,
        }];
        for number in 1..count {
            workers.push(Worker::start(number)?);
        }
        Ok(Self { workers })
    }

    /// Makes something for each worker, within its runtime; it is told the worker's
    /// number.
    pub fn for_each<T>(&self, mut make: impl FnMut(usize) -> T) -> Vec<T> {
        let made = self.workers.iter().enumerate().map(|(number, worker)| {
            let _within = worker.runtime.enter();
            make(number)
        });
        made.collect()
    }

    /// Resolves once every worker has run a task that it is given here: none of them is stuck.
    pub async fn answer(&self) {
        for answered in self.for_each(|_| tokio::spawn(async {})) {
            // A runtime that ends has answered, too.
            let _ = answered.await;
        }
    }

    /// Has a task run by the worker that runs the fewest; it is made there, and is
    /// told the worker's number, from 0: that is the thread they were started on.
    pub fn spawn<F>(&self, task: impl FnOnce(usize) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = |worker: &Worker| worker.tasks.load(Ordering::Relaxed);
        let least = self.workers.iter().enumerate();
        let Some((number, worker)) = least.min_by_key(|(_, worker)| tasks(worker)) else {
            return;
        };
        let running = Running::new(&worker.tasks);
        worker.runtime.spawn(async move {
            task(number).await;
            drop(running);
        });
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (made, making) = mpsc::channel();
        let thread = thread::Builder::new().name(format!("worker-{number}"));
        // The runtime is made there, since it may not be dropped here.
        let handle = thread.spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(made.send(Err(error))),
            };
            let _ = made.send(Ok(runtime.handle().clone()));
            // An error is what is waited for: the other end is dropped.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_timeout(LAST_TASKS);
        })?;
        let runtime = making.recv().map_err(io::Error::other)??;
        Ok(Self {
            runtime,
            tasks: Arc::default(),
            thread: Some(Thread {
                _stop: stop,
                handle,
            }),
        })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // All are told before the first is waited for.
        let threads = self.workers.iter_mut().filter_map(|it| it.thread.take());
        let handles: Vec<_> = threads.map(|thread| thread.handle).collect();
        // One of their own tasks may be the last to let go of them: its thread ends after that.
        let own = thread::current().id();
        for handle in handles.into_iter().filter(|it| it.thread().id() != own) {
            // A thread that has panicked has ended as well.
            let _ = handle.join();
        }
    }
}

/// That a task of a worker runs; over when dropped.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(tasks: &Arc<AtomicUsize>) -> Self {
        tasks.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(tasks))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokio::sync::mpsc;
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    #[tokio::test]
    async fn one_of_their_own_may_be_the_last_to_let_go_of_them() {
        let workers = Arc::new(Workers::start(2).unwrap());
        let (go, told_to_go) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        // What keeps the first busy leaves the next to the second.
        workers.spawn(|_| std::future::pending());
        let own = Arc::clone(&workers);
        workers.spawn(move |number| async move {
            let _ = told_to_go.await;
            drop(own);
            let _ = done.send(number);
        });
        drop(workers);
        go.send(()).unwrap();
        assert_eq!(is_done.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn tasks_are_spread_and_stay_on_their_threads() {
        let workers = Workers::start(3).unwrap();
        let (seen, mut threads) = mpsc::channel(6);
        for _ in 0..6 {
            let seen = seen.clone();
            workers.spawn(async move |number| {
                seen.send((number, thread::current().id())).await.unwrap();
                std::future::pending().await
            });
        }
        let mut told = Vec::new();
        for _ in 0..6 {
            told.push(threads.recv().await.unwrap());
        }
        let distinct: HashSet<_> = told.iter().collect();
        assert_eq!(distinct.len(), 3, "two on each: {told:?}");
        assert!(told.contains(&(0, thread::current().id())));
    }

    #[tokio::test]
    async fn the_worker_with_the_fewest_tasks_gets_the_next() {
        let workers = Workers::start(2).unwrap();
        let (seen, mut numbers) = mpsc::channel(1);
        let mut next = async |end: Option<oneshot::Receiver<()>>| {
            let seen = seen.clone();
            workers.spawn(async move |number| {
                seen.send(number).await.unwrap();
                drop(seen);
                match end {
                    Some(end) => drop(end.await),
                    None => std::future::pending().await,
                }
            });
            numbers.recv().await.unwrap()
        };
        let (end, ended) = oneshot::channel();
        assert_eq!(next(None).await, 0);
        assert_eq!(next(Some(ended)).await, 1);
        drop(end);
        let second = Arc::clone(&workers.workers[1].tasks);
        while second.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(next(None).await, 1);
    }

    #[tokio::test]
    async fn a_worker_that_is_stuck_does_not_answer() {
        let workers = Workers::start(2).unwrap();
        workers.answer().await;
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (began, beginning) = oneshot::channel();
        workers.spawn(async |_| std::future::pending().await);
        workers.spawn(async move |number| {
            began.send(number).unwrap();
            let _ = released.recv();
        });
        assert_eq!(beginning.await, Ok(1));
        let mut answer = std::pin::pin!(workers.answer());
        for _ in 0..100 {
            let now = std::future::poll_fn(|context| {
                std::task::Poll::Ready(answer.as_mut().poll(context))
            });
            assert!(now.await.is_pending());
            tokio::task::yield_now().await;
        }
        drop(release);
        answer.await;
    }

    #[tokio::test]
    async fn tasks_end_with_their_workers() {
        let workers = Workers::start(2).unwrap();
        let (held, mut released) = oneshot::channel::<()>();
        let (began, beginning) = oneshot::channel();
        // The first worker is this thread, which goes on.
        workers.spawn(async |_| std::future::pending().await);
        workers.spawn(async move |number| {
            let _held = held;
            began.send(number).unwrap();
            std::future::pending().await
        });
        assert_eq!(beginning.await, Ok(1));
        assert_eq!(released.try_recv(), Err(TryRecvError::Empty));
        drop(workers);
        assert_eq!(released.try_recv(), Err(TryRecvError::Closed));
    }
}
