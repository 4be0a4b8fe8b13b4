//! What a batch has been through: how often it was sent, whether the upstream saw it,
//! and for how long it had it.

use std::time::Duration;

use tokio::time::Instant;

use super::outcome::{Dispatched, Failure};
use crate::upstream::DispatchFlag;

/// The calls made with a batch's members, those with the whole that it is a half of
/// included.
#[derive(Debug)]
pub(super) struct History {
    /// Calls with the batch itself, the one under way included.
    pub attempts: u32,
    /// Whether the upstream saw the members in a call that failed.
    pub earlier: Dispatched,
    /// How long the calls took that failed.
    failed: Duration,
    current: Option<Current>,
    /// Whether it is told that the members have left.
    pub left_told: bool,
    /// Whether the store of those for later is told that they are sent.
    pub sent_told: bool,
    /// Why the last call with members for later failed, or was not made.
    pub failure: Option<Failure>,
}

/// A call that has not failed.
#[derive(Debug)]
struct Current {
    dispatch: DispatchFlag,
    since: Instant,
    /// How long it took, once it is over.
    took: Option<Duration>,
}

impl History {
    /// Nothing was sent yet.
    pub fn new() -> Self {
        Self {
            attempts: 0,
            earlier: Dispatched::No,
            failed: Duration::ZERO,
            current: None,
            left_told: false,
            sent_told: false,
            failure: None,
        }
    }

    /// What a half has been through in the whole.
    pub fn of_half(&self) -> Self {
        Self {
            earlier: self.earlier,
            failed: self.failed,
            left_told: self.left_told,
            sent_told: self.sent_told,
            failure: self.failure.clone(),
            ..Self::new()
        }
    }

    /// A call begins. The flag is for the call to set.
    pub fn call_begins(&mut self) -> DispatchFlag {
        let dispatch = DispatchFlag::default();
        self.attempts += 1;
        self.current = Some(Current {
            dispatch: dispatch.clone(),
            since: Instant::now(),
            took: None,
        });
        dispatch
    }

    /// Whether a call is under way.
    pub fn is_calling(&self) -> bool {
        self.current.as_ref().is_some_and(|it| it.took.is_none())
    }

    /// The call is over: the clock stops.
    pub fn call_ended(&mut self) {
        if let Some(current) = &mut self.current {
            current.took = Some(current.since.elapsed());
        }
    }

    /// The call has failed; the upstream saw so much of it.
    pub fn call_failed(&mut self, dispatched: Dispatched) {
        self.earlier = self.earlier.max(dispatched);
        self.failed = self.upstream_time();
        self.current = None;
    }

    /// Whether the upstream may have seen a member that is answered before the others.
    /// A call that goes on for them has it on board, and may yet get through.
    pub fn may_be_seen(&self) -> bool {
        self.current.is_some() || self.earlier > Dispatched::No
    }

    /// The same where no member is left, so that the call is given up.
    pub fn may_have_been_seen(&self) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|it| !it.dispatch.withdraw()) || self.earlier > Dispatched::No
    }

    /// The time of all calls, without the pauses between them.
    pub fn upstream_time(&self) -> Duration {
        let current = self.current.as_ref();
        let current = current.map(|it| it.took.unwrap_or_else(|| it.since.elapsed()));
        self.failed + current.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failed_call_counts_for_its_time_and_for_what_the_upstream_saw() {
        let second = Duration::from_secs(1);
        let mut history = History::new();
        assert!(!history.may_be_seen() && !history.may_have_been_seen());
        history.call_begins();
        advance(second).await;
        assert_eq!(history.upstream_time(), second);
        history.call_ended();
        // A pause.
        advance(second).await;
        assert!(history.may_be_seen());
        history.call_failed(Dispatched::No);
        assert!(!history.may_be_seen());
        assert!(history.call_begins().set());
        advance(second).await;
        assert_eq!(history.upstream_time(), 2 * second);
        assert!(history.may_have_been_seen());
        history.call_failed(Dispatched::Unknown);
        let mut half = history.of_half();
        assert_eq!((half.attempts, half.upstream_time()), (0, 2 * second));
        half.call_begins();
        half.call_failed(Dispatched::No);
        assert_eq!(half.earlier, Dispatched::Unknown);
    }

    #[test]
    fn a_call_that_is_given_up_in_time_was_not_seen() {
        let mut history = History::new();
        let flag = history.call_begins();
        assert!(history.may_be_seen());
        assert!(!history.may_have_been_seen());
        assert!(!flag.set(), "withdrawn");
    }
}
