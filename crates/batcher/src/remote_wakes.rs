//! Callers of a batch that are woken together, where they wait.

use std::task::Waker;

use crate::handle::Handle;
use crate::recipient::Delivery;

/// Wakes the callers of a batch: at once where they wait on this runtime, on
/// others when it is dropped.
pub(crate) struct RemoteWakes<'a, J: Send + 'static, R: Send + 'static> {
    handle: &'a Handle<J, R>,
    /// By the batcher's runtimes.
    elsewhere: Vec<(usize, Vec<Waker>)>,
}

impl<'a, J: Send + 'static, R: Send + 'static> RemoteWakes<'a, J, R> {
    pub fn from(handle: &'a Handle<J, R>) -> Self {
        Self {
            handle,
            elsewhere: Vec::new(),
        }
    }

    /// Wakes somebody whose item was submitted on this runtime.
    pub fn wake(&mut self, delivery: Delivery<R>, runtime: usize) {
        let Some(waker) = delivery.into_waker() else {
            return;
        };
        if runtime == self.handle.index {
            waker.wake();
        } else if let Some((_, wakers)) = self.elsewhere.iter_mut().find(|(it, _)| *it == runtime) {
            wakers.push(waker);
        } else {
            self.elsewhere.push((runtime, vec![waker]));
        }
    }
}

impl<J: Send + 'static, R: Send + 'static> Drop for RemoteWakes<'_, J, R> {
    fn drop(&mut self) {
        for (runtime, wakers) in self.elsewhere.drain(..) {
            self.handle.wake_at(runtime, wakers);
        }
    }
}
