//! A batcher as it is seen from one runtime.
//!
//! A batch is processed on the runtime that sent it, or on one that has fewer under
//! way; what is due later is done by the clock of the runtime that found out.
//! Callers who wait on another runtime are reached across, see
//! [`desk`](super::desk).

use std::sync::Arc;

use tokio::time::Instant;

use super::batch::Batch;
use super::desk::{Desk, HOME, Index};
use super::returning::Place;
use super::seat::Caller;
use super::state::{State, Work};
use super::{Shared, Spawning};
use crate::sync::MutexGuard;

/// One handle's end of the batcher. It is counted for itself, so that making and
/// dropping a reply touches no memory that other threads write to.
pub(super) struct Local<J: Send + 'static, R: Send + 'static> {
    pub shared: Arc<Shared<J, R>>,
    pub index: Index,
    pub desk: Arc<Desk>,
    /// The desk of the runtime that the batcher was made on, which is never
    /// closed before the batcher.
    pub home: Arc<Desk>,
}

impl<J: Send + 'static, R: Send + 'static> Local<J, R> {
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
        let earlier = self.arm(&mut state, now);
        self.release(state, earlier);
        self.perform(work);
    }

    /// Releases the lock, then tells whom it concerns what was found under it: that
    /// the clock here is to wake `earlier`, and that nothing is in the house. Who is
    /// woken runs code of others, and may come back for the lock.
    pub fn release(&self, state: MutexGuard<'_, State<J, R>>, earlier: bool) {
        let vacant = state.is_vacant();
        drop(state);
        if earlier {
            self.wake_clock();
        }
        if vacant {
            self.shared.vacant.notify_waiters();
        }
    }

    /// As [`proceed`](Self::proceed), by the clock: when it is to come again.
    pub fn tick(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        let work = state.advance(self, now);
        let due = state.rearm(&self.shared, self.index, now);
        self.release(state, false);
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

    /// Sets the clock here; true if it is to wake earlier than it would by itself.
    /// Another's may be held up by what its thread is at.
    pub fn arm(&self, state: &mut State<J, R>, now: Instant) -> bool {
        state.arm(&self.shared, self.place(), now)
    }

    pub fn wake_clock(&self) {
        self.desk().clock.notify_one();
    }

    /// Carries out what was decided under the lock.
    pub fn perform(self: &Arc<Self>, work: Work<J, R>) {
        for (item, caller) in work.gone {
            drop(item);
            caller.into_iter().for_each(Caller::wake);
        }
        drop(work.unwanted);
        for (place, slot) in work.slots {
            // Whoever does not want it any more frees it by dropping it.
            drop(place.send(slot));
        }
        let _spawning = Spawning::enter();
        for batch in work.batches {
            self.spawn(batch);
        }
    }

    fn spawn(self: &Arc<Self>, mut batch: Batch<J, R>) {
        let shared = Arc::clone(&self.shared);
        let (index, desk) = self.lightest();
        if index != self.index {
            batch.move_to(Arc::new(Self {
                shared: Arc::clone(&self.shared),
                index,
                desk: Arc::clone(&desk),
                home: Arc::clone(&self.home),
            }));
        }
        // Inside of the task, so that a panic is that task's alone.
        desk.runtime
            .spawn(async move { (shared.process)(batch).await });
    }

    /// Where a batch is processed that is found here: here, but where fewer are
    /// under way if there are any. Slots that stayed where they are freed would
    /// leave all the work to the runtimes that had them first.
    fn lightest(&self) -> (Index, Arc<Desk>) {
        let here = self.place();
        let desks = self.shared.desks();
        let open = desks.iter().enumerate().filter(|(_, it)| !it.is_closed());
        let others = open.map(|(index, desk)| (desk.under_way(), index));
        // The batch itself is under way here by its slot.
        let own = usize::from(here == self.index);
        let index = match others.min() {
            Some((fewest, there)) if fewest + own < desks[here].under_way() => there,
            _ => here,
        };
        (index, Arc::clone(&desks[index]))
    }
}

impl<J: Send + 'static, R: Send + 'static> std::fmt::Debug for Local<J, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the state, whose lock may be held.
        f.debug_struct("Local")
            .field("settings", &self.shared.settings)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
