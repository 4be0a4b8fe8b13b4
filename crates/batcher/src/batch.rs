//! A batch that has left: its members, and the slot it occupies.

mod detached_members;

use std::sync::Arc;

use tokio::time::Instant;

use crate::contain::contain;
use crate::error::Error;
use crate::extent::Extent;
use crate::frame::Frame;
use crate::handle::{Dispatch, Handle, Slot};
use crate::liveness::Liveness;
use crate::member::Member;
use crate::policy::FlushReason;
use crate::queue::Loads;
use crate::remote_wakes::RemoteWakes;
use crate::slot_request::SlotRequest;
use crate::state::{Lane, Resuming};

/// Items that left together, for a processor to answer one by one.
///
/// Whatever is dropped unanswered answers for itself, then the slot is free.
///
/// A batch that is to be sent again later can [`park`](Self::park): it gives its
/// slot back, its members count as waiting, and a [`slot`](Self::slot) lets it
/// [`resume`](Self::resume).
///
/// Its items can be [taken](Self::take_items) out of it; then an `I` stands in the place
/// of each.
#[derive(Debug)]
pub struct Batch<J: Send + 'static, R: Send + 'static, I = J> {
    members: Vec<Member<I, R>>,
    frame: Option<Frame>,
    reason: FlushReason,
    left: Instant,
    liveness: Arc<Liveness>,
    handle: Arc<Handle<J, R>>,
    /// None while it is parked, and once its members have moved to another batch.
    slot: Option<Slot<J, R>>,
    parked: bool,
    /// Whether it is what a split has left of a larger one.
    half: bool,
}

impl<J: Send + 'static, R: Send + 'static> Batch<J, R> {
    pub(crate) fn new(dispatch: Dispatch<J, R>) -> Self {
        Self {
            members: dispatch.members,
            frame: dispatch.frame,
            reason: dispatch.reason,
            left: dispatch.left,
            liveness: dispatch.liveness,
            handle: Arc::clone(dispatch.slot.handle()),
            slot: Some(dispatch.slot),
            parked: false,
            half: false,
        }
    }
}

impl<J: Send + 'static, R: Send + 'static, I> Batch<J, R, I> {
    /// Takes the items out by value. What is left is the same batch, with the same
    /// members in the same order, to be answered; in the place of each item stands
    /// what `leaving` made of it, such as its key.
    pub fn take_items<L>(mut self, mut leaving: impl FnMut(&I) -> L) -> (Vec<I>, Batch<J, R, L>) {
        // All of it before anything is taken out: `leaving` may panic.
        let left: Vec<L> = self.members.iter().map(|it| leaving(&it.item)).collect();
        let members = std::mem::take(&mut self.members).into_iter().zip(left);
        let (items, members) = members.map(|(member, left)| member.exchange(left)).unzip();
        let batch = Batch {
            members,
            frame: self.frame.take(),
            reason: self.reason,
            left: self.left,
            liveness: Arc::clone(&self.liveness),
            handle: Arc::clone(&self.handle),
            slot: self.slot.take(),
            parked: std::mem::take(&mut self.parked),
            half: self.half,
        };
        (items, batch)
    }

    /// The members not yet answered or dropped, oldest first; detached ones that have
    /// taken free places come after those that callers wait for.
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

    /// How many units of `max_size` the members take up: as many as there are, where each
    /// weighs 1.
    pub fn weight(&self) -> usize {
        self.extent().weight
    }

    /// How large the batch is as `max_bytes` counts it: what the members add to it, as
    /// [`Options::bytes_in_batch`](crate::Options::bytes_in_batch) has told, and what it
    /// has besides.
    pub fn bytes(&self) -> usize {
        let overhead = self.handle.shared.settings.overhead_of(self.frame());
        self.extent().bytes + overhead
    }

    fn extent(&self) -> Extent {
        self.members.iter().map(|it| it.extent).sum()
    }

