//! The two ends of one wait: who must answer, and who waits for it.
//!
//! [`pair`] makes both. The answering end can't be lost: dropped, it answers
//! [`Unanswered::Dropped`]. The waiting end can leave at any time, and the
//! batch it has joined, if any, is told so.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use super::error::Unanswered;

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
    /// Its batch has left.
    InFlight(Arc<Flight>),
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
    /// Puts the item into a batch.
    pub fn board(&self, flight: &Arc<Flight>) {
        if let State::Waiting(stage, _) = &mut *lock(&self.0) {
            flight.live.fetch_add(1, Ordering::Relaxed);
            *stage = Stage::InFlight(Arc::clone(flight));
        }
    }

    /// Answers, and wakes whoever waits.
    pub fn answer(self, answer: Answer<R>) {
        self.settle(answer).into_iter().for_each(Waker::wake);
    }

    /// Answers, and hands back whom to wake, for use under a lock.
    #[must_use = "who waits is not woken otherwise"]
    pub fn answer_quietly(self, answer: Answer<R>) -> Option<Waker> {
        self.settle(answer)
    }

    fn settle(&self, answer: Answer<R>) -> Option<Waker> {
        let mut state = lock(&self.0);
        if !matches!(*state, State::Waiting(..)) {
            return None;
        }
        let before = std::mem::replace(&mut *state, State::Answered(answer));
        drop(state);
        let State::Waiting(stage, waker) = before else {
            return None;
        };
        stage.over();
        waker
    }
}

impl<R> Drop for Answerer<R> {
    fn drop(&mut self) {
        let waker = self.settle(Err(Unanswered::Dropped));
        waker.into_iter().for_each(Waker::wake);
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

    /// Gives up waiting. Tells whether an answer is lost by that: one still to
    /// come, or one that nobody took; that an item was never taken is none.
    pub fn leave(&self) -> bool {
        let before = std::mem::replace(&mut *lock(&self.0), State::Over);
        match before {
            State::Waiting(stage, _) => {
                stage.over();
                true
            }
            State::Answered(answer) => answer.map_or_else(|it| it.had_entered(), |_| true),
            State::Over => false,
        }
    }

    /// Whether the answer was taken.
    pub fn is_over(&self) -> bool {
        matches!(*lock(&self.0), State::Over)
    }
}

impl Stage {
    fn over(&self) {
        if let Self::InFlight(flight) = self
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
}

impl Flight {
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
        answerer.answer(Ok(7));
        assert!(!seat.is_over());
        assert_eq!(poll(&seat), Poll::Ready(Ok(7)));
        assert!(seat.is_over() && !seat.leave());
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
            answerer.answer(answer);
            assert_eq!(seat.leave(), lost);
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
        assert!(seat.leave());
        answerer.answer(Ok(7));
        assert!(seat.stage().is_none());
    }

    #[tokio::test]
    async fn a_flight_is_empty_when_all_were_answered_or_left() {
        let flight = Arc::new(Flight::default());
        let (first, first_seat) = pair();
        let (second, second_seat) = pair::<()>();
        first.board(&flight);
        second.board(&flight);
        let mut emptied = std::pin::pin!(flight.emptied());
        let mut context = Context::from_waker(Waker::noop());
        assert!(emptied.as_mut().poll(&mut context).is_pending());
        first.answer(Ok(()));
        assert!(emptied.as_mut().poll(&mut context).is_pending());
        second_seat.leave();
        emptied.await;
        assert_eq!(poll(&first_seat), Poll::Ready(Ok(())));
    }
}
