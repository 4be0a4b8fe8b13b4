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

use super::error::Error;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard};

type Answer<R> = Result<R, Error>;

/// Makes both ends.
pub(super) fn pair<R>() -> (Answerer<R>, Seat<R>) {
    let state = Arc::new(Mutex::new(State::Waiting(Caller {
        stage: Stage::Queued,
        waker: None,
    })));
    (Answerer(Arc::clone(&state)), Seat(state))
}

/// How far a waiting item has come.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// It waits for a batch.
    Queued,
    /// Its batch has left; with the item's bytes.
    InFlight(Arc<Flight>, usize),
}

#[derive(Debug)]
enum State<R> {
    Waiting(Caller),
    Answered(Answer<R>),
    /// The answer was taken, or nobody waits for it any more.
    Over,
}

impl<R> State<R> {
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
pub(super) struct Caller {
    stage: Stage,
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
        self.stage.leave();
    }
}

fn lock<R>(state: &Mutex<State<R>>) -> MutexGuard<'_, State<R>> {
    // Nothing panics while it is held, so there is nothing to mistrust.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end that must answer.
#[derive(Debug)]
pub(super) struct Answerer<R>(Arc<Mutex<State<R>>>);

impl<R> Answerer<R> {
    /// Puts the item of this many bytes into a batch, and hands back where it was,
    /// to be [left](Stage::leave) outside of locks.
    pub fn board(&self, flight: &Arc<Flight>, bytes: usize) -> Option<Stage> {
        match &mut *lock(&self.0) {
            State::Waiting(caller) => {
                flight.live.fetch_add(1, Ordering::Relaxed);
                let stage = Stage::InFlight(Arc::clone(flight), bytes);
                Some(std::mem::replace(&mut caller.stage, stage))
            }
            _ => None,
        }
    }

