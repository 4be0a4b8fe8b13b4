//! The batchers that a route has had: after a reload the one that takes its jobs, and those
//! before it that are not through yet.
//!
//! What a batcher counts begins with it, and what a route has counted never falls: the counts of
//! all of them are one. Where a route was never changed this costs one load of an atomic.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::moment::both;
use crate::batcher::{Batcher, Snapshot};

/// A batcher, whatever it has batches of.
pub trait Counted: Debug + Send + Sync {
    /// As [`Batcher::snapshot`].
    fn snapshot(&self) -> Snapshot;
}

impl<J: Send + 'static, R: Send + 'static> Counted for Batcher<J, R> {
    fn snapshot(&self) -> Snapshot {
        Batcher::snapshot(self)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Forms {
    /// Whether there was ever another than the first.
    several: AtomicBool,
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    /// What those have counted that are through.
    ended: Snapshot,
    before: Vec<Arc<dyn Counted>>,
    current: Option<Arc<dyn Counted>>,
}

impl Forms {
    /// This one takes the jobs from here on.
    pub fn begins(&self, batcher: Arc<dyn Counted>) {
        self.lock().current = Some(batcher);
    }

    /// The one that took the jobs takes none that come from here on.
    pub fn leaves(&self) -> Option<Arc<dyn Counted>> {
        let mut all = self.lock();
        let left = all.current.take()?;
        all.before.push(Arc::clone(&left));
        self.several.store(true, Ordering::Release);
        Some(left)
    }

    /// One that has left is through: nothing of it is counted any more.
    pub fn ended(&self, batcher: &Arc<dyn Counted>) {
        let mut all = self.lock();
        let Some(at) = all.before.iter().position(|it| Arc::ptr_eq(it, batcher)) else {
            return;
        };
        let last = all.before.swap_remove(at).snapshot();
        // Only what ever rises is left of it.
        let last = Snapshot {
            accepted: last.accepted,
            kept_apart: last.kept_apart,
            detached_rode: last.detached_rode,
            saturated: last.saturated,
            cancelled_queued: last.cancelled_queued,
            cancelled_in_flight: last.cancelled_in_flight,
            ..Snapshot::default()
        };
        all.ended = both(&all.ended, &last);
    }

    /// The counts of all, where `one` of them has counted so much.
    pub fn whole(&self, one: Snapshot) -> Snapshot {
        match self.several.load(Ordering::Acquire) {
            false => one,
            true => self.snapshot().with_most_of(one),
        }
    }

    /// The counts of all.
    pub fn snapshot(&self) -> Snapshot {
        let all = self.lock();
        let current = all.current.as_ref().map(|it| it.snapshot());
        let before = all.before.iter().map(|it| it.snapshot());
        let whole = before.fold(all.ended, |whole, it| both(&whole, &it));
        let current = current.unwrap_or_default();
        Snapshot {
            // Those that leave get no more of them.
            max_in_flight: current.max_in_flight,
            ..both(&whole, &current)
        }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        // Nothing panics while it is held.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Counts(Snapshot);

    impl Counted for Counts {
        fn snapshot(&self) -> Snapshot {
            self.0
        }
    }

    fn batcher(accepted: u64, in_flight: usize, max_in_flight: usize) -> Arc<dyn Counted> {
        Arc::new(Counts(Snapshot {
            accepted,
            in_flight,
            max_in_flight,
            ..Snapshot::default()
        }))
    }

    #[test]
    fn what_was_counted_never_falls() {
        let forms = Forms::default();
        let counts = || {
            let whole = forms.whole(Snapshot::default());
            (whole.accepted, whole.in_flight, whole.max_in_flight)
        };
        forms.begins(batcher(3, 1, 10));
        let own = Snapshot {
            accepted: 3,
            ..Snapshot::default()
        };
        assert_eq!(forms.whole(own), own, "the only one is asked itself");
        let first = forms.leaves().unwrap();
        assert_eq!(counts(), (3, 1, 0), "removed");
        forms.begins(batcher(4, 2, 5));
        assert_eq!(counts(), (7, 3, 5));
        forms.ended(&first);
        assert_eq!(counts(), (7, 2, 5));
        forms.ended(&first);
        assert_eq!(counts(), (7, 2, 5));
        let second = forms.leaves().unwrap();
        assert!(forms.leaves().is_none());
        forms.ended(&second);
        assert_eq!(counts(), (7, 0, 0));
    }
}
