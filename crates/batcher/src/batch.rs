//! A batch that has left: its members, and the slot it occupies.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::desk::{Index, Waking};
use super::error::Error;
use super::local::Local;
use super::policy::FlushReason;
use super::queue::{Entry, Load};
use super::seat::{Answerer, Flight, Stage};
use super::state::Pending;
use super::{Batcher, Slot};

/// Items that left together, for a processor to answer one by one.
///
/// Whatever is dropped unanswered answers for itself, then the slot is free.
///
/// A batch that is to be sent again later can [`rest`](Self::rest): it gives its
/// slot back, its members count as waiting, and a [`slot`](Self::slot) lets it
/// [`resume`](Self::resume).
///
/// Its items can be [taken](Self::take_items) out of it; then an `I` stands in the place
/// of each.
#[derive(Debug)]
pub struct Batch<J: Send + 'static, R: Send + 'static, I = J> {
    members: Vec<Member<I, R>>,
    reason: FlushReason,
    left: Instant,
    flight: Arc<Flight>,
    local: Arc<Local<J, R>>,
    /// None while it rests, and once its members have moved to another batch.
    slot: Option<Slot<J, R>>,
    rests: bool,
    /// Whether it is what a split has left of a larger one.
    half: bool,
}

impl<J: Send + 'static, R: Send + 'static> Batch<J, R> {
    pub(super) fn new(
        entries: Vec<Entry<Pending<J, R>>>,
        reason: FlushReason,
        left: Instant,
        slot: Slot<J, R>,
    ) -> Self {
        let flight = Arc::new(Flight::default());
        let members = entries
            .into_iter()
            .map(|entry| {
                let Pending {
                    item,
                    answerer,
                    desk,
                } = entry.item;
                // From the queue, which is no batch that could be told.
                let _ = answerer.board(&flight, entry.bytes);
                Member {
                    item,
                    answerer,
                    desk,
                    bytes: entry.bytes,
                    arrived: entry.arrived,
                    deadline: entry.deadline,
                }
            })
            .collect();
        Self {
            members,
            reason,
            left,
            flight,
            local: Arc::clone(slot.local()),
            slot: Some(slot),
            half: false,
            rests: false,
        }
    }
}

impl<J: Send + 'static, R: Send + 'static, I> Batch<J, R, I> {
    /// Takes the items out by value. What is left is the same batch, with the same
    /// members in the same order, to be answered; in the place of each item stands
    /// what `leaving` made of it, such as its key.
    pub fn take_items<L>(mut self, mut leaving: impl FnMut(&I) -> L) -> (Vec<I>, Batch<J, R, L>) {
        let members = std::mem::take(&mut self.members).into_iter();
        let (items, members) = members.map(|it| it.exchange(&mut leaving)).unzip();
        let batch = Batch {
            members,
            reason: self.reason,
            left: self.left,
            flight: Arc::clone(&self.flight),
            local: Arc::clone(&self.local),
            slot: self.slot.take(),
            rests: std::mem::take(&mut self.rests),
            half: self.half,
        };
        (items, batch)
    }

    /// The members not yet answered or dropped, oldest first.
    pub fn members(&self) -> &[Member<I, R>] {
        &self.members
    }

    /// How many those are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Why the batch left.
    pub fn reason(&self) -> FlushReason {
        self.reason
    }

    /// When the batch left.
    pub fn left(&self) -> Instant {
        self.left
    }

    /// Answers every remaining member.
    pub fn answer_all(&mut self, mut answer: impl FnMut(&Member<I, R>) -> R) {
        self.try_answer_all(|member| Ok(answer(member)));
    }

    /// Answers every remaining member, with a result or with why it has none.
    pub fn try_answer_all(&mut self, answer: impl FnMut(&Member<I, R>) -> Result<R, Error>) {
        self.settle(|_| true, answer);
    }

