//! The two ends of one wait: who must answer, and who waits for it.
//!
//! [`pair`] makes both. The answering end can't be lost: dropped, it answers
//! [`Error::Dropped`]. The waiting end can leave at any time, and the
//! batch it has joined, if any, is told so.
//!
//! A waker is its maker's code, to be cloned, woken and dropped, and so is what is done
//! with the answer to a detached item: all of it happens outside of locks, since it may
//! come back to the batcher.

use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use crate::error::Error;
use crate::liveness::{Liveness, Membership};
use crate::queue::Ticket;
use crate::recipient::{Answer, Delivery, Recipient};
use crate::sync::{Mutex, MutexGuard};

/// Makes both ends.
pub(crate) fn pair<R>(recipient: Recipient<R>) -> (Answerer<R>, ReplySlot<R>) {
    let state = Arc::new(Mutex::new(Exchange::Waiting(Waiting {
        progress: Progress::Queued(None),
        recipient,
    })));
    (Answerer(Arc::clone(&state)), ReplySlot(state))
}

/// How far a waiting item has come.
#[derive(Debug)]
enum Progress {
    /// It waits for a batch; where, if it was told.
    Queued(Option<Ticket>),
    /// Its batch has left.
    InFlight(Membership),
}

impl Progress {
    fn into_membership(self) -> Option<Membership> {
        match self {
            Self::Queued(_) => None,
            Self::InFlight(membership) => Some(membership),
        }
    }
}

/// How far an unanswered item has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits for a batch, or for room in the queue.
    Queued,
    /// Its batch has left.
    InFlight,
}

#[derive(Debug)]
struct Waiting<R> {
    progress: Progress,
    recipient: Recipient<R>,
}

#[derive(Debug)]
enum Exchange<R> {
    Waiting(Waiting<R>),
    /// A caller is to take it.
    Answered(Answer<R>),
    /// The answer was taken, or nobody waits for it any more.
    Over,
}

impl<R> Exchange<R> {
    /// The answer, where none is to come any more.
    #[inline]
    fn take(&mut self) -> Option<Answer<R>> {
        // Looked at first, so that what waits is not moved.
        if let Self::Waiting(_) = self {
            return None;
        }
        match std::mem::replace(self, Self::Over) {
            Self::Answered(answer) => Some(answer),
            _ => Some(Err(Error::Dropped)),
        }
    }
}

fn lock<R>(state: &Mutex<Exchange<R>>) -> MutexGuard<'_, Exchange<R>> {
    // Nothing panics while it is held, so there is nothing to mistrust.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end that must answer.
#[derive(Debug)]
pub(crate) struct Answerer<R>(Arc<Mutex<Exchange<R>>>);

impl<R> Answerer<R> {
    /// Puts the item of this many bytes into a batch. Hands back its membership in the
    /// one before, to be dropped outside of locks.
    pub fn attach(&self, liveness: &Arc<Liveness>, bytes: usize) -> Option<Membership> {
        self.proceed_to(|| Progress::InFlight(Membership::of(liveness, bytes)))?
            .into_membership()
    }

    /// Puts the item back in line. Hands back its membership in the batch, to be dropped
    /// outside of locks.
    pub fn detach(&self, ticket: Ticket) -> Option<Membership> {
        self.proceed_to(|| Progress::Queued(Some(ticket)))?
            .into_membership()
    }

    /// What it was before; `None` where nobody waits any more.
    fn proceed_to(&self, progress: impl FnOnce() -> Progress) -> Option<Progress> {
        match &mut *lock(&self.0) {
            Exchange::Waiting(waiting) => {
                Some(std::mem::replace(&mut waiting.progress, progress()))
            }
            _ => None,
        }
    }

    /// Whether the answer is still to come and somebody waits for it.
    pub fn is_awaited(&self) -> bool {
        matches!(*lock(&self.0), Exchange::Waiting(..))
    }

    /// Answers, and hands back whom to tell.
    ///
    /// # Errors
    /// The answer, where nobody waits for it any more.
    pub fn answer(self, answer: Answer<R>) -> Result<Delivery<R>, Answer<R>> {
        self.settle(answer)
    }

