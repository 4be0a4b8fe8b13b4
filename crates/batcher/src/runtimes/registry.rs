//! Which runtimes have batchers: one for all batchers of the process.

use std::sync::{Arc, PoisonError};

use tokio::runtime::Handle;

use super::alarms::{Key, Served};
use super::runtime::Runtime;
use crate::sync::{Mutex, MutexGuard, process_wide};

process_wide! {
    /// By their ids: each has somebody to serve.
    static RUNTIMES: Mutex<Vec<Arc<Runtime>>> = Mutex::new(Vec::new());
}

/// Has one served by the runtime that this is called on.
///
/// # Panics
/// Outside of a tokio runtime.
pub(crate) fn join(served: Arc<dyn Served>) -> (Arc<Runtime>, Key) {
    let handle = Handle::current();
    let mut runtimes = lock();
    let known = runtimes.iter().find(|it| it.handle.id() == handle.id());
    let runtime = known.map(Arc::clone).unwrap_or_else(|| {
        let runtime = Arc::new(Runtime::new(handle));
        runtimes.push(Arc::clone(&runtime));
        runtime
    });
    let key = runtime.alarms().join(served);
    (runtime, key)
}

/// One is served no longer. The tasks end with the last.
pub(crate) fn leave(runtime: &Arc<Runtime>, key: Key) {
    let mut runtimes = lock();
    let mut alarms = runtime.alarms();
    let served = alarms.leave(key);
    let last = served.is_some() && alarms.is_empty();
    drop(alarms);
    if last {
        runtimes.retain(|it| !Arc::ptr_eq(it, runtime));
    }
    drop(runtimes);
    if last {
        runtime.retire();
    }
    drop(served);
}

/// The runtime has ended: who was served there.
pub(crate) fn end(runtime: &Arc<Runtime>) -> Vec<Arc<dyn Served>> {
    let mut runtimes = lock();
    runtimes.retain(|it| !Arc::ptr_eq(it, runtime));
    // Whoever comes after this finds another.
    let served = runtime.alarms().clear();
    drop(runtimes);
    served
}

fn lock() -> MutexGuard<'static, Vec<Arc<Runtime>>> {
    // Nothing panics while it is held.
    RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner)
}
