//! How many callers are connected, whatever routes they call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts those who are connected. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Connected(Arc<AtomicUsize>);

/// Somebody is connected, until this is dropped.
#[derive(Debug)]
pub(super) struct Connection(Connected);

impl Connected {
    /// One more.
    pub(super) fn join(&self) -> Connection {
        self.0.fetch_add(1, Ordering::Relaxed);
        Connection(self.clone())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Connected(count) = &self.0;
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_is_counted_no_more() {
        let connected = Connected::default();
        let (one, other) = (connected.join(), connected.clone().join());
        assert_eq!(connected.count(), 2);
        drop(one);
        assert_eq!(connected.count(), 1);
        drop(other);
        assert_eq!(connected.count(), 0);
    }
}
