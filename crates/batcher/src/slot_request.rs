//! A batch's place in the line for a slot.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::handle::{Handle, Slot};
use crate::state::{Place, Resuming};

/// Resolves to the slot. Dropping it gives the place up.
pub(crate) struct SlotRequest<J: Send + 'static, R: Send + 'static> {
    handle: Arc<Handle<J, R>>,
    place: Place,
    slot: oneshot::Receiver<Slot<J, R>>,
}

impl<J: Send + 'static, R: Send + 'static> SlotRequest<J, R> {
    /// Lines up.
    pub fn new(handle: &Arc<Handle<J, R>>, batch: Resuming) -> Self {
        let (sender, slot) = oneshot::channel();
        let mut state = handle.lock();
        let request = Self {
            place: state.line_up(sender, batch),
            handle: Arc::clone(handle),
            slot,
        };
        handle.proceed(state);
        request
    }
}

impl<J: Send + 'static, R: Send + 'static> Future for SlotRequest<J, R> {
    type Output = Slot<J, R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.slot).poll(context) {
            Poll::Ready(Ok(slot)) => Poll::Ready(slot),
            // The sender goes with the place alone, and the batcher is held here.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl<J: Send + 'static, R: Send + 'static> Drop for SlotRequest<J, R> {
    fn drop(&mut self) {
        let given_up = self.handle.lock().give_up(self.place);
        // With it goes the waker of the task that waited, which may do anything, and
        // so not under the lock.
        drop(given_up);
    }
}
