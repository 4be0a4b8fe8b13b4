//! Keys are their makers' code.

use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use microbatch_batcher::{Loader, Settings};
use tokio::runtime::Builder;

use super::poll;

/// Long enough for any machine; who needs it waits for a lock of its own.
const HANG: Duration = Duration::from_secs(60);

fn does_not_hang<F: Future<Output = ()> + 'static>(story: fn() -> F) {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(story());
        ended.send(()).unwrap();
    });
    let ended = end.recv_timeout(HANG);
    assert_eq!(ended, Ok(()), "it waits for itself, or has failed");
}

/// Asks the loader for itself when it is dropped.
#[derive(Clone)]
struct Asks(u64, Arc<OnceLock<Loader<Asks, u64>>>);

impl PartialEq for Asks {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Asks {}

impl Hash for Asks {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for Asks {
    fn drop(&mut self) {
        // One that asks for itself, and not in turn for what that is dropped for.
        if let (1.., Some(loader)) = (self.0, self.1.get()) {
            let none = Asks(0, Arc::clone(&self.1));
            let mut load = pin!(loader.load(none));
            assert!(poll(load.as_mut()).is_pending());
        }
    }
}

#[test]
fn a_key_may_ask_the_loader_when_it_is_dropped() {
    does_not_hang(|| async {
        let loader = Loader::new(Settings::default(), async |keys: Vec<Asks>| {
            let values = keys.into_iter().map(|key| (key.clone(), Ok(key.0)));
            Ok::<_, Infallible>(values)
        });
        let known = Arc::new(OnceLock::new());
        assert!(known.set(loader.clone()).is_ok());
        let key = |number| Asks(number, Arc::clone(&known));
        {
            let mut left = pin!(loader.load(key(3)));
            assert!(poll(left.as_mut()).is_pending());
        }
        let answers = loader.load_many([1, 2, 1].map(key)).await;
        assert_eq!(answers, [Ok(1), Ok(2), Ok(1)]);
        assert_eq!(loader.load(key(1)).await, Ok(1));
    });
}

/// How many more times a key is hashed before that panics.
static LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Panics when it is hashed for the last time.
#[derive(Clone, PartialEq, Eq)]
struct Panics(u64);

impl Hash for Panics {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let left = LEFT.fetch_sub(1, Ordering::Relaxed);
        assert!(left > 0, "a panic in a key's own code");
        self.0.hash(state);
    }
}

#[test]
fn a_panic_of_a_key_is_its_callers_alone() {
    does_not_hang(|| async {
        let loader = Loader::new(Settings::default(), async |keys: Vec<Panics>| {
            let values = keys.into_iter().map(|key| (key.clone(), Ok(key.0)));
            Ok::<_, Infallible>(values)
        });
        let mut panicked = 0;
        for hashes in 0..4 {
            let mut other = pin!(loader.load(Panics(2)));
            assert!(poll(other.as_mut()).is_pending());
            let mut load = pin!(loader.load(Panics(1)));
            LEFT.store(hashes, Ordering::Relaxed);
            let polled = catch_unwind(AssertUnwindSafe(|| poll(load.as_mut()).is_pending()));
            LEFT.store(usize::MAX, Ordering::Relaxed);
            panicked += usize::from(polled.is_err());
            assert_eq!(loader.load(Panics(1)).await, Ok(1));
            assert_eq!(other.await, Ok(2));
        }
        assert!(panicked >= 2, "at its look-up, and when it is noted");
    });
}
