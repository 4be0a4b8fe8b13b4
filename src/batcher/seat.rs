//! The two ends of one wait: who must answer, and who waits for it.
//!
//! [`pair`] makes both. The answering end can't be lost: dropped, it answers
//! [`Unanswered::Dropped`]. The waiting end can leave at any time, and the
//! batch it has joined, if any, is told so.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use super::error::Unanswered;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard};

type Answer<R> = Result<R, Unanswered>;

/// Makes both ends.
pub(super) fn pair<R>() -> (Answerer<R>, Seat<R>) {
    let state = Arc::new(Mutex::new(State::Waiting(Stage::Queued, None)));
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
    Waiting(Stage, Option<Waker>),
    Answered(Answer<R>),
    /// The answer was taken, or nobody waits for it any more.
    Over,
}

fn lock<R>(state: &Mutex<State<R>>) -> MutexGuard<'_, State<R>> {
    // Nothing panics while it is held, so there is nothing to mistrust.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end that must answer.
#[derive(Debug)]
pub(super) struct Answerer<R>(Arc<Mutex<State<R>>>);

impl<R> Answerer<R> {
    /// Puts the item of this many bytes into a batch, and out of the one it may
    /// have been in.
    pub fn board(&self, flight: &Arc<Flight>, bytes: usize) {
        if let State::Waiting(stage, _) = &mut *lock(&self.0) {
            flight.live.fetch_add(1, Ordering::Relaxed);
            let before = std::mem::replace(stage, Stage::InFlight(Arc::clone(flight), bytes));
            before.over();
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
    pub fn answer(self, answer: Answer<R>) -> Result<Option<Waker>, Answer<R>> {
        self.settle(answer)
    }

    fn settle(&self, answer: Answer<R>) -> Result<Option<Waker>, Answer<R>> {
        let mut state = lock(&self.0);
        if !matches!(*state, State::Waiting(..)) {
            return Err(answer);
        }
        let before = std::mem::replace(&mut *state, State::Answered(answer));
        drop(state);
        let State::Waiting(stage, waker) = before else {
            return Ok(None);
        };
        stage.over();
        Ok(waker)
    }
}

impl<R> Drop for Answerer<R> {
    fn drop(&mut self) {
        if let Ok(waker) = self.settle(Err(Unanswered::Dropped)) {
            waker.into_iter().for_each(Waker::wake);
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
        match &mut *state {
            State::Waiting(_, waker) => {
                match waker {
                    Some(known) => known.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            State::Over => Poll::Ready(Err(Unanswered::Dropped)),
            State::Answered(_) => match std::mem::replace(&mut *state, State::Over) {
                State::Answered(answer) => Poll::Ready(answer),
                _ => Poll::Pending,
            },
        }
    }

    /// How far the item has come; `None` once it is answered.
    pub fn stage(&self) -> Option<Stage> {
        match &*lock(&self.0) {
            State::Waiting(stage, _) => Some(stage.clone()),
            _ => None,
        }
    }

    /// Gives up waiting.
    pub fn leave(&self) -> Left<R> {
        let before = std::mem::replace(&mut *lock(&self.0), State::Over);
        if let State::Waiting(stage, _) = &before {
            stage.over();
        }
        Left(before)
    }

    /// Whether the answer was taken.
    pub fn is_over(&self) -> bool {
        matches!(*lock(&self.0), State::Over)
    }
}

/// What somebody left behind. Dropped outside of locks, since there may be an
/// answer in it.
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
            State::Waiting(Stage::InFlight(flight, bytes), _) if flight.rests() => Some(*bytes),
            _ => None,
        }
    }
}

impl Stage {
    fn over(&self) {
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
            (Err(Unanswered::Dropped), true),
            (Err(Unanswered::Full { retry_after: 1 }), false),
            (Err(Unanswered::Closed), false),
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
        assert_eq!(poll(&seat), Poll::Ready(Err(Unanswered::Dropped)));
    }

    #[test]
    fn who_left_is_not_answered() {
        let (answerer, seat) = pair();
        assert!(seat.leave().loses_an_answer());
        assert_eq!(answerer.answer(Ok(7)).unwrap_err(), Ok(7));
        assert!(seat.stage().is_none());
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
