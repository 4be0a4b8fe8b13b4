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
    /// A detached item's, which is handed over.
    Detached(OnAnswer<R>),
}

impl<R> std::fmt::Debug for Recipient<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Caller(waker) => f.debug_tuple("Caller").field(waker).finish(),
            Self::Detached(_) => f.write_str("Detached"),
        }
    }
}

/// An item that was answered, and whom that is to be told. To be dropped outside of
/// locks: the answer to a detached one is handed over then at the latest, and its batch
/// has one less to answer.
#[must_use = "somebody may wait to be told"]
pub(crate) enum Delivery<R> {
    /// To a caller, whose answer waits to be taken.
    Caller {
        waker: Option<Waker>,
        membership: Option<Membership>,
    },
    /// Boxed, so that what is handed on for a caller is small.
    Detached(Box<HandOver<R>>),
}

/// The answer to a detached item, handed over when this is dropped.
pub(crate) struct HandOver<R> {
    answered: Option<(OnAnswer<R>, Answer<R>)>,
    _membership: Option<Membership>,
}

impl<R> Delivery<R> {
    /// Of a detached item's answer.
    #[cold]
    pub fn of_detached(
        on_answer: OnAnswer<R>,
        answer: Answer<R>,
        membership: Option<Membership>,
    ) -> Self {
        Self::Detached(Box::new(HandOver {
            answered: Some((on_answer, answer)),
            _membership: membership,
        }))
    }

    /// Wakes the caller, if it sleeps, or hands the answer over.
    pub fn tell(self) {
        self.into_waker().into_iter().for_each(Waker::wake);
    }

    /// How to wake the caller, if it sleeps. The answer to a detached item is handed over
    /// then.
    #[inline]
    pub fn into_waker(self) -> Option<Waker> {
        match self {
            Self::Caller { waker, membership } => {
                drop(membership);
                waker
            }
            Self::Detached(answer) => {
                drop(answer);
                None
            }
        }
    }
}

impl<R> Drop for HandOver<R> {
    fn drop(&mut self) {
        if let Some((on_answer, answer)) = self.answered.take() {
            contain(|| on_answer(answer));
        }
    }
}