    fn settle(&self, answer: Answer<R>) -> Result<Delivery<R>, Answer<R>> {
        let mut state = lock(&self.0);
        let Exchange::Waiting(waiting) = &mut *state else {
            return Err(answer);
        };
        let progress = std::mem::replace(&mut waiting.progress, Progress::Queued(None));
        let recipient = std::mem::replace(&mut waiting.recipient, Recipient::Caller(None));
        let membership = progress.into_membership();
        Ok(match recipient {
            Recipient::Caller(waker) => {
                *state = Exchange::Answered(answer);
                Delivery::Caller { waker, membership }
            }
            Recipient::Detached(on_answer) => {
                *state = Exchange::Over;
                Delivery::of_detached(on_answer, answer, membership)
            }
        })
    }

    /// Nobody is answered any more. What is left of that is dropped outside of locks.
    pub fn forget(&self) -> Departed<R> {
        leave(&self.0)
    }
}

impl<R> Drop for Answerer<R> {
    fn drop(&mut self) {
        if let Ok(delivery) = self.settle(Err(Error::Dropped)) {
            delivery.tell();
        }
    }
}

/// The end that waits.
#[derive(Debug)]
pub(crate) struct ReplySlot<R>(Arc<Mutex<Exchange<R>>>);

impl<R> ReplySlot<R> {
    /// Takes the answer when it is there. Not to be polled again after that.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Answer<R>> {
        let mut state = lock(&self.0);
        if let Some(answer) = state.take() {
            return Poll::Ready(answer);
        }
        if let Exchange::Waiting(waiting) = &*state
            && let Recipient::Caller(Some(waker)) = &waiting.recipient
            && waker.will_wake(context.waker())
        {
            return Poll::Pending;
        }
        drop(state);
        let mut waker = Some(context.waker().clone());
        let mut state = lock(&self.0);
        let answer = state.take();
        if let Exchange::Waiting(waiting) = &mut *state
            && let Recipient::Caller(before) = &mut waiting.recipient
        {
            std::mem::swap(before, &mut waker);
        }
        drop(state);
        // The one before, or the new one where the answer has come meanwhile.
        drop(waker);
        answer.map_or(Poll::Pending, Poll::Ready)
    }

    /// How far the item has come; `None` once it is answered.
    pub fn stage(&self) -> Option<Stage> {
        match &*lock(&self.0) {
            Exchange::Waiting(waiting) => Some(match waiting.progress {
                Progress::Queued(_) => Stage::Queued,
                Progress::InFlight(_) => Stage::InFlight,
            }),
            _ => None,
        }
    }

    /// The item is queued there.
    pub fn set_ticket(&self, ticket: Ticket) {
        if let Exchange::Waiting(waiting) = &mut *lock(&self.0) {
            waiting.progress = Progress::Queued(Some(ticket));
        }
    }

    /// Gives up waiting.
    pub fn leave(&self) -> Departed<R> {
        leave(&self.0)
    }

    /// Gives up waiting, if the item is queued and was told where: there.
    pub fn leave_queue(&self) -> Option<(Ticket, Departed<R>)> {
        let mut state = lock(&self.0);
        let Exchange::Waiting(waiting) = &*state else {
            return None;
        };
        let Progress::Queued(Some(ticket)) = waiting.progress else {
            return None;
        };
        let left = std::mem::replace(&mut *state, Exchange::Over);
        Some((ticket, Departed(left)))
    }

    /// Whether the answer was taken.
    pub fn is_over(&self) -> bool {
        matches!(*lock(&self.0), Exchange::Over)
    }
}

fn leave<R>(state: &Mutex<Exchange<R>>) -> Departed<R> {
    Departed(std::mem::replace(&mut *lock(state), Exchange::Over))
}

/// What somebody left behind. Dropped outside of locks: there may be an answer in
/// it, and its batch is told then.
#[must_use = "an answer may be lost"]
pub(crate) struct Departed<R>(Exchange<R>);

impl<R> Departed<R> {
    /// Whether an answer is lost: one still to come, or one that nobody took;
    /// that an item was never taken is none.
    pub fn loses_an_answer(&self) -> bool {
        match &self.0 {
            Exchange::Waiting(..) => true,
            Exchange::Answered(Ok(_)) => true,
            Exchange::Answered(Err(unanswered)) => unanswered.had_entered(),
            Exchange::Over => false,
        }
    }

