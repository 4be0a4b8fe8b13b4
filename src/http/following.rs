//! Something that a connection makes of what is in force, and makes anew once that has
//! changed.
//!
//! A connection asks at each request, which costs one load of an atomic and takes no lock
//! while nothing has changed.

use std::sync::Arc;

use tokio::sync::watch;

/// What is in force, as whoever changes it tells it.
pub type InForce<T> = watch::Receiver<Arc<T>>;

/// An `M`, made of the `T` that is in force.
pub(super) struct Following<T, M> {
    in_force: InForce<T>,
    made: M,
}

impl<T, M> Following<T, M> {
    pub fn new(mut in_force: InForce<T>, make: impl FnOnce(&T) -> M) -> Self {
        let made = make(&in_force.borrow_and_update());
        Self { in_force, made }
    }

    /// It, made `anew` of what is in force and of what it was, where that has changed.
    #[inline]
    pub fn get(&mut self, anew: impl FnOnce(&T, &M) -> M) -> &M {
        // Where nobody is left to change it, it stays as it is.
        if self.in_force.has_changed().unwrap_or(false) {
            self.renew(anew);
        }
        &self.made
    }

    #[cold]
    fn renew(&mut self, anew: impl FnOnce(&T, &M) -> M) {
        // Not under the lock of the channel: what is dropped here may take others.
        let now = Arc::clone(&self.in_force.borrow_and_update());
        self.made = anew(&now, &self.made);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_anew_once_for_each_change() {
        let (told, in_force) = watch::channel(Arc::new(1));
        let mut following = Following::new(in_force, |now| vec![*now]);
        let anew = |now: &i32, before: &Vec<i32>| [before.as_slice(), &[*now]].concat();
        assert_eq!(following.get(anew), &[1]);
        told.send_replace(Arc::new(2));
        assert_eq!(following.get(anew), &[1, 2]);
        assert_eq!(following.get(anew), &[1, 2]);
        told.send_replace(Arc::new(3));
        told.send_replace(Arc::new(4));
        assert_eq!(following.get(anew), &[1, 2, 4]);
        drop(told);
        assert_eq!(following.get(anew), &[1, 2, 4]);
    }
}
