//! A batcher as it is seen from one runtime, and the one place that acts: it takes the
//! lock, has the [state](State) decide, and carries out what that said after the lock is
//! released: the [`Work`](crate::work::Work).
//!
//! A batch is processed on the runtime that sent it, or on one that has fewer under
//! way; what is due later is done by the clock of the runtime that found out.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::answered::{Answered, answer};
use crate::contain::contain;
use crate::error::Error;
use crate::member::Pending;
use crate::queue::Room;
use crate::runtimes::{PRIMARY, Registration, Registrations, UnderWay};
use crate::settings::{Settings, Wait};
use crate::sources::Sources;
use crate::spawning::Spawning;
use crate::state::{Moment, Pushed, State};
use crate::sync::{Mutex, MutexGuard};
use crate::work::{self, Work};

pub(crate) type Processing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells an item's key, whatever was said of it.
pub(crate) type KeyOf<J> = Box<dyn Fn(&J) -> u64 + Send + Sync>;

/// A batch that leaves, with its slot.
pub(crate) type Dispatch<J, R> = work::Dispatch<J, R, Slot<J, R>>;

type LockedState<J, R> = State<Pending<J, R>, work::Waiter<Slot<J, R>>>;

/// What all handles of a batcher share.
pub(crate) struct Shared<J: Send + 'static, R: Send + 'static> {
    pub settings: Settings,
    state: Mutex<LockedState<J, R>>,
    process: Box<dyn Fn(Dispatch<J, R>) -> Processing + Send + Sync>,
    pub key_of: Option<KeyOf<J>>,
    pub sources: Arc<Sources>,
    /// The runtimes that it serves.
    pub runtimes: Registrations,
    /// Notified when nothing is queued or in flight.
    pub vacant: Notify,
    /// Notified when more detached items may be wanted, where somebody waits for that.
    pub wanted: Notify,
}

/// One runtime's end of the batcher. It is counted for itself, so that making and
/// dropping a reply touches no memory that other threads write to.
pub(crate) struct Handle<J: Send + 'static, R: Send + 'static> {
    pub shared: Arc<Shared<J, R>>,
    /// Which of the batcher's runtimes it is.
    pub index: usize,
    pub here: Arc<Registration>,
    /// The runtime that the batcher was made on, which ends no sooner than the batcher.
    pub primary: Arc<Registration>,
}

impl<J: Send + 'static, R: Send + 'static> Shared<J, R> {
    pub fn new(
        settings: Settings,
        key_of: Option<KeyOf<J>>,
        process: impl Fn(Dispatch<J, R>) -> Processing + Send + Sync + 'static,
    ) -> Self {
        Self {
            state: Mutex::new(State::new(&settings, Instant::now())),
            settings,
            process: Box::new(process),
            key_of,
            sources: Arc::default(),
            runtimes: Registrations::default(),
            vacant: Notify::new(),
            wanted: Notify::new(),
        }
    }
}

impl<J: Send + 'static, R: Send + 'static> Handle<J, R> {
    pub fn lock(&self) -> MutexGuard<'_, LockedState<J, R>> {
        // A step that panicked has left no step half done that another builds on.
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// What a step under the lock is told.
    fn moment(&self, now: Instant) -> Moment {
        let Shared {
            settings, sources, ..
        } = &*self.shared;
        Moment {
            now,
            anybody_left: settings.wait == Wait::Fixed || sources.anybody_left(),
        }
    }

    /// Which runtime does the work that is found here.
    pub fn place(&self) -> usize {
        match self.here.is_closed() {
            true => PRIMARY,
            false => self.index,
        }
    }

    /// Does all that is due now, and sets the clock for what is due next.
    pub fn proceed(self: &Arc<Self>, state: MutexGuard<'_, LockedState<J, R>>) {
        self.advance(state, self.moment(Instant::now()));
    }

    /// As [`proceed`](Self::proceed), right after a push: what is not due for a full
    /// batch is left to the clock.
    pub fn proceed_full(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, LockedState<J, R>>,
        now: Instant,
    ) {
        let moment = self.moment(now);
        // The clock here: another's may be held up by what its thread is at.
        match state.pushed(self.place(), moment) {
            Pushed::Filled => self.advance(state, moment),
            Pushed::Waits { earlier } => self.release(state, earlier),
        }
    }

    /// Has the clock here come for what is due, now or later: what is due now leaves after
    /// one turn of the event loop.
    pub fn set_clock(&self, mut state: MutexGuard<'_, LockedState<J, R>>) {
        let earlier = state.arm(self.place(), self.moment(Instant::now()));
        self.release(state, earlier);
    }

    /// As [`proceed`](Self::proceed), where what was done leaves nothing to do.
    pub fn release_only(&self, state: MutexGuard<'_, LockedState<J, R>>) {
        self.release(state, None);
    }

    fn advance(self: &Arc<Self>, mut state: MutexGuard<'_, LockedState<J, R>>, moment: Moment) {
        let decisions = state.advance(moment);
        let work = Work::new(decisions, |half| Slot::new(self, half), moment.now);
        let earlier = state.arm(self.place(), moment);
        self.release(state, earlier);
        self.perform(work);
    }