    /// Whether the answer is still to come and somebody waits for it.
    pub fn is_awaited(&self) -> bool {
        matches!(*lock(&self.0), State::Waiting(..))
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
        match std::mem::replace(&mut *state, State::Over) {
            State::Waiting(caller) => {
                *state = State::Answered(answer);
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
pub(super) struct Seat<R>(Arc<Mutex<State<R>>>);

impl<R> Seat<R> {
    /// Takes the answer when it is there. Not to be polled again after that.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Answer<R>> {
        let mut state = lock(&self.0);
        if let Some(answer) = state.take() {
            return Poll::Ready(answer);
        }
        if let State::Waiting(caller) = &*state
            && let Some(waker) = &caller.waker
            && waker.will_wake(context.waker())
        {
            return Poll::Pending;
        }
        drop(state);
        let mut waker = Some(context.waker().clone());
        let mut state = lock(&self.0);
        let answer = state.take();
        if let State::Waiting(caller) = &mut *state {
            std::mem::swap(&mut caller.waker, &mut waker);
        }
        drop(state);
        // The one before, or the new one where the answer has come meanwhile.
        drop(waker);
        answer.map_or(Poll::Pending, Poll::Ready)
    }

    /// How far the item has come; `None` once it is answered.
    pub fn stage(&self) -> Option<Stage> {
        match &*lock(&self.0) {
            State::Waiting(caller) => Some(caller.stage.clone()),
            _ => None,
        }
    }

    /// Gives up waiting.
    pub fn leave(&self) -> Left<R> {
        Left(std::mem::replace(&mut *lock(&self.0), State::Over))
    }

    /// Whether the answer was taken.
    pub fn is_over(&self) -> bool {
        matches!(*lock(&self.0), State::Over)
    }
}

/// What somebody left behind. Dropped outside of locks: there may be an answer in
/// it, and its batch is told then.
#[must_use = "an answer may be lost"]
pub(super) struct Left<R>(State<R>);

impl<R> Left<R> {
    /// Whether an answer is lost: one still to come, or one that nobody took;
    /// that an item was never taken is none.
    pub fn loses_an_answer(&self) -> bool {
        match &self.0 {
            State::Waiting(..) => true,
            State::Answered(Ok(_)) => true,
            State::Answered(Err(unanswered)) => unanswered.had_entered(),
            State::Over => false,
        }
    }

    /// The bytes of an item whose batch rests, so that it counted as waiting.
    pub fn rested(&self) -> Option<usize> {
        match &self.0 {
            State::Waiting(caller) => match &caller.stage {
                Stage::InFlight(flight, bytes) if flight.rests() => Some(*bytes),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Stage {
    /// Tells the batch that it has one caller less. Outside of locks.
    pub fn leave(&self) {
        if let Self::InFlight(flight, _) = self
            && flight.live.fetch_sub(1, Ordering::AcqRel) == 1
        {
            flight.empty.notify_one();
        }
    }
}

/// What a batch knows of its members' callers.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Members that are unanswered and whose caller still waits.
    live: AtomicUsize,
    empty: Notify,
    /// Whether the members count as waiting. Read and written under the
    /// batcher's lock alone.
    rests: AtomicBool,
}

impl Flight {
    /// Whether the batch has given its slot back for a while.
    pub fn rests(&self) -> bool {
        self.rests.load(Ordering::Relaxed)
    }

    /// Sets that, under the batcher's lock.
    pub fn set_rests(&self, rests: bool) {
        self.rests.store(rests, Ordering::Relaxed);
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

    fn poll<R>(seat: &Seat<R>) -> Poll<Answer<R>> {
        seat.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_answer_is_taken_once() {
        let (answerer, seat) = pair();
        assert!(poll(&seat).is_pending());
        assert!(answerer.answer(Ok(7)).is_ok());
        assert!(!seat.is_over());
        assert_eq!(poll(&seat), Poll::Ready(Ok(7)));
        assert!(seat.is_over() && !seat.leave().loses_an_answer());
    }

    #[test]
    fn an_answer_nobody_took_is_lost() {
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
            let (answerer, seat) = pair();
            assert!(answerer.answer(answer).is_ok());
            assert_eq!(seat.leave().loses_an_answer(), lost);
        }
    }

    #[test]
    fn an_answerer_dropped_has_answered() {
        let (answerer, seat) = pair::<()>();
        drop(answerer);
        assert_eq!(poll(&seat), Poll::Ready(Err(Error::Dropped)));
    }

    #[test]
    fn who_left_is_not_answered() {
        let (answerer, seat) = pair();
        assert!(seat.leave().loses_an_answer());
        assert_eq!(answerer.answer(Ok(7)).unwrap_err(), Ok(7));
        assert!(seat.stage().is_none());
    }

    /// Looks at the seat when it is dropped.
    struct Looks(Weak<Seat<u64>>);

    impl Wake for Looks {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Looks {
        fn drop(&mut self) {
            self.0.upgrade().map(|seat| seat.stage());
        }
    }

    #[test]
    fn a_waker_may_look_at_the_seat_when_it_is_dropped() {
        // Where it can't hang the test.
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            let (answerer, seat) = pair();
            let seat = Arc::new(seat);
            for _ in 0..2 {
                let waker = Waker::from(Arc::new(Looks(Arc::downgrade(&seat))));
                let first = seat.poll(&mut Context::from_waker(&waker));
                assert!(first.is_pending());
            }
            drop(answerer.answer(Ok(7)));
            ended.send(poll(&seat)).unwrap();
        });
        let polled = end.recv_timeout(Duration::from_secs(60));
        assert_eq!(polled, Ok(Poll::Ready(Ok(7))), "it waits for itself");
    }

    #[tokio::test]
    async fn a_flight_is_empty_when_all_were_answered_or_left() {
        let flight = Arc::new(Flight::default());
        let (first, first_seat) = pair();
        let (second, second_seat) = pair::<()>();
        first.board(&flight, 1);
        second.board(&flight, 1);
        let mut emptied = std::pin::pin!(flight.emptied());
        let mut context = Context::from_waker(Waker::noop());
        assert!(emptied.as_mut().poll(&mut context).is_pending());
        assert!(first.answer(Ok(())).is_ok());
        assert!(emptied.as_mut().poll(&mut context).is_pending());
        let _ = second_seat.leave();
        emptied.await;
        assert_eq!(poll(&first_seat), Poll::Ready(Ok(())));
    }
}
