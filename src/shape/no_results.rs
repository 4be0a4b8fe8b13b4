//! Why an answer gives nobody a result.

use thiserror::Error;

use crate::fault::{Instead, NotResults};

/// Why an answer gives nobody a result. The texts are for the operator's log.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoResults {
    /// There is no array of them, or none that can be followed.
    #[error(transparent)]
    NotResults(#[from] NotResults),
    /// There is none where they should be.
    #[error("no array at {at}: the answer is {answer}")]
    NotThere {
        /// The pointer.
        at: String,
        /// What the answer is.
        answer: Instead,
    },
    /// Everybody's answer, and not JSON.
    #[error("not JSON but {0}")]
    NotJson(Instead),
    /// Results are told apart by their places, and those can't be right.
    #[error(transparent)]
    Count(#[from] Count),
    /// One error in place of several results: the batch was refused as a whole.
    #[error("one error for all")]
    Refused,
}

/// Why places say nothing about whose a result is.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Count {
    /// There are more or fewer results than items.
    #[error("{results} results for {items} items")]
    Results {
        /// How many were sent.
        items: usize,
        /// How many came.
        results: usize,
    },
    /// A result has no index, two, or one that is none of an item's.
    #[error("result {at} has no index from 0 to {last}")]
    NoIndex {
        /// Which one, from 0, in their order.
        at: usize,
        /// The greatest there is.
        last: usize,
    },
    /// Two results have one index.
    #[error("two results have the index {index}")]
    IndexTwice {
        /// It.
        index: usize,
    },
    /// A result shows another id than the item in whose place it stands.
    #[error("the result for item {at} has another id")]
    OtherId {
        /// Which one, from 0.
        at: usize,
    },
}