    /// Answers the members whose deadline has come by then; the others stay.
    pub fn answer_expired(&mut self, then: Instant, mut answer: impl FnMut(&Member<I, R>) -> R) {
        self.settle(
            |member| member.deadline.is_some_and(|it| it <= then),
            |member| Ok(answer(member)),
        );
    }

    fn settle(
        &mut self,
        whose: impl Fn(&Member<I, R>) -> bool,
        mut answer: impl FnMut(&Member<I, R>) -> Result<R, Error>,
    ) {
        let mut waking = Waking::from(&self.local);
        if !self.rests {
            for member in self.members.extract_if(.., |member| whose(member)) {
                let answer = answer(&member);
                if let Ok(caller) = member.answerer.answer(answer) {
                    waking.wake(caller, member.desk);
                }
            }
            return;
        }
        // Each gives its room back in the step that answers it, and so stays in
        // the batch until then: an `answer` that panics leaves them all to the drop.
        let theirs = self.members.iter().filter(|member| whose(member));
        let answers: Vec<_> = theirs.map(&mut answer).collect();
        let members = self.members.extract_if(.., |member| whose(member));
        let (mut callers, mut leftovers) = (Vec::new(), Vec::new());
        let mut state = self.local.lock();
        for (answer, member) in answers.into_iter().zip(members) {
            match member.answerer.answer(answer) {
                Ok(caller) => {
                    callers.push((caller, member.desk));
                    state.end_rest(Load::one(member.bytes));
                    leftovers.push((member.item, None));
                }
                Err(answer) => leftovers.push((member.item, Some(answer))),
            }
        }
        self.local.proceed(state);
        for (caller, desk) in callers {
            waking.wake(caller, desk);
        }
    }

    /// The earliest deadline of the members; none where all may wait for ever.
    pub fn earliest_deadline(&self) -> Option<Instant> {
        self.members.iter().filter_map(|it| it.deadline).min()
    }

    /// When the deadlines of all members have come; none where one may wait for
    /// ever, or none is left.
    pub fn latest_deadline(&self) -> Option<Instant> {
        let deadlines = self.members.iter().map(|it| it.deadline);
        deadlines
            .reduce(|one, other| Some(one?.max(other?)))
            .flatten()
    }

    /// Gives the slot back. The members stay in the batch, and count as waiting
    /// until it is resumed, answered or dropped.
    pub fn rest(&mut self) {
        let Some(slot) = self.slot.take() else {
            return;
        };
        self.rests = true;
        let mut state = self.local.lock();
        self.flight.set_rests(true);
        state.rest(self.load());
        drop(state);
        drop(slot);
    }

