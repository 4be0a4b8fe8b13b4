//! The two ends of one wait: who must answer, and who waits for it.
//!
//! [`pair`] makes both. The answering end can't be lost: dropped, it answers
//! [`Error::Dropped`]. The waiting end can leave at any time, and the
//! batch it has joined, if any, is told so.
//!
//! A waker is its maker's code, to be cloned, woken and dropped: all three happen
//! outside of locks, since it may come back to the batcher.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use crate::error::Error;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard};

type Answer<R> = Result<R, Error>;

/// Makes both ends.
pub(crate) fn pair<R>() -> (Answerer<R>, ReplySlot<R>) {
    let state = Arc::new(Mutex::new(Exchange::Waiting(Caller {
        progress: Progress::Queued,
        waker: None,
    })));
    (Answerer(Arc::clone(&state)), ReplySlot(state))
}

/// How far a waiting item has come.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// It waits for a batch.
    Queued,
    /// Its batch has left; with the item's bytes.
    InFlight(Arc<Liveness>, usize),
}

#[derive(Debug)]
enum Exchange<R> {
    Waiting(Caller),
    Answered(Answer<R>),
    /// The answer was taken, or nobody waits for it any more.
    Over,
}

impl<R> Exchange<R> {
    /// The answer, where none is to come any more.
    fn take(&mut self) -> Option<Answer<R>> {
        match std::mem::replace(self, Self::Over) {
            Self::Answered(answer) => Some(answer),
            Self::Over => Some(Err(Error::Dropped)),
            waiting => {
                *self = waiting;
                None
            }
        }
    }
}

/// A caller that waits, or has just ceased to, which its batch is told when this is
/// dropped. To be woken and dropped outside of locks.
#[derive(Debug)]
#[must_use = "somebody may wait to be woken"]
pub(crate) struct Caller {
    progress: Progress,
    waker: Option<Waker>,
}

impl Caller {
    /// Wakes it, if it sleeps.
    pub fn wake(self) {
        self.into_waker().into_iter().for_each(Waker::wake);
    }

    /// How to wake it, if it sleeps.
    pub fn into_waker(mut self) -> Option<Waker> {
        self.waker.take()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.progress.leave();
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
    /// Puts the item of this many bytes into a batch, and hands back where it was,
    /// to be [left](Progress::leave) outside of locks.
    pub fn attach(&self, liveness: &Arc<Liveness>, bytes: usize) -> Option<Progress> {
        match &mut *lock(&self.0) {
            Exchange::Waiting(caller) => {
                liveness.live.fetch_add(1, Ordering::Relaxed);
                let progress = Progress::InFlight(Arc::clone(liveness), bytes);
                Some(std::mem::replace(&mut caller.progress, progress))
            }
            _ => None,
        }
    }

    /// Whether the answer is still to come and somebody waits for it.
    pub fn is_awaited(&self) -> bool {
        matches!(*lock(&self.0), Exchange::Waiting(..))
    }

    /// Answers, and hands back whom to wake.
    ///
    /// # Errors
    /// The answer, where nobody waits for it any more.
    pub fn answer(self, answer: Answer<R>) -> Result<Caller, Answer<R>> {
        self.settle(answer)
    }

    fn settle(&self, answer: Answer<R>) -> Result<Caller, Answer<R>> {
        let mut state = lock(&self.0);
        match std::mem::replace(&mut *state, Exchange::Over) {
            Exchange::Waiting(caller) => {
                *state = Exchange::Answered(answer);
                Ok(caller)
            }
            settled => {
                *state = settled;
                Err(answer)
            }
        }
    }
}

impl<R> Drop for Answerer<R> {
    fn drop(&mut self) {
        if let Ok(caller) = self.settle(Err(Error::Dropped)) {
            caller.wake();
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
        if let Exchange::Waiting(caller) = &*state
            && let Some(waker) = &caller.waker
            && waker.will_wake(context.waker())
        {
            return Poll::Pending;
        }
        drop(state);
        let mut waker = Some(context.waker().clone());
        let mut state = lock(&self.0);
        let answer = state.take();
        if let Exchange::Waiting(caller) = &mut *state {
            std::mem::swap(&mut caller.waker, &mut waker);
        }
        drop(state);
        // The one before, or the new one where the answer has come meanwhile.
        drop(waker);
        answer.map_or(Poll::Pending, Poll::Ready)
    }

    /// How far the item has come; `None` once it is answered.
    pub fn progress(&self) -> Option<Progress> {
        match &*lock(&self.0) {
            Exchange::Waiting(caller) => Some(caller.progress.clone()),
            _ => None,
        }
    }

    /// Gives up waiting.
    pub fn leave(&self) -> Departed<R> {
        Departed(std::mem::replace(&mut *lock(&self.0), Exchange::Over))
    }

    /// Whether the answer was taken.
    pub fn is_over(&self) -> bool {
        matches!(*lock(&self.0), Exchange::Over)
    }
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

    /// The bytes of an item whose batch is parked, so that it counted as waiting.
    pub fn parked_bytes(&self) -> Option<usize> {
        match &self.0 {
            Exchange::Waiting(caller) => match &caller.progress {
                Progress::InFlight(liveness, bytes) if liveness.is_parked() => Some(*bytes),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Progress {
    /// Tells the batch that it has one caller less. Outside of locks.
    pub fn leave(&self) {
        if let Self::InFlight(liveness, _) = self
            && liveness.live.fetch_sub(1, Ordering::AcqRel) == 1
        {
            liveness.empty.notify_one();
        }
    }
}

/// What a batch knows of its members' callers.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    /// Members that are unanswered and whose caller still waits.
    live: AtomicUsize,
    empty: Notify,
    /// Whether the members count as waiting. Read and written under the
    /// batcher's lock alone.
    parked: AtomicBool,
}

impl Liveness {
    /// Whether the batch has given its slot back for a while.
    pub fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Relaxed)
    }

    /// Sets that, under the batcher's lock.
    pub fn set_parked(&self, parked: bool) {
        self.parked.store(parked, Ordering::Relaxed);
    }

    /// Waits until no member is left to answer. One waiter at a time.
    pub async fn emptied(&self) {
        while self.live.load(Ordering::Acquire) > 0 {
            self.empty.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Weak, mpsc};
    use std::task::Wake;
    use std::thread;
    use std::time::Duration;

    use super::*;

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
        assert_eq!(answerer.answer(Ok(7)).unwrap_err(), Ok(7));
        assert!(slot.progress().is_none());
    }

    /// Looks at the slot when it is dropped.
    struct Looks(Weak<ReplySlot<u64>>);

    impl Wake for Looks {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Looks {
        fn drop(&mut self) {
            self.0.upgrade().map(|slot| slot.progress());
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