    /// What all members have as their frame.
    pub fn frame(&self) -> Option<&Frame> {
        self.frame.as_ref()
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
        let mut wakes = RemoteWakes::from(&self.handle);
        if !self.parked {
            for member in self.members.extract_if(.., |member| whose(member)) {
                let answer = answer(&member);
                if let Ok(caller) = member.answerer.answer(answer) {
                    wakes.wake(caller, member.runtime);
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
        let mut state = self.handle.lock();
        for (answer, member) in answers.into_iter().zip(members) {
            match member.answerer.answer(answer) {
                Ok(caller) => {
                    callers.push((caller, member.runtime));
                    state.leave_parked(Loads::one(member.bytes, member.detached.is_some()));
                    leftovers.push((member.item, None));
                }
                Err(answer) => leftovers.push((member.item, Some(answer))),
            }
        }
        self.handle.proceed(state);
        for (caller, runtime) in callers {
            contain(|| wakes.wake(caller, runtime));
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
    pub fn park(&mut self) {
        let Some(slot) = self.slot.take() else {
            return;
        };
        self.parked = true;
        let mut state = self.handle.lock();
        self.liveness.set_parked(true);
        state.park(self.loads());
        drop(state);
        drop(slot);
    }

    /// Lines up for a slot, with other parked batches and ahead of what is queued;
    /// resolves when it is there. A batch that lines up before it is parked goes before
    /// all that have not. Halves of batches that were split leave one slot to others,
    /// where there is more than one. A batch of detached members alone lines up with what
    /// is detached. It borrows nothing of the batch.
    pub fn slot(&self) -> impl Future<Output = Slot<J, R>> + Send + use<J, R, I> {
        let awaited = self.members.iter().filter(|it| it.answerer.is_awaited());
        let detached = |lane, member: &Member<I, R>| match member.is_detached() {
            true => lane,
            false => Lane::Callers,
        };
        let lane = awaited.clone().fold(Lane::Detached, detached);
        let oldest = awaited.map(|it| it.arrived).min();
        let batch = Resuming {
            // One that nobody waits for is no detached one.
            lane: oldest.map_or(Lane::Callers, |_| lane),
            half: self.half,
            oldest: oldest.unwrap_or(self.left),
        };
        SlotRequest::new(&self.handle, batch)
    }

    /// Goes on with a slot, without the members whose callers have left, or that were
    /// withdrawn.
    pub fn resume(&mut self, mut slot: Slot<J, R>) {
        if self.parked {
            let mut state = self.handle.lock();
            self.liveness.set_parked(false);
            state.unpark(self.loads());
            self.handle.proceed(state);
            self.parked = false;
        }
        // Whoever freed it, it is this runtime that has a batch more.
        slot.move_to(&self.handle);
        self.slot = Some(slot);
        self.forget_departed();
    }

    /// Drops the members whose callers have left, or that were withdrawn. Not while it is parked, when they
    /// count for nothing anyway.
    pub fn forget_departed(&mut self) {
        if !self.parked {
            self.members.retain(|member| member.answerer.is_awaited());
        }
    }

    /// Says that the batch was not sent: the next may leave as if this one had not, where
    /// none has left since. Of a half of a batch it is to be said right after it has its
    /// slot.
    pub fn was_not_sent(&self) {
        let left = (!self.half).then_some(self.left);
        let mut state = self.handle.lock();
        state.last_was_not_sent(left);
        self.handle.proceed(state);
    }

    /// Takes the later half of the members away into a batch of their own, which
    /// is parked: what follows the member in which half of the weight is reached, or the
    /// last, so that of several members each batch has some. Where all weigh the same, the
    /// earlier half is the larger one, if one is.
    #[must_use = "dropped, its members are answered as forgotten"]
    pub fn split(&mut self) -> Self {
        let members = self.members.split_off(self.half());
        self.half = true;
        let half = Self {
            members,
            frame: self.frame.clone(),
            reason: self.reason,
            left: self.left,
            liveness: Arc::default(),
            handle: Arc::clone(&self.handle),
            slot: None,
            parked: true,
            half: true,
        };
        let mut state = self.handle.lock();
        half.liveness.set_parked(true);
        state.park(half.loads());
        if self.parked {
            // They have counted as waiting already.
            state.leave_parked(half.loads());
        }
        let attach = |member: &Member<I, R>| member.answerer.attach(&half.liveness, member.bytes);
        let before: Vec<_> = half.members.iter().filter_map(attach).collect();
        drop(state);
        drop(before);
        half
    }

    /// How many members are its earlier half.
    fn half(&self) -> usize {
        let half = self.weight().div_ceil(2);
        let mut weight = 0;
        let light = self.members.iter().take_while(|it| {
            weight += it.extent.weight;
            weight < half
        });
        let most = self.members.len().saturating_sub(1).max(1);
        (light.count() + 1).min(most).min(self.members.len())
    }

    /// The members that are waited for. Under the batcher's lock this is what
    /// they count for while the batch is parked.
    fn loads(&self) -> Loads {
        let awaited = self
            .members
            .iter()
            .filter(|member| member.answerer.is_awaited());
        awaited.map(Member::loads).sum()
    }

    pub(crate) fn handle(&self) -> &Arc<Handle<J, R>> {
        &self.handle
    }

    /// A future that ends once no member is left whose caller waits, or that is detached
    /// and was not withdrawn. It borrows
    /// nothing of the batch; one may be awaited at a time.
    pub fn abandoned(&self) -> impl Future<Output = ()> + Send + 'static {
        let liveness = Arc::clone(&self.liveness);
        async move { liveness.emptied().await }
    }
}

impl<J: Send + 'static, R: Send + 'static, I> Drop for Batch<J, R, I> {
    fn drop(&mut self) {
        // Members are answered before the slot is free.
        self.settle(|_| true, |_| Err(Error::Dropped));
        if self.parked {
            let mut state = self.handle.lock();
            state.unpark(Loads::default());
            self.handle.proceed(state);
        }
    }
}