    /// Releases the lock, then tells whom it concerns what was found under it: the clock
    /// here, where it is to come `earlier` than it would by itself, and whoever waits
    /// for the batcher to be vacant or for more to be wanted. A waker is code of others,
    /// and may come back for the lock.
    fn release(&self, mut state: MutexGuard<'_, LockedState<J, R>>, earlier: Option<Instant>) {
        let (vacant, wanted) = (state.is_vacant(), state.take_wanted());
        drop(state);
        if let Some(time) = earlier {
            let here = match self.place() {
                PRIMARY => &self.primary,
                _ => &self.here,
            };
            here.set_alarm(time);
        }
        if vacant {
            self.tell_vacant();
        }
        if wanted {
            self.tell_wanted();
        }
    }

    fn tell_vacant(&self) {
        contain(|| self.shared.vacant.notify_waiters());
    }

    fn tell_wanted(&self) {
        contain(|| self.shared.wanted.notify_waiters());
    }

    /// As [`proceed`](Self::proceed), by the clock: when it is to come again.
    pub fn tick(self: &Arc<Self>) -> Option<Instant> {
        let mut state = self.lock();
        let moment = self.moment(Instant::now());
        let decisions = state.advance(moment);
        let work = Work::new(decisions, |half| Slot::new(self, half), moment.now);
        let due = state.rearm(self.index, moment);
        self.release(state, None);
        self.perform(work);
        due
    }

    /// Answers everything that is still queued.
    pub fn abandon(self: &Arc<Self>) {
        let mut state = self.lock();
        let gone = answer(state.clear(Instant::now()), |room| match room {
            Room::Queue => Error::Abandoned,
            Room::Overflow => Error::Closed,
        });
        drop(state);
        self.tell(gone);
    }

    /// Tells them, and then those who wait for the batcher to be vacant.
    fn tell(&self, gone: Vec<Answered<J, R>>) {
        let items = gone.len();
        drop(gone);
        let mut state = self.lock();
        state.told(items);
        self.release(state, None);
    }

    /// There is no runtime any more: takes nothing, and answers what is queued.
    pub fn end(self: &Arc<Self>) {
        self.lock().close();
        self.abandon();
    }

    fn perform(self: &Arc<Self>, work: Work<J, R, Slot<J, R>>) {
        if !work.gone.is_empty() {
            self.tell(work.gone);
        }
        for (whom, slot) in work.slots {
            // Where nobody waits for it any more it is dropped, and so free.
            contain(|| drop(whom.send(slot)));
        }
        if work.batches.is_empty() {
            return;
        }
        let _spawning = Spawning::enter();
        for batch in work.batches {
            self.spawn(batch);
        }
    }

    fn spawn(self: &Arc<Self>, mut batch: Dispatch<J, R>) {
        let shared = Arc::clone(&self.shared);
        // Slots that stayed where they are freed would leave all the work to the
        // runtimes that had them first. The batch itself is under way here.
        let own = usize::from(self.place() == self.index);
        let (index, there) = self.shared.runtimes.lightest(self.place(), own);
        let runtime = there.handle().clone();
        if !Arc::ptr_eq(&there, &self.here) {
            batch.slot.move_to(&Arc::new(Self {
                shared: Arc::clone(&shared),
                index,
                here: there,
                primary: Arc::clone(&self.primary),
            }));
        }
        // Inside of the task, so that a panic is that task's alone.
        runtime.spawn(async move { (shared.process)(batch).await });
    }

    /// Wakes callers that wait on one of the batcher's runtimes.
    pub fn wake_at(&self, runtime: usize, callers: Vec<std::task::Waker>) {
        if let Some(there) = self.shared.runtimes.get(runtime) {
            there.wake(callers);
        }
    }
}

impl<J: Send + 'static, R: Send + 'static> std::fmt::Debug for Handle<J, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the state, whose lock may be held.
        f.debug_struct("Handle")
            .field("settings", &self.shared.settings)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// One of the places for batches in flight; free again when dropped. See
/// [`Batch::slot`](crate::Batch::slot).
#[must_use = "a slot that is dropped is free again"]
pub struct Slot<J: Send + 'static, R: Send + 'static> {
    handle: Arc<Handle<J, R>>,
    /// Whether it was given to a half of a batch that was split.
    half: bool,
    /// That its batch is processed there; none once it is free.
    under_way: Option<UnderWay>,
}

impl<J: Send + 'static, R: Send + 'static> Slot<J, R> {
    fn new(handle: &Arc<Handle<J, R>>, half: bool) -> Self {
        Self {
            handle: Arc::clone(handle),
            half,
            under_way: Some(UnderWay::at(&handle.here)),
        }
    }

    pub(crate) fn handle(&self) -> &Arc<Handle<J, R>> {
        &self.handle
    }

    /// Its batch is processed there. What another batcher has given stays that
    /// one's, to be free there: here it was never taken.
    pub(crate) fn move_to(&mut self, handle: &Arc<Handle<J, R>>) {
        if Arc::ptr_eq(&self.handle.shared, &handle.shared) {
            self.under_way = Some(UnderWay::at(&handle.here));
            self.handle = Arc::clone(handle);
        }
    }
}

impl<J: Send + 'static, R: Send + 'static> Drop for Slot<J, R> {
    fn drop(&mut self) {
        // Before what takes its place looks where that is.
        self.under_way = None;
        let now = Instant::now();
        let mut state = self.handle.lock();
        state.free_slot(self.half, now);
        if Spawning::is_on() {
            // A runtime that has ended drops what it is given at once, and would
            // so be given batch after batch, each inside of the last. The clock
            // may be gone with it.
            self.handle.release(state, Some(now));
        } else {
            self.handle.proceed(state);
        }
    }
}

impl<J: Send + 'static, R: Send + 'static> std::fmt::Debug for Slot<J, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}
