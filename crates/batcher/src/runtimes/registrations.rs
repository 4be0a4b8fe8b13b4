//! The runtimes that one batcher serves, by their numbers.

use std::sync::{Arc, PoisonError};

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::alarms::Served;
use super::registration::Registration;
use crate::sync::{Mutex, MutexGuard};

/// The number of the runtime that the batcher was made on.
pub(crate) const PRIMARY: usize = 0;

#[derive(Debug, Default)]
pub(crate) struct Registrations(Mutex<Vec<Arc<Registration>>>);

impl Registrations {
    /// The one at the runtime that this is called on, made if there is none yet: then
    /// the batcher is `served` there by that number, which may have been that of one that
    /// has ended.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    pub fn here(
        &self,
        precise: bool,
        served: impl FnOnce(usize) -> Arc<dyn Served>,
    ) -> (usize, Arc<Registration>) {
        let runtime = Handle::current().id();
        // The clock's first would panic too late.
        drop(sleep_until(Instant::now()));
        let mut all = self.lock();
        let known = |it: &Arc<Registration>| it.handle().id() == runtime && !it.is_closed();
        if let Some(index) = all.iter().position(known) {
            return (index, Arc::clone(&all[index]));
        }
        let ended = all.iter().position(|it| it.is_closed());
        let index = ended.unwrap_or(all.len());
        let here = Arc::new(Registration::here(served(index), precise));
        let before = match all.get_mut(index) {
            Some(ended) => Some(std::mem::replace(ended, Arc::clone(&here))),
            None => {
                all.push(Arc::clone(&here));
                None
            }
        };
        drop(all);
        // With it goes what is left of a runtime.
        drop(before);
        // Only after that, since `served` may be called at once.
        here.start();
        (index, here)
    }

    /// The one of that number.
    pub fn get(&self, index: usize) -> Option<Arc<Registration>> {
        self.lock().get(index).map(Arc::clone)
    }

    /// Where a batch is processed that is found at `here`: here, but where fewer are
    /// under way if there are any, `own` of those here aside.
    pub fn lightest(&self, here: usize, own: usize) -> (usize, Arc<Registration>) {
        let all = self.lock();
        let open = all.iter().enumerate().filter(|(_, it)| !it.is_closed());
        let others = open.map(|(index, it)| (it.under_way(), index));
        let index = match others.min() {
            Some((fewest, there)) if fewest + own < all[here].under_way() => there,
            _ => here,
        };
        (index, Arc::clone(&all[index]))
    }

    /// How many it serves, with those that have ended and left their places to none.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Registration>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
