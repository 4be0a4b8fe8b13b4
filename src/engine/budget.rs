//! The budget of retries, as the batches of an engine share it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::resilience::budget::Budget;

/// A budget that several batches draw on.
#[derive(Debug)]
pub(super) struct RetryBudget(Mutex<Budget>);

impl RetryBudget {
    pub fn new(budget: Budget) -> Self {
        Self(Mutex::new(budget))
    }

    /// A batch leaves for the first time.
    pub fn sent(&self, now: Instant) {
        self.lock().sent(now);
    }

    /// Whether it allows no retry, ever.
    pub fn is_off(&self) -> bool {
        self.lock().is_off()
    }

    /// Puts one retry aside, if there is budget for it.
    pub fn reserve(&self, now: Instant) -> Option<Reservation<'_>> {
        let within = self.lock().reserve(now);
        within.then(|| Reservation(Some(self)))
    }

    fn lock(&self) -> MutexGuard<'_, Budget> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A retry within the budget. It counts when it is spent; dropped, it was not sent.
#[derive(Debug)]
#[must_use = "a retry that is sent is to be spent"]
pub(super) struct Reservation<'a>(Option<&'a RetryBudget>);

impl Reservation<'_> {
    /// The retry is sent.
    pub fn spend(mut self, now: Instant) {
        if let Some(budget) = self.0.take() {
            budget.lock().spend(now);
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.0.take() {
            budget.lock().give_back();
        }
    }
}