    /// Lines up for a slot, with other batches that rest and ahead of what is
    /// queued; resolves when it is there. Whoever lines up before it rests goes
    /// before all who have not. Halves of batches that were split leave one slot to
    /// others, where there is more than one. It borrows nothing of the batch.
    pub fn slot(&self) -> impl Future<Output = Slot<J, R>> + Send + 'static {
        let (place, slot) = oneshot::channel();
        self.local.line_up(place, self.half);
        let local = Arc::clone(&self.local);
        async move {
            let slot = slot.await;
            // A place is given up only with the batcher, which is held here.
            drop(local);
            match slot {
                Ok(slot) => slot,
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Goes on with a slot, without the members whose callers have left.
    pub fn resume(&mut self, mut slot: Slot<J, R>) {
        if self.rests {
            let mut state = self.local.lock();
            self.flight.set_rests(false);
            state.rested(self.load());
            self.local.proceed(state);
            self.rests = false;
        }
        // Whoever freed it, it is this runtime that has a batch more.
        slot.move_to(&self.local);
        self.slot = Some(slot);
        self.forget_departed();
    }

    /// Drops the members whose callers have left. Not while it rests, when they
    /// count for nothing anyway.
    pub fn forget_departed(&mut self) {
        if !self.rests {
            self.members.retain(|member| member.answerer.is_awaited());
        }
    }

    /// Says that the batch was not sent, right after it left: the next may leave
    /// as if this one had not.
    pub fn was_not_sent(&self) {
        let mut state = self.local.lock();
        state.last_was_not_sent();
        self.local.proceed(state);
    }

    /// Takes the later half of the members away into a batch of their own, which
    /// rests. The other half is the larger one, if one is.
    #[must_use = "dropped, its members are answered as forgotten"]
    pub fn split(&mut self) -> Self {
        let members = self.members.split_off(self.members.len().div_ceil(2));
        self.half = true;
        let half = Self {
            members,
            reason: self.reason,
            left: self.left,
            flight: Arc::default(),
            local: Arc::clone(&self.local),
            slot: None,
            rests: true,
            half: true,
        };
        let mut state = self.local.lock();
        half.flight.set_rests(true);
        state.rest(half.load());
        if self.rests {
            // They have counted as waiting already.
            state.end_rest(half.load());
        }
        let board = |member: &Member<I, R>| member.answerer.board(&half.flight, member.bytes);
        let stages: Vec<_> = half.members.iter().filter_map(board).collect();
        drop(state);
        stages.iter().for_each(Stage::leave);
        half
    }

    /// Has it processed on another runtime, before anybody has got to know of it.
    pub(super) fn move_to(&mut self, local: Arc<Local<J, R>>) {
        if let Some(slot) = &mut self.slot {
            slot.move_to(&local);
        }
        self.local = local;
    }

    /// The members that are waited for. Under the batcher's lock this is what
    /// they count for while the batch rests.
    fn load(&self) -> Load {
        let awaited = self
            .members
            .iter()
            .filter(|member| member.answerer.is_awaited());
        awaited.map(|member| Load::one(member.bytes)).sum()
    }

    /// Which of the batcher's runtimes it is processed on: 0 for the one that the
    /// batcher was made on, 1 for the first of
    /// [`on_this_runtime`](Batcher::on_this_runtime), and so on.
    pub fn runtime(&self) -> usize {
        self.local.place()
    }

    /// The batcher that the batch comes from.
    pub fn batcher(&self) -> Batcher<J, R> {
        Batcher(Arc::clone(&self.local))
    }

    /// A future that ends once no member is left whose caller waits. It borrows
    /// nothing of the batch; one may be awaited at a time.
    pub fn abandoned(&self) -> impl Future<Output = ()> + Send + 'static {
        let flight = Arc::clone(&self.flight);
        async move { flight.emptied().await }
    }
}

impl<J: Send + 'static, R: Send + 'static, I> Drop for Batch<J, R, I> {
    fn drop(&mut self) {
        // Members are answered before the slot is free.
        self.settle(|_| true, |_| Err(Error::Dropped));
        if self.rests {
            let mut state = self.local.lock();
            state.rested(Load::default());
            self.local.proceed(state);
        }
    }
}

/// One item of a batch, and the duty to answer it.
#[derive(Debug)]
pub struct Member<J, R> {
    item: J,
    answerer: Answerer<R>,
    /// Where its caller waits.
    desk: Index,
    bytes: usize,
    arrived: Instant,
    deadline: Option<Instant>,
}

impl<J, R> Member<J, R> {
    /// Takes the item out, and leaves something else in its place.
    fn exchange<L>(self, leaving: impl FnOnce(&J) -> L) -> (J, Member<L, R>) {
        let left = Member {
            item: leaving(&self.item),
            answerer: self.answerer,
            desk: self.desk,
            bytes: self.bytes,
            arrived: self.arrived,
            deadline: self.deadline,
        };
        (self.item, left)
    }

    /// The item.
    pub fn item(&self) -> &J {
        &self.item
    }

    /// When the item was submitted.
    pub fn arrived(&self) -> Instant {
        self.arrived
    }

    /// How long it had waited by `left`.
    pub fn waited(&self, left: Instant) -> Duration {
        left.saturating_duration_since(self.arrived)
    }
}
