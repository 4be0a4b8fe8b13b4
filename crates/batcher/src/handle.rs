//! A batcher as it is seen from one runtime, and the one place that acts: it takes the
//! lock, has the [state](State) decide, and carries out what that said after the lock is
//! released, making the handles and spawning the batches.
//!
//! A batch is processed on the runtime that sent it, or on one that has fewer under
//! way; what is due later is done by the clock of the runtime that found out.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::error::Error;
use crate::frame::Frame;
use crate::member::{Member, Pending};
use crate::policy::FlushReason;
use crate::queue::Room;
use crate::reply_slot::{Caller, Liveness};
use crate::runtimes::{PRIMARY, Registration, Registrations, UnderWay};
use crate::settings::{Settings, Wait};
use crate::sources::Sources;
use crate::spawning::Spawning;
use crate::state::{Decisions, Departure, Gone, Moment, Pushed, State};
use crate::sync::{Mutex, MutexGuard};

pub(crate) type Processing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells an item's key, whatever was said of it.
pub(crate) type KeyOf<J> = Box<dyn Fn(&J) -> u64 + Send + Sync>;

/// Whom to tell of a slot.
type Waiter<J, R> = oneshot::Sender<Slot<J, R>>;

type LockedState<J, R> = State<Pending<J, R>, Waiter<J, R>>;

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

/// A batch that leaves, on its way to the processor. Dropped there, its members are
/// answered before the slot is free.
pub(crate) struct Dispatch<J: Send + 'static, R: Send + 'static> {
    pub members: Vec<Member<J, R>>,
    pub frame: Option<Frame>,
    pub reason: FlushReason,
    pub left: Instant,
    pub liveness: Arc<Liveness>,
    pub slot: Slot<J, R>,
}

/// What is left to do once the lock is released.
struct Work<J: Send + 'static, R: Send + 'static> {
    batches: Vec<Dispatch<J, R>>,
    /// Slots for batches that were parked.
    slots: Vec<(Waiter<J, R>, Slot<J, R>)>,
    gone: Vec<Answered<J>>,
}

/// An item whose caller was answered under the lock, and whom to wake.
type Answered<J> = (J, Option<Caller>);

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

    fn advance(self: &Arc<Self>, mut state: MutexGuard<'_, LockedState<J, R>>, moment: Moment) {
        let decisions = state.advance(moment);
        let work = self.compose(decisions, moment.now);
        let earlier = state.arm(self.place(), moment);
        self.release(state, earlier);
        self.perform(work);
    }

    /// Releases the lock, then tells whom it concerns what was found under it: the clock
    /// here, where it is to come `earlier` than it would by itself, and whoever waits
    /// for the batcher to be vacant. A waker is code of others, and may come back for
    /// the lock.
    fn release(&self, state: MutexGuard<'_, LockedState<J, R>>, earlier: Option<Instant>) {
        let vacant = state.is_vacant();
        drop(state);
        if let Some(time) = earlier {
            let here = match self.place() {
                PRIMARY => &self.primary,
                _ => &self.here,
            };
            here.set_alarm(time);
        }
        if vacant {
            self.shared.vacant.notify_waiters();
        }
    }

    /// As [`proceed`](Self::proceed), by the clock: when it is to come again.
    pub fn tick(self: &Arc<Self>) -> Option<Instant> {
        let mut state = self.lock();
        let moment = self.moment(Instant::now());
        let decisions = state.advance(moment);
        let work = self.compose(decisions, moment.now);
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
        gone.into_iter().for_each(let_go);
        self.shared.vacant.notify_waiters();
    }

    /// There is no runtime any more: takes nothing, and answers what is queued.
    pub fn end(self: &Arc<Self>) {
        self.lock().close();
        self.abandon();
    }

    /// Makes the handles, still under the lock, so that a departing caller finds its item
    /// either queued, in flight or answered.
    fn compose(
        self: &Arc<Self>,
        decisions: Decisions<Pending<J, R>, Waiter<J, R>>,
        now: Instant,
    ) -> Work<J, R> {
        let room_in = decisions.room_in;
        let resumed = decisions.resumed.into_iter();
        let batches = decisions.departures.into_iter();
        Work {
            gone: answer(decisions.expired, |room| match room {
                Room::Queue => Error::Expired { room_in },
                Room::Overflow => Error::Full { room_in },
            }),
            slots: resumed
                .map(|(whom, half)| (whom, Slot::new(self, half)))
                .collect(),
            batches: batches.map(|it| Dispatch::new(it, self, now)).collect(),
        }
    }

    fn perform(self: &Arc<Self>, work: Work<J, R>) {
        work.gone.into_iter().for_each(let_go);
        for (whom, slot) in work.slots {
            // Where nobody waits for it any more it is dropped, and so free.
            drop(whom.send(slot));
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
        if index != self.index {
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

impl<J: Send + 'static, R: Send + 'static> Dispatch<J, R> {
    fn new(departure: Departure<Pending<J, R>>, handle: &Arc<Handle<J, R>>, now: Instant) -> Self {
        let liveness = Arc::new(Liveness::default());
        let attach = |entry| {
            let member = Member::new(entry);
            // From the queue, which is no batch that could be told.
            let _ = member.answerer.attach(&liveness, member.bytes);
            member
        };
        Self {
            members: departure.entries.into_iter().map(attach).collect(),
            frame: departure.frame,
            reason: departure.reason,
            left: now,
            liveness,
            slot: Slot::new(handle, false),
        }
    }
}

/// Answers entries that were taken out.
fn answer<J, R>(
    entries: Vec<Gone<Pending<J, R>>>,
    reason: impl Fn(Room) -> Error,
) -> Vec<Answered<J>> {
    let answered = entries.into_iter().map(|(entry, room)| {
        let Pending { item, answerer, .. } = entry.item;
        // Nothing is lost by an answer that nobody waits for: it is an error.
        (item, answerer.answer(Err(reason(room))).ok())
    });
    answered.collect()
}

fn let_go<J>((item, caller): Answered<J>) {
    drop(item);
    caller.into_iter().for_each(Caller::wake);
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