    /// Where the item is queued, if it is and was told so.
    pub fn ticket(&self) -> Option<Ticket> {
        match &self.0 {
            Exchange::Waiting(Waiting {
                progress: Progress::Queued(ticket),
                ..
            }) => *ticket,
            _ => None,
        }
    }

    /// The bytes of an item whose batch is parked, so that it counted as waiting.
    pub fn parked_bytes(&self) -> Option<usize> {
        match &self.0 {
            Exchange::Waiting(Waiting {
                progress: Progress::InFlight(membership),
                ..
            }) => membership.parked_bytes(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Weak, mpsc};
    use std::task::{Wake, Waker};
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn pair<R>() -> (Answerer<R>, ReplySlot<R>) {
        super::pair(Recipient::Caller(None))
    }

    fn poll<R>(slot: &ReplySlot<R>) -> Poll<Answer<R>> {
        slot.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_answer_is_taken_once() {
        let (answerer, slot) = pair();
        assert!(poll(&slot).is_pending());
        assert!(answerer.answer(Ok(7)).is_ok());
        assert!(!slot.is_over());
        assert_eq!(poll(&slot), Poll::Ready(Ok(7)));
        assert!(slot.is_over() && !slot.leave().loses_an_answer());
    }

    #[test]
    fn an_untaken_answer_is_lost() {
        for (answer, lost) in [
            (Ok(7), true),
            (Err(Error::Dropped), true),
            (
                Err(Error::Full {
                    room_in: Duration::from_secs(1),
                }),
                false,
            ),
            (Err(Error::Closed), false),
        ] {
            let (answerer, slot) = pair();
            assert!(answerer.answer(answer).is_ok());
            assert_eq!(slot.leave().loses_an_answer(), lost);
        }
    }

    #[test]
    fn an_answerer_dropped_has_answered() {
        let (answerer, slot) = pair::<()>();
        drop(answerer);
        assert_eq!(poll(&slot), Poll::Ready(Err(Error::Dropped)));
    }

    #[test]
    fn departed_caller_is_not_answered() {
        let (answerer, slot) = pair();
        assert!(slot.leave().loses_an_answer());
        assert_eq!(answerer.answer(Ok(7)).err(), Some(Ok(7)));
        assert!(slot.stage().is_none());
    }

    /// Looks at the slot when it is dropped.
    struct Looks(Weak<ReplySlot<u64>>);

    impl Wake for Looks {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Looks {
        fn drop(&mut self) {
            self.0.upgrade().map(|slot| slot.stage());
        }
    }

    #[test]
    fn a_waker_may_look_at_the_slot_when_it_is_dropped() {
        // Where it can't hang the test.
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            let (answerer, slot) = pair();
            let slot = Arc::new(slot);
            for _ in 0..2 {
                let waker = Waker::from(Arc::new(Looks(Arc::downgrade(&slot))));
                let first = slot.poll(&mut Context::from_waker(&waker));
                assert!(first.is_pending());
            }
            drop(answerer.answer(Ok(7)));
            ended.send(poll(&slot)).unwrap();
        });
        let polled = end.recv_timeout(Duration::from_secs(60));
        assert_eq!(polled, Ok(Poll::Ready(Ok(7))), "it waits for itself");
    }

    #[tokio::test]
    async fn liveness_ends_when_all_were_answered_or_left() {
        let liveness = Arc::new(Liveness::default());
        let (first, first_slot) = pair();
        let (second, second_slot) = pair::<()>();
        first.attach(&liveness, 1);
        second.attach(&liveness, 1);
        let mut emptied = std::pin::pin!(liveness.emptied());
        let mut context = Context::from_waker(Waker::noop());
        assert!(emptied.as_mut().poll(&mut context).is_pending());
        assert!(first.answer(Ok(())).is_ok());
        assert!(emptied.as_mut().poll(&mut context).is_pending());
        let _ = second_slot.leave();
        emptied.await;
        assert_eq!(poll(&first_slot), Poll::Ready(Ok(())));
    }
}
