//! How each job that waits in a lane or is under way is withdrawn, until it is answered.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::lane::Withdraw;
use crate::job::{Handle, RouteName};

/// By handle; in the order of time, and so mostly taken from the front.
#[derive(Default)]
pub(super) struct Withdrawals(Mutex<BTreeMap<Handle, Option<Box<dyn Withdraw>>>>);

impl Withdrawals {
    /// Queues a job by `submit`. It may be answered, or its record deleted, before that
    /// returns.
    pub fn queue(&self, handle: Handle, submit: impl FnOnce() -> Box<dyn Withdraw>) {
        self.lock().insert(handle, None);
        let withdraw = submit();
        let mut map = self.lock();
        if let Some(place) = map.get_mut(&handle) {
            *place = Some(withdraw);
            return;
        }
        drop(map);
        withdraw.withdraw();
    }

    /// A job is answered.
    pub fn answered(&self, handle: Handle) {
        let answered = self.lock().remove(&handle);
        drop(answered);
    }

    /// A record is gone.
    pub fn withdraw(&self, handle: Handle) {
        let gone = self.lock().remove(&handle);
        if let Some(withdraw) = gone.flatten() {
            withdraw.withdraw();
        }
    }

    /// Takes back from their lanes those that were never sent: those, which are neither sent
    /// nor answered any more.
    pub fn take_back(&self) -> Vec<Handle> {
        self.take_back_if(|_| true)
    }

    /// The same of those that were claimed for a route.
    pub fn take_back_of(&self, route: &RouteName) -> Vec<Handle> {
        self.take_back_if(|it| it.route() == Some(route))
    }

    fn take_back_if(&self, is_meant: impl Fn(&dyn Withdraw) -> bool) -> Vec<Handle> {
        let mut taken = Vec::new();
        self.lock().retain(|&handle, withdraw| {
            let meant = withdraw.as_ref().filter(|it| is_meant(&***it));
            let back = meant.is_some_and(|it| it.take_back());
            taken.extend(back.then_some(handle));
            !back
        });
        taken
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Handle, Option<Box<dyn Withdraw>>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Withdrawals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Withdrawals")
            .field(&self.lock().len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Counted(Arc<AtomicUsize>);

    impl Withdraw for Counted {
        fn withdraw(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_happens_while_a_job_is_queued_is_not_missed() {
        let withdrawals = Withdrawals::default();
        let times = Arc::new(AtomicUsize::new(0));
        let handle = Handle::new(1).unwrap();
        let counted = || Box::new(Counted(Arc::clone(&times)));
        withdrawals.queue(handle, || {
            withdrawals.answered(handle);
            counted()
        });
        assert_eq!(withdrawals.len(), 0);
        times.store(0, Ordering::Relaxed);
        withdrawals.queue(handle, || {
            withdrawals.withdraw(handle);
            counted()
        });
        assert_eq!((withdrawals.len(), times.load(Ordering::Relaxed)), (0, 1));
        withdrawals.queue(handle, || counted());
        withdrawals.withdraw(handle);
        withdrawals.withdraw(handle);
        assert_eq!((withdrawals.len(), times.load(Ordering::Relaxed)), (0, 2));
    }
}
