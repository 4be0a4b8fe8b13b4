//! A batcher as it is seen from one runtime.
//!
//! A batch is processed on the runtime that sent it, and what is due later is
//! done by the clock of the runtime that found out. Callers who wait on another
//! runtime are reached across, see [`desk`](super::desk).

use std::sync::Arc;
use std::task::Waker;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::desk::{Desk, HOME, Index};
use super::returning::Place;
use super::state::{State, Work};
use super::{Item, Shared, Spawning};
use crate::sync::MutexGuard;

/// One handle's end of the batcher. It is counted for itself, so that making and
/// dropping a reply touches no memory that other threads write to.
pub(super) struct Local<J: Item, R: Send + 'static> {
    pub shared: Arc<Shared<J, R>>,
    pub index: Index,
    pub desk: Arc<Desk>,
    /// The desk of the runtime that the batcher was made on, which is never
    /// closed before the batcher.
    pub home: Arc<Desk>,
}

impl<J: Item, R: Send + 'static> Local<J, R> {
    pub fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        self.shared.lock()
    }

    /// Where work is done that is found here.
    fn desk(&self) -> &Desk {
        match self.place() {
            HOME => &self.home,
            _ => &self.desk,
        }
    }

    /// The number of that desk.
    pub fn place(&self) -> Index {
        if self.desk.is_closed() {
            HOME
        } else {
            self.index
        }
    }

    /// Does all that is due now, and sets the clock for what is due next.
    pub fn proceed(self: &Arc<Self>, mut state: MutexGuard<'_, State<J, R>>) {
        let now = Instant::now();
        let work = state.advance(self, now);
        self.arm(&mut state, now);
        self.shared.announce(&state);
        drop(state);
        self.perform(work);
    }

    /// As [`proceed`](Self::proceed), by the clock: when it is to come again.
    pub fn tick(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        let work = state.advance(self, now);
        let due = state.rearm(&self.shared, self.index, now);
        self.shared.announce(&state);
        drop(state);
        self.perform(work);
        due
    }

    /// A batch that rests wants a slot.
    pub fn line_up(self: &Arc<Self>, place: Place<J, R>, half: bool) {
        let mut state = self.lock();
        state.line_up(place, half);
        self.proceed(state);
    }

    pub fn abandon(self: &Arc<Self>) {
        let work = self.lock().clear();
        self.perform(work);
        self.shared.vacant.notify_waiters();
    }

    /// There is no runtime any more: takes nothing, and answers what is queued.
    pub fn end(self: &Arc<Self>) {
        self.lock().close();
        self.abandon();
    }

    /// Has the clock here wake in time, and not at all if it will anyway. Another's
    /// may be held up by what its thread is at.
    pub fn arm(&self, state: &mut State<J, R>, now: Instant) {
        if state.arm(&self.shared, self.place(), now) {
            self.wake_clock();
        }
    }

    pub fn wake_clock(&self) {
        self.desk().clock.notify_one();
    }

    /// Carries out what was decided under the lock.
    pub fn perform(self: &Arc<Self>, work: Work<J, R>) {
        for (item, waker) in work.gone {
            drop(item);
            waker.into_iter().for_each(Waker::wake);
        }
        for (place, slot) in work.slots {
            // Whoever does not want it any more frees it by dropping it.
            drop(place.send(slot));
        }
        let _spawning = Spawning::enter();
        for batch in work.batches {
            let shared = Arc::clone(&self.shared);
            // Inside of the task, so that a panic is that task's alone.
            self.runtime()
                .spawn(async move { (shared.process)(batch).await });
        }
    }

    fn runtime(&self) -> &Handle {
        &self.desk().runtime
    }
}

impl<J: Item, R: Send + 'static> std::fmt::Debug for Local<J, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the state, whose lock may be held.
        f.debug_struct("Local")
            .field("settings", &self.shared.settings)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
