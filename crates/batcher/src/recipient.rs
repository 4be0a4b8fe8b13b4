//! Whom an answer is for: a caller that takes it when it is there, or what is done with
//! it as soon as it is there.

use std::task::Waker;

use crate::contain::contain;
use crate::error::Error;
use crate::liveness::Membership;

pub(crate) type Answer<R> = Result<R, Error>;

/// What is done with the answer to a detached item, once and whatever happens: when it is
/// dropped unanswered too. It runs where the answer is made, such as in the batch's task,
/// with no lock held, and must not block. Its panic is nobody else's.
pub type OnAnswer<R> = Box<dyn FnOnce(Result<R, Error>) + Send>;

/// Whom an answer is for.
pub(crate) enum Recipient<R> {
    /// A caller, with how to wake it if it sleeps.
    Caller(Option<Waker>),
    /// Whoever keeps it.
    Keeper(OnAnswer<R>),
}

impl<R> std::fmt::Debug for Recipient<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Caller(waker) => f.debug_tuple("Caller").field(waker).finish(),
            Self::Keeper(_) => f.write_str("Keeper"),
        }
    }
}

/// An item that was answered, and whom that is to be told. To be dropped outside of
/// locks: a keeper is told then at the latest, and its batch has one less to answer.
#[must_use = "somebody may wait to be told"]
pub(crate) struct Delivery<R> {
    whom: Whom<R>,
    _membership: Option<Membership>,
}

enum Whom<R> {
    /// Its answer waits to be taken.
    Caller(Option<Waker>),
    Keeper(Option<(OnAnswer<R>, Answer<R>)>),
}

impl<R> Delivery<R> {
    /// To a caller, whose answer waits to be taken.
    pub fn to_caller(waker: Option<Waker>, membership: Option<Membership>) -> Self {
        Self {
            whom: Whom::Caller(waker),
            _membership: membership,
        }
    }

    /// To a keeper.
    pub fn to_keeper(
        on_answer: OnAnswer<R>,
        answer: Answer<R>,
        membership: Option<Membership>,
    ) -> Self {
        Self {
            whom: Whom::Keeper(Some((on_answer, answer))),
            _membership: membership,
        }
    }

    /// Wakes the caller, if it sleeps, or hands the answer over.
    pub fn tell(self) {
        self.into_waker().into_iter().for_each(Waker::wake);
    }

    /// How to wake the caller, if it sleeps. A keeper has been told then.
    pub fn into_waker(mut self) -> Option<Waker> {
        match &mut self.whom {
            Whom::Caller(waker) => waker.take(),
            Whom::Keeper(_) => None,
        }
    }
}

impl<R> Drop for Whom<R> {
    fn drop(&mut self) {
        if let Self::Keeper(answered) = self
            && let Some((on_answer, answer)) = answered.take()
        {
            contain(|| on_answer(answer));
        }
    }
}
